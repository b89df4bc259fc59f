"""A deterministic reader of questions with options."""

from collections.abc import Mapping, Sequence
from typing import Any

from memgym.memory.lexical import stems
from memgym.readers.dates import asks_when, resolve_date
from memgym.readers.evidence import find_evidence, written
from memgym.stream import UNKNOWN, format_date

__all__ = ["choice_reader"]


def choice_reader(question: str, entries: Sequence[Mapping[str, Any]], choices: Sequence[str] = ()) -> str:
    """The choice that the most relevant entry names, the longest of several; a date by the date it speaks of.

    Where no entry names one: `UNKNOWN` if that is a choice, otherwise the last.

    Raises:
        ValueError: there are no choices.

    >>> choice_reader("Where is she?", [{"text": "She is in Oslo.", "attrs": ""}], ("Rome", "Oslo"))
    'Oslo'
    """
    if not choices:
        raise ValueError("the choice reader needs choices: use answer_format='choice', or another reader.")
    unknown = UNKNOWN if UNKNOWN in choices else choices[-1]
    when = asks_when(question)
    for entry in find_evidence(question, entries).entries:
        words = stems(entry["text"])
        if when and (day := written(entry)):
            named = [choice for choice in choices if choice == format_date(resolve_date(entry["text"], day))]
        else:
            named = [c for c in choices if c != unknown and stems(c) and stems(c) <= words]
        if named:
            return max(named, key=len)
    return unknown
