"""The statistics of the leaderboard, in numpy alone.

Intervals are percentile bootstraps over *clusters*: the episodes, which are independent of each other. The
questions of one episode share a conversation and a memory, so they are never drawn one by one.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "RESAMPLES",
    "Interval",
    "bootstrap_means",
    "generator_from",
    "iqm",
    "normalise",
    "pareto_front",
    "percentile_intervals",
]

RESAMPLES = 10_000
CHUNK_CELLS = 2_000_000  # counts held at once: 16 MB, whatever the number of episodes

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    low: float
    high: float


def generator_from(*data: bytes) -> np.random.Generator:
    """A generator seeded from the data themselves: the same data give the same page, byte for byte."""
    digest = hashlib.sha256(b"\0".join(data)).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def iqm(values: ArrayLike) -> float:
    """Mean of the middle half (Agarwal et al., 2021); drops floor(n / 4) values at each end.

    Args:
        values: shape (n,), n at least 1.

    >>> iqm([0.0, 0.5, 0.5, 1.0])
    0.5
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))  # (n,)
    if ordered.ndim != 1 or ordered.size == 0:
        raise ValueError(f"values have shape (n,) with n at least 1, not {ordered.shape}.")
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def bootstrap_means(
    sums: ArrayLike, sizes: ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Floats:
    """Means of `resamples` samples of clusters, drawn with replacement.

    All columns see the same draws: columns of agents that played the same episodes are paired.

    Args:
        sums: sum of the values in each cluster, shape (clusters, columns).
        sizes: number of values in each cluster, same shape; 0 where a column has none.
        rng: source of the draws.
        resamples: number of samples.

    Returns:
        Means, shape (resamples, columns); NaN where a sample holds no value of a column.
    """
    sums, sizes = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if sums.ndim != 2 or sums.shape != sizes.shape or len(sums) == 0:
        raise ValueError(f"sums and sizes are both (clusters, columns), not {sums.shape} and {sizes.shape}.")
    rows = max(1, CHUNK_CELLS // len(sums))
    means = np.empty((resamples, sums.shape[1]))
    for start in range(0, resamples, rows):
        chunk = means[start : start + rows]
        counts = _draw_counts(len(sums), len(chunk), rng)  # (chunk, clusters)
        values = counts @ sizes
        np.divide(counts @ sums, values, out=chunk, where=values > 0)
        chunk[values == 0] = np.nan
    return means


def _draw_counts(clusters: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each cluster is drawn, shape (resamples, clusters); each row sums to `clusters`."""
    drawn = rng.integers(clusters, size=(resamples, clusters))
    drawn += np.arange(resamples)[:, None] * clusters  # each row has its own range: one bincount
    counts = np.bincount(drawn.ravel(), minlength=resamples * clusters)
    return counts.reshape(resamples, clusters).astype(np.float64)


def percentile_intervals(draws: ArrayLike, level: float = 0.95) -> list[Interval]:
    """The central interval of each column.

    Args:
        draws: shape (resamples, columns); NaN draws are left out, each column has at least one number.
        level: probability inside.
    """
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(np.asarray(draws, dtype=np.float64), [tail, 100 - tail], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def normalise(score: ArrayLike, floor: float, ceiling: float) -> Floats:
    """Map `floor` to 0 and `ceiling` to 1; clipped at 1, and below 0 where worse than the floor.

    Clip means over episodes, never single episodes: that would lift the random agent above 0.

    Args:
        score: any shape.
        floor: mean score of the random agent.
        ceiling: mean score of the oracle; above `floor`.

    Returns:
        The normalised scores, of the same shape.
    """
    if not ceiling > floor:
        raise ValueError(f"the ceiling {ceiling} is not above the floor {floor}.")
    return np.minimum((np.asarray(score, dtype=np.float64) - floor) / (ceiling - floor), 1.0)


def pareto_front(cost: ArrayLike, score: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point beats: costs no more, scores no less, and is better in one of the two.

    Args:
        cost: shape (n,), less is better.
        score: shape (n,), more is better.

    Returns:
        Mask, shape (n,). Equal points are all on the front, or all off it.
    """
    cost, score = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    no_worse = (cost[:, None] <= cost) & (score[:, None] >= score)  # (n, n): row is no worse than column
    better = (cost[:, None] < cost) | (score[:, None] > score)
    is_beaten = np.any(no_worse & better, axis=0)
    return np.logical_not(is_beaten)
