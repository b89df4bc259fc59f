"""A small external memory for any environment: its operations join the actions, its content the observation."""

from operator import index as as_integer
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

__all__ = ["MemoryActions", "MemoryActionsVector", "memory_action_space", "memory_observation_space"]

Content = Literal["observation", "bit"]

NOOP = 0


def memory_observation_space(
    inner: gym.Space, num_slots: int, content: Content = "observation"
) -> spaces.Box:
    """The inner observation, flat, then `num_slots` copies of its range (none for bits), then `num_slots` flags.

    Raises:
        ValueError: `inner` is not a Box, `num_slots` is below 1, or `content` is unknown.
    """
    if not isinstance(inner, spaces.Box):
        raise ValueError(f"MemoryActions needs Box observations, not {inner}.")
    if isinstance(num_slots, bool) or not isinstance(num_slots, int | np.integer) or num_slots < 1:
        raise ValueError(f"num_slots is an integer from 1 on, not {num_slots!r}.")
    if content not in get_args(Content):
        raise ValueError(f"content is 'observation' or 'bit', not {content!r}.")
    low, high = inner.low.reshape(-1), inner.high.reshape(-1)
    zero, one = np.zeros(num_slots, low.dtype), np.ones(num_slots, low.dtype)
    copies = num_slots if content == "observation" else 0
    # an empty slot reads as zeros, so zero is in its range
    slot_low, slot_high = np.tile(np.minimum(low, 0), copies), np.tile(np.maximum(high, 0), copies)
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
    """Give an environment `num_slots` slots, each of which holds one observation, or one bit.

    WRITE stores the observation that the agent has just seen, the one its action answers; ERASE empties the
    slot. With ``content="bit"`` WRITE sets a bit and ERASE clears it, whatever was seen. The content shows from
    the next observation on. The memory is empty at the start of every episode.

    ``info["memory_bytes"]`` counts what the memory holds: the bytes of filled slots; bits are packed, so they
    take ceil(`num_slots` / 8) bytes as soon as one is set, and 0 while all are clear. ``info["memory_ops"]``
    counts the operations other than NOOP in this episode.

    Args:
        env: an environment with Box observations and Discrete actions.
        num_slots: number of slots.
        show: whether the agent sees the memory. Without it, content *and* flags read as zeros: a flag alone
            could carry a bit.
        content: what a slot holds. A bit joins nothing but its flag to the observation.
    """

    def __init__(
        self, env: gym.Env, num_slots: int = 1, show: bool = True, content: Content = "observation"
    ) -> None:
        # recorded, so that `gym.make(env.spec)` makes the wrapped environment again
        RecordConstructorArgs.__init__(self, num_slots=num_slots, show=show, content=content)
        gym.Wrapper.__init__(self, env)
        self.observation_space = memory_observation_space(env.observation_space, num_slots, content)
        self.action_space = memory_action_space(env.action_space, num_slots)
        self.num_slots = int(num_slots)
        self.show = show
        self.content: Content = content
        self._first_action = int(getattr(env.action_space, "start", 0))
        self._obs_dim = _flat_size(env.observation_space)
        dtype: Any = self.observation_space.dtype
        self._memory = np.zeros(_flat_size(self.observation_space), dtype)  # what the agent sees
        self._num_ops = 0

    @property
    def slot_nbytes(self) -> int:
        """Bytes of one filled slot; 0 for bits, which are counted together."""
        return self._obs_dim * self._memory.itemsize if self.content == "observation" else 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode with an empty memory."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._memory[:] = 0
        self._num_ops = 0
        return self._view(observation), {**info, **self._memory_info()}

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        """Apply the memory operation to what was last seen, then act.

        Raises:
            ValueError: the action is not in the action space.
        """
        try:
            act, op = map(as_integer, action)
        except (TypeError, ValueError):
            raise ValueError(
                f"an action is two integers, an action and an operation, not {action!r}."
            ) from None
        if not 0 <= op < 1 + 2 * self.num_slots:
            raise ValueError(f"a memory operation is from 0 to {2 * self.num_slots}, not {op}.")
        # the environment first: where it refuses the action, the memory stays as it was
        observation, reward, terminated, truncated, info = self.env.step(self._first_action + act)
        if op != NOOP:
            self._apply((op - 1) % self.num_slots, op <= self.num_slots)
        return self._view(observation), reward, terminated, truncated, {**info, **self._memory_info()}

    def _apply(self, slot: int, write: bool) -> None:
        memory, obs_dim = self._memory, self._obs_dim
        if self.content == "observation":
            start = obs_dim * (1 + slot)
            memory[start : start + obs_dim] = memory[:obs_dim] if write else 0
        memory[slot - self.num_slots] = write
        self._num_ops += 1

    def _view(self, observation: Any) -> NDArray[Any]:
        self._memory[: self._obs_dim] = np.reshape(observation, -1)
        view = self._memory.copy()
        if not self.show:
            view[self._obs_dim :] = 0
        return view

    def _memory_info(self) -> dict[str, Any]:
        filled = int(np.count_nonzero(self._memory[-self.num_slots :]))
        return {"memory_bytes": _nbytes(self, filled), "memory_ops": self._num_ops}


class MemoryActionsVector(gym.vector.VectorWrapper):
    """`MemoryActions` over any vector environment, in each autoreset mode.

    Args:
        env: a vector environment with Box observations and Discrete actions, and a declared autoreset mode.
        num_slots: number of slots.
        show: whether the agent sees the memory; see `MemoryActions`.
        content: what a slot holds; see `MemoryActions`.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv,
        num_slots: int = 1,
        show: bool = True,
        content: Content = "observation",
    ) -> None:
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(f"the vector environment declares no metadata['autoreset_mode']: {mode!r}.")
        inner = env.single_observation_space
        self.single_observation_space = memory_observation_space(inner, num_slots, content)
        self.single_action_space = memory_action_space(env.single_action_space, num_slots)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.autoreset_mode = mode
        self.num_slots = int(num_slots)
        self.show = show
        self.content: Content = content
        self._first_action = int(getattr(env.single_action_space, "start", 0))
        self._obs_dim = _flat_size(inner)
        dtype: Any = self.single_observation_space.dtype
        # What the agents see, a row for each number and a column for each environment: as memgym's environments
        # lay out their observations, so that copies run along memory.
        self._memory = np.zeros((_flat_size(self.single_observation_space), env.num_envs), dtype)
        self._num_ops = np.zeros(env.num_envs, np.int64)
        self._ended = np.zeros(env.num_envs, np.bool_)  # only NEXT_STEP leaves any
        self._everywhere = np.ones(env.num_envs, np.bool_)

    @property
    def slot_nbytes(self) -> int:
        """Bytes of one filled slot of one environment; 0 for bits, which are counted together."""
        return self._obs_dim * self._memory.itemsize if self.content == "observation" else 0

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start episodes with empty memories, in all environments or those of ``options["reset_mask"]``."""
        mask = (options or {}).get("reset_mask")
        mask = self._everywhere if mask is None else np.array(mask, np.bool_)
        observation, infos = self.env.reset(seed=seed, options=options)
        self._clear(mask)
        self._ended[mask] = False
        return self._view(observation), {**infos, **self._memory_infos(mask)}

    def step(self, actions: Any) -> tuple[NDArray[Any], Any, Any, Any, dict[str, Any]]:
        """Apply each memory operation to what that environment last showed, then act.

        Raises:
            ValueError: actions of the wrong shape or type, or an operation that does not exist.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, 2) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions are integers of shape ({self.num_envs}, 2), not {actions.dtype}{actions.shape}."
            )
        op = actions[:, 1].astype(np.intp)
        if op.min() < 0 or op.max() > 2 * self.num_slots:
            raise ValueError(f"a memory operation is from 0 to {2 * self.num_slots}.")
        # the environments first: where they refuse the actions, the memories stay as they were
        observation, reward, terminated, truncated, infos = self.env.step(self._first_action + actions[:, 0])
        self._apply(op)
        # NEXT_STEP: this step was the reset of what ended in the last one, and its action was not used
        self._clear(self._ended)
        ended = np.logical_or(terminated, truncated)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            if ended.any():
                infos = self._keep_final(dict(infos), ended)
                self._clear(ended)
        elif self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._ended = ended
        infos = {**infos, **self._memory_infos(self._everywhere)}
        return self._view(observation), reward, terminated, truncated, infos

    def _apply(self, op: NDArray[Any]) -> None:
        has_op = op != NOOP
        index = np.flatnonzero(has_op)
        slot = op[index] - 1
        write = slot < self.num_slots
        slot -= self.num_slots * ~write
        # one flat index is three times as fast as a pair: row r of environment i is number r * num_envs + i
        flat = self._memory.reshape(-1)
        if self.content == "observation":
            rows = self._obs_dim * (1 + slot) + np.arange(self._obs_dim)[:, None]
            seen = np.take(self._memory[: self._obs_dim], index, axis=1)
            flat[rows * self.num_envs + index] = np.where(write, seen, 0)
        flat[(len(self._memory) - self.num_slots + slot) * self.num_envs + index] = write
        self._num_ops += has_op

    def _clear(self, mask: NDArray[np.bool_]) -> None:
        index = np.flatnonzero(mask)
        self._memory[self._obs_dim :, index] = 0
        self._num_ops[index] = 0

    def _keep_final(self, infos: dict[str, Any], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Mode SAME_STEP: what the memory held when the episode ended belongs to the final observation."""
        index = np.flatnonzero(ended)
        rows = self._memory.T[index]
        last = np.concatenate(infos["final_obs"][index].tolist(), axis=None)  # each one flat
        rows[:, : self._obs_dim] = last.reshape(index.size, -1)
        if not self.show:
            rows[:, self._obs_dim :] = 0
        final = np.full(self.num_envs, None, dtype=object)
        final[index] = np.fromiter(rows, dtype=object, count=index.size)
        infos["final_obs"] = final
        infos["final_info"] = {**infos["final_info"], **self._memory_infos(ended)}
        return infos

    def _view(self, observation: Any) -> NDArray[Any]:
        self._memory[: self._obs_dim] = np.reshape(observation, (self.num_envs, -1)).T
        view = self._memory.copy()
        if not self.show:
            view[self._obs_dim :] = 0
        return view.T

    def _memory_infos(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        filled = self._memory[-self.num_slots :].sum(axis=0, dtype=np.int64)
        return {
            "memory_bytes": _nbytes(self, filled) * mask,
            "_memory_bytes": mask.copy(),
            "memory_ops": self._num_ops * mask,
            "_memory_ops": mask.copy(),
        }


def _nbytes(wrapper: MemoryActions | MemoryActionsVector, filled: Any) -> Any:
    """Bytes held with `filled` slots in use: a number, or an array of them."""
    if wrapper.content == "bit":
        return (filled > 0) * ((wrapper.num_slots + 7) // 8)
    return filled * wrapper.slot_nbytes
