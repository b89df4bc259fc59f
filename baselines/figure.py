"""The figure of a recipe: score against one of its values, a panel for each combination of others; or a table."""

import io
from collections import defaultdict
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from memgym.baselines.figure_table import draw_table
from memgym.baselines.published import Published, load_published
from memgym.baselines.recipe import Recipe, RecipeInvalid
from memgym.baselines.summary import recipe_runs, selected
from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_recipe"]

FORMATS = (".png", ".svg", ".pdf")
MOST_JOINED = 8  # words on the horizontal axis; more are a list, upright, with no lines from one to the next


def draw_recipe(recipe: Recipe, runs: Path, file: Path) -> None:
    """Draw the finished runs as the recipe's table ``figure`` says, and write them to `file`.

    ``x`` names what stands on the horizontal axis, ``line`` what has a colour of its own, ``rows`` and
    ``columns`` what has panels of its own, one name or a list; names are those of the grid or of the evaluations. A
    line is the median over seeds, each thin one a seed; crosses are what is published. Over many words there are
    points in place of lines. With ``kind = "table"`` the scores on the recipe's axes are a table in colour, with a
    row for each ``line``.

    Args:
        recipe: whose figure.
        runs: folder of its runs, or the file of its committed results.
        file: the picture.

    Raises:
        RecipeInvalid: no figure, or an unknown format of the file.
        DependencyMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: F401 - loaded only where it is used
    except ImportError as error:
        raise DependencyMissing.for_extra("matplotlib", "plots", "a recipe's figure") from error
    if file.suffix not in FORMATS:
        raise RecipeInvalid(f"the figure is a {', '.join(FORMATS)} file, not {file.name!r}.")
    names = _names(recipe)
    found = recipe_runs(recipe, runs)
    figure = draw_table(recipe, found) if _is_table(recipe) else _draw_lines(recipe, found, names)
    data = io.BytesIO()
    figure.savefig(data, format=file.suffix[1:])
    write_atomically(file, data.getvalue())


def _is_table(recipe: Recipe) -> bool:
    return recipe.figure.get("kind") == "table"


def _draw_lines(recipe: Recipe, runs: list[dict[str, Any]], names: dict[str, tuple[str, ...]]) -> "Figure":
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    points = [
        ({**run["point"], **_evaluation(recipe, one), "seed": run["seed"]}, one["score"])
        for run in selected(recipe, runs)
        for one in run["results"]
    ]
    paper = load_published(recipe)
    theirs = _published_points(paper) if paper else []
    rows, columns, lines, xs = (_values(points, names[axis]) for axis in ("rows", "columns", "line", "x"))
    is_list = len(xs) > MOST_JOINED and any(isinstance(value, str) for x in xs for value in x.values())
    size = (1.5 + max(3.2, 0.22 * len(xs)) * len(columns), 1.0 + (3.4 if is_list else 2.4) * len(rows))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
        axes = panels[i, j]
        for k, line in enumerate(lines):
            colour, shift = colours[k % 10], (k - (len(lines) - 1) / 2) * min(0.06, 0.4 / len(lines))
            medians, crosses = [], []
            by_seed: dict[int, list[tuple[float, float]]] = defaultdict(list)
            for place, x in enumerate(xs):  # shifted, so that none hides another
                wanted = {**row, **column, **line, **x}
                if here := [
                    (point["seed"], score) for point, score in points if wanted.items() <= point.items()
                ]:
                    medians.append((place + shift, np.median([score for _, score in here])))
                for seed, score in here:
                    by_seed[seed].append((place + shift, score))
                crosses += [
                    (place + shift, score) for point, score in theirs if point.items() <= wanted.items()
                ]
            if medians:
                look = {"color": colour, "linestyle": "" if is_list else ("-", "--", ":")[k // 10 % 3]}
                dots = {"marker": ".", "markersize": 3} if is_list else {}
                for one in by_seed.values():
                    axes.plot(*zip(*one, strict=True), linewidth=0.6, alpha=0.4, **look, **dots)
                middle = zip(*medians, strict=True)
                axes.plot(*middle, marker="o", markersize=4 if is_list else 3, label=_value(line), **look)
            if crosses:
                axes.scatter(*zip(*crosses, strict=True), marker="x", s=18, linewidth=1, color=colour)
        titles = (
            ", ".join(f"{_short(name)} {value}" for name, value in part.items()) for part in (row, column)
        )
        axes.set_title("\n".join(filter(None, titles)), fontsize=9)
        axes.set_xticks(range(len(xs)), [_value(x) for x in xs], rotation=90 if is_list else 0)
        axes.set_ylim(-0.03, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(_short(*names["x"]), fontsize=10)
    figure.supylabel("score", fontsize=10)
    large, small = ("large", "small") if is_list else ("thick", "thin")
    read = f"{large}: median over seeds, {small}: each seed" + (f", crosses: {paper.source}" if paper else "")
    figure.suptitle(fill(recipe.title, round(11 * size[0])) + "\n" + read, fontsize=11)
    shown: dict[str, Any] = {}  # a panel may lack some of the lines
    for axes in panels.flat:
        shown |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        shown.values(), shown.keys(), title=_short(*names["line"]), loc="outside right center", frameon=False
    )
    return figure


def _names(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """What each axis varies; rows and columns may vary nothing, or several things."""
    if not recipe.figure:
        raise RecipeInvalid(f"recipe {recipe.name!r} has no figure.")
    names: dict[str, tuple[str, ...]] = {"x": (), "line": (), "rows": (), "columns": ()}
    for axis in names.keys() & recipe.figure.keys():
        value = recipe.figure[axis]
        names[axis] = tuple(value) if isinstance(value, list) else (value,)
    return names


def _published_points(published: Published) -> list[tuple[dict[str, Any], float]]:
    return [
        ({**where, f"evaluate.{published.x}": value}, score)
        for where, scores in published.rows
        for value, score in zip(published.values, scores, strict=True)
    ]


def _evaluation(recipe: Recipe, result: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation varies, by names that do not hide those of the training."""
    keys = [key for key in recipe.evaluate if key.startswith("env.")]
    return {f"evaluate.{key}": result["env"][key.removeprefix("env.")] for key in keys}


def _values(points: list[tuple[dict[str, Any], float]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The combinations of values that the points have."""
    found = dict.fromkeys(tuple(point[name] for name in names) for point, _ in points)
    return [dict(zip(names, values, strict=True)) for values in found]


def _value(one: dict[str, Any]) -> str:
    (value,) = one.values()
    return str(value)


def _short(name: str) -> str:
    words = name.rpartition(".")[2].replace("_", " ")
    return f"{words} in the evaluation" if name.startswith("evaluate.") else words
