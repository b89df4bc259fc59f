"""Mixture-of-Memories: a router sends each step to a few of several independent stores."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.conv import ShortConv
from memgym.agents.nn.delta_net import make_decay, unit_length
from memgym.agents.nn.delta_rule import gated_delta_chunk, gated_delta_step
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer, check_number

__all__ = ["MixtureOfMemories"]


class MixtureOfMemories(MemoryModule):
    """Several gated delta-rule stores, of which a router picks `top_k` a step, and one that every step uses.

    A store that is not picked is neither written nor decayed nor read: it keeps, bit for bit, what other kinds of
    input would have overwritten. Each has keys, values, decay and write strength of its own; the read key is common.
    o = sum of g_m S_m' q over the picked, with g the router's probabilities among them, plus S_shared' q.

    All stores are heads of one chunked delta rule whose gates are closed where a store is not picked. The published
    code instead gathers each store's steps and convolves over those alone; here the short convolution comes
    before the router, so that acting and training agree. A router that is undecided between two stores may pick
    differently under different rounding; at a tie the lower number wins.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        memories: number of routed stores; the shared one comes on top.
        top_k: how many of them a step uses.
        head_size: length of a key and of a value; a store holds its square.
        conv_width: taps of the short convolution; 1 for none.
        balance: weight of the loss that asks the router to use all stores alike.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix",
        erase="keyed",
        parallel="chunk",
        width="head_size",
        paper="Du et al. 2025, arXiv 2502.13685",
    )

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        memories: int = 4,
        top_k: int = 2,
        head_size: int = 16,
        conv_width: int = 4,
        balance: float = 0.01,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("memories", memories, 1, 1 << 10)
        check_integer("top_k", top_k, 1, memories)
        check_integer("head_size", head_size, 1, 1 << 16)
        check_integer("conv_width", conv_width, 1, 64)
        check_number("balance", balance, 0.0, 1e6)
        self.memories = memories
        self.top_k = top_k
        self.head_size = head_size
        self.balance = balance
        stores = memories + 1  # the shared one is the last
        self.router = nn.Linear(d_in, memories, bias=False)
        nn.init.normal_(self.router.weight, std=0.02)  # not zero, where every step would tie
        self.qkv = nn.Linear(d_in, (1 + 2 * stores) * head_size, bias=False)
        self.conv = ShortConv((1 + 2 * stores) * head_size, conv_width)
        self.beta = nn.Linear(d_in, stores)
        self.decay = make_decay(d_in, stores)
        self.gate = nn.Linear(d_in, head_size, bias=False)
        self.norm = nn.RMSNorm(head_size, eps=1e-5)
        self.out = nn.Linear(head_size, d_out, bias=False)
        self._balance_loss: Tensor | None = None

    def state_spec(self) -> dict[str, StateLeaf]:
        """The stores ``s``, shape (memories + 1, head_size, head_size), and the convolution's last inputs."""
        taps, channels = self.conv.width - 1, (1 + 2 * (self.memories + 1)) * self.head_size
        return {
            "s": StateLeaf((self.memories + 1, self.head_size, self.head_size), self.float_dtype),
            "conv": StateLeaf((taps, channels), self.float_dtype),
        }

    def lr_scales(self) -> dict[str, float]:
        """The decay's bias is a time scale: no weight decay."""
        return {"decay.bias": 1.0}

    def aux_losses(self) -> dict[str, Tensor]:
        """Weighted M sum_m f_m p_m / k over the last `forward`.

        f_m is the share of steps that pick store m and p_m its mean probability. Unweighted it is 1 when all
        stores are used alike, and M / k when the same k always are.
        """
        return {} if self._balance_loss is None else {"balance": self.balance * self._balance_loss}

    def __getstate__(self) -> dict[str, Any]:
        # the loss holds the graph of one forward: it is no part of a copy
        return {**super().__getstate__(), "_balance_loss": None}

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which stores each input uses.

        Args:
            x: inputs, shape (..., d_in).

        Returns:
            Probabilities, and whether a store is picked, both of shape (..., memories).
        """
        p = self.router(x).softmax(-1)
        # a stable sort, as topk breaks ties differently from device to device
        best = p.sort(dim=-1, descending=True, stable=True).indices[..., : self.top_k]
        return p, torch.zeros_like(p, dtype=torch.bool).scatter(-1, best, True)

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in chunks."""
        features, conv = self.conv(self.qkv(x), state["conv"], reset)
        p, picked = self.route(x)
        o, s = gated_delta_chunk(*self._arguments(x, features, picked), state["s"], reset)
        share, mean = picked.to(p.dtype).flatten(0, 1).mean(0), p.flatten(0, 1).mean(0)
        self._balance_loss = self.memories * (share * mean).sum() / self.top_k
        return self._read_out(x, o, p, picked), {"s": s, "conv": conv}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        features, conv = self.conv.step(self.qkv(x), state["conv"])
        p, picked = self.route(x)
        o, s = gated_delta_step(*self._arguments(x, features, picked), state["s"])
        return self._read_out(x, o, p, picked), {"s": s, "conv": conv}

    def _arguments(
        self, x: Tensor, features: Tensor, picked: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """q, k, v, log_alpha and beta, the stores in the axis before the last, closed where not picked."""
        stores = self.memories + 1
        rows = nn.functional.silu(features).unflatten(-1, (1 + 2 * stores, self.head_size))
        q, k, v = rows.split([1, stores, stores], -2)
        is_open = nn.functional.pad(picked, (0, 1), value=True)
        log_alpha = (-nn.functional.softplus(self.decay(x))).where(is_open, 0.0)
        beta = torch.sigmoid(self.beta(x)).where(is_open, 0.0)
        return unit_length(q).expand_as(k), unit_length(k), v, log_alpha, beta

    def _read_out(self, x: Tensor, o: Tensor, p: Tensor, picked: Tensor) -> Tensor:
        weight = p * picked
        weight = weight / weight.sum(-1, keepdim=True)
        mixed = (weight[..., None] * o[..., :-1, :]).sum(-2) + o[..., -1, :]
        return self.out(self.norm(mixed) * nn.functional.silu(self.gate(x)))
