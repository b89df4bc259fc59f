"""A memory bank as bytes and back: what is read is checked before a bank is made of it."""

import json
import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.entry import AppliedOp, MemoryEntry, Times
from memgym.memory.ops import MemoryOp

__all__ = ["BankState", "dump_state", "load_state"]

SNAPSHOT_FORMAT = "memgym-engine/1"
ENTRY_ID = re.compile(r"m[1-9][0-9]*", re.ASCII)


@dataclass
class BankState:
    """Everything that a bank consists of; the rest can be worked out from it."""

    budget_bytes: int | None
    seq: int
    next_id: int
    versions: list[list[MemoryEntry]]  # by entry, oldest first
    log: list[AppliedOp]


def dump_state(state: BankState) -> bytes:
    """Canonical JSON."""
    plain = {
        "format": SNAPSHOT_FORMAT,
        "budget_bytes": state.budget_bytes,
        "seq": state.seq,
        "next_id": state.next_id,
        "versions": [[_fields(entry) for entry in versions] for versions in state.versions],
        "log": [{**asdict(done), "op": done.op.to_dict()} for done in state.log],
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def load_state(blob: bytes) -> BankState:
    """What `dump_state` wrote.

    Raises:
        InvalidOperation: not a snapshot, or one that no bank can have written.
    """
    try:
        plain = json.loads(blob)
        if plain["format"] != SNAPSHOT_FORMAT:
            raise InvalidOperation("another format")
        state = BankState(
            budget_bytes=plain["budget_bytes"],
            seq=plain["seq"],
            next_id=plain["next_id"],
            versions=[[_entry(fields) for fields in versions] for versions in plain["versions"]],
            log=[_applied(fields) for fields in plain["log"]],
        )
        _check(state)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InvalidOperation(f"not a {SNAPSHOT_FORMAT} snapshot: {error}.") from error
    return state


def _fields(entry: MemoryEntry) -> dict[str, Any]:
    fields = asdict(entry)
    del fields["nbytes"]  # follows from the rest
    return fields


def _entry(fields: dict[str, Any]) -> MemoryEntry:
    for name in ("id", "text", "kind", "status"):
        _expect(isinstance(fields[name], str), f"{name!r} of an entry is text")
    for name in ("version", "seq"):
        _expect(_is_count(fields[name]), f"{name!r} of an entry is a number")
    _expect(isinstance(fields["attrs"], dict), "'attrs' of an entry are an object")
    _expect(all(isinstance(id, str) for id in fields["provenance"]), "'provenance' has ids")
    _expect(all(type(step) is int for step in fields["times"]), "'times' has steps")
    _expect(ENTRY_ID.fullmatch(fields["id"]) is not None, "an entry's id is m1, m2, ...")
    MemoryOp.update(fields["id"], fields["text"]).checked()  # what no operation can write
    return MemoryEntry(
        **{**fields, "provenance": tuple(fields["provenance"]), "times": Times(*fields["times"])}
    )


def _applied(fields: dict[str, Any]) -> AppliedOp:
    _expect(isinstance(fields["ok"], bool), "'ok' of an operation is true or false")
    _expect(all(isinstance(fields[name], str) for name in ("id", "reason")), "'id' and 'reason' are text")
    _expect(_is_count(fields["seq"]) and _is_count(fields["nbytes"]), "'seq' and 'nbytes' are numbers")
    return AppliedOp(**{**fields, "op": MemoryOp.parse(fields["op"])})


def _check(state: BankState) -> None:
    """Raise InvalidOperation where the parts contradict each other."""
    _expect(_is_count(state.seq) and _is_count(state.next_id), "'seq' and 'next_id' are numbers")
    _expect([done.seq for done in state.log] == list(range(1, state.seq + 1)), "the log has gaps")
    _expect(1 <= state.next_id <= state.seq + 1, "more entries than operations")
    _expect(all(state.versions), "an entry without versions")
    ids = [versions[-1].id for versions in state.versions]
    _expect(len(set(ids)) == len(ids), "two entries have the same id")
    for versions in state.versions:
        *older, newest = versions
        _expect(int(newest.id[1:]) < state.next_id, f"entry {newest.id} is not given out yet")
        _expect(all(entry.id == newest.id for entry in older), "an entry's versions have several ids")
        _expect(all(a.version < b.version and a.seq < b.seq for a, b in pairwise(versions)), "no order")
        _expect(newest.seq <= state.seq, "an entry is newer than the log")
        _expect(newest.status == "active", "the last version is the active one")
        _expect(all(entry.status == "superseded" for entry in older), "an older version is active")
    if state.budget_bytes is not None:
        _expect(_is_count(state.budget_bytes), "'budget_bytes' is a number")
        used = sum(versions[-1].nbytes for versions in state.versions)
        _expect(used <= state.budget_bytes, f"{used} B in a budget of {state.budget_bytes} B")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidOperation(rule)
