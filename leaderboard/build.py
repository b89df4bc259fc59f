"""Build the leaderboard: find result bundles, read and verify them, compare them, write the page."""

from collections.abc import Callable
from pathlib import Path

from memgym.core.result import find_bundles, is_abridged
from memgym.errors import DependencyMissing

from .aggregate import aggregate
from .checked import highest, read_checked
from .entries import read_entry
from .page import write_page
from .replays import first_replays

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    raise DependencyMissing.for_extra("threadpoolctl", "leaderboard", "Building the leaderboard") from None

__all__ = ["build_site"]


def build_site(
    results: Path,
    out: Path,
    verify: Callable[[Path], None] | None = None,
    kept: Path | None = None,
    was_rerun: Callable[[Path], bool] = lambda folder: False,
) -> Path:
    """Write the page for all result bundles under a folder. The same results give the same bytes.

    Nothing is written unless every bundle is good; then each file is written beside and renamed. Agents are shown
    with how far their results were checked, here or before by whoever keeps the folder
    (`memgym.leaderboard.checked`).

    Args:
        results: folder; every folder in it with a `submission.json` is a bundle.
        out: folder for `index.html`, `results.csv`, `results.json` and the pages of agents and tasks.
        verify: replays one bundle and raises a `ResultError` where it is not true. With it agents are shown
            as ``"replayed"``, with an episode of each task to look at; without it, and where the actions of a
            bundle were left out, as ``"claimed"``.
        kept: folder of what was read of bundles before, so that only new ones take time; None reads all.
        was_rerun: says of a bundle that was replayed whether its agent was also played again, and did the same; it is
            shown as ``"rerun"``.

    Returns:
        Path of `index.html`.

    Raises:
        ResultInvalid: no bundle, one that cannot be read or compared, or a link that leads outside `results`.
        ResultError: from `verify`.
    """
    entries, replays, status = [], {}, {}
    noted = read_checked(results)
    for folder in find_bundles(results):
        entry = read_entry(folder, kept)
        found = "claimed"
        if verify is not None and not is_abridged(folder):
            verify(folder)
            found = "rerun" if was_rerun(folder) else "replayed"
            first = first_replays(folder, entry.header)
            replays |= {(entry.name, task): replay for task, replay in first.items()}
        status[entry.name] = highest(found, noted.get(entry.header["digest"], found))
        entries.append(entry)
    # products so small that threads spend their time waiting for each other
    with threadpool_limits(1, user_api="blas"):
        board = aggregate(entries)
    return write_page(board, out, status, replays)
