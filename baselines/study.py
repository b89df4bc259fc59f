"""What the studies have in common: conditions times seeds, one file a run, a summary and a figure beside them."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stable_baselines3
import torch

from memgym.baselines.reference import expected_file
from memgym.core.evaluate import versions
from memgym.core.result import write_atomically

__all__ = ["Planned", "all_versions", "as_json", "run_file", "run_missing", "study_main"]


@dataclass(frozen=True)
class Planned:
    """A run that a folder is to hold.

    Attributes:
        condition: its condition's name.
        seed: its seed.
        made_by: what its numbers depend on, as JSON would give it back.
        play: makes the run.
    """

    condition: str
    seed: int
    made_by: dict[str, Any]
    play: Callable[[], dict[str, Any]]


def run_missing(out: Path, planned: Iterable[Planned], told: Callable[[dict[str, Any]], str]) -> None:
    """Run what `out` does not hold yet.

    Args:
        out: folder of the runs.
        planned: all runs, in order.
        told: what is printed of a run.

    Raises:
        ValueError: `out` holds a run of another configuration or of other versions.
    """
    for one in planned:
        file = run_file(out, one.condition, one.seed)
        if file.is_file():
            kept = json.loads(file.read_text())
            if {key: kept[key] for key in one.made_by} != one.made_by:
                raise ValueError(f"{file} is of another configuration or version: choose another --out.")
            continue
        print(f"{one.condition}, seed {one.seed}", flush=True)
        run = {"condition": one.condition, "seed": one.seed, **one.play(), **one.made_by}
        write_atomically(file, json.dumps(run).encode() + b"\n")
        print(f"  {told(run)}, {run['cpu_seconds']} CPU seconds", flush=True)


def run_file(out: Path, condition: str, seed: int) -> Path:
    """Where a run's result lies."""
    return out / f"{condition}_seed{seed}.json"


def all_versions() -> dict[str, str]:
    """What the numbers may depend on."""
    return {**versions(), "torch": torch.__version__, "stable_baselines3": stable_baselines3.__version__}


def as_json(study: dict[str, Any]) -> bytes:
    """JSON with a line for each run, so that a changed run is a changed line."""
    runs = ",\n".join("  " + json.dumps(run) for run in study["runs"])
    head = json.dumps({**study, "runs": "RUNS"}, indent=1)
    return head.replace('"RUNS"', f"[\n{runs}\n ]").encode() + b"\n"


def study_main(
    arguments: list[str] | None,
    *,
    name: str,
    command: str,
    description: str,
    conditions: Sequence[str],
    seeds: Sequence[int],
    run: Callable[[Path, Sequence[str]], None],
    summary: Callable[[Path], dict[str, Any]],
    plot: Callable[[dict[str, Any]], bytes],
) -> None:
    """Run what is missing; when all runs are there, write the summary and the plot beside them.

    Args:
        arguments: of the command line.
        name: of the study's files.
        command: that makes it, `python -m MODULE ...`.
        description: for ``--help``.
        conditions: all of them.
        seeds: of each.
        run: given the folder and conditions, runs what is missing of them.
        summary: of a finished folder.
        plot: of a summary.
    """
    parser = argparse.ArgumentParser(
        prog=command.partition(" --")[0],
        description=description,
        epilog=f"example:\n  {command}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; finished ones are kept")
    parser.add_argument(
        "--only", choices=conditions, help="run these five alone, to use a terminal for each condition"
    )
    parser.add_argument("--write", action="store_true", help="make these the committed results")
    given = parser.parse_args(arguments)

    torch.set_num_threads(1)  # the network is small: more threads only wait for each other
    run(given.out, [given.only] if given.only else conditions)
    missing = [one for one in conditions for seed in seeds if not run_file(given.out, one, seed).is_file()]
    if missing:
        print(f"{len(missing)} runs are still missing: {', '.join(sorted(set(missing)))}")
        return
    study = summary(given.out)
    for folder in [given.out, *([expected_file(name).parent] if given.write else [])]:
        write_atomically(folder / f"{name}.json", as_json(study))
        write_atomically(folder / f"{name}.png", plot(study))
        print(f"wrote {folder / name}.json and .png")
