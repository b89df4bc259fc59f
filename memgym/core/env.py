"""The base of every memgym environment: seeding, splits and the oracle's view."""

from typing import Any, ClassVar, Generic, TypeVar

import gymnasium as gym
from gymnasium.utils import seeding

from memgym.core.arguments import check_choice, check_integer
from memgym.rng import MASK64, episode_key, stream_id

__all__ = ["SPLITS", "MemoryEnv", "check_split", "read_episode"]

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")

SPLITS = ("train", "test")
MAX_EPISODE = (1 << 62) - 1


def check_split(split: str) -> str:
    """Return `split`, or raise a ValueError that names the two there are."""
    check_choice("split", split, SPLITS)
    return split


def read_episode(options: dict[str, Any]) -> int | None:
    """The episode number that reset options ask for, None where they do not.

    Raises:
        ValueError: another option, or a number that is no episode's.
    """
    unknown = set(options) - {"episode"}
    if unknown:
        raise ValueError(f"unknown reset option {sorted(unknown)[0]!r}; there is 'episode'.")
    if "episode" not in options:
        return None
    check_integer("episode", options["episode"], 0, MAX_EPISODE)
    return int(options["episode"])


class MemoryEnv(gym.Env[ObsType, ActType], Generic[ObsType, ActType]):
    """A Gymnasium environment whose episodes are pure functions of (seed, episode number, arguments).

    ``reset(seed=s)`` starts episode 0 of seed s; each further ``reset()`` starts the next one. An episode in
    the middle is reached directly with ``reset(seed=s, options={"episode": e})``.

    Subclasses call `_begin` in `reset` and derive everything random from the key that it returns.

    Attributes:
        family: ``"control"`` or ``"text"``: which kind of agent can play.
        metric: the key of the episode's headline number in the last `info`.
    """

    family: ClassVar[str]
    metric: ClassVar[str]
    split: str = "train"

    _seed: int | None = None
    _episode: int = -1
    _stream_id: int = 0  # of the seed that there is

    @property
    def episode(self) -> int:
        """Number of the current episode under the current seed."""
        return self._episode

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> int:
        """Start an episode and return its key; call first in `reset`."""
        episode = read_episode(options) if options else None
        if seed is not None or self._seed is None:
            super().reset(seed=seed)
            if seed is None:
                self._np_random, self._np_random_seed = seeding.np_random()
                seed = self._np_random_seed
            self._seed, self._episode = seed & MASK64, -1
            self._stream_id = stream_id(f"{type(self).__name__}/{self.split}")
        self._episode = self._episode + 1 if episode is None else episode
        return episode_key(self._seed, self._episode, self._stream_id)

    def oracle_state(self) -> dict[str, Any]:
        """What a policy with perfect memory would know; for oracles and auxiliary losses, never for scoring."""
        raise NotImplementedError

    def oracle_action(self) -> ActType:
        """The best action in this state, from `oracle_state`."""
        raise NotImplementedError
