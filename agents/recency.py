"""Keep what was said last."""

from collections import deque

from memgym.agents.bm25 import as_entry, op_nbytes
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message

__all__ = ["RecencyPolicy", "recency"]


class RecencyPolicy(MemoryPolicy):
    """Adds every message and deletes the oldest ones to make room: a sliding window of bytes."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, int]] = deque()  # (id, bytes), oldest first
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """DELETE the oldest until the new one fits, then ADD it; nothing where it never fits."""
        op, id = as_entry(message), f"m{self._next_id}"
        need, left = op_nbytes(op, id), view.bytes_left
        if need > left + sum(size for _, size in self._kept):
            return []
        ops = []
        while need > left:
            oldest, size = self._kept.popleft()
            ops.append(MemoryOp.delete(oldest))
            left += size
        self._kept.append((id, need))
        self._next_id += 1
        return [*ops, op]

    def nbytes(self) -> int:
        """The queue: an id and a size for each entry."""
        return 8 + 16 * len(self._kept)


def recency() -> PolicyAgent:
    """Keeps the last messages that fit the budget; reads the ten nearest of them by BM25."""
    card = AgentCard(
        name="recency",
        kind="scripted",
        description="Keeps the last messages that fit the budget and retrieves ten of them by BM25.",
    )
    return PolicyAgent(card, RecencyPolicy)
