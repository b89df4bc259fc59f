"""From result bundles to a board: scores with intervals, ranks, memory, and nothing ranked on a subset.

The score of a task is the mean over episodes. It is normalised between the agents named ``random`` (0) and
``oracle`` (1) of the same board, which therefore take no rank themselves. A family's score is the mean over
its tasks, the overall score the mean over families; both exist only for agents that played all of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from memgym.errors import ResultInvalid

from .board import AgentResult, Board, Estimate, FamilyResult
from .cards import read_card
from .columns import Bundle, Columns, read_columns
from .per_task import CEILING, FLOOR, PlayedTask, estimate, play_task, ranks
from .statistics import percentile_intervals

__all__ = ["aggregate"]


class _Entry(NamedTuple):
    """One agent's bundle, read and checked."""

    bundle: Bundle
    card: dict[str, Any]
    played: dict[str, Columns]

    @property
    def name(self) -> str:
        return self.card["name"]

    @property
    def is_ranked(self) -> bool:
        return not self.card["privileged"] and self.name not in (FLOOR, CEILING)


def aggregate(bundles: Sequence[Bundle]) -> Board:
    """Compare the agents of `bundles`, one bundle each; their order does not matter.

    Raises:
        ResultInvalid: two bundles have the same agent name, different protocols, or played different episodes
            of one task; or a number is missing, not finite or out of range.
    """
    entries = _read(bundles)
    played = [_play(task, entries) for task in _union_of_tasks(entries)]
    families = tuple(dict.fromkeys(one.task.family for one in played))
    agents = _with_ranks([_agent(entry, played, families) for entry in entries], families)
    return Board(
        protocol=entries[0].bundle.header["protocol"],
        suites=tuple(sorted({entry.bundle.header["suite"] for entry in entries})),
        families=families,
        tasks=tuple(one.task for one in played),
        agents=tuple(sorted(agents, key=_overview_order)),
    )


def _read(bundles: Sequence[Bundle]) -> list[_Entry]:
    """The entries by name, checked against each other."""
    if not bundles:
        raise ResultInvalid("a board needs at least one result bundle.")
    entries: dict[str, _Entry] = {}
    for bundle in sorted(bundles, key=lambda bundle: str(bundle.path)):
        entry = _Entry(bundle, read_card(bundle.path, bundle.header["agent"]), read_columns(bundle))
        if entry.name in entries:
            both = f"{entries[entry.name].bundle.path} and {bundle.path}"
            raise ResultInvalid(f"two bundles of an agent named {entry.name!r}: {both}.")
        if not entry.played:
            raise ResultInvalid(f"{bundle.path}: not one episode.")
        entries[entry.name] = entry
    first, *others = [entries[name] for name in sorted(entries)]
    for other in others:
        mine, theirs = first.bundle.header["protocol"], other.bundle.header["protocol"]
        _check_same("protocol", first.bundle, other.bundle, mine, theirs)
    return [first, *others]


def _check_same(what: str, one: Bundle, other: Bundle, mine: Any, theirs: Any) -> None:
    if mine != theirs:
        suites = f"Their suites are {one.header['suite']!r} and {other.header['suite']!r}."
        raise ResultInvalid(
            f"{what} differs between {one.path} and {other.path}: they cannot be compared. {suites}"
        )


def _union_of_tasks(entries: Sequence[_Entry]) -> list[Mapping[str, Any]]:
    """Every task of any bundle, in the order of the longest one."""
    found: dict[str, tuple[Mapping[str, Any], Bundle]] = {}
    for entry in sorted(entries, key=lambda entry: -len(entry.bundle.header["tasks"])):
        for task in entry.bundle.header["tasks"]:
            name = task["name"]
            _check_was_played(entry, name)
            known, owner = found.setdefault(name, (task, entry.bundle))
            for field in ("env_id", "kwargs", "family", "metric"):
                _check_same(f"{field} of task {name!r}", owner, entry.bundle, known[field], task[field])
    return [task for name, (task, _) in found.items() if any(name in entry.played for entry in entries)]


def _check_was_played(entry: _Entry, task: str) -> None:
    if task not in entry.played and task not in _skipped(entry):
        raise ResultInvalid(f"{entry.bundle.path}: no episode of {task!r}, and no reason why it was skipped.")


def _skipped(entry: _Entry) -> dict[str, str]:
    return {row.get("task", ""): row.get("reason", "") for row in entry.bundle.header["skipped"]}


def _play(task: Mapping[str, Any], entries: Sequence[_Entry]) -> PlayedTask:
    players = [entry for entry in entries if task["name"] in entry.played]
    columns = {entry.name: entry.played[task["name"]] for entry in players}
    for entry in players[1:]:
        mine, theirs = columns[players[0].name].keys, columns[entry.name].keys
        what = f"the list of episodes of {task['name']!r}"
        _check_same(what, players[0].bundle, entry.bundle, mine, theirs)
    return play_task(task, columns, {entry.name for entry in players if entry.is_ranked})


def _agent(entry: _Entry, played: Sequence[PlayedTask], families: Sequence[str]) -> AgentResult:
    header = entry.bundle.header
    mine = {one.task.name: one.results[entry.name] for one in played if entry.name in one.results}
    groups = {family: [one for one in played if one.task.family == family] for family in families}
    return AgentResult(
        name=entry.name,
        card=entry.card,
        suite=header["suite"],
        digest=header["digest"],
        created=header["created"],
        is_ranked=entry.is_ranked,
        tasks=mine,
        skipped=_skipped(entry),
        families={
            family: FamilyResult(
                played=sum(one.task.name in mine for one in group),
                tasks=len(group),
                score=_mean_over_groups(entry.name, [group]),
                rank=None,
            )
            for family, group in groups.items()
        },
        overall=_mean_over_groups(entry.name, list(groups.values())),
        rank=None,
        memory_max=max(result.memory_max for result in mine.values()),
    )


def _mean_over_groups(agent: str, groups: Sequence[Sequence[PlayedTask]]) -> Estimate | None:
    """Mean over groups of the mean over tasks; None unless the agent played all and all have a scale."""
    if not all(agent in one.draws for group in groups for one in group):
        return None
    scores = [[one.results[agent].normalised for one in group] for group in groups]
    mean = np.mean([np.mean([score.mean for score in group if score]) for group in scores])
    draws = np.mean([np.mean([one.draws[agent] for one in group], axis=0) for group in groups], axis=0)
    has_interval = all(score and score.low is not None for group in scores for score in group)
    return estimate(float(mean), percentile_intervals(draws[:, None])[0] if has_interval else None, 0)


def _with_ranks(agents: Sequence[AgentResult], families: Sequence[str]) -> list[AgentResult]:
    contenders = [agent for agent in agents if agent.is_ranked]
    overall = ranks({agent.name: agent.overall.mean for agent in contenders if agent.overall})
    by_family = {
        family: ranks(
            {agent.name: score.mean for agent in contenders if (score := agent.families[family].score)}
        )
        for family in families
    }
    return [
        replace(
            agent,
            rank=overall.get(agent.name),
            families={
                family: replace(result, rank=by_family[family].get(agent.name))
                for family, result in agent.families.items()
            },
        )
        for agent in agents
    ]


def _overview_order(agent: AgentResult) -> tuple[Any, ...]:
    """Ranked agents first; then those complete in the first family, in the second, ...; the scale last."""
    complete = [i for i, result in enumerate(agent.families.values()) if result.score]
    first = complete[0] if complete else len(agent.families)
    score = [result.score.mean for result in agent.families.values() if result.score]
    return (
        not agent.is_ranked,
        agent.rank or math.inf,
        first,
        -score[0] if score else 0.0,
        -len(agent.tasks),
        agent.name,
    )
