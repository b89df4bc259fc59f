"""All agents on one task: scores, intervals, question types, memory, places and the Pareto front."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .board import Estimate, Task, TaskResult, TypeResult
from .runs import Runs, make_runs
from .statistics import normalise, pareto_front, percentile_intervals, widen
from .totals import Totals

__all__ = ["CEILING", "FLOOR", "JUDGE", "TOGETHER", "PlayedTask", "estimate", "places", "play_task"]

FLOOR, CEILING = "random", "oracle"
JUDGE = "judge:"  # how the name of a score begins that a language model gave
TOGETHER = 4  # agents whose draws are looked at at once: they stay in the processor's cache
DIGITS = 6  # sums in another order, as on another machine, differ far below

Floats = NDArray[np.float64]


class PlayedTask(NamedTuple):
    """One task as its agents played it.

    Attributes:
        task: what it is.
        agents: the order of the agents in `runs` and `scores`.
        results: by agent.
        runs: what was drawn.
        scores: normalised score of each run, shape (runs, agents); empty without a scale.
    """

    task: Task
    agents: tuple[str, ...]
    results: dict[str, TaskResult]
    runs: Runs
    scores: Floats

    def columns_of(self, agents: Sequence[str]) -> list[int]:
        """Where these agents stand in `runs` and `scores`."""
        place = {agent: i for i, agent in enumerate(self.agents)}
        return [place[agent] for agent in agents]


def play_task(task: Mapping[str, Any], totals: Mapping[str, Totals], contenders: set[str]) -> PlayedTask:
    """Compare the agents of one task.

    Args:
        task: as a bundle's header describes it.
        totals: by agent, all of the same episodes; at least one agent.
        contenders: the agents that take a rank.
    """
    runs = make_runs(task["name"], totals)
    described = _describe(task, totals, runs)
    scale = described.scale
    results = {}
    for (agent, played), (score, *by_type) in zip(totals.items(), _estimates(runs), strict=True):
        questions = [int(n) for n in runs.sizes[:, 1:].sum(axis=0)]
        of_types = {
            kind: TypeResult(of_type, n)
            for kind, of_type, n in zip(runs.types, by_type, questions, strict=True)
        }
        results[agent] = _result(played, score, _normalised(score, scale), of_types)
    scores = normalise_runs(runs.scores, scale) if scale else np.empty((0, len(totals)))
    ranked = set() if described.is_judged else contenders
    return PlayedTask(described, tuple(totals), _with_places(results, ranked), runs, scores)


def normalise_runs(scores: Floats, scale: tuple[float, float]) -> Floats:
    """Normalised without the clip at 1, which is for means: some runs of an agent may be lucky."""
    floor, ceiling = scale
    return (scores - floor) / (ceiling - floor)


def _estimates(runs: Runs) -> Iterator[list[Estimate]]:
    """Of each agent the score, then those by type."""
    _, agents, values = runs.sums.shape
    means = runs.sums.sum(axis=0) / runs.sizes.sum(axis=0)
    found = (runs.sizes > 0).sum(axis=0)
    for first in range(0, agents, TOGETHER):
        some = slice(first, first + TOGETHER)
        intervals = iter(percentile_intervals(runs.means_of(some)))
        for row in means[some]:
            yield [
                estimate(
                    float(mean), widen(interval, float(mean), n - 1, 0.0, 1.0) if n > 1 else None, int(n)
                )
                for mean, interval, n in zip(row, islice(intervals, values), found, strict=True)
            ]


def estimate(mean: float, interval: tuple[float, float] | None, runs: int) -> Estimate:
    """An `Estimate`, rounded so that it reads the same on every machine."""
    low, high = (round(end, DIGITS) for end in interval) if interval else (None, None)
    return Estimate(round(mean, DIGITS), low, high, runs)


def _describe(task: Mapping[str, Any], totals: Mapping[str, Totals], runs: Runs) -> Task:
    reference = {
        name: round(math.fsum(totals[name].scores) / sum(totals[name].sizes), DIGITS)
        for name in (FLOOR, CEILING)
        if name in totals
    }
    return Task(
        name=task["name"],
        title=task["title"],
        env_id=task["env_id"],
        kwargs=task["kwargs"],
        family=task["family"],
        metric=task["metric"],
        episodes=int(runs.sizes[:, 0].sum()),
        floor=reference.get(FLOOR),
        ceiling=reference.get(CEILING),
        types=runs.types,
        questions=int(runs.sizes[:, 1:].sum()),
        runs=len(runs.sizes),
        unit=runs.unit,
        is_judged=task["metric"].startswith(JUDGE),
    )


def _normalised(score: Estimate, scale: tuple[float, float] | None) -> Estimate | None:
    if scale is None:
        return None
    ends = None
    if score.low is not None and score.high is not None:
        low, high = normalise([score.low, score.high], *scale)
        ends = (float(low), float(high))
    return estimate(float(normalise(score.mean, *scale)), ends, score.runs)


def _result(
    totals: Totals, score: Estimate, normalised: Estimate | None, types: Mapping[str, TypeResult]
) -> TaskResult:
    return TaskResult(
        score=score,
        iqm=round(totals.iqm, DIGITS),
        normalised=normalised,
        rank=None,
        success=round(totals.success, DIGITS),
        mean_return=round(totals.mean_return, DIGITS),
        episodes=sum(totals.sizes),
        errors=totals.errors,
        steps=totals.steps,
        memory_mean=round(totals.memory_mean, DIGITS),
        memory_max=totals.memory_max,
        ops=totals.ops,
        refused=totals.refused,
        questions=sum(of_type.questions for of_type in types.values()),
        rates={name: round(rate, DIGITS) for name, rate in totals.rates.items()},
        types=types,
        on_front=False,
    )


def _with_places(results: Mapping[str, TaskResult], contenders: set[str]) -> dict[str, TaskResult]:
    ranked = {agent: result for agent, result in results.items() if agent in contenders}
    rank = places({agent: result.score.mean for agent, result in ranked.items()})
    front = pareto_front(
        [result.memory_mean for result in ranked.values()], [result.score.mean for result in ranked.values()]
    )
    return dict(results) | {
        agent: replace(result, rank=rank[agent], on_front=bool(is_on_front))
        for (agent, result), is_on_front in zip(ranked.items(), front, strict=True)
    }


def places(scores: Mapping[str, float]) -> dict[str, int]:
    """Places by score; equal scores share the better place and the next is left out: 1, 2, 2, 4."""
    ordered = sorted(scores.values())
    return {agent: 1 + len(ordered) - bisect_right(ordered, score) for agent, score in scores.items()}
