"""The time that a question asks about."""

import re
from datetime import date, timedelta
from typing import NamedTuple

from memgym.memory.policy import Message
from memgym.readers.dates import asks_when, find_dates

__all__ = ["Period", "asked_period", "asks_for_the_past"]

DAYS = {"day": 1, "week": 7, "season": 92}
PAST = re.compile(
    r"\b(?:used to|previous|previously|former|formerly|before|originally|at first|earlier|once)\b",
    re.IGNORECASE,
)


class Period(NamedTuple):
    """From `start` (included) to `end` (not included), ISO 8601."""

    start: str
    end: str


def asked_period(question: Message) -> Period | None:
    """The stretch of time that a question names and asks about; None for the present, or where it asks for a time.

    >>> asked_period(Message("Where did Maya live in May 2021?", time="2024-03-01"))
    Period(start='2021-05-01', end='2021-06-01')
    """
    if asks_when(question.text):
        return None
    try:
        today = date.fromisoformat(question.time[:10])
    except ValueError:
        today = date.max
    named = find_dates(question.text, today)
    if not named or named[-1].day == today:
        return None
    start, unit = named[-1].day, named[-1].unit
    if unit == "year":
        end = date(start.year + 1, 1, 1)
    elif unit == "month":
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
    else:
        end = start + timedelta(days=DAYS[unit])
    return Period(start.isoformat(), end.isoformat())


def asks_for_the_past(question: str) -> bool:
    """Whether a question asks for what held and does not any more, without saying when."""
    return PAST.search(question) is not None
