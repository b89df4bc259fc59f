"""The words of a split: names, values, templates, and filler made from patterns.

One TOML file a split; what one uses, the other never does. Only what the language itself shares, such as dates,
numbers and "three days ago", stands in both.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from string import Formatter
from typing import Any

from memgym.rng import CounterRNG, stream_id

__all__ = ["CONFLICT", "RELATIVE", "WEEKDAYS", "Lexicon", "lexicon", "texts"]

CONFLICT = "Conflicting accounts"
"""The answer where people disagree and nobody has the last word."""

RELATIVE = (  # (phrase, days before the session)
    ("today", 0),
    ("yesterday", 1),
    ("the day before yesterday", 2),
    ("three days ago", 3),
    ("a week ago", 7),
    ("two weeks ago", 14),
)
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

MAX_SENTENCES = 1 << 12  # of filler; a power of two, so that 12 bits pick one
FILLER_STEP = 1009  # prime to the number of sentences of any pattern
STRANGER_STEP = 100_003  # prime to the number of full names, so that numbers walk over all of them


class Lexicon:
    """Names, values and templates of one split.

    Attributes:
        words: the file as read.
        sentences: `MAX_SENTENCES` filler sentences, which say nothing about anybody.
    """

    def __init__(self, split: str) -> None:
        path = files("memgym.worlds.dialogue").joinpath(f"{split}.toml")
        self.words: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
        self.slots: tuple[str, ...] = tuple(self.words["slots"])
        self.sentences = _sentences(self.words["filler"])
        people = self.words["people"]
        self._names = [people[part] for part in ("guests", "onsets", "middles", "endings")]
        self.num_strangers = 1
        for part in self._names:
            self.num_strangers *= len(part)

    def __getitem__(self, name: str) -> Any:
        return self.words[name]

    def stranger(self, number: int, start: int) -> str:
        """A full name; different numbers below `num_strangers` give different names."""
        at = (start + number * STRANGER_STEP) % self.num_strangers
        parts = []
        for pool in reversed(self._names):
            at, digit = divmod(at, len(pool))
            parts.append(pool[digit])
        end, middle, onset, first = parts
        return f"{first} {onset}{middle}{end}"

    def mean_words(self, pool: Sequence[str]) -> float:
        """Words of a text in `pool`, on average."""
        return sum(len(text.split()) for text in pool) / len(pool)


@cache
def lexicon(split: str) -> Lexicon:
    """The words of one split, read once."""
    return Lexicon(split)


def texts(part: Any) -> Iterator[str]:
    """All texts in a part of `Lexicon.words`, in their order."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for inner in part.values():
            yield from texts(inner)
    else:
        for inner in part:
            yield from texts(inner)


def _sentences(filler: Mapping[str, Any]) -> tuple[str, ...]:
    """Filler sentences: each pattern equally often, its own words in turn, in a mixed order."""
    pools = [list(_filled(pattern, filler)) for pattern in filler["patterns"]]
    made = []
    for i in range(MAX_SENTENCES):
        turn, which = divmod(i, len(pools))
        made.append(pools[which][turn * FILLER_STEP % len(pools[which])])
    CounterRNG(stream_id("dialogue/filler")).shuffle(made)
    return tuple(made)


def _filled(pattern: str, filler: Mapping[str, Any]) -> Iterator[str]:
    names = [name for _, name, _, _ in Formatter().parse(pattern) if name]
    for values in product(*(filler[name] for name in names)):
        text = pattern.format(**dict(zip(names, values, strict=True)))
        yield text[0].upper() + text[1:]
