"""What a training is worth by when it is judged."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("typer", reason="recipes are read by the command line's extra")

from memgym.baselines.moments import main, moments
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs

RECIPE = load_recipe("t_maze_grid")


def made(curve: list[float], last: float) -> dict[str, Any]:
    run = RECIPE.runs((0,), {"cell": "gru"})[0]
    scores = [last if env == run.env else 0.5 for env in run.evaluations]
    results = [{"env": env, "score": score} for env, score in zip(run.evaluations, scores, strict=True)]
    return {**vars(run), "results": results, "curve": {"success": curve}}


def test_a_row_tells_the_end_from_the_best_moment() -> None:
    head, row = moments(RECIPE, [made([0.0, 1.0, 0.6, 0.2], 0.1), made([1.0, 1.0, 1.0, 1.0], 1.0)])
    assert dict(zip(head, row, strict=True)) == {
        "cell": "`gru`",
        "runs": "2",
        "last weights, greedy": "0.550 (1)",
        "last episodes": "0.600 (1)",
        "second half of training": "0.700 (1)",
        "best moment": "1.000 (2)",
    }


@pytest.mark.parametrize(
    ("recipe", "message"), [("key_value", "no curves of successes"), ("nope", "no recipe 'nope'")]
)
def test_recipes_without_such_runs_are_refused(
    recipe: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([recipe])
    assert message in capsys.readouterr().err


def test_a_run_that_diverged_at_once_counts() -> None:
    _, row = moments(RECIPE, [made([], 0.0)])
    assert row == ["`gru`", "1", *["0.000 (0)"] * 4]


def test_a_run_that_was_judged_elsewhere_alone_is_refused() -> None:
    run = made([1.0], 1.0)
    run["results"] = [one for one in run["results"] if one["env"] != run["env"]]
    with pytest.raises(ValueError, match="the environment that it was trained in"):
        moments(RECIPE, [run])


def test_results_show_the_committed_runs(shown: Callable[[str, str, str], str]) -> None:
    head, *rows = moments(RECIPE, committed_runs(RECIPE))
    assert shown("RESULTS.md", "moments", RECIPE.name) == as_markdown(head, rows)
