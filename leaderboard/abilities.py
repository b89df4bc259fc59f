"""What a task, or a type of question in it, is evidence for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .board import Estimate, Task
from .per_task import CEILING, FLOOR, TOGETHER, PlayedTask, estimate
from .statistics import Interval, freedom, normalise, percentile_intervals, widen

__all__ = ["ABILITIES", "ability_members", "ability_of_task", "ability_of_type", "ability_scores"]

Cell = tuple[str, str]
"""A task by name, and a type of its questions; ``""`` for a task without questions."""

ABILITIES: dict[str, frozenset[str]] = {
    "retention": frozenset(
        "single-hop single-key single-session-user single-session-assistant single-session-preference "
        "open-domain accurate-retrieval".split()
    ),
    "updating": frozenset("knowledge-update current-value conflict-resolution".split()),
    "selection": frozenset({"multi-key"}),
    "forgetting": frozenset({"deletion"}),
    "combining": frozenset("multi-hop multi-session long-range-understanding".split()),
    "time": frozenset("temporal temporal-reasoning".split()),
    "abstention": frozenset("abstention adversarial".split()),
}
"""Abilities and the question types that show them; a type outside of all shows none."""

OF_REWRITING = {
    "retention": "retention",
    "selective": "selection",
    "distractor": "selection",
    "reversal": "updating",
}
REWRITING_ENVS = frozenset(
    f"memgym/{name}-v0"
    for name in ("EndlessTMaze", "ColorCubes", "KeyValueRewriting", "OrderRewriting", "CountRewriting")
)


def ability_of_type(question_type: str) -> str | None:
    """The ability that questions of a type show.

    >>> ability_of_type("multi-hop"), ability_of_type("art")
    ('combining', None)
    """
    last = question_type.rpartition("/")[2]
    return next((ability for ability, types in ABILITIES.items() if last in types), None)


def ability_of_task(env_id: str, kwargs: Mapping[str, Any]) -> str | None:
    """The ability that a task without questions shows.

    >>> ability_of_task("memgym/EndlessTMaze-v0", {"num_corridors": 1})
    'retention'
    >>> ability_of_task("memgym/ColorCubes-v0", {"mode": "medium"})
    'updating'
    """
    if env_id not in REWRITING_ENVS:
        return None
    if kwargs.get("num_corridors") == 1 or kwargs.get("mode") == "trivial":
        return "retention"
    return OF_REWRITING.get(str(kwargs.get("rewriting")), "updating")


def ability_members(tasks: Sequence[Task]) -> dict[str, list[Cell]]:
    """The tasks and types of a board that show each ability, abilities in the order of `ABILITIES`."""
    members: dict[str, list[Cell]] = {ability: [] for ability in ABILITIES}
    for task in tasks:
        if task.types:
            found = {kind: ability_of_type(kind) for kind in task.types}
        else:
            found = {"": ability_of_task(task.env_id, task.kwargs)}
        for kind, ability in found.items():
            if ability:
                members[ability].append((task.name, kind))
    return {ability: cells for ability, cells in members.items() if cells}


def ability_scores(
    played: Sequence[PlayedTask], cells: Sequence[Cell], agents: Sequence[str]
) -> dict[str, Estimate]:
    """The mean over cells of the normalised score, of the agents that played them all.

    A type of question is normalised between the random agent and the oracle on that type. A cell where the
    oracle is not above the random agent, or one of the two is missing, counts for nobody.
    """
    by_name = {one.task.name: one for one in played}
    usable = [(by_name[task], kind) for task, kind in cells if _scale(by_name[task], kind)]
    if not usable:
        return {}
    players = [agent for agent in agents if all(agent in one.results for one, _ in usable)]
    values = [1 + one.runs.types.index(kind) if kind else 0 for one, kind in usable]
    scales = [_scale(one, kind) or (0.0, 1.0) for one, kind in usable]
    scores = [[_score(one, agent, kind).mean for agent in players] for one, kind in usable]
    means = np.zeros(len(players))
    runs, variances = [], []
    for (one, _), value, scale, of_cell in zip(usable, values, scales, scores, strict=True):
        means += normalise(of_cell, *scale) / len(usable)
        variances.append(_variance(one, players, value, *scale) / len(usable) ** 2)
        runs.append(int((one.runs.sizes[:, value] > 0).sum()))
    if not players or min(runs) < 2:
        return {
            agent: estimate(float(mean), None, sum(runs)) for agent, mean in zip(players, means, strict=True)
        }
    degrees = freedom(variances, runs)
    columns = [one.columns_of(players) for one, _ in usable]
    intervals: list[Interval] = []
    for start in range(0, len(players), TOGETHER):
        draws = 0.0
        for (one, _), mine, value, scale in zip(usable, columns, values, scales, strict=True):
            drawn = one.runs.means(mine[start : start + TOGETHER], value)
            draws = draws + normalise(drawn, *scale) / len(usable)
        intervals += percentile_intervals(draws)
    return {
        agent: estimate(float(mean), widen(interval, float(mean), float(df), high=1.0), sum(runs))
        for agent, mean, interval, df in zip(players, means, intervals, degrees, strict=True)
    }


def _variance(
    one: PlayedTask, players: Sequence[str], value: int, low: float, high: float
) -> NDArray[np.float64]:
    """Variance of the normalised mean of each player over the runs that hold any, shape (players,)."""
    filled = one.runs.sizes[:, value] > 0
    means = one.runs.sums[:, one.columns_of(players), value][filled] / one.runs.sizes[filled, value, None]
    if len(means) < 2:
        return np.zeros(len(players))
    return means.var(axis=0, ddof=1) / len(means) / (high - low) ** 2


def _score(one: PlayedTask, agent: str, kind: str) -> Estimate:
    result = one.results[agent]
    return result.types[kind].score if kind else result.score


def _scale(one: PlayedTask, kind: str) -> tuple[float, float] | None:
    if not {FLOOR, CEILING} <= one.results.keys():
        return None
    low, high = _score(one, FLOOR, kind).mean, _score(one, CEILING, kind).mean
    return (low, high) if high > low else None
