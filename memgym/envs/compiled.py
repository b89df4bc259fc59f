"""`memgym.rng` for compiled loops. Imported only where numba is installed and chosen."""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from memgym.rng import EPISODE_STEP, HALF, PHI

__all__ = ["all_below", "begin_episodes", "below", "compiled", "draw", "episode_key", "lowest_bit", "mix64"]

# Everything stays uint64: numba turns uint64 with int64 into float64.
_PHI, _STEP = np.uint64(PHI), np.uint64(EPISODE_STEP)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _ONE = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(1)

# Compiled at the first call, kept on disk for the next process. Call nothing that takes arrays from within a
# loop over environments: counting references to a dozen arrays costs more than a step.
compiled = njit(cache=True, error_model="numpy")


@compiled
def mix64(z):
    """`memgym.rng.mix64`."""
    z = (z ^ (z >> _30)) * _A
    z = (z ^ (z >> _27)) * _B
    return z ^ (z >> _31)


@compiled
def draw(key, index):
    """`memgym.rng.draw`: draw number `index` (uint64) of the episode `key`."""
    return mix64(key + (index + _ONE) * _PHI)


@compiled
def below(bits32, span):
    """An integer from 0 to `span` - 1 out of 32 random bits, all of them uint64."""
    return (bits32 * span) >> HALF


def _lowest_bit(_, bits):
    """Place of the lowest 1 of a uint64; 64 where there is none."""

    def count(context, builder, _signature, values):
        return builder.cttz(values[0], context.get_constant(types.boolean, False))

    return bits(bits), count


lowest_bit: Any = intrinsic(_lowest_bit)


@compiled
def episode_key(base, episode):
    """The key of an episode; `base` is the environment's entry of `memgym.rng.seed_keys`."""
    return mix64(base + np.uint64(episode) * _STEP)


@compiled
def begin_episodes(index, base, episode, key):
    """Count `episode` up and write the new `key`, for the environments of `index`."""
    for i in index:
        episode[i] += 1
        key[i] = episode_key(base[i], episode[i])


@compiled
def all_below(actions, count):
    """Whether every action is from 0 to `count` - 1."""
    outside = 0  # an integer: the loop then becomes SIMD, with a boolean it does not
    for i in range(actions.size):
        outside |= (actions[i] < 0) | (actions[i] >= count)
    return outside == 0
