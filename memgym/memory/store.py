"""A memory system as a library object: an engine and the policy that drives it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import AppliedOp, Hit, MemoryEntry, Scope
from memgym.memory.filters import compile_filters
from memgym.memory.ops import MemoryOp, OpKind, dump_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Shown
from memgym.memory.retrieval import answer_search

__all__ = ["MemoryStore"]

UNLIMITED = np.iinfo(np.int64).max
MAX_K = 10_000  # hits of a policy's search
WRITING = (OpKind.ADD, OpKind.UPDATE, OpKind.MERGE)


class MemoryStore:
    """The same policy that plays memgym's text tasks, for use in an application.

    | here | mem0 | LangMem (LangGraph's store) |
    | --- | --- | --- |
    | `add(messages, user_id=..., metadata=...)` | `add` | a memory manager's `invoke` |
    | `add(messages, infer=False)` | `add(infer=False)` | `put` |
    | `search(query, k, filters=...)` | `search(query, top_k, filters)` | `search(query, limit, filter)` |
    | `get`, `get_all`, `history`, `update`, `delete`, `delete_all` | the same | `get`, `put`, `delete` |
    | `user_id`, `agent_id`, `run_id` | the same | the namespace |

    Searches and reads return entries and hits (`memgym.memory.entry`) rather than dictionaries. Nothing is dropped
    silently: `add` lists every operation with the reason where one was refused. Whatever names a user, agent or run
    sees and changes their entries alone; calls that name none see all.

    Args:
        engine: the bank; its budget applies. A `memgym.memory.persistent.PersistentEngine` keeps it in a file.
        policy: decides what is written. A function that makes one gives each scope its own; one policy as it is
            serves one scope only.

    >>> from memgym.agents.bm25 import AddAllPolicy
    >>> store = MemoryStore(MemoryEngine(), AddAllPolicy)
    >>> store.add("I moved to Oslo", speaker="Maya", user_id="maya")["results"][0]["event"]
    'ADD'
    >>> store.search("Where does Maya live?", user_id="maya")[0].entry.text
    'Maya: I moved to Oslo'
    >>> store.search("Where does Maya live?", user_id="jonas")
    []
    """

    def __init__(self, engine: MemoryEngine, policy: MemoryPolicy | Callable[[], MemoryPolicy]) -> None:
        self.engine = engine
        self.policy = policy
        self._policies: dict[Scope, MemoryPolicy] = {}
        self._step = engine.last_step

    def add(
        self,
        messages: str | Mapping[str, str] | Sequence[Mapping[str, str]],
        *,
        speaker: str = "",
        time: str = "",
        metadata: Mapping[str, Any] | None = None,
        infer: bool = True,
        user_id: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> dict[str, list[dict[str, Any]]]:
        """Hand messages to the policy, one after the other, and carry out what it decides.

        Args:
            messages: text, a chat message ``{"role": ..., "content": ...}``, or a list of those.
            speaker: who said it; a chat message's role where it is not given.
            time: when, ISO 8601.
            metadata: attributes of every entry that is written.
            infer: False stores the messages as they stand, without asking the policy.
            user_id: whose memory.
            agent_id: which agent's.
            run_id: of which session.

        Returns:
            ``{"results": [{"id", "event", "memory", "reason"}]}``, one for each operation; a refused one has
            the reason, so that nothing is dropped silently.

        Raises:
            ValueError: a chat message without role or content, or a second scope for one policy.
        """
        scope = Scope(user_id, agent_id, run_id)
        several = [messages] if isinstance(messages, str | Mapping) else messages
        done = [
            each
            for message in several
            for each in self._add(_message(message, speaker, time), scope, infer, metadata)
        ]
        return {
            "results": [
                {"id": each.id, "event": each.op.kind.name, "memory": each.op.text, "reason": each.reason}
                for each in done
            ]
        }

    def read(
        self,
        question: str,
        *,
        time: str = "",
        choices: Sequence[str] = (),
        user_id: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> ReadResult:
        """What the policy finds for a question."""
        scope = Scope(user_id, agent_id, run_id)

        def search(query: str, k: int = 10, **how: Any) -> list[Shown]:
            hits = answer_search(self.engine, MemoryOp.search(query, k, **how), MAX_K, scope)
            return [_shown(hit.entry, hit.score) for hit in hits]

        asked = Message(question, time=time, choices=tuple(choices))
        return self._policy_of(scope).read(asked, search)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filters: Mapping[str, Any] | None = None,
        views: Sequence[str] = ("lexical",),
        as_of: int | None = None,
        valid_at: str = "",
        user_id: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> list[Hit]:
        """The `k` entries nearest to `query`, best first; the policy is not asked.

        Args:
            query: words to look for.
            k: how many at most.
            filters: what attributes must be (`memgym.memory.filters.compile_filters`).
            views: as in `MemoryEngine.search`, as are `as_of` and `valid_at`.
            as_of: number of an operation.
            valid_at: ISO 8601.
            user_id: whose memory.
            agent_id: which agent's.
            run_id: of which session.
        """
        return self.engine.search(
            query,
            k,
            views=views,
            filter=compile_filters(filters) if filters else None,
            as_of=as_of,
            valid_at=valid_at,
            scope=Scope(user_id, agent_id, run_id),
        )

    def update(
        self, id: str, text: str, *, user_id: str = "", agent_id: str = "", run_id: str = "", **attrs: Any
    ) -> AppliedOp:
        """Replace the text of an entry, and the attributes given; the older version stays in `history`."""
        return self._apply(MemoryOp.update(id, text, **attrs), Scope(user_id, agent_id, run_id))

    def delete(self, id: str, *, user_id: str = "", agent_id: str = "", run_id: str = "") -> AppliedOp:
        """Forget an entry, its versions included, and empty what an extended bank has derived from it."""
        return self._apply(MemoryOp.delete(id), Scope(user_id, agent_id, run_id))

    def delete_all(self, *, user_id: str = "", agent_id: str = "", run_id: str = "") -> list[AppliedOp]:
        """Forget every entry of a user, agent or run, archived ones included; frozen ones are refused."""
        scope = Scope(user_id, agent_id, run_id)
        entries = [entry for status in ("", "archived", "stale") for entry in self._all(status, scope)]
        return [self._apply(MemoryOp.delete(e.id), scope) for e in entries if e.id in self.engine]

    def get(self, id: str, *, user_id: str = "", agent_id: str = "", run_id: str = "") -> MemoryEntry | None:
        """An entry, None where there is none."""
        try:
            return self.engine.get(id, scope=Scope(user_id, agent_id, run_id))
        except KeyError:
            return None

    def get_all(
        self,
        *,
        filters: Mapping[str, Any] | None = None,
        user_id: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> list[MemoryEntry]:
        """All active entries that the filters keep, oldest first."""
        keep = compile_filters(filters or {})
        return [entry for entry in self._all("", Scope(user_id, agent_id, run_id)) if keep(entry)]

    def history(
        self, id: str, *, user_id: str = "", agent_id: str = "", run_id: str = ""
    ) -> list[MemoryEntry]:
        """All versions of an entry, oldest first."""
        return self.engine.history(id, scope=Scope(user_id, agent_id, run_id))

    # ------------------------------------------------------------------ inside

    def _add(
        self, message: Message, scope: Scope, infer: bool, metadata: Mapping[str, Any] | None
    ) -> list[AppliedOp]:
        self._step += 1
        if not infer:
            dated = {"time": message.time} if message.time else {}
            return [self._apply(_with(MemoryOp.add(message.said, **dated), metadata), scope)]
        policy = self._policy_of(scope)
        done = [
            self._apply(_with(op, metadata), scope)
            for op in policy.write(message, self._view(message, scope))
        ]
        tidied = policy.consolidate(self._view(message, scope))
        return done + [self._apply(_with(op, metadata), scope) for op in tidied]

    def _policy_of(self, scope: Scope) -> MemoryPolicy:
        if scope not in self._policies:
            if not isinstance(self.policy, MemoryPolicy):
                self._policies[scope] = self.policy()
            elif self._policies:
                raise ValueError("one policy serves one scope: give a function that makes one for each.")
            else:
                self._policies[scope] = self.policy
        return self._policies[scope]

    def _all(self, status: str, scope: Scope) -> list[MemoryEntry]:
        return self.engine.get_all(status=status, scope=scope)

    def _apply(self, op: MemoryOp, scope: Scope) -> AppliedOp:
        return self.engine.apply(op, step=self._step, scope=scope)

    def _view(self, message: Message, scope: Scope) -> MemoryView:
        engine = self.engine
        near = [_shown(hit.entry, hit.score) for hit in engine.search(message.text, 10, scope=scope)]
        left = UNLIMITED if engine.bytes_left is None else engine.bytes_left
        return MemoryView(near, left, engine.sizes_in(scope), engine.next_id)


def _message(message: str | Mapping[str, str], speaker: str, time: str) -> Message:
    if isinstance(message, str):
        return Message(message, speaker, time)
    parts = [message.get("role", ""), message.get("content", "")]
    if not all(isinstance(part, str) and part for part in parts):
        raise ValueError("a chat message has 'role' and 'content', both text.")
    return Message(parts[1], speaker or parts[0], time)


def _with(op: MemoryOp, metadata: Mapping[str, Any] | None) -> MemoryOp:
    """An operation that writes text, with attributes that it does not have itself."""
    if not metadata or OpKind.parse(op.kind) not in WRITING:
        return op
    return MemoryOp(op.kind, op.id, op.text, {**metadata, **op.attrs})


def _shown(entry: MemoryEntry, score: float = 0.0) -> Shown:
    return {"id": entry.id, "text": entry.text, "attrs": dump_attrs(entry.attrs), "score": score}
