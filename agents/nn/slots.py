"""Slot memory: a few items, each rewritten as a whole by what it is matched with."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.segments import where_any
from memgym.core.arguments import check_integer

__all__ = ["SlotMemory"]

LIMIT = 30.0  # of an address: above any likeness, and its exponential stays finite
FAR = 80.0  # of unlikeness: its exponential is not yet zero, so that a slot like no candidate does not divide by zero


class SlotMemory(MemoryModule):
    """K slots of one vector each; every input offers candidates, which are matched with slots and may replace them.

    Of an input come J candidates. A slot and a candidate go together the better, the more the candidate is like
    what the slot holds, and the more the input itself says so (an address). The matching is one to one, softly
    (Sinkhorn iterations): a candidate that is already somewhere goes there again, so what is new goes where something
    has vanished. A gate for each slot, from what it holds, what it is offered and the input, then decides whether the
    slot is rewritten: s = s + g (c - s). What is read is a mixture of slots for each of a few heads, beside all slots
    and the input.

    The mechanism is ours. Soft one-to-one matching: Mena et al. 2018, arXiv 1802.08665.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        slots: number of slots K, and of candidates J.
        item: numbers in a slot.
        given: number of candidates that the input itself ends with, `item` numbers each; the others, one at least,
            are made of it by a layer.
        heads: mixtures of slots that are read.
        hidden: width of the layers that make candidates and gates.
        rounds: Sinkhorn iterations; 0 lets every slot choose for itself.

    Raises:
        ValueError: an argument outside its range.
    """

    sharpness: ClassVar[float] = 20.0  # weight of the cosine of two keys, at first
    own: ClassVar[float] = 2.0  # by how much a candidate belongs to the slot of the same number, at first
    spec: ClassVar = MemorySpec(family="slots", erase="keyed", parallel="loop", width="item", paper="ours")

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        slots: int = 4,
        item: int = 16,
        given: int = 0,
        heads: int = 2,
        hidden: int = 64,
        rounds: int = 3,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("slots", slots, 1, 1 << 10)
        check_integer("item", item, 1, 1 << 12)
        check_integer("given", given, 0, min(slots - 1, d_in // item))
        check_integer("heads", heads, 1, 1 << 8)
        check_integer("hidden", hidden, 1, 1 << 14)
        check_integer("rounds", rounds, 0, 100)
        self.slots, self.item, self.given, self.heads, self.rounds = slots, item, given, heads, rounds
        self.feed = nn.Sequential(nn.Linear(d_in, hidden), nn.GELU())
        self.offer = nn.Linear(hidden, (slots - given) * item)
        self.address = nn.Linear(hidden, slots * slots)
        self.likeness = nn.Parameter(torch.full((), self.sharpness))
        self.key = nn.Linear(item, item, bias=False)
        self.gate_input = nn.Linear(hidden, hidden)
        self.gate_slot = nn.Parameter(torch.randn(slots, hidden) * 0.1)
        self.gate_items = nn.Linear(2 * item, hidden, bias=False)
        self.gate_out = nn.Linear(hidden, 1)
        self.attend = nn.Sequential(
            nn.Linear(hidden + slots * item, hidden), nn.GELU(), nn.Linear(hidden, heads * slots)
        )
        self.out = nn.Linear(hidden + (slots + heads) * item, d_out)
        nn.init.orthogonal_(self.key.weight)
        with torch.no_grad():
            self.address.bias.add_(self.own * torch.eye(slots).flatten())

    def state_spec(self) -> dict[str, StateLeaf]:
        """What the slots hold, shape (slots, item)."""
        return {"s": StateLeaf((self.slots, self.item), self.float_dtype)}

    def _prepare(self, x: Tensor) -> tuple[Tensor, ...]:
        """All that follows from inputs alone: features, candidates, weights of the pairs, the gates' share."""
        h, k = self.feed(x), self.slots
        given = x[..., self.d_in - self.given * self.item :].unflatten(-1, (self.given, self.item))
        offers = torch.cat([self.entities(given), self.offer(h).unflatten(-1, (-1, self.item))], -2)
        pairs = self.address(h).clamp(-LIMIT, LIMIT).exp().unflatten(-1, (k, k))
        return h, offers, pairs, self.gate_input(h)

    def entities(self, given: Tensor) -> Tensor:
        """Candidates of what the input ends with, shape (..., given, item): the same numbers."""
        return given

    def likenesses(self, held: Tensor, new: Tensor) -> Tensor:
        """Weight of each pair, shape (B, slots, candidates), by keys of length 1 (of empty slots 0)."""
        return (self.likeness * (held @ new.mT - 1)).clamp(-FAR, LIMIT).exp()

    def match(self, s: Tensor, offers: Tensor, pairs: Tensor) -> Tensor:
        """How much of each candidate goes to each slot, shape (B, slots, candidates); rows sum to 1.

        Args:
            s: what the slots hold, shape (B, slots, item).
            offers: the candidates, the same shape.
            pairs: weight of each pair, whatever the slot holds, shape (B, slots, candidates).
        """
        held = nn.functional.normalize(self.key(s), dim=-1, eps=1e-3)
        new = nn.functional.normalize(self.key(offers), dim=-1, eps=1e-3)
        shares = pairs * self.likenesses(held, new)
        for _ in range(self.rounds):
            shares = shares / shares.sum(-1, keepdim=True)
            shares = shares / shares.sum(-2, keepdim=True)
        return shares / shares.sum(-1, keepdim=True)

    def _advance(self, s: Tensor, *prepared: Tensor) -> Tensor:
        """What the slots hold next, by what `_prepare` found of an input beside its features."""
        offers, pairs, gate = prepared
        offered = self.match(s, offers, pairs) @ offers
        return torch.lerp(s, offered, torch.sigmoid(self.gate(s, offered, gate)))

    def gate(self, s: Tensor, offered: Tensor, share: Tensor) -> Tensor:
        """Logits of rewriting each slot, shape (B, slots, 1).

        Args:
            s: what the slots hold, shape (B, slots, item).
            offered: what they are offered, the same shape.
            share: the input's own, shape (B, hidden).
        """
        hidden = self.gate_items(torch.cat([s, offered], -1)) + share[:, None] + self.gate_slot
        return self.gate_out(nn.functional.gelu(hidden))

    def _read(self, h: Tensor, s: Tensor) -> Tensor:
        flat = s.flatten(-2)
        weights = self.attend(torch.cat([h, flat], -1)).unflatten(-1, (self.heads, self.slots)).softmax(-1)
        return self.out(torch.cat([h, flat, (weights @ s).flatten(-2)], -1))

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence: slots step by step, everything else at once."""
        h, *rest = self._prepare(x)
        resets = [None] * len(x) if reset is None else where_any(reset)
        s, held = state["s"], []
        for start, *inputs in zip(resets, *(part.unbind(0) for part in rest), strict=True):
            if start is not None:
                s = s.masked_fill(start[:, None, None], 0.0)
            s = self._advance(s, *inputs)
            held.append(s)
        return self._read(h, torch.stack(held)), {"s": s}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        h, *rest = self._prepare(x)
        s = self._advance(self.mask_state(state, reset)["s"], *rest)
        return self._read(h, s), {"s": s}
