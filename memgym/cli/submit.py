"""``memgym submit``: check a result and put it among the submissions."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from memgym.cli.rerun import play_again
from memgym.core.protocol import tracks_of
from memgym.registry import load_object

__all__ = ["submit"]

SUBMISSIONS = Path("leaderboard/submissions")


def submit(
    result: Annotated[Path, typer.Argument(help="A result bundle that `memgym evaluate` wrote.")],
    to: Annotated[
        Path, typer.Option("--to", help="Folder of submissions in a checkout of memgym.")
    ] = SUBMISSIONS,
    check_only: Annotated[bool, typer.Option("--check", help="Only say whether it would be taken.")] = False,
) -> None:
    """Check a result as the leaderboard does, and copy it to its place among the submissions.

    Every action is replayed. Nothing is sent anywhere: what to do next is printed.

    [dim]Examples:[/dim]

        memgym submit results/my-agent

        memgym submit results/my-agent --check
    """
    console = Console(soft_wrap=True, highlight=False)
    if check_only:
        bundle = load_object("memgym.leaderboard.submission:check_submission")(result, to, play_again)
        card = bundle.header["agent"]
        most = max(row["bank_bytes"] + row["agent_bytes"] for row in bundle.episodes)
        console.print(
            f"[green]good[/green] {escape(card['name'])}: {len(bundle.episodes)} episodes replayed. "
            f"Setting {card['setting']}; tracks {', '.join(tracks_of(card['kind'], most))} (at most {most:,} bytes)."
        )
        return
    place = load_object("memgym.leaderboard.submission:submit")(result, to, play_again)
    console.print(f"[green]submitted[/green] {escape(str(place))}")
    console.print(f"Look at it: memgym leaderboard build {escape(str(place.parents[1]))} --out site")
    console.print("Then open a pull request that adds this folder and nothing else:")
    console.print(f"  git switch -c submit-{escape(place.parent.name)}")
    console.print(f"  git add {escape(str(place))} && git commit -m 'Submit {escape(place.parent.name)}'")
