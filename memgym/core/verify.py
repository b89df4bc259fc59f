"""Verification: play every recorded action again and compare every number.

What it proves: the numbers follow from the actions, on the protocol's tasks and seeds. What it cannot prove:
that the named agent chose those actions, nor the bytes that an agent says it remembered outside the bank
(``agent_bytes``). A leaderboard shows both as declared.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from memgym.core.engines import Engine, LocalEngine
from memgym.core.evaluate import summarise, task_rows
from memgym.core.result import EPISODES_FILE, Bundle, canonical_json, read_bundle, read_traces
from memgym.core.rollout import replay_episode, void
from memgym.core.shards import episode_row
from memgym.core.suites import PROTOCOL, Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.trace import Recorder
from memgym.core.vector_replay import replay_together
from memgym.errors import (
    DatasetError,
    MemgymError,
    ResultError,
    ResultInvalid,
    ResultMismatch,
    UnknownName,
)
from memgym.version import VERSION

__all__ = ["verify"]

Played = tuple[Mapping[str, Any], list[Any]]  # the line of an episode, and its actions
PIECE, CONTROL_PIECE = 50, 1000  # episodes that are replayed at a time; those of control tasks are small
DECLARED = {"agent_bytes", "error"}  # what replay cannot recompute


def verify(
    folder: Path,
    on_episode: Callable[[int, int], None] = lambda done, total: None,
    engine: Engine | None = None,
) -> Bundle:
    """Check one bundle completely.

    Args:
        folder: with `submission.json`.
        on_episode: called with (episodes replayed, episodes in all).
        engine: what replays; None for this process. Which difference is named does not depend on it.

    Returns:
        The bundle.

    Raises:
        ResultInvalid: it cannot be read: schema, checksums, seals.
        ResultMismatch: it can be read, and is not what its own actions give; names the first difference.
        MemgymError: it cannot be checked on this machine: a dataset or a package is missing.
    """
    try:
        return _verify(folder, on_episode, engine or LocalEngine())
    except MemgymError:
        raise
    except Exception as error:  # whatever a stranger's file can still provoke, it is the file that is refused
        raise ResultInvalid(f"{folder}: {type(error).__name__}: {str(error)[:200]}") from error


def _verify(folder: Path, on_episode: Callable[[int, int], None], engine: Engine) -> Bundle:
    bundle = read_bundle(folder)
    pieces = _Pieces(folder, bundle, _check_header(bundle.header))
    _check_complete(bundle)
    done = 0
    for i, difference in engine.run(_check_piece, pieces):
        if difference:
            pieces.found[i] = ResultMismatch(difference.decode())
        done += pieces.sizes[i]
        on_episode(done, len(bundle.episodes))
    if pieces.found:
        raise pieces.found[min(pieces.found)]
    _compare("summary", bundle.header["summary"], json.loads(canonical_json(summarise(bundle.episodes))))
    return bundle


class _Pieces:
    """Some episodes of one task with their actions at a time, read while earlier ones are replayed.

    What is wrong with the files themselves is kept in `found` beside what replay finds, by the number of the piece,
    so that the first difference is the same however many workers there are.
    """

    def __init__(self, folder: Path, bundle: Bundle, tasks: list[Task]) -> None:
        self.folder, self.bundle, self.tasks = folder, bundle, tasks
        self.sizes: list[int] = []
        self.found: dict[int, ResultError] = {}

    def __iter__(self) -> Iterator[tuple[Task, list[Played]]]:
        for task in self.tasks:
            piece: list[Played] = []
            size = PIECE if task.is_text else CONTROL_PIECE
            try:
                for played in self._episodes(task):
                    piece.append(played)
                    if len(piece) == size:
                        self.sizes.append(size)
                        yield task, piece
                        piece = []
                        if self.found:  # nothing that comes later can be the first difference
                            return
            except ResultError as error:
                self.found[len(self.sizes) + bool(piece)] = error
            if piece:
                self.sizes.append(len(piece))
                yield task, piece
            if self.found:
                return

    def _episodes(self, task: Task) -> Iterator[Played]:
        traces = read_traces(self.folder, task.name)
        for row in self.bundle.episodes:
            if row["task"] == task.name:
                yield row, _actions_of(row, traces)
        if next(traces, None) is not None:
            raise ResultMismatch(f"traces/{task.name}.jsonl.gz has more episodes than {EPISODES_FILE}.")


def _check_piece(task: Task, piece: list[Played]) -> bytes:
    """Replay some episodes of one task: the first difference, nothing where there is none."""
    if all(row["error"] is None for row, _ in piece):
        together = replay_together(task, [(row["seed"], row["episode"], actions) for row, actions in piece])
        if together is not None and all(
            canonical_json(_proved(episode_row(task.name, played))) == canonical_json(_proved(row))
            for (row, _), played in zip(piece, together, strict=True)
        ):
            return b""  # otherwise the scalar environment says what differs, or that nothing does
    with closing(make_env(task)) as env:
        recorder = Recorder(env)
        try:
            for row, actions in piece:
                _check_episode(recorder, row, actions)
        except ResultMismatch as difference:
            return str(difference).encode()
    return b""


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
    if suite.name != header["suite"]:
        raise ResultMismatch(f"suite is {header['suite']!r}; its name is {suite.name!r}.")
    skipped = {row.get("task") for row in header["skipped"]}
    known = {task.name: task for task in suite.tasks}
    played = [task["name"] for task in header["tasks"]]
    if len(set(played)) != len(played) or set(played) | skipped != set(known) or set(played) & skipped:
        raise ResultMismatch(f"tasks are {played} and not those of suite {suite.name!r}: {list(known)}.")
    if not played:
        raise ResultMismatch("no task was played: all are listed as skipped.")
    tasks = [known[name] for name in played]
    for given, row in zip(header["tasks"], task_rows(tasks), strict=True):
        _compare(f"task {row.name!r}", given, json.loads(canonical_json(row.model_dump())))
    return tasks


def _check_complete(bundle: Bundle) -> None:
    found = [(row["task"], row["seed"], row["episode"]) for row in bundle.episodes]
    have, expected = set(found), []
    # stops at the first that is missing: a header may promise more episodes than memory holds
    for task, seed, episode in _expected(bundle.header):
        if (task, seed, episode) not in have:
            raise ResultMismatch(f"task {task!r}, seed {seed}, episode {episode} is missing.")
        expected.append((task, seed, episode))
    for task, seed, episode in sorted(have.difference(expected)):
        raise ResultMismatch(f"task {task!r}, seed {seed}, episode {episode} is unexpected.")
    if found != expected:
        raise ResultMismatch("episodes come twice, or not in the order of tasks, seeds and episodes.")


def _expected(header: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    for task in header["tasks"]:
        for seed in task["seeds"]:
            for episode in range(task["episodes"]):
                yield task["name"], seed, episode


def _where(row: Mapping[str, Any]) -> str:
    return f"task {row['task']!r}, seed {row['seed']}, episode {row['episode']}"


def _actions_of(row: Mapping[str, Any], traces: Iterator[tuple[tuple[int, int], list[Any]]]) -> list[Any]:
    """The actions of an episode, which are the next in the file."""
    key, actions = next(traces, (None, []))
    if key != (row["seed"], row["episode"]):
        raise ResultMismatch(
            f"{_where(row)}: traces/{row['task']}.jsonl.gz and the episodes are not of the same episodes."
        )
    if len(actions) != row["length"]:
        raise ResultMismatch(
            f"{_where(row)}: length is {row['length']} in the file, which has {len(actions)} actions."
        )
    return actions


def _check_episode(recorder: Recorder, row: Mapping[str, Any], actions: list[Any]) -> None:
    where = _where(row)
    try:
        played = replay_episode(recorder, row["seed"], row["episode"], actions)
    except DatasetError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AssertionError) as error:
        raise ResultMismatch(f"{where}: an action cannot be replayed: {str(error)[:200]}") from None
    if len(actions) != played.length:
        raise ResultMismatch(f"{where}: {len(actions)} actions, but the episode ends after {played.length}.")
    ended = played.terminated or played.truncated
    if row["error"] is None and not ended:
        raise ResultMismatch(f"{where}: the actions stop before the episode ends.")
    if row["error"] is not None:  # an agent that failed scores nothing, whatever it did before
        void(played, row["error"])
    again = json.loads(canonical_json(episode_row(row["task"], played)))
    for name, value in _proved(again).items():
        _compare(f"{where}: {name}", row[name], value)


def _proved(row: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an episode without what only the agent knows."""
    return {name: value for name, value in row.items() if name not in DECLARED}


def _compare(what: str, given: Any, real: Any) -> None:
    """Raise on the first difference, naming where it is."""
    if isinstance(given, dict) and isinstance(real, dict) and given.keys() == real.keys():
        for key in real:
            _compare(f"{what}: {key}", given[key], real[key])
    elif isinstance(given, list) and isinstance(real, list) and len(given) == len(real):
        for i, (a, b) in enumerate(zip(given, real, strict=True)):
            _compare(f"{what}[{i}]", a, b)
    elif given != real or type(given) is not type(real):
        raise ResultMismatch(f"{what} is {_short(given)} in the file and {_short(real)} when replayed.")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
