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
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from memgym.errors import MemgymError

__all__ = ["RECIPES", "Axis", "Recipe", "RecipeInvalid", "Run", "load_recipe", "recipe_names"]

RECIPES = Path(__file__).parent / "recipes"
TRAINERS = {
    "ppo": "memgym.baselines.run_ppo:run_ppo",
    "sequence": "memgym.baselines.run_sequence:run_sequence",
    "manager": "memgym.baselines.manager.run:run_manager",
    "team": "memgym.baselines.manager.team:run_team",
}
"""(run, common beginning of the names of its checkpoints) -> what it came to, by name."""
MAX_BYTES = 1 << 20
KEYS = {
    "title": str,
    "trainer": str,
    "seeds": list,
    "env": dict,
    "train": dict,
    "grid": dict,
    "settings": list,
    "axes": list,
    "evaluate": dict,
    "select": str,
    "figure": dict,
}
NEEDED = ("title", "trainer", "seeds", "env", "train")


class RecipeInvalid(MemgymError, ValueError):
    """A recipe that cannot be read; the message names the file and the entry."""


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
            RecipeInvalid: `only` names no entry of the grid, or nothing is left.
        """
        only = dict(only or {})
        full = {key.rpartition(".")[2]: key for key in self.grid} | {key: key for key in self.grid}
        for name in only:
            if name not in full:
                raise RecipeInvalid(
                    f"recipe {self.name!r} has no grid {name!r}; it has {', '.join(self.grid)}."
                )
        chosen = {full[name]: value.split(",") for name, value in only.items()}
        points = [
            point
            for point in _points(self.grid)
            if all(str(point[key]) in values for key, values in chosen.items())
        ]
        runs = [self._run(point, seed) for seed in seeds or self.seeds for point in points]
        if not runs:
            raise RecipeInvalid(f"recipe {self.name!r}: no run has {only}.")
        return runs

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
        episodes = int(self.evaluate.get("episodes", 1000))
        return Run(self.trainer, point, seed, tables["env"], tables["train"], evaluations, episodes)


def recipe_names() -> list[str]:
    """Recipes that memgym ships."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe by name, or from a TOML file of one's own.

    Raises:
        RecipeInvalid: no such recipe, or one that cannot be read; the message names the entry.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        raise RecipeInvalid(
            f"no recipe {name_or_path!r}: there are {', '.join(recipe_names())}; or give a file."
        )
    if path.stat().st_size > MAX_BYTES:
        raise RecipeInvalid(f"{path} is larger than {MAX_BYTES} bytes: no recipe is.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"{path} is no TOML: {error}.") from None
    return _checked(path, content)


def _checked(path: Path, content: dict[str, Any]) -> Recipe:
    for key, value in content.items():
        if key not in KEYS:
            raise RecipeInvalid(f"{path}: unknown entry {key!r}; there are {', '.join(KEYS)}.")
        if not isinstance(value, KEYS[key]):
            raise RecipeInvalid(f"{path}: {key} is a {KEYS[key].__name__}, not {value!r}.")
    for key in NEEDED:
        if key not in content:
            raise RecipeInvalid(f"{path}: {key} is missing.")
    if content["trainer"] not in TRAINERS:
        raise RecipeInvalid(
            f"{path}: trainer is {', '.join(map(repr, TRAINERS))}, not {content['trainer']!r}."
        )
    seeds = content["seeds"]
    if not seeds or not all(
        isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds
    ):
        raise RecipeInvalid(f"{path}: seeds is a list of integers from 0 on, not {seeds!r}.")
    grid, evaluate = content.get("grid", {}), content.get("evaluate", {})
    for name, table in (("grid", grid), ("evaluate", evaluate)):
        for key, values in table.items():
            if name == "evaluate" and key == "episodes":
                continue
            if key.partition(".")[0] not in ("env", "train") or not isinstance(values, list) or not values:
                raise RecipeInvalid(
                    f"{path}: {name} holds lists named 'env.…' or 'train.…', not {key!r}: {values!r}."
                )
    axes = tuple(_axis(path, table) for table in content.get("axes", []))
    if axes and (content["trainer"] != "sequence" or set(evaluate) - {"episodes"}):
        raise RecipeInvalid(
            f"{path}: axes are of trainer 'sequence', and stand for the lists under evaluate."
        )
    if (select := content.get("select", "")) and select not in grid:
        raise RecipeInvalid(f"{path}: select is an entry of the grid, not {select!r}.")
    for special in content.get("settings", []):
        if not isinstance(special, dict) or not isinstance(special.get("where"), dict):
            raise RecipeInvalid(f"{path}: each of settings has a table 'where', not {special!r}.")
    return Recipe(
        name=path.stem,
        title=content["title"],
        trainer=content["trainer"],
        seeds=tuple(seeds),
        env=content["env"],
        train=content["train"],
        grid=grid,
        settings=content.get("settings", []),
        evaluate=evaluate,
        figure=content.get("figure", {}),
        axes=axes,
        select=select,
    )


def _axis(path: Path, table: Any) -> Axis:
    lists = (
        {key: value for key, value in table.items() if isinstance(value, list)}
        if isinstance(table, dict)
        else {}
    )
    lengths = {len(values) for values in lists.values()}
    if not lists or len(lengths) != 1 or 0 in lengths or not isinstance(table.get("name"), str):
        raise RecipeInvalid(f"{path}: each of axes has a name and lists of the same length, not {table!r}.")
    if not isinstance(table.get("train", True), bool):
        raise RecipeInvalid(f"{path}: train of an axis is true or false, not {table['train']!r}.")
    fixed = {key: v for key, v in table.items() if key not in lists and key not in ("name", "train")}
    (count,) = lengths
    changes = tuple({**fixed, **{key: values[i] for key, values in lists.items()}} for i in range(count))
    first = next(iter(lists.values()))
    labels = tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in first)
    return Axis(table["name"], labels, changes, table.get("train", True))


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
        table[last] = value
