"""A deterministic reader that answers from memory entries without a language model.

It is meant to be the same weak reader for every memory, so that differences between agents come from what
they remember. It knows a little English and no task: how a question asks, how dates are told, which words say
nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.memory.lexical import stems
from memgym.readers.choice import choice_reader
from memgym.readers.dates import COUNT, asks_when, find_dates, on_day, told
from memgym.readers.evidence import Evidence, find_evidence, said, written
from memgym.readers.spans import WORD, clauses, is_list_question, is_yes_no, news, numbers
from memgym.readers.statements import SHORT, stated
from memgym.stream import UNKNOWN

__all__ = ["extractive_reader"]

LISTED = 3  # entries that a list is put together from
LOOKED_AT = 3  # entries in which a date or a number is looked for
HOW_MANY = re.compile(r"\bhow (?:many|much|old|often|long)\b", re.IGNORECASE)
UNIT = re.compile(r"\bhow many (\w+)", re.IGNORECASE)
SPAN = re.compile(
    rf"\b(?:{COUNT})(?: more)? (?:second|minute|hour|day|week|month|year|decade)s?\b", re.IGNORECASE
)
OFTEN = re.compile(
    rf"\b(?:once|twice|(?:{COUNT}) times) (?:a|an|every|each|per) \w+|\bevery (?:other )?\w+"
    r"|\b(?:daily|weekly|monthly)\b",
    re.IGNORECASE,
)
DURATION = re.compile(r"\bhow (?:long|many (?:years|months|weeks|days|hours))\b", re.IGNORECASE)
NEGATION = re.compile(
    r"\b(?:not|never|no longer|don't|doesn't|didn't|can't|won't|isn't|wasn't|haven't)\b", re.I
)


def extractive_reader(
    question: str, entries: Sequence[Mapping[str, Any]], choices: Sequence[str] = ()
) -> str:
    """Answer `question` from `entries`.

    Args:
        question: its text.
        entries: mappings with ``text`` and ``attrs`` (JSON; ``time`` in it dates the entry).
        choices: options; empty for an open question.

    Returns:
        One of `choices` where there are any, otherwise a short text; `UNKNOWN` where nothing fits, or where
        only others than the person asked about have said something that does.
    """
    if choices:
        return choice_reader(question, entries, choices)
    evidence = find_evidence(question, entries)
    if not evidence.entries or evidence.is_swapped:
        return UNKNOWN
    if asks_when(question):
        return _time(question, evidence) or UNKNOWN
    if HOW_MANY.search(question) and (number := _number(question, evidence)):
        return number
    if is_yes_no(question):
        return "No" if NEGATION.search(_clause(evidence, evidence.entries[0])) else "Yes"
    count = LISTED if is_list_question(question) else 1
    parts = [_telling(evidence, entry) for entry in evidence.entries[:count]]
    return ", ".join(dict.fromkeys(part for part in parts if part)) or UNKNOWN


def _time(question: str, evidence: Evidence) -> str:
    """The time that the best entry names nearest to what is asked, otherwise the day on which it was said."""
    best = evidence.entries[0]
    day = written(best)
    if day is None:
        return ""
    text = said(best)
    place = text.find(_clause(evidence, best))
    found = find_dates(text, day) or [on_day(day)]
    return told(min(found, key=lambda when: abs(when.place - place)), question)


def _number(question: str, evidence: Evidence) -> str:
    """A number of the right kind in the best entries, ``""`` where there is none."""
    texts = [said(entry) for entry in evidence.entries[:LOOKED_AT]]
    if DURATION.search(question):
        return next((found[0] for text in texts if (found := SPAN.search(text))), "")
    if "how often" in question.lower():
        return next((found[0] for text in texts if (found := OFTEN.search(text))), "")
    counted = UNIT.search(question)
    unit = stems(counted[1]) if counted else frozenset()
    parts = [part for text in texts for part in clauses(text)]
    return next((number for part in parts if (number := _counted(part, unit))), "")


def _counted(clause: str, unit: frozenset[str]) -> str:
    """The number that stands nearest before the unit, the first one where no unit is asked for."""
    before, _, _ = clause.partition(next((w for w in WORD.findall(clause) if unit & stems(w)), "\0"))
    if not unit:
        before = clause
    elif before == clause:
        return ""
    found = numbers(before)
    return found[-1 if unit else 0] if found else ""


def _clause(evidence: Evidence, entry: Mapping[str, Any]) -> str:
    """The clause that says most of what is asked; of equals the one with most to add, then the first."""
    parts = clauses(said(entry)) or [said(entry)]
    return max(parts, key=lambda part: (evidence.match(part), len(stems(part) - evidence.asked)))


def _telling(evidence: Evidence, entry: Mapping[str, Any]) -> str:
    """What a short entry states, or what the best clause of a long one adds; if nothing, what follows does."""
    text = said(entry)
    if len(text.split()) <= SHORT:
        return stated(text, evidence.asked)
    parts = clauses(text)
    for part in parts[parts.index(_clause(evidence, entry)) :]:
        if added := news(part, evidence.asked):
            return added
    return ""
