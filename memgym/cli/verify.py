"""``memgym verify``: replay a result and compare every number."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from memgym.cli.engine import AddressOption, EngineOption, WorkersOption, read_engine
from memgym.cli.progress import progress
from memgym.cli.rerun import play_again
from memgym.core import verify as core
from memgym.core.result import find_bundles
from memgym.core.verified import note_rerun, note_verified
from memgym.datasets.base import cache_dir
from memgym.errors import MemgymError, ResultError

__all__ = ["verify"]


def verify(
    folder: Annotated[Path, typer.Argument(help="A result bundle, or a folder of bundles.")],
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Also play the agents themselves again: memgym's own, by name.")
    ] = False,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
) -> None:
    """Replay every action of a result and compare every number; exit with 1 unless all of it is verified.

    A replay shows that the numbers follow from the actions, a rerun that the agent chooses these actions. Pages that
    this machine builds later do not replay again what was verified, and show what was rerun.

    [dim]Examples:[/dim]

        memgym verify results/rules

        memgym verify results

        memgym verify results --rerun
    """
    player = read_engine(engine, workers, address)
    bundles, kept = find_bundles(folder), cache_dir() / "leaderboard"
    console = Console()
    failed = 0
    for path in bundles:
        try:
            with progress(f"verifying {path.name}") as report:
                bundle = core.verify(path, lambda done, total, report=report: report(done, total, ""), player)
            note_verified(path, kept)
            if rerun:
                with progress(f"playing {path.name} again") as report:
                    play_again(
                        bundle, player, lambda shard, done, total, report=report: report(done, total, "")
                    )
                note_rerun(path, kept)
        except ResultError as error:
            failed += 1
            console.print(f"[red]refused[/red]   {escape(str(path))}: {escape(str(error))}", soft_wrap=True)
        except MemgymError as error:  # this machine lacks something; the result may be true
            failed += 1
            console.print(
                f"[yellow]unchecked[/yellow] {escape(str(path))} cannot be checked here: {escape(str(error))}",
                soft_wrap=True,
            )
        else:
            digest = bundle.header["digest"]
            console.print(
                f"[green]verified[/green]  {escape(str(path))}: {len(bundle.episodes)} episodes replayed"
                f"{' and played again' if rerun else ''}, digest {digest[:12]}",
                highlight=False,
                soft_wrap=True,
            )
    if failed:
        raise typer.Exit(1)
