"""Sizes at which memories are compared: equal parameters, or equal bytes of state."""

from collections.abc import Callable
from typing import Any

import torch

from memgym.agents.nn import MODULES, make_memory
from memgym.agents.nn.module import MemoryModule

__all__ = ["solve_size"]

MAX_WIDTH = 1 << 16


def solve_size(
    name: str,
    d_in: int,
    d_out: int,
    *,
    params: int | None = None,
    state_nbytes: int | None = None,
    width: str | None = None,
    **config: Any,
) -> dict[str, Any]:
    """The largest width of a memory that stays within a number of parameters, of bytes of state, or both.

    Memories of a width are built on torch's meta device, where they have sizes and no numbers, so wide ones cost
    nothing. A width that the memory refuses counts as too large, or below the first that it takes as too small.

    Args:
        name: a registered memory.
        d_in: size of an input.
        d_out: size of an output.
        params: most parameters.
        state_nbytes: most bytes of state for one environment.
        width: the argument to search; the memory's ``spec.width`` unless told. For a cache, ``"window"`` finds how
            many steps a number of bytes holds.
        **config: its other arguments.

    Returns:
        `config` with the width: what `make_memory` takes.

    Raises:
        ValueError: no limit is given, the smallest width already exceeds it, or no width comes near it; or the
            memory refuses every width, in its own words for a width of 1.

    >>> solve_size("lstm", 64, 64, state_nbytes=4096)
    {'hidden': 512}
    """
    if params is None and state_nbytes is None:
        raise ValueError("solve_size needs params or state_nbytes: what may the memory use?")
    width = width or str(MODULES.resolve(name).spec.width)

    def build(value: int) -> MemoryModule:
        with torch.device("meta"):
            return make_memory(name, d_in, d_out, **config, **{width: value})

    def is_refused(value: int) -> bool:
        try:
            build(value)
        except ValueError:
            return True
        return False

    def fits(value: int) -> bool:
        try:
            memory = build(value)
        except ValueError:
            return False
        used = sum(p.numel() for p in memory.parameters())
        return (params is None or used <= params) and (
            state_nbytes is None or memory.state_nbytes() <= state_nbytes
        )

    low = 1
    while low <= MAX_WIDTH and is_refused(low):
        low *= 2
    if low > MAX_WIDTH:
        build(1)  # whatever it says
    low = _last(is_refused, low // 2, low) + 1
    if not fits(low):
        raise ValueError(f"memory {name!r} does not fit the limits at {width} = {low}.")
    high = 2 * low
    while fits(high):
        low, high = high, 2 * high
        if high > MAX_WIDTH:
            raise ValueError(f"memory {name!r} fits the limits at any {width}: it does not grow with it.")
    return {**config, width: _last(fits, low, high)}


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number for which something holds that does at `low` and does not at `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
