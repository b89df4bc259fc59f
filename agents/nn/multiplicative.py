"""Multiplicative LSTM: an LSTM whose recurrent weights are another matrix for each input."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import FedLoopModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer

__all__ = ["MultiplicativeLSTM"]


class MultiplicativeLSTM(FedLoopModule):
    """An LSTM whose gates see m = (V x + v) * (U h) in place of the last output h.

    The input picks what of the memory the gates may see, so that one step can move a content from one place to
    another: a forget gate alone keeps or clears each unit where it stands. c = f c + i tanh(g), h = o tanh c. At
    first v is 1, U orthogonal and the forget bias 2: nearly an LSTM.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: `hidden` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn",
        erase="elementwise",
        parallel="loop",
        width="hidden",
        paper="Krause et al. 2016, arXiv 1609.07959",
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.hidden = hidden
        self.fed = nn.Linear(d_in, 5 * hidden)  # V, then the gates i, f, g, o
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.gates = nn.Linear(hidden, 4 * hidden, bias=False)
        self.out = nn.Linear(hidden, d_out)
        with torch.no_grad():
            nn.init.orthogonal_(self.recurrent.weight)
            self.fed.bias.zero_()
            self.fed.bias[:hidden] = 1.0
            self.fed.bias[2 * hidden : 3 * hidden] = 2.0

    def state_spec(self) -> dict[str, StateLeaf]:
        """The output ``h`` and the cell ``c``, each of shape (hidden,)."""
        leaf = StateLeaf((self.hidden,), self.float_dtype)
        return {"h": leaf, "c": leaf}

    def _feed(self, x: Tensor) -> Tensor:
        return self.fed(x)

    def _read(self, h: Tensor) -> Tensor:
        return self.out(h)

    def _advance(self, fed: Tensor, state: State) -> State:
        picks, gates = fed.split((self.hidden, 4 * self.hidden), -1)
        m = picks * self.recurrent(state["h"])
        i, f, g, o = (gates + self.gates(m)).chunk(4, -1)
        c = f.sigmoid() * state["c"] + i.sigmoid() * g.tanh()
        return {"h": o.sigmoid() * c.tanh(), "c": c}
