"""Several budgets of memory for the same tasks: how sizes are written, and which tasks a budget applies to."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from memgym.core.result import canonical_json
from memgym.core.suites import LIMITS, Suite, Task, reserved_seeds
from memgym.errors import UnknownName

__all__ = ["format_size", "parse_budgets", "parse_size", "with_budget_only"]

UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)")
BYTES = (
    "memory_budget",
    "view_bytes",
)  # arguments of a text task that say how many bytes, and not what is asked


def parse_size(text: str) -> int:
    """Bytes: a whole number, or a number with a unit of `UNITS`.

    Raises:
        ValueError: it is neither, or no whole number of bytes in the range of a budget.

    >>> parse_size("4KiB"), parse_size("4096"), parse_size("0.5 KiB"), parse_size("64kB")
    (4096, 4096, 512, 64000)
    """
    found = SIZE.fullmatch(text.strip())
    number, unit = found.groups() if found else ("", "")
    factor = {name.lower(): size for name, size in UNITS.items()}.get((unit or "B").lower())
    if not number or factor is None:
        raise ValueError(f"{text!r} is no size: write bytes, or a number with one of {', '.join(UNITS)}.")
    size = Fraction(number) * factor
    if size.denominator != 1 or not 1 <= size <= LIMITS["budget"]:
        raise ValueError(f"a budget is a whole number of bytes from 1 to {LIMITS['budget']}, not {text!r}.")
    return int(size)


def parse_budgets(text: str) -> tuple[int, ...]:
    """Different sizes with commas, as bytes, the smallest first.

    Raises:
        ValueError: one is no size, two are the same, or there are fewer than two.

    >>> parse_budgets("16KiB,4KiB")
    (4096, 16384)
    """
    sizes = sorted(parse_size(part) for part in text.split(","))
    if twice := [format_size(size) for size in sizes if sizes.count(size) > 1]:
        raise ValueError(f"{twice[0]} stands twice among the budgets {text!r}.")
    if len(sizes) < 2:
        raise ValueError(f"a curve has two budgets at least, with commas, not {text!r}.")
    return tuple(sizes)


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads as this size, in binary units.

    >>> format_size(4096), format_size(1000), format_size(3 << 20)
    ('4KiB', '1000B', '3MiB')
    """
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if size % UNITS[unit] == 0)
    return f"{size // UNITS[unit]}{unit}"


def with_budget_only(suite: Suite, names: Collection[str] = ()) -> tuple[Suite, dict[str, str]]:
    """The tasks of a suite that differ with the budget, and why each other one is left out.

    Of tasks that differ by their bytes alone and play the same episodes, which one budget makes equal, the one with
    the largest view stays.

    Args:
        suite: any.
        names: of the tasks wanted; all where it is empty.

    Raises:
        UnknownName: the suite has no task of this name.
        ValueError: no task is left.
    """
    known = [task.name for task in suite.tasks]
    if strange := [name for name in names if name not in known]:
        raise UnknownName(f"suite {suite.name!r} has no task {strange[0]!r}. Known: {', '.join(known)}.")
    wanted = [task for task in suite.tasks if not names or task.name in names]
    left_out = {
        task.name: "its environment takes no memory_budget: the score is the same at any"
        for task in wanted
        if not task.is_text
    }
    kept: dict[bytes, Task] = {}
    for task in sorted(wanted, key=lambda task: -_view(task.kwargs)):
        if task.name in left_out:
            continue
        same = kept.setdefault(_asked(task), task)
        if same is not task:
            left_out[task.name] = f"at the same budget it is {same.name}"
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no task of suite {suite.name!r} has a budget of memory ({reasons}).")
    stays = {task.name for task in kept.values()}
    return replace(suite, tasks=tuple(task for task in suite.tasks if task.name in stays)), left_out


def _view(kwargs: Mapping[str, Any]) -> int:
    return kwargs.get("view_bytes", 0)


def _asked(task: Task) -> bytes:
    """What a task asks, whatever bytes it gives for it."""
    rest = {name: value for name, value in task.kwargs.items() if name not in BYTES}
    return canonical_json([task.env_id, rest, task.episodes, reserved_seeds(task)])
