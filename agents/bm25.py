"""Store everything, find it by BM25: the baseline that every memory system has to beat."""

from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory import entry_nbytes
from memgym.memory.ops import MemoryOp, dump_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message

__all__ = ["AddAllPolicy", "add_all_bm25", "as_entry", "next_number", "op_nbytes"]


def as_entry(message: Message) -> MemoryOp:
    """The ADD that stores a message as it stands: "Speaker: text", dated."""
    return MemoryOp.add(message.said, **({"time": message.time} if message.time else {}))


def op_nbytes(op: MemoryOp, id: str) -> int:
    """Bytes that an ADD takes from the budget once it has `id`."""
    return entry_nbytes(id, op.text, dump_attrs(op.attrs))


def next_number(view: MemoryView, known: int) -> int:
    """The number of the id that the next ADD gets: `known`, or more where the bank has entries of others."""
    if view.next_id:
        return int(view.next_id[1:])
    if view.bank is None:
        ids = [entry["id"] for entry in view.entries]
    else:
        ids = [next(reversed(view.bank))] if view.bank else []  # ids count up, so the newest has the highest
    return max([known, *(int(id[1:]) + 1 for id in ids if id[1:].isdecimal())])


class AddAllPolicy(MemoryPolicy):
    """Adds every message until the budget is full, then no more."""

    def __init__(self) -> None:
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD, where it fits."""
        op = as_entry(message)
        self._next_id = next_number(view, self._next_id)
        if op_nbytes(op, f"m{self._next_id}") > view.bytes_left:
            return []
        self._next_id += 1
        return [op]

    def nbytes(self) -> int:
        """A counter."""
        return 8


def add_all_bm25() -> PolicyAgent:
    """Adds every message until the budget is full; reads the ten nearest by BM25."""
    card = AgentCard(
        name="add-all-bm25",
        kind="scripted",
        description="Adds every message until the budget is full, then nothing more; retrieves ten by BM25.",
    )
    return PolicyAgent(card, AddAllPolicy)
