"""Self-pretraining of a policy: encoder and memory learn to foresee what random actions make environments show."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from memgym.agents.nn.pretraining import ObservedSequences, pretrain
from memgym.agents.ppo.actions import Categoricals
from memgym.agents.ppo.blueprint import Blueprint
from memgym.agents.ppo.environments import is_test_split
from memgym.agents.ppo.errors import ObservationInvalid
from memgym.agents.ppo.observations import Flattener
from memgym.agents.ppo.policy import MemoryPolicy
from memgym.agents.weights_io import WeightsInvalid
from memgym.core.arguments import check_integer, check_number
from memgym.rng import mix64

__all__ = ["Pretraining", "pretrain_policy"]


class Pretraining(NamedTuple):
    """What a policy went through before it learned the task; on its card and in its checkpoints.

    Attributes:
        timesteps: random actions that were used.
        updates: optimiser steps.
        learning_rate: peak of the cosine schedule.
        loss: mean over the last rollout.
    """

    timesteps: int
    updates: int
    learning_rate: float
    loss: float

    @classmethod
    def from_json(cls, content: Any) -> "Pretraining | None":
        """What ``_asdict`` gave, from a file of a stranger; None for None.

        Raises:
            WeightsInvalid: it is something else.
        """
        if content is None:
            return None
        try:
            if not isinstance(content, Mapping) or set(content) != set(cls._fields):
                raise ValueError(f"{content!r:.80}")
            check_integer("timesteps", content["timesteps"], 1, 1 << 60)
            check_integer("updates", content["updates"], 1, 1 << 60)
            check_number("learning_rate", content["learning_rate"], 0.0, 1e3)
            check_number("loss", content["loss"], -1e30, 1e30)
        except (TypeError, ValueError) as error:
            raise WeightsInvalid(f"'pretraining' in the checkpoint cannot be used: {error}.") from error
        return cls(**content)


def pretrain_policy(
    policy: MemoryPolicy,
    env: VectorEnv,
    blueprint: Blueprint,
    total_timesteps: int,
    learning_rate: float,
) -> Pretraining:
    """Let encoder and memory of a policy learn to foresee the next observation, in place.

    Environments play random actions in rollouts as long as those of PPO, and each rollout gives as many optimiser
    steps: the same number of environment steps is the same number of optimiser steps. The heads stay as they are.

    Args:
        policy: whose encoder and backbone learn.
        env: where random actions are taken, from the first episodes of a seed of their own on.
        blueprint: what the policy is built from.
        total_timesteps: steps of all environments; whole rollouts are played. In autoreset mode NEXT_STEP those
            that reset are among them.
        learning_rate: peak of the cosine schedule.

    Raises:
        ValueError: an argument outside its range, or the environments are of the test split.
        ObservationInvalid: an observation is not finite.
        FloatingPointError: the loss is not finite any more.
    """
    check_integer("total_timesteps", total_timesteps, 1, 1 << 60)
    check_number("learning_rate", learning_rate, 1e-12, 1e3)
    if is_test_split(env):
        raise ValueError(
            "the environments are of the test split, which is there to be judged by, not to learn from."
        )
    settings = blueprint.settings
    parts = min(settings.n_minibatches, env.num_envs)
    updates = settings.n_epochs * parts
    rollouts = math.ceil(total_timesteps / (settings.n_steps * env.num_envs))
    source = _Rollouts(env, policy, blueprint, parts, updates)
    losses = pretrain(
        policy.encoder,
        policy.backbone,
        source,
        num_updates=rollouts * updates,
        learning_rate=learning_rate,
        seed=blueprint.seed,
        progress_bar=False,  # as `learn` by default
    )
    return Pretraining(source.used, rollouts * updates, learning_rate, float(losses[-updates:].mean()))


class _Rollouts:
    """Sequences of random play, T steps after T steps without a break; each starts with an empty memory.

    Args:
        env: plays.
        policy: for which it plays.
        blueprint: of the policy.
        parts: into which the environments of a rollout are divided in each pass over it.
        updates: that a rollout is used for.

    Attributes:
        used: actions so far; in mode NEXT_STEP those that ended an episode are followed by one that is not used.
    """

    def __init__(
        self, env: VectorEnv, policy: MemoryPolicy, blueprint: Blueprint, parts: int, updates: int
    ) -> None:
        self.env, self.policy, self.parts, self.updates = env, policy, parts, updates
        self.steps = blueprint.settings.n_steps
        self.used = 0
        self._seed = mix64(blueprint.seed + 1) >> 34  # episodes and actions that `learn` does not begin with
        self._flattener = Flattener(blueprint.observation_space)
        self._actions = Categoricals(blueprint.action_space)
        self._generator = torch.Generator().manual_seed(self._seed)
        self._delay = 2 if env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP else 1
        n, size = env.num_envs, self._flattener.size
        self._rows = torch.zeros(self.steps + 1, n, size)
        self._ended = torch.zeros(self.steps + 2, n, dtype=torch.bool)  # see `Rollout`
        self._number = -1
        self._order: list[Tensor] = []

    def __call__(self, u: int) -> ObservedSequences:
        """What update `u` learns from; updates come in order."""
        number, place = divmod(u, self.updates)
        if number != self._number:
            self._play()
            self._number = number
        if place % self.parts == 0:
            order = torch.randperm(self.env.num_envs, generator=self._generator)
            self._order = list(order.tensor_split(self.parts))
        chosen = self._order[place % self.parts]
        device = self.policy.head.weight.device
        rows = self._rows.index_select(1, chosen).to(device)
        reset = self._ended[2 - self._delay :][: self.steps + 1].index_select(1, chosen).to(device)
        return ObservedSequences(rows, reset, None if self.policy.ids is None else self.policy.ids(rows))

    def _play(self) -> None:
        n, ended = self.env.num_envs, self._ended
        if self._number < 0:
            observation, _ = self.env.reset(seed=self._seed)
            self._rows[0] = torch.from_numpy(self._flattener.rows(observation, n))
            ended[2 - self._delay] = True
        else:
            self._rows[0] = self._rows[-1]
            ended[:2] = ended[-2:].clone()
        for t in range(self.steps):
            sizes = self._actions.sizes
            choices = [torch.randint(size, (n,), generator=self._generator) for size in sizes]
            actions = self._actions.to_env(torch.stack(choices, -1).numpy())
            observation, _, over, timeout, _ = self.env.step(actions)
            self.used += n - (int(ended[t + 1].sum()) if self._delay == 2 else 0)
            ended[t + 2] = torch.from_numpy(np.logical_or(over, timeout))
            self._rows[t + 1] = torch.from_numpy(self._flattener.rows(observation, n))
        if not self._rows.isfinite().all():
            raise ObservationInvalid("an observation is not finite (NaN or infinite).")
