"""Train the reference agent "ppo-lstm": sb3-contrib's RecurrentPPO on Endless T-Maze.

::

    python -m memgym.baselines.train_ppo_lstm --out runs/ppo_lstm

It takes about 230 CPU seconds on one thread. Success rate of the greedy policy on 1,000 episodes of the test
split: 1.000 with one, three and ten corridors, where three are trained; without memory it is 0.125 with three.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import RecurrentPPO

from memgym.agents.sb3 import ProgressLine, SB3VecEnv, success_rate
from memgym.agents.weights_io import save_weights
from memgym.core.agent import AgentCard

ENV_ID = "memgym/EndlessTMaze-v0"


@dataclass(frozen=True)
class Config:
    """What a run is made of."""

    total_steps: int = 700_000
    """Environment steps."""
    seed: int = 0
    """Of the network, of action sampling and of the environments."""
    num_corridors: int = 3
    """Corridors in training; evaluation also runs 10."""
    corridor_length: int = 5
    """Steps from cue to junction."""
    num_envs: int = 128
    """Environments at once."""
    rollout_steps: int = 32
    """Steps of each environment between two updates: five corridors' walk."""
    minibatches: int = 4
    """Per epoch."""
    epochs: int = 5
    """Per update."""
    learning_rate: float = 2e-3
    """At the start. It falls linearly to zero: a constant one forgot the solved task again for a while."""
    gamma: float = 0.98
    """Discount."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    hidden: int = 48
    """Units of the LSTM; the actor's two state vectors of this size are the agent's memory."""
    eval_episodes: int = 1000
    """Episodes of the test split for each reported score."""


def make_envs(config: Config, split: str, num_envs: int, num_corridors: int) -> gym.vector.VectorEnv:
    """The task, many times."""
    return gym.make_vec(
        ENV_ID,
        num_envs=num_envs,
        num_corridors=num_corridors,
        corridor_length=config.corridor_length,
        split=split,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def train(config: Config) -> tuple[Any, dict[str, Any]]:
    """Train one agent.

    Returns:
        The model, and what the card tells of the run: CPU seconds and the scores on the test split.
    """
    envs = SB3VecEnv(make_envs(config, "train", config.num_envs, config.num_corridors))
    envs.seed(config.seed)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=config.rollout_steps,
        batch_size=config.num_envs * config.rollout_steps // config.minibatches,
        n_epochs=config.epochs,
        learning_rate=lambda left: config.learning_rate * left,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy,
        policy_kwargs={"net_arch": [], "lstm_hidden_size": config.hidden},
        seed=config.seed,
        device="cpu",
    )
    start = time.process_time()
    model.learn(config.total_steps, callback=ProgressLine(config.total_steps))
    cpu_seconds = round(time.process_time() - start, 1)
    scores = {
        f"success_n{n}": success_rate(model, make_envs(config, "test", config.eval_episodes, n), seed=0)
        for n in sorted({1, config.num_corridors, 10})
    }
    return model, {"cpu_seconds": cpu_seconds, "eval": {"episodes": config.eval_episodes, **scores}}


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save the weights."""
    default = Config()
    parser = argparse.ArgumentParser(
        prog="python -m memgym.baselines.train_ppo_lstm",
        description="Train a recurrent PPO agent on Endless T-Maze and save it as safetensors with a card.",
        epilog="examples:\n  python -m memgym.baselines.train_ppo_lstm --out runs/ppo_lstm\n"
        "  python -m memgym.baselines.train_ppo_lstm --out runs/seed1 --seed 1 --total-steps 200000\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="files to write, without a suffix")
    parser.add_argument("--seed", type=int, default=default.seed, help=f"default {default.seed}")
    parser.add_argument(
        "--total-steps", type=int, default=default.total_steps, help=f"default {default.total_steps}"
    )
    parser.add_argument(
        "--num-corridors", type=int, default=default.num_corridors, help=f"default {default.num_corridors}"
    )
    given = parser.parse_args(arguments)
    config = Config(total_steps=given.total_steps, seed=given.seed, num_corridors=given.num_corridors)

    torch.set_num_threads(1)  # the network is small: more threads only wait for each other
    model, run = train(config)
    print(run)
    save_weights(
        given.out,
        model.policy,
        AgentCard(
            name="ppo-lstm",
            kind="rl",
            description="Remembers in an LSTM's hidden state; PPO on Endless T-Maze with three corridors.",
            training_steps=model.num_timesteps,
            trained_on=(ENV_ID,),
            extra={
                "command": "python -m memgym.baselines.train_ppo_lstm",
                "seed": config.seed,
                "config": asdict(config),
                **run,
            },
        ),
        policy_kwargs={"net_arch": [], "lstm_hidden_size": config.hidden},
    )


if __name__ == "__main__":
    main()
