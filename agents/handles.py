"""Handles: numbers written into entries, so that a SEARCH for one finds its entry and nothing else.

A bank's SEARCH goes by words. A policy that knows by other means which entry it wants (a key, a vector) gives the
entry a word of its own when it writes it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["handle_of", "handles_query", "with_handle", "without_handle"]

MARK = " #h"


def with_handle(text: str, number: int) -> str:
    """An entry's text with its handle.

    >>> with_handle("Maya: I live in Oslo.", 7)
    'Maya: I live in Oslo. #h7'
    """
    return f"{text}{MARK}{number}"


def handle_of(text: str) -> int | None:
    """The number in a text that `with_handle` made, None in any other."""
    _, mark, number = text.rpartition(MARK)
    return int(number) if mark and number.isascii() and number.isdecimal() and len(number) < 20 else None


def without_handle(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as a reader should see it."""
    text = entry["text"]
    return {**entry, "text": text if handle_of(text) is None else text.rpartition(MARK)[0]}


def handles_query(numbers: Iterable[int]) -> str:
    """What to search for to find the entries with these numbers.

    >>> handles_query([7, 12])
    'h7 h12'
    """
    return " ".join(f"h{number}" for number in numbers)
