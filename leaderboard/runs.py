"""All agents on the runs of one task, and how often the bootstrap draws each run.

In memory the resamples of one agent stand side by side: what is made of them goes over them agent by agent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .statistics import draw_counts, generator_from
from .totals import Totals

__all__ = ["Runs", "make_runs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """All agents on the runs of one task.

    Attributes:
        unit: ``"seed"`` or ``"block"``.
        types: types of question, in alphabetical order.
        sums: for each run, agent and value (the score, then the questions by type), shape (runs, agents, values).
        sizes: number of episodes, or questions, in each, shape (runs, values).
        counts: how often each run is in each resample, shape (resamples, runs).
    """

    unit: str
    types: tuple[str, ...]
    sums: Floats
    sizes: Floats
    counts: NDArray[np.uint8]

    @cached_property
    def weights(self) -> Floats:
        """`counts`, ready for matrix products, shape (runs, resamples)."""
        return self.counts.T.astype(np.float64, order="C")

    @cached_property
    def drawn_sizes(self) -> Floats:
        """Number of episodes, or questions, in each resample, shape (values, resamples)."""
        return self.sizes.T @ self.weights

    @cached_property
    def is_filled(self) -> bool:
        """Whether every resample holds something of each value."""
        return bool((self.drawn_sizes > 0).all())

    def means(self, agents: Sequence[int], value: int = 0) -> Floats:
        """Resampled means of a value, shape (resamples, agents); NaN where a sample holds none."""
        return self._means(self.sums[:, agents, value].T, value).T

    def means_of(self, agents: slice) -> Floats:
        """Resampled means of all values of some agents, shape (resamples, agents * values), agent by agent."""
        sums = np.moveaxis(self.sums[:, agents], 0, -1)  # (agents, values, runs)
        return self._means(sums, slice(None)).reshape(-1, len(self.counts)).T

    def _means(self, sums: Floats, value: int | slice) -> Floats:
        """Of sums by run, shape (..., runs), the means in each resample."""
        totals, sizes = sums @ self.weights, self.drawn_sizes[value]
        if self.is_filled:
            return np.divide(totals, sizes, out=totals)
        sizes = np.broadcast_to(sizes, totals.shape)
        return np.divide(totals, sizes, out=np.full(totals.shape, np.nan), where=sizes > 0)

    @property
    def scores(self) -> Floats:
        """Mean score of each run, shape (runs, agents)."""
        return self.sums[:, :, 0] / self.sizes[:, :1]


def make_runs(task: str, totals: Mapping[str, Totals]) -> Runs:
    """The runs of one task.

    Args:
        task: its name.
        totals: by agent, all of the same episodes; at least one agent.
    """
    types = tuple(sorted({kind for one in totals.values() for kind in one.types}))
    first = next(iter(totals.values()))
    # An episode that broke off has fewer questions. Those it did not answer count as 0, like the episode.
    asked = np.max([_spread(one.type_counts, one.types, types) for one in totals.values()], axis=0)
    sums = np.stack(
        [np.column_stack([one.scores, _spread(one.type_sums, one.types, types)]) for one in totals.values()],
        axis=1,
    )
    sizes = np.column_stack([np.array(first.sizes, dtype=np.float64), asked])
    rng = generator_from(task.encode(), sums.tobytes())
    return Runs(first.unit, types, sums, sizes, draw_counts(len(sizes), rng))


def _spread(values: Sequence[Sequence[float]], mine: tuple[str, ...], types: tuple[str, ...]) -> Floats:
    """Values by the agent's own types as values by all types, shape (runs, types)."""
    out = np.zeros((len(values), len(types)))
    out[:, [types.index(kind) for kind in mine]] = np.asarray(values, dtype=np.float64)
    return out
