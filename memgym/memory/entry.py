"""What a memory bank holds and what it hands out; everything here is immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from memgym.errors import InvalidOperation
from memgym.memory.ops import MemoryOp, clean_attrs, dump_attrs

__all__ = [
    "ROOT",
    "AppliedOp",
    "Edge",
    "Hit",
    "MemoryEntry",
    "Scope",
    "Times",
    "check_scope",
    "entry_nbytes",
    "make_entry",
]


class Times(NamedTuple):
    """When an entry was written, in steps of the environment (never wall-clock time)."""

    created: int
    updated: int


class Scope(NamedTuple):
    """Whose memory an entry is. An empty field leaves open whose.

    Whoever acts in a scope sees the entries whose fields equal all that it names: ``Scope("ann")`` sees those of
    ``Scope("ann", "tutor")`` and none of ``Scope("ben")``; `ROOT`, which names nothing, sees all.
    """

    user_id: str = ""
    agent_id: str = ""
    run_id: str = ""

    def covers(self, other: "Scope") -> bool:
        """Whether what is in `other` is seen from here."""
        return all(mine in ("", theirs) for mine, theirs in zip(self, other, strict=True))


NEVER = Times(0, 0)
ROOT = Scope()
MAX_NAME = 256  # characters of a name in a scope


@lru_cache(maxsize=1 << 10)
def check_scope(scope: Scope) -> Scope:
    """`scope`, once it is one.

    Raises:
        InvalidOperation: a name that is no text, too long, or not valid Unicode.
    """
    try:
        names = Scope(*scope)
        if all(isinstance(name, str) and len(name) <= MAX_NAME for name in names):
            "".join(names).encode()
            return names
    except (TypeError, UnicodeEncodeError):
        pass
    raise InvalidOperation(f"a scope is three names of at most {MAX_NAME} characters.")


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One version of one entry.

    Attributes:
        id: unique in its engine, ``"m1"``, ``"m2"``, ... in order of creation.
        kind: what it is to the policy that wrote it; ``"fact"`` unless ``attrs["kind"]`` says otherwise.
        text: the stored text.
        attrs: JSON values stored with it; a copy, so that what the caller gave may change later.
        version: 1 when added, one more with each change.
        status: ``"active"``, ``"frozen"`` (found, but not to be changed), ``"archived"`` (not found), ``"stale"``
            (empty, since what it was made of has been deleted) or ``"superseded"`` (an older version).
        provenance: ids of the stream items that this version rests on, oldest first.
        parents: ids of the entries that its text is derived from; some may be gone.
        scope: whose it is; it never changes.
        times: creation and last update, in steps.
        seq: number of the operation that wrote this version.
        nbytes: bytes that it takes from a budget: id, text, attributes and parents.
    """

    id: str
    text: str
    kind: str = "fact"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    status: str = "active"
    provenance: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    scope: Scope = ROOT
    times: Times = NEVER
    seq: int = 0
    nbytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Raises: InvalidOperation: attributes that are not JSON."""
        object.__setattr__(self, "attrs", clean_attrs(self.attrs))
        size = entry_nbytes(self.id, self.text, dump_attrs(self.attrs)) + sum(map(len, self.parents))
        object.__setattr__(self, "nbytes", size)

    @property
    def is_found(self) -> bool:
        """Whether searches and views show it."""
        return self.status in ("active", "frozen")

    @property
    def number(self) -> int:
        """The number in its id."""
        return int(self.id[1:])

    @property
    def valid_from(self) -> str:
        """Since when it holds in the world, ISO 8601, from its attribute of this name; ``""`` for always."""
        return self.attrs.get("valid_from", "")

    @property
    def valid_to(self) -> str:
        """When it stopped to hold in the world, ISO 8601, itself not included; ``""`` for never."""
        return self.attrs.get("valid_to", "")


_FIELDS = [getattr(MemoryEntry, name).__set__ for name in MemoryEntry.__slots__]  # type: ignore[attr-defined]


def make_entry(
    id: str,
    text: str,
    attrs: dict[str, Any],
    *,
    version: int = 1,
    status: str = "active",
    provenance: tuple[str, ...] = (),
    parents: tuple[str, ...] = (),
    scope: Scope = ROOT,
    times: Times = NEVER,
    seq: int = 0,
) -> MemoryEntry:
    """An entry of checked attributes, that nobody else holds: not copied and not checked again."""
    entry = object.__new__(MemoryEntry)
    nbytes = entry_nbytes(id, text, dump_attrs(attrs)) + sum(map(len, parents))
    kind = str(attrs.get("kind", "fact"))
    values = (id, text, kind, attrs, version, status, provenance, parents, scope, times, seq, nbytes)
    for put, value in zip(_FIELDS, values, strict=True):
        put(entry, value)
    return entry


def entry_nbytes(id: str, text: str, attrs: str = "") -> int:
    """Bytes of an entry: id, text and canonical attributes in UTF-8."""
    return sum(len(part) if part.isascii() else len(part.encode()) for part in (id, text, attrs))


class Edge(NamedTuple):
    """A directed edge between two entries.

    Attributes:
        source: id of the entry that it leaves.
        rel: its type.
        target: id of the entry that it goes to.
        weight: how strong it is.
        seq: number of the operation that drew it.
        ended: number of the operation that removed it, 0 while it is there.
    """

    source: str
    rel: str
    target: str
    weight: float = 1.0
    seq: int = 0
    ended: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that it takes from a budget: both ids, the type in UTF-8, and 8 for the weight."""
        return len(self.source) + len(self.rel.encode()) + len(self.target) + 8


@dataclass(frozen=True, slots=True)
class AppliedOp:
    """What became of an operation.

    Attributes:
        op: the operation, as asked for; in the log of an engine a refused one has neither text nor attributes.
        ok: whether it was carried out.
        id: the entry it made or changed, ``""`` where there is none.
        reason: why it was refused, ``""`` where it was not; in the log also ``"deleted since"``, of what made an
            entry that is gone.
        seq: its number in the operation log.
        nbytes: bytes in the bank after it.
        step: the caller's clock.
        provenance: ids of the stream items that the new text rests on; none where it was refused.
        scope: in which it was asked for.
        dropped: (id, version) of what had to make room for it, version 0 for a whole archived entry.
    """

    op: MemoryOp
    ok: bool
    id: str
    reason: str
    seq: int
    nbytes: int
    step: int = 0
    provenance: tuple[str, ...] = ()
    scope: Scope = ROOT
    dropped: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result.

    Attributes:
        entry: the entry found.
        score: higher is nearer; comparable within one search only.
        parts: the score by view, e.g. ``{"lexical": 7.2}``.
    """

    entry: MemoryEntry
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
