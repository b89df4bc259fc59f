"""The floor: what acting at random scores."""

from typing import Any

import gymnasium as gym

from memgym.core.agent import Agent, AgentCard
from memgym.envs.text import Phase
from memgym.memory import MemoryOp, as_action
from memgym.rng import CounterRNG

__all__ = ["RandomAgent"]


class RandomAgent(Agent):
    """Random actions in control tasks; in text tasks, random storing and deleting and a random answer.

    An open question is answered with a random entry of the bank, a choice question with a random choice.
    """

    card = AgentCard(
        name="random", kind="reference", description="Acts at random: the floor.", setting="closed-book"
    )

    def __init__(self) -> None:
        self._rng = CounterRNG(0)
        self._space: gym.Space | None = None

    def wrap(self, env: gym.Env) -> gym.Env:
        """Remember the action space."""
        self._space = env.action_space
        return env

    def seed(self, seed: int) -> None:
        """Start the random source."""
        self._rng = CounterRNG(seed)
        if self._space is not None:
            self._space.seed(self._rng.integer(0, 2**31 - 1))

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """A random action; `state` is not used."""
        if isinstance(observation, dict) and "phase" in observation:
            return self._text_action(observation), None
        if self._space is None:
            raise RuntimeError("call wrap(env) first, so that the agent knows the action space.")
        return self._space.sample(), None

    def _text_action(self, observation: dict[str, Any]) -> dict[str, Any]:
        memory = observation["memory"]
        if observation["phase"] == Phase.QUESTION:
            pool = observation["choices"] or [entry["text"] for entry in memory] or [""]
            return as_action(answer=self._rng.choice(pool))
        draw = self._rng.integer(0, 2)
        if draw == 1:
            return as_action([MemoryOp.add(observation["text"])])
        if draw == 2 and memory:
            return as_action([MemoryOp.delete(self._rng.choice(memory)["id"])])
        return as_action()
