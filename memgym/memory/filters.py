"""Filters on attributes, written as mappings the way memory libraries do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memgym.memory.entry import MemoryEntry
from memgym.memory.retrieval import Filter

__all__ = ["compile_filters"]

MAX_DEPTH = 16
MISSING = object()  # equal to nothing


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison that is False between values of kinds that have no order."""

    def check(held: Any, given: Any) -> bool:
        both = (held, given)
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in both)
        return (numbers or all(isinstance(value, str) for value in both)) and compare(held, given)

    return check


def _contains(held: Any, given: Any) -> bool:
    if isinstance(held, str):
        return isinstance(given, str) and given in held
    return isinstance(held, list) and given in held


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda held, given: held == given,
    "ne": lambda held, given: held != given,
    "in": lambda held, given: isinstance(given, Sequence) and not isinstance(given, str) and held in given,
    "nin": lambda held, given: (
        isinstance(given, Sequence) and not isinstance(given, str) and held not in given
    ),
    "gt": _ordered(lambda held, given: held > given),
    "gte": _ordered(lambda held, given: held >= given),
    "lt": _ordered(lambda held, given: held < given),
    "lte": _ordered(lambda held, given: held <= given),
    "contains": _contains,
}


def compile_filters(filters: Mapping[str, Any], depth: int = 0) -> Filter:
    """A function that keeps the entries which a mapping describes.

    Args:
        filters: attribute names with the value that they must have, or with ``{comparison: value}``, where the
            comparison is one of eq, ne, in, nin, gt, gte, lt, lte, contains; all of them must hold. ``"AND"`` and
            ``"OR"`` take a list of such mappings, ``"NOT"`` one mapping. An entry without the attribute has only
            ``ne`` and ``nin``. The name ``"kind"`` is the entry's kind.
        depth: of nesting so far.

    Raises:
        ValueError: no such comparison, a combination without its list, or more than 16 levels.

    >>> keep = compile_filters({"person": "Maya", "OR": [{"age": {"gte": 18}}, {"role": "guest"}]})
    >>> keep(MemoryEntry("m1", "", attrs={"person": "Maya", "age": 30}))
    True
    """
    if depth > MAX_DEPTH or not isinstance(filters, Mapping):
        raise ValueError(f"filters are mappings, nested at most {MAX_DEPTH} deep.")
    return _all([_part(name, value, depth) for name, value in filters.items()])


def _part(name: str, value: Any, depth: int) -> Filter:
    if name in ("AND", "OR"):
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError(f"{name} takes a list of filters.")
        parts = [compile_filters(part, depth + 1) for part in value]
        return _all(parts) if name == "AND" else lambda entry: any(part(entry) for part in parts)
    if name == "NOT":
        inner = compile_filters(value, depth + 1)
        return lambda entry: not inner(entry)
    tests = value if isinstance(value, Mapping) else {"eq": value}
    for comparison in tests:
        if comparison not in COMPARE:
            raise ValueError(f"no comparison {comparison!r}. Known: {', '.join(COMPARE)}.")
    checks = [(COMPARE[comparison], given) for comparison, given in tests.items()]

    def keep(entry: MemoryEntry) -> bool:
        held = entry.kind if name == "kind" else entry.attrs.get(name, MISSING)
        return all(check(held, given) for check, given in checks)

    return keep


def _all(parts: Sequence[Filter]) -> Filter:
    return lambda entry: all(part(entry) for part in parts)
