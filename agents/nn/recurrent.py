"""Recurrent cells, and the control without memory: what every other memory is compared with."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.fused_cells import gru_sequence, lstm_sequence, rnn_sequence
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer

__all__ = ["GRU", "LSTM", "MLP", "RNN"]


class MLP(MemoryModule):
    """No memory: two layers on the present input, the floor of every comparison.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: width of the hidden layer.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="control",
        erase="none",
        parallel="quadratic",
        width="hidden",
        paper="control",
        is_stateless=True,
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 128) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.layers = nn.Sequential(nn.Linear(d_in, hidden), nn.GELU(), nn.Linear(hidden, d_out))

    def state_spec(self) -> dict[str, StateLeaf]:
        """Nothing."""
        return {}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Each input by itself."""
        return self.layers(x), state

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The same for one input."""
        return self.layers(x), state


class _Cell(MemoryModule):
    """A cell whose gates see its own output: `fused_cells` where episodes begin inside, torch's kernel where not."""

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.hidden = hidden
        self.core = self._make_core(d_in, hidden)
        self.out = nn.Linear(hidden, d_out)

    def _make_core(self, d_in: int, hidden: int) -> nn.RNNBase:
        raise NotImplementedError

    def _advance(self, x: Tensor, state: State) -> State:
        """The state after one input."""
        raise NotImplementedError

    def state_spec(self) -> dict[str, StateLeaf]:
        """The output ``h``, shape (hidden,)."""
        return {"h": StateLeaf((self.hidden,), self.float_dtype)}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence; the inputs' share of all gates is one product."""
        state = self.state_at_start(state, reset)
        if reset is None or not reset[1:].any():
            y, state = self._run_whole(x, state)
        else:
            later = torch.cat([torch.zeros_like(reset[:1]), reset[1:]])
            y, state = self._run_parts(x, state, later)
        return self.out(y), state

    def _run_parts(self, x: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        """All outputs and the last state, where episodes begin inside."""
        raise NotImplementedError

    def _run_whole(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, last = self.core(x, state["h"][None])
        return y, {"h": last[0]}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self._advance(x, self.mask_state(state, reset))
        return self.out(state["h"]), state


def _weights(core: nn.RNNBase) -> list[nn.Parameter]:
    """Of the inputs and of the last output, then the bias of each; the gates one below the other."""
    return core.all_weights[0]


class RNN(_Cell):
    """Elman network: h = tanh(W x + U h + b), with U orthogonal at first.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn", erase="elementwise", parallel="loop", width="hidden", paper="Elman 1990"
    )

    def _make_core(self, d_in: int, hidden: int) -> nn.RNNBase:
        core = nn.RNN(d_in, hidden)
        fed, recurrent, *biases = _weights(core)
        nn.init.xavier_uniform_(fed)
        nn.init.orthogonal_(recurrent)
        for bias in biases:
            nn.init.zeros_(bias)
        return core

    def _advance(self, x: Tensor, state: State) -> State:
        return {"h": torch.rnn_tanh_cell(x, state["h"], *_weights(self.core))}

    def _run_parts(self, x: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        fed, weight, fed_bias, bias = _weights(self.core)
        y = rnn_sequence(x, state["h"], fed, weight, fed_bias + bias, reset)
        return y, {"h": y[-1].clone()}


class GRU(_Cell):
    """Gated recurrent unit in torch's form: h = (1 - z) n + z h, so that z keeps.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn",
        erase="elementwise",
        parallel="loop",
        width="hidden",
        paper="Cho et al. 2014, arXiv 1406.1078",
    )

    def _make_core(self, d_in: int, hidden: int) -> nn.RNNBase:
        return nn.GRU(d_in, hidden)

    def _advance(self, x: Tensor, state: State) -> State:
        return {"h": torch.gru_cell(x, state["h"], *_weights(self.core))}

    def _run_parts(self, x: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        fed, weight, *biases = _weights(self.core)
        y = gru_sequence(x, state["h"], fed, weight, biases[0], biases[1], reset)
        return y, {"h": y[-1].clone()}


class LSTM(_Cell):
    """Long short-term memory: c = f c + i g, h = o tanh c, with a forget bias of 2 at first.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn",
        erase="elementwise",
        parallel="loop",
        width="hidden",
        paper="Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000",
    )

    def _make_core(self, d_in: int, hidden: int) -> nn.RNNBase:
        core = nn.LSTM(d_in, hidden)
        with torch.no_grad():
            for bias in _weights(core)[2:]:
                bias[:hidden], bias[hidden : 2 * hidden] = 0.0, 1.0
        return core

    def state_spec(self) -> dict[str, StateLeaf]:
        """The output ``h`` and the cell ``c``, each of shape (hidden,)."""
        leaf = StateLeaf((self.hidden,), self.float_dtype)
        return {"h": leaf, "c": leaf}

    def _advance(self, x: Tensor, state: State) -> State:
        h, c = torch.lstm_cell(x, (state["h"], state["c"]), *_weights(self.core))
        return {"h": h, "c": c}

    def _run_whole(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, (last_h, last_c) = self.core(x, (state["h"][None], state["c"][None]))
        return y, {"h": last_h[0], "c": last_c[0]}

    def _run_parts(self, x: Tensor, state: State, reset: Tensor) -> tuple[Tensor, State]:
        assert isinstance(self.core, nn.LSTM)
        y, c = lstm_sequence(self.core, x, state["h"], state["c"], reset)
        return y, {"h": y[-1].clone(), "c": c}
