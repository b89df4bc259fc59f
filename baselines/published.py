"""What a paper reports for the points of a recipe, beside what the recipe's runs measured.

    python -m memgym.baselines.published t_maze_grid

prints the table from the committed results; the paper's figures lie in `baselines/published/`.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memgym.baselines.command_line import module_parser
from memgym.baselines.recipe import Recipe
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs, scores

__all__ = ["Published", "as_trained", "load_published", "side_by_side"]

FOLDER = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Published:
    """A paper's scores.

    Attributes:
        source: the paper.
        x: what an agent is evaluated with, a name of the recipe's ``evaluate``.
        values: of `x`, one for each score of a row.
        rows: entries of the recipe's grid, and the scores of what was trained with them.
    """

    source: str
    x: str
    values: tuple[Any, ...]
    rows: tuple[tuple[dict[str, Any], tuple[float, ...]], ...]


def load_published(recipe: Recipe) -> Published | None:
    """What is published for a recipe, None where nothing is."""
    file = FOLDER / f"{recipe.name}.toml"
    if not file.is_file():
        return None
    content = tomllib.loads(file.read_text("utf-8"))
    full = {name.rpartition(".")[2]: name for name in recipe.grid}
    rows = tuple(
        ({full[key]: value for key, value in row["where"].items()}, tuple(row["scores"]))
        for row in content["rows"]
    )
    return Published(content["source"], content["x"], tuple(content["values"]), rows)


def side_by_side(recipe: Recipe, runs: list[dict[str, Any]], published: Published) -> list[list[str]]:
    """A row for each published score, the header first: the paper's, and ours for each way to train that the paper
    does not tell apart, as the median over seeds with the least and greatest.
    """
    others, measured = _others(recipe, published), _measured(recipe, runs, published)
    names = [name.rpartition(".")[2] for name in published.rows[0][0]]
    rows = [[*names, f"evaluated with {_last(published.x)}", "paper", *(_label(other) for other in others)]]
    for where, theirs in published.rows:
        for value, score in zip(published.values, theirs, strict=True):
            ours = [_spread(measured.get(_key({**where, **other}, value))) for other in others]
            rows.append([*map(str, where.values()), str(value), f"{score:.2f}", *ours])
    return rows


def as_trained(
    recipe: Recipe, runs: list[dict[str, Any]], published: Published, line: str
) -> list[list[str]]:
    """A row for each `line`, a column for each setting, evaluated as trained: the paper's score and our medians.

    Args:
        recipe: whose runs.
        runs: the finished ones.
        published: the paper's scores.
        line: a name of the grid.
    """
    others, measured = _others(recipe, published), _measured(recipe, runs, published)
    settings = list(
        dict.fromkeys(tuple((k, v) for k, v in where.items() if k != line) for where, _ in published.rows)
    )
    head = [_last(line), *(", ".join(f"{_last(k)} {v}" for k, v in setting) for setting in settings)]
    rows = [head]
    found = {
        (where[line], tuple((k, v) for k, v in where.items() if k != line)): s for where, s in published.rows
    }
    for name in recipe.grid[line]:
        cells = []
        for setting in settings:
            trained = dict(setting)[published.x]
            theirs = found[name, setting][published.values.index(trained)]
            ours = [measured.get(_key({line: name, **dict(setting), **other}, trained)) for other in others]
            cells.append(" / ".join([f"{theirs:.2f}", *(_middle(values) for values in ours)]))
        rows.append([f"`{name}`", *cells])
    return rows


def _others(recipe: Recipe, published: Published) -> list[dict[str, Any]]:
    """The combinations of what the paper does not tell apart."""
    (free,) = [name for name in recipe.grid if name not in published.rows[0][0]]
    return [{free: value} for value in recipe.grid[free]]


def _measured(
    recipe: Recipe, runs: list[dict[str, Any]], published: Published
) -> dict[tuple[Any, ...], np.ndarray]:
    """Our scores over seeds for each point and value of `published.x`."""
    values = recipe.evaluate[published.x]
    return {
        _key(dict(zip(recipe.grid, point, strict=True)), value): table[:, values.index(value)]
        for point, table in scores(recipe, runs).items()
        for value in published.values
    }


def _key(point: dict[str, Any], value: Any) -> tuple[Any, ...]:
    return (*sorted(point.items()), value)


def _last(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _label(other: dict[str, Any]) -> str:
    return ", ".join(f"ours, {value}" for value in other.values())


def _middle(values: np.ndarray | None) -> str:
    return "–" if values is None else f"{np.median(values):.2f}"


def _spread(values: np.ndarray | None) -> str:
    if values is None:
        return "–"
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f}; seeds: {len(values)})"


def main() -> None:
    """Print a table of the committed results."""
    parser = module_parser(
        "memgym.baselines.published",
        "Print a recipe's committed results beside what is published, as a Markdown table.",
        "t_maze_grid --as-trained",
    )
    parser.add_argument("recipe", help="its name")
    parser.add_argument(
        "--as-trained", action="store_true", help="only evaluated as trained, a row for each line"
    )
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    published = load_published(recipe)
    if published is None:
        parser.error(f"nothing is published for recipe {recipe.name!r}.")
    runs = committed_runs(recipe)
    if given.as_trained:
        head, *rows = as_trained(recipe, runs, published, recipe.figure["line"])
    else:
        head, *rows = side_by_side(recipe, runs, published)
    print(as_markdown(head, rows))


if __name__ == "__main__":
    main()
