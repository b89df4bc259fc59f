"""The entries of a board: result bundles read once, and kept as totals for the next time.

A bundle of 40 000 episodes takes seconds to read, its totals a few milliseconds. They are kept in a folder of the
reader's own, under the sha256 of the bundle's `submission.json`, which names the checksum of every other file.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memgym.core.result import (
    HEADER_FILE,
    canonical_json,
    check_files,
    read_bundle,
    read_timings,
    write_atomically,
)
from memgym.errors import ResultInvalid

from .cards import read_card
from .per_task import CEILING, FLOOR
from .totals import Bundle, Totals, read_totals

__all__ = ["Entry", "entry_of", "read_entry"]

VERSION = "totals/2"  # of what is kept


@dataclass(frozen=True)
class Entry:
    """One agent's bundle, read and checked.

    Attributes:
        path: folder of the bundle.
        header: its `submission.json`.
        card: of the agent, checked.
        played: totals by task.
        seconds: by task, CPU seconds an episode on the machine that played it; as the bundle says.
    """

    path: Path
    header: Mapping[str, Any]
    card: Mapping[str, Any]
    played: Mapping[str, Totals]
    seconds: Mapping[str, float]

    @property
    def name(self) -> str:
        """Of the agent."""
        return self.card["name"]

    @property
    def is_ranked(self) -> bool:
        """False for privileged agents and for the two that define the scale."""
        return not self.card["privileged"] and self.name not in (FLOOR, CEILING)


def entry_of(bundle: Bundle, seconds: Mapping[str, float] | None = None) -> Entry:
    """The entry of a bundle that was read.

    Raises:
        ResultInvalid: a number of it is missing, not finite or out of range, or the card is not one.
    """
    card = read_card(bundle.path, bundle.header["agent"])
    played = read_totals(bundle)
    if not played:
        raise ResultInvalid(f"{bundle.path}: not one episode.")
    return Entry(bundle.path, bundle.header, card, played, seconds or {})


def read_entry(folder: Path, kept: Path | None = None) -> Entry:
    """The entry of a bundle in a folder, its actions left out or not.

    Args:
        folder: with `submission.json`.
        kept: folder of totals from earlier; what is read now is added to it. None keeps nothing.

    Raises:
        ResultInvalid: the bundle cannot be read.
    """
    if kept is None:
        return _read(folder)
    # every file is byte for byte the one that the totals were made from
    header = check_files(folder, abridged=True)
    name = hashlib.sha256(VERSION.encode() + (folder / HEADER_FILE).read_bytes()).hexdigest()
    path = kept / f"{name}.json"
    try:
        value = json.loads(path.read_bytes())
        played = {task: _totals(fields) for task, fields in value["played"].items()}
        return Entry(folder, header, read_card(folder, header["agent"]), played, value["seconds"])
    except (OSError, ValueError, TypeError, KeyError):  # not there, or damaged: it is made anew
        entry = _read(folder)
        played = {task: asdict(totals) for task, totals in entry.played.items()}
        write_atomically(path, canonical_json({"played": played, "seconds": dict(entry.seconds)}))
        return entry


def _read(folder: Path) -> Entry:
    bundle = read_bundle(folder, abridged=True)
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in read_timings(folder):
        seconds[row["task"]].append(row["cpu_s"])
    return entry_of(bundle, {task: sum(values) / len(values) for task, values in sorted(seconds.items())})


def _totals(fields: Mapping[str, Any]) -> Totals:
    nested = {name: tuple(map(tuple, fields[name])) for name in ("type_sums", "type_counts")}
    flat = {name: tuple(fields[name]) for name in ("sizes", "scores", "types")}
    return Totals(**{**fields, **nested, **flat})
