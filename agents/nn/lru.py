"""Linear recurrent unit."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.complex_maps import read_real, write_complex
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["LRU"]

R_MIN, R_MAX = 0.9, 0.999  # radii between which the eigenvalues lie at first
MAX_PHASE = math.pi / 10


class LRU(MemoryModule):
    """Linear recurrent unit: h = lambda h + gamma B x, y = Re(C h) + D x, with lambda = exp(-exp(nu) + i exp(theta)).

    The eigenvalues stay inside the unit disc whatever nu is; at first they are uniform in a ring. gamma starts at
    sqrt(1 - |lambda|^2), with which white noise keeps every h at the same size.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of complex units.

    Raises:
        ValueError: `hidden` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="fixed_decay",
        parallel="scan",
        width="hidden",
        paper="Orvieto et al. 2023, arXiv 2303.06349",
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.hidden = hidden
        radius = torch.empty(hidden).uniform_(R_MIN**2, R_MAX**2).sqrt()
        self.nu = nn.Parameter((-radius.log()).log())
        # a phase of zero would have no logarithm
        self.theta = nn.Parameter((torch.rand(hidden) * MAX_PHASE).clamp(min=1e-6).log())
        self.log_gamma = nn.Parameter(0.5 * (1 - radius**2).log())
        self.b = nn.Parameter(torch.randn(hidden, d_in, 2) / (2 * d_in) ** 0.5)
        self.c = nn.Parameter(torch.randn(d_out, hidden, 2) / hidden**0.5)
        self.d = nn.Linear(d_in, d_out)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The units ``h``, complex, shape (hidden,)."""
        return {"h": StateLeaf((self.hidden,), self.complex_dtype)}

    def lr_scales(self) -> dict[str, float]:
        """The recurrence learns at a tenth of the rate."""
        return {"nu": 0.1, "theta": 0.1, "log_gamma": 0.1}

    def eigenvalues(self) -> Tensor:
        """What each unit is multiplied by in a step, complex, shape (hidden,)."""
        return torch.polar((-self.nu.exp()).exp(), self.theta.exp())

    def write(self, x: Tensor) -> Tensor:
        """What inputs of shape (..., d_in) add to the units: gamma B x."""
        return write_complex(x, self.log_gamma.exp()[:, None] * torch.view_as_complex(self.b))

    def _read_out(self, h: Tensor, x: Tensor) -> Tensor:
        return read_real(h, torch.view_as_complex(self.c)) + self.d(x)

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in one scan."""
        h = linear_scan(self.eigenvalues()[None, None], self.write(x), state["h"], reset)
        return self._read_out(h, x), {"h": h[-1].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        h = self.eigenvalues() * self.mask_state(state, reset)["h"] + self.write(x)
        return self._read_out(h, x), {"h": h}
