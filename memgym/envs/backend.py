"""Which code steps a vector environment: numpy, or loops compiled by numba (extra "speed")."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import gymnasium as gym

from memgym.errors import DependencyMissing

__all__ = ["load_kernel", "resolve_backend"]


def resolve_backend(backend: str) -> str:
    """``"numpy"`` or ``"numba"``; ``"auto"`` takes numba where it works. Both give the same bytes.

    Raises:
        ValueError: no such backend.
        DependencyMissing: ``"numba"`` is asked for, and is not installed or does not work.
    """
    if backend not in ("auto", "numpy", "numba"):
        raise ValueError(f"backend is 'auto', 'numpy' or 'numba', not {backend!r}.")
    if backend == "numpy" or (backend == "auto" and find_spec("numba") is None):
        return "numpy"
    reason = _why_not_numba()
    if not reason:
        return "numba"
    if backend == "numba":
        raise DependencyMissing.for_extra("numba", "speed", f"backend='numba' ({reason})")
    gym.logger.warn(f"numba is installed and does not work, so numpy steps the environments: {reason}")
    return "numpy"


@cache
def _why_not_numba() -> str:
    """``""`` where numba works: it often lags behind numpy's releases, and then fails when it is imported."""
    try:
        import_module("memgym.envs.compiled")
    except ImportError as error:
        return str(error)
    return ""


@cache
def load_kernel(name: str) -> ModuleType:
    """A module of compiled loops; cached, since an import statement would cost a microsecond a step."""
    return import_module(name)
