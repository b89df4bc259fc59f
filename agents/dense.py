"""Store everything, find it by the nearest vectors."""

from collections.abc import Sequence

import numpy as np

from memgym.agents.bm25 import as_entry, next_number, op_nbytes
from memgym.agents.handles import handle_of, handles_query, with_handle, without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory.embed import Embedder, make_embedder
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["DensePolicy", "dense"]

FOUND = 10  # entries for the reader


class DensePolicy(MemoryPolicy):
    """Adds every message until the budget is full, then no more; keeps a vector of each beside the bank.

    Args:
        embedder: makes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors = np.zeros((0, 0), np.float32)
        self._size = 0
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD with a handle, where it fits."""
        self._next_id = next_number(view, self._next_id)
        plain = as_entry(message)
        op = MemoryOp.add(with_handle(plain.text, self._size), **plain.attrs)
        if op_nbytes(op, f"m{self._next_id}") > view.bytes_left:
            return []
        self._next_id += 1
        self._append(self._embedder.embed([plain.text])[0])
        return [op]

    def read(self, question: Message, search: Search) -> ReadResult:
        """The entries whose vectors are nearest to the question's."""
        return ReadResult(list(self.fetch(self.nearest(question.text, FOUND), search).values()))

    def nearest(self, text: str, k: int) -> list[int]:
        """Numbers of the `k` nearest entries, best first; ties go to the older one."""
        if self._size == 0:
            return []
        query = self._embedder.embed([text])[0]
        # rounded, since the last bits of a product depend on the machine
        scores = np.round(self._vectors[: self._size] @ query, 5)
        return np.argsort(-scores, kind="stable")[:k].tolist()

    def fetch(self, numbers: Sequence[int], search: Search) -> dict[int, Shown]:
        """The entries with these numbers, in this order, as far as the bank still has them."""
        if not numbers:
            return {}
        found = {handle_of(hit["text"]): hit for hit in search(handles_query(numbers), len(numbers))}
        return {number: without_handle(found[number]) for number in numbers if number in found}

    def nbytes(self) -> int:
        """The vectors."""
        return 16 + self._vectors[: self._size].nbytes

    def _append(self, vector: np.ndarray) -> None:
        if self._size == len(self._vectors):
            larger = np.zeros((max(64, 2 * self._size), len(vector)), np.float32)
            larger[: self._size] = self._vectors if self._size else 0
            self._vectors = larger
        self._vectors[self._size] = vector
        self._size += 1


def dense(embedder: str = "hashing") -> PolicyAgent:
    """Adds every message until the budget is full; reads the ten nearest by an embedder's vectors.

    Args:
        embedder: as in `memgym.memory.embed.make_embedder`.
    """
    make = make_embedder(embedder)
    card = AgentCard(
        name="dense",
        kind="scripted",
        description="Adds every message until the budget is full, then nothing more; retrieves ten by vectors.",
        extra={"embedder": make.name},
    )
    return PolicyAgent(card, lambda: DensePolicy(make))
