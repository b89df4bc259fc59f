"""A short causal convolution that starts anew with every episode."""

import torch
from torch import Tensor, nn

from memgym.agents.nn.segments import segment_ids

__all__ = ["ShortConv"]


class ShortConv(nn.Module):
    """Depthwise causal convolution: each output sees its input and the `width` - 1 before it in its episode.

    Its state is the last `width` - 1 inputs, shape (B, width - 1, channels); the memory that owns it keeps them as
    a leaf of its own.

    Args:
        channels: number of channels, each with its own taps.
        width: number of taps.
    """

    def __init__(self, channels: int, width: int = 4) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(width, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def width(self) -> int:
        """Number of taps."""
        return len(self.weight)

    def forward(self, x: Tensor, buffer: Tensor, reset: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs for x of shape (T, B, channels), and the next buffer."""
        steps, taps = len(x), self.width - 1
        rows = torch.cat([buffer.transpose(0, 1), x])  # (taps + T, B, channels), row taps + t is x[t]
        y = x * self.weight[-1] + self.bias
        segment = None if reset is None else segment_ids(reset, x)
        segments = None if segment is None else torch.cat([segment.new_zeros(taps, x.shape[1]), segment])
        for back in range(1, taps + 1):
            tap = rows[taps - back : taps - back + steps] * self.weight[-1 - back]
            if segments is not None:
                same = segments[taps - back : taps - back + steps] == segments[taps:]
                tap = tap * same[..., None]
            y = y + tap
        last = rows[steps:]
        if segments is not None:
            last = last * (segments[steps:] == segments[-1])[..., None]
        return y, last.transpose(0, 1).clone()

    def step(self, x: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """Output for x of shape (B, channels), and the next buffer; the caller has reset the buffer."""
        rows = torch.cat([buffer, x[:, None]], 1)
        return (rows * self.weight).sum(1) + self.bias, rows[:, 1:]
