"""A memory policy as an agent: it plays text tasks through `predict`, on the bank of the environment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memgym.core.agent import Agent, AgentCard
from memgym.envs.text import Phase
from memgym.memory import MemoryOp, as_action
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, Shown
from memgym.readers import Reader
from memgym.readers.extractive import extractive_reader

__all__ = ["PolicyAgent"]


class _NeedsSearch(Exception):
    """A policy asked for a search whose hits have not come back yet."""

    def __init__(self, op: MemoryOp) -> None:
        self.op = op


@dataclass
class _Episode:
    """What the agent carries from step to step."""

    policy: MemoryPolicy
    results: list[Sequence[Shown]] = field(default_factory=list)  # hits for the current question so far
    waiting_on: Message | None = None  # the question whose hits come with the next observation


class PolicyAgent(Agent):
    """Plays text tasks with a `MemoryPolicy` and a reader.

    A search costs a step in the environment: the agent sends a SEARCH, gets the hits with the next
    observation, and calls the policy's `read` again, now with those hits at hand.

    Args:
        card: of the agent.
        make_policy: makes a fresh policy for each episode.
        reader: answers from what the policy found.
        spent: what the language model that the policies ask, or rules in its place, have cost so far.
    """

    families = ("text",)

    def __init__(
        self,
        card: AgentCard,
        make_policy: Callable[[], MemoryPolicy],
        reader: Reader = extractive_reader,
        spent: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.card = card
        self.make_policy = make_policy
        self.reader = reader
        self._spent = spent

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Operations for an item, a search or an answer for a question."""
        if state is None or episode_start:
            state = _Episode(self.make_policy())
        message = Message(
            observation["text"], observation["speaker"], observation["time"], tuple(observation["choices"])
        )
        if observation["phase"] == Phase.QUESTION:
            return self._answer(message, observation, state), state
        state.results, state.waiting_on = [], None
        view = MemoryView(observation["memory"], int(observation["bytes_left"]))
        return as_action([*state.policy.write(message, view), *state.policy.consolidate(view)]), state

    def memory_nbytes(self, state: Any) -> int:
        """What the policy keeps outside the bank."""
        return state.policy.nbytes() if state is not None else 0

    def usage(self) -> Mapping[str, int]:
        """What its policies' steps have cost."""
        return self._spent()

    def _answer(self, question: Message, observation: Any, state: _Episode) -> dict[str, Any]:
        if state.waiting_on == question:
            state.results.append(observation["hits"])
        else:  # a new question; where a search was refused, the last one was answered with the fallback
            state.results = []
        results = iter(state.results)

        def search(query: str, k: int = 10, **how: Any) -> Sequence[Shown]:
            hits = next(results, None)
            if hits is None:
                raise _NeedsSearch(MemoryOp.search(query, k, **how))
            return hits

        try:
            found = state.policy.read(question, search)
        except _NeedsSearch as need:
            state.waiting_on = question
            # the answer counts only where the environment refuses to search
            fallback = self.reader(question.text, observation["memory"], question.choices)
            return as_action([need.op], fallback)
        state.results, state.waiting_on = [], None
        if found.answer is not None:
            return as_action(answer=found.answer)
        return as_action(answer=self.reader(question.text, found.hits, question.choices))
