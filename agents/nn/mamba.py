"""Selective state-space memory."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from memgym.agents.nn.conv import ShortConv
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["Mamba"]

PART = 1 << 21  # most numbers of a state sequence that are held at once


class Mamba(MemoryModule):
    """Mamba (S6): a diagonal state space for each channel, whose step size, input and readout the input sets.

    u, z = W x; u = silu(conv(u)); h = exp(dt A) h + dt B u; y = W_o ((C h + D u) silu(z)), with dt, B and C linear
    in u. The sequence of states is `state` times as large as that of the channels: long ones are run in parts,
    whose states the backward pass computes anew.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of channels; twice `d_in` in the paper.
        state: numbers kept for each channel, beside the convolution's last three inputs.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="input_decay",
        parallel="scan",
        width="hidden",
        paper="Gu and Dao 2023, arXiv 2312.00752",
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 128, state: int = 16) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        check_integer("state", state, 1, 1 << 12)
        self.hidden, self.state = hidden, state
        self.rank = math.ceil(d_in / 16)
        self.feed = nn.Linear(d_in, 2 * hidden, bias=False)
        self.conv = ShortConv(hidden, 4)
        self.select = nn.Linear(hidden, self.rank + 2 * state, bias=False)
        self.dt = nn.Linear(self.rank, hidden)
        self.log_a = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(hidden, 1))
        self.d = nn.Parameter(torch.ones(hidden))
        self.out = nn.Linear(hidden, d_out, bias=False)
        with torch.no_grad():
            dt = torch.empty(hidden).uniform_(math.log(0.001), math.log(0.1)).exp()
            self.dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
            self.dt.weight.uniform_(-(self.rank**-0.5), self.rank**-0.5)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The channels' states ``h``, shape (hidden, state), and the last inputs of the convolution, ``conv``."""
        return {
            "h": StateLeaf((self.hidden, self.state), self.float_dtype),
            "conv": StateLeaf((self.conv.width - 1, self.hidden), self.float_dtype),
        }

    def lr_scales(self) -> dict[str, float]:
        """The common rate, but no weight decay: it would change the time scales."""
        return {"log_a": 1.0, "d": 1.0, "dt.bias": 1.0}

    def _select(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes, shape (..., hidden), and B and C, shape (..., state)."""
        dt, b, c = self.select(u).split([self.rank, self.state, self.state], -1)
        return nn.functional.softplus(self.dt(dt)), b, c

    def _coefficients(self, u: Tensor, dt: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """What the states are multiplied by and what is added to them, shape (..., hidden, state)."""
        return (dt[..., None] * -self.log_a.exp()).exp(), (dt * u)[..., None] * b[..., None, :]

    def _scan(
        self, u: Tensor, dt: Tensor, b: Tensor, c: Tensor, h: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """C h at every step of a part, and the last states."""
        factor, row = self._coefficients(u, dt, b)
        all_h = linear_scan(factor, row, h, reset)
        return (all_h @ c[..., None])[..., 0], all_h[-1].clone()

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in as many scans as keep the states small."""
        u, z = self.feed(x).chunk(2, -1)
        u, buffer = self.conv(u, state["conv"], reset)
        u = nn.functional.silu(u)
        dt, b, c = self._select(u)
        h = state["h"]
        size = max(PART // h.numel(), 1)
        # split, as slices in a loop would make the backward pass quadratic in T
        parts = [row.split(size) for row in (u, dt, b, c)]
        starts = [None] * len(parts[0]) if reset is None else reset.split(size)
        outputs = []
        for u_i, dt_i, b_i, c_i, start in zip(*parts, starts, strict=True):
            part = (u_i, dt_i, b_i, c_i, h, start)
            if len(x) > size and torch.is_grad_enabled():
                y, h = checkpoint(self._scan, *part, use_reentrant=False, preserve_rng_state=False)
            else:
                y, h = self._scan(*part)
            outputs.append(y)
        y = torch.cat(outputs) + self.d * u
        return self.out(y * nn.functional.silu(z)), {"h": h, "conv": buffer}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        u, z = self.feed(x).chunk(2, -1)
        u, buffer = self.conv.step(u, state["conv"])
        u = nn.functional.silu(u)
        dt, b, c = self._select(u)
        factor, row = self._coefficients(u, dt, b)
        h = factor * state["h"] + row
        y = (h @ c[..., None])[..., 0] + self.d * u
        return self.out(y * nn.functional.silu(z)), {"h": h, "conv": buffer}
