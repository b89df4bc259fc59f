"""What the runs of a recipe say together: a row for each point of its grid, scores over its seeds."""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from memgym.baselines.recipe import Recipe, load_recipe
from memgym.baselines.reference import expected_file
from memgym.baselines.train import read_runs
from memgym.core.result import write_atomically
from memgym.errors import ResultInvalid

__all__ = ["as_json", "evaluation_names", "recipe_runs", "scores", "table"]


def recipe_runs(recipe: Recipe, out: Path) -> list[dict[str, Any]]:
    """The finished runs in `out` that are this recipe's, as it is now, in the order in which it lists them.

    Raises:
        ResultInvalid: there is none.
    """
    by_digest = {content["digest"]: content for content in read_runs(out)}
    found = [by_digest[run.digest] for run in recipe.runs() if run.digest in by_digest]
    if not found:
        raise ResultInvalid(f"{out} holds no run of recipe {recipe.name!r} as it is now.")
    return found


def evaluation_names(recipe: Recipe) -> list[str]:
    """A short name for each evaluation of a run, e.g. ``"num_corridors=3"``."""
    run = recipe.runs()[0]
    keys = [key.removeprefix("env.") for key in recipe.evaluate if key.startswith("env.")]
    return [", ".join(f"{key}={env[key]}" for key in keys) or "score" for env in run.evaluations]


def scores(recipe: Recipe, runs: list[dict[str, Any]]) -> dict[tuple[Any, ...], np.ndarray]:
    """For each point of the grid (its values) the scores, shape (num_seeds, num_evaluations)."""
    found: dict[tuple[Any, ...], list[list[float]]] = defaultdict(list)
    for run in runs:
        point = tuple(run["point"][key] for key in recipe.grid)
        found[point].append([one["score"] for one in run["results"]])
    return {point: np.array(rows) for point, rows in found.items()}


def table(recipe: Recipe, out: Path) -> list[list[str]]:
    """Rows of text, the header first: the grid's values, number of seeds, and for each evaluation the median over
    seeds with the least and greatest.
    """
    grid = [key.rpartition(".")[2] for key in recipe.grid]
    rows = [[*grid, "seeds", *evaluation_names(recipe)]]
    for point, values in scores(recipe, recipe_runs(recipe, out)).items():
        cells = [
            f"{np.median(column):.3f}"
            + (f" ({column.min():.3f}-{column.max():.3f})" if len(column) > 1 else "")
            for column in values.T
        ]
        rows.append([*map(str, point), str(len(values)), *cells])
    return rows


def as_json(recipe: Recipe, out: Path, before: bytes = b"") -> bytes:
    """All runs of a recipe, with what they have in common said once, a line for each run.

    Args:
        recipe: whose runs.
        out: folder of runs.
        before: what this function gave earlier; its runs are kept where `out` does not have them.

    Raises:
        ResultInvalid: the earlier runs were made with other versions.
    """
    runs = recipe_runs(recipe, out)
    lines = {run["digest"]: _line(run) for run in runs}
    if before:
        kept = json.loads(before)
        if kept["versions"] != runs[0]["versions"]:
            raise ResultInvalid(f"the runs kept so far were made with {kept['versions']}: renew them all.")
        lines = {line["digest"]: line for line in kept["runs"]} | lines
    listed = [lines[run.digest] for run in recipe.runs() if run.digest in lines]
    head = {
        "recipe": recipe.name,
        "title": recipe.title,
        "command": f"memgym train --recipe {recipe.name} --out runs/{recipe.name}",
        "evaluations": evaluation_names(recipe),
        "episodes": runs[0]["episodes"],
        "versions": runs[0]["versions"],
        "runs": "RUNS",
    }
    text = ",\n".join("  " + json.dumps(line) for line in listed)
    return json.dumps(head, indent=1).replace('"RUNS"', f"[\n{text}\n ]").encode() + b"\n"


def _line(run: dict[str, Any]) -> dict[str, Any]:
    names = ("point", "seed", "curve", "cpu_seconds", "params", "state_nbytes", "env_steps", "digest")
    return {"results": [one["score"] for one in run["results"]], **{name: run[name] for name in names}}


def main(arguments: list[str] | None = None) -> None:
    """Add finished runs to the committed results, and draw their figure."""
    parser = argparse.ArgumentParser(
        prog="python -m memgym.baselines.summary",
        description="Add the finished runs of a recipe to the committed results (baselines/expected/RECIPE.json).",
        epilog="example:\n  python -m memgym.baselines.summary t_maze_grid runs/t_maze_grid\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="its name")
    parser.add_argument("runs", type=Path, help="folder of its runs")
    given = parser.parse_args(arguments)
    recipe, file = load_recipe(given.recipe), expected_file(given.recipe)
    data = as_json(recipe, given.runs, file.read_bytes() if file.is_file() else b"")
    write_atomically(file, data)
    print(f"wrote {file}: {len(json.loads(data)['runs'])} of {len(recipe.runs())} runs")


if __name__ == "__main__":
    main()
