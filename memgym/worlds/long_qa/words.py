"""The words of a split: its tables, composed names, random strings, and dates."""

import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from memgym.rng import CounterRNG
from memgym.stream import format_date

__all__ = ["FIRST_DAY", "Strings", "compose", "lexicon", "name_day", "random_code", "some_name"]

FIRST_DAY = date(2031, 1, 1)


@cache
def lexicon(split: str) -> Mapping[str, Any]:
    """Names, values and templates of one split."""
    return tomllib.loads(files("memgym.worlds.long_qa").joinpath("lexicon.toml").read_text("utf-8"))[split]


@cache
def compose(split: str, kind: str) -> tuple[str, ...]:
    """All names of a kind, e.g. ``"site"``: every first part with every last part."""
    words = lexicon(split)
    parts = ("first", "last") if kind == "person" else (f"{kind}_first", f"{kind}_last")
    gap = "" if kind in ("place", "river", "port") else " "
    return tuple(first + gap + last for first in words[parts[0]] for last in words[parts[1]])


def some_name(rng: CounterRNG, names: tuple[str, ...], taken: frozenset[str]) -> str:
    """A name outside `taken`, which are far fewer than all."""
    while (name := rng.choice(names)) in taken:
        pass
    return name


def name_day(day: int) -> str:
    """Day number `day` of the world's calendar, e.g. ``"7 May 2031"``."""
    return format_date(FIRST_DAY + timedelta(days=day))


def random_code(rng: CounterRNG, letters: str) -> str:
    """Three letters and three digits, e.g. ``"tvx-481"``."""
    return "".join(rng.choice(letters) for _ in range(3)) + f"-{rng.integer(100, 999)}"


class Strings:
    """Random strings over the letters of a split, none of them twice.

    Args:
        letters: the alphabet, at least nine letters.
    """

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self.taken: set[str] = set()

    def draw(self, rng: CounterRNG, length: int = 8, start: str = "", end: str = "") -> str:
        """One that was not drawn before, with the given first and last letters."""
        while (text := self._random(rng, length, start, end)) in self.taken:
            pass
        self.taken.add(text)
        return text

    def other(self, rng: CounterRNG, length: int = 8, start: str = "", end: str = "") -> str:
        """One that was not drawn, without keeping it."""
        while (text := self._random(rng, length, start, end)) in self.taken:
            pass
        return text

    def _random(self, rng: CounterRNG, length: int, start: str, end: str) -> str:
        base, bits = len(self.letters), rng.bits()
        middle = []
        for _ in range(length - len(start) - len(end)):  # at most 9 letters of 12: 33 of the 64 bits
            bits, letter = divmod(bits, base)
            middle.append(self.letters[letter])
        return start + "".join(middle) + end
