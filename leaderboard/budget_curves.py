"""Agents at several budgets: score against the bytes that they really used, and the area under that curve.

The area is that of a model's accuracy over its aligned memory (Zhou et al., "A Model or 603 Exemplars", 2023, arXiv
2205.13218): all that an agent remembers counts, its bank and what it keeps beside it, in bytes, on a logarithmic
axis from the smallest budget to the largest, divided by the axis's length. Below its first point a curve is 0, and
what takes more bytes than the largest budget has no area: an agent gains nothing by bytes that no budget counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memgym.core.result import read_timings
from memgym.errors import ResultInvalid

from .board import Estimate
from .entries import Entry, read_entry
from .per_task import DIGITS, estimate
from .runs import Runs, make_runs
from .statistics import freedom, pareto_front, percentile_intervals, trapezoid_weights, widen

__all__ = ["BudgetCurves", "Cost", "Curve", "Panel", "Point", "area_weights", "budget_curves"]

MEAN = ""  # the panel of the mean over tasks
TOKENS = ("prompt_tokens", "completion_tokens")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cost:
    """What an agent took for a question, the reading before it included; as its results declare it.

    Attributes:
        cpu_s: CPU seconds, on whatever machine.
        calls: of a language model, or of the rules in its place; None of an agent that counts none.
        tokens: read and written by language models; None likewise.
    """

    cpu_s: float
    calls: float | None
    tokens: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One agent at one budget.

    Attributes:
        budget: of the bank, in bytes.
        score: mean over episodes, or over tasks of that.
        memory_mean: mean of the peak bytes of bank and agent together; where the point stands.
        memory_max: largest peak of any episode.
        questions: asked in all.
        errors: episodes that ended in an exception of the agent.
        cost: for a question.
        on_front: no agent scores as much with less memory, at any budget; False for one that is not ranked.
        front_probability: how often that is so among the resamples; None for one that is not ranked.
    """

    budget: int
    score: Estimate
    memory_mean: float
    memory_max: int
    questions: int
    errors: int
    cost: Cost
    on_front: bool
    front_probability: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One agent over all budgets, and the areas under its score.

    Attributes:
        agent: its name.
        points: by budget, the smallest first.
        auc: over the bytes that it used, as the module says.
        bank_auc: over the budgets of the bank, whatever it kept beside it: the mean score along the axis.
    """

    agent: str
    points: tuple[Point, ...]
    auc: Estimate
    bank_auc: Estimate


@dataclass(frozen=True, slots=True)
class Panel:
    """All agents on one task, or on the mean of all (`task` is then ``""``), by area, the largest first."""

    task: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class BudgetCurves:
    """Everything that is reported.

    Attributes:
        budgets: in bytes, the smallest first.
        tasks: as the results name them, without the bytes.
        cards: of the agents, by name.
        versions: that the results were made with.
        protocol: likewise.
        panels: the mean over tasks first, where there are several, then each task.
    """

    budgets: tuple[int, ...]
    tasks: tuple[Mapping[str, Any], ...]
    cards: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    protocol: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class _Played:
    """One agent at one budget."""

    budget: int
    entry: Entry
    usage: Mapping[str, Mapping[str, int] | None]  # by task

    @property
    def key(self) -> str:
        return f"{self.entry.name}@{self.budget}"


def area_weights(memory: Sequence[float], budgets: Sequence[int]) -> list[float]:
    """Weights of the scores at several budgets whose sum is the normalised area under the curve, from 0 to 1.

    Args:
        memory: where the score of each budget stands: the bytes really used, or the budgets themselves.
        budgets: in bytes, at least two different ones, in any order.

    >>> area_weights([4, 16], [4, 16]), area_weights([64, 64], [4, 16])
    ([0.5, 0.5], [0.0, 0.0])
    """
    low, high = min(budgets), max(budgets)
    # among equal bytes, as beyond the range, the larger budget is the later point, in whatever order they came
    order = sorted(range(len(budgets)), key=lambda i: (min(max(memory[i], low), high), budgets[i]))
    weights = trapezoid_weights([memory[i] for i in order], low, high)
    return [weights[order.index(i)] for i in range(len(budgets))]


def budget_curves(results: Mapping[int, Sequence[Path]]) -> BudgetCurves:
    """Compare agents over budgets; the order of agents and budgets does not matter.

    Args:
        results: by budget in bytes, one result bundle of each agent; at least two budgets.

    Raises:
        ResultInvalid: a bundle cannot be read, or an agent has not played the same episodes at all budgets as
            the others.
    """
    played = [
        _Played(budget, entry, _usage(folder))
        for budget in sorted(results)
        for folder in results[budget]
        for entry in [read_entry(folder)]
    ]
    played.sort(key=lambda one: (one.entry.name, one.budget))
    tasks = _same_tasks(played, len(results))
    runs = {}
    for task in tasks:
        totals = {one.key: one.entry.played[task["name"]] for one in played}
        runs[task["name"]] = make_runs(task["name"], totals)
    names = [task["name"] for task in tasks]
    groups = [*([(MEAN, names)] if len(names) > 1 else []), *((name, [name]) for name in names)]
    header = played[0].entry.header
    return BudgetCurves(
        budgets=tuple(sorted(results)),
        tasks=tasks,
        cards={one.entry.name: one.entry.card for one in played},
        versions=header["versions"],
        protocol=header["protocol"],
        panels=tuple(Panel(name, _curves(played, members, runs)) for name, members in groups),
    )


def _same_tasks(played: Sequence[_Played], budgets: int) -> tuple[Mapping[str, Any], ...]:
    """The tasks of all, checked to be the same episodes of the same environments but for the bytes."""
    first = played[0]
    wanted = _described(first)
    for one in played:
        mine = [other for other in played if other.entry.name == one.entry.name]
        if len({other.budget for other in mine}) != budgets or len(mine) != budgets:
            raise ResultInvalid(f"agent {one.entry.name!r} has not one result at each of {budgets} budgets.")
        keys = {task: totals.keys for task, totals in one.entry.played.items()}
        same = keys == {task: totals.keys for task, totals in first.entry.played.items()}
        if not same or _described(one) != wanted:
            raise ResultInvalid(f"{first.entry.path} and {one.entry.path} hold different tasks or episodes.")
    return wanted


def _described(one: _Played) -> tuple[Mapping[str, Any], ...]:
    found = []
    for task in one.entry.header["tasks"]:
        kwargs = {name: value for name, value in task["kwargs"].items() if name != "memory_budget"}
        title = task["title"].partition(" (bank of ")[0]  # see `Suite.resized`
        found.append({**task, "kwargs": kwargs, "title": title})
    return tuple(found)


def _usage(folder: Path) -> dict[str, Mapping[str, int] | None]:
    """By task, what language models cost in all its episodes; None where one of them does not say."""
    found: dict[str, dict[str, int] | None] = {}
    for row in read_timings(folder):
        total = found.setdefault(row["task"], {})
        if total is None or "usage" not in row:
            found[row["task"]] = None
            continue
        for name, count in row["usage"].items():
            total[name] = total.get(name, 0) + count
    return {task: total or None for task, total in found.items()}


def _curves(played: Sequence[_Played], tasks: Sequence[str], runs: Mapping[str, Runs]) -> tuple[Curve, ...]:
    columns = list(range(len(played)))
    weight = 1 / len(tasks)
    draws = weight * np.sum([runs[task].means(columns) for task in tasks], axis=0)
    of_tasks = [runs[task].sums[:, :, 0].sum(axis=0) / runs[task].sizes[:, 0].sum() for task in tasks]
    means = weight * np.sum(of_tasks, axis=0)
    memory = np.array([[one.entry.played[task].memory_mean for task in tasks] for one in played]).mean(axis=1)
    degrees = _degrees([runs[task] for task in tasks], len(played))
    ends = [
        widen(interval, mean, degree, 0.0, 1.0) if degree else None
        for interval, mean, degree in zip(percentile_intervals(draws), means, degrees, strict=True)
    ]
    front, often = _front(played, memory, means, draws)
    count = sum(len(runs[task].sizes) for task in tasks)
    by_agent: dict[str, list[int]] = {}
    for i, one in enumerate(played):
        by_agent.setdefault(one.entry.name, []).append(i)
    curves = []
    for agent, mine in by_agent.items():
        budgets = [played[i].budget for i in mine]
        used = [float(memory[i]) for i in mine]
        auc, bank_auc = (
            _area(area_weights(x, budgets), means[mine], draws[:, mine], min(degrees[mine]), count)
            for x in (used, budgets)
        )
        points = [
            Point(
                budget=played[i].budget,
                score=estimate(float(means[i]), ends[i], count),
                memory_mean=round(float(memory[i]), DIGITS),
                cost=_cost(played[i], tasks),
                on_front=bool(front[i]),
                front_probability=often[i],
                **_totals(played[i], tasks),
            )
            for i in mine
        ]
        curves.append(Curve(agent, tuple(points), auc, bank_auc))
    return tuple(sorted(curves, key=lambda curve: (-curve.auc.mean, curve.agent)))


def _area(weights: Sequence[float], means: Floats, draws: Floats, degree: float, runs: int) -> Estimate:
    area = float(np.asarray(weights) @ means)
    (interval,) = percentile_intervals((draws @ np.asarray(weights))[:, None])
    return estimate(area, widen(interval, area, degree, 0.0, 1.0) if degree else None, runs)


def _degrees(runs: Sequence[Runs], columns: int) -> Floats:
    """Degrees of freedom of each column's mean over tasks; 0 where a task has one run, which shows no spread."""
    if any(len(one.sizes) < 2 for one in runs):
        return np.zeros(columns)
    variances = [one.scores.var(axis=0, ddof=1) / len(one.sizes) for one in runs]
    return freedom(variances, [len(one.sizes) for one in runs])


def _front(
    played: Sequence[_Played], memory: Floats, means: Floats, draws: Floats
) -> tuple[NDArray[np.bool_], list[float | None]]:
    ranked = [i for i, one in enumerate(played) if one.entry.is_ranked]
    front = np.zeros(len(played), dtype=np.bool_)
    often: list[float | None] = [None] * len(played)
    front[ranked] = pareto_front(memory[ranked], means[ranked])
    probability = pareto_front(memory[ranked], draws[:, ranked]).mean(axis=0)
    for i, value in zip(ranked, probability, strict=True):
        often[i] = round(float(value), 3)
    return front, often


def _totals(one: _Played, tasks: Sequence[str]) -> dict[str, Any]:
    totals = [one.entry.played[task] for task in tasks]
    return {
        "memory_max": max(total.memory_max for total in totals),
        "questions": sum(count for total in totals for run in total.type_counts for count in run),
        "errors": sum(total.errors for total in totals),
    }


def _cost(one: _Played, tasks: Sequence[str]) -> Cost:
    """Of all questions of the tasks together."""
    totals = [one.entry.played[task] for task in tasks]
    questions = max(1, sum(count for total in totals for run in total.type_counts for count in run))
    seconds = math.fsum(one.entry.seconds[task] * sum(one.entry.played[task].sizes) for task in tasks)
    spent = [one.usage.get(task) for task in tasks]
    known = [usage for usage in spent if usage is not None]
    counted = len(known) == len(spent)
    return Cost(
        cpu_s=round(seconds / questions, DIGITS),
        calls=round(sum(usage.get("calls", 0) for usage in known) / questions, 3) if counted else None,
        tokens=round(sum(usage.get(name, 0) for usage in known for name in TOKENS) / questions, 3)
        if counted
        else None,
    )
