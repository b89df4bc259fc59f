"""The memory bank: `apply` is the only way to change it, and its operations alone rebuild it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.audit import MemorySizes, measure, replay_log
from memgym.memory.bank import MAKING, Bank, Change
from memgym.memory.embed import Embedder
from memgym.memory.entry import ROOT, AppliedOp, Edge, Hit, MemoryEntry, Scope, check_scope
from memgym.memory.indices import Indices
from memgym.memory.operations import ENTRY_ID, OPERATIONS, Caller, Refused, resolve_ids
from memgym.memory.ops import CORE_KINDS, MADE, MemoryOp, OpKind
from memgym.memory.retrieval import Retrieval, bank_seen
from memgym.memory.snapshot import dump_bank, load_bank
from memgym.memory.validity import parse_time

__all__ = ["MemoryEngine"]


class MemoryEngine:
    """A versioned, searchable bank of entries under a byte budget, in memory.

    Nothing in it depends on wall-clock time or on other random state: ids count up, times are the steps that
    the caller gives. UPDATE keeps the older versions (`history`, `as_of`). DELETE is a promise to forget: it
    removes the text from entries, versions, index, log and snapshots, and `rollback` does not bring it back.
    Of a refused operation the log keeps neither text nor attributes, since no DELETE could name them. Any thread
    may search; operations come from one at a time.

    A plain bank, as environments have it by default, carries out ADD, UPDATE, DELETE and NOOP. An extended one
    also has edges (LINK, UNLINK), a lifecycle (ARCHIVE, FREEZE, RESTORE), ROLLBACK of an entry to a version that is
    kept, and MERGE. Since these bring things back, its budget covers them: active entries and edges must fit;
    older versions and archived entries stay while there is room, and what has been there for longest goes first.
    DELETE reaches what was made of an entry, by MERGE or by an ADD or UPDATE that names it in
    ``attrs["derived_from"]``: such entries become *stale*, empty until an UPDATE gives them a new text, and the other
    sources of a MERGE become active again. DELETE of a merged entry takes its archived sources with it.

    Args:
        budget_bytes: most bytes that active entries may take together (id + text + attributes in UTF-8); None
            for no limit. Versions and log of a plain bank are kept for audit and are outside the budget.
        extended: carry out every operation.
        embedder: makes the vectors of the view ``"dense"``.
    """

    def __init__(
        self, budget_bytes: int | None = None, *, extended: bool = False, embedder: Embedder | None = None
    ) -> None:
        if budget_bytes is not None and budget_bytes < 0:
            raise ValueError(f"budget_bytes is at least 0, not {budget_bytes}.")
        self._bank = Bank(budget_bytes, extended)
        self._indices = Indices(embedder)
        self._retrieval = Retrieval(self._bank, self._indices)
        self._past: tuple[Any, Retrieval] | None = None  # the last bank of the past that was asked for

    @property
    def budget_bytes(self) -> int | None:
        """Most bytes that `nbytes` may be, None for no limit."""
        return self._bank.budget_bytes

    @property
    def extended(self) -> bool:
        """Whether it carries out every operation."""
        return self._bank.extended

    @property
    def nbytes(self) -> int:
        """Bytes that count against the budget: active entries; in an extended bank also edges and what is kept."""
        return self._bank.nbytes

    @property
    def active_nbytes(self) -> int:
        """Bytes of the active entries."""
        return self._bank.active_bytes

    @property
    def bytes_left(self) -> int | None:
        """Bytes of the budget that an operation can still take, None where there is no budget."""
        return self._bank.bytes_left

    @property
    def sizes(self) -> MappingProxyType[str, int]:
        """Bytes of each active entry by id, oldest first; a live view."""
        return MappingProxyType(self._bank.sizes)

    def sizes_in(self, scope: Scope) -> MappingProxyType[str, int]:
        """`sizes` of the entries in a scope; a copy, except of all."""
        if scope == ROOT:
            return self.sizes
        newest = self._bank.newest(scope)
        return MappingProxyType({entry.id: entry.nbytes for entry in newest if entry.is_found})

    @property
    def seq(self) -> int:
        """Number of the last operation in the log."""
        return self._bank.seq

    @property
    def next_id(self) -> str:
        """The id that the next entry gets."""
        return f"m{self._bank.next_id}"

    @property
    def log(self) -> Sequence[AppliedOp]:
        """Every operation so far; those refused, and those on entries deleted since, without their text."""
        return tuple(self._bank.log)

    @property
    def last_step(self) -> int:
        """The step of the last operation."""
        return self._bank.log[-1].step if self._bank.log else 0

    def has_text(self, id: str) -> bool:
        """Whether an entry is there and has not been emptied by a DELETE."""
        return id in self._bank.versions and bool(self._bank.versions[id][-1].text)

    def replaced(self, op: MemoryOp, *, scope: Scope = ROOT) -> list[str]:
        """Ids of the entries whose text an UPDATE or MERGE would replace."""
        named = {OpKind.UPDATE: [op.id], OpKind.MERGE: op.attrs.get("ids")}.get(op.kind)
        ids = named if isinstance(named, list) else []
        made = self._bank.made.get(scope, "")
        return [made if id == MADE else id for id in ids if isinstance(id, str)]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_past": None}

    def __len__(self) -> int:
        return len(self._bank.sizes)

    def __contains__(self, id: object) -> bool:
        return id in self._bank.versions

    # ------------------------------------------------------------------ change

    def apply(
        self, op: MemoryOp, *, provenance: Sequence[str] = (), step: int = 0, scope: Scope = ROOT
    ) -> AppliedOp:
        """Carry out one operation, or refuse it with a reason; the bank is never left half changed.

        Args:
            op: what to do. SEARCH changes nothing and is refused: call `search`.
            provenance: ids of the items that the new text rests on. They are remembered with this version; an
                UPDATE takes over nothing from the version before, whose text it replaces.
            step: the caller's clock.
            scope: who asks. What is not in this scope is not there; what is added is in it for good.

        Raises:
            InvalidOperation: a kind or a scope that is none; everything else is refused with a reason.
        """
        kind = OpKind.parse(op.kind)
        scope = ROOT if scope is ROOT else check_scope(scope)
        bank = self._bank
        bank.seq += 1
        provenance = tuple(provenance)
        id, reason, said = "", "", ""  # the log says nothing of what could not be read
        logged: MemoryOp | None = None
        try:
            checked = op.checked()
            if checked.id and ENTRY_ID.fullmatch(checked.id):
                logged = MemoryOp(kind, checked.id)
            if bank.extended:
                checked = resolve_ids(checked, bank.made.get(scope, ""))
            elif kind >= CORE_KINDS:
                raise Refused(f"{kind.name} needs an extended bank (ops='extended')")
            said = "cannot be carried out"
            id = OPERATIONS[kind](bank, checked, Caller(provenance, step, scope))
            said = ""
            if kind is not OpKind.NOOP and kind is not OpKind.DELETE:
                logged = checked
        except Refused as refusal:
            reason = said = str(refusal)
        except InvalidOperation as error:
            reason, said = str(error), said or "cannot be read"
        if reason:
            provenance = ()
        dropped = bank.make_room() if bank.extended else ()
        nbytes = bank.nbytes
        logged = logged or MemoryOp(kind)
        self._record(
            AppliedOp(logged, not reason, id, said, bank.seq, nbytes, step, provenance, scope, dropped)
        )
        return AppliedOp(op, not reason, id, reason, bank.seq, nbytes, step, provenance, scope, dropped)

    def _record(self, done: AppliedOp) -> None:
        """Write down what became of an operation, and tell those who follow the changes."""
        bank = self._bank
        if bank.extended:
            if done.dropped:
                bank.last_drop = done.seq
            if bank.is_final(done):
                bank.undo_from = done.seq
            if done.op.kind in MAKING:
                bank.made[done.scope] = done.id
            bank.note_parents(done)
        bank.record(done)
        changes = bank.take_changes()
        self._past = None
        self._indices.update(changes, bank)
        self._keep(changes)

    def _keep(self, changes: Sequence[Change]) -> None:
        """For engines that write their changes down somewhere."""

    # ------------------------------------------------------------------ read

    def get(self, id: str, *, version: int | None = None, scope: Scope = ROOT) -> MemoryEntry:
        """Entry `id`, its newest version or the one asked for.

        Raises:
            KeyError: no such entry or version in this scope.
        """
        versions = self._bank.seen(id, scope)
        if versions is None:
            raise KeyError(id)
        for entry in versions:
            if entry.version == version:
                return _past_version(entry, versions)
        if version is not None:
            raise KeyError(f"entry {id!r} has no version {version}")
        return versions[-1]

    def get_all(self, *, status: str = "", scope: Scope = ROOT) -> list[MemoryEntry]:
        """Active and frozen entries, or those of one status, oldest first."""
        bank = self._bank
        if not bank.extended and scope == ROOT and not status:  # what environments ask for in every step
            return [versions[-1] for versions in bank.versions.values()]
        newest = bank.newest(scope)
        if status:
            return [entry for entry in newest if entry.status == status]
        return [entry for entry in newest if entry.is_found]

    def history(self, id: str, *, scope: Scope = ROOT) -> list[MemoryEntry]:
        """All versions of an entry, oldest first; nothing once it is deleted."""
        versions = self._bank.seen(id, scope) or []
        return [_past_version(entry, versions) for entry in versions]

    def find(self, attrs: Mapping[str, Any], *, scope: Scope = ROOT) -> list[MemoryEntry]:
        """Active entries with all of these attributes, oldest first.

        >>> engine = MemoryEngine()
        >>> _ = engine.apply(MemoryOp.add("Maya lives in Oslo", person="Maya", slot="city"))
        >>> [entry.id for entry in engine.find({"person": "Maya", "slot": "city"})]
        ['m1']
        """
        if not attrs:
            return self.get_all(scope=scope)
        return self._retrieval.find(attrs, scope)

    def edges(self, *, scope: Scope = ROOT) -> list[Edge]:
        """Edges between entries of a scope, in the order in which they were drawn; archived ends included."""
        bank = self._bank
        edges = sorted(bank.edges, key=lambda edge: (edge.seq, *edge))
        return [edge for edge in edges if bank.seen(edge.source, scope) and bank.seen(edge.target, scope)]

    def neighbours(
        self, id: str, *, rel: str = "", direction: str = "both", hops: int = 1, scope: Scope = ROOT
    ) -> list[Hit]:
        """Active entries that edges lead to: near ones first, then by weight of the edge that leads there.

        Args:
            id: where to start.
            rel: follow edges of this type only.
            direction: ``"out"`` along the edges, ``"in"`` against them, or ``"both"``.
            hops: most edges between.
            scope: who asks.

        Returns:
            Hits whose score is the weight divided by the number of edges between.

        Raises:
            KeyError: no such entry in this scope.
            ValueError: an unknown direction.
        """
        if direction not in ("out", "in", "both"):
            raise ValueError(f"direction is 'out', 'in' or 'both', not {direction!r}.")
        self.get(id, scope=scope)
        return self._retrieval.neighbours(id, rel, direction, hops, scope)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        views: Sequence[str] = ("lexical",),
        filter: Callable[[MemoryEntry], bool] | None = None,
        as_of: int | None = None,
        valid_at: str = "",
        scope: Scope = ROOT,
    ) -> list[Hit]:
        """The `k` active entries nearest to `query`, best first; ties go to the older entry.

        Args:
            query: words to look for.
            k: how many at most.
            views: ``"lexical"`` (BM25), ``"dense"`` (cosine of the embedder's vectors), ``"recency"`` (newest
                first, whatever the query) or ``"graph"`` (entries with an edge to one of the ten best by
                BM25); several are fused by reciprocal rank (k = 60; Cormack et al., 2009), each with its first
                1,000 hits.
            filter: keeps an entry where it returns True.
            as_of: answer from the bank as it was after operation number `as_of`; takes a pass over the bank.
            valid_at: answer with what held then in the world, as the bank knows it: of each entry the newest
                version whose attributes ``valid_from`` (included) and ``valid_to`` (not included) have this time
                between them. ISO 8601; takes a pass over the bank.
            scope: who asks.

        Raises:
            ValueError: an unknown view, or an operation so long ago that versions had to make room since.
            InvalidOperation: `valid_at` is no time.
        """
        if valid_at or (as_of is not None and as_of < self.seq):
            return self._retrieval_of_the_past(as_of, valid_at).search(query, k, views, filter, scope)
        return self._retrieval.search(query, k, views, filter, scope)

    def _retrieval_of_the_past(self, as_of: int | None, valid_at: str) -> Retrieval:
        """A bank of the versions that were there; the last one asked for is kept."""
        if self._past is not None and self._past[0] == (as_of, valid_at):
            return self._past[1]
        last_drop = self._bank.last_drop
        if as_of is not None and as_of < last_drop:
            raise ValueError(
                f"as_of reaches back to {last_drop}, where older versions had to go; not to {as_of}."
            )
        bank = bank_seen(self._bank, as_of, parse_time(valid_at) if valid_at else None)
        past = Retrieval(bank, Indices(self._indices.embedder))
        self._past = ((as_of, valid_at), past)
        return past

    # ------------------------------------------------------------------ account, save and undo

    def measure(self) -> MemorySizes:
        """Where the bytes are; takes a pass over everything."""
        return measure(self._bank, self._indices.nbytes)

    def rollback(self, seq: int) -> None:
        """Undo every operation after number `seq`. What was deleted since then stays deleted.

        In an extended bank a DELETE reaches other entries, so it cannot be undone around: `seq` is not before it.

        Raises:
            ValueError: no such operation, or one that in an extended bank is before a DELETE or before versions
                had to make room.
        """
        if not self._bank.undo_from <= seq <= self.seq:
            raise ValueError(f"seq is from {self._bank.undo_from} to {self.seq}, not {seq}.")
        self._bank.rollback(seq)
        self._indices.clear()
        self._past = None

    def snapshot(self) -> bytes:
        """The whole bank as canonical JSON; equal banks give equal bytes."""
        return dump_bank(self._bank)

    def digest(self) -> str:
        """BLAKE2b (128 bits) of the snapshot, in hexadecimal."""
        return blake2b(self.snapshot(), digest_size=16).hexdigest()

    @classmethod
    def restore(cls, blob: bytes, *, embedder: Embedder | None = None) -> "MemoryEngine":
        """The bank that `snapshot` saved.

        Raises:
            InvalidOperation: not a snapshot, or one that contradicts itself.
        """
        return cls._of(load_bank(blob), embedder)

    @classmethod
    def replay(
        cls,
        log: Iterable[AppliedOp],
        budget_bytes: int | None = None,
        *,
        extended: bool = False,
        embedder: Embedder | None = None,
    ) -> "MemoryEngine":
        """The bank that a log tells of, operation by operation; its digest is that of the bank that wrote the log.

        Raises:
            InvalidOperation: no bank can have written this log.
        """
        return cls._of(replay_log(log, budget_bytes, extended), embedder)

    @staticmethod
    def _of(bank: Bank, embedder: Embedder | None) -> "MemoryEngine":
        engine = MemoryEngine(embedder=embedder)
        engine._adopt(bank)
        return engine

    def _adopt(self, bank: Bank) -> None:
        self._bank = bank
        self._indices = Indices(self._indices.embedder)
        self._retrieval = Retrieval(bank, self._indices)
        self._past = None


def _past_version(entry: MemoryEntry, versions: Sequence[MemoryEntry]) -> MemoryEntry:
    return entry if entry is versions[-1] else replace(entry, status="superseded")
