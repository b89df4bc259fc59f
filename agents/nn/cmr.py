"""CMR-style memory: a transformer that stores what its layers said at telling steps, and weaves it back in."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from memgym.agents.nn.attention import Rotation, attend, first_argmin, steps_before
from memgym.agents.nn.module import State, StateLeaf
from memgym.agents.nn.transformer import Transformer
from memgym.core.arguments import check_integer

__all__ = ["CMR"]

DECAY = 0.99  # of a record's claim to its slot, a step


class _Reweave(nn.Module):
    """Attention of one layer over the records, and a gate through which what it read joins the stream."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.gate = nn.Linear(2 * size, size)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, h: Tensor, records: Tensor, relevance: Tensor) -> Tensor:
        """The stream, shape (C, B, D), after reading records of shape (B, n, D); relevance 0 marks an empty slot."""
        k, v = self.key_value(records).chunk(2, -1)
        scores = torch.einsum("cbd,bnd->cbn", self.query(h) * h.shape[-1] ** -0.5, k)
        live = relevance > 0
        scores = scores + relevance.masked_fill(~live, 1.0).log()
        # finite, so that a memory without records gives zeros instead of NaN
        weights = scores.masked_fill(~live, torch.finfo(scores.dtype).min).softmax(-1) * live
        read = torch.einsum("cbn,bnd->cbd", weights, v)
        return h + torch.sigmoid(self.gate(torch.cat([h, read], -1))) * read


class _Blocks(NamedTuple):
    """Steps sorted into blocks: of each environment's k-th block the i-th step is at row k of ``source``.

    Blocks begin where the age is a multiple of the block length, so at different times in different environments;
    sorted like this they still run side by side.
    """

    source: Tensor  # step, shape (blocks, C, B); 0 where there is none
    length: Tensor  # number of steps, shape (blocks, B)
    place: Tensor  # where each step went, as k * C + i, shape (T, B)


def _sort_blocks(age: Tensor, block: int) -> _Blocks:
    """Blocks of steps with ages of shape (T, B)."""
    step = torch.arange(len(age), device=age.device)[:, None].expand_as(age)
    begins = (age % block == 0) | (step == 0)
    number = begins.long().cumsum(0) - 1
    start = torch.where(begins, step, 0).cummax(0).values
    count, longest = int(number.max()) + 1, min(block, len(age))
    place = number * longest + step - start
    source = step.new_zeros(count * longest, age.shape[1]).scatter_(0, place, step)
    length = step.new_zeros(count, age.shape[1]).scatter_add_(0, number, torch.ones_like(step))
    return _Blocks(source.unflatten(0, (count, longest)), length, place)


class CMR(Transformer):
    """CMR-style: a `Transformer` with records of its own layers' outputs at its most relevant steps.

    Time falls into blocks of `block` steps, counted from the start of the episode. After a block, the outputs of all
    layers at its most relevant step become a record, in place of the one with the lowest relevance * 0.99^age. In
    the next blocks each layer reads a mixture over layers of the records by attention, with the relevance as a
    prior, and a gate adds what it read to the stream:
    h += sigmoid(W [h; r] - 2) * r, r = softmax(q k / sqrt(D) + log relevance) v.

    The idea, to reuse latent states captured at several layers, is that of "Contextual Memory Reweaving" (Dillon et
    al. 2025, arXiv 2502.02046), which gives no equations that could be reproduced: these are ours, and say nothing
    about that work. Records are detached; gradients reach what wrote them through the relevance alone, and the
    cache of the transformer as they do there.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        layers: number of layers, 2 at least.
        records: number of records; 0 gives the plain transformer.
        block: steps of which one is recorded.
        **config: as for `Transformer`.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = replace(
        Transformer.spec,
        parallel="chunk",
        paper="CMR-style, after an idea of Dillon et al. 2025, arXiv 2502.02046",
        grad_through_writes=False,
    )

    def __init__(
        self, d_in: int, d_out: int, *, layers: int = 2, records: int = 16, block: int = 8, **config: Any
    ) -> None:
        super().__init__(d_in, d_out, layers=layers, **config)
        check_integer("layers", layers, 2, 1024)
        check_integer("records", records, 0, 1 << 16)
        check_integer("block", block, 1, 1 << 16)
        self.records, self.block, self.size = records, block, self.heads * self.head_size
        if records:
            self.reweaves = nn.ModuleList(_Reweave(self.size) for _ in range(layers))
            self.layer_mix = nn.Parameter(2.0 * torch.eye(layers))
            self.relevance_norm = nn.LayerNorm(self.size)
            self.relevance = nn.Linear(self.size, 1)

    def state_spec(self) -> dict[str, StateLeaf]:
        """As `Transformer`; beside it the records and the most relevant step of the block so far, ``best``.

        Of each the latent states, shape (layers, size), the relevance (0 for none), and the step of the episode.
        """
        latent, real = (len(self.layers), self.size), self.float_dtype
        if not self.records:
            return super().state_spec()
        return {
            **super().state_spec(),
            "records": StateLeaf((self.records, *latent), real),
            "records_relevance": StateLeaf((self.records,), real),
            "records_at": StateLeaf((self.records,), torch.int32),
            "best": StateLeaf(latent, real),
            "best_relevance": StateLeaf((1,), real),
            "best_at": StateLeaf((1,), torch.int32),
        }

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence block by block, as what a block reads was written by those before it."""
        if not self.records:
            return super().forward(x, state, reset, ids=ids)
        age = steps_before(reset, state["age"][:, 0], len(x))
        source, length, place = _sort_blocks(age[:-1], self.block)
        h = self.embed(x)

        def sort(rows: Tensor) -> tuple[Tensor, ...]:
            flat = source.flatten(0, 1).view(-1, source.shape[-1], *[1] * (rows.dim() - 2))
            return (
                rows.gather(0, flat.expand(-1, -1, *rows.shape[2:])).unflatten(0, source.shape[:2]).unbind(0)
            )

        outputs = []
        for h_k, age_k, length_k in zip(sort(h), sort(age[:-1]), length.unbind(0), strict=True):
            begins = (age_k[0] == 0) & (length_k > 0)
            y, state = self._run_block(h_k, self.mask_state(state, begins), age_k[0], length_k)
            outputs.append(y)
        rows = torch.cat(outputs)
        y = self.out(self.norm(rows.gather(0, place[..., None].expand(-1, -1, self.size))))
        return y, {**state, "age": age[-1, :, None].clone()}

    def _run_block(self, h: Tensor, state: State, age: Tensor, length: Tensor) -> tuple[Tensor, State]:
        """One block of each environment.

        Args:
            h: embedded inputs, shape (C, B, D).
            state: before the block.
            age: step in the episode of the first, shape (B,).
            length: how many of the C steps are there, shape (B,).

        Returns:
            The stream after all layers, shape (C, B, D), and the state after the block.
        """
        steps = torch.arange(len(h), device=h.device)[:, None]
        turn = Rotation(age + steps, self.head_size, h.dtype)
        distance = steps + self.window - torch.arange(self.window + len(h), device=h.device)
        reach = (age + steps).clamp(max=self.window)
        visible = ((distance >= 0)[:, None] & (distance[:, None] <= reach[..., None])).transpose(0, 1)
        mixed = torch.einsum("lm,bnmd->lbnd", self.layer_mix.softmax(-1), state["records"])
        latents, keys, values = [], [], []
        weaves = zip(self._layers(), self._reweaves(), mixed.unbind(0), strict=True)
        for i, (layer, reweave, records) in enumerate(weaves):
            q, k, v = layer.project(h, turn)
            keys.append(torch.cat([state["k"][:, i], k.flatten(-2).transpose(0, 1)], 1))
            values.append(torch.cat([state["v"][:, i], v.flatten(-2).transpose(0, 1)], 1))
            k, v = (rows[-1].unflatten(-1, (self.heads, -1)).transpose(1, 2) for rows in (keys, values))
            read = attend(q.permute(1, 2, 0, 3), k, v, visible[:, None])
            h = reweave(layer.mix(h, read.permute(2, 0, 1, 3)), records, state["records_relevance"])
            latents.append(h)
        there = steps < length
        relevance = torch.sigmoid(self.relevance(self.relevance_norm(h)))[..., 0].masked_fill(~there, 0.0)
        state = self._capture(state, torch.stack(latents, 2).detach(), relevance, age)
        # the window ends where the block of each environment ends
        last = (length[:, None] + torch.arange(self.window, device=h.device))[:, None, :, None]
        held = {}
        for part, rows in (("k", keys), ("v", values)):
            stacked = torch.stack(rows, 1)
            held[part] = stacked.gather(2, last.expand(-1, len(rows), -1, stacked.shape[-1]))
        return h, self._record({**state, **held}, age + length, length > 0)

    def _reweaves(self) -> Iterator[_Reweave]:
        for reweave in self.reweaves:
            assert isinstance(reweave, _Reweave)
            yield reweave

    def _capture(self, state: State, latents: Tensor, relevance: Tensor, age: Tensor) -> State:
        """Keep the most relevant step of the block so far, the first of equal ones.

        Args:
            state: with what was most relevant before.
            latents: outputs of all layers, shape (C, B, layers, D).
            relevance: of each step, shape (C, B); 0 where there is none.
            age: step in the episode of the first, shape (B,).
        """
        every = torch.cat([state["best_relevance"], relevance.transpose(0, 1)], 1)
        best = first_argmin(-every.detach())[:, None]
        candidates = torch.cat([state["best"][:, None], latents.transpose(0, 1)], 1)
        places = best[..., None, None].expand(-1, -1, *candidates.shape[2:])
        at = torch.where(best == 0, state["best_at"], age[:, None] + best - 1)
        return {
            **state,
            "best": candidates.gather(1, places)[:, 0],
            "best_relevance": every.gather(1, best),
            "best_at": at.to(torch.int32),
        }

    def _record(self, state: State, age: Tensor, advanced: Tensor) -> State:
        """Where a block is complete, its most relevant step replaces the record with the weakest claim.

        Args:
            state: after the block.
            age: steps of the episode so far, shape (B,).
            advanced: whether the block had any step, shape (B,).
        """
        complete = ((age % self.block == 0) & advanced)[:, None]
        elapsed = age[:, None] - state["records_at"]
        weakest = first_argmin(state["records_relevance"].detach() * DECAY**elapsed)
        slots = torch.arange(self.records, device=age.device)
        hit = (slots == weakest[:, None]) & complete
        wide = hit[..., None, None]
        return {
            **state,
            "records": torch.where(wide, state["best"][:, None], state["records"]),
            "records_relevance": torch.where(hit, state["best_relevance"], state["records_relevance"]),
            "records_at": torch.where(hit, state["best_at"], state["records_at"]),
            "best": state["best"].masked_fill(complete[..., None], 0.0),
            "best_relevance": state["best_relevance"].masked_fill(complete, 0.0),
            "best_at": state["best_at"].masked_fill(complete, 0),
        }
