"""The memory bank: `apply` is the only way to change it, and its operations alone rebuild it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.entry import AppliedOp, Hit, MemoryEntry, Times
from memgym.memory.lexical import LexicalIndex
from memgym.memory.ops import MemoryOp, OpKind

__all__ = ["MemoryEngine"]

SNAPSHOT_FORMAT = "memgym-engine/1"


class MemoryEngine:
    """A versioned, searchable bank of entries under a byte budget, in memory.

    Nothing in it depends on wall-clock time or on other random state: ids count up, times are the steps that
    the caller gives. UPDATE keeps the older versions (`history`, `as_of`). DELETE is a promise to forget: it
    removes the text from entries, versions, index, log and snapshots, and `rollback` does not bring it back.

    Args:
        budget_bytes: most bytes that active entries may take together (id + text + attributes in UTF-8); None
            for no limit. Versions and log are kept for audit and are outside the budget.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        if budget_bytes is not None and budget_bytes < 0:
            raise ValueError(f"budget_bytes is at least 0, not {budget_bytes}.")
        self.budget_bytes = budget_bytes
        self._versions: dict[str, list[MemoryEntry]] = {}  # id -> versions, the last one is active
        self._log: list[AppliedOp] = []
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
    def seq(self) -> int:
        """Number of the last operation in the log."""
        return self._seq

    @property
    def log(self) -> Sequence[AppliedOp]:
        """Every operation so far, refused ones included; the text of deleted entries is scrubbed from it."""
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
            provenance: ids of the items in view, remembered with what is written.
            step: the caller's clock.
        """
        do = {
            OpKind.NOOP: self._noop,
            OpKind.ADD: self._add,
            OpKind.UPDATE: self._update,
            OpKind.DELETE: self._delete,
        }.get(op.kind)
        self._seq += 1
        if do is None:
            id, reason = "", f"{op.kind.name} does not change the bank"
        else:
            id, reason = do(op, tuple(provenance), step)
        applied = AppliedOp(op, not reason, id, reason, self._seq, self._nbytes)
        self._log.append(applied)
        return applied

    def _noop(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        return "", ""

    def _add(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        if not op.text:
            return "", "ADD needs text"
        entry = MemoryEntry(
            id=f"m{self._next_id}",
            text=op.text,
            kind=str(op.attrs.get("kind", "fact")),
            attrs=dict(op.attrs),
            provenance=provenance,
            times=Times(step, step),
            seq=self._seq,
        )
        if reason := self._does_not_fit(entry.nbytes):
            return "", reason
        self._next_id += 1
        self._versions[entry.id] = [entry]
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
        new = replace(
            old,
            text=op.text,
            attrs={**old.attrs, **op.attrs},
            version=old.version + 1,
            provenance=tuple(dict.fromkeys((*old.provenance, *provenance))),
            times=Times(old.times.created, step),
            seq=self._seq,
        )
        if reason := self._does_not_fit(new.nbytes - old.nbytes):
            return "", reason
        versions[-1] = replace(old, status="superseded")
        versions.append(new)
        self._nbytes += new.nbytes - old.nbytes
        self._reindex(new.id)
        return new.id, ""

    def _delete(self, op: MemoryOp, provenance: tuple[str, ...], step: int) -> tuple[str, str]:
        versions = self._versions.pop(op.id, None)
        if versions is None:
            return "", f"DELETE: no entry {op.id!r}"
        self._nbytes -= versions[-1].nbytes
        self._reindex(op.id)
        self._log = [
            replace(done, op=MemoryOp(done.op.kind, done.op.id)) if done.id == op.id else done
            for done in self._log
        ]
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
        self._nbytes = sum(entry.nbytes for entry in self.get_all())
        self._index = None

    def snapshot(self) -> bytes:
        """The whole bank as canonical JSON; equal banks give equal bytes."""
        state = {
            "format": SNAPSHOT_FORMAT,
            "budget_bytes": self.budget_bytes,
            "seq": self._seq,
            "next_id": self._next_id,
            "versions": [[asdict(v) for v in versions] for versions in self._versions.values()],
            "log": [{**asdict(done), "op": done.op.to_dict()} for done in self._log],
        }
        return json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def restore(cls, blob: bytes) -> "MemoryEngine":
        """The bank that `snapshot` saved.

        Raises:
            InvalidOperation: not a snapshot, or one that contradicts itself.
        """
        try:
            state = json.loads(blob)
            if state["format"] != SNAPSHOT_FORMAT:
                raise InvalidOperation(f"not a {SNAPSHOT_FORMAT} snapshot: {state['format']!r}.")
            engine = cls(state["budget_bytes"])
            for versions in state["versions"]:
                entries = [_entry(v) for v in versions]
                if not entries or any(a.version >= b.version for a, b in pairwise(entries)):
                    raise InvalidOperation("a snapshot's entry has no versions, or not in order.")
                engine._versions[entries[0].id] = entries
            engine._log = [AppliedOp(**{**done, "op": MemoryOp.parse(done["op"])}) for done in state["log"]]
            engine._seq, engine._next_id = int(state["seq"]), int(state["next_id"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, InvalidOperation):
                raise
            raise InvalidOperation(f"not a memory snapshot: {error}.") from error
        engine._nbytes = sum(entry.nbytes for entry in engine.get_all())
        return engine


def _entry(fields: dict[str, Any]) -> MemoryEntry:
    return MemoryEntry(
        **{**fields, "provenance": tuple(fields["provenance"]), "times": Times(*fields["times"])}
    )
