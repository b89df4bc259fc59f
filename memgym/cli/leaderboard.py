"""``memgym leaderboard``: from results to a page."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from memgym.cli.engine import WorkersOption, read_engine
from memgym.cli.progress import progress
from memgym.cli.rerun import play_again
from memgym.core.result import find_bundles, is_abridged
from memgym.core.verified import verify_once, was_rerun
from memgym.datasets.base import cache_dir
from memgym.registry import load_object

__all__ = ["app"]

app = typer.Typer(
    help="Build the page that compares results, and check what is submitted.", no_args_is_help=True
)


@app.command()
def build(
    results: Annotated[Path, typer.Argument(help="Folder of result bundles.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page.")] = Path("site"),
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Skip the replay; the page then says 'claimed'.")
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """Verify all results, aggregate them and write a page that works without a network.

    What this machine has verified before, the same bytes with the same code, is not replayed again. Agents that it
    has played again (`memgym verify --rerun`) are shown so, and so are those that `checked.json` in the folder names.

    [dim]Examples:[/dim]

        memgym leaderboard build results --out site

        memgym leaderboard build results --out site --no-verify
    """
    build_site = load_object("memgym.leaderboard.build:build_site")
    bundles = find_bundles(results)
    total = sum(not is_abridged(path) for path in bundles)
    done = replayed = 0
    kept, engine = cache_dir() / "leaderboard", read_engine("local", workers, None)
    with progress("verifying results") as report:

        def check(folder: Path) -> None:
            nonlocal done, replayed
            replayed += verify_once(
                folder,
                kept,
                lambda episode, episodes: report(done, total, f"{folder.name}: {episode:,} of {episodes:,}"),
                engine,
            )
            done += 1
            report(done, total, folder.name)

        index = build_site(
            results, out, None if no_verify else check, kept, lambda folder: was_rerun(folder, kept)
        )
    if not no_verify:
        known = "" if replayed == total else f", {total - replayed} verified here before"
        left_out = f", {len(bundles) - total} kept without their actions" if total < len(bundles) else ""
        Console().print(f"{replayed} replayed{known}{left_out}.", highlight=False)
    Console().print(f"Page: {index.resolve().as_uri()}", soft_wrap=True, highlight=False)


@app.command()
def keep(
    results: Annotated[Path, typer.Argument(help="Folder of result bundles.")],
    to: Annotated[Path, typer.Argument(help="Folder for what is kept of them; results that it has stay.")],
    workers: WorkersOption = None,
) -> None:
    """Verify results and keep them without their actions, which are most of their bytes.

    What is kept makes the same page (`memgym leaderboard build`), but for the replays. `checked.json` in the
    folder notes how far each was checked: replayed, or rerun where `memgym verify --rerun` has done that here.

    [dim]Example:[/dim]

        memgym leaderboard keep results/dialogue leaderboard/reference/dialogue
    """
    kept, engine = cache_dir() / "leaderboard", read_engine("local", workers, None)
    total, done = len(find_bundles(results)), 0
    with progress("verifying results") as report:

        def rung_of(folder: Path) -> str:
            nonlocal done
            verify_once(folder, kept, engine=engine)
            done += 1
            report(done, total, folder.name)
            return "rerun" if was_rerun(folder, kept) else "replayed"

        found = load_object("memgym.leaderboard.checked:keep")(results, to, rung_of)
    counts = ", ".join(f"{number} {rung}" for rung, number in sorted(Counter(found.values()).items()))
    Console().print(f"Kept {len(found)} results in {to}: {counts}.", highlight=False, soft_wrap=True)


@app.command("check")
def check_(
    proposed: Annotated[Path, typer.Argument(help="Folder of submissions as a pull request would have it.")],
    accepted: Annotated[Path, typer.Argument(help="Folder of submissions as it is.")],
) -> None:
    """Check what a pull request adds to the submissions; exit with 1 where it is not taken.

    Nothing that is there may change. What is new is checked as by `memgym submit`, one by one.

    [dim]Example:[/dim]

        memgym leaderboard check pull-request/leaderboard/submissions leaderboard/submissions
    """
    console = Console(soft_wrap=True, highlight=False)
    found = 0
    for folder in load_object("memgym.leaderboard.submission:check_pull_request")(
        proposed, accepted, play_again
    ):
        found += 1
        console.print(f"[green]good[/green] {escape(str(folder.relative_to(proposed)))}")
    console.print(f"{found} new submissions, all good." if found else "No new submission.")
