"""A recipe: what a table or a figure is made of, as a TOML file of settings; each run of it is one training.

A recipe names a trainer, its settings, the environment, the seeds, and a *grid*: lists of values, of which every
combination is trained once a seed. Names with a dot reach into a table, as ``"env.num_corridors"``::

    title = "Retention and rewriting by number of corridors"
    trainer = "ppo"
    seeds = [0, 1, 2]

    [env]
    id = "memgym/EndlessTMaze-v0"

    [train]
    total_timesteps = 300_000

    [grid]
    "train.cell" = ["gru", "lstm"]
    "env.num_corridors" = [1, 3]

    [evaluate]
    episodes = 1000
    "env.num_corridors" = [1, 3, 5]

Every finished agent is evaluated in each combination of the lists under ``evaluate``.

Trainer "ppo" learns in the environment, trainer "sequence" from batches of it, trainer "manager" is a language model
that manages a memory, and trainer "team" are one that manages and one that answers. "sequence" may have *axes*
instead: ways to be hard, each a list of environments. Lists in an axis go together value by value, and the first
names its values; what is no list holds for all of them::

    select = "train.learning_rate"

    [[axes]]
    name = "overwrite rate"
    overwrite_rate = [0.0, 0.6]
    query_rate = [0.9, 0.3]
    delete_rate = 0.0

    [[axes]]
    name = "operations"
    train = false
    num_steps = [128, 1024]

A model learns from a mixture of all of them but those with ``train = false``, and is evaluated in each. ``select``
names an entry of the grid of which only the best value counts, by the mean validation score, which is of no
evaluation.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Any

import gymnasium as gym

from memgym.errors import MemgymError

__all__ = ["TRAINERS", "Axis", "Recipe", "RecipeInvalid", "Run", "check_seeds", "run_named"]

TRAINERS = {
    "ppo": "memgym.baselines.run_ppo:run_ppo",
    "sequence": "memgym.baselines.run_sequence:run_sequence",
    "manager": "memgym.baselines.manager.run:run_manager",
    "team": "memgym.baselines.manager.team:run_team",
}
"""(run, common beginning of the names of its checkpoints) -> what it came to, by name."""


class RecipeInvalid(MemgymError, ValueError):
    """A recipe that cannot be read or followed; the message names the file or the run, and the entry."""


@contextmanager
def run_named(run: "Run") -> Iterator[None]:
    """Say of which run it is where the trainer, the memory or the environment does not take an argument.

    Raises:
        RecipeInvalid: what was wrong.
    """
    try:
        yield
    except RecipeInvalid:
        raise
    except KeyError as error:
        raise RecipeInvalid(f"run {run.name}: {error} is missing, or unknown.") from error
    except (IndexError, TypeError, ValueError, gym.error.Error) as error:
        raise RecipeInvalid(f"run {run.name}: {error}") from error


def check_seeds(seeds: Sequence[Any], where: str) -> None:
    """Refuse what are no seeds, or the same one twice.

    Raises:
        RecipeInvalid: the message begins with `where`.
    """
    if (
        not seeds
        or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise RecipeInvalid(f"{where}: seeds are different integers from 0 on, not {seeds!r}.")


@dataclass(frozen=True)
class Run:
    """One training of a recipe.

    Attributes:
        trainer: one of `TRAINERS`.
        point: its values of the grid, by name.
        seed: of the training.
        env: id and arguments of the environment.
        train: settings of the trainer.
        evaluations: environments (id and arguments) in which the trained agent is evaluated.
        episodes: evaluation episodes in each.
    """

    trainer: str
    point: dict[str, Any]
    seed: int
    env: dict[str, Any]
    train: dict[str, Any]
    evaluations: list[dict[str, Any]]
    episodes: int

    @property
    def name(self) -> str:
        """A name for its files: the values of its point, and a digest of all settings."""
        words = [f"{key.rpartition('.')[2]}={value}" for key, value in self.point.items()]
        readable = "_".join([*words, f"seed={self.seed}"])
        return f"{''.join(c if c.isalnum() or c in '=._-' else '-' for c in readable)}_{self.digest[:8]}"

    @property
    def digest(self) -> str:
        """Changes with any setting."""
        return sha256(json.dumps(vars(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Axis:
    """A way to be hard: environments that differ in one thing.

    Attributes:
        name: of what differs.
        labels: a name for each environment.
        changes: of the recipe's environment, for each.
        is_trained: whether models learn from them as well.
    """

    name: str
    labels: tuple[str, ...]
    changes: tuple[dict[str, Any], ...]
    is_trained: bool


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; `runs` lists what it trains."""

    name: str
    title: str
    trainer: str
    seeds: tuple[int, ...]
    env: dict[str, Any]
    train: dict[str, Any]
    grid: dict[str, list[Any]]
    settings: list[dict[str, Any]]
    evaluate: dict[str, Any]
    figure: dict[str, Any]
    axes: tuple["Axis", ...] = ()
    select: str = ""

    def runs(self, seeds: tuple[int, ...] | None = None, only: Mapping[str, str] | None = None) -> list[Run]:
        """All trainings, or those of some seeds and of some values of the grid.

        Raises:
            RecipeInvalid: `only` names no entry of the grid, or a value that it does not have; or no such seeds.
        """
        if seeds is not None:
            check_seeds(seeds, f"recipe {self.name!r}")
        full = {key.rpartition(".")[2]: key for key in self.grid} | {key: key for key in self.grid}
        chosen: dict[str, list[str]] = {}
        for name, value in (only or {}).items():
            if name not in full:
                raise RecipeInvalid(
                    f"recipe {self.name!r} has no grid {name!r}; it has {', '.join(self.grid)}."
                )
            chosen[full[name]] = value.split(",")
            known = list(map(str, self.grid[full[name]]))
            if unknown := set(chosen[full[name]]) - set(known):
                raise RecipeInvalid(
                    f"recipe {self.name!r} has no {name} = {min(unknown)!r}; there are {', '.join(known)}."
                )
        points = [
            point
            for point in _points(self.grid)
            if all(str(point[key]) in values for key, values in chosen.items())
        ]
        return [self._run(point, seed) for seed in seeds or self.seeds for point in points]

    def _run(self, point: dict[str, Any], seed: int) -> Run:
        tables = {"env": deepcopy(self.env), "train": deepcopy(self.train)}
        for special in self.settings:
            if all(point.get(key) == value for key, value in special["where"].items()):
                _set_all(tables, {key: value for key, value in special.items() if key != "where"})
        _set_all(tables, point)
        evaluations = []
        for other in _points({key: v for key, v in self.evaluate.items() if key != "episodes"}):
            changed = deepcopy(tables)
            _set_all(changed, other)
            evaluations.append(changed["env"])
        if self.axes:
            evaluations = [{**tables["env"], **changes} for axis in self.axes for changes in axis.changes]
            tables["train"]["streams"] = [
                changes for axis in self.axes if axis.is_trained for changes in axis.changes
            ]
        episodes = self.evaluate.get("episodes", 1000)
        return Run(self.trainer, point, seed, tables["env"], tables["train"], evaluations, episodes)


def _points(grid: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _set_all(tables: dict[str, dict[str, Any]], values: Mapping[str, Any]) -> None:
    """Set ``tables["env"]["x"]`` for each ``"env.x"``, tables inside tables likewise."""
    for name, value in values.items():
        *folders, last = name.split(".")
        table: dict[str, Any] = tables
        for folder in folders:
            table = table.setdefault(folder, {})
            if not isinstance(table, dict):
                raise RecipeInvalid(f"{name!r} reaches into {folder!r}, which is no table but {table!r}.")
        table[last] = value
