"""Categorical actions, one or several at once, over the columns of one matrix of logits."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Categoricals"]


class Categoricals:
    """Independent choices: one for Discrete actions, one for each part of MultiDiscrete ones.

    Args:
        space: of one action.

    Attributes:
        sizes: options of each choice; their logits stand side by side.

    Raises:
        ValueError: actions of another kind.
    """

    def __init__(self, space: spaces.Space) -> None:
        if isinstance(space, spaces.Discrete):
            self.sizes, start = [int(space.n)], [int(space.start)]
        elif isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
            self.sizes, start = space.nvec.tolist(), np.asarray(space.start).tolist()
        else:
            raise ValueError(
                f"MemoryPPO plays Discrete and one-dimensional MultiDiscrete actions, not {space}."
            )
        self.is_single = isinstance(space, spaces.Discrete)
        self.start = np.array(start, np.int64)
        self._dtype: Any = space.dtype

    @property
    def num_logits(self) -> int:
        """Columns of all choices."""
        return sum(self.sizes)

    def mode(self, logits: Tensor) -> Tensor:
        """The likeliest options, int64, shape (..., choices)."""
        if self.is_single:
            return logits.argmax(-1, keepdim=True)
        return torch.stack([part.argmax(-1) for part in logits.split(self.sizes, -1)], -1)

    def gumbel_noise(self, *shape: int, device: torch.device) -> Tensor:
        """Noise after whose addition `mode` is a sample, shape (*shape, num_logits)."""
        return torch.empty(*shape, self.num_logits, device=device).exponential_().log_().neg_()

    def evaluate(self, logits: Tensor, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of `choices`, and entropy, both of shape (...)."""
        log_probs, entropies = [], []
        for part, chosen in zip(logits.split(self.sizes, -1), choices.split(1, -1), strict=True):
            log_p = functional.log_softmax(part, -1)
            log_probs.append(log_p.gather(-1, chosen).squeeze(-1))
            entropies.append(-(log_p.exp() * log_p).sum(-1))
        if self.is_single:
            return log_probs[0], entropies[0]
        return torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0)

    def to_env(self, choices: NDArray[np.int64]) -> NDArray[Any]:
        """Actions of the space, from choices of shape (..., choices)."""
        actions = (choices + self.start).astype(self._dtype, copy=False)
        return actions[..., 0] if self.is_single else actions
