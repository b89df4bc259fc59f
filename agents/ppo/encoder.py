"""From rows of numbers to the stream that memories read: a linear layer, or one code for each entity."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.ppo.settings import Entities, PolicySize

__all__ = ["EntityEncoder", "FlatEncoder", "make_encoder"]

OCTAVES = 2  # sines and cosines of pi x and 2 pi x


class FlatEncoder(nn.Linear):
    """A linear layer with ReLU, from the numbers of an observation to the width of the stream."""

    def forward(self, rows: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The stream, shape (..., size), for observations (..., obs_size)."""
        return functional.relu(super().forward(rows))


class EntityEncoder(nn.Module):
    """For observations that end with a list of entities: the same two layers make a code of each.

    Numbers come with sines and cosines of themselves ("Fourier features let networks learn high frequency
    functions in low dimensional domains", Tancik et al. 2020, arXiv 2006.10739), so that near places look different.
    Codes have mean 0 and variance 1; the stream is the whole observation through a layer with ReLU, then the codes.
    A code may be made of a row's first numbers alone: of a place and not of a colour, so that what stands at a place
    has the same code with its colour and without. The rest of the row is in the stream all the same. A row of zeros
    is then no entity, and its code zeros as well.

    Args:
        obs_size: numbers in an observation.
        size: width of the stream.
        entities: where they stand.

    Raises:
        ValueError: the observation does not end with so many rows, its rows are shorter than the code asks for, or
            the stream is too narrow for the codes.
    """

    def __init__(self, obs_size: int, size: int, entities: Entities) -> None:
        super().__init__()
        at, count, code, *seen = entities
        left, rest = size - count * code, obs_size - at
        if left < 1:
            raise ValueError(
                f"policy_kwargs: size is above {count * code}, the codes' own width, not {size}."
            )
        if rest < count or rest % count:
            raise ValueError(
                f"policy_kwargs: entities {entities} do not divide an observation of {obs_size} numbers."
            )
        row = rest // count
        if seen and seen[0] > row:
            raise ValueError(f"policy_kwargs: entities {entities} have rows of {row} numbers.")
        self.in_features = obs_size
        self.at, self.count = at, count
        self.seen, self.may_lack = seen[0] if seen else row, bool(seen)
        self.whole = nn.Linear(obs_size * (1 + 2 * OCTAVES), left)
        wide = self.seen * (1 + 2 * OCTAVES)
        self.each = nn.Sequential(nn.Linear(wide, 4 * code), nn.GELU(), nn.Linear(4 * code, code))
        self.norm = nn.LayerNorm(code, elementwise_affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """The stream, shape (..., size), for observations (..., obs_size)."""
        listed = rows[..., self.at :].unflatten(-1, (self.count, -1))
        codes = self.norm(self.each(_waves(listed[..., : self.seen])))
        if self.may_lack:
            codes = codes * (listed != 0).any(-1, keepdim=True)
        return torch.cat([functional.relu(self.whole(_waves(rows))), codes.flatten(-2)], -1)


def _waves(x: Tensor) -> Tensor:
    angles = [math.pi * 2**octave * x for octave in range(OCTAVES)]
    return torch.cat([x, *(wave(angle) for angle in angles for wave in (torch.sin, torch.cos))], -1)


def make_encoder(obs_size: int, sizes: PolicySize) -> FlatEncoder | EntityEncoder:
    """The encoder that `sizes` asks for."""
    size = int(sizes.size)
    return (
        FlatEncoder(obs_size, size)
        if sizes.entities is None
        else EntityEncoder(obs_size, size, sizes.entities)
    )
