"""All agents on one task: scores, intervals, question types, memory, ranks and the Pareto front."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .board import Estimate, Task, TaskResult, TypeResult
from .columns import Columns
from .statistics import (
    RESAMPLES,
    bootstrap_means,
    generator_from,
    iqm,
    normalise,
    pareto_front,
    percentile_intervals,
)

__all__ = ["CEILING", "FLOOR", "PlayedTask", "estimate", "play_task", "ranks"]

FLOOR, CEILING = "random", "oracle"
DIGITS = 6  # sums in another order, as on another machine, differ far below

Floats = NDArray[np.float64]


class PlayedTask(NamedTuple):
    """One task as its agents played it.

    Attributes:
        task: what it is.
        results: by agent.
        draws: by agent, resampled normalised means, shape (resamples,); empty without a scale.
    """

    task: Task
    results: dict[str, TaskResult]
    draws: dict[str, Floats]


def play_task(task: Mapping[str, Any], columns: Mapping[str, Columns], contenders: set[str]) -> PlayedTask:
    """Compare the agents of one task.

    Args:
        task: as a bundle's header describes it.
        columns: by agent, all with the same episodes; at least one agent.
        contenders: the agents that take a rank.
    """
    types = tuple(sorted({kind for c in columns.values() for counts in c.type_counts for kind in counts}))
    sums, sizes = _clusters(columns, types)  # (episodes, agents * (1 + types))
    # the same draws serve all agents, so that their differences are paired
    draws = bootstrap_means(sums, sizes, generator_from(task["name"].encode(), sums.tobytes()), RESAMPLES)
    estimates = _estimates(sums, sizes, draws)
    width = 1 + len(types)
    questions = [int(n) for n in sizes[:, 1:width].sum(axis=0)]  # by type, the same for all agents
    described = _describe(task, columns, dict(zip(types, questions, strict=True)))
    scale = described.scale

    results = {}
    for i, (agent, played) in enumerate(columns.items()):
        score, *by_type = estimates[i * width : (i + 1) * width]
        of_types = {
            kind: TypeResult(of_type, n) for kind, of_type, n in zip(types, by_type, questions, strict=True)
        }
        results[agent] = _result(played, score, _normalised(score, scale), of_types)
    normalised = normalise(draws[:, ::width], *scale) if scale else draws[:, :0]
    return PlayedTask(
        described,
        _with_ranks(results, contenders),
        dict(zip(columns, normalised.T, strict=False)),
    )


def _clusters(columns: Mapping[str, Columns], types: Sequence[str]) -> tuple[Floats, Floats]:
    """Sums and sizes of each episode; for each agent its score, then its questions by type."""
    # An episode that broke off has fewer questions. Those it did not answer count as 0, like the episode.
    asked = [
        [max(c.type_counts[e][kind] for c in columns.values()) for kind in types]
        for e in range(len(next(iter(columns.values())).keys))
    ]
    sums = [
        np.array(
            [
                [score, *(by_type.get(kind, 0.0) for kind in types)]
                for score, by_type in zip(c.score, c.type_sums, strict=True)
            ]
        )
        for c in columns.values()
    ]
    sizes = np.array([[1, *counts] for counts in asked], dtype=np.float64)
    return np.concatenate(sums, axis=1), np.tile(sizes, (1, len(columns)))


def _estimates(sums: Floats, sizes: Floats, draws: Floats) -> list[Estimate]:
    means = sums.sum(axis=0) / sizes.sum(axis=0)
    clusters = (sizes > 0).sum(axis=0)
    intervals = percentile_intervals(draws)
    return [
        estimate(float(mean), interval if n > 1 else None, int(n))
        for mean, interval, n in zip(means, intervals, clusters, strict=True)
    ]


def estimate(mean: float, interval: tuple[float, float] | None, clusters: int) -> Estimate:
    """An `Estimate`, rounded so that it reads the same on every machine."""
    low, high = (round(end, DIGITS) for end in interval) if interval else (None, None)
    return Estimate(round(mean, DIGITS), low, high, clusters)


def _describe(task: Mapping[str, Any], columns: Mapping[str, Columns], questions: Mapping[str, int]) -> Task:
    reference = {name: _mean(columns[name].score) for name in (FLOOR, CEILING) if name in columns}
    return Task(
        name=task["name"],
        title=task["title"],
        env_id=task["env_id"],
        kwargs=task["kwargs"],
        family=task["family"],
        metric=task["metric"],
        episodes=len(next(iter(columns.values())).keys),
        floor=reference.get(FLOOR),
        ceiling=reference.get(CEILING),
        types=tuple(questions),
        questions=sum(questions.values()),
    )


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), DIGITS)


def _normalised(score: Estimate, scale: tuple[float, float] | None) -> Estimate | None:
    if scale is None:
        return None
    ends = None
    if score.low is not None and score.high is not None:
        low, high = normalise([score.low, score.high], *scale)
        ends = (float(low), float(high))
    return estimate(float(normalise(score.mean, *scale)), ends, score.clusters)


def _result(
    columns: Columns, score: Estimate, normalised: Estimate | None, types: Mapping[str, TypeResult]
) -> TaskResult:
    return TaskResult(
        score=score,
        iqm=round(iqm(columns.score), DIGITS),
        normalised=normalised,
        rank=None,
        success=_mean(columns.success),
        mean_return=_mean(columns.returns),
        episodes=len(columns.keys),
        errors=columns.errors,
        steps=columns.steps,
        memory_mean=_mean(columns.memory),
        memory_max=max(columns.memory),
        ops=columns.ops,
        refused=columns.refused,
        questions=sum(of_type.questions for of_type in types.values()),
        rates={name: round(rate, DIGITS) for name, rate in columns.rates.items()},
        types=types,
        on_front=False,
    )


def _with_ranks(results: Mapping[str, TaskResult], contenders: set[str]) -> dict[str, TaskResult]:
    ranked = {agent: result for agent, result in results.items() if agent in contenders}
    places = ranks({agent: result.score.mean for agent, result in ranked.items()})
    front = pareto_front(
        [result.memory_mean for result in ranked.values()], [result.score.mean for result in ranked.values()]
    )
    return dict(results) | {
        agent: replace(result, rank=places[agent], on_front=bool(is_on_front))
        for (agent, result), is_on_front in zip(ranked.items(), front, strict=True)
    }


def ranks(scores: Mapping[str, float]) -> dict[str, int]:
    """Places by score; equal scores share the better place and the next is left out: 1, 2, 2, 4."""
    return {agent: 1 + sum(other > score for other in scores.values()) for agent, score in scores.items()}
