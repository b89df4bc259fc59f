"""A deterministic reader that answers from memory entries without a language model.

It is meant to be the same weak reader for every memory, so that differences between agents come from what
they remember. It picks a choice by word overlap, resolves dates ("yesterday" against the entry's time) and
otherwise returns the best entry's words that the question did not already say.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from memgym.memory.lexical import STOP_WORDS, stem, stems
from memgym.memory.ops import load_attrs
from memgym.stream import UNKNOWN, format_date

__all__ = ["extractive_reader", "resolve_date"]

WHEN = re.compile(r"\b(when|what date|which date|what day|which day)\b", re.IGNORECASE)
NUMBER = {
    "a": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "a few": 3,
    "a couple of": 2,
}
AGO = re.compile(rf"\b({'|'.join(sorted(NUMBER, key=len, reverse=True))}|\d+) (day|week)s? ago\b")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST_WEEKDAY = re.compile(rf"\b(?:last|on) ({'|'.join(WEEKDAYS)})\b")


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
    relevant = _relevant(question, entries)
    if choices:
        return _choose(question, relevant, choices)
    if not relevant:
        return UNKNOWN
    best = relevant[0]
    if WHEN.search(question):
        day = _dated(best)
        return format_date(day) if day else UNKNOWN
    return _new_words(question, best["text"]) or UNKNOWN


def resolve_date(text: str, written: date) -> date:
    """The day that `text`, written on the day `written`, speaks of; `written` where it names none.

    >>> resolve_date("I saw her two weeks ago", date(2023, 5, 20))
    datetime.date(2023, 5, 6)
    """
    plain = text.lower()
    if "day before yesterday" in plain:
        return written - timedelta(days=2)
    if re.search(r"\b(yesterday|last night)\b", plain):
        return written - timedelta(days=1)
    if ago := AGO.search(plain):
        count = NUMBER.get(ago[1]) or int(ago[1])
        return written - timedelta(days=count * (7 if ago[2] == "week" else 1))
    if named := LAST_WEEKDAY.search(plain):
        back = (written.weekday() - WEEKDAYS.index(named[1])) % 7 or 7
        return written - timedelta(days=back)
    if re.search(r"\blast week\b", plain):
        return written - timedelta(days=7)
    if re.search(r"\btomorrow\b", plain):
        return written + timedelta(days=1)
    return written


def _relevant(question: str, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entries by the number of question words they share, most first; the newest of equals first.

    Where the question names somebody who speaks in the entries, what others said is left out: a question
    about the wrong person is the usual false premise, and word overlap alone cannot tell.
    """
    named = {speaker for entry in entries if (speaker := _speaker(entry)) and speaker in question}
    asked = stems(question) - stems(" ".join(named)) if named else stems(question)
    scored = [
        (len(asked & stems(entry["text"])), i, entry)
        for i, entry in enumerate(entries)
        if not named or _speaker(entry) in named
    ]
    best = max((score for score, _, _ in scored), default=0)
    kept = [row for row in scored if row[0] >= max(1, best / 2)]
    kept.sort(key=lambda row: (-row[0], [-part for part in _age(row[2])], row[1]))
    return [entry for _, _, entry in kept]


def _speaker(entry: Mapping[str, Any]) -> str:
    speaker, colon, _ = entry["text"].partition(": ")
    return speaker if colon and len(speaker) <= 32 else ""


def _age(entry: Mapping[str, Any]) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(load_attrs(entry["attrs"]).get("time", "")))]


def _dated(entry: Mapping[str, Any]) -> date | None:
    try:
        written = date.fromisoformat(str(load_attrs(entry["attrs"]).get("time", ""))[:10])
    except ValueError:
        return None
    return resolve_date(entry["text"], written)


def _choose(question: str, relevant: Sequence[Mapping[str, Any]], choices: Sequence[str]) -> str:
    """The choice that the most relevant entry names; a date choice by the entry's resolved date."""
    unknown = next((choice for choice in choices if choice == UNKNOWN), choices[-1])
    when = bool(WHEN.search(question))
    for entry in relevant:
        said = stems(entry["text"])
        if when and (day := _dated(entry)):
            written = format_date(day)
            named = [choice for choice in choices if choice == written]
        else:
            named = [c for c in choices if c != unknown and stems(c) and stems(c) <= said]
        if named:
            return max(named, key=len)
    return unknown


def _new_words(question: str, text: str) -> str:
    """The words of `text` that the question does not say, without function words at either end."""
    asked = stems(question)
    words = re.findall(r"\S+", text.split(": ", 1)[-1])
    kept = [word for word in words if stem(word.lower().strip(".,;!?\"'")) not in asked]
    while kept and kept[0].lower().strip(".,;!?\"'") in STOP_WORDS:
        kept.pop(0)
    while kept and kept[-1].lower().strip(".,;!?\"'") in STOP_WORDS:
        kept.pop()
    return " ".join(kept).strip(".,;!? ")
