"""Train the reference agent "ppo-memory": PPO without recurrence that remembers by writing into a slot.

::

    python -m memgym.baselines.train_ppo_memory --out runs/ppo_memory

It takes about 120 CPU seconds on one thread. Success rate of the greedy policy on 1,000 episodes of the test
split: 1.000 with one, three and ten corridors, where three are trained; without memory it is 0.125 with three.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from memgym.agents.sb3 import ProgressLine, SB3VecEnv, success_rate
from memgym.agents.weights_io import save_weights
from memgym.core.agent import AgentCard
from memgym.wrappers.memory_actions import MemoryActionsVector

ENV_ID = "memgym/EndlessTMaze-v0"


@dataclass(frozen=True)
class Config:
    """What a run is made of."""

    total_steps: int = 1_200_000
    """Environment steps."""
    seed: int = 0
    """Of the network, of action sampling and of the environments."""
    num_corridors: int = 3
    """Corridors in training; evaluation also runs 10."""
    corridor_length: int = 5
    """Steps from cue to junction."""
    num_envs: int = 128
    """Environments at once."""
    rollout_steps: int = 64
    """Steps of each environment between two updates: ten corridors' walk."""
    minibatches: int = 8
    """Per epoch."""
    epochs: int = 6
    """Per update."""
    learning_rate: float = 2e-3
    """At the start; it falls linearly to zero."""
    gamma: float = 0.98
    """Discount."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    hidden: int = 64
    """Units of each of two layers, in the policy and in the value network."""
    num_slots: int = 1
    """Slots of the external memory; each holds one observation. 0 leaves the memory out."""
    show_memory: bool = True
    """Whether the agent sees its memory; without, it cannot pass the memoryless bound."""
    noop_bias: float = 3.0
    """Added to NOOP's logit before training. With uniform operations a cue is written and survives the walk to
    the junction once in 3^6 tries, and 500,000 steps teach nothing; with mostly NOOP it is once in 35."""
    eval_episodes: int = 1000
    """Episodes of the test split for each reported score."""


def make_envs(config: Config, split: str, num_envs: int, num_corridors: int) -> gym.vector.VectorEnv:
    """The task, many times, with its slots if it has any."""
    envs = gym.make_vec(
        ENV_ID,
        num_envs=num_envs,
        num_corridors=num_corridors,
        corridor_length=config.corridor_length,
        split=split,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    if config.num_slots == 0:
        return envs
    return MemoryActionsVector(envs, config.num_slots, show=config.show_memory)


def make_model(config: Config, envs: VecEnv) -> PPO:
    """An untrained agent."""
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=config.rollout_steps,
        batch_size=config.num_envs * config.rollout_steps // config.minibatches,
        n_epochs=config.epochs,
        learning_rate=lambda left: config.learning_rate * left,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy,
        policy_kwargs={"net_arch": [config.hidden, config.hidden]},
        seed=config.seed,
        device="cpu",
    )
    if config.num_slots:
        with torch.no_grad():
            bias: Any = model.policy.action_net.bias
            bias[3] += config.noop_bias  # logits 0-2 are actions, 3 is NOOP, 4 WRITE, 5 ERASE
    return model


def train(
    config: Config, callbacks: Sequence[BaseCallback] = (), model: PPO | None = None
) -> tuple[PPO, dict[str, Any]]:
    """Train one agent.

    Args:
        config: what the run is made of.
        callbacks: called by Stable-Baselines3 during the run.
        model: train this one further, on the task and for the steps of `config`; its network and its PPO stay
            as they were made.

    Returns:
        The model, and what the card tells of the run: CPU seconds, callbacks included, and the scores on the
        test split.
    """
    envs = SB3VecEnv(make_envs(config, "train", config.num_envs, config.num_corridors))
    envs.seed(config.seed)
    if model is None:
        model = make_model(config, envs)
    else:
        model.set_env(envs)
    start = time.process_time()
    model.learn(config.total_steps, callback=[ProgressLine(config.total_steps), *callbacks])
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
        prog="python -m memgym.baselines.train_ppo_memory",
        description="Train a PPO agent with memory actions on Endless T-Maze; save safetensors and a card.",
        epilog="examples:\n  python -m memgym.baselines.train_ppo_memory --out runs/ppo_memory\n"
        "  python -m memgym.baselines.train_ppo_memory --out runs/seed1 --seed 1 --total-steps 200000\n",
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
            name="ppo-memory",
            kind="rl",
            description="Remembers by writing observations into a slot; PPO without recurrence.",
            training_steps=model.num_timesteps,
            trained_on=(ENV_ID,),
            extra={
                "command": "python -m memgym.baselines.train_ppo_memory",
                "seed": config.seed,
                "config": asdict(config),
                **run,
            },
        ),
        policy_kwargs={"net_arch": [config.hidden, config.hidden]},
        settings={"num_slots": config.num_slots},
    )


if __name__ == "__main__":
    main()
