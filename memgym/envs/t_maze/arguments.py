"""The arguments of Endless T-Maze, checked, and what follows from them: limit, rewards, reference scores."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice, check_flag, check_integer, check_number
from memgym.core.env import check_split

__all__ = ["LengthMode", "Reward", "Rewriting", "TMazeArguments", "TMazeRewards"]

Rewriting = Literal["overwrite", "retention", "selective", "distractor", "reversal"]
LengthMode = Literal["fixed", "uniform"]
Reward = Literal["paper", "authors_2025"]

REWRITING = ("overwrite", "retention", "selective", "distractor", "reversal")
MAX_CORRIDORS = MAX_LENGTH = 10_000  # the step limit 6 (l + 1) n then fits 32 bits
MAX_CUES = 16
# Draw c of an episode is the cue and the length of corridor c; further draws of a corridor stand this far on.
EVENT_DRAW, DISTRACTOR_DRAW = 1 << 32, 2 << 32
# What a step of the vector form comes to: from LATE on the episode is over, after LATE it is terminated
PASSED, LATE, STALE, BLIND, SEARCH, SOLVED = range(1, 7)


class TMazeRewards(NamedTuple):
    """What a step is worth: at the junction `right` or `wrong`, in the corridor `forward` or `useless`."""

    right: float
    wrong: float
    forward: float
    useless: float


REWARDS = {
    "paper": TMazeRewards(right=1.0, wrong=-1.0, forward=-0.01, useless=-0.01),
    "authors_2025": TMazeRewards(right=1.0, wrong=-0.01, forward=0.0, useless=-0.01),
}


@dataclass(frozen=True)
class TMazeArguments:
    """The arguments that the scalar and the vector form share; see `EndlessTMaze` for what they mean.

    Raises:
        ValueError: an argument outside its range; the message names it and the range.
    """

    num_corridors: int = 3
    corridor_length: int = 5
    length_mode: LengthMode = "fixed"
    junction_visible: bool = False
    rewriting: Rewriting = "overwrite"
    event_rate: float = 0.5
    num_cues: int = 2
    reward: Reward = "paper"
    split: Literal["train", "test"] = "train"

    def __post_init__(self) -> None:
        check_integer("num_corridors", self.num_corridors, 1, MAX_CORRIDORS)
        check_integer("corridor_length", self.corridor_length, 1, MAX_LENGTH)
        check_choice("length_mode", self.length_mode, ("fixed", "uniform"))
        check_flag("junction_visible", self.junction_visible)
        check_choice("rewriting", self.rewriting, REWRITING)
        check_number("event_rate", self.event_rate, 0.0, 1.0)
        check_integer("num_cues", self.num_cues, 2, MAX_CUES)
        check_choice("reward", self.reward, tuple(REWARDS))
        check_split(self.split)

    @property
    def limit(self) -> int:
        """Steps after which an episode is truncated."""
        return 6 * (int(self.corridor_length) + 1) * int(self.num_corridors)

    @property
    def rewards(self) -> TMazeRewards:
        """The numbers of the reward preset."""
        return REWARDS[self.reward]

    @property
    def event_threshold(self) -> int:
        """An event happens where 32 random bits are below this number."""
        return round(float(self.event_rate) * (1 << 32))

    @property
    def stream(self) -> str:
        """Name of the random stream; scalar and vector form share it."""
        return f"EndlessTMaze/{self.split}"

    @property
    def observation_size(self) -> int:
        """Numbers in one observation."""
        return 1 + int(self.num_cues) + bool(self.junction_visible)

    def observation_space(self) -> gym.Space[NDArray[np.float32]]:
        """The space of one observation."""
        space: Any = gym.spaces.Box(0.0, 1.0, (self.observation_size,), np.float32)
        return space

    def action_space(self) -> gym.spaces.Discrete:
        """Forward, and a turn for each cue."""
        return gym.spaces.Discrete(1 + int(self.num_cues))

    def reference_scores(self) -> dict[str, float]:
        """Success rates that follow from the rules, see `ControlEnv.reference_scores`."""
        n, k = int(self.num_corridors), int(self.num_cues)
        return {
            "random": (1 / (k + 1)) ** n,  # passing needs the one right act of k + 1 at every junction
            "cue-blind": self._constant_turn(first_is_right=1 / k),
            "first-cue": self._constant_turn(first_is_right=1.0),
        }

    def _constant_turn(self, first_is_right: float) -> float:
        """Probability that one and the same turn is right at every junction.

        Nothing beats it without memory: the junction always looks the same, and all cues are alike.
        """
        n, k, rate = int(self.num_corridors), int(self.num_cues), float(self.event_rate)
        if self.rewriting == "retention":
            return first_is_right
        if self.rewriting == "selective":
            return first_is_right * (1 - rate + rate / k) ** (n - 1)
        if self.rewriting == "reversal" and n > 1:  # who has passed so far finds its turn in both cues
            return first_is_right / k * (rate + (1 - rate) / k) ** (n - 2)
        return first_is_right * (1 / k) ** (n - 1)
