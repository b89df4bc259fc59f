"""Slot memory for lists of entities: each slot follows one of them, though the list may come in any order."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.slots import SlotMemory
from memgym.core.arguments import check_number

__all__ = ["TrackingSlots"]

APART = 12.0  # by how much the candidate of a slot's own number comes first where likeness does not count
OPEN = 3.0  # of the gates of entities, at first
FAINT = 0.03  # the variance at which a candidate counts half


class TrackingSlots(SlotMemory):
    """`SlotMemory` whose first slots follow the entities that an input lists, before anything is learned.

    The last numbers of an input are candidates: a code for each entity that the observation lists, see
    `memgym.agents.ppo.encoder.EntityEncoder`. What `SlotMemory` has to learn about them is built in here:

    * What has moved may be anywhere, so its likeness to what a slot holds means nothing: a slot whose item is gone
      would rather take a neighbour's candidate than the new one, and the neighbour's slot the new one. Each candidate
      gets at least the weight `jump` of each slot, so that one exact match outweighs two near ones.
    * An empty slot takes the candidate of its own number: the first list fills the slots in its order.
    * A candidate all of whose numbers are alike is no entity: a slot that is matched with none stays as it is. The
      gates of these slots are open at first.
    * Entities go to these slots alone, and what the layer makes to the others.

    The mechanism is ours.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        slots: number of slots K, and of candidates.
        item: numbers in a slot.
        given: number of entities, `item` numbers each, with which an input ends; the first slots follow them.
        heads: mixtures of slots that are read.
        hidden: width of the layers that make candidates and gates.
        rounds: Sinkhorn iterations; 0 lets every slot choose for itself.
        jump: weight that a pair has at least, where 1 is that of equal keys.

    Raises:
        ValueError: an argument outside its range.
    """

    nearest: Tensor
    followed: Tensor
    sharpness: ClassVar[float] = 60.0
    own: ClassVar[float] = 0.0

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        slots: int = 4,
        item: int = 4,
        given: int = 1,
        heads: int = 2,
        hidden: int = 64,
        rounds: int = 3,
        jump: float = 5e-4,
    ) -> None:
        check_number("jump", jump, 0.0, 1.0)
        super().__init__(
            d_in, d_out, slots=slots, item=item, given=given, heads=heads, hidden=hidden, rounds=rounds
        )
        self.jump = float(jump)
        first = (torch.arange(slots) < given)[:, None]
        self.gate_bias = nn.Parameter(OPEN * first.float())
        self.register_buffer("nearest", (APART * (torch.eye(slots) - 1)).exp(), persistent=False)
        self.register_buffer("followed", (first & first.T).float(), persistent=False)

    def entities(self, given: Tensor) -> Tensor:
        """Candidates of what the input ends with, shape (..., given, item): with mean 0."""
        return given - given.mean(-1, keepdim=True)

    def likenesses(self, held: Tensor, new: Tensor) -> Tensor:
        """Weight of each pair, shape (B, slots, candidates), by keys of length 1 (of empty slots 0)."""
        full = held.square().sum(-1, keepdim=True)
        return torch.lerp(self.nearest, super().likenesses(held, new) + self.jump, full * self.followed)

    def _prepare(self, x: Tensor) -> tuple[Tensor, ...]:
        """All that follows from inputs alone; how much of an entity each candidate is, last."""
        h, offers, *rest = super()._prepare(x)
        contrast = offers[..., : self.given, :].square().mean(-1, keepdim=True)
        made = torch.ones_like(offers[..., self.given :, :1])
        return h, offers, *rest, torch.cat([contrast / (contrast + FAINT), made], -2)

    def _advance(self, s: Tensor, *prepared: Tensor) -> Tensor:
        """What the slots hold next; as much of a slot is rewritten as there is of what it is offered."""
        offers, pairs, gate, present = prepared
        shares = self.match(s, offers, pairs)
        offered = shares @ offers
        return s + torch.sigmoid(self.gate(s, offered, gate) + self.gate_bias) * (
            offered - shares @ present * s
        )
