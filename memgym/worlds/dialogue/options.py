"""Options of choice questions: who knows the question alone finds the right one no better than by chance.

Each builder makes a set in which the right option could be any one, and `UNKNOWN` is always among them. What is
easily mistaken for the answer comes first, options of the same kind fill up.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from memgym.rng import CounterRNG
from memgym.stream import UNKNOWN, format_date

__all__ = ["dates", "days_between", "numbers", "pairs", "values"]

GAPS = (1, 2, 3, 7, 14, 5, 10)  # days between the right date and the others
NEAR = 10  # days between the right number of days and the others, at most


def values(
    answer: str,
    traps: Sequence[str],
    pool: Sequence[str],
    count: int,
    rng: CounterRNG,
    fixed: Sequence[str] = (),
) -> tuple[str, ...]:
    """The answer, `UNKNOWN`, what is `fixed`, the traps, and others from the pool: `count` in a random order."""
    if count == 0:
        return ()
    options = list(dict.fromkeys([answer, UNKNOWN, *fixed, *traps]))[:count]
    others = [other for other in rng.sample(pool, len(pool)) if other not in options]
    options += others[: count - len(options)]
    rng.shuffle(options)
    return tuple(options)


def numbers(answer: int, most: int, count: int, rng: CounterRNG) -> tuple[str, ...]:
    """The answer and other numbers from 1 to `most`, or as many as there are options."""
    pool = [str(number) for number in range(1, max(most, count - 1) + 1)]
    return values(str(answer), (), pool, count, rng)


def dates(day: date, told: date, count: int, rng: CounterRNG, answerable: bool = True) -> tuple[str, ...]:
    """Dates among which `day` is first, last or in between with equal chance, and `UNKNOWN`.

    Where a later date is shown, one of them is the day it was told: what somebody answers who reads "two weeks
    ago" as today. Where nothing is `answerable`, `day` is as wrong as the others.
    """
    if count == 0:
        return ()
    others = count - 2
    earlier = rng.integer(0, others)
    days = [day - timedelta(days=gap) for gap in rng.sample(GAPS, earlier)]
    later = [day + timedelta(days=gap) for gap in rng.sample(GAPS, others - earlier)]
    if answerable and later and told > day and told not in later:
        later[0] = told
    options = [UNKNOWN, *(format_date(day) for day in (day, *days, *later))]
    rng.shuffle(options)
    return tuple(options)


def days_between(answer: int, count: int, rng: CounterRNG) -> tuple[str, ...]:
    """Numbers of days among which the right one is first, last or in between with equal chance."""
    if count == 0:
        return ()
    others = count - 2
    fewer = rng.integer(0, others)
    low = rng.sample(range(max(1, answer - NEAR), answer), fewer)
    high = rng.sample(range(answer + 1, answer + NEAR + 1), others - fewer)
    options = [UNKNOWN, *(f"{number} days" for number in (answer, *low, *high))]
    rng.shuffle(options)
    return tuple(options)


def pairs(
    first: tuple[Sequence[str], Sequence[str]],
    second: tuple[Sequence[str], Sequence[str]],
    count: int,
    rng: CounterRNG,
) -> tuple[str, ...]:
    """Pairs of two values and `UNKNOWN`; each half comes as (told, newest first; pool).

    Cells of a grid are drawn first, and only then which of them is right; so halves that occur often tell nothing.
    """
    if count == 0:
        return ()
    size = 2
    while size * size < count:
        size += 1
    halves = []
    for told, pool in (first, second):
        others = [value for value in rng.sample(pool, len(pool)) if value not in told]
        halves.append([*told, *others][:size])
    cells = rng.sample([(i, j) for i in range(size) for j in range(size)], count - 1)
    right = cells[0]
    rows = [right[0], *(i for i in range(size) if i != right[0])]
    columns = [right[1], *(j for j in range(size) if j != right[1])]
    options = [UNKNOWN]
    options += [f"{halves[0][rows.index(i)]} and {halves[1][columns.index(j)]}" for i, j in cells]
    rng.shuffle(options)
    return tuple(options)
