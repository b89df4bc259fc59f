"""A sequence cut into chunks whose steps are solved together, with the borders of episodes inside."""

import torch
from torch import Tensor

__all__ = ["Chunks"]


class Chunks:
    """Cuts tensors (T, B, H, ...) into (N, B, H, C, ...), N chunks of C steps, and says which steps see which.

    Attributes:
        visible: whether step i sees step j, that is j <= i in the same episode, bool, shape (N, B, 1, C, C), or
            (1, 1, 1, C, C) where no episode begins inside.
        carried: whether step i belongs to the episode of the state that comes into its chunk, bool, shape
            (N, B, 1, C) or (1, 1, 1, C).

    Args:
        like: a tensor (T, B, ...), whose shape and device count.
        reset: where an episode begins, bool, shape (T, B); None for nowhere.
        size: steps in a chunk.
    """

    def __init__(self, like: Tensor, reset: Tensor | None, size: int) -> None:
        self.steps, self.size = len(like), size
        self.count = -(-self.steps // size)
        self.padding = self.count * size - self.steps
        lower = torch.ones(size, size, dtype=torch.bool, device=like.device).tril()
        if reset is None:
            self.visible = lower[None, None, None]
            self.carried = torch.ones(1, 1, 1, size, dtype=torch.bool, device=like.device)
            return
        padded = torch.nn.functional.pad(reset, (0, 0, 0, self.padding))
        segment = padded.view(self.count, size, -1).mT.to(torch.int32).cumsum(-1)  # (N, B, C)
        self.visible = ((segment[..., :, None] == segment[..., None, :]) & lower)[:, :, None]
        self.carried = (segment == 0)[:, :, None]

    def split(self, row: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        """(T, B, H, ...) to (N, B, H, C, ...), the last chunk filled up with zeros or what `fill` says."""
        if self.padding:
            end = torch.as_tensor(fill, dtype=row.dtype, device=row.device)
            row = torch.cat([row, end.expand(self.padding, *row.shape[1:])])
        # contiguous once, as every product would otherwise make a copy of its own
        return row.reshape(self.count, self.size, *row.shape[1:]).movedim(1, 3).contiguous()

    def join(self, row: Tensor) -> Tensor:
        """(N, B, H, C, V) to (T, B, H, V)."""
        row = row.movedim(3, 1)
        return row.reshape(self.count * self.size, *row.shape[2:])[: self.steps]

    def cumsum(self, row: Tensor) -> Tensor:
        """Running sums of (N, B, H, C) over the C steps of a chunk, each episode's by itself.

        As a product with the mask, so that no gradient passes from one episode to another: differences of one
        long running sum would leave a rounding error there.
        """
        return row @ self.visible[:, :, 0].mT.to(row.dtype)
