"""The statistics of one agent or one task, in numpy alone.

A *run* is what is drawn again: a seed of a task, or a block of its episodes where it has too few seeds. Every
interval is a percentile bootstrap over runs, each task's apart from the others' (a stratified bootstrap), in
which n - 1 of n runs are drawn. With few runs that covers better than drawing n of n, whose intervals are too
narrow by a factor of sqrt((n - 1) / n) (Rao and Wu, 1988). What is left of the error with few runs, that a spread
from n runs is itself uncertain, is made good as in Student's interval: the ends move away from the mean by
t / z (`widen`).
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "RESAMPLES",
    "Interval",
    "bootstrap_means",
    "draw_counts",
    "freedom",
    "generator_from",
    "iqm",
    "iqm_draws",
    "normalise",
    "pareto_front",
    "percentile_intervals",
    "t_quantile",
    "trapezoid_weights",
    "widen",
]

RESAMPLES = 10_000
SAMPLES = 500  # of a matrix product: what it takes stays in the cache
Z = 1.959964  # of the normal distribution, two-sided 95 %
T_OF_FEW = (12.7062, 4.3027, 3.1824)  # Student's, of 1, 2 and 3 degrees of freedom

Floats = NDArray[np.float64]
Counts = NDArray[np.uint8]


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


def draw_counts(
    runs: int, rng: np.random.Generator, resamples: int = RESAMPLES, drawn: int | None = None
) -> Counts:
    """How often each run is drawn, with replacement.

    Args:
        runs: number of runs, 1 to 255.
        rng: source of the draws.
        resamples: number of samples.
        drawn: runs in a sample; one less than there are by default, and at least one.

    Returns:
        Counts, shape (resamples, runs); each row sums to `drawn`.
    """
    if not 1 <= runs <= 255:
        raise ValueError(f"runs is from 1 to 255, not {runs}.")
    size = max(1, runs - 1) if drawn is None else drawn
    picked = rng.integers(runs, size=(resamples, size))
    picked += np.arange(resamples)[:, None] * runs  # each row has its own range: one bincount
    counts = np.bincount(picked.ravel(), minlength=resamples * runs)
    return counts.reshape(resamples, runs).astype(np.uint8)


def bootstrap_means(sums: ArrayLike, sizes: ArrayLike, counts: ArrayLike) -> Floats:
    """Means of samples of runs.

    All columns see the same samples: columns of agents that played the same episodes are paired.

    Args:
        sums: sum of the values in each run, shape (runs, columns).
        sizes: number of values in each run, same shape; 0 where a column has none.
        counts: how often each run is in each sample, shape (resamples, runs).

    Returns:
        Means, shape (resamples, columns); NaN where a sample holds no value of a column.
    """
    sums, sizes = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if sums.ndim != 2 or sums.shape != sizes.shape or len(sums) == 0:
        raise ValueError(f"sums and sizes are both (runs, columns), not {sums.shape} and {sizes.shape}.")
    weights = np.asarray(counts, dtype=np.float64)
    values = weights @ sizes
    return np.divide(weights @ sums, values, out=np.full(values.shape, np.nan), where=values > 0)


def iqm_draws(values: ArrayLike, counts: ArrayLike) -> Floats:
    """The interquartile mean of each sample of runs, from all tasks together.

    Args:
        values: of each run, shape (runs, columns).
        counts: how often each run is in each sample, shape (runs, resamples); all samples are of one size.

    Returns:
        Shape (resamples, columns).
    """
    values = np.asarray(values, dtype=np.float64)
    counts = np.ascontiguousarray(counts)  # they are walked run by run
    runs, columns = values.shape
    total = int(counts[:, 0].sum(dtype=np.int64))
    low, high = total // 4, total - total // 4
    order = np.argsort(values, axis=0, kind="stable")
    # Which draws are the middle half differs by sample near its two ends alone: each end is walked run by run, and
    # what lies between them is a matrix product. The margin is six standard deviations of how many draws are of the
    # lowest runs.
    margin = math.ceil(6 * math.sqrt(3 * runs / 16))
    ends = [(max(0, at - margin), min(runs, at + margin)) for at in (runs // 4, runs - runs // 4)]
    if ends[0][1] >= ends[1][0]:
        ends = [(0, runs)]
    sums = np.zeros((columns, counts.shape[1]))
    # draws of the runs before the first end, and of those between the two
    drawn = np.zeros((len(ends), *sums.shape), dtype=np.float32)
    if len(ends) > 1:
        rank = np.argsort(order, axis=0)
        before, between = rank < ends[0][0], (rank >= ends[0][1]) & (rank < ends[1][0])
        inside = np.where(between, values, 0.0).T
        for start in range(0, counts.shape[1], SAMPLES):
            some = slice(start, start + SAMPLES)
            few = counts[:, some].astype(np.float32)
            drawn[0, :, some], drawn[1, :, some] = before.T @ few, between.T @ few
            sums[:, some] = inside @ few.astype(np.float64)
    for column in range(columns):
        ordered = values[order[:, column], column]
        walked = _walk(ordered, counts, order[:, column], ends, drawn[:, column], low, high)
        if walked is None:  # a sample is further out than that
            walked = _walk(ordered, counts, order[:, column], [(0, runs)], drawn[:1, column] * 0, low, high)
            sums[column] = 0.0
        sums[column] += walked
    return sums.T / (high - low)


def _walk(
    ordered: Floats,
    counts: NDArray[Any],
    order: NDArray[np.intp],
    ends: list[tuple[int, int]],
    drawn: NDArray[np.float32],
    low: int,
    high: int,
) -> Floats | None:
    """Sums of the draws number `low` to `high` that are of the runs between the ends of each stretch.

    None where a sample has draws of that kind outside of the first and the last stretch.
    """
    upto = np.zeros(counts.shape[1], dtype=np.int64 if high > 30_000 else np.int16)
    # numpy is slow with a number in their place
    lows, highs = np.full_like(upto, low), np.full_like(upto, high)
    taken, before, part = np.empty_like(upto), np.empty_like(upto), np.empty(counts.shape[1])
    out = np.zeros(counts.shape[1])
    for (first, last), skipped, bounds in zip(ends, drawn, ((0, low), (low, high))[: len(ends)], strict=True):
        upto += skipped.astype(upto.dtype)
        if upto.max() > bounds[1] or upto.min() < bounds[0]:
            return None
        np.clip(upto, low, high, out=before)
        for value, i in zip(ordered[first:last], order[first:last], strict=True):
            upto += counts[i]
            np.minimum(np.maximum(upto, lows, out=taken), highs, out=taken)
            np.subtract(taken, before, out=before)
            out += np.multiply(before, value, out=part)
            taken, before = before, taken
    return out if upto.min() >= high else None


def percentile_intervals(draws: ArrayLike, level: float = 0.95) -> list[Interval]:
    """The central interval of each column.

    Args:
        draws: shape (resamples, columns); NaN draws are left out, each column has at least one number.
        level: probability inside.
    """
    tail = (1 - level) / 2
    by_column = np.ascontiguousarray(np.asarray(draws, dtype=np.float64).T)
    if np.isnan(by_column).any():
        ends = np.concatenate([_quantiles(row[None, ~np.isnan(row)], tail) for row in by_column])
    else:
        ends = _quantiles(by_column, tail)
    return [Interval(float(a), float(b)) for a, b in ends]


def _quantiles(rows: Floats, tail: float) -> Floats:
    """The quantiles `tail` and 1 - `tail` of each row, shape (rows, 2); as numpy's, at a fraction of the time."""
    last = rows.shape[1] - 1
    ends, ordered = [], rows.copy()
    for at in (tail * last, (1 - tail) * last):
        below = math.floor(at)
        ordered.partition(below, axis=1)  # one place at a time: numpy finds several much more slowly
        value = ordered[:, below]
        above = ordered[:, below + 1 :].min(axis=1) if below < last else value
        ends.append(value + (at - below) * (above - value))
    return np.stack(ends, axis=1)


def t_quantile(degrees: float) -> float:
    """Student's t that 95 % of values lie within, to 0.02; by expansion around the normal distribution.

    >>> round(t_quantile(9), 2), round(t_quantile(1e9), 2)
    (2.26, 1.96)
    """
    if degrees <= len(T_OF_FEW):  # the expansion does not hold; degrees of freedom may be fractions
        whole = np.arange(1, len(T_OF_FEW) + 1)
        return float(np.exp(np.interp(degrees, whole, np.log(T_OF_FEW))))
    first, second = (Z**3 + Z) / 4, (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / degrees + second / degrees**2 + third / degrees**3


def freedom(variances: ArrayLike, runs: ArrayLike) -> Floats:
    """Degrees of freedom of the variance of a sum over tasks (Satterthwaite, 1946).

    Args:
        variances: of each task's part in the sum, shape (tasks, columns).
        runs: of each task, shape (tasks,), each at least 2.

    Returns:
        Shape (columns,); infinite where nothing varies.
    """
    variances = np.asarray(variances, dtype=np.float64)
    below = (variances**2 / (np.asarray(runs, dtype=np.float64)[:, None] - 1)).sum(axis=0)
    return np.divide(variances.sum(axis=0) ** 2, below, out=np.full(below.shape, np.inf), where=below > 0)


def widen(
    interval: Interval, mean: float, degrees: float, low: float = -np.inf, high: float = np.inf
) -> Interval:
    """The interval with its ends further from the mean, for a spread known to so many degrees of freedom.

    Args:
        interval: of `percentile_intervals`.
        mean: of the data themselves.
        degrees: of freedom, at least 1.
        low: what the mean cannot be below.
        high: what it cannot be above.
    """
    factor = t_quantile(degrees) / Z
    ends = (mean - factor * (mean - interval.low), mean + factor * (interval.high - mean))
    return Interval(max(low, ends[0]), min(high, ends[1]))


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
    above = np.subtract(score, floor, dtype=np.float64)
    above /= ceiling - floor
    return np.minimum(above, 1.0)


def pareto_front(cost: ArrayLike, score: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point beats: costs no more, scores no less, and is better in one of the two.

    Args:
        cost: shape (n,), less is better.
        score: shape (..., n), more is better.

    Returns:
        Mask of the shape of `score`. Equal points are all on the front, or all off it.
    """
    cost, score = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if cost.size == 0:
        return np.zeros(score.shape, dtype=np.bool_)
    order = np.argsort(cost, kind="stable")
    levels, level_of = np.unique(cost[order], return_inverse=True)
    best = np.full((*score.shape[:-1], len(levels) + 1), -np.inf)  # of each cost; none is before the first
    starts = np.searchsorted(cost[order], levels)
    best[..., 1:] = np.maximum.reduceat(score[..., order], starts, axis=-1)
    cheaper = np.maximum.accumulate(best, axis=-1)[..., level_of]  # best score for less, at each point
    mask = np.empty(score.shape, dtype=np.bool_)
    ordered = score[..., order]
    mask[..., order] = (ordered > cheaper) & (ordered == best[..., 1:][..., level_of])
    return mask


def trapezoid_weights(costs: Sequence[float], low: float, high: float) -> list[float]:
    """Weights of scores whose sum is the area under score over log2(cost), divided by the range's length.

    The curve is 0 left of the first point, straight between points and flat to the right of the last; a single
    point is a step.

    Args:
        costs: of each point, e.g. bytes; those outside the range count as its nearer end.
        low: where the area starts, above 0.
        high: where it ends.

    >>> trapezoid_weights([16], 4, 64)
    [0.5]
    """
    at = np.log2(np.clip(np.asarray(costs, dtype=np.float64), low, high))
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    gaps = np.diff(ordered)
    weights = np.zeros(len(at))
    weights[order[:-1]] += gaps / 2
    weights[order[1:]] += gaps / 2
    weights[order[-1]] += np.log2(high) - ordered[-1]
    return [float(w) for w in weights / (np.log2(high) - np.log2(low))]
