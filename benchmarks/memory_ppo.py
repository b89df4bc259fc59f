"""What training costs: MemoryPPO beside sb3-contrib's RecurrentPPO on Endless T-Maze, and every memory by itself.

    python benchmarks/memory_ppo.py --out benchmarks/results/memory_ppo

Three tables, in CPU seconds of one thread, so that other work on the machine slows all alike:

- speed: environment steps a CPU second, the trainers taking turns. Both have an LSTM of the same width, the same
  environments, steps, epochs and minibatches. "sb3-contrib" has its default policy, an LSTM each for actor and critic
  with two layers of 64 behind; "sb3-contrib, lean" has one LSTM that both share, and nothing behind. MemoryPPO stands
  beside each with about as many parameters, and both once more with eight times the environments. "As it comes" is
  each with the steps, epochs and minibatches of its own defaults, which is what a user meets.
- solve: CPU seconds until 0.95 of unseen episodes are solved, greedily; the evaluations are not counted.
- memories: the same speed for every registered memory with its default arguments, and what it holds.

`--parts` chooses tables; those left out are kept as the file has them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import sb3_contrib
import torch
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments
from memgym.agents import MemoryPPO
from memgym.agents.nn import MODULES
from memgym.agents.sb3 import SB3VecEnv, success_rate

ENV_ID = "memgym/EndlessTMaze-v0"
TASK = {"num_corridors": 3, "corridor_length": 5}
HIDDEN = 64
LEAN = {"net_arch": [], "enable_critic_lstm": False, "shared_lstm": True}
SOLVED, EPISODES, EVERY, GIVE_UP = 0.95, 256, 8192, 1_000_000
PARTS = ("speed", "solve", "memories")


@dataclass(frozen=True)
class Shape:
    """What both trainers have in common."""

    num_envs: int = 64
    n_steps: int = 32
    n_epochs: int = 4
    n_minibatches: int = 2
    learning_rate: float = 1e-3

    @property
    def rollout(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.n_steps


SMALL, LARGE = Shape(), Shape(num_envs=512, n_minibatches=4)
AS_IT_COMES = Shape(num_envs=128, n_minibatches=4)  # MemoryPPO's defaults
THEIRS_AS_IT_COMES = Shape(n_steps=128, n_epochs=10, n_minibatches=64)  # batches of 128


def make_envs(num_envs: int, **arguments: Any) -> gym.vector.VectorEnv:
    mode = AutoresetMode.SAME_STEP  # the one that Stable-Baselines3 knows
    return gym.make_vec(ENV_ID, num_envs=num_envs, autoreset_mode=mode, **TASK, **arguments)


def make_ours(shape: Shape, seed: int = 0, cell: str = "lstm", **policy_kwargs: int) -> Any:
    return MemoryPPO(
        cell,
        make_envs(shape.num_envs),
        module_kwargs={"hidden": HIDDEN} if cell == "lstm" else {},
        policy_kwargs=policy_kwargs,
        n_steps=shape.n_steps,
        n_epochs=shape.n_epochs,
        n_minibatches=shape.n_minibatches,
        learning_rate=shape.learning_rate,
        seed=seed,
    )


def make_theirs(shape: Shape, seed: int = 0, **policy_kwargs: Any) -> Any:
    env = SB3VecEnv(make_envs(shape.num_envs))
    env.seed(seed)
    return sb3_contrib.RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=shape.n_steps,
        batch_size=shape.rollout // shape.n_minibatches,
        n_epochs=shape.n_epochs,
        learning_rate=shape.learning_rate,
        ent_coef=0.01,
        policy_kwargs={"lstm_hidden_size": HIDDEN, **policy_kwargs},
        seed=seed,
        device="cpu",
    )


def count_parameters(model: Any) -> int:
    return sum(p.numel() for p in model.policy.parameters())


def spend(model: Any, steps: int) -> tuple[int, float]:
    """Environment steps learned from, and CPU seconds."""
    before, start = model.num_timesteps, time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    return model.num_timesteps - before, time.process_time() - start


def take_turns(models: dict[str, Any], steps: dict[str, int], rounds: int) -> dict[str, list[float]]:
    """Environment steps a CPU second of each model in each round."""
    for model in models.values():  # the first update is slower
        spend(model, 1)
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            done, seconds = spend(model, steps[name])
            speeds[name].append(done / seconds)
    return speeds


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


# ---------------------------------------------------------------------- the three tables


def run_speed(rounds: int, seeds: int) -> dict[str, Any]:
    makers: dict[str, tuple[Shape, Callable[[], Any]]] = {
        "sb3-contrib": (SMALL, lambda: make_theirs(SMALL)),
        "MemoryPPO": (SMALL, lambda: make_ours(SMALL, ffn_mult=1)),
        "sb3-contrib, lean": (SMALL, lambda: make_theirs(SMALL, **LEAN)),
        "MemoryPPO, lean": (SMALL, lambda: make_ours(SMALL, size=16)),
        "sb3-contrib, 512 environments": (LARGE, lambda: make_theirs(LARGE)),
        "MemoryPPO, 512 environments": (LARGE, lambda: make_ours(LARGE, ffn_mult=1)),
        "sb3-contrib, as it comes": (THEIRS_AS_IT_COMES, lambda: make_theirs(THEIRS_AS_IT_COMES)),
        "MemoryPPO, as it comes": (AS_IT_COMES, lambda: make_ours(AS_IT_COMES, ffn_mult=1)),
    }
    models = {name: make() for name, (_, make) in makers.items()}
    steps = {
        name: max(shape.rollout, 8192 if name.startswith("sb3") else 49152)
        for name, (shape, _) in makers.items()
    }
    speeds = take_turns(models, steps, rounds)
    pairs = {
        "MemoryPPO": "sb3-contrib",
        "MemoryPPO, lean": "sb3-contrib, lean",
        "MemoryPPO, 512 environments": "sb3-contrib, 512 environments",
        "MemoryPPO, as it comes": "sb3-contrib, as it comes",
    }
    rows = []
    for name, (shape, _) in makers.items():
        row = {
            "trainer": name,
            **asdict(shape),
            "parameters": count_parameters(models[name]),
            "steps_per_cpu_second": summary(speeds[name]),
        }
        for label, peer in (("ratio", pairs.get(name)), ("ratio_to_64_environments", "sb3-contrib")):
            if peer is not None and name in pairs:
                row[label] = summary([a / b for a, b in zip(speeds[name], speeds[peer], strict=True)])
        rows.append(row)
    return {"rounds": rounds, "rows": rows}


def run_solve(rounds: int, seeds: int) -> dict[str, Any]:
    makers: dict[str, tuple[Shape, Callable[[Shape, int], Any]]] = {}
    for rate in (1e-3, 3e-3):
        for name, shape, make in (
            ("sb3-contrib", Shape(learning_rate=rate), make_theirs),
            ("MemoryPPO", Shape(learning_rate=rate), lambda s, seed: make_ours(s, seed, ffn_mult=1)),
            (
                "MemoryPPO",
                replace(AS_IT_COMES, learning_rate=rate),
                lambda s, seed: make_ours(s, seed, ffn_mult=1),
            ),
        ):
            makers[f"{name}, {shape.num_envs} environments, learning rate {rate:g}"] = (shape, make)
    test = make_envs(EPISODES, split="test")
    runs: dict[str, list[tuple[int, float, float]]] = {name: [] for name in makers}
    for seed in range(seeds):
        for name, (shape, make) in makers.items():
            runs[name].append(solve(make(shape, seed), test))
            print(f"{name}, seed {seed}: {runs[name][-1]}", flush=True)
    rows = []
    for name, (shape, _) in makers.items():
        steps, seconds, scores = zip(*runs[name], strict=True)
        solved = all(score >= SOLVED for score in scores)
        row = {
            "trainer": name,
            **asdict(shape),
            "env_steps": steps,
            "cpu_seconds": seconds,
            "success": scores,
        }
        rows.append({**row, "median_cpu_seconds": statistics.median(seconds), "all_solved": solved})
    for row in rows:
        peers = [
            r for r in rows if r["trainer"].startswith("sb3") and r["learning_rate"] == row["learning_rate"]
        ]
        row["ratio"] = peers[0]["median_cpu_seconds"] / row["median_cpu_seconds"]
    return {"threshold": SOLVED, "episodes": EPISODES, "evaluated_every": EVERY, "seeds": seeds, "rows": rows}


def solve(model: Any, test: gym.vector.VectorEnv) -> tuple[int, float, float]:
    """Environment steps, CPU seconds and success when it was enough, or when there was no hope."""
    seconds = score = 0.0
    while score < SOLVED and model.num_timesteps < GIVE_UP:
        seconds += spend(model, EVERY)[1]
        score = success_rate(model, test, seed=1_000_000)
    return model.num_timesteps, round(seconds, 2), round(score, 4)


def run_memories(rounds: int, seeds: int) -> dict[str, Any]:
    rows = []
    for cell in MODULES:
        model = make_ours(SMALL, cell=cell)
        speeds = take_turns({cell: model}, {cell: 2 * SMALL.rollout}, min(rounds, 3))[cell]
        rows.append(
            {
                "memory": cell,
                "family": MODULES.resolve(cell).spec.family,
                "parameters": model.card.parameters,
                "state_bytes": model.policy.backbone.state_nbytes(),
                "steps_per_cpu_second": summary(speeds),
            }
        )
        print(f"{cell}: {rows[-1]['steps_per_cpu_second']['median']:,.0f} steps / CPU s", flush=True)
    rows.sort(key=lambda row: -row["steps_per_cpu_second"]["median"])
    return {**asdict(SMALL), "rounds": min(rounds, 3), "rows": rows}


# ---------------------------------------------------------------------- the page


def spread(numbers: dict[str, float], form: str = ",.0f") -> str:
    return f"{numbers['median']:{form}} ({numbers['least']:{form}} - {numbers['greatest']:{form}})"


def write_table(head: str, rows: list[list[str]]) -> list[str]:
    columns = head.split(" | ")
    lines = [f"| {head} |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def page(content: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    lines = [
        "# Cost of training",
        "",
        f"Endless T-Maze, {TASK['num_corridors']} corridors of {TASK['corridor_length']}, an LSTM of {HIDDEN} units, "
        "one thread; medians (least - greatest). Ratios are taken within a round.",
        "",
        f"- command: `{content['command']}`",
        f"- versions: {versions}",
        "",
    ]
    if speed := content.get("speed"):
        lines += ["## Environment steps per CPU second", ""]
        lines += write_table(
            "trainer | environments x steps / epochs x minibatches | parameters | steps per CPU second | "
            "times its peer | times sb3-contrib with 64",
            [
                [
                    row["trainer"],
                    f"{row['num_envs']} x {row['n_steps']} / {row['n_epochs']} x {row['n_minibatches']}",
                    f"{row['parameters']:,}",
                    spread(row["steps_per_cpu_second"]),
                    spread(row["ratio"], ".1f") if "ratio" in row else "",
                    spread(row["ratio_to_64_environments"], ".1f") if "ratio" in row else "",
                ]
                for row in speed["rows"]
            ],
        )
    if solved := content.get("solve"):
        lines += [f"## CPU seconds to {solved['threshold']} success", ""]
        lines += [
            f"Greedy, on {solved['episodes']} unseen episodes, looked at every {solved['evaluated_every']:,} steps; "
            f"one figure for each seed from 0 on. {solved.get('note', '')}".rstrip(),
            "",
        ]
        lines += write_table(
            "trainer | environment steps | CPU seconds | median | times as fast as sb3-contrib",
            [
                [
                    row["trainer"],
                    ", ".join(f"{steps:,}" for steps in row["env_steps"]),
                    ", ".join(f"{seconds:.1f}" for seconds in row["cpu_seconds"]),
                    f"{row['median_cpu_seconds']:.1f}" + ("" if row["all_solved"] else " (not all solved)"),
                    f"{row['ratio']:.1f}",
                ]
                for row in solved["rows"]
            ],
        )
    if memories := content.get("memories"):
        lines += ["## Every memory", ""]
        lines += [
            f"MemoryPPO with {memories['num_envs']} environments x {memories['n_steps']} steps, default arguments; "
            "bytes are those of the state of one environment.",
            "",
        ]
        lines += write_table(
            "memory | family | parameters | state bytes | steps per CPU second",
            [
                [
                    f"`{row['memory']}`",
                    row["family"],
                    f"{row['parameters']:,}",
                    f"{row['state_bytes']:,}",
                    spread(row["steps_per_cpu_second"]),
                ]
                for row in memories["rows"]
            ],
        )
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each trainer (default 5)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of 'solve' (default 3)")
    parser.add_argument("--parts", default=",".join(PARTS), help="tables, with commas (default all)")
    parser.add_argument("--out", type=Path, help="file to write, without a suffix: OUT.json and OUT.md")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts are {', '.join(PARTS)}, not {min(unknown)!r}")
    torch.set_num_threads(1)
    content: dict[str, Any] = {}
    if given.out is not None and given.out.with_suffix(".json").is_file():
        content = json.loads(given.out.with_suffix(".json").read_text())
    content |= {
        "command": "python benchmarks/memory_ppo.py --out benchmarks/results/memory_ppo",
        "task": {"id": ENV_ID, **TASK},
        "versions": {
            "torch": torch.__version__,
            "gymnasium": gym.__version__,
            "sb3-contrib": sb3_contrib.__version__,
        },
    }
    runs = {"speed": run_speed, "solve": run_solve, "memories": run_memories}
    for part in parts:
        content[part] = runs[part](given.rounds, given.seeds)
        if given.out is not None:  # each part as soon as it is there
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
            given.out.with_suffix(".md").write_text(page(content))
    print(page(content))


if __name__ == "__main__":
    main()
