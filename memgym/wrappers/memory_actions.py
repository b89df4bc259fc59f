"""A small external memory for any environment: its operations join the actions, its content the observation."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

__all__ = ["MemoryActions", "MemoryActionsVector", "memory_action_space", "memory_observation_space"]

NOOP = 0


def memory_observation_space(inner: gym.Space, num_slots: int) -> spaces.Box:
    """The inner observation, flat, then `num_slots` copies of its range, then `num_slots` flags.

    Raises:
        ValueError: `inner` is not a Box, or `num_slots` is below 1.
    """
    if not isinstance(inner, spaces.Box):
        raise ValueError(f"MemoryActions needs Box observations, not {inner}.")
    if isinstance(num_slots, bool) or not isinstance(num_slots, int | np.integer) or num_slots < 1:
        raise ValueError(f"num_slots is an integer from 1 on, not {num_slots!r}.")
    low, high = inner.low.reshape(-1), inner.high.reshape(-1)
    zero, one = np.zeros(num_slots, low.dtype), np.ones(num_slots, low.dtype)
    # an empty slot reads as zeros, so zero is in its range
    slot_low, slot_high = np.tile(np.minimum(low, 0), num_slots), np.tile(np.maximum(high, 0), num_slots)
    dtype: Any = inner.dtype
    return spaces.Box(
        np.concatenate([low, slot_low, zero]), np.concatenate([high, slot_high, one]), dtype=dtype
    )


def memory_action_space(inner: gym.Space, num_slots: int) -> spaces.MultiDiscrete:
    """Pairs (action, memory operation): NOOP 0, WRITE slot i is 1 + i, ERASE slot i is 1 + `num_slots` + i.

    Raises:
        ValueError: `inner` is not Discrete.
    """
    if not isinstance(inner, spaces.Discrete):
        raise ValueError(f"MemoryActions needs Discrete actions, not {inner}.")
    return spaces.MultiDiscrete([int(inner.n), 1 + 2 * num_slots])


def _flat_size(space: gym.Space) -> int:
    return int(np.prod(space.shape or ()))


class MemoryActions(gym.Wrapper, RecordConstructorArgs):
    """Give an environment `num_slots` slots, each of which holds one observation.

    WRITE stores the observation that the agent has just seen, the one its action answers; the content shows
    from the next observation on. The memory is empty at the start of every episode.

    ``info["memory_bytes"]`` counts the bytes of filled slots and ``info["memory_ops"]`` the operations
    other than NOOP in this episode.

    Args:
        env: an environment with Box observations and Discrete actions.
        num_slots: number of slots.
        show: whether the agent sees the memory. Without it, content *and* flags read as zeros: a flag alone
            could carry a bit.
    """

    def __init__(self, env: gym.Env, num_slots: int = 1, show: bool = True) -> None:
        # recorded, so that `gym.make(env.spec)` makes the wrapped environment again
        RecordConstructorArgs.__init__(self, num_slots=num_slots, show=show)
        gym.Wrapper.__init__(self, env)
        self.observation_space = memory_observation_space(env.observation_space, num_slots)
        self.action_space = memory_action_space(env.action_space, num_slots)
        self.num_slots = int(num_slots)
        self.show = show
        self._first_action = int(getattr(env.action_space, "start", 0))
        dtype: Any = self.observation_space.dtype
        obs_dim = _flat_size(env.observation_space)
        self._seen = np.zeros(obs_dim, dtype)
        self._slots = np.zeros((self.num_slots, obs_dim), dtype)
        self._filled = np.zeros(self.num_slots, dtype)
        self._num_ops = 0

    @property
    def slot_nbytes(self) -> int:
        """Bytes of one filled slot."""
        return self._seen.nbytes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode with an empty memory."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._slots[:] = 0
        self._filled[:] = 0
        self._num_ops = 0
        return self._view(observation), {**info, **self._memory_info()}

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        """Apply the memory operation to what was last seen, then act.

        Raises:
            ValueError: the action is not in the action space.
        """
        act, op = (int(part) for part in action)
        if not 0 <= op < 1 + 2 * self.num_slots:
            raise ValueError(f"a memory operation is from 0 to {2 * self.num_slots}, not {op}.")
        if op != NOOP:
            slot, erase = (op - 1) % self.num_slots, op > self.num_slots
            self._slots[slot] = 0 if erase else self._seen
            self._filled[slot] = not erase
            self._num_ops += 1
        observation, reward, terminated, truncated, info = self.env.step(self._first_action + act)
        return self._view(observation), reward, terminated, truncated, {**info, **self._memory_info()}

    def _view(self, observation: Any) -> NDArray[Any]:
        self._seen[:] = np.reshape(observation, -1)
        obs_dim = self._seen.size
        view = np.zeros(obs_dim + self._slots.size + self.num_slots, self._seen.dtype)
        view[:obs_dim] = self._seen
        if self.show:
            view[obs_dim : -self.num_slots] = self._slots.reshape(-1)
            view[-self.num_slots :] = self._filled
        return view

    def _memory_info(self) -> dict[str, Any]:
        nbytes = int(np.count_nonzero(self._filled)) * self.slot_nbytes
        return {"memory_bytes": nbytes, "memory_ops": self._num_ops}


class MemoryActionsVector(gym.vector.VectorWrapper):
    """`MemoryActions` over any vector environment, in each autoreset mode.

    Args:
        env: a vector environment with Box observations and Discrete actions, and a declared autoreset mode.
        num_slots: number of slots.
        show: whether the agent sees the memory; see `MemoryActions`.
    """

    def __init__(self, env: gym.vector.VectorEnv, num_slots: int = 1, show: bool = True) -> None:
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(f"the vector environment declares no metadata['autoreset_mode']: {mode!r}.")
        inner = env.single_observation_space
        self.single_observation_space = memory_observation_space(inner, num_slots)
        self.single_action_space = memory_action_space(env.single_action_space, num_slots)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.autoreset_mode = mode
        self.num_slots = int(num_slots)
        self.show = show
        self._first_action = int(getattr(env.single_action_space, "start", 0))
        dtype: Any = self.single_observation_space.dtype
        obs_dim = _flat_size(env.single_observation_space)
        self._seen = np.zeros((env.num_envs, obs_dim), dtype)
        self._slots = np.zeros((env.num_envs, self.num_slots, obs_dim), dtype)
        self._filled = np.zeros((env.num_envs, self.num_slots), dtype)
        self._num_ops = np.zeros(env.num_envs, np.int64)
        self._ended = np.zeros(env.num_envs, np.bool_)

    @property
    def slot_nbytes(self) -> int:
        """Bytes of one filled slot of one environment."""
        return self._seen[0].nbytes

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start episodes with empty memories, in all environments or those of ``options["reset_mask"]``."""
        mask = (options or {}).get("reset_mask")
        mask = np.ones(self.num_envs, np.bool_) if mask is None else np.array(mask, np.bool_)
        observation, infos = self.env.reset(seed=seed, options=options)
        self._clear(mask)
        self._ended[mask] = False
        return self._view(observation), {**infos, **self._memory_infos(mask)}

    def step(self, actions: Any) -> tuple[NDArray[Any], Any, Any, Any, dict[str, Any]]:
        """Apply each memory operation to what that environment last showed, then act.

        Raises:
            ValueError: actions of the wrong shape, or an operation that does not exist.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, 2):
            raise ValueError(f"actions have shape ({self.num_envs}, 2), not {actions.shape}.")
        op = actions[:, 1]
        if ((op < 0) | (op > 2 * self.num_slots)).any():
            raise ValueError(f"a memory operation is from 0 to {2 * self.num_slots}.")
        self._apply(np.where(self._ended, NOOP, op))
        observation, reward, terminated, truncated, infos = self.env.step(self._first_action + actions[:, 0])
        # NEXT_STEP: this step was the reset of what ended in the last one, and its action was not used
        self._clear(self._ended)
        ended = np.logical_or(terminated, truncated)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            if ended.any():
                infos = self._keep_final(dict(infos), ended)
                self._clear(ended)
        elif self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._ended = ended
        everywhere = np.ones(self.num_envs, np.bool_)
        return (
            self._view(observation),
            reward,
            terminated,
            truncated,
            {**infos, **self._memory_infos(everywhere)},
        )

    def _apply(self, op: NDArray[Any]) -> None:
        index = np.flatnonzero(op != NOOP)
        slot = (op[index] - 1) % self.num_slots
        write = op[index] <= self.num_slots
        self._slots[index, slot] = np.where(write[:, None], self._seen[index], 0)
        self._filled[index, slot] = write
        self._num_ops[index] += 1

    def _clear(self, mask: NDArray[np.bool_]) -> None:
        index = np.flatnonzero(mask)
        self._slots[index] = 0
        self._filled[index] = 0
        self._num_ops[index] = 0

    def _keep_final(self, infos: dict[str, Any], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Mode SAME_STEP: what the memory held when the episode ended belongs to the final observation."""
        index = np.flatnonzero(ended)
        last = np.stack([np.reshape(row, -1) for row in infos["final_obs"][index]])
        final = np.full(self.num_envs, None, dtype=object)
        final[index] = np.fromiter(self._compose(last, index), dtype=object, count=index.size)
        infos["final_obs"] = final
        infos["final_info"] = {**infos["final_info"], **self._memory_infos(ended)}
        return infos

    def _view(self, observation: Any) -> NDArray[Any]:
        self._seen[:] = np.reshape(observation, (self.num_envs, -1))
        return self._compose(self._seen, slice(None))

    def _compose(self, seen: NDArray[Any], index: Any) -> NDArray[Any]:
        obs_dim = self._seen.shape[1]
        size = obs_dim * (1 + self.num_slots) + self.num_slots
        view = np.zeros((len(seen), size), self._seen.dtype)
        view[:, :obs_dim] = seen
        if self.show:
            view[:, obs_dim : -self.num_slots] = self._slots[index].reshape(len(seen), -1)
            view[:, -self.num_slots :] = self._filled[index]
        return view

    def _memory_infos(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        nbytes = np.count_nonzero(self._filled, axis=1) * self.slot_nbytes
        return {
            "memory_bytes": np.where(mask, nbytes, 0),
            "_memory_bytes": mask.copy(),
            "memory_ops": np.where(mask, self._num_ops, 0),
            "_memory_ops": mask.copy(),
        }
