"""Endless T-Maze played by rule: with exact belief, with the first cue kept for ever, or with no memory."""

import numpy as np
from numpy.typing import NDArray

from memgym.envs.t_maze import FORWARD, EndlessTMaze

__all__ = ["TMazePlayer"]


class TMazePlayer:
    """Walks to the junction and takes the turn that it remembers; see `memgym.agents.scripted` for `memory`.

    Where the junction cannot be seen it tries its turn in every cell, as a turn in the corridor does nothing.
    It knows the rule of the task (`rewriting`), and of the episode what it was shown.
    """

    def __init__(self, env: EndlessTMaze, memory: str, seed: int = 0) -> None:
        self._arguments = env.arguments
        self._memory = memory
        self._cue = 1 if memory == "cue-blind" else 0
        self._older = 0
        self._tried = False  # the turn, in this cell

    def act(self, observation: NDArray[np.float32]) -> int:
        """The action."""
        if observation[0] == 0.0:
            self._look(observation)
            return FORWARD
        if self._tried or not self._may_be_junction(observation):
            self._tried = False
            return FORWARD
        self._tried = self._searches
        return self._cue

    def _look(self, observation: NDArray[np.float32]) -> None:
        """Take in what the first cell of a corridor shows; signs further on are never looked at."""
        self._tried = False
        lit = np.flatnonzero(observation[1 : 1 + int(self._arguments.num_cues)]) + 1
        if not lit.size or self._memory == "cue-blind" or (self._memory == "first-cue" and self._cue):
            return
        new = self._older if lit.size > 1 else int(lit[0])
        self._cue, self._older = new, self._cue

    @property
    def _searches(self) -> bool:
        return self._arguments.length_mode == "uniform" and not self._arguments.junction_visible

    def _may_be_junction(self, observation: NDArray[np.float32]) -> bool:
        if self._arguments.junction_visible:
            return bool(observation[-1])
        return self._searches or observation[0] == 1.0

    @property
    def nbytes(self) -> int:
        """A byte for each cue kept; whether it tried its turn is a bit that fits beside one."""
        if self._memory == "cue-blind":
            return int(self._searches)
        return 2 if self._memory == "belief" and self._arguments.rewriting == "reversal" else 1
