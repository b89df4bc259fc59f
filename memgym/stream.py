"""What a text task streams: items to remember and questions to answer, in any interleaving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

__all__ = ["UNKNOWN", "Item", "Question", "Verdict", "format_date"]

UNKNOWN = "Not mentioned in the conversation"
"""The answer to a question whose answer is not, or no longer, to be known."""


# not strftime, whose names follow the locale of the process
MONTHS: Sequence[str] = (
    "January February March April May June July August September October November December".split()
)


def format_date(day: date) -> str:
    """A date as questions expect it.

    >>> format_date(date(2023, 5, 7))
    '7 May 2023'
    """
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


@dataclass(frozen=True, slots=True)
class Item:
    """One dialogue turn or document chunk.

    Attributes:
        id: unique in its episode; evidence and provenance refer to it. Agents never see it.
        text: what was said.
        speaker: who said it, ``""`` for a document.
        time: when, ISO 8601 (``"2023-05-08T13:56"``), ``""`` where unknown.
    """

    id: str
    text: str
    speaker: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what its scorer knows about it.

    Attributes:
        id: unique in its episode.
        text: the question as asked.
        type: e.g. ``"single-hop"``; scores are reported by type.
        answer: the right answer; `UNKNOWN` where the right thing is to abstain.
        time: when it is asked, ISO 8601.
        aliases: other right answers.
        choices: options, the right answer among them; empty for an open question.
        evidence: ids of the items that the answer follows from.
        stale: values that were right once and are not any more.
        forbidden: values that somebody asked to forget.
        planted: values that text of no authority (an injected instruction, a false claim) tries to have answered.
        hops: facts that have to be put together.
        meta: what else a scorer needs, e.g. a dataset's category number.
    """

    id: str
    text: str
    type: str
    answer: str
    time: str = ""
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    planted: tuple[str, ...] = ()
    hops: int = 1
    meta: Mapping[str, Any] = field(default_factory=dict)


class Verdict(NamedTuple):
    """What a scorer says of one answer.

    Attributes:
        score: reward, from 0 to 1.
        is_correct: whether it counts as right.
        metrics: further numbers by name, e.g. ``{"stale": 1.0}``; a name is there only where it has a meaning.
    """

    score: float
    is_correct: bool
    metrics: dict[str, float]
