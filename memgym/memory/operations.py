"""What each operation does to a bank. A refusal is raised before anything has changed."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.bank import PLAIN_ATTRS, Bank
from memgym.memory.entry import ROOT, Edge, MemoryEntry, Scope, Times, make_entry
from memgym.memory.ops import MADE, MemoryOp, OpKind
from memgym.memory.validity import check_validity

__all__ = ["OPERATIONS", "Caller", "Refused", "resolve_ids"]

MAX_MERGED = 256  # entries in one MERGE or derivation
MAX_REL = 64  # characters of an edge's type
MAX_WEIGHT = 1_000_000_000
EDGE = {"to": "", "rel": "related", "weight": 1.0}
ENTRY_ID = re.compile(r"m[1-9][0-9]*", re.ASCII)


class Refused(Exception):
    """Why an operation was not carried out."""


@dataclass(slots=True)
class Caller:
    """Who asks, and when.

    Attributes:
        trusted: replays what was once accepted: neither the budget nor missing (deleted) text refuses it.
    """

    provenance: tuple[str, ...] = ()
    step: int = 0
    scope: Scope = ROOT
    trusted: bool = False


def _noop(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    return ""


def _search(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    raise Refused("SEARCH does not change the bank")


def _add(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    attrs, parents = op.attrs, ()
    if bank.extended:
        attrs, parents = _written(bank, op, caller)
    return _create(bank, op, attrs, parents, caller, caller.scope).id


def _create(
    bank: Bank,
    op: MemoryOp,
    attrs: Any,
    parents: tuple[str, ...],
    caller: Caller,
    scope: Scope,
    more: int = 0,
) -> MemoryEntry:
    """A new entry of an ADD or MERGE; `more` are bytes that come with it."""
    if not op.text and not caller.trusted:
        raise Refused(f"{op.kind.name} needs text")
    entry = make_entry(
        f"m{bank.next_id}",
        op.text,
        attrs,
        provenance=caller.provenance,
        parents=parents,
        scope=scope,
        times=Times(caller.step, caller.step),
        seq=bank.seq,
    )
    _check_fits(bank, entry.nbytes + more, caller)
    bank.next_id += 1
    bank.put(entry)
    return entry


def _update(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    old = _find(bank, op.kind, op.id, caller)
    if not op.text and not caller.trusted:
        raise Refused("UPDATE needs text (DELETE removes an entry)")
    if old.status == "archived":
        raise Refused(f"{op.id} is archived: RESTORE it first")
    attrs, parents = {**old.attrs, **op.attrs}, old.parents
    if bank.extended:
        attrs, derived = _written(bank, replace(op, attrs=attrs), caller)
        parents = tuple(dict.fromkeys((*parents, *derived)))
    _succeed(bank, old, caller, op.text, attrs, status="active", parents=parents)
    return op.id


def _delete(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    if op.id in bank.versions or not _was_pushed_out(bank, op.id, caller.scope):
        _find(bank, op.kind, op.id, caller)
    gone = _with_archived_sources(bank, op.id) if bank.extended else [op.id]
    derived = _descendants(bank, gone)
    for id in gone:
        bank.remove(id)
    if derived:
        _forget_derived(bank, derived, caller)
    return op.id


def _merge(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    ids = _ids(op, "ids")
    if len(ids) < 2:
        raise Refused("MERGE needs at least two different ids")
    sources = sorted((_find(bank, op.kind, id, caller) for id in ids), key=lambda entry: entry.number)
    for entry in sources:
        if entry.status != "active" and not caller.trusted:
            raise Refused(f"MERGE: {entry.id} is {entry.status}")
    scope = sources[0].scope
    if any(entry.scope != scope for entry in sources):
        raise Refused("MERGE: entries of several scopes")
    attrs, parents = _written(bank, op, caller)
    edges: dict[tuple[str, str, str], Edge] = {}  # what the new entry takes over
    new_id = f"m{bank.next_id}"
    for old in (edge for entry in sources for edge in bank.edges.around(entry.id)):
        ends = [new_id if end in ids else end for end in (old.source, old.target)]
        edge = Edge(ends[0], old.rel, ends[1], old.weight, bank.seq)
        known = edges.get(edge[:3])
        if ends[0] != ends[1] and (known is None or known.weight < edge.weight):
            edges[edge[:3]] = edge
    freed = sum(entry.nbytes for entry in sources)
    more = sum(edge.nbytes for edge in edges.values()) - freed
    parents = tuple(dict.fromkeys((*ids, *parents)))
    entry = _create(bank, op, attrs, parents, caller, scope, more)
    for source in sources:
        _succeed(bank, source, caller, source.text, source.attrs, status="archived")
    for edge in edges.values():
        bank.link(edge)
    return entry.id


def _link(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    _find(bank, op.kind, op.id, caller)
    to, rel, weight = (op.attrs.get(name, usual) for name, usual in EDGE.items())
    _find(bank, op.kind, to, caller)
    if to == op.id:
        raise Refused(f"LINK: {to} to itself")
    if not isinstance(rel, str) or not 1 <= len(rel) <= MAX_REL:
        raise Refused(f"LINK: 'rel' is text of 1 to {MAX_REL} characters")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= MAX_WEIGHT:
        raise Refused(f"LINK: 'weight' is a number of at most {MAX_WEIGHT:,} in size")
    edge = Edge(op.id, rel, to, float(weight), bank.seq)
    old = bank.edges.get(*edge[:3])
    _check_fits(bank, edge.nbytes - (old.nbytes if old else 0), caller)
    bank.link(edge)
    return op.id


def _unlink(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    _find(bank, op.kind, op.id, caller)
    to, rel = op.attrs.get("to", ""), op.attrs.get("rel", "")
    _find(bank, op.kind, to, caller)
    edges = bank.edges.between(op.id, to, rel)
    if not edges and not caller.trusted:
        raise Refused(f"UNLINK: no such edge from {op.id} to {to}")
    for edge in edges:
        bank.unlink(edge)
    return op.id


def _archive(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    return _change_status(bank, op, caller, "archived", allowed=("active",))


def _restore(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    return _change_status(bank, op, caller, "active", allowed=("archived", "frozen"))


def _freeze(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    return _change_status(bank, op, caller, "frozen", allowed=("active",))


def _rollback(bank: Bank, op: MemoryOp, caller: Caller) -> str:
    old = _find(bank, op.kind, op.id, caller)
    if old.status != "active" and not caller.trusted:
        raise Refused(f"ROLLBACK: {op.id} is {old.status}")
    versions = {entry.version: entry for entry in bank.versions[op.id]}
    version = op.attrs.get("version")
    then = versions.get(version) if type(version) is int else None
    if then is None or then is old:
        kept = ", ".join(str(number) for number in versions if number != old.version)
        raise Refused(f"ROLLBACK: {op.id} has no such earlier version. Kept: {kept or 'none'}")
    if not then.text and not caller.trusted:
        raise Refused(f"ROLLBACK: version {version} of {op.id} rested on something deleted")
    caller = replace(caller, provenance=then.provenance)
    _succeed(bank, old, caller, then.text, then.attrs, status="active")
    return op.id


OPERATIONS: dict[OpKind, Callable[[Bank, MemoryOp, Caller], str]] = {
    OpKind.NOOP: _noop,
    OpKind.ADD: _add,
    OpKind.UPDATE: _update,
    OpKind.DELETE: _delete,
    OpKind.SEARCH: _search,
    OpKind.MERGE: _merge,
    OpKind.LINK: _link,
    OpKind.UNLINK: _unlink,
    OpKind.ARCHIVE: _archive,
    OpKind.RESTORE: _restore,
    OpKind.FREEZE: _freeze,
    OpKind.ROLLBACK: _rollback,
}
"""By kind: (bank, checked operation, caller) -> id of the entry made or changed. Each may raise `Refused`."""


def resolve_ids(op: MemoryOp, made: str) -> MemoryOp:
    """`op` with the id `made` wherever it says `MADE`.

    Raises:
        Refused: nothing was made.
    """
    attrs = dict(op.attrs)
    for name in PLAIN_ATTRS.get(op.kind, ()):
        value = attrs.get(name)
        if value == MADE:
            attrs[name] = made
        elif isinstance(value, list) and MADE in value:
            attrs[name] = [made if id == MADE else id for id in value]
    if op.id != MADE and attrs == op.attrs:
        return op
    if not made:
        raise Refused(f"{op.kind.name}: the last ADD or MERGE of this scope made no entry")
    return MemoryOp(op.kind, made if op.id == MADE else op.id, op.text, attrs)


# ---------------------------------------------------------------------- shared


def _find(bank: Bank, kind: OpKind, id: Any, caller: Caller) -> MemoryEntry:
    """The newest version of an entry; a frozen one is not to be changed."""
    versions = bank.seen(id, caller.scope) if isinstance(id, str) else None
    if versions is None:  # of what is no id, the log keeps nothing
        known = isinstance(id, str) and ENTRY_ID.fullmatch(id)
        raise Refused(f"{kind.name}: no entry {id!r}" if known else f"{kind.name}: ids are m1, m2, ...")
    if versions[-1].status == "frozen" and kind in (OpKind.UPDATE, OpKind.DELETE):
        raise Refused(f"{id} is frozen: RESTORE it first")
    return versions[-1]


def _succeed(
    bank: Bank,
    old: MemoryEntry,
    caller: Caller,
    text: str,
    attrs: Any,
    *,
    status: str,
    parents: tuple[str, ...] | None = None,
) -> None:
    """Put the next version of an entry."""
    same = text is old.text and attrs is old.attrs
    new = make_entry(
        old.id,
        text,
        attrs,
        version=old.version + 1,
        status=status,
        provenance=old.provenance if same else caller.provenance,
        parents=old.parents if parents is None else parents,
        scope=old.scope,
        times=Times(old.times.created, caller.step),
        seq=bank.seq,
    )
    before = old.nbytes if old.is_found else 0
    if new.is_found:
        _check_fits(bank, new.nbytes - before, caller)
    bank.put(new)


def _change_status(bank: Bank, op: MemoryOp, caller: Caller, status: str, allowed: tuple[str, ...]) -> str:
    old = _find(bank, op.kind, op.id, caller)
    if old.status not in allowed and not caller.trusted:
        hint = ": UPDATE gives it a new text" if old.status == "stale" else ""
        raise Refused(f"{op.kind.name}: {op.id} is {old.status}{hint}")
    _succeed(bank, old, caller, old.text, old.attrs, status=status)
    return op.id


def _check_fits(bank: Bank, more: int, caller: Caller) -> None:
    left = bank.bytes_left
    if left is not None and more > left and not caller.trusted:
        raise Refused(f"over budget: needs {more} B, {left} B left of {bank.budget_bytes} B")


def _written(bank: Bank, op: MemoryOp, caller: Caller) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a text-writing operation stores: attributes without those that are read, and the parents named."""
    attrs = dict(op.attrs)
    if op.kind is OpKind.MERGE:
        del attrs["ids"]
    parents = _ids(op, "derived_from") if attrs.pop("derived_from", None) is not None else ()
    for id in parents:
        _find(bank, OpKind.LINK, id, caller)
    check_validity(attrs)
    return attrs, parents


def _ids(op: MemoryOp, name: str) -> tuple[str, ...]:
    ids = op.attrs.get(name)
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids) or len(ids) > MAX_MERGED:
        raise InvalidOperation(f"{op.kind.name}: {name!r} is a list of at most {MAX_MERGED} ids.")
    return tuple(dict.fromkeys(ids))


def _was_pushed_out(bank: Bank, id: str, scope: Scope) -> bool:
    """Whether an entry of `scope` had to make room; its text may still be in others and in the log."""
    while id in bank.log_of:
        made = bank.log[bank.log_of[id][0]]
        if made.op.kind is OpKind.ADD:
            return scope.covers(made.scope)
        id = made.op.attrs["ids"][0]  # a MERGE stays in the scope of its sources
    return False


def _archived_for(bank: Bank, id: str) -> list[MemoryEntry]:
    """Entries that were archived by the MERGE that made entry `id`, and still are."""
    if id not in bank.log_of:
        return []
    made = bank.log[bank.log_of[id][0]]
    newest = [bank.versions[source][-1] for source in made.op.attrs.get("ids", ()) if source in bank.versions]
    return [entry for entry in newest if entry.status == "archived" and entry.seq == made.seq]


def _with_archived_sources(bank: Bank, id: str) -> list[str]:
    """An entry and what it was merged from, as far as that has only been kept as its past, or had to make room."""
    gone = [id]
    for each in gone:
        if each in bank.log_of:
            sources = bank.log[bank.log_of[each][0]].op.attrs.get("ids", ())
            pushed_out = [
                source for source in sources if source not in bank.versions and source in bank.log_of
            ]
            past = [entry.id for entry in _archived_for(bank, each)] + pushed_out
            gone += [source for source in past if source not in gone]
    return gone


def _descendants(bank: Bank, ids: list[str]) -> list[str]:
    """Everything derived from entries, directly or not, in order of creation."""
    found: dict[str, None] = {}
    waiting = list(ids)
    while waiting:
        for child in bank.children.get(waiting.pop(), ()):
            if child not in found and child not in ids:
                found[child] = None
                waiting.append(child)
    return sorted(found, key=lambda child: int(child[1:]))


def _forget_derived(bank: Bank, derived: list[str], caller: Caller) -> None:
    """Empty what was made of a deleted entry, and bring back what was archived for it."""
    back: dict[str, MemoryEntry] = {}
    for id in derived:
        back |= {entry.id: entry for entry in _archived_for(bank, id)}
        bank.blank(id, caller.step)
    for id in sorted(set(back) - set(derived), key=lambda id: int(id[1:])):
        old = back[id]
        _succeed(bank, old, replace(caller, trusted=True), old.text, old.attrs, status="active")
    bank.recount()
