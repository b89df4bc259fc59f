"""``memgym evaluate``: run the protocol."""

from pathlib import Path
from typing import Annotated

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
from memgym.core.result import read_bundle
from memgym.core.suites import get_suite

__all__ = ["evaluate"]


def evaluate(
    agents: AgentsOption,
    suite: SuiteOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, one inside it an agent.")],
    episodes: EpisodesOption = None,
    seeds: SeedsOption = None,
    budget: Annotated[
        int | None, typer.Option(help="Bytes of the memory bank in text tasks, instead of the suite's.")
    ] = None,
    beacon: Annotated[
        str,
        typer.Option(
            help="Public beacon of a registered round, 64 hexadecimal digits: seeds follow from it."
        ),
    ] = "",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
) -> None:
    """Play a suite with one or more agents and write a result bundle for each.

    The same command given again goes on where an interrupted run stopped. Results of other numbers of
    episodes, seeds or bytes than the suite's are marked as such and not ranked with the suite's own.

    [dim]Examples:[/dim]

        memgym evaluate --agent rules --suite quickstart --out results

        memgym evaluate --agents random,oracle,recency -s dialogue -o results --episodes 10

        memgym evaluate --agent my_package.agents:MyAgent --suite rewriting --out results

        memgym evaluate --agent runs/lstm.safetensors --suite rewriting --out results

        memgym evaluate --agent models/manager/manager.json --suite dialogue --out results

        memgym evaluate --agent rules --suite dialogue --out results --engine ray --address head:6379
    """
    numbers = {"--episodes": episodes, "--seeds": seeds, "--budget": budget}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise typer.BadParameter(f"{name} is at least 1, not {value}.")
    check_out(out)
    player = read_engine(engine, workers, address)
    chosen = get_suite(suite).resized(episodes, seeds, budget)
    if beacon:
        try:
            chosen = chosen.registered(beacon)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    console = Console()
    plans = [core.plan(spec, chosen, out) for spec in read_agents(agents)]
    for task in chosen.tasks:
        if reason := task.missing():
            console.print(f"[yellow]skipped[/yellow] {task.title}: {reason}", highlight=False)
    for finished in filter(core.is_finished, plans):
        name = finished.card["name"]
        console.print(f"{name}: finished before, not played again ({finished.folder})", highlight=False)
    total = sum(len(one.shards) for one in plans)
    with resumable(console), progress("evaluating") as report:
        report(0, total, "starting")
        folders = core.run(
            plans,
            engine=player,
            on_shard=lambda shard, done, total: report(
                done, total, f"{shard.card['name']} on {shard.task.name}"
            ),
        )
    console.print(_table(folders))
    console.print(f"Results in {out}. Check them with: memgym verify {out}", highlight=False)


def _table(folders: list[Path]) -> Table:
    table = Table(header_style="dim", box=None)
    for name in ("agent", "task", "score", "memory", "episodes", "digest"):
        table.add_column(name, justify="right" if name in ("score", "memory", "episodes") else "left")
    for folder in folders:
        header = read_bundle(folder).header
        for task, row in header["summary"].items():
            table.add_row(
                header["agent"]["name"],
                task,
                f"{row['score']:.3f}",
                f"{row['memory_bytes']:,.0f} B",
                str(row["episodes"]),
                header["digest"][:12],
            )
    return table
