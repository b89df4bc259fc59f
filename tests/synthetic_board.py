"""Made-up result bundles for the tests of the leaderboard. Every number in them is synthetic."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memgym.core.agent import AgentCard
from memgym.core.result import Bundle
from memgym.leaderboard import aggregate as aggregation
from memgym.leaderboard.board import Board
from memgym.leaderboard.entries import entry_of

TASKS: dict[str, dict[str, Any]] = {
    "t-maze-n3": {
        "title": "Endless T-Maze, 3 corridors",
        "env_id": "memgym/EndlessTMaze-v0",
        "kwargs": {"corridors": 3, "split": "test"},
        "family": "control",
        "metric": "success",
    },
    "t-maze-wide": {
        "title": "Endless T-Maze, 3 corridors, more memory",
        "env_id": "memgym/EndlessTMaze-v0",
        "kwargs": {"corridors": 3, "split": "test", "memory_budget": 4096},
        "family": "control",
        "metric": "success",
    },
    "dialogue": {
        "title": "Dialogue memory, 4 KiB",
        "env_id": "memgym/DialogueMemory-v0",
        "kwargs": {"memory_budget": 4096, "split": "test"},
        "family": "text",
        "metric": "score",
    },
    "locomo": {
        "title": "LoCoMo, 8 KiB",
        "env_id": "memgym/LoCoMo-v0",
        "kwargs": {"memory_budget": 8192},
        "family": "text",
        "metric": "score",
    },
}
TYPES = {
    "dialogue": ("abstention", "current-value", "deletion", "multi-hop", "single-hop", "temporal"),
    "locomo": ("adversarial", "multi-hop", "open-domain", "single-hop", "temporal"),
}
# name: (kind, setting, description, {task: (mean score, bytes)})
AGENTS: dict[str, tuple[str, str, str, dict[str, tuple[float, int]]]] = {
    "random": (
        "reference",
        "closed-book",
        "Acts uniformly at random and remembers nothing.",
        {"t-maze-n3": (0.12, 0), "dialogue": (0.06, 900), "locomo": (0.04, 1200)},
    ),
    "oracle": (
        "reference",
        "online",
        "Sees the hidden state; marks what perfect memory reaches.",
        {"t-maze-n3": (1.0, 16), "dialogue": (1.0, 2100), "locomo": (1.0, 6000)},
    ),
    "first-cue": (
        "scripted",
        "online",
        "Stores the first cue and never replaces it.",
        {"t-maze-n3": (0.31, 8)},
    ),
    "ppo-lstm": (
        "rl",
        "online",
        "Recurrent PPO; memory is the state of one LSTM layer of 128 units.",
        {"t-maze-n3": (0.78, 1024)},
    ),
    "ppo-memory": (
        "rl",
        "online",
        "PPO that writes and erases slots of an external memory with its actions.",
        {"t-maze-n3": (0.93, 96)},
    ),
    "closed-book": (
        "scripted",
        "closed-book",
        "Answers without any memory.",
        {"dialogue": (0.11, 0), "locomo": (0.07, 0)},
    ),
    "recency": (
        "scripted",
        "online",
        "Keeps the newest turns and drops the oldest.",
        {"dialogue": (0.38, 4010), "locomo": (0.19, 8120)},
    ),
    "add-all-bm25": (
        "scripted",
        "online",
        "Adds every turn until the memory is full, answers from a BM25 search.",
        {"dialogue": (0.46, 4080), "locomo": (0.27, 8170)},
    ),
    "rules": (
        "scripted",
        "online",
        "Hand-written rules that add, update and delete facts.",
        {"dialogue": (0.83, 1530), "locomo": (0.31, 7300)},
    ),
    "full-context": (
        "scripted",
        "offline",
        "Keeps the whole history outside the bank and answers from it.",
        {"dialogue": (0.71, 61_000), "locomo": (0.42, 118_000)},
    ),
}


def aggregate(bundles: Sequence[Bundle]) -> Board:
    return aggregation.aggregate([entry_of(bundle) for bundle in bundles])


def make_card(name: str, **fields: Any) -> dict[str, Any]:
    fields = {"kind": "scripted", "description": f"The agent {name}."} | fields
    return AgentCard(name=name, **fields).to_dict()


def make_episode(task: str, episode: int, score: float, /, **fields: Any) -> dict[str, Any]:
    return {
        "task": task,
        "seed": 1000,
        "episode": episode,
        "return": score,
        "length": 10,
        "terminated": True,
        "truncated": False,
        "score": score,
        "success": score >= 0.5,
        "metrics": {},
        "bank_bytes": 100,
        "agent_bytes": 20,
        "ops": {"ADD": 2, "NOOP": 1},
        "refused": 0,
        "questions": [],
        "error": None,
        "hash": "00",
        **fields,
    }


def make_bundle(
    name: str,
    scores: Mapping[str, Sequence[float]] | None = None,
    episodes: Sequence[Mapping[str, Any]] | None = None,
    skipped: Mapping[str, str] | None = None,
    path: str | None = None,
    **card: Any,
) -> Bundle:
    """A bundle of one episode a score, or of the episodes given."""
    if episodes is None:
        episodes = [
            make_episode(task, i, s) for task, all_ in (scores or {}).items() for i, s in enumerate(all_)
        ]
    played = dict.fromkeys(episode["task"] for episode in episodes)
    header = {
        "schema": "memgym-result/1",
        "protocol": "2026.1",
        "suite": "quickstart",
        "created": "2026-11-22T12:00:00Z",
        "agent": make_card(name, **card),
        "versions": {"memgym": "0.1.0"},
        "tasks": [
            {
                "name": task,
                **TASKS.get(task, TASKS["t-maze-n3"]),
                "episodes": sum(e["task"] == task for e in episodes),
                "seeds": [1000],
            }
            for task in played
        ],
        "skipped": [{"task": task, "reason": reason} for task, reason in (skipped or {}).items()],
        "summary": {},
        "manifest": {},
        "digest": hashlib.sha256(name.encode()).hexdigest(),
    }
    return Bundle(Path(path or f"results/{name}"), header, [dict(episode) for episode in episodes])


def realistic_bundles(num_episodes: int = 40) -> list[Bundle]:
    """Ten agents on three tasks, as a first release might have them."""
    return [_realistic_bundle(name, num_episodes) for name in AGENTS]


def _realistic_bundle(name: str, num_episodes: int) -> Bundle:
    kind, setting, description, plays = AGENTS[name]
    rng = np.random.default_rng(int.from_bytes(name.encode()[:4], "big"))
    episodes = []
    for task, (mean, nbytes) in plays.items():
        for i in range(10 if task == "locomo" else num_episodes):
            held = int(nbytes * rng.uniform(0.8, 1.0))
            if task == "t-maze-n3":
                solved = float(rng.random() < mean)
                episodes.append(
                    make_episode(task, i, solved, bank_bytes=0, agent_bytes=held, length=31, ops={})
                )
            else:
                episodes.append(_dialogue_episode(rng, task, i, mean, held, offline=setting == "offline"))
    return make_bundle(
        name,
        episodes=episodes,
        skipped={task: "plays other tasks only" for task in ("t-maze-n3", *TYPES) if task not in plays},
        kind=kind,
        setting=setting,
        description=description,
        privileged=name == "oracle",
        parameters=148_742 if kind == "rl" else 0,
        training_steps=2_000_000 if kind == "rl" else 0,
        trained_on=("memgym/EndlessTMaze-v0",) if kind == "rl" else (),
        url="https://example.org/" + name if kind == "rl" else "",
        config={"k": 8, "stemming": True} if name == "add-all-bm25" else {},
        extra={"command": "python -m memgym.baselines.train_ppo_lstm --seed 0"} if kind == "rl" else {},
    )


def _dialogue_episode(
    rng: np.random.Generator, task: str, episode: int, mean: float, held: int, offline: bool
) -> dict[str, Any]:
    questions = []
    for q in range(24 if task == "dialogue" else 60):
        kind = TYPES[task][q % len(TYPES[task])]
        lean = {"single-hop": 0.1, "multi-hop": -0.15, "temporal": -0.1}.get(kind, 0.0) * (mean < 1)
        right = rng.random() < min(1.0, max(0.0, mean + lean))
        score = 1.0 if right else float(rng.choice([0.0, 0.0, 0.25, 0.4])) * (mean < 1)
        questions.append(
            {
                "type": kind,
                "score": score,
                "is_correct": bool(right),
                "abstained": float(not right and rng.random() < 0.3),
                "stale": float(not right and rng.random() < 0.15),
                "leaked": float(not right and rng.random() < 0.02),
                "evidence_recall": float(round(min(1.0, mean * rng.uniform(0.9, 1.2)), 3)),
            }
        )
    return make_episode(
        task,
        episode,
        float(np.mean([question["score"] for question in questions])),
        bank_bytes=0 if offline else held,
        agent_bytes=held if offline else 0,
        length=210 if task == "dialogue" else 640,
        questions=questions,
        ops={} if held == 0 or offline else {"ADD": 60, "UPDATE": 9, "DELETE": 4, "NOOP": 110},
        refused=int(rng.integers(0, 9)) if held else 0,
    )
