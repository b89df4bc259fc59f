"""Runs: what is compared and drawn again. A seed of a task, or a block of its episodes where seeds are few."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Columns
from .statistics import draw_counts, generator_from

__all__ = ["BLOCKS", "MIN_SEEDS", "Runs", "make_runs"]

MIN_SEEDS = 3
BLOCKS = 10

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

    @property
    def scores(self) -> Floats:
        """Mean score of each run, shape (runs, agents)."""
        return self.sums[:, :, 0] / self.sizes[:, :1]


def make_runs(task: Mapping[str, Any], columns: Mapping[str, Columns]) -> Runs:
    """The runs of one task.

    Args:
        task: as a bundle's header describes it.
        columns: by agent, all with the same episodes; at least one agent.
    """
    first = next(iter(columns.values()))
    seeds, run_of = np.unique(first.seeds, return_inverse=True)
    unit = "seed"
    if not MIN_SEEDS <= len(seeds) <= 255:  # in blocks of equal size, each from all over the list
        unit, run_of = "block", np.arange(len(first.seeds)) % BLOCKS
    runs = int(run_of.max()) + 1
    types = tuple(sorted({kind for c in columns.values() for kind in c.types}))
    # An episode that broke off has fewer questions. Those it did not answer count as 0, like the episode.
    asked = np.max([_spread(c.type_counts, c.types, types) for c in columns.values()], axis=0)
    sums = np.stack([_by_run(_values(c, types), run_of, runs) for c in columns.values()], axis=1)
    sizes = _by_run(np.concatenate([np.ones((len(asked), 1)), asked], axis=1), run_of, runs)
    rng = generator_from(task["name"].encode(), sums.tobytes())
    return Runs(unit, types, sums, sizes, draw_counts(runs, rng))


def _values(columns: Columns, types: tuple[str, ...]) -> Floats:
    return np.concatenate([columns.score[:, None], _spread(columns.type_sums, columns.types, types)], axis=1)


def _spread(values: NDArray[Any], mine: tuple[str, ...], types: tuple[str, ...]) -> Floats:
    """Values by the agent's own types as values by all types, shape (episodes, types)."""
    out = np.zeros((len(values), len(types)))
    out[:, [types.index(kind) for kind in mine]] = values
    return out


def _by_run(values: Floats, run_of: NDArray[Any], runs: int) -> Floats:
    """Sums over the episodes of each run, shape (runs, columns of `values`)."""
    sums = [np.bincount(run_of, column, minlength=runs) for column in values.T]
    return np.stack(sums, axis=1).astype(np.float64)
