"""Whole episodes of a stream task, many at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memgym.envs.backend import resolve_backend
from memgym.envs.streams.task import StreamTask, make_operations
from memgym.rng import episode_keys, seed_keys, stream_id

__all__ = ["Stream", "generate", "keys_of", "reference_stream"]

REFERENCE_STEPS = 1 << 18  # operations on which reference scores are measured


class Stream(NamedTuple):
    """All operations of n episodes of T steps.

    Attributes:
        tokens: what is shown, ids, 0 for nothing; int16, shape (n, T, num_fields).
        answers: the right answers, -1 where nothing is asked; int16, shape (n, T).
        stale: what was right before the last overwrite or deletion of what is asked, or -1; int16, shape (n, T).
        overwrites: whether a value takes the place of another; bool, shape (n, T).
    """

    tokens: NDArray[np.int16]
    answers: NDArray[np.int16]
    stale: NDArray[np.int16]
    overwrites: NDArray[np.bool_]


def keys_of(task: StreamTask, seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """The keys of `count` episodes of a seed, from episode `first` on."""
    episodes = np.arange(first, first + count, dtype=np.uint64)
    return episode_keys(seed_keys(np.full(count, seed, np.uint64), stream_id(task.stream)), episodes)


def generate(task: StreamTask, keys: NDArray[np.uint64], backend: str = "numpy") -> Stream:
    """Make the episodes of `keys`, operation by operation.

    Args:
        task: the checked arguments of a stream task.
        keys: of the episodes, see `keys_of`; uint64, shape (n,).
        backend: ``"numpy"``, ``"numba"`` or ``"auto"``; the results are the same bit for bit.
    """
    n, steps, fields = len(keys), task.num_steps, len(task.tables)
    operate = task.operate_compiled if resolve_backend(backend) == "numba" else task.operate
    stream = Stream(
        np.empty((n, steps, fields), np.int16),
        np.empty((n, steps), np.int16),
        np.empty((n, steps), np.int16),
        np.empty((n, steps), np.bool_),
    )
    index, state, now = np.arange(n), task.make_state(n), make_operations(fields, n)
    task.begin(index, state)
    for t in range(steps):
        operate(index, keys, np.full(n, t, np.int32), state, now)
        stream.tokens[:, t] = now.tokens.T
        stream.answers[:, t], stream.stale[:, t], stream.overwrites[:, t] = now[1:]
    return stream


def reference_stream(task: StreamTask) -> Stream:
    """The first episodes of seed 0, on 2^18 operations: what reference scores are measured on."""
    return generate(task, keys_of(task, 0, 0, max(REFERENCE_STEPS // int(task.num_steps), 1)))
