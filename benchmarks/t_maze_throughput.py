"""How fast the vector form of Endless T-Maze steps, next to Gymnasium's own vector CartPole.

::

    python benchmarks/t_maze_throughput.py --rounds 9

Both run in this process, one after the other in an order that changes every round, with actions drawn
beforehand; CPU time counts, so that other programs disturb little. Read the ratios: absolute rates differ
between machines and moments.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

SIZES = (1024, 4096, 16384)
BATCHES = 16


def make_runner(make: Callable[[], gym.vector.VectorEnv], cpu_seconds: float) -> Callable[[], float]:
    """A function that steps an environment for about `cpu_seconds` and returns steps per CPU second."""
    env = make()
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(BATCHES)]
    env.reset(seed=0)

    def run() -> float:
        calls, start = 0, time.process_time()
        while time.process_time() - start < cpu_seconds:
            for action in actions:
                env.step(action)
            calls += BATCHES
        return calls * env.num_envs / (time.process_time() - start)

    run()  # warm caches and reach the usual mix of episode ages
    return run


def t_maze(num_envs: int, mode: AutoresetMode, **arguments: Any) -> Callable[[], gym.vector.VectorEnv]:
    return lambda: gym.make_vec("memgym/EndlessTMaze-v0", num_envs=num_envs, autoreset_mode=mode, **arguments)


def cart_pole(num_envs: int) -> Callable[[], gym.vector.VectorEnv]:
    return lambda: gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point")


def measure(num_envs: int, rounds: int, cpu_seconds: float) -> dict[str, list[float]]:
    """Rates of every contestant, one for each round."""
    contestants = {
        "CartPole (Gymnasium, NEXT_STEP)": cart_pole(num_envs),
        "T-Maze NEXT_STEP": t_maze(num_envs, AutoresetMode.NEXT_STEP),
        "T-Maze SAME_STEP": t_maze(num_envs, AutoresetMode.SAME_STEP),
        "T-Maze NEXT_STEP, uniform": t_maze(num_envs, AutoresetMode.NEXT_STEP, length_mode="uniform"),
    }
    runners = {name: make_runner(make, cpu_seconds) for name, make in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in runners}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(runners)):
            rates[name].append(runners[name]())
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="Vector T-Maze against vector CartPole.")
    parser.add_argument("--rounds", type=int, default=9, help="default 9")
    parser.add_argument(
        "--cpu-seconds", type=float, default=0.2, help="per contestant and round, default 0.2"
    )
    given = parser.parse_args()
    print(
        "| num_envs | environment | M steps per CPU second: median (min-max) | times CartPole: median (min-max) |"
    )
    print("| --- | --- | --- | --- |")
    for num_envs in SIZES:
        rates = measure(num_envs, given.rounds, given.cpu_seconds)
        base = np.array(next(iter(rates.values())))
        for name, values in rates.items():
            rate, ratio = np.array(values) / 1e6, np.array(values) / base
            print(
                f"| {num_envs} | {name} | {np.median(rate):.1f} ({rate.min():.1f}-{rate.max():.1f}) "
                f"| {np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
