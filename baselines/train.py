"""Train what a recipe lists: one file a run, so that an interrupted recipe goes on where it stopped.

`memgym train --recipe R` is this on the command line.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memgym.baselines.checkpoints import remove_checkpoint
from memgym.baselines.recipe import TRAINERS, Recipe, Run
from memgym.core.engines import Engine, LocalEngine
from memgym.core.result import write_atomically
from memgym.errors import ResultInvalid
from memgym.registry import load_object

__all__ = ["read_runs", "result_file", "train"]

SCHEMA = "memgym-run/1"
UNDER_WAY = ".checkpoint"  # after a run's name: what it goes on from, in files with endings of their own
MAX_BYTES = 1 << 26


def train(
    recipe: Recipe,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    only: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    on_run: Callable[[Run, int, int], None] = lambda run, done, total: None,
) -> list[Path]:
    """Run what `out` does not hold yet, seed by seed, and return the files of all runs.

    Args:
        recipe: what to train.
        out: folder of the runs; finished ones are kept, one that was cut off goes on from its last checkpoint.
        seeds: instead of the recipe's.
        only: values of the grid, by name, several with commas; all others are left out.
        engine: what trains; None for this process. Where workers have no common file system with this process,
            a run that was cut off starts again.
        on_run: called after each run with it, the number of finished ones and of all.
    """
    runs = recipe.runs(tuple(seeds) if seeds else None, only)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ResultInvalid(f"{out} is a file; runs need a folder.") from None
    open_runs = [run for run in runs if not result_file(out, run).is_file()]
    done = len(runs) - len(open_runs)
    engine, pieces = engine or LocalEngine(), [(run, out.resolve()) for run in open_runs]
    # no name for what the engine gives: whatever goes wrong here, workers then end at once
    for number, (i, data) in enumerate(engine.run(run_one, pieces), done + 1):
        write_atomically(result_file(out, open_runs[i]), data)
        remove_checkpoint(out / f"{open_runs[i].name}{UNDER_WAY}")
        on_run(open_runs[i], number, len(runs))
    return [result_file(out, run) for run in runs]


def run_one(run: Run, out: Path) -> bytes:
    """Train one run: its result. What it goes on from lies in `out` meanwhile."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = load_object(TRAINERS[run.trainer])
    result = trainer(run, out / f"{run.name}{UNDER_WAY}")
    content = {"schema": SCHEMA, "digest": run.digest, **vars(run), **result}
    return json.dumps(content).encode() + b"\n"


def result_file(out: Path, run: Run) -> Path:
    """Where a run's result lies."""
    return out / f"{run.name}.json"


def read_runs(out: Path) -> list[dict[str, Any]]:
    """All finished runs of a folder, in the order of their names; those under way are passed over.

    Raises:
        ResultInvalid: there is none, or a file is not a run's result.
    """
    runs = []
    for path in sorted(out.glob("*.json")):
        if path.stem.endswith(UNDER_WAY):
            continue
        if path.stat().st_size > MAX_BYTES:
            raise ResultInvalid(f"{path} is larger than {MAX_BYTES} bytes: no run is.")
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ResultInvalid(f"{path} is no JSON: {error}.") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA or "results" not in content:
            raise ResultInvalid(f"{path} is no result of `memgym train`.")
        runs.append(content)
    if not runs:
        raise ResultInvalid(f"{out} holds no finished run.")
    return runs
