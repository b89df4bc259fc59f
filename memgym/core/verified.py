"""What this machine has verified before need not be replayed again; and whose agent it has played again.

A note is kept in a folder of the reader's own, never in a bundle, under a hash of `submission.json`, which names
the checksum of every other file, and of memgym's own code, which decides what a replay gives.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from memgym.core.engines import Engine
from memgym.core.result import HEADER_FILE, check_files, write_atomically
from memgym.core.verify import verify
from memgym.version import VERSION

__all__ = ["note_rerun", "note_verified", "verify_once", "was_rerun"]


def verify_once(
    folder: Path,
    kept: Path,
    on_episode: Callable[[int, int], None] = lambda done, total: None,
    engine: Engine | None = None,
) -> bool:
    """Verify a bundle, unless these very bytes were verified before with this very code.

    Args:
        folder: the bundle.
        kept: folder of this machine's own notes; made where it is missing.
        on_episode: see `memgym.core.verify.verify`.
        engine: likewise.

    Returns:
        Whether it was replayed now.

    Raises:
        ResultError: from `verify`; nothing is noted.
        MemgymError: likewise.
    """
    check_files(folder)  # every file is byte for byte the one that the header names
    if _note(folder, kept, "verified").is_file():
        return False
    verify(folder, on_episode, engine)
    note_verified(folder, kept)
    return True


def note_verified(folder: Path, kept: Path) -> None:
    """Note that a bundle was verified."""
    write_atomically(_note(folder, kept, "verified"), b"")


def note_rerun(folder: Path, kept: Path) -> None:
    """Note that the agent of a verified bundle was played again and did the same."""
    write_atomically(_note(folder, kept, "rerun"), b"")


def was_rerun(folder: Path, kept: Path) -> bool:
    """Whether that was noted, of these very bytes and with this very code."""
    return _note(folder, kept, "rerun").is_file()


def _note(folder: Path, kept: Path, what: str) -> Path:
    header = (folder / HEADER_FILE).read_bytes()
    name = hashlib.sha256(f"{VERSION}/{_code()}/".encode() + header).hexdigest()
    return kept / f"{name}.{what}"


@cache
def _code() -> str:
    """sha256 of memgym's own source files: a change may alter any observation or reward."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
