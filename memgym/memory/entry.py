"""What a memory bank holds and what it hands out; everything here is immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memgym.memory.ops import MemoryOp, clean_attrs, dump_attrs

__all__ = ["AppliedOp", "Hit", "MemoryEntry", "Times", "entry_nbytes"]


class Times(NamedTuple):
    """When an entry was written, in steps of the environment (never wall-clock time)."""

    created: int
    updated: int


NEVER = Times(0, 0)


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One version of one entry.

    Attributes:
        id: unique in its engine, ``"m1"``, ``"m2"``, ... in order of creation.
        kind: what it is to the policy that wrote it; ``"fact"`` unless ``attrs["kind"]`` says otherwise.
        text: the stored text.
        attrs: JSON values stored with it; a copy, so that what the caller gave may change later.
        version: 1 when added, one more with each UPDATE.
        status: ``"active"`` or ``"superseded"`` (an older version).
        provenance: ids of the stream items that this version rests on, oldest first.
        times: creation and last update, in steps.
        seq: number of the operation that wrote this version.
        nbytes: bytes that it takes from a budget.
    """

    id: str
    text: str
    kind: str = "fact"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    status: str = "active"
    provenance: tuple[str, ...] = ()
    times: Times = NEVER
    seq: int = 0
    nbytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Raises: InvalidOperation: attributes that are not JSON."""
        object.__setattr__(self, "attrs", clean_attrs(self.attrs))
        object.__setattr__(self, "nbytes", entry_nbytes(self.id, self.text, dump_attrs(self.attrs)))


def entry_nbytes(id: str, text: str, attrs: str = "") -> int:
    """Bytes of an entry: id, text and canonical attributes in UTF-8."""
    return len(id.encode()) + len(text.encode()) + len(attrs.encode())


@dataclass(frozen=True, slots=True)
class AppliedOp:
    """What became of an operation.

    Attributes:
        op: the operation, as asked for; in the log of an engine a refused one has neither text nor attributes.
        ok: whether it was carried out.
        id: the entry it made or changed, ``""`` where there is none.
        reason: why it was refused, ``""`` where it was not.
        seq: its number in the operation log.
        nbytes: bytes in the bank after it.
    """

    op: MemoryOp
    ok: bool
    id: str
    reason: str
    seq: int
    nbytes: int


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
