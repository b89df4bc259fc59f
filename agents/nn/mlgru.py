"""Gated recurrence without multiplications by weights: these are -1, 0 and 1, and activations are integers."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.core.arguments import check_integer

__all__ = ["MLGRU", "TernaryLinear"]


class _Integers(torch.autograd.Function):
    """Rounding to integers of a range, with the gradient of the identity (straight-through), beyond the range too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: int) -> Tensor:
        return x.round().clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def _integers(x: Tensor, limit: int) -> Tensor:
    result: Any = _Integers.apply(x, limit)
    return result


class TernaryLinear(nn.Module):
    """Linear layer of BitNet b1.58: weights of -1, 0 or 1 times one scale, inputs normalised and of 8 bits.

    The product is one of integers, held in floating point: exact, so a sequence and its single steps agree to the
    last bit, and no faster than an ordinary one without a kernel of its own. Gradients pass the rounding unchanged.
    "The Era of 1-bit LLMs" (Ma et al. 2024, arXiv 2402.17764).

    Args:
        d_in: size of an input.
        d_out: size of an output.
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        bound = d_in**-0.5
        self.weight = nn.Parameter(torch.empty(d_out, d_in).uniform_(-bound, bound))

    def ternary(self) -> tuple[Tensor, Tensor]:
        """The weights as -1, 0 and 1, and their scale, the mean magnitude."""
        scale = self.weight.detach().abs().mean().clamp(min=1e-5)
        return _integers(self.weight / scale, 1), scale

    @staticmethod
    def integers(x: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs as integers from -127 to 127, and what one of them stands for, shape (..., 1)."""
        x = nn.functional.rms_norm(x, x.shape[-1:], eps=1e-6)
        unit = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
        return _integers(x / unit, 127), unit

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of shape (..., d_out)."""
        weight, scale = self.ternary()
        codes, unit = self.integers(x)
        return nn.functional.linear(codes, weight) * (unit * scale)


class MLGRU(MemoryModule):
    """MatMul-free gated recurrence: h = f h + (1 - f) c, y = W_o (h * sigmoid(W_g x)), all W ternary.

    f = sigmoid(W_f x) and c = silu(W_c x) do not see the state. The paper's lower bound on f grows with the layer
    and is zero in the first; one memory is one layer, so there is none. Small weight matrices share one scale
    among few numbers: use a higher learning rate than elsewhere (3e-3) and no weight decay.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        hidden: number of units.

    Raises:
        ValueError: `hidden` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn",
        erase="input_decay",
        parallel="scan",
        width="hidden",
        paper="Zhu et al. 2024, arXiv 2406.02528",
    )

    def __init__(self, d_in: int, d_out: int, *, hidden: int = 64) -> None:
        super().__init__(d_in, d_out)
        check_integer("hidden", hidden, 1, 1 << 16)
        self.hidden = hidden
        self.forget, self.candidate, self.gate = (TernaryLinear(d_in, hidden) for _ in range(3))
        self.out = TernaryLinear(hidden, d_out)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The units ``h``, shape (hidden,)."""
        return {"h": StateLeaf((self.hidden,), self.float_dtype)}

    def lr_scales(self) -> dict[str, float]:
        """The common rate, but no weight decay: it would pull all weights of a matrix to zero at once."""
        return {name: 1.0 for name, _ in self.named_parameters()}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in one scan."""
        keep = torch.sigmoid(self.forget(x))
        write = (1 - keep) * nn.functional.silu(self.candidate(x))
        # step by step always: W_o rounds h, and another order of additions could tip it into the next integer
        h = linear_scan(keep, write, state["h"], reset, impl="sequential")
        return self.out(h * torch.sigmoid(self.gate(x))), {"h": h[-1].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        y, last = self(x[None], state, None if reset is None else reset[None])
        return y[0], last
