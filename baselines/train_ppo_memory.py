"""Train the reference agent "ppo-memory": PPO without recurrence that remembers by writing into a slot.

::

    python -m memgym.baselines.train_ppo_memory --out runs/ppo_memory

It takes about 120 CPU seconds on one thread. Success rate of the greedy policy on 1,000 episodes of the test
split: 1.000 with one, three and ten corridors, where three are trained; without memory it is 0.125 with three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from memgym.agents.sb3 import SB3VecEnv
from memgym.baselines.t_maze_training import TMazeConfig, learn_and_score, make_mazes, training_main
from memgym.wrappers.memory_actions import MemoryActionsVector


@dataclass(frozen=True, kw_only=True)
class Config(TMazeConfig):
    """What a run is made of; a rollout is ten corridors' walk, and policy and value have two layers each."""

    total_steps: int = 1_200_000
    rollout_steps: int = 64
    minibatches: int = 8
    epochs: int = 6
    hidden: int = 64
    num_slots: int = 1
    """Slots of the external memory; each holds one observation. 0 leaves the memory out."""
    show_memory: bool = True
    """Whether the agent sees its memory; without, it cannot pass the memoryless bound."""
    noop_bias: float = 3.0
    """Added to NOOP's logit before training. With uniform operations a cue is written and survives the walk to
    the junction once in 3^6 tries, and 500,000 steps teach nothing; with mostly NOOP it is once in 35."""

    def policy_kwargs(self) -> dict[str, Any]:
        """Of the policy."""
        return {"net_arch": [self.hidden, self.hidden]}


def make_envs(config: Config, split: str, num_envs: int, num_corridors: int) -> gym.vector.VectorEnv:
    """The task, many times, with its slots if it has any."""
    envs = make_mazes(config, split, num_envs, num_corridors)
    if config.num_slots == 0:
        return envs
    return MemoryActionsVector(envs, config.num_slots, show=config.show_memory)


def make_model(config: Config, envs: VecEnv) -> PPO:
    """An untrained agent."""
    model = PPO("MlpPolicy", envs, policy_kwargs=config.policy_kwargs(), **config.ppo_arguments())
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
    return model, learn_and_score(model, config, make_envs, callbacks)


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save the weights."""
    training_main(
        arguments,
        module="memgym.baselines.train_ppo_memory",
        name="ppo-memory",
        description="Remembers by writing observations into a slot; PPO without recurrence.",
        default=Config(),
        train=train,
        policy_kwargs=Config().policy_kwargs(),
        settings={"num_slots": Config().num_slots},
    )


if __name__ == "__main__":
    main()
