"""Environment steps a CPU second: MemoryPPO against sb3-contrib's RecurrentPPO on Endless T-Maze.

    python benchmarks/memory_ppo.py --rounds 5 --out benchmarks/results/memory_ppo.json

Both train an LSTM of the same width on the same vector environments, with as many environments, steps, epochs and
minibatches, on one thread. They take turns, so that a machine with other work slows both alike; the figures are CPU
seconds of the process. Sizes of the two networks stand in the table: "sb3-contrib" has its default policy, an LSTM
each for actor and critic with two layers of 64 behind; "sb3-contrib, lean" has one LSTM that both share, and nothing
behind. MemoryPPO stands beside each with about as many parameters.
"""

import argparse
import json
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments
from memgym.agents import MemoryPPO

ENV_ID = "memgym/EndlessTMaze-v0"
TASK = {"num_corridors": 3, "corridor_length": 5}


@dataclass(frozen=True)
class Shape:
    """What both trainers have in common."""

    num_envs: int
    n_steps: int
    n_epochs: int
    n_minibatches: int
    hidden: int


def make_envs(shape: Shape) -> gym.vector.VectorEnv:
    mode = AutoresetMode.SAME_STEP  # the one that Stable-Baselines3 knows
    return gym.make_vec(ENV_ID, num_envs=shape.num_envs, autoreset_mode=mode, **TASK)


def make_ours(shape: Shape, **policy_kwargs: int) -> Any:
    return MemoryPPO(
        "lstm",
        make_envs(shape),
        module_kwargs={"hidden": shape.hidden},
        policy_kwargs=policy_kwargs,
        n_steps=shape.n_steps,
        n_epochs=shape.n_epochs,
        n_minibatches=shape.n_minibatches,
        seed=0,
    )


def make_theirs(shape: Shape, **policy_kwargs: Any) -> Any:
    from sb3_contrib import RecurrentPPO

    from memgym.agents.sb3 import SB3VecEnv

    env = SB3VecEnv(make_envs(shape))
    env.seed(0)
    return RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=shape.n_steps,
        batch_size=shape.num_envs * shape.n_steps // shape.n_minibatches,
        n_epochs=shape.n_epochs,
        learning_rate=1e-3,
        policy_kwargs={"lstm_hidden_size": shape.hidden, **policy_kwargs},
        seed=0,
        device="cpu",
    )


def measure(model: Any, steps: int) -> float:
    """Environment steps a CPU second."""
    before, start = model.num_timesteps, time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    return (model.num_timesteps - before) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each trainer (default 5)")
    parser.add_argument("--num-envs", type=int, default=64, help="environments at once (default 64)")
    parser.add_argument("--n-steps", type=int, default=32, help="steps between updates (default 32)")
    parser.add_argument("--n-epochs", type=int, default=4, help="passes over them (default 4)")
    parser.add_argument("--n-minibatches", type=int, default=2, help="updates in a pass (default 2)")
    parser.add_argument("--hidden", type=int, default=64, help="units of an LSTM (default 64)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args()
    shape = Shape(given.num_envs, given.n_steps, given.n_epochs, given.n_minibatches, given.hidden)
    torch.set_num_threads(1)
    lean = {"net_arch": [], "enable_critic_lstm": False, "shared_lstm": True}
    models = {
        "sb3-contrib": make_theirs(shape),
        "MemoryPPO": make_ours(shape, ffn_mult=1),
        "sb3-contrib, lean": make_theirs(shape, **lean),
        "MemoryPPO, lean": make_ours(shape, size=16),
    }
    rollout = shape.num_envs * shape.n_steps
    speeds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():  # the first update is slower
        measure(model, rollout)
    for _ in range(given.rounds):
        for name, model in models.items():
            speeds[name].append(measure(model, (4 if name.startswith("sb3") else 24) * rollout))
    rows = []
    for name, model in models.items():
        policy, values = model.policy, speeds[name]
        rows.append(
            {
                "trainer": name,
                "parameters": sum(p.numel() for p in policy.parameters()),
                "steps_per_cpu_second": statistics.median(values),
                "slowest": min(values),
                "fastest": max(values),
            }
        )
    ratios = {
        ours: statistics.median(a / b for a, b in zip(speeds[ours], speeds[theirs], strict=True))
        for ours, theirs in (("MemoryPPO", "sb3-contrib"), ("MemoryPPO, lean", "sb3-contrib, lean"))
    }
    print(f"{'':20s}{'parameters':>12s}{'steps / CPU s':>16s}{'spread':>20s}{'ratio':>8s}")
    for row in rows:
        ratio = f"{ratios[row['trainer']]:.1f}" if row["trainer"] in ratios else ""
        spread = f"{row['slowest']:,.0f}-{row['fastest']:,.0f}"
        print(
            f"{row['trainer']:20s}{row['parameters']:>12,d}{row['steps_per_cpu_second']:>16,.0f}{spread:>20s}{ratio:>8s}"
        )
    if given.out is not None:
        content = {
            "task": {"id": ENV_ID, **TASK},
            "shape": vars(shape),
            "rounds": given.rounds,
            "versions": {"torch": torch.__version__, "gymnasium": gym.__version__},
            "machine": platform.machine(),
            "rows": rows,
            "ratios": ratios,
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
