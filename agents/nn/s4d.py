"""Diagonal state-space memory, a system for each channel."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.complex_maps import as_complex, as_pairs
from memgym.agents.nn.lti import ChannelSSM, Unrolled
from memgym.agents.nn.module import MemorySpec

__all__ = ["S4D"]


class S4D(ChannelSSM):
    """Diagonal state space, S4D-Lin: h' = A h + u with A_n = -1/2 + i pi n at first, held between steps (ZOH).

    Each channel has its own A, C and step size. `forward` convolves with the kernel that the powers of exp(dt A)
    give (a Vandermonde product), `step` runs the recurrence.

    Args:
        d_in: size of an input, the number of channels.
        d_out: size of an output.
        state: complex numbers kept for each channel, one of each conjugate pair: half the N of the paper.

    Raises:
        ValueError: `state` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="fixed_decay",
        parallel="chunk",
        width="state",
        paper="Gu et al. 2022, arXiv 2206.11893",
    )

    def __init__(self, d_in: int, d_out: int, *, state: int = 16) -> None:
        super().__init__(d_in, d_out, state=state)
        self.log_rate = nn.Parameter(torch.full((d_in, state), math.log(0.5)))
        self.frequency = nn.Parameter((torch.pi * torch.arange(state)).expand(d_in, -1).clone())

    def lr_scales(self) -> dict[str, float]:
        """What sets the time scales learns at a tenth of the rate."""
        return {"log_dt": 0.1, "log_rate": 0.1, "frequency": 0.1}

    def _discretise(self) -> tuple[Tensor, Tensor]:
        """Exponent dt A of one step and what an input of 1 adds, (exp(dt A) - 1) / A; shape (d_in, state)."""
        poles = torch.complex(-self.log_rate.exp(), self.frequency)
        exponent = self.log_dt.exp()[:, None] * poles
        return exponent, torch.expm1(exponent) / poles

    def unroll(self, length: int) -> Unrolled:
        """The system over `length` steps."""
        exponent, b = self._discretise()
        steps = torch.arange(length + 1, dtype=self.float_dtype, device=exponent.device)
        powers = (exponent[:, None] * steps[:, None]).exp()
        write = b[:, None] * powers[:, :-1]
        c = 2 * as_complex(self.c)[:, None]
        basis = as_complex(torch.eye(2 * self.state, dtype=self.float_dtype, device=exponent.device))
        return Unrolled(
            kernel=(c * write).sum(-1).real,
            read=as_pairs((c * powers[:, 1:]).conj()),
            write=as_pairs(write),
            transition=as_pairs(powers[:, -1, None] * basis).mT,
        )

    def advance(self, h: Tensor, u: Tensor) -> Tensor:
        """The next state."""
        exponent, b = self._discretise()
        return exponent.exp() * h + b * u[..., None]
