"""Agents against each other: paired tests, their correction for many of them, ranks, and who tends to win.

All agents of a board play the same episodes, so every comparison is of pairs: the same task, the same run.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FLIPS", "SIGNIFICANT", "Improvement", "holm", "improvement", "rank_intervals", "sign_flip_test"]

FLIPS = 100_000
SIGNIFICANT = 0.05
BLOCK = 5_000  # flips at once
BLOCK_CELLS = 1 << 18  # runs of pairs at once
ENOUGH = 20  # flips as extreme as the data, after which more of them would not change the verdict
GRID = 2.0**40  # weighted scores become whole multiples of 2**-40, so that sums are exact in any order

Floats = NDArray[np.float64]


def sign_flip_test(
    values: ArrayLike, weights: ArrayLike, rng: np.random.Generator, flips: int = FLIPS
) -> Floats:
    """p-values of all pairs of agents: is the weighted mean of their differences other than zero?

    The paired permutation test: where two agents are alike, the sign of each difference is as likely plus as
    minus. The statistic is linear, so the flipped sums of all pairs come from one matrix product. A pair is
    flipped until 20 flips were at least as extreme as the data (Besag and Clifford, 1991). Where flips are too
    few to tell, Hoeffding's bound on the same probability, 2 exp(-t^2 / (2 sum d^2)), is taken instead, so that
    clear differences stay clear among many pairs.

    Args:
        values: scores of each agent, shape (runs, agents), the runs of all tasks one after the other.
        weights: of each run in the mean, shape (runs,).
        rng: source of the flips.
        flips: at most.

    Returns:
        p-values of the pairs (0, 1), (0, 2), ..., (1, 2), ..., shape (agents * (agents - 1) / 2,).
    """
    scaled = np.rint(
        np.asarray(values, dtype=np.float64) * np.asarray(weights, dtype=np.float64)[:, None] * GRID
    )
    runs, agents = scaled.shape
    first, second = np.triu_indices(agents, 1)
    real = np.abs(scaled.sum(axis=0)[first] - scaled.sum(axis=0)[second])
    gram = scaled.T @ scaled
    squares = gram[first, first] + gram[second, second] - 2 * gram[first, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.minimum(1.0, 2 * np.exp(-(real**2) / (2 * squares)))
    bound[real == 0] = 1.0
    extreme, done = np.zeros(len(first), dtype=np.int64), np.zeros(len(first), dtype=np.int64)
    # a bound that no number of flips gets below is the result without any
    active, apart = np.flatnonzero(bound > 1 / (flips + 1)), np.empty(BLOCK)
    for start in range(0, flips, BLOCK):
        if not active.size:
            break
        size = min(BLOCK, flips - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes(size * -(-runs // 8)), dtype=np.uint8))
        kept = bits.reshape(size, -1)[:, :runs].astype(np.float64)
        needed, place = np.unique([first[active], second[active]], return_inverse=True)
        place = place.reshape(2, -1)  # of each active pair's two agents among those needed
        some = scaled[:, needed]
        flipped = 2 * (some.T @ kept.T) - some.sum(axis=0)[:, None]  # a sign is 2 b - 1
        for pair, one, other in zip(active, *place, strict=True):
            np.subtract(flipped[one], flipped[other], out=apart[:size])
            np.abs(apart[:size], out=apart[:size])
            extreme[pair] += np.count_nonzero(apart[:size] >= real[pair])
        done[active] += size
        active = active[extreme[active] < ENOUGH]
    return np.minimum((extreme + 1) / (done + 1), bound)


def holm(p_values: ArrayLike) -> Floats:
    """p-values adjusted so that the chance of any false finding among them stays below the level (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return adjusted


def rank_intervals(
    scores: ArrayLike, p_values: ArrayLike, level: float = SIGNIFICANT
) -> list[tuple[int, int]]:
    """The places that an agent may hold: 1 + those significantly better, to all minus those significantly worse.

    Args:
        scores: of each agent, shape (agents,).
        p_values: adjusted, of the pairs in the order of `sign_flip_test`.
        level: of significance.
    """
    scores = np.asarray(scores, dtype=np.float64)
    agents = len(scores)
    first, second = np.triu_indices(agents, 1)
    is_clear = np.asarray(p_values) <= level
    better, worse = np.zeros(agents, dtype=int), np.zeros(agents, dtype=int)
    ahead = scores[first] > scores[second]
    for winner, loser in ((first, second), (second, first)):
        won = is_clear & (ahead if winner is first else ~ahead)
        np.add.at(better, loser[won], 1)
        np.add.at(worse, winner[won], 1)
    return [(int(1 + b), int(agents - w)) for b, w in zip(better, worse, strict=True)]


class Improvement(NamedTuple):
    """Probability of improvement of all pairs, and its standard error, each of shape (pairs,)."""

    probability: Floats
    error: Floats


def improvement(tasks: list[Floats]) -> Improvement:
    """How often the first of two agents scores more than the second on a random run of each (ties count half).

    The mean over tasks of Mann and Whitney's U (Agarwal et al., 2021). The standard error is that of a
    U-statistic (DeLong et al., 1988), for runs that the two agents share.

    Args:
        tasks: for each task the scores of all agents on its runs, shape (runs, agents).

    Returns:
        For the pairs in the order of `sign_flip_test`; the error is NaN where a task has a single run.
    """
    first, second = np.triu_indices(tasks[0].shape[1], 1)
    probability, variance = np.zeros(len(first)), np.zeros(len(first))
    for scores in tasks:
        runs = len(scores)
        wins, level_of = _wins_by_level(scores)
        block = max(1, BLOCK_CELLS // runs)
        for start in range(0, len(first), block):
            pairs = slice(start, start + block)
            one, other = first[pairs, None], second[pairs, None]
            mine = wins[other, level_of[first[pairs]]] / (2 * runs)  # (pairs, runs), of the first's runs
            theirs = 1 - wins[one, level_of[second[pairs]]] / (2 * runs)  # over the second's runs
            influence = mine + theirs
            probability[pairs] += influence.mean(axis=1) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                variance[pairs] += influence.var(axis=1) / np.float64(runs - 1)
    return Improvement(probability / len(tasks), np.sqrt(variance) / len(tasks))


def _wins_by_level(scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """How often a score wins against the runs of each agent, ties half; levels are the different scores, sorted.

    Returns:
        Twice the number of wins, shape (agents, levels); and the level of each run, shape (agents, runs).
    """
    agents = scores.shape[1]
    levels, level_of = np.unique(scores.T, return_inverse=True)
    level_of = level_of.reshape(agents, -1)
    cells = (level_of + len(levels) * np.arange(agents)[:, None]).ravel()
    number = np.bincount(cells, minlength=agents * len(levels)).reshape(agents, -1)
    return 2 * np.cumsum(number, axis=1) - number, level_of
