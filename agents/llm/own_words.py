"""A reader for who has said what about themselves: it reads only what the person asked about has said."""

from collections.abc import Mapping, Sequence
from typing import Any

from memgym.readers.extractive import extractive_reader

__all__ = ["own_words_reader"]


def own_words_reader(question: str, entries: Sequence[Mapping[str, Any]], choices: Sequence[str] = ()) -> str:
    """Answer from the entries that begin with the name of somebody in the question, by the extractive reader.

    Where a bank has nothing of that person, the answer is unknown, whatever others have said: the extractive reader
    alone would take theirs, since nobody in such a bank shows that the name is one.

    >>> own_words_reader("Where does Maya live?", [{"text": "Jonas: I live in Oslo.", "attrs": ""}])
    'Not mentioned in the conversation'
    """
    own = [entry for entry in entries if _is_own(entry["text"], question)]
    return extractive_reader(question, own, choices)


def _is_own(text: str, question: str) -> bool:
    name, colon, _ = text.partition(": ")
    return bool(colon) and name in question
