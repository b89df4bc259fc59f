"""What a training is worth by when it is judged: at its end, at its best moment, or at any.

    python -m memgym.baselines.moments t_maze_grid

prints the table from the committed results. A paper that keeps the checkpoint with the best score and one that judges
the last weights report different agents; this tells how different.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from memgym.baselines.command_line import module_parser
from memgym.baselines.recipe import Recipe
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs
from memgym.errors import MemgymError

__all__ = ["moments"]

SOLVED = 0.95
HEAD = ("runs", "last weights, greedy", "last episodes", "second half of training", "best moment")


def moments(recipe: Recipe, runs: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each line of the recipe's figure: mean success by when runs are judged, and how many have 0.95.

    The last weights are judged as they were trained, greedily and on test episodes. The other columns are the share
    of training episodes that succeeded, of which a curve has up to 40 points: its last, the mean of its second half,
    and its best. They are played by the sampled policy.

    Args:
        recipe: of reinforcement learning.
        runs: its finished ones; one that diverged before its curve began counts as 0.

    Returns:
        Rows of text, the header first.

    Raises:
        ValueError: a run has no curve of successes, or was not evaluated in the environment that it was trained in.
    """
    line = recipe.figure["line"]
    found: dict[Any, list[list[float]]] = defaultdict(list)
    for run in runs:
        if "success" not in run["curve"]:
            raise ValueError(
                f"recipe {recipe.name!r} has no curves of successes: it is of trainer {recipe.trainer!r}."
            )
        last = [one["score"] for one in run["results"] if one["env"] == run["env"]]
        if not last:
            raise ValueError(f"no evaluation of {run['point']} has the environment that it was trained in.")
        curve = run["curve"]["success"] or [0.0]
        half = float(np.mean(curve[len(curve) // 2 :]))
        found[run["point"][line]].append([last[0], curve[-1], half, max(curve)])
    rows = [[line.rpartition(".")[2], *HEAD]]
    for name, values in found.items():
        means, solved = np.mean(values, axis=0), (np.array(values) >= SOLVED).sum(0)
        rows.append(
            [f"`{name}`", str(len(values)), *(f"{m:.3f} ({s})" for m, s in zip(means, solved, strict=True))]
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print a table of the committed results."""
    parser = module_parser(
        "memgym.baselines.moments",
        "Print what a recipe's committed runs are worth by when they are judged, as a Markdown table.",
        "t_maze_grid",
    )
    parser.add_argument("recipe", help="its name")
    given = parser.parse_args(arguments)
    try:
        recipe = load_recipe(given.recipe)
        head, *rows = moments(recipe, committed_runs(recipe))
    except (MemgymError, OSError, ValueError) as error:
        parser.error(str(error))
    print(as_markdown(head, rows))


if __name__ == "__main__":
    main()
