"""Your own memory system in thirty lines, evaluated like the reference agents.

    cd examples
    memgym evaluate --agents my_agent:make,recency,rules,random,oracle --suite dialogue --out results
    memgym verify results
    memgym leaderboard build results --out site

This one keeps the last statement that each speaker made about each word, a crude key-value memory.
"""

from memgym.agents.bm25 import as_entry, op_nbytes
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory.lexical import stems
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message


class LongestOverlap(MemoryPolicy):
    """Overwrites the entry of the same speaker that shares at least two words, otherwise adds while it fits."""

    def __init__(self) -> None:
        self.next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """One UPDATE, one ADD or nothing."""
        new = as_entry(message)
        for entry in view.entries:
            same_speaker = entry["text"].startswith(f"{message.speaker}: ")
            if same_speaker and len(stems(entry["text"]) & stems(new.text)) >= 3:  # two and the name
                return [MemoryOp.update(entry["id"], new.text, **new.attrs)]
        if op_nbytes(new, f"m{self.next_id}") > view.bytes_left:
            return []
        self.next_id += 1
        return [new]


def make() -> PolicyAgent:
    """What `--agent my_agent:make` calls."""
    card = AgentCard("my-agent", "scripted", "Overwrites what shares two words with the same speaker's news.")
    return PolicyAgent(card, LongestOverlap)
