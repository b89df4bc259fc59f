"""Observations of any fixed size as rows of float32: what the network reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memgym.agents.ppo.errors import ObservationInvalid

__all__ = ["Flattener"]


class Flattener:
    """Turns batches of observations into rows of numbers.

    Box and MultiBinary become their numbers, Discrete and MultiDiscrete one-hot numbers, Dict and Tuple the rows of
    their parts side by side.

    Args:
        space: of one observation.

    Attributes:
        size: numbers in a row.

    Raises:
        ValueError: a part of the space has no fixed size.
    """

    def __init__(self, space: spaces.Space) -> None:
        self.space = space
        self.size = _size(space)

    def rows(self, observations: Any, count: int) -> NDArray[np.float32]:
        """The rows of `count` observations, shape (count, size).

        Raises:
            ObservationInvalid: they are not `count` observations of the space.
        """
        row = _rows(self.space, observations, count, "observation")
        if row.dtype == np.float32:
            return row
        with np.errstate(over="ignore"):  # infinite then, which is refused
            return row.astype(np.float32)

    def count(self, observation: Any) -> int | None:
        """How many observations these are; None for one without a batch axis.

        Raises:
            ObservationInvalid: the shape is neither.
        """
        return _count(self.space, observation, "observation")


def _size(space: spaces.Space) -> int:
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return int(np.prod(space.shape))
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(_size(part) for _, part in _parts(space))
    raise ValueError(
        f"MemoryPPO reads Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple observations, not {space}."
    )


def _parts(space: spaces.Dict | spaces.Tuple) -> list[tuple[Any, spaces.Space]]:
    return list(space.items()) if isinstance(space, spaces.Dict) else list(enumerate(space.spaces))


def _part_of(observation: Any, key: Any, where: str) -> Any:
    is_known = (
        isinstance(observation, Mapping) if isinstance(key, str) else isinstance(observation, tuple | list)
    )
    try:
        if is_known:
            return observation[key]
    except LookupError:
        pass
    raise ObservationInvalid(f"{where} has no part {key!r}.")


def _array(value: Any, where: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise ObservationInvalid(f"{where} is not an array of numbers but {str(value)[:60]}.")
    return array


def _count(space: spaces.Space, observation: Any, where: str) -> int | None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        key, part = _parts(space)[0]
        return _count(part, _part_of(observation, key, where), f"{where}[{key!r}]")
    shape, given = space.shape or (), _array(observation, where).shape
    if given == shape:
        return None
    if len(given) == len(shape) + 1 and given[1:] == shape and given[0] > 0:
        return given[0]
    raise ObservationInvalid(f"{where} has shape {given}; one is of shape {shape}, a batch of (n, *{shape}).")


def _rows(space: spaces.Space, observations: Any, count: int, where: str) -> NDArray[Any]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        rows = [
            _rows(part, _part_of(observations, key, where), count, f"{where}[{key!r}]")
            for key, part in _parts(space)
        ]
        return np.concatenate(rows, axis=1, dtype=np.float32)
    array = _array(observations, where)
    if array.shape != (count, *(space.shape or ())):
        raise ObservationInvalid(
            f"{count} of {where} have shape {(count, *(space.shape or ()))}, not {array.shape}."
        )
    flat = array.reshape(count, -1)
    if isinstance(space, spaces.Discrete):
        return _one_hot(flat, [int(space.n)], np.array([space.start]), where)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(flat, space.nvec.reshape(-1).tolist(), np.asarray(space.start).reshape(-1), where)
    return flat


def _one_hot(values: NDArray[Any], sizes: list[int], start: NDArray[Any], where: str) -> NDArray[np.float32]:
    index = values - start
    if values.dtype.kind not in "iu" or (index < 0).any() or (index >= sizes).any():
        raise ObservationInvalid(f"{where} has a value outside its {len(sizes)} discrete ranges.")
    offsets = np.cumsum([0, *sizes[:-1]])
    rows = np.zeros((len(values), sum(sizes)), np.float32)
    np.put_along_axis(rows, index + offsets, 1.0, axis=1)
    return rows
