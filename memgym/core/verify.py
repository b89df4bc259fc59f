"""Verification: play every recorded action again and compare every number.

What it proves: the numbers follow from the actions, on the protocol's tasks and seeds. What it cannot prove:
that the named agent chose those actions, nor the bytes that an agent says it remembered outside the bank
(``agent_bytes``). A leaderboard shows both as declared.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memgym.core.evaluate import summarise, task_rows
from memgym.core.result import Bundle, canonical_json, read_bundle, read_traces
from memgym.core.rollout import replay_episode
from memgym.core.shards import episode_row, make_env, metric_of
from memgym.core.suites import PROTOCOL, Task, get_suite
from memgym.core.trace import Recorder
from memgym.errors import InvalidOperation, ResultMismatch, UnknownName
from memgym.version import VERSION

__all__ = ["verify"]

DECLARED = {"agent_bytes", "error"}  # what replay cannot recompute


def verify(folder: Path, on_episode: Callable[[int, int], None] = lambda done, total: None) -> Bundle:
    """Check one bundle completely.

    Args:
        folder: with `submission.json`.
        on_episode: called with (episodes replayed, episodes in all).

    Returns:
        The bundle.

    Raises:
        ResultInvalid: it cannot be read: schema, checksums, seals.
        ResultMismatch: it can be read, and is not what its own actions give; names the first difference.
    """
    bundle = read_bundle(folder)
    tasks = _check_header(bundle.header)
    _check_complete(bundle)
    done = 0
    rows = {(row["task"], row["seed"], row["episode"]): row for row in bundle.episodes}
    for task in tasks:
        traces = read_traces(folder, task.name)
        mine = [row for key, row in rows.items() if key[0] == task.name]
        if set(traces) != {(row["task"], row["seed"], row["episode"]) for row in mine}:
            raise ResultMismatch(
                f"traces/{task.name}.jsonl.gz and the episodes are not of the same episodes."
            )
        env = make_env(task)
        recorder = Recorder(env, metric_of(env))
        for row in mine:
            _check_episode(recorder, row, traces[task.name, row["seed"], row["episode"]])
            done += 1
            on_episode(done, len(rows))
        env.close()
    _compare("summary", bundle.header["summary"], json.loads(canonical_json(summarise(bundle.episodes))))
    return bundle


def _check_header(header: Mapping[str, Any]) -> list[Task]:
    """The tasks of the suite that the header names; nothing in the file is taken as their definition."""
    if header["protocol"] != PROTOCOL:
        raise ResultMismatch(f"protocol is {header['protocol']!r}; this memgym verifies {PROTOCOL!r}.")
    made = header["versions"].get("memgym")
    if made != VERSION:
        raise ResultMismatch(
            f"made with memgym {made}, this is {VERSION}. Install that version to verify it."
        )
    try:
        suite = get_suite(header["suite"])
    except UnknownName as error:
        raise ResultMismatch(f"suite: {error}") from None
    skipped = {row.get("task") for row in header["skipped"]}
    known = {task.name: task for task in suite.tasks}
    played = [task["name"] for task in header["tasks"]]
    if len(set(played)) != len(played) or set(played) | skipped != set(known) or set(played) & skipped:
        raise ResultMismatch(f"tasks are {played} and not those of suite {suite.name!r}: {list(known)}.")
    tasks = [known[name] for name in played]
    for given, row in zip(header["tasks"], task_rows(tasks), strict=True):
        _compare(f"task {row.name!r}", given, json.loads(canonical_json(row.model_dump())))
    return tasks


def _check_complete(bundle: Bundle) -> None:
    expected = [
        (task["name"], seed, episode)
        for task in bundle.header["tasks"]
        for seed in task["seeds"]
        for episode in range(task["episodes"])
    ]
    found = [(row["task"], row["seed"], row["episode"]) for row in bundle.episodes]
    if found == expected:
        return
    for kind, odd in (("missing", set(expected) - set(found)), ("unexpected", set(found) - set(expected))):
        if odd:
            task, seed, episode = sorted(odd)[0]
            raise ResultMismatch(f"task {task!r}, seed {seed}, episode {episode} is {kind}.")
    raise ResultMismatch("episodes come twice, or not in the order of tasks, seeds and episodes.")


def _check_episode(recorder: Recorder, row: Mapping[str, Any], actions: list[Any]) -> None:
    where = f"task {row['task']!r}, seed {row['seed']}, episode {row['episode']}"
    try:
        played = replay_episode(recorder, row["seed"], row["episode"], actions)
    except (InvalidOperation, ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
        raise ResultMismatch(f"{where}: an action cannot be replayed: {error}") from None
    if len(actions) != played.length:
        raise ResultMismatch(f"{where}: {len(actions)} actions, but the episode ends after {played.length}.")
    ended = played.terminated or played.truncated
    if row["error"] is None and not ended:
        raise ResultMismatch(f"{where}: the actions stop before the episode ends.")
    if row["error"] is not None:  # an agent that failed scores nothing, whatever it did before
        played.score, played.success = 0.0, False
    again = json.loads(canonical_json(episode_row(row["task"], played)))
    for name, value in again.items():
        if name not in DECLARED:
            _compare(f"{where}: {name}", row[name], value)


def _compare(what: str, given: Any, real: Any) -> None:
    """Raise on the first difference, naming where it is."""
    if isinstance(given, dict) and isinstance(real, dict) and given.keys() == real.keys():
        for key in real:
            _compare(f"{what}: {key}", given[key], real[key])
    elif isinstance(given, list) and isinstance(real, list) and len(given) == len(real):
        for i, (a, b) in enumerate(zip(given, real, strict=True)):
            _compare(f"{what}[{i}]", a, b)
    elif given != real or isinstance(given, bool) != isinstance(real, bool):
        raise ResultMismatch(f"{what} is {_short(given)} in the file and {_short(real)} when replayed.")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
