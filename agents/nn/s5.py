"""Diagonal state-space memory that all channels share."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.complex_maps import read_real, write_complex
from memgym.agents.nn.hippo import legs
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["S5"]


class S5(MemoryModule):
    """S5: one diagonal system over all inputs, h' = Lambda h + B x, y = 2 Re(C h) + D x, out = GLU(W gelu(y)).

    Lambda starts as the spectrum of HiPPO-LegS's normal part, once for each block; B and C start as real random
    matrices taken into that basis. Each state has its own step size; held between steps (ZOH). An episode that
    begins inside a sequence is part of the scan, as in "Structured State Space Models for In-Context Reinforcement
    Learning" (Lu et al. 2023, arXiv 2303.03982).

    Args:
        d_in: size of an input.
        d_out: size of an output.
        state: complex numbers kept, one of each conjugate pair: half the P of the paper.
        blocks: copies of the spectrum at first; more blocks, lower frequencies.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="fixed_decay",
        parallel="scan",
        width="state",
        paper="Smith et al. 2023, arXiv 2208.04933",
    )

    def __init__(self, d_in: int, d_out: int, *, state: int = 64, blocks: int = 1) -> None:
        super().__init__(d_in, d_out)
        check_integer("state", state, 1, 1 << 12)
        check_integer("blocks", blocks, 1, state)
        self.state = state
        sizes = [state // blocks + (i < state % blocks) for i in range(blocks)]
        starts = [legs(2 * size) for size in sizes]
        dtype = torch.get_default_dtype()
        frequency = torch.cat([start.eigenvalues.imag for start in starts])
        write = [s.basis.mH @ torch.randn(len(s.basis), d_in).to(s.basis.dtype) / d_in**0.5 for s in starts]
        read = [
            torch.randn(d_in, len(s.basis)).to(s.basis.dtype) @ s.basis / (2 * state) ** 0.5 for s in starts
        ]
        self.log_rate = nn.Parameter(torch.full((state,), math.log(0.5)))
        self.frequency = nn.Parameter(frequency.to(dtype))
        self.log_dt = nn.Parameter(torch.empty(state).uniform_(math.log(0.001), math.log(0.1)))
        self.b = nn.Parameter(torch.view_as_real(torch.cat(write)).to(dtype))
        self.c = nn.Parameter(torch.view_as_real(torch.cat(read, 1)).to(dtype))
        self.d = nn.Parameter(torch.randn(d_in))
        self.out = nn.Sequential(nn.GELU(), nn.Linear(d_in, 2 * d_out), nn.GLU())

    def state_spec(self) -> dict[str, StateLeaf]:
        """The states ``h``, complex, shape (state,)."""
        return {"h": StateLeaf((self.state,), self.complex_dtype)}

    def lr_scales(self) -> dict[str, float]:
        """The system but for C and D learns at a tenth of the rate."""
        return dict.fromkeys(("log_rate", "frequency", "log_dt", "b"), 0.1)

    def discretise(self) -> tuple[Tensor, Tensor]:
        """Factors of one step, exp(dt Lambda), shape (state,), and the B of one step, shape (state, d_in)."""
        poles = torch.complex(-self.log_rate.exp(), self.frequency)
        exponent = self.log_dt.exp() * poles
        held = torch.expm1(exponent) / poles
        return exponent.exp(), held[:, None] * torch.view_as_complex(self.b)

    def _read_out(self, h: Tensor, x: Tensor) -> Tensor:
        return self.out(read_real(h, 2 * torch.view_as_complex(self.c)) + self.d * x)

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in one scan."""
        a, b = self.discretise()
        h = linear_scan(a[None, None], write_complex(x, b), state["h"], reset)
        return self._read_out(h, x), {"h": h[-1].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        a, b = self.discretise()
        h = a * self.mask_state(state, reset)["h"] + write_complex(x, b)
        return self._read_out(h, x), {"h": h}
