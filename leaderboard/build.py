"""Build the leaderboard: find result bundles, read and verify them, compare them, write the page."""

from collections.abc import Callable
from pathlib import Path

from memgym.core.result import find_bundles

from .aggregate import aggregate
from .entries import read_entry
from .page import write_page
from .replays import first_replays

__all__ = ["build_site"]


def build_site(
    results: Path, out: Path, verify: Callable[[Path], None] | None = None, kept: Path | None = None
) -> Path:
    """Write the page for all result bundles under a folder. The same results give the same bytes.

    Nothing is written unless every bundle is good; then each file is written beside and renamed.

    Args:
        results: folder; every folder in it with a `submission.json` is a bundle.
        out: folder for `index.html`, `results.csv`, `results.json` and the pages of agents and tasks.
        verify: replays one bundle and raises a `ResultError` where it is not true. With it agents are shown
            as ``"replayed"``, with an episode of each task to look at; without it as ``"claimed"``.
        kept: folder of what was read of bundles before, so that only new ones take time; None reads all.

    Returns:
        Path of `index.html`.

    Raises:
        ResultInvalid: no bundle, one that cannot be read or compared, or a link that leads outside `results`.
        ResultError: from `verify`.
    """
    entries, replays = [], {}
    for folder in find_bundles(results):
        entry = read_entry(folder, kept)
        if verify is not None:
            verify(folder)
            found = first_replays(folder, entry.header)
            replays |= {(entry.name, task): replay for task, replay in found.items()}
        entries.append(entry)
    board = aggregate(entries)
    status = "claimed" if verify is None else "replayed"
    return write_page(board, out, {agent.name: status for agent in board.agents}, replays)
