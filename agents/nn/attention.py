"""Attention over the last steps of an episode, in blocks of time: what the attention memories share."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.nn.segments import ages

__all__ = ["Band", "Rotation", "attend", "first_argmin", "linear", "live_slots", "norm", "steps_before"]


class Band:
    """Each query sees the keys of its episode from `window` steps back to its own step, `window` + 1 at most.

    A mask over all pairs of steps would cost O(T^2). Here time is cut into blocks of about a window, and the
    queries of a block meet the keys of their own block and of those that their window reaches into: O(T window).
    The band is the same for a sequence of any length, so one step sees what the same step of a sequence sees.

    Args:
        age: steps consumed in its episode before each step, int64, shape (T, B).
        window: how many steps back a query sees.

    Attributes:
        age: as given.
        back: keys before a block that its queries meet, `window` or a little more.
        visible: what each query of a block sees, bool, shape (blocks * B, 1, size, back + size).
    """

    def __init__(self, age: Tensor, window: int) -> None:
        steps, batch = age.shape
        self.age, self.window, self.steps, self.batch = age, window, steps, batch
        # wide windows in several blocks: fewer keys that no query sees, for a few more copies
        parts = min(max(window // 32, 1), 4)
        size = -(-window // parts)
        if steps <= window:
            size, self.back, self._reach_blocks, self.count = steps, window, None, 1
        else:
            self.back, self._reach_blocks, self.count = parts * size, parts, -(-steps // size)
        self.size = size
        self._padding = self.count * size - steps
        reach = self._pad(age.clamp(max=window)).view(self.count, size, batch).movedim(2, 1)
        distance = torch.arange(size, device=age.device)[:, None] + self.back
        distance = distance - torch.arange(self.back + size, device=age.device)
        seen = (distance >= 0) & (distance <= reach[..., None])  # (count, B, size, back + size)
        self.visible = seen.flatten(0, 1)[:, None]

    def _pad(self, rows: Tensor) -> Tensor:
        """Rows of zeros after the last step, to fill the last block."""
        return torch.cat([rows, rows.new_zeros(self._padding, *rows.shape[1:])]) if self._padding else rows

    def queries(self, x: Tensor) -> Tensor:
        """Rows of shape (T, B, H, K) as blocks, shape (blocks * B, H, size, K)."""
        blocks = self._pad(x).unflatten(0, (self.count, self.size)).permute(0, 2, 3, 1, 4)
        return blocks.flatten(0, 1)

    def keys(self, cached: Tensor, x: Tensor) -> Tensor:
        """What each block's queries meet, shape (blocks * B, H, back + size, K).

        Args:
            cached: rows of the `window` steps before x[0], the oldest first, shape (window, B, H, K).
            x: rows of the sequence, shape (T, B, H, K).
        """
        rows = torch.cat([cached, x])
        if self._reach_blocks is None:
            return rows.permute(1, 2, 0, 3)
        if missing := self.back - self.window:
            rows = torch.cat([rows.new_zeros(missing, *rows.shape[1:]), rows])
        parts = self._reach_blocks
        blocks = self._pad(rows).unflatten(0, (parts + self.count, self.size)).permute(0, 2, 3, 1, 4)
        near = torch.cat([blocks[i : i + self.count] for i in range(parts + 1)], -2)
        return near.flatten(0, 1)

    def outputs(self, y: Tensor) -> Tensor:
        """Blocks of shape (blocks * B, H, size, K) as rows, shape (T, B, H, K)."""
        rows = y.unflatten(0, (self.count, self.batch)).permute(0, 3, 1, 2, 4)
        return rows.flatten(0, 1)[: self.steps]

    def by_key(self, scores: Tensor) -> Tensor:
        """Scores by distance, ``back`` to 0, shape (..., size, back + 1), moved under the keys they belong to.

        What lies outside the band becomes zero.
        """
        size, keys = self.size, self.back + self.size
        flat = functional.pad(scores, (0, size)).flatten(-2)[..., : size * keys]
        return flat.unflatten(-1, (size, keys))

    def by_distance(self, scores: Tensor) -> Tensor:
        """The inverse of `by_key`: scores of shape (..., size, back + size), by distance from ``back`` to 0."""
        size, keys = self.size, self.back + self.size
        flat = functional.pad(scores.flatten(-2), (0, size))
        return flat.unflatten(-1, (size, keys + 1))[..., : self.back + 1]


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention with scores q k / sqrt(K), over the keys that are visible; every query sees at least one.

    Args:
        q: queries, shape (N, H, C, K).
        k: keys, shape (N, H, J, K).
        v: values, shape (N, H, J, K).
        visible: bool, broadcast to (N, H, C, J).
    """
    if q.shape[-2] > 1:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    # one query gains nothing from the fused kernel
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    return scores.masked_fill(~visible, -torch.inf).softmax(-1) @ v


class Rotation:
    """Rotary positions: pairs of numbers turned by an angle that grows with the step of the episode.

    The product of a turned query and a turned key depends on their distance alone, so a cache may keep turned
    keys. "RoFormer" (Su et al. 2021, arXiv 2104.09864). Of an odd size the last number is not turned.

    Args:
        age: step in the episode, int64, shape (T, B).
        size: numbers in a query or key.
        dtype: of the queries and keys.
    """

    def __init__(self, age: Tensor, size: int, dtype: torch.dtype) -> None:
        self.half = size // 2
        powers = torch.arange(self.half, dtype=torch.float64, device=age.device) / max(self.half, 1)
        # in double precision, as float32 has no digits left for the angle of a late step
        angle = (age.double()[..., None] * 10000.0**-powers)[:, :, None]
        self.cos, self.sin = angle.cos().to(dtype), angle.sin().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Turn rows of shape (T, B, H, size)."""
        a, b, rest = x[..., : self.half], x[..., self.half : 2 * self.half], x[..., 2 * self.half :]
        return torch.cat([a * self.cos - b * self.sin, a * self.sin + b * self.cos, rest], -1)


def steps_before(reset: Tensor | None, before: Tensor, steps: int) -> Tensor:
    """Steps consumed in its episode before each x[t], int64, shape (T + 1, B); the last row is for x[T].

    Args:
        reset: where an episode begins, bool, shape (T, B); None for nowhere.
        before: steps consumed before x[0], int64, shape (B,).
        steps: T.
    """
    if reset is None:
        return before + torch.arange(steps + 1, device=before.device)[:, None]
    return ages(reset, before)


def live_slots(age: Tensor, window: int) -> Tensor:
    """Which slots of a cache of the last steps, the oldest first, hold a step of the episode: bool, (B, window).

    Args:
        age: steps of the episode so far, int64, shape (B,).
        window: number of slots.
    """
    distance = torch.arange(window, 0, -1, device=age.device)
    return distance <= age[:, None]


def first_argmin(x: Tensor) -> Tensor:
    """Index of the smallest number of the last axis, the first of equal ones on every device; of NaN the last."""
    index = torch.arange(x.shape[-1], device=x.device)
    return torch.where(x == x.amin(-1, keepdim=True), index, x.shape[-1] - 1).amin(-1)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in the precision of `x`."""
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return functional.linear(x, layer.weight.to(x.dtype), bias)


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """A layer normalisation in the precision of `x`."""
    weight, bias = layer.weight.to(x.dtype), layer.bias.to(x.dtype)
    return functional.layer_norm(x, layer.weight.shape, weight, bias, layer.eps)
