"""What a memory engine holds: entries with their versions, edges and the log, and the changes that they allow."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from memgym.memory.edges import EdgeTable
from memgym.memory.entry import ROOT, AppliedOp, Edge, MemoryEntry, Scope, make_entry
from memgym.memory.ops import MemoryOp, OpKind

__all__ = ["Bank", "Change", "emptied"]

DELETED = "deleted since"  # said of an operation that was carried out
MAKING = (OpKind.ADD, OpKind.MERGE)
# attributes that say what an operation did to which entries and carry no text
PLAIN_ATTRS: dict[OpKind, tuple[str, ...]] = {
    OpKind.ADD: ("derived_from",),
    OpKind.UPDATE: ("derived_from",),
    OpKind.MERGE: ("ids", "derived_from"),
    OpKind.LINK: ("to",),
    OpKind.UNLINK: ("to",),
    OpKind.ROLLBACK: ("version",),
}
Change = tuple[str, Any]
"""``("put", entry)``, ``("drop", (id, version))``, ``("remove", id)``, ``("edge", edge)``, ``("unedge", edge)``,
``("log", place)``: what somebody who keeps a copy has to write down."""


class Bank:
    """State, counters and primitive changes; the operations are in `memgym.memory.operations`.

    What is not found by searches (superseded versions and archived entries, *spare* here) has no right to room in
    an extended bank: it stays while the budget has room, and the first to go is what has been spare for longest.
    In a plain bank no operation can bring anything back, so superseded versions are outside the budget.

    Attributes:
        versions: by entry in order of creation, oldest version first; each with the status that it was written with.
        sizes: bytes of the entries that are found, in order of creation.
        log_of: places in the log that may hold something of an entry.
        children: entries that were derived from an entry.
        changes: since they were last taken.
    """

    def __init__(self, budget_bytes: int | None, extended: bool) -> None:
        self.budget_bytes = budget_bytes
        self.extended = extended
        self.versions: dict[str, list[MemoryEntry]] = {}
        self.edges = EdgeTable()
        self.log: list[AppliedOp] = []
        self.sizes: dict[str, int] = {}
        self.seq = 0
        self.changes: list[Change] = []
        self.derive()

    # ------------------------------------------------------------------ bytes

    @property
    def nbytes(self) -> int:
        """Bytes that count against the budget."""
        return self.active_bytes + self.edges.nbytes + self.spare_bytes

    @property
    def bytes_left(self) -> int | None:
        """Bytes that an operation may still take, None for no limit; what is spare makes way."""
        if self.budget_bytes is None:
            return None
        return self.budget_bytes - self.active_bytes - self.edges.nbytes

    def make_room(self) -> tuple[tuple[str, int], ...]:
        """Drop what is spare, longest first, until the budget holds; say what went."""
        dropped: list[tuple[str, int]] = []
        while self.budget_bytes is not None and self.nbytes > self.budget_bytes:
            dropped.append(self.drop(*next(iter(self.spare))))
        return tuple(dropped)

    # ------------------------------------------------------------------ who sees what

    def seen(self, id: str, scope: Scope) -> list[MemoryEntry] | None:
        """The versions of an entry, None where it is not there for `scope`."""
        versions = self.versions.get(id)
        if versions is None or (scope != ROOT and not scope.covers(versions[0].scope)):
            return None
        return versions

    def newest(self, scope: Scope = ROOT) -> Iterator[MemoryEntry]:
        """The newest version of every entry in `scope`, in order of creation."""
        if scope == ROOT:
            return (versions[-1] for versions in self.versions.values())
        leaves = [ids for leaf, ids in self.members.items() if scope.covers(leaf)]
        ids = leaves[0] if len(leaves) == 1 else sorted((id for leaf in leaves for id in leaf), key=_number)
        return (self.versions[id][-1] for id in ids)

    # ------------------------------------------------------------------ changes

    def put(self, entry: MemoryEntry) -> None:
        """Add an entry, or the next version of one."""
        id = entry.id
        versions = self.versions.get(id)
        if versions is None:
            self.versions[id] = [entry]
            if entry.scope != ROOT:
                self.members.setdefault(entry.scope, {})[id] = None
        else:
            old = versions[-1]
            versions.append(entry)
            if self.extended:
                self._retire((id, old.version), 0 if _same(old, entry) else old.nbytes)
        was = self.sizes.get(id)
        if entry.is_found:
            self.sizes[id] = entry.nbytes
            self.active_bytes += entry.nbytes - (was or 0)
            if was is None and versions is not None:  # comes back to its old place
                self._sort_sizes()
        else:
            if was is not None:
                self.active_bytes -= self.sizes.pop(id)
            self._retire((id, entry.version), entry.nbytes)
        self.changes.append(("put", entry))

    def drop(self, id: str, version: int) -> tuple[str, int]:
        """Let go of an old version, or of an entry where it is the last one or `version` is 0.

        Of an entry that nobody can name any more, the log does not keep the text either.
        """
        versions = self.versions[id]
        if version and len(versions) > 1:
            assert versions[0].version == version, "the oldest version goes first"
            del versions[0]
            self._unretire((id, version))
            self.changes.append(("drop", (id, version)))
            return id, version
        self._take_out(id)
        for place in self.log_of.get(id, ()):
            if self.log[place].id == id and self.log[place].op.text:
                self.scrub(place)
        return id, 0

    def remove(self, id: str) -> None:
        """Remove an entry, its edges and whatever the log says of it."""
        if id in self.versions:
            self._take_out(id)
        for place in self.log_of.pop(id, ()):
            self.scrub(place, gone=id)

    def blank(self, id: str, step: int) -> None:
        """Empty an entry in all its versions, with its edges and its log, and flag it as stale."""
        for place in self.log_of.get(id, ()):
            self.scrub(place)
        if id not in self.versions:
            return
        self._unlink_all(id)
        versions = self.versions[id]
        old = versions[-1]
        times = old.times._replace(updated=step)
        stale = replace(old, version=old.version + 1, times=times, seq=self.seq)
        self.versions[id] = [emptied(version) for version in [*versions, stale]]
        self.changes += [("put", version) for version in self.versions[id]]

    def link(self, edge: Edge) -> None:
        """Draw an edge in place of the one of the same type between the same entries, if any."""
        old = self.edges.get(edge.source, edge.rel, edge.target)
        if old is not None:
            self.unlink(old)
        self.edges.put(edge)
        self.changes.append(("edge", edge))

    def unlink(self, edge: Edge) -> None:
        """Remove an edge."""
        ended = self.edges.end(edge, self.seq)
        self.changes += [("unedge", edge), ("edge", ended)]

    def record(self, done: AppliedOp) -> None:
        """Append to the log, and remember whose deletion has to clear this record."""
        place = len(self.log)
        for id in self.about(done):
            self.log_of.setdefault(id, []).append(place)
        self.log.append(done)
        self.changes.append(("log", place))

    def scrub(self, place: int, gone: str = "") -> None:
        """Take text and attributes out of a record of the log; mark it where it made an entry that is gone."""
        done = self.log[place]
        attrs: dict[str, Any] = {}
        if self.extended:
            names = PLAIN_ATTRS.get(done.op.kind, ())
            attrs = {name: done.op.attrs[name] for name in names if name in done.op.attrs}
        reason = DELETED if gone == done.id and done.op.kind in MAKING else done.reason
        op = MemoryOp(done.op.kind, done.op.id, attrs=attrs)
        self.log[place] = replace(done, op=op, provenance=(), reason=reason)
        self.changes.append(("log", place))

    def take_changes(self) -> list[Change]:
        """What changed since the last call."""
        changes, self.changes = self.changes, []
        return changes

    # ------------------------------------------------------------------ undo and load

    def rollback(self, seq: int) -> None:
        """Undo every operation after number `seq`; what was deleted since then stays deleted."""
        kept = {id: [v for v in versions if v.seq <= seq] for id, versions in self.versions.items()}
        self.versions = {id: versions for id, versions in kept.items() if versions}
        for versions in self.versions.values():
            versions[:] = [version if version.text else emptied(version) for version in versions]
        back = [edge if edge.ended <= seq else edge._replace(ended=0) for edge in self.edges.all()]
        self.edges = EdgeTable(edge for edge in back if edge.seq <= seq)
        del self.log[seq:]
        self.seq = seq
        self.derive()

    def derive(self) -> None:
        """Work out again what follows from versions, edges and log."""
        made = [done for done in self.log if done.ok and done.op.kind in MAKING]
        self.next_id = 1 + len(made)
        self.last_drop = max((done.seq for done in self.log if done.dropped), default=0)
        self.undo_from = max((done.seq for done in self.log if self.is_final(done)), default=0)
        self.members: dict[Scope, dict[str, None]] = {}
        for id, versions in self.versions.items():
            if versions[0].scope != ROOT:
                self.members.setdefault(versions[0].scope, {})[id] = None
        self.made: dict[Scope, str] = {}
        self.children: dict[str, dict[str, None]] = {}
        self.log_of: dict[str, list[int]] = {}
        for place, done in enumerate(self.log):
            if self.extended and done.op.kind in MAKING:
                self.made[done.scope] = done.id
            self.note_parents(done)
            for id in self.about(done):
                self.log_of.setdefault(id, []).append(place)
        for done in self.log:  # what is deleted has nothing left to clear
            if done.ok and (done.op.kind is OpKind.DELETE or done.reason):
                self.log_of.pop(done.id, None)
        if not self.extended:
            self.log_of = {id: places for id, places in self.log_of.items() if id in self.versions}
        self.recount()

    def recount(self) -> None:
        """Add up the sizes again, and line up what is spare by how long it has been."""
        self.sizes.clear()  # in place: others hold a view
        self.sizes.update((id, v[-1].nbytes) for id, v in self.versions.items() if v[-1].is_found)
        self.active_bytes = sum(self.sizes.values())
        self.spare: dict[tuple[str, int], int] = {}
        self.spare_bytes = 0
        if not self.extended:
            return
        since: list[tuple[int, int, int, str, int]] = []
        for id, versions in self.versions.items():
            for i, entry in enumerate(versions):
                last = i + 1 == len(versions)
                if last and entry.is_found:
                    continue
                cost = 0 if not last and _same(entry, versions[i + 1]) else entry.nbytes
                begin = versions[i + 1].seq if entry.is_found else entry.seq
                since.append((begin, entry.number, entry.version, id, cost))
        for _, _, version, id, cost in sorted(since):
            self._retire((id, version), cost)

    def is_final(self, done: AppliedOp) -> bool:
        """Whether an operation cannot be undone: something went for good, and maybe other entries changed with it."""
        return self.extended and done.ok and (bool(done.dropped) or done.op.kind is OpKind.DELETE)

    def note_parents(self, done: AppliedOp) -> None:
        """Remember what the entry of this operation was derived from."""
        if self.extended and done.ok and "to" not in PLAIN_ATTRS.get(done.op.kind, ("to",)):
            for parent in _named(done.op):
                self.children.setdefault(parent, {})[done.id] = None

    def about(self, done: AppliedOp) -> list[str]:
        """Entries whose deletion has to clear this record of the log."""
        if not done.ok or not done.id or done.op.kind is OpKind.DELETE:
            return []
        return list(dict.fromkeys((done.id, *_named(done.op)))) if self.extended else [done.id]

    # ------------------------------------------------------------------ inside

    def _take_out(self, id: str) -> None:
        self._unlink_all(id)
        versions = self.versions.pop(id)
        if id in self.sizes:
            self.active_bytes -= self.sizes.pop(id)
        if versions[0].scope != ROOT:
            members = self.members[versions[0].scope]
            del members[id]
            if not members:
                del self.members[versions[0].scope]
        if self.extended:
            for entry in versions:
                self._unretire((id, entry.version))
        self.changes.append(("remove", id))

    def _unlink_all(self, id: str) -> None:
        self.changes += [("unedge", edge) for edge in self.edges.forget(id)]

    def _retire(self, key: tuple[str, int], cost: int) -> None:
        self.spare_bytes += cost - self.spare.get(key, 0)
        self.spare[key] = cost  # keeps its place where it had one

    def _unretire(self, key: tuple[str, int]) -> None:
        self.spare_bytes -= self.spare.pop(key, 0)

    def _sort_sizes(self) -> None:
        """Back into order of creation, in place, since others hold a view."""
        ordered = sorted(self.sizes.items(), key=lambda pair: _number(pair[0]))
        self.sizes.clear()
        self.sizes.update(ordered)


def emptied(entry: MemoryEntry) -> MemoryEntry:
    """The same version without its text, attributes and provenance: stale."""
    return make_entry(
        entry.id,
        "",
        {},
        version=entry.version,
        status="stale",
        parents=entry.parents,
        scope=entry.scope,
        times=entry.times,
        seq=entry.seq,
    )


def _named(op: MemoryOp) -> list[str]:
    """Entries that an operation of an extended bank names beside its own."""
    ids: list[str] = []
    for name in PLAIN_ATTRS.get(op.kind, ()):
        value = op.attrs.get(name)
        ids += value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return ids


def _same(old: MemoryEntry, new: MemoryEntry) -> bool:
    """Whether both versions say the same, so that one copy does for both."""
    return old.text == new.text and old.attrs == new.attrs


def _number(id: str) -> int:
    return int(id[1:])
