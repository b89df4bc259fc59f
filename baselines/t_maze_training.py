"""What the reference agents trained on Endless T-Maze have in common: settings, the run, the command."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from memgym.agents.sb3 import ProgressLine, success_rate
from memgym.agents.weights_io import save_weights
from memgym.baselines.command_line import module_parser
from memgym.core.agent import AgentCard

__all__ = ["ENV_ID", "TMazeConfig", "learn_and_score", "make_mazes", "training_main"]

ENV_ID = "memgym/EndlessTMaze-v0"


@dataclass(frozen=True, kw_only=True)
class TMazeConfig:
    """What a run is made of."""

    total_steps: int
    """Environment steps."""
    seed: int = 0
    """Of the network, of action sampling and of the environments."""
    num_corridors: int = 3
    """Corridors in training; evaluation also runs 10."""
    corridor_length: int = 5
    """Steps from cue to junction."""
    num_envs: int = 128
    """Environments at once."""
    rollout_steps: int
    """Steps of each environment between two updates."""
    minibatches: int
    """Per epoch."""
    epochs: int
    """Per update."""
    learning_rate: float = 2e-3
    """At the start. It falls linearly to zero: a constant one forgot the solved task again for a while."""
    gamma: float = 0.98
    """Discount."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    hidden: int
    """Units of a layer."""
    eval_episodes: int = 1000
    """Episodes of the test split for each reported score."""

    def ppo_arguments(self) -> dict[str, Any]:
        """Of a PPO of Stable-Baselines3."""
        return {
            "n_steps": self.rollout_steps,
            "batch_size": self.num_envs * self.rollout_steps // self.minibatches,
            "n_epochs": self.epochs,
            "learning_rate": lambda left: self.learning_rate * left,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "ent_coef": self.entropy,
            "seed": self.seed,
            "device": "cpu",
        }


C = TypeVar("C", bound=TMazeConfig)


def make_mazes(
    config: TMazeConfig, split: str, num_envs: int, num_corridors: int
) -> gym.vector.VectorEnv[Any, Any, Any]:
    """The task, many times, as Stable-Baselines3 needs it."""
    return gym.make_vec(
        ENV_ID,
        num_envs=num_envs,
        num_corridors=num_corridors,
        corridor_length=config.corridor_length,
        split=split,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def learn_and_score(
    model: BaseAlgorithm,
    config: C,
    make_envs: Callable[[C, str, int, int], gym.vector.VectorEnv],
    callbacks: Sequence[BaseCallback] = (),
) -> dict[str, Any]:
    """Train a model; what the card tells of it: CPU seconds, callbacks included, and scores on the test split."""
    start = time.process_time()
    model.learn(config.total_steps, callback=[ProgressLine(config.total_steps), *callbacks])
    cpu_seconds = round(time.process_time() - start, 1)
    scores = {
        f"success_n{n}": success_rate(model, make_envs(config, "test", config.eval_episodes, n), seed=0)
        for n in sorted({1, config.num_corridors, 10})
    }
    return {"cpu_seconds": cpu_seconds, "eval": {"episodes": config.eval_episodes, **scores}}


def training_main(
    arguments: list[str] | None,
    *,
    module: str,
    name: str,
    description: str,
    default: C,
    train: Callable[[C], tuple[BaseAlgorithm, dict[str, Any]]],
    policy_kwargs: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Train one agent, print the scores, save the weights with their card.

    Args:
        arguments: of the command line.
        module: ``python -m`` of it is the command.
        name: of the agent.
        description: on its card.
        default: settings that the command line changes.
        train: makes a model of settings, and tells of the run.
        policy_kwargs: of the model's policy.
        settings: what the agent has to know beside its policy.
    """
    stem = f"runs/{name.replace('-', '_')}"
    parser = module_parser(
        module,
        "Train an agent on Endless T-Maze; save its weights as safetensors, and a card.",
        f"--out {stem}",
        f"--out {stem}_seed1 --seed 1 --total-steps 200000",
    )
    parser.add_argument("--out", type=Path, required=True, help="files to write, without a suffix")
    for option in ("seed", "total_steps", "num_corridors"):
        value = getattr(default, option)
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=value, help=f"default {value}")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    config = replace(default, **given)

    torch.set_num_threads(1)  # the network is small: more threads only wait for each other
    model, run = train(config)
    print(run)
    card = AgentCard(
        name=name,
        kind="rl",
        description=description,
        training_steps=model.num_timesteps,
        trained_on=(ENV_ID,),
        extra={"command": parser.prog, "seed": config.seed, "config": asdict(config), **run},
    )
    save_weights(out, model.policy, card, policy_kwargs=policy_kwargs, settings=settings)
