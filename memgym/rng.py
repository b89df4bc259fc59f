"""Counter-based random numbers: draw k of episode e of seed s is a pure function of (s, e, k).

Every environment draws through this module, so the same seed gives the same bytes on every platform, at any
``num_envs``, whatever other code does to global random state, and draw 1,000,000 needs no draw before it.
The mixing function is SplitMix64's finaliser (Steele, Lea & Flood, 2014), in plain integers for scalar
environments and in ``uint64`` arrays for vector ones; both give the same numbers.
"""

from collections.abc import MutableSequence, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HALF",
    "LOW",
    "LOW32",
    "CounterRNG",
    "draw",
    "draw_array",
    "episode_key",
    "episode_keys",
    "mix64",
    "seed_keys",
    "stream_id",
]

T = TypeVar("T")

MASK64 = (1 << 64) - 1
LOW32 = (1 << 32) - 1
LOW, HALF = (
    np.uint64(LOW32),
    np.uint64(32),
)  # the low 32 bits of a draw, and the shift to the upper ones, in arrays
PHI = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, SplitMix64's increment
EPISODE_STEP = 0xD1342543DE82EF95  # an odd constant other than PHI keeps (episode, draw) pairs apart


# made once: in short vector steps the making shows
_PHI, _STEP, _ONE = np.uint64(PHI), np.uint64(EPISODE_STEP), np.uint64(1)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def mix64(z: int) -> int:
    """SplitMix64's finaliser on one 64-bit integer."""
    z &= MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def mix64_array(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix64` on an array of any shape."""
    z = z ^ (z >> _30)
    z *= _A
    z ^= z >> _27
    z *= _B
    z ^= z >> _31
    return z


@lru_cache(maxsize=256)
def stream_id(name: str) -> int:
    """A 64-bit constant for a named stream, e.g. ``"EndlessTMaze/test"``; it separates splits and tasks.

    Two streams share an episode only by a chance of 2**-64 for a pair of seeds.
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def episode_key(seed: int, episode: int, stream: int = 0) -> int:
    """The key of one episode, from which all its draws come."""
    return mix64(_seed_key(seed, stream) + episode * EPISODE_STEP)


@lru_cache(maxsize=256)
def _seed_key(seed: int, stream: int) -> int:
    """`seed_keys` for one seed; kept, since whoever resets an environment stays with its seed."""
    return mix64(mix64(seed) + stream)


def seed_keys(seeds: NDArray[np.uint64], stream: int = 0) -> NDArray[np.uint64]:
    """What the keys of all episodes of these seeds have in common; `episode_keys` goes on from it."""
    return mix64_array(mix64_array(seeds) + np.uint64(stream))


def episode_keys(base: NDArray[np.uint64], episodes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`episode_key` for many episodes, shape (num_envs,); `base` comes from `seed_keys`."""
    return mix64_array(base + episodes * _STEP)


def draw(key: int, index: int) -> int:
    """Draw number `index` of an episode, a 64-bit integer."""
    return mix64(key + (index + 1) * PHI)


def draw_array(keys: NDArray[np.uint64], index: NDArray[np.uint64] | int) -> NDArray[np.uint64]:
    """`draw` for many keys, shape (num_envs,)."""
    if isinstance(index, int):  # numpy warns of overflow in scalars, though not in arrays
        return mix64_array(keys + np.uint64((index + 1) * PHI & MASK64))
    return mix64_array(keys + (index + _ONE) * _PHI)


class CounterRNG:
    """A small random source over `draw`, for generators that think in choices rather than in bits.

    Args:
        key: from `episode_key` or another source's `fork`.
    """

    def __init__(self, key: int) -> None:
        self.key = key
        self._index = 0

    def bits(self) -> int:
        """The next 64-bit integer."""
        self._index = index = self._index + 1
        z = self.key + index * PHI & MASK64  # `draw`, written out: generators spend much of their time here
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
        return z ^ z >> 31

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included (bias below 2**-50 for spans below 2**14)."""
        return low + (self.bits() * (high - low + 1) >> 64)

    def random(self) -> float:
        """A float in [0, 1) with 53 random bits."""
        return (self.bits() >> 11) * 2.0**-53

    def choice(self, items: Sequence[T]) -> T:
        """One item."""
        return items[self.bits() * len(items) >> 64]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Shuffle in place (Fisher-Yates)."""
        key, index = self.key, self._index
        for size in range(len(items), 1, -1):
            index += 1
            z = key + index * PHI & MASK64  # `integer(0, size - 1)`, written out
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
            z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
            j = (z ^ z >> 31) * size >> 64
            items[size - 1], items[j] = items[j], items[size - 1]
        self._index = index

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        """`k` different items, in random order."""
        pool = list(items)
        self.shuffle(pool)
        return pool[:k]

    def fork(self, *path: int) -> "CounterRNG":
        """An independent source for a part, e.g. one turn; a pure function of this key and `path`."""
        key = self.key
        for part in path:
            key = mix64((key ^ PHI) + part * EPISODE_STEP)
        return CounterRNG(key)
