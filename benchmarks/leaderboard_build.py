"""What a leaderboard costs to build: CPU seconds, memory and the size of its page.

    python benchmarks/leaderboard_build.py                                    # 30 agents x 40 tasks, 1.2 M episodes
    python benchmarks/leaderboard_build.py --agents 300 --tasks 100 --episodes 1

Result bundles of made-up agents are written to a temporary folder. Then the board is built in processes of their
own, with one thread each: once from nothing, which reads every episode, and twice from what was kept of that, as
after a pull request; the pages have to be the same byte for byte. Nothing is replayed. The number of episodes
decides what the first build costs, and is nothing to the others.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from memgym.core.agent import AgentCard
from memgym.core.result import TaskRow, write_atomically, write_bundle
from memgym.version import VERSION

RESULTS = Path(__file__).with_name("results") / "leaderboard_build.json"
TYPES = ("single-hop", "multi-hop", "knowledge-update", "temporal")


def tasks_of(args: argparse.Namespace) -> list[TaskRow]:
    """Three quarters of the tasks are mazes; a quarter asks four questions an episode."""
    rows = []
    for t in range(args.tasks):
        is_text = t % 4 == 3
        rows.append(
            TaskRow(
                name=f"task-{t:03}",
                title=f"Task {t}",
                env_id="memgym/DialogueMemory-v0" if is_text else "memgym/EndlessTMaze-v0",
                kwargs={"memory_budget": 1024 << (t % 3), "number": t // 3},
                family="text" if is_text else "control",
                metric="score" if is_text else "success",
                episodes=args.episodes,
                seeds=list(range(args.seeds)),
            )
        )
    return rows


def write_agent(folder: Path, number: int, tasks: list[TaskRow], args: argparse.Namespace) -> None:
    """One agent's bundle; the first two set the scale."""
    name = {0: "random", 1: "oracle"}.get(number, f"agent-{number:03}")
    rng = np.random.default_rng(number)
    skill = {0: 0.1, 1: 0.98}.get(number, 0.2 + 0.7 * number / args.agents)
    episodes = []
    for task in tasks:
        for seed in task.seeds:
            chance = float(np.clip(skill + rng.normal(0, 0.05), 0, 1))
            solved = rng.random((args.episodes, len(TYPES))) < chance
            for e in range(args.episodes):
                right = [float(one) for one in solved[e]]
                is_text = task.family == "text"
                score = sum(right) / len(right) if is_text else right[0]
                questions = [
                    {"type": t, "score": r, "is_correct": r == 1} for t, r in zip(TYPES, right, strict=True)
                ]
                episodes.append(
                    {
                        "task": task.name,
                        "seed": seed,
                        "episode": e,
                        "return": score,
                        "length": 40 + e,
                        "terminated": True,
                        "truncated": False,
                        "score": score,
                        "success": score >= 0.5,
                        "metrics": {},
                        "bank_bytes": 0,
                        "agent_bytes": 64 + number * 16 + e,
                        "ops": {"ADD": 3} if is_text else {},
                        "refused": 0,
                        "questions": questions if is_text else [],
                        "error": None,
                        "hash": hashlib.blake2b(f"{task.name}{seed}{e}".encode(), digest_size=16).hexdigest(),
                    }
                )
    timings = [
        {k: row[k] for k in ("task", "seed", "episode")} | {"cpu_s": 0.01, "wall_s": 0.01} for row in episodes
    ]
    write_bundle(
        folder / name,
        protocol="2026.1",
        suite="synthetic",
        created="2026-01-01T00:00:00+00:00",
        agent=AgentCard(name=name, kind="scripted", description="Made up.", privileged=number == 1).to_dict(),
        versions={"memgym": VERSION},
        tasks=tasks,
        skipped=[],
        summary={},
        episodes=episodes,
        traces={task.name: [] for task in tasks},
        timings=timings,
    )


def build(results: Path, out: Path, kept: Path) -> dict[str, Any]:
    """Build the board in this process, and say what that took."""
    from memgym.leaderboard.build import build_site

    wall = time.perf_counter()
    index = build_site(results, out, kept=kept)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),  # with starting Python and importing
        "wall_s": round(time.perf_counter() - wall, 2),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
        "index_kb": round(index.stat().st_size / 1000, 1),
        "site_kb": round(sum(path.stat().st_size for path in files) / 1000, 1),
        "files": len(files),
        "sha256": digest,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Write the bundles, build three times."""
    tasks = tasks_of(args)
    with tempfile.TemporaryDirectory() as root:
        results, kept = Path(root, "results"), Path(root, "kept")
        for number in range(args.agents):
            write_agent(results, number, tasks, args)
        runs = {}
        for name in ("first", "again", "once more"):
            words = [__file__, "--build", str(results), str(Path(root, name)), str(kept)]
            # threads of a matrix product that wait for each other count as CPU time
            env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, *words], capture_output=True, text=True, check=True, env=env
            )
            runs[name] = json.loads(done.stdout)
        size = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
    if len({run["sha256"] for run in runs.values()}) != 1:
        raise SystemExit("the same results gave different bytes.")
    return {
        "agents": args.agents,
        "tasks": args.tasks,
        "seeds": args.seeds,
        "episodes": args.agents * args.tasks * args.seeds * args.episodes,
        "results_mb": round(size / 1e6, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load": [
            round(value, 1) for value in os.getloadavg()
        ],  # of a shared machine, CPU seconds grow with it
        "builds": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100, help="a task and seed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file; other sizes in it are kept")
    parser.add_argument("--build", nargs=3, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        print(json.dumps(build(*args.build)))
        return
    found = measure(args)
    print(json.dumps(found, indent=1))
    known = json.loads(args.out.read_bytes()) if args.out.is_file() else {}
    known[f"{args.agents} agents x {args.tasks} tasks, {found['episodes']} episodes"] = found
    write_atomically(args.out, json.dumps(known, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
