"""State-space memories that work on each channel by itself and do not depend on time: a convolution that resets."""

import math
from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memgym.agents.nn.complex_maps import as_complex, as_pairs
from memgym.agents.nn.module import MemoryModule, State, StateLeaf
from memgym.core.arguments import check_integer

__all__ = ["ChannelSSM", "Unrolled", "convolve"]

BLOCK = 32  # steps convolved at once; the fastest of 16, 32, 64 and 128 on a CPU


class Unrolled(NamedTuple):
    """A linear system of each of H channels over L steps; its state as N real numbers.

    Attributes:
        kernel: output after each number of steps from one input, shape (H, L).
        read: output at each step from the state before the first, shape (H, L, N).
        write: state after each number of steps from one input, shape (H, L, N).
        transition: state after L steps from the state before, shape (H, N, N).
    """

    kernel: Tensor
    read: Tensor
    write: Tensor
    transition: Tensor


def convolve(u: Tensor, state: Tensor, reset: Tensor | None, system: Unrolled) -> tuple[Tensor, Tensor]:
    """Outputs of a system and its last state, with a state of zero where an episode begins.

    The sequence is cut into blocks of L steps. Inside a block each episode becomes a column of its own, zero
    elsewhere, and is convolved by a triangular Toeplitz product: on a CPU that is as fast as an FFT, and no later
    input touches an earlier output, be it by rounding. Between blocks only the states are passed on.

    Args:
        u: inputs, shape (k L, B, H).
        state: before u[0], shape (B, H, N).
        reset: where an episode begins, bool, shape (k L, B).
        system: what to run.

    Returns:
        Outputs of shape (k L, B, H) and the state after the last, shape (B, H, N).
    """
    length = system.kernel.shape[1]
    batch, channels = u.shape[1:]

    def cut(x: Tensor) -> Tensor:  # (k L, B, ...) to (L, k B, ...)
        return x.reshape(-1, length, *x.shape[1:]).transpose(0, 1).flatten(1, 2)

    blocks = cut(u)
    inputs, segment, starts_anew, columns = blocks, None, None, blocks
    index = None
    if reset is not None:
        began = cut(reset)
        starts_anew = began[0]  # resets the state that comes in; the others split the block
        segment = began.long().cumsum(0) - began[0].long()
        inputs = torch.where((segment == segment[-1])[..., None], blocks, 0.0)
        counts = segment[-1] + 1
        total = int(counts.sum())
        if total > len(counts):
            index = (counts.cumsum(0) - counts + segment)[..., None].expand_as(blocks)
            columns = blocks.new_zeros(length, total, channels).scatter(1, index, blocks)

    padded = torch.cat([torch.zeros_like(system.kernel[:, 1:]), system.kernel], 1)
    toeplitz = padded.unfold(1, length, 1).flip(-1)  # (H, L, L), kernel[t - s] at s <= t
    y = torch.einsum("hts,sch->tch", toeplitz, columns)
    if index is not None:
        y = y.gather(1, index)

    written = torch.einsum("hsn,sch->chn", system.write.flip(1), inputs).unflatten(0, (-1, batch))
    starts = []
    for i, row in enumerate(written.unbind(0)):
        here = slice(i * batch, (i + 1) * batch)
        if starts_anew is not None:
            state = state.masked_fill(starts_anew[here, None, None], 0.0)
        starts.append(state)
        state = torch.einsum("hmn,bhn->bhm", system.transition, state)
        if segment is not None:
            state = state.masked_fill((segment[-1, here] > 0)[:, None, None], 0.0)
        state = state + row
    carried = torch.einsum("htn,chn->tch", system.read, torch.cat(starts))
    if segment is not None:
        carried = carried.masked_fill((segment > 0)[..., None], 0.0)
    y = (y + carried).unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 1)
    return y, state


class ChannelSSM(MemoryModule):
    """A linear state-space system on each channel of the input, then a gated linear layer that mixes the channels.

    y = Re(C h) + D x for each channel, out = GLU(W gelu(y)). A subclass gives the system.

    Args:
        d_in: size of an input, the number of channels.
        d_out: size of an output.
        state: complex numbers kept for each channel, one of each conjugate pair: half the N of the papers.

    Raises:
        ValueError: `state` outside its range.
    """

    def __init__(self, d_in: int, d_out: int, *, state: int = 16) -> None:
        super().__init__(d_in, d_out)
        check_integer("state", state, 1, 1 << 16)
        self.state = state
        self.log_dt = nn.Parameter(torch.empty(d_in).uniform_(math.log(0.001), math.log(0.1)))
        self.c = nn.Parameter(torch.randn(d_in, 2 * state) * 0.5**0.5)  # pairs, as all complex parameters
        self.d = nn.Parameter(torch.randn(d_in))
        self.out = nn.Sequential(nn.GELU(), nn.Linear(d_in, 2 * d_out), nn.GLU())

    @abstractmethod
    def unroll(self, length: int) -> Unrolled:
        """The system over `length` steps."""

    @abstractmethod
    def advance(self, h: Tensor, u: Tensor) -> Tensor:
        """The next state from complex h, shape (..., d_in, state), and inputs u, shape (..., d_in)."""

    def read_out(self, h: Tensor) -> Tensor:
        """What the system puts out, without the skip D, shape (..., d_in)."""
        return 2 * (as_complex(self.c) * h).sum(-1).real

    def state_spec(self) -> dict[str, StateLeaf]:
        """The systems' states ``h``, complex, shape (d_in, state)."""
        return {"h": StateLeaf((self.d_in, self.state), self.complex_dtype)}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence: a convolution in blocks, then the rest that fills no block."""
        whole = len(x) - len(x) % min(BLOCK, len(x))
        h, outputs = as_pairs(state["h"]), []
        for rows in (slice(whole), slice(whole, None)):
            if len(part := x[rows]):
                system = self.unroll(min(BLOCK, len(part)))
                y, h = convolve(part, h, None if reset is None else reset[rows], system)
                outputs.append(y)
        return self.out(torch.cat(outputs) + self.d * x), {"h": as_complex(h)}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input: the recurrence."""
        h = self.advance(self.mask_state(state, reset)["h"], x)
        return self.out(self.read_out(h) + self.d * x), {"h": h}
