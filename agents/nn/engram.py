"""Engram: a table in the weights, looked up by a hash of the last few observations."""

from math import isqrt
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn import make_memory
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.segments import segment_ids
from memgym.core.arguments import check_integer
from memgym.rng import mix64

__all__ = ["EngramMemory"]

HEADS = 4  # rows looked up for each length of n-gram
TAPS = 4
INNER = "inner/"  # before the names of the inner memory's leaves


class EngramMemory(MemoryModule):
    """What the last few observations stand for, learned and the same in every episode, added to the input.

    The suffixes of 2 to `ngram` ids are hashed, by multiplication and exclusive or, into rows of an embedding table,
    four for each length, in tables of different prime sizes. With their concatenation e and the root mean square
    norm N: v = sigmoid(root(<N(W_k e), N(x)> / sqrt(d_in))) W_v e, where root(u) = sign(u) sqrt(max(|u|, 1e-6)),
    and x + v + silu(conv(N(v))) is what the lookup makes of x; the convolution is depthwise with 4 taps, `ngram`
    steps apart, and zero at first. The cost of a lookup does not depend on the size of the table.

    Nothing is written during an episode. Alone it is a control: its n-grams reach `ngram` - 1 steps back, its
    convolution 3 `ngram` further, and what lies before is lost. Around another memory, ``inner="gru"``, it is what
    the paper makes of it, an addition.

    Ids are not negative. Before the first observation of an episode the n-gram holds padding that no id equals.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        inner: registered name of the memory that reads x with what was looked up; None for a linear layer.
        inner_config: arguments of that memory.
        rows: rows for each of the tables, rounded up to a prime number.
        row_size: numbers in a row.
        ngram: longest suffix, at least 2.

    Raises:
        UnknownName: no such inner memory.
        ValueError: an argument outside its range, or `inner_config` without `inner`.
    """

    spec: ClassVar = MemorySpec(
        family="lookup",
        erase="none",
        parallel="quadratic",
        width="rows",
        paper="Cheng et al. 2026, arXiv 2601.07372",
        needs_ids=True,
    )
    multipliers: Tensor
    primes: Tensor
    offsets: Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        inner: str | None = None,
        inner_config: dict[str, Any] | None = None,
        rows: int = 1000,
        row_size: int = 16,
        ngram: int = 3,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("rows", rows, 1, 1 << 30)
        check_integer("row_size", row_size, 1, 1 << 16)
        check_integer("ngram", ngram, 2, 16)
        if inner is None and inner_config is not None:
            raise ValueError("inner_config is for an inner memory: name one in inner.")
        self.ngram = ngram
        tables = (ngram - 1) * HEADS
        primes = _primes(rows, tables)
        # odd numbers below 2**40, so that ids below 2**23 do not even overflow
        numbers = [mix64(position) >> 24 | 1 for position in range(1, ngram + 1)]
        self.register_buffer("multipliers", torch.tensor(numbers), persistent=False)
        self.register_buffer("primes", torch.tensor(primes).view(ngram - 1, HEADS), persistent=False)
        starts = torch.tensor([0, *primes[:-1]]).cumsum(0).view(ngram - 1, HEADS)
        self.register_buffer("offsets", starts, persistent=False)
        self.table = nn.Embedding(sum(primes), row_size)
        self.key = nn.Linear(tables * row_size, d_in)
        self.value = nn.Linear(tables * row_size, d_in)
        self.norm = nn.RMSNorm(d_in, eps=1e-6, elementwise_affine=False)
        self.scale = nn.Parameter(torch.ones(d_in))  # of the product of two norms: one serves both
        self.taps = nn.Parameter(torch.zeros(TAPS, d_in))  # of the convolution, the newest last
        self.inner = None if inner is None else make_memory(inner, d_in, d_out, **(inner_config or {}))
        self.out = nn.Linear(d_in, d_out) if inner is None else nn.Identity()

    def state_spec(self) -> dict[str, StateLeaf]:
        """The last ids, each plus 1 and 0 for padding, what the convolution looks back on, and the inner state."""
        leaves = {
            "ids": StateLeaf((self.ngram - 1,), torch.int64),
            "conv": StateLeaf(((TAPS - 1) * self.ngram, self.d_in), self.float_dtype),
        }
        if self.inner is not None:
            leaves |= {INNER + name: leaf for name, leaf in self.inner.state_spec().items()}
        return leaves

    def fill_state(self, state: State) -> State:
        """The inner memory fills its part."""
        if self.inner is None:
            return state
        return self._join(state["ids"], state["conv"], self.inner.fill_state(_inner(state)))

    def lr_scales(self) -> dict[str, float]:
        """Rows of the table are seen rarely and learn five times as fast; and what the inner memory asks for."""
        scales = {"table.weight": 5.0}
        if self.inner is not None:
            scales |= {f"inner.{name}": scale for name, scale in self.inner.lr_scales().items()}
        return scales

    def aux_losses(self) -> dict[str, Tensor]:
        """Those of the inner memory."""
        return {} if self.inner is None else self.inner.aux_losses()

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence; all of it at once, except what the inner memory does."""
        ids = _require(ids)
        tokens = torch.cat([state["ids"].T, ids + 1])  # (ngram - 1 + T, B)
        segment = segment_ids(reset, x)
        segments = nn.functional.pad(segment, (0, 0, self.ngram - 1, 0))
        windows, same = (
            tokens.unfold(0, self.ngram, 1),
            segments.unfold(0, self.ngram, 1) == segment[..., None],
        )
        v, normed = self._look_up(x, self.rows_of(windows * same))

        reach = (TAPS - 1) * self.ngram
        rows = torch.cat([state["conv"].transpose(0, 1), normed])  # (reach + T, B, d_in)
        segments = nn.functional.pad(segment, (0, 0, reach, 0))
        conv = normed * self.taps[-1]
        for back in range(1, TAPS):
            before = slice(reach - back * self.ngram, reach - back * self.ngram + len(x))
            visible = (segments[before] == segment)[..., None]
            conv = conv + rows[before] * self.taps[-1 - back] * visible
        x = x + v + nn.functional.silu(conv)

        kept = segments[len(x) :] == segment[-1]
        buffer = (rows[len(x) :] * kept[..., None]).transpose(0, 1)
        last = (tokens[len(x) :] * kept[-(self.ngram - 1) :]).T
        if self.inner is None:
            return self.out(x), self._join(last, buffer, {})
        y, inner = self.inner(x, _inner(state), reset, ids=ids)
        return y, self._join(last, buffer, inner)

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        ids = _require(ids)
        state = self.mask_state(state, reset)
        tokens = torch.cat([state["ids"], ids[:, None] + 1], 1)
        v, normed = self._look_up(x, self.rows_of(tokens))
        rows = torch.cat([state["conv"], normed[:, None]], 1)
        x = x + v + nn.functional.silu((rows[:, :: self.ngram] * self.taps).sum(1))
        if self.inner is None:
            return self.out(x), self._join(tokens[:, 1:], rows[:, 1:], {})
        y, inner = self.inner.step(x, _inner(state), ids=ids)
        return y, self._join(tokens[:, 1:], rows[:, 1:], inner)

    def rows_of(self, tokens: Tensor) -> Tensor:
        """Rows of the table for the n-grams that end a window.

        Args:
            tokens: ids plus 1, oldest first, 0 for padding: int64, shape (..., ngram).

        Returns:
            int64, shape (..., (ngram - 1) * 4): four rows for the last two tokens, four for the last three, ...
        """
        products = tokens.flip(-1) * self.multipliers
        mixed, rows = products[..., 0], []
        for back in range(1, self.ngram):
            mixed = mixed ^ products[..., back]
            rows.append(mixed[..., None] % self.primes[back - 1] + self.offsets[back - 1])
        return torch.cat(rows, -1)

    def _look_up(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the rows say to the input: the gated value, and the same normed."""
        found = self.table(rows).flatten(-2)
        agreement = self.norm(self.key(found)) * self.norm(x) * self.scale
        match = agreement.sum(-1, keepdim=True) * self.d_in**-0.5
        gate = torch.sigmoid(match.sign() * match.abs().clamp(min=1e-6).sqrt())
        v = gate * self.value(found)
        return v, self.norm(v)

    @staticmethod
    def _join(ids: Tensor, conv: Tensor, inner: State) -> State:
        return {"ids": ids, "conv": conv} | {INNER + name: leaf for name, leaf in inner.items()}


def _inner(state: State) -> State:
    return {name.removeprefix(INNER): leaf for name, leaf in state.items() if name.startswith(INNER)}


def _require(ids: Tensor | None) -> Tensor:
    if ids is None or ids.dtype != torch.int64:
        found = "" if ids is None else f", not {ids.dtype}"
        raise ValueError(f"ids are needed: what was observed as integers, int64{found}; see ObservationIds.")
    return ids


def _primes(least: int, count: int) -> list[int]:
    """The first primes from `least` on."""
    primes, number = [], max(least, 2)
    while len(primes) < count:
        if all(number % factor for factor in range(2, isqrt(number) + 1)):
            primes.append(number)
        number += 1
    return primes
