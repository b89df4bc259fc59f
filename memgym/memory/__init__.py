"""The memory bank: operations, entries, the engine that applies them, and the policies that decide."""

from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import AppliedOp, Hit, MemoryEntry, Times, entry_nbytes
from memgym.memory.ops import MemoryOp, OpKind, as_action

__all__ = [
    "AppliedOp",
    "Hit",
    "MemoryEngine",
    "MemoryEntry",
    "MemoryOp",
    "OpKind",
    "Times",
    "as_action",
    "entry_nbytes",
]
