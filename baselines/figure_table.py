"""The figure of a recipe with axes: scores as a table in colour, a line for each model, a block for each axis."""

from typing import TYPE_CHECKING, Any

import numpy as np

from memgym.baselines.recipe import Recipe
from memgym.baselines.summary import scores, selected

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_table"]

# From no better than without memory, over half way, to always right; told apart by colour-blind eyes too.
COLOURS = ("#b8552f", "#f4efe6", "#1f5fbf")


def draw_table(recipe: Recipe, runs: list[dict[str, Any]]) -> "Figure":
    """Median scores over seeds, best model first; numbers are scores, colours count from that without memory.

    Args:
        recipe: with axes, whose ``figure.line`` is an entry of the grid.
        runs: its finished runs; where it selects, only those that count are shown.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    kept = selected(recipe, runs)
    line = list(recipe.grid).index(recipe.figure["line"])
    medians = {point: np.median(values, axis=0) for point, values in scores(recipe, runs).items()}
    points = sorted(medians, key=lambda point: -float(np.mean(medians[point])))
    seeds = sorted({sum(_point(recipe, run) == point for run in kept) for point in points})
    example = {point: next(run for run in kept if _point(recipe, run) == point) for point in points}
    labels = [
        f"{point[line]}  ({example[point]['erase'].replace('_', ' ')}, {example[point]['state_nbytes']:,} B)"
        for point in points
    ]
    floor = np.array([one["no_memory"] for one in kept[0]["results"]])
    table = np.array([*(medians[point] for point in points), floor])
    widths = [len(axis.labels) for axis in recipe.axes]
    figure = Figure(figsize=(4.2 + 0.5 * sum(widths), 1.7 + 0.27 * len(table)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
    colours = LinearSegmentedColormap.from_list("scores", COLOURS)
    start = 0
    for axes, axis in zip(panels, recipe.axes, strict=True):
        part = slice(start, start + len(axis.labels))
        shades = np.clip((table[:, part] - floor[part]) / (1.0 - floor[part]), 0.0, 1.0)
        axes.imshow(shades, cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
        for (y, x), value in np.ndenumerate(table[:, part]):
            ink = "white" if abs(shades[y, x] - 0.5) > 0.36 else "black"
            text = "1.0" if value >= 0.995 else f"{value:.2f}".removeprefix("0")
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=ink)
        axes.set_xticks(range(len(axis.labels)), axis.labels)
        axes.set_yticks(range(len(table)), [*labels, "no memory, at best"])
        axes.set_title(axis.name.replace(" ", "\n", 1) + ("" if axis.is_trained else " *"), fontsize=10)
        axes.tick_params(length=0, labelsize=9)
        axes.axhline(len(table) - 1.5, color="white", linewidth=3)
        axes.spines[:].set_visible(False)
        start = part.stop
    numbers = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    count = "one seed" if seeds == [1] else f"median over {numbers} seeds"
    figure.suptitle(f"{recipe.title}\n{count}   (* never trained on)", fontsize=11)
    return figure


def _point(recipe: Recipe, run: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(run["point"][key] for key in recipe.grid)
