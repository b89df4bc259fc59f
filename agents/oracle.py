"""The ceiling: what an agent with perfect memory scores."""

from typing import Any

import gymnasium as gym

from memgym.core.agent import Agent, AgentCard
from memgym.core.env import MemoryEnv

__all__ = ["OracleAgent"]


class OracleAgent(Agent):
    """Plays the environment's own `oracle_action`, which sees the hidden state."""

    card = AgentCard(
        name="oracle",
        kind="reference",
        description="Sees the hidden state: the ceiling. Never ranked.",
        privileged=True,
    )

    def __init__(self) -> None:
        self._env: MemoryEnv | None = None

    def wrap(self, env: gym.Env) -> gym.Env:
        """Remember the environment whose hidden state to read."""
        task = env.unwrapped
        self._env = task if isinstance(task, MemoryEnv) else None
        return env

    def cannot_play(self, env: gym.Env) -> str:
        """Only memgym's own environments have an oracle."""
        return "" if isinstance(env.unwrapped, MemoryEnv) else "needs an environment with oracle_action"

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The best action; neither `observation` nor `state` is used."""
        if self._env is None:
            raise RuntimeError("call wrap(env) first, so that the oracle knows which environment to read.")
        return self._env.oracle_action(), None
