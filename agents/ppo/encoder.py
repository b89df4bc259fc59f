"""From rows of numbers to the stream that memories read: a linear layer, codes of entities, or a map of them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.ppo.settings import Entities, PolicySize, Scatter

__all__ = ["EntityEncoder", "FlatEncoder", "ScatterEncoder", "make_encoder"]

OCTAVES = 2  # sines and cosines of pi x and 2 pi x
WAVES = 1 + 2 * OCTAVES  # numbers in the place of each
WIDTH = 0.75  # of a place at first, where the next one is 1 away


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
        left = size - count * code
        if left < 1:
            raise ValueError(
                f"policy_kwargs: size is above {count * code}, the codes' own width, not {size}."
            )
        row = _row_length("entities", entities, obs_size, seen[0] if seen else 1)
        self.in_features = obs_size
        self.at, self.count = at, count
        self.seen, self.may_lack = seen[0] if seen else row, bool(seen)
        self.whole = nn.Linear(obs_size * WAVES, left)
        wide = self.seen * WAVES
        self.each = nn.Sequential(nn.Linear(wide, 4 * code), nn.GELU(), nn.Linear(4 * code, code))
        self.norm = nn.LayerNorm(code, elementwise_affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """The stream, shape (..., size), for observations (..., obs_size)."""
        listed = rows[..., self.at :].unflatten(-1, (self.count, -1))
        codes = self.norm(self.each(_waves(listed[..., : self.seen])))
        if self.may_lack:
            codes = codes * (listed != 0).any(-1, keepdim=True)
        return torch.cat([functional.relu(self.whole(_waves(rows))), codes.flatten(-2)], -1)


class ScatterEncoder(nn.Module):
    """For observations that begin with where the agent is and end with a list of entities: a map of all of them.

    As AlphaStar scatters what it knows of units into its map ("Grandmaster level in StarCraft II using multi-agent
    reinforcement learning", Vinyals et al. 2019), but with places that are learned: softmax over Gaussian units. At
    first their centres lie evenly over the numbers from 0 to 1. What else a row says is summed place by place: a map
    knows no order of the list, and nothing of rows of zeros. The stream is the whole observation through a layer
    with ReLU, then the place of the agent, then the map.

    Args:
        obs_size: numbers in an observation.
        size: width of the stream.
        scatter: where they stand.

    Raises:
        ValueError: the observation does not end with so many rows, its rows say nothing but where they are, or the
            stream is too narrow for the map.
    """

    def __init__(self, obs_size: int, size: int, scatter: Scatter) -> None:
        super().__init__()
        self.in_features = obs_size
        self.at, self.count, places, self.where = scatter
        row = _row_length("scatter", scatter, obs_size, self.where + 1)
        left = size - (1 + row - self.where) * places
        if left < 1:
            raise ValueError(f"policy_kwargs: size is above {size - left}, the map's own width, not {size}.")
        self.whole = nn.Linear(obs_size * WAVES, left)
        self.centres = nn.Parameter(torch.quasirandom.SobolEngine(self.where).draw(places))
        self.log_widths = nn.Parameter(torch.full((places,), math.log(WIDTH) - math.log(places) / self.where))

    def forward(self, rows: Tensor) -> Tensor:
        """The stream, shape (..., size), for observations (..., obs_size)."""
        listed = rows[..., self.at :].unflatten(-1, (self.count, -1))
        where = torch.cat([rows[..., None, : self.where], listed[..., : self.where]], -2)
        agent, places = self._places(where).split([1, self.count], -2)
        scattered = listed[..., self.where :].mT @ places
        return torch.cat(
            [functional.relu(self.whole(_waves(rows))), agent.squeeze(-2), scattered.flatten(-2)], -1
        )

    def _places(self, numbers: Tensor) -> Tensor:
        """How much each place is meant, shape (..., places), in sum 1."""
        apart = (numbers[..., None, :] - self.centres).square().sum(-1)
        return (-0.5 * apart * (-2 * self.log_widths).exp()).softmax(-1)


def _row_length(name: str, listed: Entities | Scatter, obs_size: int, fewest: int) -> int:
    """Numbers in a row of the list that an observation ends with."""
    rest, count = obs_size - listed[0], listed[1]
    if rest < count or rest % count:
        raise ValueError(
            f"policy_kwargs: {name} {listed} do not divide an observation of {obs_size} numbers."
        )
    if rest // count < fewest:
        raise ValueError(f"policy_kwargs: {name} {listed} have rows of {rest // count} numbers.")
    return rest // count


def _waves(x: Tensor) -> Tensor:
    angles = [math.pi * 2**octave * x for octave in range(OCTAVES)]
    return torch.cat([x, *(wave(angle) for angle in angles for wave in (torch.sin, torch.cos))], -1)


def make_encoder(obs_size: int, sizes: PolicySize) -> FlatEncoder | EntityEncoder | ScatterEncoder:
    """The encoder that `sizes` asks for."""
    size = int(sizes.size)
    if sizes.scatter is not None:
        return ScatterEncoder(obs_size, size, sizes.scatter)
    if sizes.entities is not None:
        return EntityEncoder(obs_size, size, sizes.entities)
    return FlatEncoder(obs_size, size)
