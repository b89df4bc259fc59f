"""What the protocol costs: replaying actions, verifying a large submission, and agents in processes of their own.

    python benchmarks/protocol.py                  # 40 000 episodes; writes benchmarks/results/protocol.json and .md
    python benchmarks/protocol.py --episodes 400

Replay is timed in CPU seconds of one process, as median of rounds with the range. An isolated agent is timed beside
the same agent in the environment's process, by turns. All numbers grow with the load of the machine, which is noted.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from memgym.core.engines import LocalEngine
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_bundle, read_timings, read_traces, write_atomically
from memgym.core.rollout import replay_episode
from memgym.core.suites import Suite, Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.trace import Recorder
from memgym.core.vector_replay import replay_together
from memgym.core.verify import CONTROL_PIECE, verify

RESULTS = Path(__file__).with_name("results")
AGENT = "first-cue"


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def replay_rates(folder: Path, rounds: int) -> dict[str, Any]:
    """Steps a second of CPU time, by task, of replaying a bundle's traces: one by one, and many together."""
    found = {}
    for task in get_suite(read_bundle(folder).header["suite"]).tasks:
        first = islice(read_traces(folder, task.name), CONTROL_PIECE)
        episodes = [(seed, episode, actions) for (seed, episode), actions in first]
        steps = sum(len(actions) for *_, actions in episodes)
        recorder = Recorder(make_env(task))
        one_by_one: list[float] = []
        together: list[float] = []
        for _ in range(rounds):
            begun = time.process_time()
            scalar = [replay_episode(recorder, *one) for one in episodes]
            between = time.process_time()
            vector = replay_together(task, episodes)
            one_by_one.append(steps / (between - begun))
            together.append(steps / (time.process_time() - between))
            if scalar != vector:
                raise SystemExit(f"{task.name}: the two forms of the environment differ.")
        found[task.name] = {
            "steps": steps,
            "one_by_one_steps_per_cpu_s": spread(one_by_one),
            "together_steps_per_cpu_s": spread(together),
        }
    return found


def verification(folder: Path, workers: int) -> dict[str, Any]:
    """Verify a whole bundle."""
    wall, cpu = time.perf_counter(), time.process_time()
    bundle = verify(folder, engine=LocalEngine(workers))
    return {
        "workers": workers,
        "episodes": len(bundle.episodes),
        "steps": sum(row["length"] for row in bundle.episodes),
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s_of_this_process": round(time.process_time() - cpu, 1),
    }


def isolation(task: Task, agent: str, rounds: int) -> dict[str, Any]:
    """Microseconds a step, in the environment's process and apart, by turns; starting the process is left out."""
    suite, found = Suite("benchmark", "", (task,)), {}
    times: dict[str, list[float]] = {
        f"{kind}_{where}": [] for kind in ("wall", "cpu") for where in ("beside", "apart")
    }
    steps = 0
    for _ in range(rounds):
        for where in ("beside", "apart"):
            with tempfile.TemporaryDirectory() as out:
                (folder,) = run([plan(AgentSpec(agent, isolated=where == "apart"), suite, Path(out))])
                steps = sum(row["length"] for row in read_bundle(folder).episodes)
                rows = list(read_timings(folder))[1:]  # the first one makes the process ready
                for kind in ("wall", "cpu"):
                    times[f"{kind}_{where}"].append(1e6 * sum(row[f"{kind}_s"] for row in rows) / steps)
    found = {f"us_per_step_{name}": spread(values) for name, values in times.items()}
    return {"agent": agent, "steps": steps, **found}


def _shown(values: dict[str, float], factor: float = 1.0) -> str:
    low, high = factor * values["low"], factor * values["high"]
    return f"{factor * values['median']:.0f} ({low:.0f} to {high:.0f})"


def as_markdown(found: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# What the protocol costs",
        "",
        "    python benchmarks/protocol.py",
        "",
        f"Python {found['python']}, {found['cpus']} CPUs shared with others: load {found['load'][0]} before and "
        f"{found['load'][1]} after.",
        "",
        "## Replay of control traces, thousands of steps a CPU second: median (range)",
        "",
        "| task | scalar environment | vector environment |",
        "| --- | --- | --- |",
    ]
    for task, row in found["replay"].items():
        rates = (row["one_by_one_steps_per_cpu_s"], row["together_steps_per_cpu_s"])
        lines.append(f"| {task} | {' | '.join(_shown(rate, 1e-3) for rate in rates)} |")
    lines += [
        "",
        "## Verifying one submission",
        "",
        "| workers | episodes | steps | wall s |",
        "| --- | --- | --- | --- |",
    ]
    for row in found["verification"]:
        lines.append(f"| {row['workers']} | {row['episodes']:,} | {row['steps']:,} | {row['wall_s']} |")
    lines += [
        "",
        "## An agent in a process of its own, microseconds a step: median (range)",
        "",
        "CPU is that of both processes together.",
        "",
        "| task | agent | wall, beside | wall, apart | CPU, beside | CPU, apart |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for task, row in found["isolation"].items():
        names = ("wall_beside", "wall_apart", "cpu_beside", "cpu_apart")
        cells = " | ".join(_shown(row[f"us_per_step_{name}"]) for name in names)
        lines.append(f"| {task} | `{row['agent']}` | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--episodes", type=int, default=40_000, help="of the large submission, ten tasks together"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for protocol.json and protocol.md")
    args = parser.parse_args()
    suite = get_suite("rewriting").resized(max(1, args.episodes // 10))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as out:
        (folder,) = run([plan(AgentSpec(AGENT), suite, Path(out))])
        found: dict[str, Any] = {
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "replay": replay_rates(folder, args.rounds),
            "verification": [verification(folder, workers) for workers in (1, 2)],
        }
    found["isolation"] = {
        task.name: isolation(task, agent, args.rounds)
        for task, agent in (
            (get_suite("rewriting+episodes=50").tasks[1], AGENT),
            (get_suite("quickstart+episodes=5").tasks[1], "rules"),
        )
    }
    found["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "protocol.json", json.dumps(found, indent=1).encode() + b"\n")
    write_atomically(args.out / "protocol.md", as_markdown(found).encode())
    print(as_markdown(found))


if __name__ == "__main__":
    main()
