"""A shard: some episodes of one agent on one task and seed, a pure function of its key."""

import gzip
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from memgym.core.players import AgentSpec, seated
from memgym.core.result import canonical_json
from memgym.core.suites import PROTOCOL, Task
from memgym.core.task_env import make_env
from memgym.core.trace import Episode, Recorder
from memgym.version import VERSION

__all__ = ["Shard", "episode_row", "run_shard"]


@dataclass(frozen=True)
class Shard:
    """Some episodes of one agent on one task and seed."""

    agent: AgentSpec
    card: Mapping[str, Any]
    task: Task
    seed: int
    first: int
    count: int

    @property
    def id(self) -> str:
        """What it is a pure function of, hashed."""
        key = [
            PROTOCOL,
            VERSION,
            self.agent.name,
            dict(self.agent.config),
            dict(self.card),
            _task_key(self.task),
            self.seed,
            self.first,
            self.count,
        ]
        return blake2b(canonical_json(key), digest_size=16).hexdigest()


def run_shard(shard: Shard) -> bytes:
    """Play a shard: the content of its file."""
    task = shard.task
    rows, traces, timings = [], [], []
    with closing(make_env(task)) as env:
        recorder = Recorder(env)
        player = seated(shard.agent, shard.card, task, recorder)
        for episode in range(shard.first, shard.first + shard.count):
            cpu, wall, before = time.process_time(), time.perf_counter(), player.usage()
            played = player.play_episode(recorder, shard.seed, episode)
            spent = {name: count - before.get(name, 0) for name, count in player.usage().items()}
            where = {"seed": shard.seed, "episode": episode}
            rows.append(episode_row(task.name, played))
            traces.append({**where, "actions": played.actions})
            timings.append(
                {
                    "task": task.name,
                    **where,
                    "cpu_s": round(time.process_time() - cpu + player.cpu_seconds, 6),
                    "wall_s": round(time.perf_counter() - wall, 6),
                    **({"usage": spent} if spent else {}),
                }
            )
    content = {"rows": rows, "traces": traces, "timings": timings}
    return gzip.compress(canonical_json(content), mtime=0)


def episode_row(task: str, played: Episode) -> dict[str, Any]:
    """The line of `episodes.jsonl.gz` for an episode."""
    return {
        "task": task,
        "seed": played.seed,
        "episode": played.episode,
        "return": played.ret,
        "length": played.length,
        "terminated": played.terminated,
        "truncated": played.truncated,
        "score": played.score,
        "success": played.success,
        "metrics": played.metrics,
        "bank_bytes": played.bank_bytes,
        "agent_bytes": played.agent_bytes,
        "ops": played.ops,
        "refused": played.refused,
        "questions": played.questions,
        "error": played.error,
        "hash": played.hash,
    }


def _task_key(task: Task) -> list[Any]:
    return [task.name, task.env_id, dict(task.kwargs), task.episodes]
