"""A shard: some episodes of one agent on one task and seed, a pure function of its key."""

import gzip
import hashlib
import inspect
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import gymnasium as gym

from memgym.core.result import canonical_json
from memgym.core.rollout import play_episode
from memgym.core.suites import PROTOCOL, Task
from memgym.core.trace import Episode, Recorder
from memgym.registry import load_object
from memgym.version import VERSION
from memgym.wrappers.normalise import make_peer, peer_of

__all__ = [
    "AgentSpec",
    "Shard",
    "episode_row",
    "family_of",
    "fingerprint",
    "make_env",
    "run_shard",
]


@dataclass(frozen=True)
class AgentSpec:
    """How to make an agent: a registered name or ``"module:attr"``, and its arguments."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        """Build it."""
        # agents are named, not imported: memgym's core knows none of them
        return load_object("memgym.agents:make_agent")(self.name, **self.config)


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


def fingerprint(agent: Any, spec: AgentSpec) -> str:
    """sha256 of the source files and weights that an agent behaves by, as far as they can be told.

    It is on the card, so that shards of an agent that was changed meanwhile are not mixed with new ones.
    """
    agents = load_object("memgym.agents:AGENTS")
    parts = [agents.resolve(spec.name), type(agent), getattr(agent, "make_policy", None)]
    files = {Path(path) for path in getattr(agent, "files", ())}
    for part in parts:
        try:
            source = inspect.getsourcefile(inspect.unwrap(part)) if part is not None else None
        except TypeError:  # built in, or made at run time
            continue
        files |= {Path(source)} if source else set()
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def make_env(task: Task) -> gym.Env:
    """The environment of a task.

    Raises:
        DependencyMissing: it is another package's, which is not installed.
    """
    if peer := peer_of(task.env_id):
        return make_peer(peer, task.env_id, **task.kwargs)
    return gym.make(task.env_id, disable_env_checker=True, **task.kwargs)


def run_shard(shard: Shard) -> bytes:
    """Play a shard: the content of its file."""
    agent = _made(shard.agent.name, canonical_json(dict(shard.agent.config)))
    task = shard.task
    env = make_env(task)
    recorder = Recorder(env)
    view = agent.wrap(recorder) if hasattr(agent, "wrap") else recorder
    rows, traces, timings = [], [], []
    for episode in range(shard.first, shard.first + shard.count):
        cpu, wall = time.process_time(), time.perf_counter()
        played = play_episode(agent, view, recorder, shard.seed, episode)
        where = {"seed": shard.seed, "episode": episode}
        rows.append(episode_row(task.name, played))
        traces.append({**where, "actions": played.actions})
        timings.append(
            {
                "task": task.name,
                **where,
                "cpu_s": round(time.process_time() - cpu, 6),
                "wall_s": round(time.perf_counter() - wall, 6),
            }
        )
    env.close()
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


def family_of(env: gym.Env) -> Any:
    """The task's family; an environment that names none counts as a control task."""
    return getattr(env.unwrapped, "family", "control")


def _task_key(task: Task) -> list[Any]:
    return [task.name, task.env_id, dict(task.kwargs), task.episodes]


@lru_cache(maxsize=1)
def _made(name: str, config: bytes) -> Any:
    """One agent at a time is kept, since loading one can take longer than playing a shard."""
    return AgentSpec(name, json.loads(config)).make()
