"""What memory managers do in each situation, before and after they learned.

    python -m memgym.baselines.operations memory_manager

prints the table from the committed results: how often each operation was chosen, greedily, on dialogues that no
training has, each turn in the bank that the oracle has then. Accuracy alone does not tell a manager that never
deletes from one that forgets what it should keep.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from memgym.baselines.command_line import module_parser
from memgym.baselines.recipe import Recipe
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import as_markdown
from memgym.baselines.summary import committed_runs, evaluation_names
from memgym.errors import MemgymError

__all__ = ["operations"]

SELDOM = 0.005  # what has a smaller share is left out


def operations(recipe: Recipe, runs: list[dict[str, Any]], evaluation: int = 0) -> list[list[str]]:
    """A row for each run, a column for each situation: the share of each operation, the most frequent first.

    Runs that differ in nothing but the seed and do the same share a row.

    Args:
        recipe: of memory managers.
        runs: its finished ones.
        evaluation: which of them, from 0 on.

    Returns:
        Rows of text, the header first.

    Raises:
        ValueError: runs of something else, or no such evaluation.
    """
    seeds: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {  # in the order of the grid
        _values(recipe, run.point): defaultdict(list) for run in recipe.runs()
    }
    situations: list[str] = []
    for run in runs:
        told = [one["operations"] for one in run.get("measured", ()) if "operations" in one]
        if not told:
            raise ValueError(f"recipe {recipe.name!r} trains no memory manager alone.")
        if not 0 <= evaluation < len(told):
            raise ValueError(
                f"recipe {recipe.name!r} has evaluations 0 to {len(told) - 1}, not {evaluation}."
            )
        found = told[evaluation]
        situations = situations or list(found)
        shares = tuple(_shares(found[situation]) for situation in situations)
        seeds[_values(recipe, run["point"])][shares].append(run["seed"])
    grid = [key.rpartition(".")[2] for key in recipe.grid]
    rows = [
        [*point, ", ".join(map(str, some)), *shares]
        for point, by_shares in seeds.items()
        for shares, some in by_shares.items()
    ]
    return [[*grid, "seeds", *situations], *rows]


def _values(recipe: Recipe, point: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(point[key]) for key in recipe.grid)


def _shares(found: Mapping[str, float]) -> str:
    """For example ``UPDATE 0.98, NOOP 0.02``."""
    often = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.2f}" for name, share in often if share >= SELDOM)


def main(arguments: list[str] | None = None) -> None:
    """Print a table of the committed results."""
    parser = module_parser(
        "memgym.baselines.operations",
        "Print what a recipe's memory managers do in each situation, as a Markdown table.",
        "memory_manager --evaluation 2",
    )
    parser.add_argument("recipe", help="its name")
    parser.add_argument("--evaluation", type=int, default=0, help="which one, from 0 (default) on")
    given = parser.parse_args(arguments)
    try:
        recipe = load_recipe(given.recipe)
        head, *rows = operations(recipe, committed_runs(recipe), given.evaluation)
    except (MemgymError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{evaluation_names(recipe)[given.evaluation]}\n\n{as_markdown(head, rows)}")


if __name__ == "__main__":
    main()
