"""Slot memory: a few items, each rewritten as a whole by what it is matched with."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.segments import where_any
from memgym.core.arguments import check_integer, check_number

__all__ = ["SlotMemory"]

LIKENESS, SHARP = 20.0, 60.0  # weight of the cosine of two keys, at first; and where things jump
OWN = 2.0  # at first, a candidate belongs to the slot of the same number
FIRST = 6.0  # the same for empty slots, where things jump
LIMIT = 30.0  # of an address: above any likeness, and its exponential stays finite


class SlotMemory(MemoryModule):
    """K slots of one vector each; every input offers candidates, which are matched with slots and may replace them.

    Of an input come J candidates. A slot and a candidate go together the better, the more the candidate is like
    what the slot holds, and the more the input itself says so (an address). The matching is one to one, softly
    (Sinkhorn iterations): a candidate that is already somewhere goes there again, so what is new goes where something
    has vanished. A gate for each slot, from what it holds, what it is offered and the input, then decides whether the
    slot is rewritten: s = s + g (c - s). What is read is a mixture of slots for each of a few heads, beside all slots
    and the input.

    What has moved may be anywhere, and then its likeness to what a slot holds means nothing: a slot whose item is
    gone would rather take a neighbour's than what is new. With `jump` above 0, each candidate gets at least that
    share of each slot that holds something, so that one exact match weighs more than two near ones; and the slot of
    its own number draws a candidate only while it is empty, since lists may come in another order next time.

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
        jump: weight that a pair has at least, where 1 is that of equal keys.

    Raises:
        ValueError: an argument outside its range.
    """

    own: Tensor
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
        jump: float = 0.0,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("slots", slots, 1, 1 << 10)
        check_integer("item", item, 1, 1 << 12)
        check_integer("given", given, 0, min(slots - 1, d_in // item))
        check_integer("heads", heads, 1, 1 << 8)
        check_integer("hidden", hidden, 1, 1 << 14)
        check_integer("rounds", rounds, 0, 100)
        check_number("jump", jump, 0.0, 1.0)
        self.slots, self.item, self.given, self.heads = slots, item, given, heads
        self.rounds, self.jump = rounds, float(jump)
        self.feed = nn.Sequential(nn.Linear(d_in, hidden), nn.GELU())
        self.offer = nn.Linear(hidden, (slots - given) * item)
        self.address = nn.Linear(hidden, slots * slots)
        self.likeness = nn.Parameter(torch.full((), SHARP if jump else LIKENESS))
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
        if jump:
            self.register_buffer("own", (FIRST * (torch.eye(slots) - 1)).exp(), persistent=False)
        else:
            with torch.no_grad():
                self.address.bias.add_(OWN * torch.eye(slots).flatten())

    def state_spec(self) -> dict[str, StateLeaf]:
        """What the slots hold, shape (slots, item)."""
        return {"s": StateLeaf((self.slots, self.item), self.float_dtype)}

    def _prepare(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that follows from inputs alone: features, candidates, weights of the pairs, the gates' share."""
        h, k = self.feed(x), self.slots
        offers = torch.cat([x[..., self.d_in - self.given * self.item :], self.offer(h)], -1)
        pairs = self.address(h).clamp(-LIMIT, LIMIT).exp().unflatten(-1, (k, k))
        return h, offers.unflatten(-1, (k, self.item)), pairs, self.gate_input(h)

    def match(self, s: Tensor, offers: Tensor, pairs: Tensor) -> Tensor:
        """How much of each candidate goes to each slot, shape (B, slots, candidates); rows sum to 1.

        Args:
            s: what the slots hold, shape (B, slots, item).
            offers: the candidates, the same shape.
            pairs: weight of each pair, whatever the slot holds, shape (B, slots, candidates).
        """
        held = nn.functional.normalize(self.key(s), dim=-1, eps=1e-3)
        new = nn.functional.normalize(self.key(offers), dim=-1, eps=1e-3)
        likeness = (self.likeness * (held @ new.mT - 1)).exp()
        if self.jump:
            empty = 1 - held.square().sum(-1, keepdim=True)
            likeness = torch.lerp(likeness + self.jump, self.own, empty)
        shares = pairs * likeness
        for _ in range(self.rounds):
            shares = shares / shares.sum(-1, keepdim=True)
            shares = shares / shares.sum(-2, keepdim=True)
        return shares / shares.sum(-1, keepdim=True)

    def _advance(self, s: Tensor, offers: Tensor, pairs: Tensor, gate: Tensor) -> Tensor:
        """What the slots hold next."""
        offered = self.match(s, offers, pairs) @ offers
        hidden = self.gate_items(torch.cat([s, offered], -1)) + gate[:, None] + self.gate_slot
        return torch.lerp(s, offered, torch.sigmoid(self.gate_out(nn.functional.gelu(hidden))))

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
