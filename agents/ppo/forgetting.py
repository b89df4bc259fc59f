"""Forgetting what the inputs of a policy look like, so that it learns to use inputs that it has never seen."""

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from memgym.agents.nn.forgetting import EmbeddingForgetting
from memgym.agents.ppo.blueprint import Blueprint
from memgym.agents.ppo.settings import Settings
from memgym.rng import mix64

__all__ = ["InputForgetting", "discrete_columns"]


def discrete_columns(space: spaces.Space) -> NDArray[np.bool_]:
    """Which numbers of an observation's row (see `Flattener`) are one-hot or bits, shape (size,).

    >>> parts = {"a": spaces.Box(0.0, 1.0, (2,)), "b": spaces.Discrete(3)}
    >>> discrete_columns(spaces.Dict(parts)).astype(int).tolist()
    [0, 0, 1, 1, 1]
    """
    if isinstance(space, spaces.Dict):
        return np.concatenate([discrete_columns(part) for part in space.values()])
    if isinstance(space, spaces.Tuple):
        return np.concatenate([discrete_columns(part) for part in space.spaces])
    return np.full(spaces.flatdim(space), not isinstance(space, spaces.Box))


class InputForgetting:
    """Forgets a policy's input weights between two rollouts, and what Adam remembers of them.

    A column of the encoder that belongs to a Discrete, MultiDiscrete or MultiBinary part of the observations is the
    embedding of one value, and is drawn anew. Numbers of a Box have no embedding of their own: they are turned
    all together by a random rotation, so that what the network has learned of their directions is of no use, and
    their lengths and angles stay. Adam's count of steps, which is the encoder's as a whole, goes on.

    What happens after an update is a function of its number, so a checkpoint holds nothing of it.

    Args:
        forgetting: when, in optimiser steps, and how; done after the update in which it falls due.
        space: of the observations.
        encoder: the first layer.
        settings: of PPO.
        num_envs: number of environments.
    """

    def __init__(
        self,
        forgetting: EmbeddingForgetting,
        space: spaces.Space,
        encoder: nn.Linear,
        settings: Settings,
        num_envs: int,
    ) -> None:
        self.forgetting, self.encoder = forgetting, encoder
        columns = torch.from_numpy(discrete_columns(space))
        self._discrete, self._box = (
            part.nonzero()[:, 0].to(encoder.weight.device) for part in (columns, ~columns)
        )
        # the encoder starts orthogonal with gain sqrt(2): numbers of this standard deviation
        self._std = forgetting.std * (2.0 / max(encoder.weight.shape)) ** 0.5
        self._steps = settings.n_epochs * min(settings.n_minibatches, num_envs)

    @classmethod
    def of(cls, blueprint: Blueprint, encoder: nn.Module) -> "InputForgetting | None":
        """As a blueprint says; None where nothing is forgotten."""
        plan = blueprint
        if plan.forgetting is None:
            return None
        if not isinstance(encoder, nn.Linear):
            raise ValueError(
                "forgetting is of the weights of a linear encoder: leave entities and scatter out."
            )
        return cls(plan.forgetting, plan.observation_space, encoder, plan.settings, plan.n_envs)

    def apply(self, num_updates: int, optimizer: torch.optim.Optimizer) -> bool:
        """Forget if that fell due in the last of `num_updates` updates; whether it did."""
        last = num_updates * self._steps
        due = [steps for steps in range(last - self._steps + 1, last + 1) if self.forgetting.is_due(steps)]
        if not due:
            return False
        generator = torch.Generator().manual_seed(
            (mix64(self.forgetting.seed) + mix64(due[-1])) & (2**63 - 1)
        )
        weight = self.encoder.weight
        with torch.no_grad():
            drawn = torch.randn(weight.shape[0], len(self._discrete), generator=generator) * self._std
            weight[:, self._discrete] = drawn.to(weight)
            turn = _rotation(len(self._box), generator).to(weight)
            weight[:, self._box] = weight[:, self._box] @ turn
            held = optimizer.state.get(weight, {})
            for name in ("exp_avg", "exp_avg_sq"):
                if name in held:
                    held[name].zero_()
        return True


def _rotation(size: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix, uniform over all of them (Mezzadri 2007)."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sgn()
