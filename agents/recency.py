"""Keep what was said last."""

from collections import deque
from itertools import islice

from memgym.agents.bm25 import as_entry, next_number, op_nbytes
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.envs.text import MAX_OPS
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message

__all__ = ["RecencyPolicy", "recency"]


class RecencyPolicy(MemoryPolicy):
    """Adds every message and deletes the oldest ones to make room: a sliding window of bytes.

    In a bank that others write to, their entries slide out with the rest.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[str, int]] = deque()  # (id, bytes), oldest first
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """DELETE the oldest until the new one fits, then ADD it; nothing where one action cannot make room."""
        self._next_id = next_number(view, self._next_id)
        op, id = as_entry(message), f"m{self._next_id}"
        need, left = op_nbytes(op, id), view.bytes_left
        ops: list[MemoryOp] = []
        held = iter(self._kept) if view.bank is None else iter(view.bank.items())
        for oldest, size in islice(held, MAX_OPS - 1):
            if need <= left:
                break
            ops.append(MemoryOp.delete(oldest))
            left += size
        if need > left:
            return []
        self._next_id += 1
        if view.bank is None:
            for _ in ops:
                self._kept.popleft()
            self._kept.append((id, need))
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
