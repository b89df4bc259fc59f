"""What memory managers do in each situation, as a table."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("typer", reason="recipes are read by the command line's extra")

from memgym.baselines import operations as script
from memgym.baselines.operations import operations
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs

RECIPE = load_recipe("memory_manager")


def made(seed: int, credit: str = "local", **shares: dict[str, float]) -> dict[str, Any]:
    """A run with these operations in its second evaluation."""
    [run] = RECIPE.runs((seed,), {"credit": credit, "oracle": "0.0"})
    empty: dict[str, Any] = {"operations": {name: {} for name in shares}}
    return {**vars(run), "measured": [empty, {"operations": shares}]}


def test_a_run_is_a_row_and_a_situation_a_column() -> None:
    run = made(3, news={"NOOP": 0.25, "ADD": 0.75}, talk={"NOOP": 0.996, "ADD": 0.004})
    head, row = operations(RECIPE, [run], 1)
    assert dict(zip(head, row, strict=True)) == {
        "credit": "local",
        "oracle": "0.0",
        "seeds": "3",
        "news": "ADD 0.75, NOOP 0.25",
        "talk": "NOOP 1.00",
    }


def test_seeds_that_do_the_same_share_a_row_and_other_trainings_do_not() -> None:
    same = {"news": {"ADD": 1.0}}
    other = {"news": {"UPDATE": 1.0}}
    runs = [made(0, "none", **same), made(0, **same), made(1, **other), made(2, **same)]
    _, *rows = operations(RECIPE, runs, 1)
    assert rows == [  # as the grid orders them, and not the runs
        ["local", "0.0", "0, 2", "ADD 1.00"],
        ["local", "0.0", "1", "UPDATE 1.00"],
        ["none", "0.0", "0", "ADD 1.00"],
    ]


@pytest.mark.parametrize("evaluation", [-1, 2])
def test_an_evaluation_that_is_not_there_is_refused(evaluation: int) -> None:
    with pytest.raises(ValueError, match="evaluations 0 to 1"):
        operations(RECIPE, [made(0, news={"ADD": 1.0})], evaluation)


@pytest.mark.parametrize("recipe", ["memory_team", "t_maze_grid"])
def test_runs_of_something_else_are_refused(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script.main([recipe])
    assert "no memory manager" in capsys.readouterr().err


def test_results_show_the_committed_runs(shown: Callable[[str, str, str], str]) -> None:
    head, *rows = operations(RECIPE, committed_runs(RECIPE))
    assert shown("RESULTS.md", "operations", RECIPE.name) == as_markdown(head, rows)
