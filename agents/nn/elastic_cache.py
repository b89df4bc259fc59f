"""A transformer with an elastic cache: important steps stay as anchors, the rest merge into the nearest of them."""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from memgym.agents.nn.attention import Band, first_argmin
from memgym.agents.nn.module import State, StateLeaf
from memgym.agents.nn.segments import where_any
from memgym.agents.nn.transformer import Transformer
from memgym.core.arguments import check_integer

__all__ = ["ElasticTransformer"]


class _Entries(NamedTuple):
    """What is known of anchors, and of a step that is about to become one; each of shape (B, entries)."""

    mass: Tensor  # attention received so far
    at: Tensor  # step in the episode, int32
    merged: Tensor  # steps merged into it, int32; 0 for an empty slot

    def join(self, other: "_Entries") -> "_Entries":
        return _Entries(*(torch.cat(pair, -1) for pair in zip(self, other, strict=True)))

    def at_places(self, places: Tensor) -> "_Entries":
        return _Entries(*(field.gather(-1, places) for field in self))

    def masked_fill(self, where: Tensor) -> "_Entries":
        return _Entries(*(field.masked_fill(where, 0) for field in self))


@torch.no_grad()
def merge(entries: _Entries, now: Tensor) -> tuple[Tensor, _Entries]:
    """Bring A + 1 entries, ordered by step, down to A.

    The entry that received the least attention a step of its life gives up its slot and merges into the nearest by
    step, the earlier of two. An empty slot goes first, and a newcomer with none merged changes nothing.

    Args:
        entries: A anchors, the empty ones first, and the newcomer.
        now: step in the episode, shape (B,).

    Returns:
        The weights of the entries in each anchor, shape (B, A, A + 1), and what is then known of the anchors.
    """
    mass, at, merged = entries
    total = mass.shape[-1]
    importance = (mass / (now[:, None] + 1 - at)).masked_fill(merged == 0, -1.0)
    importance[:, -1].masked_fill_(merged[:, -1] == 0, -2.0)
    lost = first_argmin(importance)[:, None]
    places = torch.arange(total - 1, device=mass.device).expand(len(mass), -1)
    places = places + (places >= lost)  # the others move up
    kept = entries.at_places(places)
    distance = (kept.at - at.gather(-1, lost)).abs()
    goes = merged.gather(-1, lost)
    nearest = torch.zeros_like(kept.mass)
    if total > 1:
        nearest.scatter_(-1, first_argmin(distance)[:, None], 1.0)
    share = nearest * goes / (kept.merged + goes).clamp(min=1)
    weights = functional.one_hot(places, total) * (1.0 - share)[..., None]
    weights = weights + functional.one_hot(lost, total) * share[..., None]
    return weights.to(mass.dtype), kept._replace(merged=kept.merged + (nearest * goes).to(torch.int32))


class ElasticTransformer(Transformer):
    """A `Transformer` whose cache never forgets outright: beyond a window it merges.

    The last `window` steps are kept as they are. A step that leaves the window joins the anchors; when there are
    too many, the entry that received the least attention merges its key and value into the nearest anchor, as the
    mean over all steps merged there. So a long episode is held in `anchors` + `window` entries.

    After "Elastic Cache" (Liu et al. 2024, arXiv 2407.18121), which sums the attention over a prompt, chooses
    anchors once, and merges what lies between into the nearest by position. An episode has no prompt: here each
    step chooses anew, and by the attention received *per step since*, as a sum would favour what is old. Rotary
    keys are merged as turned. Gradients are natural: they pass through means into every step that was merged; the
    choice of anchors passes none.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        window: last steps that are kept unmerged.
        anchors: entries for everything before; 0 drops it.
        **config: as for `Transformer`.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = replace(Transformer.spec, parallel="loop", paper="Liu et al. 2024, arXiv 2407.18121")

    def __init__(self, d_in: int, d_out: int, *, window: int = 16, anchors: int = 16, **config: Any) -> None:
        super().__init__(d_in, d_out, window=window, **config)
        check_integer("anchors", anchors, 0, 1 << 16)
        self.anchors = anchors

    @property
    def choice_dtype(self) -> torch.dtype:
        """Double precision: the choice of anchors depends on attention."""
        return torch.float64

    def state_spec(self) -> dict[str, StateLeaf]:
        """As `Transformer`; beside it ``mass``, the attention that each step of the window received, and the anchors.

        ``anchor_rows`` are keys and values, shape (layers, anchors, 2, size), ``anchor_mass`` the attention received,
        ``anchor_at`` steps of the episode, ``anchor_merged`` numbers of steps merged; in the order of steps, empty
        slots first.
        """
        layers, size, dtype = len(self.layers), self.heads * self.head_size, self.float_dtype
        return {
            **super().state_spec(),
            "mass": StateLeaf((layers, self.window), dtype),
            "anchor_rows": StateLeaf((layers, self.anchors, 2, size), dtype),
            "anchor_mass": StateLeaf((layers, self.anchors), dtype),
            "anchor_at": StateLeaf((layers, self.anchors), torch.int32),
            "anchor_merged": StateLeaf((layers, self.anchors), torch.int32),
        }

    def _read(
        self, q: Tensor, k: Tensor, v: Tensor, cache: State, band: Band, live: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, State]:
        """What one layer reads, and its next cache: the window in parallel, the anchors in a loop."""
        real = self.float_dtype
        q = q * self.head_size**-0.5
        near = band.queries(q) @ self._rows(cache, "k", k, band).to(q.dtype).mT
        near = band.outputs(band.by_distance(near)[..., -self.window - 1 :]).to(real)  # (T, B, H, window + 1)
        distance = torch.arange(self.window, -1, -1, device=q.device)
        unseen = distance > band.age[..., None]
        near = near.masked_fill(unseen[:, :, None], -torch.inf)
        leaving = [
            torch.cat([cache[part].transpose(0, 1), rows.flatten(-2).to(real)])[: len(q)]
            for part, rows in (("k", k), ("v", v))
        ]
        far, weights, last = self._loop(q.to(real), near, torch.stack(leaving, 2), cache, band.age)
        padded = functional.pad(band.queries(weights), (band.back - self.window, 0))
        values = self._rows(cache, "v", v, band).to(dtype)
        read = band.outputs(band.by_key(padded).to(dtype) @ values) + far.to(dtype)
        return read, {**self._append(cache, k, v, live), **last}

    def _loop(
        self, q: Tensor, near: Tensor, leaving: Tensor, cache: State, age: Tensor
    ) -> tuple[Tensor, Tensor, State]:
        """Attend step by step, and move into the anchors what leaves the window.

        Args:
            q: scaled queries, shape (T, B, H, K).
            near: scores of the window, by distance from `window` to 0, shape (T, B, H, window + 1).
            leaving: key and value of the step at distance `window`, shape (T, B, 2, size).
            cache: the layer's cache.
            age: step in the episode, shape (T, B).

        Returns:
            What was read from the anchors, shape (T, B, H, K), the weights of the window, as `near`, and the
            anchors and masses after the sequence.
        """
        rows, mass = cache["anchor_rows"], cache["mass"]
        anchors = _Entries(cache["anchor_mass"], cache["anchor_at"], cache["anchor_merged"])
        heads = (self.heads, self.head_size)
        reads, weights = [], []
        starts = where_any(age == 0)
        now = age.to(torch.int32)
        steps = (q.unbind(0), near.unbind(0), leaving.unbind(0), now.unbind(0), starts)
        for q_t, near_t, leaving_t, now_t, start in zip(*steps, strict=True):
            if start is not None:
                rows = rows.masked_fill(start[:, None, None, None], 0.0)
                mass = mass.masked_fill(start[:, None], 0.0)
                anchors = anchors.masked_fill(start[:, None])
            keys, values = rows.unflatten(-1, heads).unbind(2)
            far_t = torch.einsum("bhk,bahk->bha", q_t, keys)
            far_t = far_t.masked_fill((anchors.merged == 0)[:, None], -torch.inf)
            p = torch.cat([far_t, near_t], -1).softmax(-1)
            p_far, p_near = p.split([self.anchors, self.window + 1], -1)
            reads.append(torch.einsum("bha,bahk->bhk", p_far, values))
            weights.append(p_near)

            received = p.detach().mean(1)
            held = functional.pad(mass, (0, 1)) + received[:, self.anchors :]
            mass = held[:, 1:]
            anchors = anchors._replace(mass=anchors.mass + received[:, : self.anchors])
            at = (now_t - self.window)[:, None]
            newcomer = _Entries(held[:, :1], at, (at >= 0).to(torch.int32))
            mixing, anchors = merge(anchors.join(newcomer), now_t)
            both = torch.cat([rows, leaving_t[:, None]], 1)
            rows = (mixing @ both.flatten(2)).unflatten(-1, both.shape[2:])
        last = {"anchor_rows": rows, "mass": mass}
        last |= {f"anchor_{name}": leaf for name, leaf in anchors._asdict().items()}
        return torch.stack(reads), torch.stack(weights), last
