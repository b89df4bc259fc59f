"""Dates in words: what day, week, month or year somebody speaks of, given the day they speak on."""

import re
from datetime import date, timedelta

__all__ = ["is_when", "resolve_date"]

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


def is_when(question: str) -> bool:
    """Whether a question asks for a date."""
    return bool(WHEN.search(question))


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
