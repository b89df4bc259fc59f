"""The HiPPO-LegS matrix, which state-space memories start from, in the basis in which it is diagonal and low-rank.

After "Efficiently Modeling Long Sequences with Structured State Spaces" (Gu et al. 2022, arXiv 2111.00396).
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Legs", "legs"]


class Legs(NamedTuple):
    """HiPPO-LegS of even size N in the eigenbasis of its normal part: A = V (diag(eigenvalues) - p p*) V*.

    Eigenvalues come in conjugate pairs; of each pair only the one with a positive imaginary part is kept, so the
    real vector that belongs to coordinates h is 2 Re(V h).

    Attributes:
        eigenvalues: of the normal part A + P P', complex128, shape (N / 2,), each with real part -1/2.
        p: the low-rank part V* P, complex128, shape (N / 2,).
        b: the input V* B, complex128, shape (N / 2,).
        basis: V, complex128, shape (N, N / 2).
    """

    eigenvalues: Tensor
    p: Tensor
    b: Tensor
    basis: Tensor


def legs(size: int) -> Legs:
    """Diagonalise A + P P' for HiPPO-LegS of an even `size`, with A, B and P as in the paper."""
    return _diagonalise(size, torch.get_default_device())


@cache
def _diagonalise(size: int, device: torch.device) -> Legs:
    n = torch.arange(size, dtype=torch.float64, device=device)
    b, p = (2 * n + 1).sqrt(), (n + 0.5).sqrt()
    # A + P P' is -1/2 on the diagonal and skew-symmetric beside it, so -i times the latter is Hermitian
    skew = -0.5 * (b[:, None] * b).tril(-1)
    frequencies, vectors = torch.linalg.eigh(-1j * (skew - skew.T))
    basis = vectors[:, size // 2 :]
    eigenvalues = torch.complex(torch.full_like(frequencies[size // 2 :], -0.5), frequencies[size // 2 :])
    adjoint = basis.mH
    return Legs(eigenvalues, adjoint @ p.to(basis.dtype), adjoint @ b.to(basis.dtype), basis)
