"""Matrix memories with one set of projections: linear attention, DeltaNet and Gated DeltaNet.

They differ in how something leaves the store, and in nothing else: linear attention only adds, DeltaNet replaces
what is stored under a key, Gated DeltaNet also lets everything decay on demand.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.conv import ShortConv
from memgym.agents.nn.delta_rule import gated_delta_chunk, gated_delta_step
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer

__all__ = ["DeltaNet", "GatedDeltaNet", "LinearAttention", "make_decay", "unit_length"]


def unit_length(x: Tensor) -> Tensor:
    """Vectors scaled to length 1; those near zero stay near it, and so do their gradients finite."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def make_decay(d_in: int, heads: int) -> nn.Linear:
    """The layer whose output y makes the decay exp(-softplus(y)): half of a value is left after 38 steps at first.

    The published start spreads half-lives from below 1 step to about 700; what an agent has to keep for a
    corridor of some tens of steps is mostly lost to it before it learns.
    """
    layer = nn.Linear(d_in, heads)
    nn.init.constant_(layer.bias, -4.0)
    return layer


class _MatrixMemory(MemoryModule):
    """Heads that each hold a matrix S from keys to values; y = W_o(RMSNorm(S' q) * silu(W_g x)).

    q, k and v pass a short convolution and silu; q and k have unit length; beta = sigmoid(w x) is the strength of a
    write. The short convolution is what lets such a store recall by order ("what was four steps ago").
    """

    erases: ClassVar[bool]
    decays: ClassVar[bool]

    def __init__(
        self, d_in: int, d_out: int, *, heads: int = 2, head_size: int = 16, conv_width: int = 4
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("heads", heads, 1, 1 << 10)
        check_integer("head_size", head_size, 1, 1 << 16)
        check_integer("conv_width", conv_width, 1, 64)
        self.heads = heads
        self.head_size = head_size
        size = heads * head_size
        self.qkv = nn.Linear(d_in, 3 * size, bias=False)
        self.conv = ShortConv(3 * size, conv_width)
        self.beta = nn.Linear(d_in, heads)
        self.decay = make_decay(d_in, heads) if self.decays else None
        self.gate = nn.Linear(d_in, size, bias=False)
        self.norm = nn.RMSNorm(head_size, eps=1e-5)
        self.out = nn.Linear(size, d_out, bias=False)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The store ``s``, shape (heads, head_size, head_size), and the convolution's last inputs ``conv``."""
        taps = self.conv.width - 1
        return {
            "s": StateLeaf((self.heads, self.head_size, self.head_size), self.float_dtype),
            "conv": StateLeaf((taps, 3 * self.heads * self.head_size), self.float_dtype),
        }

    def lr_scales(self) -> dict[str, float]:
        """The decay's bias is a time scale: no weight decay."""
        return {"decay.bias": 1.0} if self.decays else {}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in chunks."""
        features, conv = self.conv(self.qkv(x), state["conv"], reset)
        o, s = gated_delta_chunk(*self._arguments(x, features), state["s"], reset, erase=self.erases)
        return self._read_out(x, o), {"s": s, "conv": conv}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        features, conv = self.conv.step(self.qkv(x), state["conv"])
        o, s = gated_delta_step(*self._arguments(x, features), state["s"], erase=self.erases)
        return self._read_out(x, o), {"s": s, "conv": conv}

    def _arguments(self, x: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
        """q, k, v, log_alpha and beta, the heads in the axis before the last."""
        heads = nn.functional.silu(features).unflatten(-1, (3, self.heads, self.head_size))
        q, k = unit_length(heads[..., :2, :, :]).unbind(-3)
        log_alpha = None if self.decay is None else -nn.functional.softplus(self.decay(x))
        return q, k, heads[..., 2, :, :], log_alpha, torch.sigmoid(self.beta(x))

    def _read_out(self, x: Tensor, o: Tensor) -> Tensor:
        return self.out(self.norm(o).flatten(-2) * nn.functional.silu(self.gate(x)))


class LinearAttention(_MatrixMemory):
    """Linear attention, S = S + beta k v': the control without erasing, where rewritten values superpose.

    The feature map is unit-length silu and the read is normalised (RMSNorm) rather than divided by a sum of
    keys, so that it has the parameters of `DeltaNet`, one for one.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: number of stores.
        head_size: length of a key and of a value; a store holds its square.
        conv_width: taps of the short convolution; 1 for none.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix",
        erase="none",
        parallel="chunk",
        width="head_size",
        paper="Katharopoulos et al. 2020, arXiv 2006.16236",
    )
    erases = False
    decays = False


class DeltaNet(_MatrixMemory):
    """DeltaNet, S = S - beta k (k' S) + beta k v': a write replaces what its key finds and leaves the rest.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: number of stores.
        head_size: length of a key and of a value; a store holds its square.
        conv_width: taps of the short convolution; 1 for none.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix",
        erase="keyed",
        parallel="chunk",
        width="head_size",
        paper="Schlag et al. 2021, arXiv 2102.11174; Yang et al. 2024, arXiv 2406.06484",
    )
    erases = True
    decays = False


class GatedDeltaNet(_MatrixMemory):
    """Gated DeltaNet, S = alpha (S - beta k (k' S)) + beta k v': the delta rule after a decay that the input sets.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: number of stores, each with a decay of its own.
        head_size: length of a key and of a value; a store holds its square.
        conv_width: taps of the short convolution; 1 for none.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix",
        erase="keyed",
        parallel="chunk",
        width="head_size",
        paper="Yang et al. 2024, arXiv 2412.06464",
    )
    erases = True
    decays = True
