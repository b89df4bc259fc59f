"""What an agent is: Stable-Baselines3's `predict`, a card, and an honest count of its memory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium as gym

__all__ = ["Agent", "AgentCard"]

Setting = Literal["closed-book", "offline", "online"]


@dataclass(frozen=True)
class AgentCard:
    """What a result says about the agent that made it.

    Attributes:
        name: unique on a leaderboard.
        kind: ``"reference"`` (floors and ceilings), ``"scripted"``, ``"rl"``, ``"llm"`` or ``"hybrid"``.
        description: one sentence: how it remembers.
        setting: ``"closed-book"`` (no memory), ``"offline"`` (keeps the whole history) or ``"online"``
            (manages a memory as the stream passes).
        privileged: it sees the environment's hidden state; never ranked.
        authors: who made the agent.
        version: of the agent.
        licence: of its code and weights.
        url: where to read more.
        parameters: number of trained parameters.
        training_steps: environment steps it was trained for.
        trained_on: environment ids it was trained on.
        config: arguments that `make_agent` was called with.
        extra: anything else worth knowing, e.g. the training command.
    """

    name: str
    kind: str
    description: str
    setting: Setting = "online"
    privileged: bool = False
    authors: tuple[str, ...] = ("The memgym authors",)
    version: str = "1"
    licence: str = "MIT"
    url: str = ""
    parameters: int = 0
    training_steps: int = 0
    trained_on: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON-like values."""
        return asdict(self)


class Agent(ABC):
    """Base of the reference agents. Anything with `predict` is an agent; this adds the conveniences.

    An agent is made once and plays many episodes. What it remembers within an episode travels in `state`,
    as in Stable-Baselines3; it must not remember anything across episodes.
    """

    card: AgentCard
    files: tuple[Path, ...] = ()
    """What it behaves by besides its code, e.g. weights; their bytes are part of a result's identity."""
    families: ClassVar[tuple[str, ...]] = ("control", "text")

    @abstractmethod
    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """Return the action for one observation, and the state to pass with the next.

        Args:
            observation: of one (unbatched) environment.
            state: what the last call returned; None on the first.
            episode_start: True on the first observation of an episode.
            deterministic: whether to act greedily where the agent can also sample.
        """

    def memory_nbytes(self, state: Any) -> int:
        """Bytes that the agent itself remembers between two steps; the environment's bank is counted apart."""
        return 0

    def usage(self) -> Mapping[str, int]:
        """What language models have cost it since it was made, as `memgym.llm.Usage.to_dict`; empty without one."""
        return {}

    def seed(self, seed: int) -> None:  # noqa: B027 - most agents have nothing to do here
        """Called before every episode; an agent that acts at random starts its random source from here."""

    def wrap(self, env: gym.Env) -> gym.Env:
        """Put the view that this agent needs around `env`; recorded actions stay those of `env` itself."""
        return env

    def cannot_play(self, env: gym.Env) -> str:
        """Why this agent cannot play `env`; ``""`` where it can."""
        family = getattr(env.unwrapped, "family", "")
        return "" if family in self.families else f"plays {' and '.join(self.families)} tasks only"
