"""Other packages' Gymnasium environments under memgym's protocol, by their own ids.

`PEERS` lists the packages whose ids a suite's task may name as they are. Any other environment joins a suite of
yours under an id that you register, with a rule that turns an episode's return into a score:

>>> env = normalise(gym.make("FrozenLake-v1"), score=lambda ret, info: ret)
>>> observation, info = env.reset(seed=7, options={"episode": 3})
>>> observation.shape, env.action_space
((16,), Discrete(4))
"""

import importlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from memgym.errors import DependencyMissing, InvalidOperation
from memgym.rng import episode_key, stream_id

__all__ = ["PEERS", "Normalised", "Peer", "make_peer", "normalise", "peer_of"]

Score = Callable[[float, Mapping[str, Any]], float]
"""From an episode's return and its last `info`, a number from 0 to 1."""


class Normalised(gym.Env[NDArray[Any], Any]):
    """Another package's environment as memgym's protocol needs it.

    Its episodes are pure functions of (seed, episode number), as in `memgym.core.env.MemoryEnv`: the environment
    inside is reset with a seed of 31 bits that is drawn for the episode. The last `info` has ``"score"`` and
    ``"success"``, which is a score of 1.

    Observations are a Box: one that is a Box already stays as it is; Discrete, MultiDiscrete, Tuple and Dict
    are flattened as `gymnasium.spaces.flatten` does (one-hot numbers), as float32. Texts in a Dict are left
    out, such as minigrid's mission. Actions are those of the environment.

    Args:
        env: with actions that are Discrete, MultiDiscrete, MultiBinary or Box.
        score: from the return and the last `info`.

    Raises:
        ValueError: its observations have no fixed size, or its actions are of another kind.
    """

    family: ClassVar[str] = "control"
    metric: ClassVar[str] = "score"

    def __init__(self, env: gym.Env, score: Score) -> None:
        known = spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary | spaces.Box
        if not isinstance(env.action_space, known):
            raise ValueError(
                f"normalise needs Discrete, MultiDiscrete or Box actions, not {env.action_space}."
            )
        self.env = env
        self.metadata = env.metadata
        self.render_mode = env.render_mode
        self.action_space = env.action_space
        self._inner = _without_text(env.observation_space)
        self.observation_space = _flat_space(self._inner)
        self._score = score
        self._seed: int | None = None
        self._episode = -1
        self._return = 0.0

    @property
    def episode(self) -> int:
        """Number of the current episode under the current seed."""
        return self._episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start episode 0 of a seed, the next one, or number ``options["episode"]``; other options pass through.

        Raises:
            ValueError: a negative episode.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        if seed is None and self._seed is None:
            seed = seeding.np_random()[1]
        if seed is not None:
            self._seed, self._episode = seed, -1
        assert self._seed is not None
        self._episode = int(options.pop("episode", self._episode + 1))
        if self._episode < 0:
            raise ValueError(f"episode is at least 0, not {self._episode}.")
        key = episode_key(self._seed, self._episode, stream_id("Normalised"))
        self._return = 0.0
        observation, info = self.env.reset(seed=key >> 33, options=options or None)
        return self._flat(observation), deepcopy(info)

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            InvalidOperation: the action is not in the action space.
            ValueError: the score is not from 0 to 1.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._checked(action))
        self._return += float(reward)
        info = deepcopy(info)  # some keep it and change it later
        if terminated or truncated:
            score = float(self._score(self._return, info))
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"score(return, info) is from 0 to 1, not {score}.")
            info |= {"score": score, "success": score > 1.0 - 1e-9}  # a sum of rewards may miss 1 by rounding
        return self._flat(observation), float(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """What the environment renders."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _flat(self, observation: Any) -> NDArray[Any]:
        if isinstance(self._inner, spaces.Box):
            return np.array(observation)  # some environments hand out one buffer again and again
        return np.asarray(spaces.flatten(self._inner, observation), np.float32)

    def _checked(self, action: Any) -> Any:
        """The action in the type that its space samples: recorded ones come as plain lists."""
        space = self.action_space
        try:
            given = np.asarray(action)
        except ValueError:  # rows of several lengths
            given = np.array(None)
        if isinstance(space, spaces.Box) and given.dtype.kind in "iuf":
            given = given.astype(space.dtype)
        if given.dtype.kind not in "biuf" or not space.contains(given):
            raise InvalidOperation(f"an action is one of {space}, not {str(action)[:60]}.")
        return int(given) if isinstance(space, spaces.Discrete) else given


def _is_text(space: gym.Space) -> bool:
    return space.dtype is not None and np.dtype(space.dtype).kind == "U"


def _without_text(space: gym.Space) -> gym.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: part for key, part in space.items() if not _is_text(part)})
    return space


def _flat_space(space: gym.Space) -> spaces.Box:
    if isinstance(space, spaces.Box):
        return space
    try:
        flat = None if _is_text(space) else spaces.flatten_space(space)
    except (NotImplementedError, ValueError):  # a kind that cannot be flattened; an empty Dict
        flat = None
    if not isinstance(flat, spaces.Box):
        raise ValueError(f"normalise needs observations that are a fixed number of numbers, not {space}.")
    return spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)


# ---------------------------------------------------------------------- packages that are known


def _from_symmetric(ret: float, info: Mapping[str, Any]) -> float:
    """Returns from -1 to 1, which sums of many small rewards miss by rounding."""
    return min(1.0, max(0.0, (ret + 1.0) / 2.0))


def _from_any_reward(ret: float, info: Mapping[str, Any]) -> float:
    return float(ret > 0.0)


def _from_success(ret: float, info: Mapping[str, Any]) -> float:
    return float(bool(info["success"]))


@dataclass(frozen=True)
class Peer:
    """A package with memory environments.

    Attributes:
        package: to import, which registers its ids.
        install: the command that brings it.
        score: its rule for an episode's score.
    """

    package: str
    install: str
    score: Score

    def load(self) -> str:
        """Import it; returns why that is not possible, ``""`` where it is."""
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            return f"the package {error.name or self.package!r} is not installed: {self.install}"
        return ""


_MEMORY_GYM = Peer(
    # it asks for one old version of gymnasium and runs with new ones
    "memory_gym",
    "pip install pygame; pip install --no-deps memory-gym",
    _from_success,
)

PEERS: dict[str, Peer] = {
    "popgym-": Peer("popgym", "pip install popgym", _from_symmetric),
    # the other MiniGrid tasks say in the mission what to do
    "MiniGrid-Memory": Peer("minigrid", "pip install minigrid", _from_any_reward),
    # its endless tasks have no best score
    "MortarMayhem": _MEMORY_GYM,
    "MysteryPath": _MEMORY_GYM,
    "SearingSpotlights": _MEMORY_GYM,
}
"""What the ids of an environment begin with, and the package that registers them."""


def peer_of(env_id: str) -> Peer | None:
    """The package that registers `env_id`, if it is in `PEERS`."""
    return next((peer for prefix, peer in PEERS.items() if env_id.startswith(prefix)), None)


def normalise(env: gym.Env, score: Score | None = None) -> Normalised:
    """`env` as the protocol needs it, see `Normalised`.

    Args:
        env: any Gymnasium environment.
        score: the rule for an episode's score; that of `PEERS` where None.

    Raises:
        ValueError: no rule is given and none is known; or the spaces do not fit.
    """
    if score is None:
        env_id = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        peer = peer_of(env_id)
        if peer is None:
            raise ValueError(
                f"no score is known for {env_id!r}: give score, a function of (return, last info)."
            )
        score = peer.score
    return Normalised(env, score)


def make_peer(peer: Peer, env_id: str, **kwargs: Any) -> Normalised:
    """Import `peer` and make the environment that it registers as `env_id`.

    Raises:
        DependencyMissing: the package is not installed.
    """
    if reason := peer.load():
        raise DependencyMissing(f"{env_id}: {reason}")
    return Normalised(gym.make(env_id, disable_env_checker=True, **kwargs), peer.score)
