"""Run the protocol: agents x tasks x seeds x episodes, in shards that can be interrupted and resumed.

A shard is a pure function of its key, and its file appears whole or not at all. So a run that was killed goes
on where it stopped when the same command is given again, and ends with the same digest.
"""

import gzip
import hashlib
import json
import platform
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from memgym.core.engines import Engine, LocalEngine
from memgym.core.players import AgentSpec, Player, dismiss, introduced
from memgym.core.result import (
    HEADER_FILE,
    NAME,
    TaskRow,
    canonical_json,
    read_bundle,
    sha256_file,
    write_atomically,
    write_bundle,
)
from memgym.core.shards import Shard, run_shard
from memgym.core.suites import PROTOCOL, Suite, Task, reserved_seeds
from memgym.core.task_env import family_of, make_env
from memgym.core.trace import metric_of
from memgym.errors import MemgymError, ResultInvalid
from memgym.version import VERSION

__all__ = [
    "AgentSpec",
    "Plan",
    "is_finished",
    "plan",
    "run",
    "summarise",
    "task_rows",
    "versions",
]

SHARDS = "shards"
SHARDS_PER_SEED = 10  # small enough that little is lost by an interruption


@dataclass(frozen=True)
class Plan:
    """What one agent has to do, and where its results go."""

    agent: AgentSpec
    card: Mapping[str, Any]
    suite: Suite
    tasks: tuple[Task, ...]
    skipped: tuple[Mapping[str, str], ...]
    folder: Path

    @property
    def shards(self) -> list[Shard]:
        """All of them, in the order of the result."""
        shards = []
        for task in self.tasks:
            step = max(1, task.episodes // SHARDS_PER_SEED)
            for seed in reserved_seeds(task):
                for first in range(0, task.episodes, step):
                    count = min(step, task.episodes - first)
                    shards.append(Shard(self.agent, self.card, task, seed, first, count))
        return shards


def plan(agent: AgentSpec, suite: Suite, out: Path) -> Plan:
    """Which tasks of a suite an agent can play on this machine; the others are listed with the reason."""
    with introduced(agent) as player:
        return _plan(player, agent, suite, out)


def _plan(player: Player, agent: AgentSpec, suite: Suite, out: Path) -> Plan:
    card = player.card()
    if not re.match(NAME, card["name"]):
        raise MemgymError(f"an agent's name is letters, digits, '.', '_' and '-', not {card['name']!r}.")
    tasks, skipped = [], []
    for task in suite.tasks:
        reason = task.missing() or player.cannot_play(task)
        if reason:
            skipped.append({"task": task.name, "reason": reason})
        else:
            tasks.append(task)
    return Plan(agent, card, suite, tuple(tasks), tuple(skipped), out / card["name"])


def run(
    plans: Sequence[Plan],
    *,
    engine: Engine | None = None,
    on_shard: Callable[[Shard, int, int], None] = lambda shard, done, total: None,
) -> list[Path]:
    """Play all plans and write one bundle each; what an earlier run finished is not played again.

    Args:
        plans: of `plan`.
        engine: what plays; None for this process.
        on_shard: called with (shard, shards done, shards in all) after each.

    Returns:
        The folders of the bundles.

    Raises:
        ResultInvalid: a folder holds the finished result of another run.
        MemgymError: workers were killed; run again to resume.
    """
    names = [one.card["name"] for one in plans]
    if twice := {name for name in names if names.count(name) > 1}:
        raise MemgymError(f"two agents are called {min(twice)!r}: give one of their cards another name.")
    for one in plans:
        if not one.tasks:
            reasons = "; ".join(f"{row['task']}: {row['reason']}" for row in one.skipped)
            raise MemgymError(f"agent {one.card['name']!r} can play no task of this suite ({reasons}).")
    todo: list[tuple[Plan, Shard]] = []
    written: dict[Path, str] = {}  # what has to be in the files at the end, whoever else can write there
    total = done = 0
    for one in plans:
        shards = one.shards
        total += len(shards)
        finished = is_finished(one)
        open_shards = [] if finished else [s for s in shards if not _shard_path(one, s).is_file()]
        if not finished:
            there = (path for s in shards if (path := _shard_path(one, s)).is_file())
            written |= {path: sha256_file(path) for path in there}
        done += len(shards) - len(open_shards)
        todo += [(one, shard) for shard in open_shards]
    engine, pieces = engine or LocalEngine(), [(shard,) for _, shard in todo]
    # no name for what the engine gives: whatever goes wrong here, workers then end at once
    for number, (i, data) in enumerate(engine.run(run_shard, pieces), done + 1):
        one, shard = todo[i]
        path = _shard_path(one, shard)
        write_atomically(path, data)
        written[path] = hashlib.sha256(data).hexdigest()
        on_shard(shard, number, total)
    dismiss()  # nobody is there any more who could write into the folders
    for one in plans:
        if not is_finished(one):
            _merge(one, written)
    return [one.folder for one in plans]


def task_rows(tasks: Iterable[Task]) -> list[TaskRow]:
    """Tasks as a bundle's header lists them."""
    rows = []
    for task in tasks:
        env = make_env(task)
        rows.append(
            TaskRow(
                name=task.name,
                title=task.title,
                env_id=task.env_id,
                kwargs=dict(task.kwargs),
                family=family_of(env),
                metric=metric_of(env),
                episodes=task.episodes,
                seeds=reserved_seeds(task),
            )
        )
        env.close()
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a header says of the episodes: means by task and by question type; recomputed by `verify`."""
    summary: dict[str, Any] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        types: dict[str, list[float]] = {}
        for row in mine:
            for question in row["questions"]:
                types.setdefault(question["type"], []).append(question["score"])
        summary[task] = {
            "episodes": len(mine),
            "score": _mean(row["score"] for row in mine),
            "success": _mean(row["success"] for row in mine),
            "return": _mean(row["return"] for row in mine),
            "length": _mean(row["length"] for row in mine),
            "memory_bytes": _mean(row["bank_bytes"] + row["agent_bytes"] for row in mine),
            "errors": sum(row["error"] is not None for row in mine),
            "question_types": {
                name: {"questions": len(scores), "score": _mean(scores)}
                for name, scores in sorted(types.items())
            },
        }
    return summary


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.fromiter(values, np.float64)))


def _merge(one: Plan, written: Mapping[Path, str]) -> None:
    """Put the shards of a plan together as its bundle, then remove them."""
    rows, timings = [], []
    traces: dict[str, list[dict[str, Any]]] = {task.name: [] for task in one.tasks}
    for shard in one.shards:
        path = _shard_path(one, shard)
        content = _read_shard(shard, path, written[path])
        rows += content["rows"]
        timings += content["timings"]
        traces[shard.task.name] += content["traces"]
    write_bundle(
        one.folder,
        protocol=PROTOCOL,
        suite=one.suite.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        agent=one.card,
        versions=versions(),
        tasks=task_rows(one.tasks),
        skipped=one.skipped,
        summary=summarise(rows),
        episodes=rows,
        traces=traces,
        timings=timings,
    )
    shutil.rmtree(one.folder / SHARDS, ignore_errors=True)  # another run may be doing the same


def _read_shard(shard: Shard, path: Path, digest: str) -> dict[str, Any]:
    """What a shard holds; one that a full disk, a power cut or an agent has damaged is played again."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            return json.loads(gzip.decompress(data))
    except (OSError, EOFError, ValueError, zlib.error):
        pass
    return json.loads(gzip.decompress(run_shard(shard)))


def is_finished(one: Plan) -> bool:
    """Whether the folder holds this plan's result.

    One that lacks tasks for which a dataset was missing then is not finished: the whole plan is played. One
    that has more tasks, from when a dataset was still here, is.
    """
    if not (one.folder / HEADER_FILE).is_file():
        return False
    header = read_bundle(one.folder).header
    wanted = {"suite": one.suite.name, "agent": json.loads(canonical_json(one.card)), "protocol": PROTOCOL}
    for name, value in wanted.items():
        if header[name] != value:
            raise ResultInvalid(
                f"{one.folder} holds a result with another {name}. Choose another --out, or remove it."
            )
    if header["versions"]["memgym"] != VERSION:
        raise ResultInvalid(
            f"{one.folder} holds a result of memgym {header['versions']['memgym']}. Choose another --out."
        )
    played = {task["name"] for task in header["tasks"]}
    return played >= {task.name for task in one.tasks}


def _shard_path(one: Plan, shard: Shard) -> Path:
    return one.folder / SHARDS / f"{shard.id}.json.gz"


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    return {
        "memgym": VERSION,
        "gymnasium": gym.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
