"""A memory system as a library object: an engine and the policy that drives it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import AppliedOp, Hit, MemoryEntry
from memgym.memory.ops import MemoryOp, dump_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Shown

__all__ = ["MemoryStore"]


class MemoryStore:
    """The same policy that plays memgym's text tasks, for use in an application.

    The methods follow what users of mem0 and LangMem know: `add` a message and let the policy decide,
    `search`, `update`, `delete`, `history`.

    Args:
        engine: the bank; its budget applies.
        policy: decides what is written.

    >>> from memgym.agents.bm25 import AddAllPolicy
    >>> store = MemoryStore(MemoryEngine(), AddAllPolicy())
    >>> store.add("I moved to Oslo", speaker="Maya")["results"][0]["event"]
    'ADD'
    >>> store.search("Where does Maya live?")[0].entry.text
    'Maya: I moved to Oslo'
    """

    def __init__(self, engine: MemoryEngine, policy: MemoryPolicy) -> None:
        self.engine = engine
        self.policy = policy
        self._step = 0

    def add(
        self, message: str | Mapping[str, str], *, speaker: str = "", time: str = ""
    ) -> dict[str, list[dict[str, Any]]]:
        """Hand a message to the policy and carry out what it decides.

        Args:
            message: text, or a chat message ``{"role": ..., "content": ...}``.
            speaker: who said it; a chat message's role where it is not given.
            time: when, ISO 8601.

        Returns:
            ``{"results": [{"id", "event", "memory", "reason"}]}``, one for each operation; a refused one has
            the reason, so that nothing is dropped silently.
        """
        if not isinstance(message, str):
            speaker, message = speaker or message["role"], message["content"]
        self._step += 1
        said = Message(message, speaker, time)
        ops = self.policy.write(said, self._view(message))
        results = [self._apply(op) for op in ops]
        results += [self._apply(op) for op in self.policy.consolidate(self._view(message))]
        return {
            "results": [
                {"id": done.id, "event": done.op.kind.name, "memory": done.op.text, "reason": done.reason}
                for done in results
            ]
        }

    def read(self, question: str, *, time: str = "", choices: Sequence[str] = ()) -> ReadResult:
        """What the policy finds for a question."""
        return self.policy.read(
            Message(question, time=time, choices=tuple(choices)),
            lambda query, k: [_shown(hit.entry, hit.score) for hit in self.engine.search(query, k)],
        )

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The `k` entries nearest to `query`, best first; the policy is not asked."""
        return self.engine.search(query, k)

    def update(self, id: str, text: str, **attrs: Any) -> AppliedOp:
        """Replace the text of an entry; the older version stays in `history`."""
        return self._apply(MemoryOp.update(id, text, **attrs))

    def delete(self, id: str) -> AppliedOp:
        """Forget an entry, its versions included."""
        return self._apply(MemoryOp.delete(id))

    def history(self, id: str) -> list[MemoryEntry]:
        """All versions of an entry, oldest first."""
        return self.engine.history(id)

    def get_all(self) -> list[MemoryEntry]:
        """All entries, oldest first."""
        return self.engine.get_all()

    def _apply(self, op: MemoryOp) -> AppliedOp:
        return self.engine.apply(op, step=self._step)

    def _view(self, text: str) -> MemoryView:
        left = self.engine.bytes_left
        near = [_shown(hit.entry, hit.score) for hit in self.engine.search(text, 10)]
        return MemoryView(near, np.iinfo(np.int64).max if left is None else left, self.engine.sizes)


def _shown(entry: MemoryEntry, score: float = 0.0) -> Shown:
    return {"id": entry.id, "text": entry.text, "attrs": dump_attrs(entry.attrs), "score": score}
