"""From result bundles to a board: scores with intervals, ranks, memory, and nothing ranked on a subset.

The score of a task is the mean over episodes. It is normalised between the agents named ``random`` (0) and
``oracle`` (1) of the same board, which therefore take no rank themselves. A family's score is the mean over
its tasks, the overall score the mean over families; both exist only for agents that played all of it. A task
whose score a language model gave is shown, and counts nowhere.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from memgym.core.suites import CANARY
from memgym.errors import ResultInvalid

from .abilities import ability_members, ability_scores
from .board import AgentResult, Board, Estimate, Standing
from .entries import Entry
from .per_task import PlayedTask, play_task
from .standings import standings

__all__ = ["aggregate"]

Item = TypeVar("Item")
Found = TypeVar("Found")


def aggregate(entries: Sequence[Entry]) -> Board:
    """Compare the agents of `entries`, one each; their order does not matter.

    Raises:
        ResultInvalid: two have the same agent name, different protocols, or played different episodes of one
            task.
    """
    entries = _checked(entries)
    played = _at_once(lambda task: _play(task, entries), _union_of_tasks(entries))
    ranked = [one for one in played if not one.task.is_judged]
    families = tuple(dict.fromkeys(one.task.family for one in ranked))
    names, contenders = [e.name for e in entries], {e.name for e in entries if e.is_ranked}
    tasks_of = [[one for one in ranked if one.task.family == family] for family in families]
    found = _at_once(lambda tasks: standings(tasks, names, contenders), tasks_of)
    of_family = dict(zip(families, found, strict=True))
    drawn = [one.drawn for one in found]
    # one family is all there is to it, and counts the same
    overall = of_family[families[0]] if len(families) == 1 else standings(ranked, names, contenders, drawn)
    members = ability_members([one.task for one in ranked])
    of_ability = _at_once(lambda cells: ability_scores(ranked, cells, names), members.values())
    agents = _agents(
        entries,
        played,
        overall.of_agent,
        {family: found.of_agent for family, found in of_family.items()},
        dict(zip(members, of_ability, strict=True)),
    )
    return Board(
        protocol=entries[0].header["protocol"],
        suites=tuple(sorted({entry.header["suite"] for entry in entries})),
        families=families,
        tasks=tuple(one.task for one in played),
        agents=tuple(sorted(agents, key=_overview_order)),
        overall=overall.comparison,
        comparisons={family: found.comparison for family, found in of_family.items()},
        abilities={
            ability: tuple(f"{task}/{kind}" if kind else task for task, kind in cells)
            for ability, cells in members.items()
        },
    )


def _at_once(function: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """What the function makes of each item, in their order; a thread a core, as numpy lets others work meanwhile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def _checked(entries: Sequence[Entry]) -> list[Entry]:
    """The entries by name, checked against each other."""
    if not entries:
        raise ResultInvalid("a board needs at least one result bundle.")
    by_name: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: str(entry.path)):
        if entry.name in by_name:
            both = f"{by_name[entry.name].path} and {entry.path}"
            raise ResultInvalid(f"two bundles of an agent named {entry.name!r}: {both}.")
        by_name[entry.name] = entry
    first, *others = [by_name[name] for name in sorted(by_name)]
    for other in others:
        _check_same("protocol", first, other, first.header["protocol"], other.header["protocol"])
    return [first, *others]


def _check_same(what: str, one: Entry, other: Entry, mine: Any, theirs: Any) -> None:
    if mine != theirs:
        suites = f"Their suites are {one.header['suite']!r} and {other.header['suite']!r}."
        raise ResultInvalid(
            f"{what} differs between {one.path} and {other.path}: they cannot be compared. {suites}"
        )


def _union_of_tasks(entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """Every task of any bundle, in the order of the longest one."""
    found: dict[str, tuple[Mapping[str, Any], Entry]] = {}
    for entry in sorted(entries, key=lambda entry: -len(entry.header["tasks"])):
        for task in entry.header["tasks"]:
            name = task["name"]
            if name.endswith(CANARY):  # it tells who may be on the board, and nothing else
                continue
            _check_was_played(entry, name)
            known, owner = found.setdefault(name, (task, entry))
            for field in ("env_id", "kwargs", "family", "metric"):
                _check_same(f"{field} of task {name!r}", owner, entry, known[field], task[field])
    return [task for name, (task, _) in found.items() if any(name in entry.played for entry in entries)]


def _check_was_played(entry: Entry, task: str) -> None:
    if task not in entry.played and task not in _skipped(entry):
        raise ResultInvalid(f"{entry.path}: no episode of {task!r}, and no reason why it was skipped.")


def _skipped(entry: Entry) -> dict[str, str]:
    """Tasks that an agent did not play, and why; a canary is nobody's concern."""
    rows = {row.get("task", ""): row.get("reason", "") for row in entry.header["skipped"]}
    return {task: reason for task, reason in rows.items() if not task.endswith(CANARY)}


def _play(task: Mapping[str, Any], entries: Sequence[Entry]) -> PlayedTask:
    players = [entry for entry in entries if task["name"] in entry.played]
    totals = {entry.name: entry.played[task["name"]] for entry in players}
    for entry in players[1:]:
        mine, theirs = totals[players[0].name], totals[entry.name]
        what = f"the list of episodes of {task['name']!r}"
        _check_same(what, players[0], entry, mine.keys, theirs.keys)
    return play_task(task, totals, {entry.name for entry in players if entry.is_ranked})


def _agents(
    entries: Sequence[Entry],
    played: Sequence[PlayedTask],
    overall: Mapping[str, Standing],
    families: Mapping[str, Mapping[str, Standing]],
    abilities: Mapping[str, Mapping[str, Estimate]],
) -> list[AgentResult]:
    agents = []
    for entry in entries:
        header = entry.header
        mine = {one.task.name: one.results[entry.name] for one in played if entry.name in one.results}
        agents.append(
            AgentResult(
                name=entry.name,
                card=entry.card,
                seconds=entry.seconds,
                suite=header["suite"],
                digest=header["digest"],
                created=header["created"],
                is_ranked=entry.is_ranked,
                tasks=mine,
                skipped=_skipped(entry),
                overall=overall[entry.name],
                families={family: standing[entry.name] for family, standing in families.items()},
                abilities={
                    ability: scores[entry.name]
                    for ability, scores in abilities.items()
                    if entry.name in scores
                },
                memory_max=max(result.memory_max for result in mine.values()),
            )
        )
    return agents


def _overview_order(agent: AgentResult) -> tuple[Any, ...]:
    """Ranked agents first; then those complete in the first family, in the second, ...; the scale last."""
    complete = [i for i, result in enumerate(agent.families.values()) if result.score]
    first = complete[0] if complete else len(agent.families)
    score = [result.score.mean for result in agent.families.values() if result.score]
    return (
        not agent.is_ranked,
        agent.overall.place or math.inf,
        first,
        -score[0] if score else 0.0,
        -len(agent.tasks),
        agent.name,
    )
