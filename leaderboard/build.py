"""Build the leaderboard: find result bundles, read and verify them, compare them, write the page."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from memgym.core.result import read_bundle
from memgym.errors import ResultInvalid

from .aggregate import aggregate
from .page import write_page

__all__ = ["build_site", "find_bundles"]

HEADER_FILE = "submission.json"


def build_site(results: Path, out: Path, verify: Callable[[Path], None] | None = None) -> Path:
    """Write the page for all result bundles under a folder. The same results give the same bytes.

    Nothing is written unless every bundle is good; then each file is written beside and renamed.

    Args:
        results: folder; every folder in it with a `submission.json` is a bundle.
        out: folder for `index.html`, `results.csv` and `results.json`.
        verify: replays one bundle and raises a `ResultError` where it is not true. With it agents are shown
            as ``"replayed"``, without it as ``"claimed"``.

    Returns:
        Path of `index.html`.

    Raises:
        ResultInvalid: no bundle, one that cannot be read or compared, or a link that leads outside `results`.
        ResultError: from `verify`.
    """
    bundles = []
    for folder in find_bundles(results):
        bundle = read_bundle(folder)
        if verify is not None:
            verify(folder)
        bundles.append(bundle)
    if not bundles:
        raise ResultInvalid(f"no result bundle under {results}: a bundle is a folder with a {HEADER_FILE}.")
    board = aggregate(bundles)
    status = "claimed" if verify is None else "replayed"
    return write_page(board, out, {agent.name: status for agent in board.agents})


def find_bundles(results: Path) -> list[Path]:
    """Folders under `results` that hold a `submission.json`, in alphabetical order.

    Links are not followed, and one that leads outside `results` is an error.

    Raises:
        ResultInvalid: not a folder, or such a link.
    """
    if not results.is_dir():
        raise ResultInvalid(f"{results} is not a folder of result bundles.")
    root = results.resolve()
    found = []
    for path in _walk(results):
        if path.is_symlink():
            if not path.resolve().is_relative_to(root):
                raise ResultInvalid(f"{path} is a link that leads outside {results}.")
        elif path.name == HEADER_FILE and path.is_file():
            found.append(path.parent)
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        for name in (*folders, *names):
            yield Path(parent) / name
