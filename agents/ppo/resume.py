"""Bringing environments back to where they stood, by playing the episodes under way again.

An environment that follows memgym's protocol is a pure function of its seed, the number of its episode and the
actions since that began. So these are all that a checkpoint has to hold, and no object is unpickled.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from memgym.core.env import MemoryEnv
from memgym.envs.control_vector import ControlVectorEnv
from memgym.wrappers.normalise import Normalised

__all__ = ["EpisodeLog", "can_replay", "replay"]

TRIM_EVERY = 256
SCALARS = (MemoryEnv, Normalised)  # what follows memgym's protocol, one environment at a time


class EpisodeLog:
    """Seed, episode number and actions so far of the episode under way in each environment.

    Args:
        num_envs: number of environments.

    Attributes:
        seed: environment i has this plus i.
        episodes: number of the episode in each.
        since: steps of it in each.
    """

    def __init__(self, num_envs: int) -> None:
        self.seed = 0
        self.episodes = np.zeros(num_envs, np.int64)
        self.since = np.zeros(num_envs, np.int64)
        self._actions: list[NDArray[Any]] = []

    def copy(self) -> "EpisodeLog":
        """The log as it is now."""
        other = EpisodeLog(len(self.since))
        other.seed, other.episodes, other.since = self.seed, self.episodes.copy(), self.since.copy()
        other._actions = self._actions[len(self._actions) - int(self.since.max()) :]
        return other

    def start(self, seed: int) -> None:
        """Episode 0 of a seed begins everywhere."""
        self.seed = seed
        self.episodes[:] = self.since[:] = 0
        self._actions.clear()

    def append(self, actions: NDArray[Any], restarted: NDArray[np.bool_]) -> None:
        """A step of all environments, and where it began a new episode."""
        self._actions.append(actions)
        self.since += 1
        self.since[restarted] = 0
        self.episodes += restarted
        if len(self._actions) % TRIM_EVERY == 0:
            del self._actions[: len(self._actions) - int(self.since.max())]

    def to_arrays(self) -> dict[str, NDArray[np.int64]]:
        """All of it but the seed, as arrays."""
        steps = int(self.since.max())
        recent = self._actions[len(self._actions) - steps :]
        actions = np.array(recent, np.int64) if recent else np.zeros((0, len(self.since)), np.int64)
        return {"episodes": self.episodes, "since": self.since, "actions": actions}

    def from_arrays(self, seed: int, arrays: Mapping[str, NDArray[np.int64]]) -> None:
        """What `to_arrays` gave.

        Raises:
            ValueError: shapes or numbers that no log has.
        """
        episodes, since, actions = arrays["episodes"], arrays["since"], arrays["actions"]
        if not episodes.shape == since.shape == self.since.shape or (since < 0).any() or (episodes < 0).any():
            raise ValueError("the episodes under way are not told for each environment.")
        if actions.ndim < 2 or actions.shape[1] != len(since) or len(actions) < since.max():
            raise ValueError("actions of the episodes under way are missing.")
        self.seed = seed
        self.episodes[:], self.since[:] = episodes, since
        self._actions = list(actions)


def can_replay(env: VectorEnv) -> bool:
    """Whether an environment follows memgym's protocol, which its class says.

    An attribute `episode` alone does not: others count their episodes too, which no seed leads back to.
    """
    inner: Any = env.unwrapped
    if isinstance(inner, SyncVectorEnv):
        return all(isinstance(one.unwrapped, SCALARS) for one in inner.envs)
    return isinstance(inner, ControlVectorEnv)


def replay(env: VectorEnv, log: EpisodeLog) -> Any:
    """Bring `env` to where `log` stands, and return its observation.

    Environments whose episode has fewer steps wait for the others, in any episode, before theirs begins.
    """
    observation, _ = env.reset(seed=log.seed)
    arrays = log.to_arrays()
    steps = len(arrays["actions"])
    for left in range(steps, -1, -1):
        for episode in np.unique(log.episodes[log.since == left]):
            mask = (log.since == left) & (log.episodes == episode)
            observation, _ = env.reset(options={"reset_mask": mask, "episode": int(episode)})
        if left:
            actions = arrays["actions"][steps - left].astype(env.action_space.dtype)
            observation = env.step(actions)[0]
    return observation
