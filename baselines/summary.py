"""What the runs of a recipe say together: a row for each point of its grid, scores over its seeds."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from memgym.baselines.command_line import module_parser
from memgym.baselines.recipe import Recipe
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import expected_file
from memgym.baselines.train import read_runs
from memgym.core.result import write_atomically
from memgym.errors import ResultInvalid

__all__ = ["as_json", "committed_runs", "evaluation_names", "recipe_runs", "scores", "selected", "table"]


def recipe_runs(recipe: Recipe, out: Path) -> list[dict[str, Any]]:
    """The finished runs in `out` that are this recipe's, as it is now, in the order in which it lists them.

    Args:
        recipe: whose runs.
        out: a folder of runs, or the file of committed results that `as_json` made of them.

    Raises:
        ResultInvalid: there is none.
    """
    contents = _committed(recipe, out) if out.is_file() else read_runs(out)
    by_digest = {content["digest"]: content for content in contents}
    # a point as the recipe has it: JSON knows no tuples
    found = [
        {**by_digest[run.digest], "point": run.point} for run in recipe.runs() if run.digest in by_digest
    ]
    if not found:
        raise ResultInvalid(f"{out} holds no run of recipe {recipe.name!r} as it is now.")
    return found


def committed_runs(recipe: Recipe) -> list[dict[str, Any]]:
    """The runs of this recipe that memgym comes with, as `recipe_runs` lists them."""
    return recipe_runs(recipe, expected_file(recipe.name))


def _committed(recipe: Recipe, file: Path) -> list[dict[str, Any]]:
    """The runs of committed results, as they were before `as_json`."""
    try:
        whole = json.loads(file.read_bytes())
        floors = whole.get("no_memory") or [None] * len(whole["evaluations"])
        runs = {run.digest: run for run in recipe.runs()}
        return [
            {
                **vars(runs[line["digest"]]),
                **line,
                "versions": whole["versions"],
                "results": [
                    {"env": env, "score": score, "no_memory": floor}
                    for env, score, floor in zip(
                        runs[line["digest"]].evaluations, line["results"], floors, strict=True
                    )
                ],
            }
            for line in whole["runs"]
            if line["digest"] in runs
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultInvalid(f"{file} holds no committed results of a recipe: {error!r}.") from None


def selected(recipe: Recipe, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that count where the recipe selects: for each other point of the grid those with the best value.

    Values are compared by their mean validation score over the seeds that all of them were trained with.
    """
    if not recipe.select:
        return runs
    groups: dict[tuple[str, ...], dict[Any, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        others = tuple(str(value) for key, value in run["point"].items() if key != recipe.select)
        groups[others][run["point"][recipe.select]].append(run)
    kept = []
    for by_value in groups.values():
        common = set.intersection(*({run["seed"] for run in some} for some in by_value.values()))
        if not common:
            continue  # nothing to choose by yet
        means = {
            value: np.mean([run["validation"] for run in some if run["seed"] in common])
            for value, some in by_value.items()
        }
        kept += by_value[max(means, key=means.__getitem__)]
    return kept


def evaluation_names(recipe: Recipe) -> list[str]:
    """A short name for each evaluation of a run, e.g. ``"num_corridors=3"``."""
    if recipe.axes:
        return [f"{axis.name} {label}" for axis in recipe.axes for label in axis.labels]
    run = recipe.runs()[0]
    keys = [key.removeprefix("env.") for key in recipe.evaluate if key.startswith("env.")]
    return [", ".join(f"{key}={env[key]}" for key in keys) or "score" for env in run.evaluations]


def scores(recipe: Recipe, runs: list[dict[str, Any]]) -> dict[tuple[Any, ...], np.ndarray]:
    """For each point of the grid (its values) the scores, shape (num_seeds, num_evaluations), where it counts."""
    found: dict[tuple[Any, ...], list[list[float]]] = defaultdict(list)
    for run in selected(recipe, runs):
        point = tuple(run["point"][key] for key in recipe.grid)
        found[point].append([one["score"] for one in run["results"]])
    return {point: np.array(rows) for point, rows in found.items()}


def table(recipe: Recipe, out: Path) -> list[list[str]]:
    """Rows of text, the header first: the grid's values, number of seeds, and for each evaluation the median over
    seeds with the least and greatest; for each axis, where there are axes, the medians of its evaluations.
    """
    grid = [key.rpartition(".")[2] for key in recipe.grid]
    found = scores(recipe, recipe_runs(recipe, out))
    if recipe.axes:  # too many for a column each
        rows = [[*grid, "seeds", *(" ".join([axis.name, *axis.labels]) for axis in recipe.axes)]]
        ends = np.cumsum([len(axis.labels) for axis in recipe.axes])
        for point, values in found.items():
            parts = np.split(np.median(values, axis=0), ends[:-1])
            cells = [" ".join(f"{score:.2f}" for score in part) for part in parts]
            rows.append([*map(str, point), str(len(values)), *cells])
        return rows
    rows = [[*grid, "seeds", *evaluation_names(recipe)]]
    for point, values in found.items():
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
    if "no_memory" in runs[0]["results"][0]:
        head["no_memory"] = [one["no_memory"] for one in runs[0]["results"]]
        head["runs"] = head.pop("runs")  # last
    text = ",\n".join("  " + json.dumps(line) for line in listed)
    return json.dumps(head, indent=1).replace('"RUNS"', f"[\n{text}\n ]").encode() + b"\n"


def _line(run: dict[str, Any]) -> dict[str, Any]:
    names = ("point", "seed", "curve", "cpu_seconds", "params", "state_nbytes", "env_steps", "digest")
    more = ("diverged", "validation", "memory", "erase", "failed", "measured")  # of one trainer or the other
    return {
        "results": [one["score"] for one in run["results"]],
        **{name: run[name] for name in names},
        **{name: run[name] for name in more if run.get(name) is not None},
    }


def main(arguments: list[str] | None = None) -> None:
    """Add finished runs to the committed results, and draw their figure."""
    parser = module_parser(
        "memgym.baselines.summary",
        "Add the finished runs of a recipe to the committed results (baselines/expected/RECIPE.json).",
        "t_maze_grid runs/t_maze_grid",
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
