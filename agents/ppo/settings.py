"""The numbers that a training run is made of, checked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from memgym.core.arguments import check_integer, check_number

__all__ = ["Entities", "PolicySize", "Scatter", "Schedule", "Settings", "value_at"]

Schedule = float | tuple[float, float]
"""A number, or the pair (first, last) of one that changes linearly over the training."""


Entities = tuple[int, int, int] | tuple[int, int, int, int]
"""From which number on an observation lists entities, how many, how many numbers the code of each has, and of how
many of a row's first numbers it is made: of all unless told."""

Scatter = tuple[int, int, int, int]
"""From which number on an observation lists entities, how many, how many places their map has, and how many of a
row's first numbers say where it is; as many at the beginning of the observation say where the agent is."""


def value_at(schedule: Schedule, progress: float) -> float:
    """The number that a schedule gives when `progress`, from 0 to 1, of the training is over.

    >>> value_at((1e-3, 0.0), 0.75)
    0.00025
    """
    if isinstance(schedule, tuple):
        first, last = schedule
        return first + min(progress, 1.0) * (last - first)
    return schedule


def _read_schedule(name: str, value: Any, high: float) -> Schedule:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} is a number or a pair (first, last), not {value!r}.")
        for number in value:
            check_number(name, number, 0.0, high)
        return float(value[0]), float(value[1])
    if callable(value):
        raise ValueError(
            f"{name} is a number or a pair (first, last), which a file can hold; not a function."
        )
    check_number(name, value, 0.0, high)
    return float(value)


@dataclass(frozen=True)
class PolicySize:
    """Sizes of the network around the memories: ``policy_kwargs``.

    Args:
        size: width of the stream between encoder and heads.
        num_layers: blocks, each with a memory.
        ffn_mult: hidden width of a block's feed-forward layers, as a multiple of `size`.
        entities: where an observation lists entities: from which number on, how many rows of equal length, and how
            many numbers the code of each is to have, and perhaps of how many of a row's first numbers it is made; see
            `EntityEncoder`. None to read it as it stands.
        scatter: in the place of `entities`, for a map: from which number on, how many rows, how many places the map
            has, and how many of a row's first numbers, and of the observation's, say where it is; see
            `ScatterEncoder`.

    Raises:
        ValueError: a size outside its range, or both `entities` and `scatter`.
    """

    size: int = 64
    num_layers: int = 1
    ffn_mult: int = 2
    entities: Entities | None = None
    scatter: Scatter | None = None

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1, 8192)
        check_integer("num_layers", self.num_layers, 1, 64)
        check_integer("ffn_mult", self.ffn_mult, 1, 16)
        self._check_list("entities", "first, count, code, seen", 3, 4)
        self._check_list("scatter", "first, count, places, where", 4, 4)
        if self.entities and self.scatter:
            raise ValueError("policy_kwargs: entities or scatter, not both.")

    def _check_list(self, name: str, meaning: str, fewest: int, most: int) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not isinstance(value, tuple | list) or not fewest <= len(value) <= most:
            many = "four" if fewest == most else "three or four"
            raise ValueError(f"{name} are {many} integers ({meaning}), not {value!r}.")
        for number, low in zip(value, (0, 1, 1, 1), strict=False):
            check_integer(name, number, low, 8192)
        object.__setattr__(self, name, tuple(value))


@dataclass(frozen=True)
class Settings:
    """How PPO learns; see `MemoryPPO` for what each number means.

    Raises:
        ValueError: a number outside its range.
    """

    n_steps: int = 32
    n_epochs: int = 4
    n_minibatches: int = 4
    learning_rate: Schedule = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: Schedule = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    aux_coef: float = 0.5

    def __post_init__(self) -> None:
        check_integer("n_steps", self.n_steps, 1, 1 << 20)
        check_integer("n_epochs", self.n_epochs, 1, 1000)
        check_integer("n_minibatches", self.n_minibatches, 1, 1 << 20)
        for name, high in (("learning_rate", 10.0), ("ent_coef", 10.0)):
            object.__setattr__(self, name, _read_schedule(name, getattr(self, name), high))
        for name in ("gamma", "gae_lambda"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("clip_range", "vf_coef", "max_grad_norm", "aux_coef"):
            check_number(name, getattr(self, name), 0.0, 1e6)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-like values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Settings":
        """What `to_dict` gave.

        Raises:
            ValueError: another name, or a number outside its range.
        """
        if unknown := set(content) - {field.name for field in fields(cls)}:
            raise ValueError(f"unknown setting {min(unknown)!r}.")
        return cls(**content)
