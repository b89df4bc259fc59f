"""A Sparsey-like memory: sparse binary codes, stored in one shot by Hebbian writes into binary weights."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.observation_ids import random_projection
from memgym.agents.nn.segments import ages, where_any
from memgym.core.arguments import check_integer, check_number

__all__ = ["Retrieval", "Sparsey"]

MASK = 0xFFFFFFFF  # the low 32 bits
FAMILIAR = 0.999  # from this familiarity on the best units win outright
STEEPNESS, MIDDLE, GAIN, NOISE_FLOOR = 28.0, 0.78, 300.0, 0.1


class Retrieval(NamedTuple):
    """What a memory finds for an input, without writing.

    Attributes:
        code: the best unit of each module, int64, shape (B, Q).
        features: how many modules recall each feature, int64, shape (B, F).
        familiarity: mean over modules of the best unit's match, from 0 to 1, shape (B,).
    """

    code: Tensor
    features: Tensor
    familiarity: Tensor


class Sparsey(MemoryModule):
    """An associative memory that learns an input by setting bits, once.

    The input becomes a set of active features, the largest of its projections on fixed random directions. They
    drive Q competitive modules of K units by binary weights; a unit's match u is the share of active features
    whose weights to it are on, and G, the familiarity, the mean over modules of the best match. A read takes the
    best unit of each module and returns the features whose weights to them are on: the whole of a pattern from a part
    of it. A write picks a unit in each module with probability proportional to
    1 + 300 max(0, (G - 0.1) / 0.9)^2 sigmoid(28 (u - 0.78)), so that what is new gets a random code, what
    is familiar the code it has, and what is similar a similar one; then it turns on the weights between active
    features and chosen units. Each step reads, then writes, in the same time however much is stored.

    Trainable is the readout alone: linear in the code, the recalled features, G and the present input. The
    constants of the original's sigmoids are not published in one place; these are ours. Codes carry no context of
    earlier codes, so that order is not remembered. Nothing is erased: weights fill up, and from `freeze_at` on the
    memory only reads (its code is that of the best units), which keeps the early patterns: a critical period.
    Random choices derive from the active features and the step in the episode, not from a global generator.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        features: number of features F; 3 of 32 are active.
        modules: number of competitive modules Q.
        units: units K of a module, a multiple of 8 (their weights are read eight at a time).
        freeze_at: share of weights that are on from which nothing more is written; 1 for never. Beyond a third
            everything looks familiar, and noisy cues recall little.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="hebbian",
        erase="none",
        parallel="loop",
        width="features",
        paper="Rinkus 2014, doi 10.3389/fncom.2014.00160",
        grad_through_writes=False,
    )
    projection: Tensor
    affinity: Tensor
    ranks: Tensor
    firsts: Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        features: int = 128,
        modules: int = 16,
        units: int = 16,
        freeze_at: float = 0.3,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("features", features, 1, 1 << 17)
        check_integer("modules", modules, 1, 255)
        check_integer("units", units, 8, 1 << 12)
        if units % 8:
            raise ValueError(f"units is a multiple of 8, not {units}.")
        check_number("freeze_at", freeze_at, 0.0, 1.0)
        self.features, self.num_modules, self.units = features, modules, units
        self.active = max(1, features * 3 // 32)
        self.capacity = int(freeze_at * features * modules * units)
        self.register_buffer("projection", random_projection("Sparsey", d_in, features), persistent=False)
        match = torch.arange(self.active + 1) / self.active
        affinity = GAIN * torch.sigmoid(STEEPNESS * (match - MIDDLE))
        self.register_buffer("affinity", affinity, persistent=False)
        self.register_buffer("ranks", torch.arange(units).flip(0), persistent=False)
        self.register_buffer("firsts", torch.arange(0, modules * units, units), persistent=False)
        self.readout = nn.Linear(modules * units + features + 1, d_out)
        self.present = nn.Linear(d_in, d_out, bias=False)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The binary weights (F, Q * K), a byte each; how many are on; and the steps of the episode."""
        return {
            "weights": StateLeaf((self.features, self.num_modules * self.units), torch.bool),
            "on": StateLeaf((1,), torch.int64),
            "age": StateLeaf((1,), torch.int64),
        }

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence: only reading and writing is a loop, features and readout are not."""
        steps, batch = x.shape[:2]
        if reset is None:
            reset = torch.zeros(steps, batch, dtype=torch.bool, device=x.device)
        age = ages(reset, state["age"][:, 0])
        starts = [None if row is None else row.nonzero()[:, 0] for row in where_any(reset)]
        weights, on = state["weights"].clone(memory_format=torch.contiguous_format), state["on"][:, 0]
        found = []
        with torch.no_grad():
            indices = self._encode(x)
            draws = self._draw(indices, age[:-1])
            for index, drawn, start in zip(indices, draws, starts, strict=True):
                if start is not None:
                    weights[start] = False
                    on = on.index_fill(0, start, 0)
                *row, on = self._read_and_write(index, drawn, weights, on)
                found.append(row)
        code, recalled, familiarity = (torch.stack(rows) for rows in zip(*found, strict=True))
        following = {"weights": weights, "on": on[:, None], "age": age[-1, :, None].clone()}
        return self._read_out(x, code, recalled, familiarity), following

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        weights = state["weights"].clone(memory_format=torch.contiguous_format)
        on, age = state["on"][:, 0], state["age"]
        with torch.no_grad():
            index = self._encode(x)
            *found, on = self._read_and_write(index, self._draw(index, age[:, 0]), weights, on)
        return self._read_out(x, *found), {"weights": weights, "on": on[:, None], "age": age + 1}

    @torch.no_grad()
    def retrieve(self, x: Tensor, state: State) -> Retrieval:
        """Read only.

        Args:
            x: inputs, shape (B, d_in).
            state: what was stored.
        """
        weights = state["weights"].contiguous()
        rows = weights.view(torch.int64).flatten(0, 1)[self._encode(x)]
        _, code, familiarity = self._match(rows.unflatten(0, (len(x), self.active)))
        return Retrieval(code, self._recall(code, weights), familiarity)

    def _encode(self, x: Tensor) -> Tensor:
        """The active features' rows in the weights of all environments, int64, shape (..., B * active)."""
        # rounded, with the index as the last digits: ties are broken alike on every device
        scores = (x @ self.projection * 4096.0).clamp(-(2.0**40), 2.0**40).round().long()
        order = torch.arange(self.features, device=x.device)
        active = (scores * self.features - order).topk(self.active, -1).indices
        first = torch.arange(0, x.shape[-2] * self.features, self.features, device=x.device)
        return (active + first[:, None]).flatten(-2)

    def _draw(self, index: Tensor, age: Tensor) -> Tensor:
        """Uniform numbers in [0, 1) for each module, from a hash of what the input is and the step at which it comes.

        Args:
            index: what `_encode` gives, shape (..., B * active).
            age: steps of the episode before, shape (..., B).

        Returns:
            float32, shape (..., B, Q).
        """
        # a sum, as the order in which features of nearly the same score come means nothing
        what = _hash(index % self.features + 1).unflatten(-1, (-1, self.active)).sum(-1)
        module = torch.arange(self.num_modules, device=age.device)
        return (_hash((what + age)[..., None] * self.num_modules + module + 1) >> 8).float() * 2.0**-24

    def _match(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the active features' rows of the weights, int64 words of shape (B, active, words), say.

        Returns:
            How many of them reach each unit, (B, Q, K); the best unit of each module, (B, Q); and the familiarity,
            (B,).
        """
        # each byte of a word counts for itself: 255 ones cannot carry into the next
        counts = sum(part.sum(1).view(torch.uint8).long() for part in rows.split(255, 1))
        assert isinstance(counts, Tensor)
        counts = counts.view(-1, self.num_modules, self.units)
        # the index as the last digit: of equal units the first wins on every device
        best = (counts * self.units + self.ranks).amax(-1)
        familiarity = (best // self.units).sum(-1) / (self.num_modules * self.active)
        return counts, self.units - 1 - best % self.units, familiarity

    def _words(self, code: Tensor) -> Tensor:
        """A row of weights with those to the code on, as int64 words, shape (B, words)."""
        row = torch.zeros(len(code), self.num_modules * self.units, dtype=torch.uint8, device=code.device)
        return row.scatter_(1, code + self.firsts, 1).view(torch.int64)

    def _recall(self, code: Tensor, weights: Tensor) -> Tensor:
        """In how many modules each feature's weight to the code is on, int64, shape (B, F)."""
        held = weights.view(torch.int64) & self._words(code)[:, None]
        return held.sum(-1, keepdim=True).view(torch.uint8).sum(-1)

    def _read_and_write(
        self, index: Tensor, draws: Tensor, weights: Tensor, on: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One step on the weights, in place.

        Returns:
            The code written, or the best where nothing may be written, (B, Q); the features recalled before it,
            (B, F); the familiarity, (B,); and how many weights are on, (B,).
        """
        words = weights.view(torch.int64).flatten(0, 1)
        rows = words[index].unflatten(0, (len(weights), self.active))
        counts, best, familiarity = self._match(rows)
        recalled = self._recall(best, weights)
        gain = ((familiarity - NOISE_FLOOR) / (1.0 - NOISE_FLOOR)).clamp(min=0.0).square()
        total = (1.0 + gain[:, None, None] * self.affinity.take(counts)).cumsum(-1)
        sampled = (total <= draws[..., None] * total[..., -1:]).sum(-1).clamp(max=self.units - 1)
        may_write = on < self.capacity
        code = torch.where(((familiarity >= FAMILIAR) | ~may_write)[:, None], best, sampled)
        written = self._words(code) * may_write[:, None]
        words.index_copy_(0, index, (rows | written[:, None]).flatten(0, 1))
        added = self.active - counts.gather(-1, code[..., None])[..., 0]  # in each module
        return code, recalled, familiarity, on + added.sum(-1) * may_write

    def _read_out(self, x: Tensor, code: Tensor, recalled: Tensor, familiarity: Tensor) -> Tensor:
        """The output from the code, what was recalled, the familiarity and the input."""
        dtype = self.float_dtype
        one_hot = torch.zeros(*code.shape[:-1], self.num_modules * self.units, dtype=dtype, device=x.device)
        one_hot.scatter_(-1, code + self.firsts, 1.0)
        found = [one_hot, recalled.to(dtype) / self.num_modules, familiarity[..., None].to(dtype)]
        return self.readout(torch.cat(found, -1)) + self.present(x)


def _hash(z: Tensor) -> Tensor:
    """Integers as others from 0 to 2^32 - 1 that look random, the same on every machine."""
    z = z * 0x9E3779B1 & MASK  # the low 32 bits of a product stay right when 64 overflow
    for _ in range(2):
        z = ((z >> 16) ^ z) * 0x45D9F3B & MASK
    return (z >> 16) ^ z
