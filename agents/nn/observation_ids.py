"""Integers for continuous observations, and the fixed random projections behind them."""

import numpy as np
import torch
from torch import Tensor, nn

from memgym.core.arguments import check_integer
from memgym.rng import draw_array, stream_id

__all__ = ["ObservationIds", "random_projection"]


def random_projection(name: str, d_in: int, d_out: int) -> Tensor:
    """A matrix of standard normal numbers that depends on its name and shape alone, on every platform.

    Args:
        name: keeps the projections of different uses apart.
        d_in: size of what is projected.
        d_out: size of the projection.

    Returns:
        float32, shape (d_in, d_out).
    """
    draws = draw_array(np.array([stream_id(name)], np.uint64), np.arange(2 * d_in * d_out, dtype=np.uint64))
    radius, angle = ((draws >> np.uint64(11)) * 2.0**-53).reshape(2, d_in, d_out)
    normal = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)  # Box and Muller 1958
    return torch.from_numpy(normal.astype(np.float32))


class ObservationIds(nn.Module):
    """An integer for each observation: the signs of its projections on fixed random directions.

    Two observations share a bit with probability 1 - angle / pi (Charikar 2002), so that near ones tend to get the
    same integer. It makes the `ids` that memories over discrete inputs need (`MemorySpec.needs_ids`) where
    observations are continuous; there is nothing to learn, and nothing in the state dict.

    Args:
        size: numbers in an observation.
        bits: directions; the integers are from 0 to 2**bits - 1.

    Raises:
        ValueError: an argument outside its range.

    >>> ObservationIds(3)(torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])).tolist()
    [2175, 2175, 3173]
    """

    projection: Tensor
    weights: Tensor

    def __init__(self, size: int, bits: int = 12) -> None:
        super().__init__()
        check_integer("size", size, 1, 1 << 24)
        check_integer("bits", bits, 1, 62)
        self.register_buffer("projection", random_projection("ObservationIds", size, bits), persistent=False)
        self.register_buffer("weights", 1 << torch.arange(bits), persistent=False)

    @torch.no_grad()
    def forward(self, observation: Tensor) -> Tensor:
        """Integers, int64, shape (...), for observations of shape (..., size)."""
        signs = observation.to(self.projection.dtype) @ self.projection > 0
        return (signs * self.weights).sum(-1)
