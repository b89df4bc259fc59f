"""Sizes at which memories are compared: equal parameters, or equal bytes of state."""

from typing import Any

from memgym.agents.nn import MODULES, make_memory

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
        ValueError: no limit is given, the smallest width already exceeds it, or no width comes near it.

    >>> solve_size("lstm", 64, 64, state_nbytes=4096)
    {'hidden': 512}
    """
    if params is None and state_nbytes is None:
        raise ValueError("solve_size needs params or state_nbytes: what may the memory use?")
    width = width or str(MODULES.resolve(name).spec.width)

    def fits(value: int) -> bool:
        memory = make_memory(name, d_in, d_out, **config, **{width: value})
        used = sum(p.numel() for p in memory.parameters())
        return (params is None or used <= params) and (
            state_nbytes is None or memory.state_nbytes() <= state_nbytes
        )

    if not fits(1):
        raise ValueError(f"memory {name!r} does not fit the limits at {width} = 1.")
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
        if high > MAX_WIDTH:
            raise ValueError(f"memory {name!r} fits the limits at any {width}: it does not grow with it.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return {**config, width: low}
