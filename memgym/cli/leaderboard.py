"""``memgym leaderboard``: from results to a page."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from memgym.cli.progress import progress
from memgym.core.result import find_bundles
from memgym.core.verify import verify as replay
from memgym.registry import load_object

__all__ = ["app"]

app = typer.Typer(help="Build the page that compares results.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Build the page that compares results."""


@app.command()
def build(
    results: Annotated[Path, typer.Argument(help="Folder of result bundles.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page.")] = Path("site"),
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Skip the replay; the page then says 'claimed'.")
    ] = False,
) -> None:
    """Verify all results, aggregate them and write a page that works without a network.

    [dim]Examples:[/dim]

        memgym leaderboard build results --out site

        memgym leaderboard build results --out site --no-verify
    """
    build_site = load_object("memgym.leaderboard.build:build_site")
    total = len(find_bundles(results))
    done = 0
    with progress("verifying results") as report:

        def check(folder: Path) -> None:
            nonlocal done
            replay(folder)
            done += 1
            report(done, total, folder.name)

        index = build_site(results, out, None if no_verify else check)
    Console().print(f"Page: {index.resolve().as_uri()}", soft_wrap=True, highlight=False)
