"""What papers report, beside what the recipes' runs measured."""

from collections.abc import Callable

import pytest

pytest.importorskip("typer", reason="recipes are read by the command line's extra")

from memgym.baselines.published import FOLDER, as_trained, load_published, side_by_side
from memgym.baselines.recipe_file import load_recipe, recipe_names
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs

NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_every_file_belongs_to_a_recipe() -> None:
    assert NAMES
    assert set(NAMES) <= set(recipe_names())
    assert load_published(load_recipe("t_maze_quick")) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_a_point_of_the_grid(name: str) -> None:
    recipe = load_recipe(name)
    published = load_published(recipe)
    assert published is not None
    assert set(published.values) <= set(recipe.evaluate[published.x])
    for where, scores in published.rows:
        assert all(value in recipe.grid[key] for key, value in where.items())
        assert len(scores) == len(published.values)
        assert all(0.0 <= score <= 1.0 for score in scores)
    points = [tuple(where.values()) for where, _ in published.rows]
    assert len(set(points)) == len(points)


def test_ours_stand_beside_the_paper_s() -> None:
    recipe = load_recipe("t_maze_grid")
    published = load_published(recipe)
    assert published is not None
    run = next(
        run
        for run in recipe.runs((0,), {"cell": "lstm", "length_mode": "uniform"})
        if run.env["num_corridors"] == 5 and run.env["corridor_length"] == 10
    )
    results = [{"env": env, "score": 0.01 * env["num_corridors"]} for env in run.evaluations]
    made = [{**vars(run), "seed": seed, "results": results} for seed in (0, 1)]
    head, *rows = side_by_side(recipe, made, published)
    (row,) = (row for row in rows if row[:4] == ["lstm", "5", "10", "10"])
    assert dict(zip(head[4:], row[4:], strict=True)) == {
        "paper": "0.67",
        "ours, fixed": "–",
        "ours, uniform": "0.10 (0.10 to 0.10; seeds: 2)",
    }
    head, *rows = as_trained(recipe, made, published, "train.cell")
    (row,) = (row for row in rows if row[0] == "`lstm`")
    assert row[head.index("num corridors 5, corridor length 10")] == "0.69 / – / 0.05"


def test_readme_shows_the_committed_results_beside_the_paper_s(shown: Callable[[str, str, str], str]) -> None:
    recipe = load_recipe("t_maze_grid")
    published = load_published(recipe)
    assert published is not None
    runs = committed_runs(recipe)
    head, *rows = as_trained(recipe, runs, published, "train.cell")
    assert shown("README.md", "published", recipe.name) == as_markdown(head, rows)
