"""Gated recurrences whose gates do not see the state, and so run as a scan."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["MinGRU", "MinLSTM"]

PAPER = "Feng et al. 2024, arXiv 2410.01201"


class _GatedScan(MemoryModule):
    """h = a h + b, with a and b from the present input alone."""

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.hidden = hidden
        self.out = nn.Linear(hidden, d_out)

    @abstractmethod
    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the state is multiplied by and what is added to it, shape (..., hidden) each."""

    def state_spec(self) -> dict[str, StateLeaf]:
        """The units ``h``, shape (hidden,)."""
        return {"h": StateLeaf((self.hidden,), self.float_dtype)}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in one scan."""
        keep, write = self.gates(x)
        h = linear_scan(keep, write, state["h"], reset)
        return self.out(h), {"h": h[-1].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        keep, write = self.gates(x)
        h = keep * self.mask_state(state, reset)["h"] + write
        return self.out(h), {"h": h}


def _positive(x: Tensor) -> Tensor:
    """A positive, continuous and increasing function: x + 1/2 where x is not negative, else sigmoid(x)."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


class MinGRU(_GatedScan):
    """minGRU: h = (1 - z) h + z c, with z = sigmoid(W x) and a candidate c = g(V x) that is positive.

    In real numbers, not in logarithms: a reset is exact.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: `hidden` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn", erase="input_decay", parallel="scan", width="hidden", paper=PAPER
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out, hidden=hidden)
        self.feed = nn.Linear(d_in, 2 * hidden)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gates 1 - z and z c."""
        gate, candidate = self.feed(x).chunk(2, -1)
        return torch.sigmoid(-gate), torch.sigmoid(gate) * _positive(candidate)


class MinLSTM(_GatedScan):
    """minLSTM: h = f' h + i' c, with f' = f / (f + i), i' = i / (f + i) and a candidate c = g(V x) that is positive.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: `hidden` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn", erase="input_decay", parallel="scan", width="hidden", paper=PAPER
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out, hidden=hidden)
        self.feed = nn.Linear(d_in, 3 * hidden)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gates f' and i' c."""
        forget, admit, candidate = self.feed(x).chunk(3, -1)
        # f / (f + i) from the logarithm of f / i: no division by gates that are both nearly zero
        odds = nn.functional.logsigmoid(forget) - nn.functional.logsigmoid(admit)
        return torch.sigmoid(odds), torch.sigmoid(-odds) * _positive(candidate)
