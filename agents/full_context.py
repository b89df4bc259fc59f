"""Keep the whole history outside the bank: the offline setting, at full cost in bytes."""

from dataclasses import dataclass, field
from typing import Any

from memgym.core.agent import Agent, AgentCard
from memgym.envs.text import Phase
from memgym.memory import as_action
from memgym.memory.ops import dump_attrs
from memgym.readers.extractive import extractive_reader

__all__ = ["FullContextAgent"]


@dataclass
class _Context:
    """All turns so far, and their bytes."""

    turns: list[dict[str, str]] = field(default_factory=list)
    nbytes: int = 0


class FullContextAgent(Agent):
    """Keeps every turn as its own context and reads all of it for each question; the bank stays empty."""

    families = ("text",)
    card = AgentCard(
        name="full-context",
        kind="scripted",
        description="Keeps the whole conversation in its own context and reads all of it for each question.",
        setting="offline",
    )

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Remember an item, answer a question."""
        if state is None or episode_start:
            state = _Context()
        if observation["phase"] == Phase.QUESTION:
            answer = extractive_reader(observation["text"], state.turns, observation["choices"])
            return as_action(answer=answer), state
        text = f"{observation['speaker']}: {observation['text']}"
        attrs = dump_attrs({"time": observation["time"]})
        state.turns.append({"text": text, "attrs": attrs})
        state.nbytes += len(text.encode()) + len(attrs.encode())
        return as_action(), state

    def memory_nbytes(self, state: Any) -> int:
        """Every turn and its date."""
        return state.nbytes if state is not None else 0
