"""Replay of many episodes at once, through the native vector form of a control task.

The scalar environment decides what is true. This one says only where all is as the scalar one would find it, which
`memgym.checks.check_vector_env` keeps true bit for bit; wherever it is in doubt it says nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from memgym.core.suites import Task
from memgym.core.trace import Episode, array_prefix, numbers_of

__all__ = ["replay_together"]

OWN = "memgym/"
MAX_BYTES = 64 << 20  # of all observations together

Recorded = tuple[int, int, list[Any]]  # seed, episode, actions


class _TooMany(Exception):
    """Their observations take more than `MAX_BYTES`."""


def replay_together(task: Task, recorded: Sequence[Recorded]) -> list[Episode] | None:
    """Play recorded episodes to their ends.

    Returns:
        What happened in each, in order; None where the task has no vector form, or where an episode does not end
        with its last action, or where an action is not one: the scalar environment is to be asked then.
    """
    if not recorded or task.canary or not task.env_id.startswith(OWN):
        return None
    if gym.spec(task.env_id).vector_entry_point is None:
        return None
    lengths = np.array([len(actions) for _, _, actions in recorded])
    if not lengths.all() or any({*map(type, actions)} != {int} for _, _, actions in recorded):
        return None
    envs = gym.make_vec(task.env_id, num_envs=len(recorded), copy=False, backend="numpy", **task.kwargs)
    try:
        return _play(envs, recorded, lengths)
    except _TooMany:
        half = len(recorded) // 2
        first, second = (replay_together(task, part) for part in (recorded[:half], recorded[half:]))
        return None if first is None or second is None else first + second
    finally:
        envs.close()


def _play(envs: Any, recorded: Sequence[Recorded], lengths: Any) -> list[Episode] | None:
    number, steps, most = len(recorded), int(lengths.max()), envs.single_action_space.n
    actions = np.zeros((steps, number), np.int64)
    for i, (_, _, given) in enumerate(recorded):
        if not 0 <= min(given) <= max(given) < most:
            return None
        actions[: len(given), i] = given
    space = envs.single_observation_space
    prefix = np.frombuffer(array_prefix(space.dtype, space.shape), np.uint8)
    before, after = len(prefix), len(prefix) + space.dtype.itemsize * space.shape[0]
    if number > 1 and number * steps * (after + 8) > MAX_BYTES:
        raise _TooMany
    first, _ = envs.reset(
        seed=[seed for seed, _, _ in recorded],
        options={"episode": np.array([episode for _, episode, _ in recorded])},
    )
    start = [prefix.tobytes() + row.tobytes() for row in np.ascontiguousarray(first)]
    # what a recorder hashes of a step, one after the other: what kind of array, its bytes, the reward
    fed = np.empty((number, steps, after + 8), np.uint8)
    fed[:, :, :before] = prefix
    rewards = np.empty((steps, number))
    episodes = [Episode(seed, episode) for seed, episode, _ in recorded]
    over = np.zeros(number, np.bool_)
    for t in range(steps):
        observation, reward, terminated, truncated, info = envs.step(actions[t])
        fed[:, t, before:after] = np.ascontiguousarray(observation).view(np.uint8)
        rewards[t] = reward
        ends = (terminated | truncated) & ~over
        if (ends != (lengths == t + 1)).any():
            return None
        if ends.any():
            _end(episodes, np.flatnonzero(ends), (terminated, truncated), envs.metric, info)
        over |= ends
    fed[:, :, after:] = np.ascontiguousarray(rewards.T)[:, :, None].view(np.uint8)
    returns = np.cumsum(rewards, axis=0)  # one after the other, as a recorder adds
    for i, (episode, (_, _, given)) in enumerate(zip(episodes, recorded, strict=True)):
        episode.actions, episode.length = given, len(given)
        episode.ret = float(returns[len(given) - 1, i])
        episode.hash = hashlib.blake2b(start[i] + fed[i, : len(given)].tobytes(), digest_size=16).hexdigest()
    return episodes


def _end(episodes: list[Episode], ended: Any, flags: tuple[Any, Any], metric: str, infos: Any) -> None:
    """Note what the last step of some episodes said: `ended` are their numbers, `flags` (terminated, truncated)."""
    names = [name for name in infos if name[0] != "_"]
    columns = [infos[name][ended].tolist() for name in names]
    given = [infos[f"_{name}"][ended].tolist() for name in names]
    both = (flag[ended].tolist() for flag in flags)
    last = zip(*both, zip(*columns, strict=True), zip(*given, strict=True), strict=True)
    for i, (terminated, truncated, values, there) in zip(ended.tolist(), last, strict=True):
        info = {name: value for name, value, has in zip(names, values, there, strict=True) if has}
        episode = episodes[i]
        episode.terminated, episode.truncated = terminated, truncated
        episode.score, episode.success = float(info[metric]), bool(info["success"])
        episode.metrics = numbers_of(info)
