"""Where does each memory break? Memories as sequence models on Key-Value Rewriting, at equal bytes of state.

::

    python -m memgym.baselines.study_key_value --out runs/key_value

trains every registered memory by cross-entropy at the GETs, on a mixture of streams of 64 operations: tables of
1 to 16 keys, no overwrites up to mostly overwrites, questions at once or long after the last change. The same
model is then asked about each kind of stream alone, about streams up to 16 times as long, and about keys and
values whose words were in no stream it learned from. All memories stand in the same block and have the largest width
that stays within `--state-bytes` and `--max-params`. Of the learning rates, the one with the best accuracy on
episodes set aside for the choice counts; what is reported is measured on others.

Variants: `pretrained` spends the first half of the same number of optimiser steps on foreseeing the next operation;
`ids` gives each token an embedding instead of its word, and `ids-active` and `ids-temporary` forget those of the
keys ten times, or only through the first half. Unseen keys are then keys with freshly drawn embeddings.
"""

import argparse
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memgym.agents.nn import MODULES
from memgym.baselines.key_value_training import (
    AXES,
    BEYOND,
    ENV_ID,
    QUICK,
    STREAM,
    TRAINED,
    VALIDATION_SEED,
    VARIANTS,
    Config,
    Mixture,
    batches_of,
    measure,
    memory_config,
    train,
)
from memgym.baselines.reference import expected_file
from memgym.core.evaluate import versions
from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing, UnknownName

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise DependencyMissing.for_extra("matplotlib", "plots", "the study's figure") from error

NAME = "key_value_study"
MODULE = "memgym.baselines.study_key_value"
EXAMPLES = f"""examples (interrupt any, give it again: it goes on):
  python -m {MODULE} --out runs/quick --quick
  python -m {MODULE} --out runs/key_value --cells lstm delta --state-bytes 1024 --seeds 2
"""


def run_once(config: Config, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train and measure; a memory that does not fit, or a loss that is not finite, is a result too."""
    start = time.process_time()
    try:
        model = train(config, checkpoint)
    except FloatingPointError as error:
        return {"failed": str(error)}
    trained = time.process_time()
    mixture = Mixture(config.eval_episodes // 4, VALIDATION_SEED)
    memory = model.backbone.memories[0]
    return {
        "memory": memory_config(config),
        "memory_params": sum(p.numel() for p in memory.parameters()),
        "params": sum(p.numel() for p in model.parameters()),
        "state_nbytes": model.state_nbytes(),
        "erase": memory.spec.erase,
        "train_cpu_seconds": round(trained - start, 1),
        "validation": round(model.accuracy(mixture, len(mixture.sources)), 4),
        "accuracy": measure(model, config),
    }


def run_study(out: Path, runs: Sequence[Config]) -> None:
    """Do the runs that `out` does not hold yet; one file each, and a checkpoint of the one under way.

    Raises:
        ValueError: `out` holds a run of another configuration or of other versions.
    """
    for i, config in enumerate(runs):
        made_by = {"config": asdict(config), "versions": {**versions(), "torch": torch.__version__}}
        file = out / f"{config.key}.json"
        if file.is_file():
            kept = json.loads(file.read_text())
            if {key: kept[key] for key in made_by} != made_by:
                raise ValueError(f"{file} is of another configuration or version: choose another --out.")
            continue
        print(f"[{i + 1} of {len(runs)}] {config.key}", flush=True)
        checkpoint = out / f".{config.key}"
        found = run_once(config, checkpoint)
        write_atomically(file, json.dumps({**found, **made_by}).encode() + b"\n")
        for phase in ("foresight", "answers"):
            checkpoint.with_name(f"{checkpoint.name}.{phase}.safetensors").unlink(missing_ok=True)
        told = (
            found.get("failed") or f"accuracy {found['validation']}, {found['train_cpu_seconds']} CPU seconds"
        )
        print(f"    {told}", flush=True)


def split_by_fit(runs: Sequence[Config]) -> tuple[list[Config], dict[str, str]]:
    """The runs whose memory fits the limits, and why the others' do not."""
    left_out: dict[str, str] = {}
    for config in runs:
        if config.cell not in left_out:
            try:
                memory_config(config)
            except ValueError as error:
                left_out[config.cell] = str(error)
    return [config for config in runs if config.cell not in left_out], left_out


@cache
def floors() -> dict[str, dict[str, float]]:
    """Best accuracy without memory, for each kind of stream: one answer to everything."""
    return {
        axis: {
            name: round(max(batches_of(setting, 1, 0).task.constant_scores), 4)  # type: ignore[attr-defined]
            for name, setting in settings.items()
        }
        for axis, settings in AXES.items()
    }


def summary(out: Path, runs: Sequence[Config], left_out: dict[str, str], command: str) -> dict[str, Any]:
    """All runs of a finished study, and for each memory and variant the learning rate that was chosen."""
    found = [json.loads((out / f"{config.key}.json").read_text()) for config in runs]
    per_run = {"cell", "variant", "learning_rate", "seed"}
    common = {f.name: getattr(runs[0], f.name) for f in fields(Config) if f.name not in per_run}
    rows = []
    for cell, variant in dict.fromkeys((config.cell, config.variant) for config in runs):
        mine = [run for run in found if (run["config"]["cell"], run["config"]["variant"]) == (cell, variant)]
        by_rate: dict[float, list[float]] = {}
        for run in mine:
            by_rate.setdefault(run["config"]["learning_rate"], []).append(run.get("validation", 0.0))
        best = max(by_rate, key=lambda rate: float(np.mean(by_rate[rate])))
        chosen = [r for r in mine if r["config"]["learning_rate"] == best and "failed" not in r]
        rows.append(
            {
                "cell": cell,
                "variant": variant,
                "learning_rate": best,
                "validation_by_rate": {f"{rate:g}": values for rate, values in by_rate.items()},
                "failed": [f"{r['config']['learning_rate']:g}: {r['failed']}" for r in mine if "failed" in r],
                **{
                    key: chosen[0][key]
                    for key in ("memory", "memory_params", "state_nbytes", "erase")
                    if chosen
                },
                "train_cpu_seconds": [run["train_cpu_seconds"] for run in chosen],
                "accuracy": {
                    axis: {name: [run["accuracy"][axis][name] for run in chosen] for name in settings}
                    for axis, settings in AXES.items()
                },
            }
        )
    return {
        "study": NAME,
        "command": command,
        "env_id": ENV_ID,
        "stream": STREAM,
        "trained_on": TRAINED,
        "never_trained_on": BEYOND,
        "common": common,
        "seeds": sorted({config.seed for config in runs}),
        "chosen": "learning rate with the best mean accuracy on validation episodes; accuracies are of others",
        "cpu_seconds": "training, on one thread",
        "left_out": left_out,
        "no_memory": floors(),
        "versions": found[0]["versions"],
        "rows": rows,
    }


def as_json(study: dict[str, Any]) -> bytes:
    """JSON with a line for each row, so that a changed row is a changed line."""
    rows = ",\n".join("  " + json.dumps(row) for row in study["rows"])
    head = json.dumps({**study, "rows": "ROWS"}, indent=1)
    return head.replace('"ROWS"', f"[\n{rows}\n ]").encode() + b"\n"


def plot(study: dict[str, Any]) -> bytes:
    """Accuracies as a PNG: a line for each memory, best first, a block of columns for each way to be hard."""
    rows = [row for row in study["rows"] if row["train_cpu_seconds"]]
    names = [(axis, name) for axis, settings in AXES.items() for name in settings]
    values = [[float(np.mean(row["accuracy"][axis][name])) for axis, name in names] for row in rows]
    order = sorted(range(len(rows)), key=lambda i: -float(np.mean(values[i])))
    labels = []
    for i in order:
        variant = "" if rows[i]["variant"] == "scratch" else f", {rows[i]['variant']}"
        erase = rows[i]["erase"].replace("_", " ")
        labels.append(f"{rows[i]['cell']}{variant} ({erase}, {rows[i]['state_nbytes']:,} B)")
    table = np.array([values[i] for i in order] + [[study["no_memory"][axis][name] for axis, name in names]])
    widths = [len(settings) for settings in AXES.values()]
    figure = Figure(figsize=(3.5 + 0.5 * len(names), 1.6 + 0.34 * len(table)), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True, width_ratios=widths)
    start = 0
    for axes, (axis, settings) in zip(panels, AXES.items(), strict=True):
        part = table[:, start : start + len(settings)]
        axes.imshow(part, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
        for (y, x), value in np.ndenumerate(part):
            colour = "black" if value > 0.6 else "white"
            axes.text(x, y, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(settings)), list(settings))
        axes.set_yticks(range(len(table)), [*labels, "no memory, at best"])
        axes.set_title(axis + ("*" if axis in BEYOND else ""), fontsize=10)
        axes.tick_params(length=0)
        axes.axhline(len(table) - 1.5, color="white", linewidth=2)
        for side in axes.spines.values():
            side.set_visible(False)
        start += len(settings)
    limit, seeds = study["common"]["state_nbytes"], len(study["seeds"])
    figure.suptitle(
        f"Accuracy at GETs of Key-Value Rewriting, states of at most {limit:,} bytes, mean of {seeds} seed"
        f"{'s' if seeds > 1 else ''}   (* never trained on)",
        fontsize=11,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing; when all runs are there, write the summary and the figure beside them."""
    base = Config()
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description=f"Where each memory breaks on Key-Value Rewriting; writes {NAME}.json and .png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs; finished ones are kept")
    parser.add_argument("--cells", nargs="+", metavar="NAME", help="memories (default: all registered)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["scratch"], help="see above")
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs of each, with seeds 0, 1, ... (default: 3)"
    )
    parser.add_argument(
        "--learning-rates",
        nargs="+",
        type=float,
        default=[1e-3, 2e-3, 4e-3],
        help="(default: 1e-3 2e-3 4e-3)",
    )
    parser.add_argument("--updates", type=int, help=f"optimiser steps (default: {base.num_updates})")
    parser.add_argument("--state-bytes", type=int, help=f"most bytes of state (default: {base.state_nbytes})")
    parser.add_argument("--max-params", type=int, help=f"most parameters (default: {base.max_params})")
    parser.add_argument("--quick", action="store_true", help="a minute's trial: few steps, small networks")
    parser.add_argument("--write", action="store_true", help="make these the committed results")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the networks are small: more threads only wait for each other

    config = QUICK if given.quick else base
    told = {"num_updates": given.updates, "state_nbytes": given.state_bytes, "max_params": given.max_params}
    config = replace(config, **{name: value for name, value in told.items() if value is not None})
    cells = given.cells or (["lstm", "gru"] if given.quick else sorted(MODULES))
    try:
        for cell in cells:
            MODULES.resolve(cell)
    except UnknownName as error:
        parser.error(str(error))
    rates = given.learning_rates[:1] if given.quick else given.learning_rates
    grid = product(cells, given.variants, rates, range(1 if given.quick else given.seeds))
    runs = [replace(config, cell=c, variant=v, learning_rate=r, seed=s) for c, v, r, s in grid]
    runs, left_out = split_by_fit(runs)
    for why in left_out.values():
        print(f"left out: {why}")
    if not runs:
        parser.error("no memory fits the limits.")
    run_study(given.out, runs)
    study = summary(given.out, runs, left_out, _command(given))
    for folder in [given.out, *([expected_file(NAME).parent] if given.write else [])]:
        write_atomically(folder / f"{NAME}.json", as_json(study))
        write_atomically(folder / f"{NAME}.png", plot(study))
        print(f"wrote {folder / NAME}.json and .png")


def _command(given: argparse.Namespace) -> str:
    """The command that does these runs again, whatever folder they went to."""
    words = [f"python -m {MODULE} --out runs/key_value"]
    for name in ("cells", "variants", "seeds", "learning_rates", "updates", "state_bytes", "max_params"):
        value = getattr(given, name)
        if value is not None:
            words += [
                f"--{name.replace('_', '-')}",
                *(str(v) for v in (value if isinstance(value, list) else [value])),
            ]
    return " ".join(words + ["--quick"] * given.quick)


if __name__ == "__main__":
    main()
