"""The memory bank: `apply` is the only way to change it, and its operations alone rebuild it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.entry import AppliedOp, Hit, MemoryEntry, Times
from memgym.memory.lexical import LexicalIndex
from memgym.memory.ops import MemoryOp, OpKind
from memgym.memory.snapshot import BankState, dump_state, load_state

__all__ = ["MemoryEngine"]


class MemoryEngine:
    """A versioned, searchable bank of entries under a byte budget, in memory.

    Nothing in it depends on wall-clock time or on other random state: ids count up, times are the steps that
    the caller gives. UPDATE keeps the older versions (`history`, `as_of`). DELETE is a promise to forget: it
    removes the text from entries, versions, index, log and snapshots, and `rollback` does not bring it back.
    Of a refused operation the log keeps neither text nor attributes, since no DELETE could name them. Any thread
    may search; operations come from one at a time.

    Args:
        budget_bytes: most bytes that active entries may take together (id + text + attributes in UTF-8); None
            for no limit. Versions and log are kept for audit and are outside the budget.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        if budget_bytes is not None and budget_bytes < 0:
            raise ValueError(f"budget_bytes is at least 0, not {budget_bytes}.")
        self.budget_bytes = budget_bytes
        self._versions: dict[str, list[MemoryEntry]] = {}  # id -> versions, the last one is active
        self._sizes: dict[str, int] = {}
        self._log: list[AppliedOp] = []
        self._log_of: dict[str, list[int]] = {}  # id -> places in the log, for entries that are there
        self._seq = 0
        self._next_id = 1
        self._nbytes = 0
        self._index: LexicalIndex | None = None  # built at the first search, kept up to date from then on

    @property
    def nbytes(self) -> int:
        """Bytes of the active entries."""
        return self._nbytes

    @property
    def bytes_left(self) -> int | None:
        """Bytes of the budget that are free, None where there is no budget."""
        return None if self.budget_bytes is None else self.budget_bytes - self._nbytes

    @property
    def sizes(self) -> MappingProxyType[str, int]:
        """Bytes of each active entry by id, oldest first; a live view."""
        return MappingProxyType(self._sizes)

    @property
    def seq(self) -> int:
        """Number of the last operation in the log."""
        return self._seq

    @property
    def log(self) -> Sequence[AppliedOp]:
        """Every operation so far; those refused, and those on entries deleted since, without their text."""
        return tuple(self._log)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None}  # it is built again where it is needed

    def __len__(self) -> int:
        return len(self._versions)

    def __contains__(self, id: object) -> bool:
        return id in self._versions

    # ------------------------------------------------------------------ change

    def apply(self, op: MemoryOp, *, provenance: Sequence[str] = (), step: int = 0) -> AppliedOp:
        """Carry out one operation, or refuse it with a reason; the bank is never left half changed.

        Args:
            op: ADD, UPDATE, DELETE or NOOP. SEARCH changes nothing and is refused: call `search`.
            provenance: ids of the items that the new text rests on. They are remembered with this version; an
                UPDATE takes over nothing from the version before, whose text it replaces.
            step: the caller's clock.

        Raises:
            InvalidOperation: a kind that is none; everything else is refused with a reason.
        """
        kind = OpKind.parse(op.kind)
        do = {
            OpKind.NOOP: self._noop,
            OpKind.ADD: self._add,
            OpKind.UPDATE: self._update,
            OpKind.DELETE: self._delete,
        }.get(kind)
        self._seq += 1
        logged = MemoryOp(kind)
        try:
            checked = op.checked()
            logged = MemoryOp(kind, checked.id)
            if do is None:
                id, reason = "", f"{kind.name} does not change the bank"
            else:
                id, reason = do(checked, tuple(provenance), step)
            if id in self._versions:  # an ADD or UPDATE that was carried out: DELETE will find its text
                logged = checked
        except InvalidOperation as error:
            id, reason = "", str(error)
        if id in self._versions:
            self._log_of.setdefault(id, []).append(len(self._log))
        done = AppliedOp(logged, not reason, id, reason, self._seq, self._nbytes)
        self._log.append(done)
        return replace(done, op=op)

    def _noop(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        return "", ""

    def _add(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        if not op.text:
            return "", "ADD needs text"
        entry = MemoryEntry(
            id=f"m{self._next_id}",
            text=op.text,
            kind=str(op.attrs.get("kind", "fact")),
            attrs=op.attrs,
            provenance=provenance,
            times=Times(step, step),
            seq=self._seq,
        )
        if reason := self._does_not_fit(entry.nbytes):
            return "", reason
        self._next_id += 1
        self._versions[entry.id] = [entry]
        self._sizes[entry.id] = entry.nbytes
        self._nbytes += entry.nbytes
        self._reindex(entry.id)
        return entry.id, ""

    def _update(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        versions = self._versions.get(op.id)
        if versions is None:
            return "", f"UPDATE: no entry {op.id!r}"
        if not op.text:
            return "", "UPDATE needs text (DELETE removes an entry)"
        old = versions[-1]
        attrs = {**old.attrs, **op.attrs}
        new = replace(
            old,
            text=op.text,
            kind=str(attrs.get("kind", "fact")),
            attrs=attrs,
            version=old.version + 1,
            provenance=provenance,
            times=Times(old.times.created, step),
            seq=self._seq,
        )
        if reason := self._does_not_fit(new.nbytes - old.nbytes):
            return "", reason
        versions[-1] = replace(old, status="superseded")
        versions.append(new)
        self._sizes[new.id] = new.nbytes
        self._nbytes += new.nbytes - old.nbytes
        self._reindex(new.id)
        return new.id, ""

    def _delete(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        versions = self._versions.pop(op.id, None)
        if versions is None:
            return "", f"DELETE: no entry {op.id!r}"
        self._nbytes -= self._sizes.pop(op.id)
        self._reindex(op.id)
        for place in self._log_of.pop(op.id):
            done = self._log[place]
            self._log[place] = replace(done, op=MemoryOp(done.op.kind, done.op.id))
        return op.id, ""

    def _does_not_fit(self, more: int) -> str:
        left = self.bytes_left
        if left is None or more <= left:
            return ""
        return f"over budget: needs {more} B, {left} B left of {self.budget_bytes} B"

    def _reindex(self, id: str) -> None:
        if self._index is None:
            return
        if id in self._versions:
            self._index.put(int(id[1:]), self._versions[id][-1].text)
        else:
            self._index.remove(int(id[1:]))

    # ------------------------------------------------------------------ read

    def get(self, id: str, *, version: int | None = None) -> MemoryEntry:
        """Entry `id`, its newest version or the one asked for.

        Raises:
            KeyError: no such entry or version.
        """
        versions = self._versions[id]
        if version is None:
            return versions[-1]
        for entry in versions:
            if entry.version == version:
                return entry
        raise KeyError(f"entry {id!r} has no version {version}")

    def get_all(self) -> list[MemoryEntry]:
        """Active entries, oldest first."""
        return [versions[-1] for versions in self._versions.values()]

    def history(self, id: str) -> list[MemoryEntry]:
        """All versions of an entry, oldest first; nothing once it is deleted."""
        return list(self._versions.get(id, ()))

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        views: Sequence[str] = ("lexical",),
        filter: Callable[[MemoryEntry], bool] | None = None,
        as_of: int | None = None,
    ) -> list[Hit]:
        """The `k` active entries nearest to `query`, best first; ties go to the older entry.

        Args:
            query: words to look for.
            k: how many at most.
            views: ``"lexical"`` (BM25) or ``"recency"`` (newest first, whatever the query); several are fused
                by reciprocal rank (k = 60; Cormack et al., 2009).
            filter: keeps an entry where it returns True.
            as_of: answer from the bank as it was after operation number `as_of`.

        Raises:
            ValueError: an unknown view.
        """
        if as_of is not None and as_of < self._seq:
            past = MemoryEngine.restore(self.snapshot())
            past.rollback(as_of)
            return past.search(query, k, views=views, filter=filter)
        keep = (lambda entry: True) if filter is None else filter
        depth = k if filter is None and len(views) == 1 else len(self)
        rankings = {view: self._rank(view, query, depth) for view in views}
        if len(rankings) == 1:
            ((view, ranking),) = rankings.items()
            found = [Hit(self.get(id), score, {view: score}) for id, score in ranking]
            return [hit for hit in found if keep(hit.entry)][:k]
        parts: dict[str, dict[str, float]] = {}
        for view, ranking in rankings.items():
            for place, (id, _) in enumerate(ranking):
                parts.setdefault(id, {})[view] = 1 / (60 + place + 1)
        hits = [Hit(self.get(id), sum(part.values()), part) for id, part in parts.items()]
        hits.sort(key=lambda hit: (-hit.score, int(hit.entry.id[1:])))
        return [hit for hit in hits if keep(hit.entry)][:k]

    def _rank(self, view: str, query: str, k: int) -> list[tuple[str, float]]:
        if view == "recency":
            newest = sorted(self.get_all(), key=lambda entry: -entry.seq)[:k]
            return [(entry.id, float(entry.seq)) for entry in newest]
        if view != "lexical":
            raise ValueError(f"no view {view!r}. Known: 'lexical', 'recency'.")
        if self._index is None:
            self._index = LexicalIndex((int(e.id[1:]), e.text) for e in self.get_all())
        return [(f"m{key}", score) for key, score in self._index.search(query, k)]

    # ------------------------------------------------------------------ save and undo

    def rollback(self, seq: int) -> None:
        """Undo every operation after number `seq`. What was deleted since then stays deleted."""
        if not 0 <= seq <= self._seq:
            raise ValueError(f"seq is from 0 to {self._seq}, not {seq}.")
        kept = {id: [v for v in versions if v.seq <= seq] for id, versions in self._versions.items()}
        self._versions = {
            id: [*versions[:-1], replace(versions[-1], status="active")]
            for id, versions in kept.items()
            if versions
        }
        self._log = [done for done in self._log if done.seq <= seq]
        self._seq = seq
        self._next_id = 1 + sum(done.ok and done.op.kind is OpKind.ADD for done in self._log)
        self._derive()

    def snapshot(self) -> bytes:
        """The whole bank as canonical JSON; equal banks give equal bytes."""
        versions = list(self._versions.values())
        return dump_state(BankState(self.budget_bytes, self._seq, self._next_id, versions, self._log))

    @classmethod
    def restore(cls, blob: bytes) -> "MemoryEngine":
        """The bank that `snapshot` saved.

        Raises:
            InvalidOperation: not a snapshot, or one that contradicts itself.
        """
        state = load_state(blob)
        engine = cls(state.budget_bytes)
        engine._versions = {versions[0].id: versions for versions in state.versions}
        engine._log, engine._seq, engine._next_id = state.log, state.seq, state.next_id
        engine._derive()
        return engine

    def _derive(self) -> None:
        """Work out again what follows from versions and log."""
        self._sizes = {entry.id: entry.nbytes for entry in self.get_all()}
        self._nbytes = sum(self._sizes.values())
        self._index = None
        self._log_of = {id: [] for id in self._versions}
        for place, done in enumerate(self._log):
            if done.id in self._log_of:
                self._log_of[done.id].append(place)
