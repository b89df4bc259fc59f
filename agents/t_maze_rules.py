"""A T-Maze player that retains but never rewrites: the line between the two abilities."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from memgym.core.agent import Agent, AgentCard
from memgym.envs.t_maze import FORWARD, LEFT, RIGHT, EndlessTMaze

__all__ = ["FirstCueAgent"]


class FirstCueAgent(Agent):
    """Keeps the first corridor's cue for ever and turns by it: success 0.5^(n-1) on n corridors.

    It tries its turn in every cell after the first, as a turn in the corridor does nothing, and then steps
    forward; so it needs to see no junction. Its whole memory is one byte: the cue (2 bits) and whether it
    turned in this cell (1 bit).
    """

    card = AgentCard(
        name="first-cue",
        kind="reference",
        description="Keeps the first cue for ever: retention without rewriting.",
    )
    families: ClassVar[tuple[str, ...]] = ("control",)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The action, and the byte."""
        memory = 0 if state is None or episode_start else int(state)
        cue, turned = memory & 3, bool(memory & 4)
        at_start = observation[1] > 0 or observation[2] > 0
        if at_start:
            cue = cue or (LEFT if observation[1] > 0 else RIGHT)
            return np.int64(FORWARD), np.uint8(cue)
        if turned:
            return np.int64(FORWARD), np.uint8(cue)
        return np.int64(cue), np.uint8(cue | 4)

    def memory_nbytes(self, state: Any) -> int:
        """One byte."""
        return 0 if state is None else 1

    def cannot_play(self, env: gym.Env) -> str:
        """Anything but an Endless T-Maze."""
        return "" if isinstance(env.unwrapped, EndlessTMaze) else "plays EndlessTMaze only"
