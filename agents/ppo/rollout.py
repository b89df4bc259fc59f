"""What T steps of B environments leave behind, and the advantages that follow."""

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from memgym.agents.nn.module import State

__all__ = ["Rollout", "compute_advantages"]


class Rollout:
    """Buffers for T steps of B environments, made once; of the memory, the state before the first step alone.

    Let x[t] be the observation before step t. ``ended[t + 2]`` says whether step t ended an episode; the first two
    rows are of the two steps before. So every flag of a row is a view of these (see
    `memgym.agents.nn.segments.resets_from_dones`), and nothing is derived twice.

    Args:
        steps: T.
        num_envs: B.
        obs_size: numbers in an observation.
        num_logits: columns of all action choices.
        num_choices: choices in an action.
        mode: the environments' autoreset mode.
        aux_names: auxiliary targets, and how many of each an observation has.

    Attributes:
        rows: observations, shape (T + 1, B, obs_size); the last is the one after step T - 1.
        outputs: of the network for each, the value in the last column, shape (T + 1, B, num_logits + 1).
        choices: what was done, int64, shape (T, B, num_choices).
        rewards: shape (T, B).
        terminated: shape (T, B).
        ended: terminated or truncated, shape (T + 2, B).
        final_values: values of last observations that x does not hold (mode SAME_STEP), shape (T, B).
        targets: auxiliary targets, int64, shape (T, B, count) by name.
        state: of the memory before x[0].
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        obs_size: int,
        num_logits: int,
        num_choices: int,
        mode: AutoresetMode,
        aux_names: Mapping[str, int],
    ) -> None:
        self.steps, self.num_envs, self.mode = steps, num_envs, mode
        shape = (steps, num_envs)
        self.rows = torch.zeros(steps + 1, num_envs, obs_size)
        self.outputs = torch.zeros(steps + 1, num_envs, num_logits + 1)
        self.choices = torch.zeros(*shape, num_choices, dtype=torch.int64)
        self.rewards = torch.zeros(shape)
        self.terminated = torch.zeros(shape, dtype=torch.bool)
        self.ended = torch.zeros(steps + 2, num_envs, dtype=torch.bool)
        self.final_values = torch.zeros(shape)
        self.targets = {
            name: torch.zeros(*shape, count, dtype=torch.int64) for name, count in aux_names.items()
        }
        self.state: State = {}
        self._delay = 2 if mode is AutoresetMode.NEXT_STEP else 1

    @property
    def reset(self) -> Tensor:
        """Whether x[t] is the first observation of an episode, shape (T + 1, B)."""
        return self.ended[2 - self._delay :][: self.steps + 1]

    @property
    def used(self) -> Tensor:
        """Whether step t used its action, shape (T, B): in mode NEXT_STEP not where step t - 1 ended the episode."""
        before = self.ended[1 : self.steps + 1]
        return ~before if self.mode is AutoresetMode.NEXT_STEP else torch.ones_like(before)

    def begin(self, before: NDArray[np.bool_], state: State) -> None:
        """Start a rollout: `ended` of the two steps before it, shape (2, B), and the memory's state."""
        self.ended[:2] = torch.from_numpy(before)
        self.state = {name: leaf.clone() for name, leaf in state.items()}

    def advantages(self, gamma: float, gae_lambda: float) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, both of shape (T, B); worth nothing where the action was not `used`."""
        values = self.outputs[..., -1]
        after = values[1:]
        if self.mode is not AutoresetMode.NEXT_STEP:  # x[t + 1] is the next episode's there
            after = torch.where(self.ended[2:], self.final_values, after)
        advantages = compute_advantages(
            self.rewards, values[:-1], after, self.terminated, self.ended[2:], gamma, gae_lambda
        )
        return advantages, advantages + values[:-1]


def compute_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438), for all environments at once.

    A[t] = d[t] + gamma lambda A[t + 1], d[t] = r[t] + gamma V'[t] - V[t], where V'[t] is the value of the
    observation that step t led to. After a termination nothing follows: V' counts as zero. After a truncation the
    episode would have gone on, so V' stays in; A[t + 1] is left out after either.

    Args:
        rewards: shape (T, B).
        values: of the observations before each step, shape (T, B).
        next_values: of the observations that each step led to, before any reset, shape (T, B).
        terminated: bool, shape (T, B).
        ended: terminated or truncated, bool, shape (T, B).
        gamma: discount.
        gae_lambda: how far to trust rewards rather than values.
    """
    deltas = rewards - values + gamma * next_values * ~terminated
    decay = gamma * gae_lambda * (~ended).to(deltas.dtype)
    last = torch.zeros_like(deltas[0])
    result = torch.empty_like(deltas)
    steps = zip(deltas.unbind(0), decay.unbind(0), result.unbind(0), strict=True)
    for delta, factor, out in reversed(list(steps)):
        last = torch.addcmul(delta, factor, last, out=out)
    return result
