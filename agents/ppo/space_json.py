"""Gymnasium spaces as JSON-like values, and back."""

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memgym.agents.weights_io import WeightsInvalid

__all__ = ["describe_space", "is_same_space", "read_space"]

MAX_DEPTH = 8
MAX_NUMBERS = 1 << 22  # of one part: a file cannot fill the memory with one large number


def describe_space(space: spaces.Space) -> dict[str, Any]:
    """A space as JSON-like values.

    Raises:
        ValueError: a space of no fixed size.
    """
    if isinstance(space, spaces.Box):
        bounds = {"low": _numbers(space.low), "high": _numbers(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": np.dtype(space.dtype).name, **bounds}
    if isinstance(space, spaces.Discrete):
        dtype = np.dtype(space.dtype).name
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": dtype}
    if isinstance(space, spaces.MultiDiscrete):
        start = np.asarray(space.start).tolist()
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": start,
            "dtype": space.dtype.name,
        }
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "shape": list(space.shape), "is_flat": isinstance(space.n, int)}
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "parts": [[key, describe_space(part)] for key, part in space.items()]}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "parts": [describe_space(part) for part in space.spaces]}
    raise ValueError(f"a file cannot hold the space {space}.")


def read_space(content: Any, depth: int = 0) -> spaces.Space:
    """What `describe_space` gave.

    Raises:
        WeightsInvalid: the description of no space.
    """
    try:
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        if math.prod(int(size) for size in content.get("shape", ())) > MAX_NUMBERS:
            raise ValueError("too large")
        match content["type"]:
            case "Box":
                dtype: Any = np.dtype(content["dtype"]).type
                low, high = (_array(content[name], content["shape"], dtype) for name in ("low", "high"))
                return spaces.Box(low, high, dtype=dtype)
            case "Discrete":
                if int(content["n"]) > MAX_NUMBERS:
                    raise ValueError("too large")
                kind: Any = np.dtype(content.get("dtype", "int64")).type  # earlier versions did not tell it
                other = {} if kind is np.int64 else {"dtype": kind}  # which gymnasium 1.2 does not take
                return spaces.Discrete(int(content["n"]), start=int(content["start"]), **other)
            case "MultiDiscrete":
                dtype = np.dtype(content["dtype"]).type
                return spaces.MultiDiscrete(content["nvec"], dtype=dtype, start=content["start"])
            case "MultiBinary":
                shape = content["shape"]
                is_flat = content.get("is_flat", len(shape) == 1)  # see `is_same_space`
                return spaces.MultiBinary(math.prod(shape) if is_flat else shape)
            case "Dict":
                return spaces.Dict(
                    [(str(key), read_space(part, depth + 1)) for key, part in content["parts"]]
                )
            case "Tuple":
                return spaces.Tuple([read_space(part, depth + 1) for part in content["parts"]])
        raise ValueError("no such type")
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
        raise WeightsInvalid(f"not the description of a space: {str(content)[:200]}.") from error


def is_same_space(one: spaces.Space, other: spaces.Space) -> bool:
    """Whether two spaces hold the same values.

    MultiBinary(3) and MultiBinary((3,)) do, which Gymnasium calls unequal and files of earlier versions do not tell
    apart.
    """
    if isinstance(one, spaces.MultiBinary) and isinstance(other, spaces.MultiBinary):
        return one.shape == other.shape
    if isinstance(one, spaces.Dict) and isinstance(other, spaces.Dict):
        return one.keys() == other.keys() and all(
            is_same_space(part, other[key]) for key, part in one.items()
        )
    if isinstance(one, spaces.Tuple) and isinstance(other, spaces.Tuple):
        return len(one) == len(other) and all(map(is_same_space, one, other))
    return one == other


def _numbers(bounds: NDArray[Any]) -> Any:
    """One number where all are the same, else all in a row; infinities as text, which JSON has no number for."""
    values = bounds.reshape(-1).tolist()
    if values and all(value == values[0] for value in values):
        values = values[:1]
    return [str(value) if isinstance(value, float) and math.isinf(value) else value for value in values]


def _array(values: list[Any], shape: list[int], dtype: Any) -> NDArray[Any]:
    numbers = np.array([float(value) if isinstance(value, str) else value for value in values], dtype)
    return np.broadcast_to(numbers, [math.prod(shape)] if len(numbers) == 1 else len(numbers)).reshape(shape)
