"""Agents over a set of tasks: the headline score, what stands beside it, and the agents against each other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memgym.core.result import canonical_json

from .board import Comparison, Standing
from .comparison import holm, improvement, rank_intervals, sign_flip_test
from .per_task import DIGITS, TOGETHER, PlayedTask, estimate, places
from .statistics import (
    freedom,
    generator_from,
    iqm,
    iqm_draws,
    normalise,
    pareto_front,
    percentile_intervals,
    t_quantile,
    trapezoid_weights,
    widen,
)

__all__ = ["BUDGETS", "PROFILE_LEVELS", "Drawn", "Standings", "standings"]

BUDGETS = (2.0**6, 2.0**30)  # bytes between which the area under score over memory is taken
PROFILE_LEVELS = tuple(i / 50 for i in range(51))
SECOND_RESAMPLES = 2_000  # of the headline's, for what stands beside it and costs more: IQM and profile

Floats = NDArray[np.float64]


class Drawn(NamedTuple):
    """Resampled numbers of the agents that played all of a set, each of shape (agents, resamples).

    Attributes:
        agents: by name.
        tasks: of the set.
        headline: of the agents.
        gap: the optimality gap.
        auc: the budget AUC.
    """

    agents: tuple[str, ...]
    tasks: int
    headline: Floats
    gap: Floats
    auc: Floats


class Standings(NamedTuple):
    """Where agents stand on a set of tasks.

    Attributes:
        of_agent: by name, all of the board.
        comparison: of the contenders that played all, where there are two.
        drawn: what the intervals come from; None where nobody played all, or a task has no scale.
    """

    of_agent: dict[str, Standing]
    comparison: Comparison | None = None
    drawn: Drawn | None = None


class _Set(NamedTuple):
    """The tasks of a set and the agents that played all of it; runs of all tasks one after the other.

    Attributes:
        agents: by name.
        weights: of each task in the headline; they sum to 1.
        run_weights: of each run in the headline.
        values: normalised score of each run, shape (runs, agents).
        counts: how often each run is in each of the first resamples, shape (`SECOND_RESAMPLES`, runs).
        drawn: resampled headline and what is drawn with it.
        iqms: resampled interquartile mean, shape (`SECOND_RESAMPLES`, agents).
        freedom: degrees of freedom of the headline's spread, shape (agents,).
        auc: budget AUC, shape (agents,).
        memory: mean peak bytes, shape (agents,).
    """

    agents: tuple[str, ...]
    weights: list[float]
    run_weights: Floats
    values: Floats
    counts: NDArray[np.float32]
    drawn: Drawn
    iqms: Floats
    freedom: Floats
    auc: Floats
    memory: Floats


def standings(
    tasks: Sequence[PlayedTask],
    agents: Sequence[str],
    contenders: set[str],
    families: Sequence[Drawn | None] = (),
) -> Standings:
    """Where each agent stands on a set of tasks, and the contenders compared.

    Args:
        tasks: of the set, none of them judged.
        agents: by name, all of the board.
        contenders: the agents that take a rank.
        families: what was drawn for each family of the set, where that is known: it is not drawn again.
    """
    found = {
        agent: Standing(sum(agent in one.results for one in tasks), len(tasks)) for agent in sorted(agents)
    }
    complete = tuple(agent for agent, standing in found.items() if standing.played == len(tasks))
    if not tasks or not complete or any(one.task.scale is None for one in tasks):
        return Standings(found)
    data = _collect(tasks, complete, [one for one in families if one])
    scores = [float(value) for value in _headline(tasks, complete, data.weights)]
    found |= {agent: _standing(found[agent], tasks, data, i, scores[i]) for i, agent in enumerate(complete)}
    ranked = [i for i, agent in enumerate(complete) if agent in contenders]
    if not ranked:
        return Standings(found, None, data.drawn)
    rank = places({complete[i]: found[complete[i]].score.mean for i in ranked})  # type: ignore[union-attr]
    front = pareto_front(data.memory[ranked], [scores[i] for i in ranked])
    often = pareto_front(data.memory[ranked], data.drawn.headline[ranked].T).mean(axis=0)
    for n, i in enumerate(ranked):
        found[complete[i]] = replace(
            found[complete[i]],
            place=rank[complete[i]],
            on_front=bool(front[n]),
            front_probability=round(float(often[n]), 3),
        )
    if len(ranked) < 2:
        return Standings(found, None, data.drawn)
    ranked.sort(key=lambda i: (-scores[i], complete[i]))
    comparison = _compare(tasks, data, ranked, scores)
    intervals = rank_intervals([scores[i] for i in ranked], comparison.p_holm)
    for agent, interval in zip(comparison.agents, intervals, strict=True):
        found[agent] = replace(found[agent], rank=interval)
    return Standings(found, comparison, data.drawn)


def _task_weights(tasks: Sequence[PlayedTask]) -> list[float]:
    families = [one.task.family for one in tasks]
    return [1 / len(set(families)) / families.count(family) for family in families]


def _headline(tasks: Sequence[PlayedTask], agents: Sequence[str], weights: Sequence[float]) -> Floats:
    scores = [[one.results[agent].normalised.mean for agent in agents] for one in tasks]  # type: ignore[union-attr]
    return np.asarray(weights) @ np.asarray(scores)


def _collect(tasks: Sequence[PlayedTask], agents: tuple[str, ...], families: Sequence[Drawn]) -> _Set:
    weights = _task_weights(tasks)
    memory = np.array([[one.results[agent].memory_mean for agent in agents] for one in tasks])
    areas = _budget_weights(tasks, memory, weights)  # (tasks, agents)
    scores = np.array([[one.results[agent].normalised.mean for agent in agents] for one in tasks])  # type: ignore[union-attr]
    values = [one.scores[:, one.columns_of(agents)] for one in tasks]
    variances = [
        weight**2 * runs.var(axis=0, ddof=1) / len(runs)
        for runs, weight in zip(values, weights, strict=True)
        if len(runs) > 1
    ]
    together = np.concatenate(values)
    counts = np.concatenate([one.runs.counts[:SECOND_RESAMPLES] for one in tasks], axis=1)
    return _Set(
        agents=agents,
        weights=weights,
        run_weights=np.concatenate(
            [
                w * one.runs.sizes[:, 0] / one.runs.sizes[:, 0].sum()
                for w, one in zip(weights, tasks, strict=True)
            ]
        ),
        values=together,
        counts=counts.astype(np.float32),
        drawn=_together(families, agents) if families else _draw(tasks, agents, weights, areas),
        iqms=iqm_draws(together, counts.T.astype(np.int16)),
        freedom=freedom(variances, [one.task.runs for one in tasks if one.task.runs > 1])
        if variances
        else np.full(len(agents), np.inf),
        auc=(areas * scores).sum(axis=0),
        memory=np.asarray(weights) @ memory,
    )


def _draw(
    tasks: Sequence[PlayedTask], agents: tuple[str, ...], weights: Sequence[float], areas: Floats
) -> Drawn:
    columns = [one.columns_of(agents) for one in tasks]
    headline, gap, auc = (np.zeros((len(agents), len(tasks[0].runs.counts))) for _ in range(3))
    for start in range(0, len(agents), TOGETHER):
        some = slice(start, start + TOGETHER)
        for one, of_agents, weight, area in zip(tasks, columns, weights, areas, strict=True):
            assert one.task.scale is not None  # `standings` returned before
            drawn = normalise(one.runs.means(of_agents[some]), *one.task.scale).T  # (agents, resamples)
            headline[some] += weight * drawn
            auc[some] += area[some, None] * drawn
            short = np.maximum(0.0, 1.0 - one.scores[:, of_agents[some]]).T @ one.runs.weights
            gap[some] += short / (max(1, one.task.runs - 1) * len(tasks))
    return Drawn(agents, len(tasks), headline, gap, auc)


def _together(families: Sequence[Drawn], agents: tuple[str, ...]) -> Drawn:
    """Every family counts alike, but in the gap, where every task does."""
    tasks = sum(one.tasks for one in families)
    headline, gap, auc = (np.zeros((len(agents), families[0].headline.shape[1])) for _ in range(3))
    for one in families:
        mine = [one.agents.index(agent) for agent in agents]
        headline += one.headline[mine] / len(families)
        gap += one.gap[mine] * (one.tasks / tasks)
        auc += one.auc[mine] / len(families)
    return Drawn(agents, tasks, headline, gap, auc)


def _budget_weights(tasks: Sequence[PlayedTask], memory: Floats, weights: Sequence[float]) -> Floats:
    """Weights of the task scores whose sum is an agent's budget AUC, shape (tasks, agents).

    Tasks that differ in their bytes alone are points of one curve.
    """
    curves: dict[bytes, list[int]] = {}
    for i, one in enumerate(tasks):
        rest = {k: v for k, v in one.task.kwargs.items() if k not in ("memory_budget", "view_bytes")}
        curves.setdefault(canonical_json([one.task.family, one.task.env_id, rest]), []).append(i)
    out = np.zeros(memory.shape)
    for points in curves.values():
        total = sum(weights[i] for i in points)
        for agent in range(memory.shape[1]):
            out[points, agent] = np.multiply(
                total, trapezoid_weights(memory[points, agent].tolist(), *BUDGETS)
            )
    return out


def _standing(known: Standing, tasks: Sequence[PlayedTask], data: _Set, agent: int, score: float) -> Standing:
    values = data.values[:, agent]
    has_spread = all(one.task.runs > 1 for one in tasks)
    each = _per_task_weights(tasks)  # every task counts alike, as in the profile
    draws = np.stack([data.drawn.headline[agent], data.drawn.gap[agent], data.drawn.auc[agent]], axis=1)
    gap = float(each[0] @ np.maximum(0.0, 1.0 - values))
    means = (score, gap, float(data.auc[agent]), iqm(values))
    bounds = ((-np.inf, 1.0), (0.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf))
    percentiles = [
        *percentile_intervals(draws),
        *percentile_intervals(data.iqms[:, agent : agent + 1]),
    ]
    ends = [
        widen(interval, mean, float(data.freedom[agent]), *bound) if has_spread else None
        for interval, mean, bound in zip(percentiles, means, bounds, strict=True)
    ]
    score_, gap_, auc, iqm_ = (
        estimate(mean, end, len(values)) for mean, end in zip(means, ends, strict=True)
    )
    return replace(
        known,
        score=score_,
        iqm=iqm_,
        optimality_gap=gap_,
        budget_auc=auc,
        memory=round(float(data.memory[agent]), DIGITS),
        profile=_profile(values, data.counts, *each),
    )


def _per_task_weights(tasks: Sequence[PlayedTask]) -> tuple[Floats, Floats]:
    """Of each run, where every task counts alike: among all runs, and for each time that it is drawn."""
    all_, drawn = [], []
    for one in tasks:
        runs = one.task.runs
        all_ += [1 / len(tasks) / runs] * runs
        drawn += [1 / len(tasks) / max(1, runs - 1)] * runs
    return np.array(all_), np.array(drawn)


def _profile(
    values: Floats, counts: NDArray[np.float32], weights: Floats, drawn: Floats
) -> tuple[tuple[float, float, float], ...]:
    above = values[:, None] > np.asarray(PROFILE_LEVELS)  # (runs, levels)
    means = weights @ above
    draws = counts @ (drawn[:, None] * above).astype(np.float32)
    return tuple(
        (round(float(mean), 4), round(low, 4), round(high, 4))
        for mean, (low, high) in zip(means, percentile_intervals(draws), strict=True)
    )


def _compare(
    tasks: Sequence[PlayedTask], data: _Set, ranked: Sequence[int], scores: Sequence[float]
) -> Comparison:
    agents = tuple(data.agents[i] for i in ranked)
    values = data.values[:, ranked]
    first, second = np.triu_indices(len(ranked), 1)
    starts = np.cumsum([one.task.runs for one in tasks])[:-1]
    of_tasks = np.split(values, starts)
    has_spread = all(len(runs) > 1 for runs in of_tasks)
    error, gap = np.zeros(len(first)), None
    if has_spread:
        variances = np.array(
            [w**2 * _pair_variances(runs) for w, runs in zip(data.weights, of_tasks, strict=True)]
        )
        error = np.sqrt(variances.sum(axis=0))
        degrees = float(np.median(freedom(variances, [len(runs) for runs in of_tasks])))
        gap = round(float(t_quantile(degrees) * np.median(error)), DIGITS)
    p_values = sign_flip_test(values, data.run_weights, generator_from(b"flips", values.tobytes()))
    better = improvement(of_tasks)
    means = np.array([scores[i] for i in ranked])
    return Comparison(
        agents=agents,
        tasks=tuple(one.task.name for one in tasks),
        gap=gap,
        difference=_rounded(means[first] - means[second]),
        error=_rounded(error),
        p_value=tuple(float(f"{p:.3g}") for p in p_values),
        p_holm=tuple(float(f"{p:.3g}") for p in holm(p_values)),
        improvement=_rounded(better.probability),
        improvement_error=tuple(None if np.isnan(e) else round(float(e), DIGITS) for e in better.error),
    )


def _pair_variances(runs: Floats) -> Floats:
    """Variance of the mean difference of each pair of agents over the runs of a task, shape (pairs,)."""
    first, second = np.triu_indices(runs.shape[1], 1)
    spread = np.atleast_2d(np.cov(runs.T)) / len(runs)
    return np.maximum(0.0, spread[first, first] + spread[second, second] - 2 * spread[first, second])


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)
