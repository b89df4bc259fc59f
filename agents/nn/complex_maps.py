"""Complex weights over real inputs and outputs, in real products; parameters are kept as pairs of real numbers."""

import torch
from torch import Tensor

__all__ = ["as_complex", "as_pairs", "read_real", "write_complex"]


def as_complex(pairs: Tensor) -> Tensor:
    """Real numbers of shape (..., 2 n), each pair side by side, as complex ones of shape (..., n)."""
    return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)).contiguous())


def as_pairs(x: Tensor) -> Tensor:
    """Complex numbers of shape (..., n) as real ones of shape (..., 2 n), each pair side by side."""
    return torch.view_as_real(x.resolve_conj()).flatten(-2)


def write_complex(x: Tensor, weight: Tensor) -> Tensor:
    """``weight @ x`` for real x of shape (..., d) and complex `weight` of shape (n, d): complex, shape (..., n)."""
    rows = torch.view_as_real(weight).movedim(-1, 1).flatten(0, 1)  # (2 n, d), real and imaginary in turn
    return as_complex(torch.nn.functional.linear(x, rows))


def read_real(h: Tensor, weight: Tensor) -> Tensor:
    """Real part of ``weight @ h`` for complex h of shape (..., n) and `weight` of shape (d, n): shape (..., d)."""
    return torch.nn.functional.linear(as_pairs(h), as_pairs(weight.conj()))
