"""A deterministic reader that answers from memory entries without a language model.

It is meant to be the same weak reader for every memory, so that differences between agents come from what
they remember. It picks a choice by word overlap, resolves dates ("yesterday" against the entry's time) and
otherwise returns the best entry's words that the question did not already say.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.memory.lexical import STOP_WORDS, stem, stems
from memgym.readers.choice import choice_reader
from memgym.readers.dates import is_when, resolve_date
from memgym.readers.evidence import relevant, said, written
from memgym.stream import UNKNOWN, format_date

__all__ = ["extractive_reader"]


def extractive_reader(
    question: str, entries: Sequence[Mapping[str, Any]], choices: Sequence[str] = ()
) -> str:
    """Answer `question` from `entries` (as observations show them, best first).

    Args:
        question: its text.
        entries: mappings with ``text`` and ``attrs`` (JSON; ``time`` in it dates the entry).
        choices: options; empty for an open question.

    Returns:
        One of `choices` where there are any, otherwise a short text; `UNKNOWN` where nothing fits.
    """
    if choices:
        return choice_reader(question, entries, choices)
    about = relevant(question, entries)
    if not about:
        return UNKNOWN
    best = about[0]
    if is_when(question):
        day = written(best)
        return format_date(resolve_date(best["text"], day)) if day else UNKNOWN
    return _new_words(question, said(best)) or UNKNOWN


def _new_words(question: str, text: str) -> str:
    """The words of `text` that the question does not say, without function words at either end."""
    asked = stems(question)
    words = re.findall(r"\S+", text)
    kept = [word for word in words if stem(word.lower().strip(".,;!?\"'")) not in asked]
    while kept and kept[0].lower().strip(".,;!?\"'") in STOP_WORDS:
        kept.pop(0)
    while kept and kept[-1].lower().strip(".,;!?\"'") in STOP_WORDS:
        kept.pop()
    return " ".join(kept).strip(".,;!? ")
