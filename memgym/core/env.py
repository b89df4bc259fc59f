"""The base of every memgym environment: seeding, splits and the oracle's view."""

from typing import Any, ClassVar, Generic, TypeVar

import gymnasium as gym
from gymnasium.utils import seeding

from memgym.rng import MASK64, episode_key, stream_id

__all__ = ["SPLITS", "MemoryEnv", "check_split"]

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")

SPLITS = ("train", "test")


def check_split(split: str) -> str:
    """Return `split`, or raise a ValueError that names the two there are."""
    if split not in SPLITS:
        raise ValueError(f"split is 'train' or 'test', not {split!r}.")
    return split


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

    @property
    def episode(self) -> int:
        """Number of the current episode under the current seed."""
        return self._episode

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> int:
        """Start an episode and return its key; call first in `reset`."""
        options = options or {}
        unknown = set(options) - {"episode"}
        if unknown:
            raise ValueError(f"unknown reset option {sorted(unknown)[0]!r}; there is 'episode'.")
        if int(options.get("episode", 0)) < 0:
            raise ValueError(f"episode is at least 0, not {options['episode']}.")
        super().reset(seed=seed)
        if seed is None and self._seed is None:
            self._np_random, self._np_random_seed = seeding.np_random()
            seed = self._np_random_seed
        if seed is not None:
            self._seed, self._episode = seed & MASK64, -1
        assert self._seed is not None
        self._episode = int(options.get("episode", self._episode + 1))
        return episode_key(self._seed, self._episode, stream_id(f"{type(self).__name__}/{self.split}"))

    def oracle_state(self) -> dict[str, Any]:
        """What a policy with perfect memory would know; for oracles and auxiliary losses, never for scoring."""
        raise NotImplementedError

    def oracle_action(self) -> ActType:
        """The best action in this state, from `oracle_state`."""
        raise NotImplementedError
