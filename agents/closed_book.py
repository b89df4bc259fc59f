"""What a text task gives away to somebody who remembers nothing."""

from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["NoMemoryPolicy", "closed_book"]


class NoMemoryPolicy(MemoryPolicy):
    """Writes nothing and finds nothing."""

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """Nothing."""
        return []

    def read(self, question: Message, search: Search) -> ReadResult:
        """Nothing, without searching."""
        return ReadResult([])


def closed_book() -> PolicyAgent:
    """Always abstains: the constant that every overall score has to be read against."""
    card = AgentCard(
        name="closed-book",
        kind="reference",
        description="Remembers nothing, so it abstains on every question.",
        setting="closed-book",
    )
    return PolicyAgent(card, NoMemoryPolicy)
