"""Fast and Forgetful Memory (Morad et al. 2023, arXiv 2310.04128)."""

from math import log, pi
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["FFM"]

HORIZON = 1024  # steps that the slowest decay and the longest period reach at first
FASTEST = 0.68  # decay rate of the most forgetful trace at first


class FFM(MemoryModule):
    """Fast and Forgetful Memory: traces of the input that decay and turn, each at a rate of its own.

    a = W_1 x * sigmoid(W_2 x) goes into every context, S_jk = gamma_jk S_jk + a_j with
    gamma_jk = exp(-|alpha_j| + i omega_k); z = W [Re S; Im S], and y = LN(z) g + W_4 x (1 - g) with
    g = sigmoid(W_3 x). What is in S fades on a clock that no input can stop or hurry. The published form sums with
    exp(+alpha T) and must keep alpha small for it; the scan needs no such limit.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        size: number of traces, each with a decay rate alpha.
        contexts: number of frequencies omega that each trace is kept at.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="fixed_decay",
        parallel="scan",
        width="size",
        paper="Morad et al. 2023, arXiv 2310.04128",
    )

    def __init__(self, d_in: int, d_out: int, *, size: int = 32, contexts: int = 4) -> None:
        super().__init__(d_in, d_out)
        check_integer("size", size, 1, 1 << 16)
        check_integer("contexts", contexts, 1, 1 << 10)
        self.size = size
        self.contexts = contexts
        self.write = nn.Linear(d_in, size)
        self.write_gate = nn.Linear(d_in, size)
        self.alpha = nn.Parameter(torch.linspace(FASTEST, -log(0.01) / HORIZON, size))
        self.omega = nn.Parameter(2 * pi / torch.linspace(1.0, HORIZON, contexts))
        self.read = nn.Linear(2 * size * contexts, d_out)
        self.norm = nn.LayerNorm(d_out, elementwise_affine=False)
        self.skip = nn.Linear(d_in, d_out)
        self.skip_gate = nn.Linear(d_in, d_out)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The traces ``s``, complex, shape (size, contexts)."""
        return {"s": StateLeaf((self.size, self.contexts), self.complex_dtype)}

    def lr_scales(self) -> dict[str, float]:
        """Rates and frequencies are time scales: no weight decay, but the full learning rate.

        At a tenth of it, recalling the symbol of four steps ago stayed at 0.55 where it reaches 0.96.
        """
        return {"alpha": 1.0, "omega": 1.0}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in one scan."""
        s = linear_scan(self._gamma()[None, None], self._trace(x), state["s"], reset)
        return self._read_out(x, s), {"s": s[-1].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        s = self._gamma() * self.mask_state(state, reset)["s"] + self._trace(x)
        return self._read_out(x, s), {"s": s}

    def _gamma(self) -> Tensor:
        """Factor of one step, shape (size, contexts)."""
        rate = self.alpha.abs().clamp(min=1e-6)
        angle = self.omega.expand(self.size, -1)
        return torch.polar((-rate).exp()[:, None].expand_as(angle), angle)

    def _trace(self, x: Tensor) -> Tensor:
        """What an input adds to all contexts of each trace."""
        a = self.write(x) * torch.sigmoid(self.write_gate(x))
        return a.to(self.complex_dtype)[..., None].expand(*a.shape, self.contexts)

    def _read_out(self, x: Tensor, s: Tensor) -> Tensor:
        z = self.read(torch.view_as_real(s).flatten(-3))
        gate = torch.sigmoid(self.skip_gate(x))
        return self.norm(z) * gate + self.skip(x) * (1.0 - gate)
