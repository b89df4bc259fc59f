"""The memory bank: operations, entries, the engine that applies them, and the policies that decide."""

from memgym.memory.audit import MemorySizes
from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import ROOT, AppliedOp, Edge, Hit, MemoryEntry, Scope, Times, entry_nbytes
from memgym.memory.ops import CORE_KINDS, MADE, MemoryOp, OpKind, as_action

__all__ = [
    "CORE_KINDS",
    "MADE",
    "ROOT",
    "AppliedOp",
    "Edge",
    "Hit",
    "MemoryEngine",
    "MemoryEntry",
    "MemoryOp",
    "MemorySizes",
    "OpKind",
    "Scope",
    "Times",
    "as_action",
    "entry_nbytes",
]
