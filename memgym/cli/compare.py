"""``memgym compare``: agents over several budgets of memory."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from memgym.cli.engine import AddressOption, EngineOption, WorkersOption, read_engine
from memgym.cli.players import (
    AgentsOption,
    EpisodesOption,
    SeedsOption,
    SuiteOption,
    check_out,
    read_agents,
    resumable,
)
from memgym.cli.progress import progress
from memgym.core import evaluate as core
from memgym.core.budgets import format_size, parse_budgets, with_budget_only
from memgym.core.engines import Engine
from memgym.core.suites import Suite, get_suite
from memgym.errors import MemgymError
from memgym.registry import load_object

__all__ = ["compare"]

BUDGETS = "4KiB,16KiB,64KiB,256KiB"
WIDE = 200  # columns of a table in a file, which has no edge to fold at


def compare(
    agents: AgentsOption,
    suite: SuiteOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results, the tables and the figure.")
    ],
    budgets: Annotated[
        str,
        typer.Option(help="Bytes of the memory bank, two or more with commas; KiB, MiB, kB, ... are known."),
    ] = BUDGETS,
    tasks: Annotated[
        str | None, typer.Option(help="Tasks of the suite, with commas, instead of all that have a budget.")
    ] = None,
    episodes: EpisodesOption = None,
    seeds: SeedsOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
) -> None:
    """Play the same episodes under several budgets, and show score against bytes of memory.

    For each agent: its score at each budget with a 95 % interval (bootstrap), the bytes that it really used, bank and
    what it keeps beside it together, and the area under its score over log-bytes, from the smallest budget to the
    largest, as a fraction: over the bytes used, and over the budgets of the bank alone. The calls and tokens of
    language models (or of the rules in their place) and the CPU time for a question are what the results declare; the
    reading before the question is in them. A star marks the Pareto front: nobody scores as much with less.

    OUT gets curves.json, curves.csv, curves.png, and a folder of result bundles for each budget, which `memgym
    verify OUT` replays. The same command given again goes on where an interrupted run stopped. Tasks that take no
    budget are left out, and named.

    [dim]Examples:[/dim]

        memgym compare --agents recency,rules,mem0 --suite budgets --out runs/budgets

        memgym compare -a recency,a-mem -s dialogue --tasks locomo-256k --budgets 4KiB,16KiB,64KiB -o runs/locomo

        memgym compare -a rules,my_agent:make -s longqa --episodes 5 --budgets 1KiB,1MiB -o runs/longqa
    """
    try:
        sizes = parse_budgets(budgets)
        whole = get_suite(suite)
        base, left_out = with_budget_only(whole, [name for name in (tasks or "").split(",") if name])
        sized = {size: base.resized(episodes, seeds, size) for size in sizes}
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    check_out(out)
    player = read_engine(engine, workers, address)
    console = Console()
    specs = read_agents(agents)
    playable = [core.plan(spec, base, out) for spec in specs]
    left_out |= _check_playable(playable)
    for name, reason in left_out.items():
        console.print(f"[yellow]left out[/yellow] {name}: {reason}", highlight=False)
    unwanted = {task.name: "not among the tasks compared" for task in whole.tasks}
    skipped = unwanted | left_out
    plans = {size: _at_budget(playable, sized[size], skipped, out / format_size(size)) for size in sizes}
    with resumable(console):
        folders = _play(plans, player)
    curves = load_object("memgym.leaderboard.budget_curves:budget_curves")(folders)
    command = {
        "--agents": ",".join(agents),
        "--suite": suite,
        "--tasks": tasks,
        "--budgets": ",".join(map(format_size, sizes)),
        "--episodes": episodes,
        "--seeds": seeds,
        "--out": out.name,
    }
    given = [str(part) for name, value in command.items() if value is not None for part in (name, value)]
    made_by = {"command": shlex.join(["memgym", "compare", *given]), "suite": base.name, "left_out": left_out}
    written = load_object("memgym.leaderboard.budget_report:write_report")(curves, out, made_by)
    if not console.is_terminal:
        console.width = WIDE
    for rows in ("point_rows", "area_rows"):
        console.print(_table(load_object(f"memgym.leaderboard.budget_report:{rows}")(curves)))
    console.print(f"Figure: {written[-1].resolve().as_uri()}", soft_wrap=True, highlight=False)
    console.print(f"Results in {out}. Check them with: memgym verify {out}", soft_wrap=True, highlight=False)


def _check_playable(plans: Sequence[core.Plan]) -> dict[str, str]:
    """Why tasks cannot be played on this machine; agents are compared only on what all of them play."""
    missing = {task.name: reason for task in plans[0].suite.tasks if (reason := task.missing())}
    for one in plans:
        for row in one.skipped:
            if row["task"] not in missing:
                raise MemgymError(
                    f"agent {one.card['name']!r} cannot play {row['task']}: {row['reason']}. "
                    "Leave the agent out, or choose other --tasks."
                )
    if not plans[0].tasks:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise MemgymError(f"none of the tasks can be played on this machine ({reasons}).")
    return missing


def _at_budget(
    plans: Sequence[core.Plan], suite: Suite, reasons: Mapping[str, str], out: Path
) -> list[core.Plan]:
    """The plans again, at one budget: which tasks an agent can play does not depend on it.

    Args:
        plans: at the budgets of the suite itself.
        suite: at this budget.
        reasons: for every task of the whole suite, why it would be left out.
        out: folder of the results.
    """
    found = []
    for one in plans:
        names = {task.name for task in one.tasks}
        tasks = tuple(task for task in suite.tasks if task.name in names)
        skipped = tuple({"task": name, "reason": why} for name, why in reasons.items() if name not in names)
        folder = out / one.card["name"]
        found.append(replace(one, suite=suite, tasks=tasks, skipped=skipped, folder=folder))
    return found


def _play(plans: dict[int, list[core.Plan]], player: Engine) -> dict[int, list[Path]]:
    sizes = {size: sum(len(one.shards) for one in of_size) for size, of_size in plans.items()}
    before, total = 0, sum(sizes.values())
    folders = {}
    with progress("comparing") as report:
        report(0, total, "starting")
        for size, of_size in plans.items():

            def on_shard(shard: Any, done: int, _: int, size: int = size, before: int = before) -> None:
                report(
                    before + done,
                    total,
                    f"{shard.card['name']} on {shard.task.name} with {format_size(size)}",
                )

            folders[size] = core.run(of_size, engine=player, on_shard=on_shard)
            before += sizes[size]
    return folders


def _table(rows: list[list[str]]) -> Table:
    table = Table(header_style="dim", box=None)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", no_wrap=i == 0)
    for row in rows[1:]:
        table.add_row(*row)
    return table
