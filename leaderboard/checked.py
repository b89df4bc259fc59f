"""Results kept for a board: without their actions, and with how far they were checked while those were there.

Actions are most of a bundle, hold the texts of real conversations, and come out again where the agent is played
again. So a collection of results may be kept without them; `checked.json` beside them then says what whoever keeps
them had found. It is that keeper's word, for the very content that its digests name.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from memgym.core.lines import parse_json
from memgym.core.protocol import RUNGS
from memgym.core.result import (
    EPISODES_FILE,
    HEADER_FILE,
    NAME,
    TIMINGS_FILE,
    check_files,
    find_bundles,
    write_atomically,
)
from memgym.errors import ResultInvalid

__all__ = ["CHECKED_FILE", "highest", "keep", "read_checked"]

CHECKED_FILE = "checked.json"
MAX_BYTES = 1 << 20
ORDER = tuple(RUNGS)


def highest(*rungs: str) -> str:
    """The one that says most."""
    return max(rungs, key=ORDER.index)


def read_checked(results: Path) -> dict[str, str]:
    """How far results were checked, a key of `RUNGS` by digest; empty where nobody has noted it.

    Raises:
        ResultInvalid: the file is not of this form.
    """
    path = results / CHECKED_FILE
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        value = parse_json(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise ResultInvalid(f"{path} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise ResultInvalid(f"{path} is no object of digests.")
    for digest, rung in value.items():
        if rung not in ORDER:
            raise ResultInvalid(
                f"{path}: {digest[:12]!r} is one of {', '.join(ORDER)}, not {str(rung)[:40]!r}."
            )
    return value


def keep(results: Path, to: Path, rung_of: Callable[[Path], str]) -> dict[str, str]:
    """Keep all bundles of a folder without their actions, by agent's name, and note how far they were checked.

    Args:
        results: folder of bundles.
        to: folder for what is kept. A result of the same agent is replaced, others stay.
        rung_of: checks one bundle and says how far, a key of `RUNGS`; raises where it is not true.

    Returns:
        By agent, what `rung_of` said.

    Raises:
        ResultInvalid: an agent's name that is none, or is there twice.
        ResultError: from `rung_of`; what was kept before that stays kept, and is noted by the next call.
    """
    found, noted = {}, {}
    for folder in find_bundles(results):
        rung = rung_of(folder)
        header = check_files(folder)
        name = str(header["agent"].get("name"))
        if not re.match(NAME, name) or name in found:
            raise ResultInvalid(
                f"{folder}: {name[:80]!r} is no agent's name, or that of another result here."
            )
        target = to / name
        shutil.rmtree(target, ignore_errors=True)
        for file in (EPISODES_FILE, TIMINGS_FILE, HEADER_FILE):
            write_atomically(target / file, (folder / file).read_bytes())
        found[name] = noted[header["digest"]] = rung
    there = {check_files(path, abridged=True)["digest"] for path in find_bundles(to)}
    known = {digest: rung for digest, rung in (read_checked(to) | noted).items() if digest in there}
    write_atomically(to / CHECKED_FILE, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n")
    return found
