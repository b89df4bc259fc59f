"""Dates in words: what day, week, month or year somebody speaks of, given the day they speak on.

A date is told no more finely than it was said: "yesterday" is a day, "last month" a month. "Last week" of the 9 June
is "the week before 9 June 2023", since nobody knows which day is meant.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from memgym.stream import MONTHS, format_date

__all__ = ["COUNT", "When", "asks_when", "find_dates", "on_day", "resolve_date", "told"]

NUMBERS = {
    "a couple of": 2, "a couple": 2, "couple of": 2, "a few": 3, "few": 3, "several": 4, "a": 1, "an": 1, "one": 1,
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30,
}  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # first month
MONTH_NUMBERS = {month.lower(): i for i, month in enumerate(MONTHS, 1)}
MONTH_NUMBERS |= {month[:3]: i for month, i in MONTH_NUMBERS.items()} | {"sept": 9}

MONTH = "|".join(sorted(MONTH_NUMBERS, key=len, reverse=True))
DAY = "|".join(WEEKDAYS)
SEASON = "|".join(SEASONS)
COUNT = "|".join(sorted(NUMBERS, key=len, reverse=True)) + r"|\d{1,3}"
ASKS_WHEN = re.compile(
    r"\bwhen\b|\b(?:what|which)(?: \w+)? (?:date|day|week|weekend|month|year)\b|\bwhat (?:was|is) the date\b",
    re.IGNORECASE,
)
ASKS_UNIT = re.compile(r"\b(?:what|which)(?: \w+)? (month|year)\b", re.IGNORECASE)


class When(NamedTuple):
    """A stretch of time that a text names.

    Attributes:
        day: the day, or the first one of the month, season or year; in a week, the same weekday as today.
        unit: ``"day"``, ``"week"``, ``"month"``, ``"season"`` or ``"year"``.
        text: how to say it to somebody who does not know when it was said.
        place: where the text names it, in characters.
        end: where that ends.
    """

    day: date
    unit: str
    text: str
    place: int = 0
    end: int = 0


def asks_when(question: str) -> bool:
    """Whether a question asks for a time.

    >>> asks_when("When did she move?"), asks_when("In which month did she?"), asks_when("What did she move?")
    (True, True, False)
    """
    return bool(ASKS_WHEN.search(question))


def resolve_date(text: str, written: date) -> date:
    """The day that `text`, written on the day `written`, speaks of first; `written` where it names none.

    >>> resolve_date("I saw her two weeks ago", date(2023, 5, 20))
    datetime.date(2023, 5, 6)
    """
    return next((when.day for when in find_dates(text, written)), written)


def find_dates(text: str, written: date) -> list[When]:
    """The times that `text`, written on the day `written`, names, in the order of the text.

    >>> [when.text for when in find_dates("Last week I met her, and yesterday too", date(2023, 6, 9))]
    ['the week before 9 June 2023', '8 June 2023']
    """
    plain = text.lower()
    if not HINT.search(plain):
        return []
    found: list[tuple[int, int, When]] = []
    for pattern, resolve in RULES:
        for match in pattern.finditer(plain):
            start, end = match.span()
            # of what overlaps, the rule that comes first counts: "day before yesterday" ends in "yesterday"
            if any(start < other_end and other_start < end for other_start, other_end, _ in found):
                continue
            try:
                when = resolve(match, written)
            except (ValueError, OverflowError):  # 31 June, or a thousand years ago
                continue
            found.append((start, end, when._replace(place=start, end=end)))
    return sorted((when for _, _, when in found), key=lambda when: when.place)


def told(when: When, question: str) -> str:
    """How to tell a time to somebody who asks `question`: the month or the year alone where that is asked.

    >>> told(on_day(date(2023, 6, 9)), "In which month was it?")
    'June 2023'
    """
    asked = ASKS_UNIT.search(question)
    if asked and asked[1].lower() == "year":
        return str(when.day.year)
    if asked and when.unit != "year":
        return _month(when.day.year, when.day.month).text
    return when.text


# ---------------------------------------------------------------------- what the words mean

Rule = Callable[["re.Match[str]", date], When]


def on_day(day: date) -> When:
    """One day, exactly."""
    return When(day, "day", format_date(day))


def _month(year: int, month: int) -> When:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return When(date(year, month, 1), "month", f"{MONTHS[month - 1]} {year}")


def _year(year: int) -> When:
    return When(date(year, 1, 1), "year", str(year))


def _days(count: int) -> Rule:
    return lambda match, written: on_day(written + timedelta(days=count))


def _shift(sign: int) -> Rule:
    """So many units from then: ago, from now, or for so long by now."""

    def shifted(match: "re.Match[str]", written: date) -> When:
        word, unit = match["count"], match["unit"]
        count = sign * (NUMBERS.get(word) or int(word))
        if unit == "day":
            return on_day(written + timedelta(days=count))
        if unit == "week":
            return on_day(written + timedelta(weeks=count))
        if unit == "month":
            return _month(written.year, written.month + count)
        return _year(written.year + count * (10 if unit == "decade" else 1))

    return shifted


def _near_unit(match: "re.Match[str]", written: date) -> When:
    """Last, this or next week, weekend, month or year."""
    step, unit = _step(match["near"]), match["unit"]
    if unit in ("week", "weekend"):
        word = {-1: "before", 0: "of", 1: "after"}[step]
        text = f"the {unit} {word} {format_date(written)}"
        return When(written + timedelta(weeks=step), "week", text)
    if unit == "month":
        return _month(written.year, written.month + step)
    return _year(written.year + step)


def _near_season(match: "re.Match[str]", written: date) -> When:
    """Last, this or next summer."""
    name, step = match["season"], _step(match["near"])
    first = SEASONS[name]
    year = written.year
    if step < 0 and (first + 3, 1) > (written.month, written.day):  # not over yet in this year
        year -= 1
    if step > 0 and first <= written.month:
        year += 1
    return When(date(year, first, 1), "season", f"{name} {year}")


def _near_weekday(match: "re.Match[str]", written: date) -> When:
    """Last Friday, on Friday, next Friday: the nearest one before or after."""
    target = WEEKDAYS.index(match["day"])
    if _step(match["near"]) > 0:
        return on_day(written + timedelta(days=(target - written.weekday()) % 7 or 7))
    return on_day(written - timedelta(days=(written.weekday() - target) % 7 or 7))


def _near_month(match: "re.Match[str]", written: date) -> When:
    """Last May, in May, next May; without more, the one in the past."""
    month, step = MONTH_NUMBERS[match["month"]], _step(match["near"])
    year = written.year
    if step > 0:
        year += month <= written.month
    elif month > written.month or (step < 0 and month == written.month):
        year -= 1
    return _month(year, month)


def _calendar_day(match: "re.Match[str]", written: date) -> When:
    """7 May 2023, May 7th; without a year, the nearest one."""
    month, day = MONTH_NUMBERS[match["month"]], int(match["day"])
    if match["year"]:
        return on_day(date(int(match["year"]), month, day))
    years = [
        year
        for year in (written.year - 1, written.year, written.year + 1)
        if day <= monthrange(year, month)[1]
    ]
    return on_day(min((date(year, month, day) for year in years), key=lambda each: abs(each - written)))


def _day_of_month(match: "re.Match[str]", written: date) -> When:
    """The 15th: of this month, or of the last where it is still to come."""
    day, first = int(match["day"]), written.replace(day=1)
    if day > written.day:
        first = (first - timedelta(days=1)).replace(day=1)
    return on_day(first.replace(day=day))


def _step(near: str | None) -> int:
    """-1 for the last, 0 for this, 1 for the next; without a word, the last."""
    if near in ("next", "coming", "following", "this coming"):
        return 1
    return 0 if near in ("this", "earlier this", "later this") else -1


LAST = (
    r"(?P<near>last|past|previous|this past|earlier this|later this|this coming|this|next|coming|following)"
)
SPAN = rf"(?P<count>{COUNT}) (?P<unit>day|week|month|year|decade)s?"
YEAR = r"(?P<year>(?:19|20)\d\d)"
RULES: list[tuple["re.Pattern[str]", Rule]] = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"\bday before yesterday\b", _days(-2)),
        (r"\bday after tomorrow\b", _days(2)),
        (r"\b(?:yesterday|last night)\b", _days(-1)),
        (r"\btomorrow\b", _days(1)),
        (r"\b(?:today|tonight|this (?:morning|afternoon|evening))\b", _days(0)),
        (rf"\b(?P<month>{MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? {YEAR})?", _calendar_day),
        (rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{MONTH})\b(?:,? {YEAR})?", _calendar_day),
        (
            rf"\b{YEAR}-(?P<m>\d\d)-(?P<d>\d\d)\b",
            lambda match, _: on_day(date(int(match["year"]), int(match["m"]), int(match["d"]))),
        ),
        (
            rf"\b(?P<month>{MONTH})(?: of|,)? {YEAR}\b",
            lambda match, _: _month(int(match["year"]), MONTH_NUMBERS[match["month"]]),
        ),
        (rf"\b{SPAN} (?:ago|back|earlier)\b", _shift(-1)),
        (rf"\b{SPAN} from now\b", _shift(1)),
        (rf"\bin {SPAN}\b(?! of)", _shift(1)),
        (rf"\bfor (?:about |around |over |almost |nearly )?(?!\w+ (?:day|week)){SPAN}\b", _shift(-1)),
        (rf"\b{LAST} (?P<unit>weekend|week|month|year)\b", _near_unit),
        (rf"\b{LAST} (?P<season>{SEASON})\b", _near_season),
        (rf"\b(?:{LAST}|on) (?P<day>{DAY})\b", _near_weekday),
        (
            rf"\b(?P<season>{SEASON}) (?:of )?{YEAR}\b",
            lambda match, _: When(
                date(int(match["year"]), SEASONS[match["season"]], 1),
                "season",
                f"{match['season']} {match['year']}",
            ),
        ),
        (rf"\b(?:{LAST}|in|since|early|late|mid) (?P<month>{MONTH})\b(?! \d)", _near_month),
        (rf"\b(?:in|since|during|of) {YEAR}\b", lambda match, _: _year(int(match["year"]))),
        (r"\bon the (?P<day>\d{1,2})(?:st|nd|rd|th)\b", _day_of_month),
    )
]
HINT = re.compile(
    rf"\d|day|tomorrow|night|morning|afternoon|evening|week|month|year|decade|{SEASON}|\b(?:{MONTH})\b"
)
"""Each rule needs one of these; most texts have none, and are done with."""
