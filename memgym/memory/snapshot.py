"""A memory bank as bytes and back: what is read is checked before a bank is made of it."""

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.bank import Bank
from memgym.memory.edges import EdgeTable
from memgym.memory.entry import ROOT, AppliedOp, Edge, MemoryEntry, Scope, Times, check_scope, make_entry
from memgym.memory.ops import MAX_ID, MemoryOp, OpKind

__all__ = [
    "applied_fields",
    "check_bank",
    "dump_bank",
    "entry_fields",
    "from_json",
    "load_bank",
    "read_applied",
    "read_edge",
    "read_entry",
    "to_json",
]

FORMAT = "memgym-engine/2"
FIRST_FORMAT = "memgym-engine/1"  # without edges, scopes, parents and steps in the log
ENTRY_ID = re.compile(r"m[1-9][0-9]*", re.ASCII)
STATUSES = ("active", "frozen", "archived", "stale")
FIRST_LOG = {"step": 0, "provenance": [], "scope": ["", "", ""], "dropped": []}


def dump_bank(bank: Bank) -> bytes:
    """Canonical JSON."""
    plain = {
        "format": FORMAT,
        "budget_bytes": bank.budget_bytes,
        "extended": bank.extended,
        "seq": bank.seq,
        "versions": [[entry_fields(entry) for entry in versions] for versions in bank.versions.values()],
        "edges": bank.edges.all(),
        "log": [applied_fields(done) for done in bank.log],
    }
    return to_json(plain).encode()


def load_bank(blob: bytes) -> Bank:
    """What `dump_bank` wrote, now or in the first format.

    Raises:
        InvalidOperation: not a snapshot, or one that no bank can have written.
    """
    try:
        plain = from_json(blob)
        if plain["format"] not in (FORMAT, FIRST_FORMAT):
            raise InvalidOperation("another format")
        if plain["format"] == FIRST_FORMAT:
            plain = _from_first(plain)
        bank = Bank(plain["budget_bytes"], plain["extended"])
        bank.seq = plain["seq"]
        bank.log = [read_applied(fields) for fields in plain["log"]]
        chains = [[read_entry(fields) for fields in versions] for versions in plain["versions"]]
        bank.edges = EdgeTable(read_edge(fields) for fields in plain["edges"])
        check_bank(bank, chains)
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise InvalidOperation(f"not a {FORMAT} snapshot: {error}.") from error
    return bank


# made once: json.dumps with arguments makes an encoder for every call
to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""Canonical JSON."""


def from_json(text: Any) -> Any:
    """A value from JSON.

    Raises:
        InvalidOperation: not JSON.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOperation(f"not JSON: {error}") from None


def entry_fields(entry: MemoryEntry) -> dict[str, Any]:
    """A version in JSON values; its size and kind follow from the rest."""
    return {
        "id": entry.id,
        "text": entry.text,
        "kind": entry.kind,
        "attrs": entry.attrs,
        "version": entry.version,
        "status": entry.status,
        "provenance": entry.provenance,
        "parents": entry.parents,
        "scope": entry.scope,
        "times": entry.times,
        "seq": entry.seq,
    }


def applied_fields(done: AppliedOp) -> dict[str, Any]:
    """A record of the log in JSON values."""
    return {
        "op": done.op.to_dict(),
        "ok": done.ok,
        "id": done.id,
        "reason": done.reason,
        "seq": done.seq,
        "nbytes": done.nbytes,
        "step": done.step,
        "provenance": done.provenance,
        "scope": done.scope,
        "dropped": done.dropped,
    }


def read_entry(fields: Mapping[str, Any]) -> MemoryEntry:
    """A version of an entry, checked.

    Raises:
        InvalidOperation: names the field that is wrong.
    """
    for name in ("id", "text", "kind", "status"):
        _expect(isinstance(fields[name], str), f"{name!r} of an entry is text")
    for name in ("version", "seq"):
        _expect(_is_count(fields[name]), f"{name!r} of an entry is a number")
    _expect(isinstance(fields["attrs"], dict), "'attrs' of an entry are an object")
    _expect(all(isinstance(id, str) for id in fields["provenance"]), "'provenance' has ids")
    _expect(all(_is_id(id) for id in fields["parents"]), "'parents' has ids of entries")
    _expect(all(type(step) is int for step in fields["times"]), "'times' has steps")
    _expect(_is_id(fields["id"]), "an entry's id is m1, m2, ...")
    _expect(fields["status"] in STATUSES, f"'status' of an entry is one of {', '.join(STATUSES)}")
    op = MemoryOp(
        OpKind.UPDATE, fields["id"], fields["text"], fields["attrs"]
    ).checked()  # what can be written
    entry = make_entry(
        op.id,
        op.text,
        dict(op.attrs),
        version=fields["version"],
        status=fields["status"],
        provenance=tuple(fields["provenance"]),
        parents=tuple(fields["parents"]),
        scope=_scope(fields["scope"]),
        times=Times(*fields["times"]),
        seq=fields["seq"],
    )
    _expect(entry.kind == fields["kind"], "'kind' of an entry is that of its attributes")
    return entry


def read_edge(fields: Any) -> Edge:
    """An edge, checked.

    Raises:
        InvalidOperation: says what is wrong.
    """
    edge = Edge(*fields)
    _expect(_is_id(edge.source) and _is_id(edge.target), "an edge goes from entry to entry")
    _expect(isinstance(edge.rel, str) and type(edge.weight) is float, "an edge has a type and a weight")
    _expect(_is_count(edge.seq) and _is_count(edge.ended), "an edge has numbers of operations")
    edge.rel.encode()
    return edge


def read_applied(fields: Mapping[str, Any]) -> AppliedOp:
    """A record of the log, checked.

    Raises:
        InvalidOperation: names the field that is wrong.
    """
    _expect(isinstance(fields["ok"], bool), "'ok' of an operation is true or false")
    _expect(all(isinstance(fields[name], str) for name in ("id", "reason")), "'id' and 'reason' are text")
    _expect(_is_count(fields["seq"]) and _is_count(fields["nbytes"]), "'seq' and 'nbytes' are numbers")
    _expect(type(fields["step"]) is int, "'step' of an operation is a number")
    _expect(all(isinstance(id, str) for id in fields["provenance"]), "'provenance' has ids")
    dropped = [(id, version) for id, version in fields["dropped"]]
    _expect(all(_is_id(id) and _is_count(version) for id, version in dropped), "'dropped' has versions")
    shape = {
        "op": MemoryOp.parse(fields["op"]),
        "provenance": tuple(fields["provenance"]),
        "scope": _scope(fields["scope"]),
        "dropped": tuple(dropped),
    }
    return AppliedOp(**{**fields, **shape})


def check_bank(bank: Bank, chains: list[list[MemoryEntry]]) -> None:
    """Put entries into a bank that has its log and edges, once they contradict each other nowhere.

    Raises:
        InvalidOperation: they do; says where.
    """
    _expect(_is_count(bank.seq), "'seq' is a number")
    _expect(isinstance(bank.extended, bool), "'extended' is true or false")
    _expect([done.seq for done in bank.log] == list(range(1, bank.seq + 1)), "the log has gaps")
    _expect(all(chains), "an entry without versions")
    ids = [versions[-1].id for versions in chains]
    _expect(len(set(ids)) == len(ids), "two entries have the same id")
    numbers = [versions[-1].number for versions in chains]
    _expect(numbers == sorted(numbers), "entries are not in order of creation")
    for versions in chains:
        newest = versions[-1]
        _expect(all(v.id == newest.id for v in versions), "an entry's versions have several ids")
        _expect(all(v.scope == newest.scope for v in versions), "an entry's versions have several scopes")
        _expect(all(a.version < b.version and a.seq < b.seq for a, b in pairwise(versions)), "no order")
        _expect(newest.seq <= bank.seq, "an entry is newer than the log")
        if not bank.extended:
            _expect(all(v.status == "active" for v in versions), "in a plain bank, entries are active")
    edges = list(bank.edges)
    _expect(all({edge.source, edge.target} <= set(ids) for edge in edges), "an edge without an entry")
    _expect(bank.extended or not edges, "edges in a plain bank")
    bank.versions = {versions[-1].id: versions for versions in chains}
    bank.derive()
    _expect(all(number < bank.next_id for number in numbers), "an entry is not given out yet")
    if bank.budget_bytes is not None:
        _expect(_is_count(bank.budget_bytes), "'budget_bytes' is a number")
        _expect(bank.nbytes <= bank.budget_bytes, f"{bank.nbytes} B in a budget of {bank.budget_bytes} B")


def _from_first(plain: dict[str, Any]) -> dict[str, Any]:
    """A snapshot of the first format as one of the second."""
    _expect(_is_count(plain["next_id"]) and _is_count(plain["seq"]), "'seq' and 'next_id' are numbers")
    _expect(1 <= plain["next_id"] <= plain["seq"] + 1, "more entries than operations")
    for versions in plain["versions"]:
        statuses = [entry["status"] for entry in versions]
        _expect(
            statuses == ["superseded"] * (len(versions) - 1) + ["active"],
            "the last version is the active one",
        )
        for entry in versions:
            entry |= {"status": "active", "parents": [], "scope": ["", "", ""]}
    log = [{**FIRST_LOG, **done} for done in plain["log"]]
    return {**plain, "extended": False, "edges": [], "log": log}


def _scope(value: Any) -> Scope:
    return check_scope(Scope(*value)) if any(value) else ROOT


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID and ENTRY_ID.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidOperation(rule)
