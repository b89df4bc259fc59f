"""Names in a text by its spelling alone: people, places and things with capitals, and titles in quotation marks."""

import re

from memgym.memory.lexical import STOP_WORDS
from memgym.readers.dates import DAY, MONTH

__all__ = ["named_entities"]

QUOTED = re.compile(r"[\"“]([^\"“”]{2,60})[\"”]")
NAME = re.compile(r"\b[A-Z][\w-]*(?:['’](?=[A-Z])[\w-]+)?(?: [A-Z][\w-]*)*")
NO_NAME = re.compile(rf"(?:{MONTH}|{DAY}|i|ok|okay)s?", re.IGNORECASE)
OPENERS = STOP_WORDS | frozenset(
    "yesterday today tomorrow tonight last next hi hello hey dear thanks please yes".split()
)
START = re.compile(r"(?:^|[.!?:]\s+|\n|[\"“])$")


def named_entities(text: str, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """What a text names, each once: a word that opens a sentence only where it is `known` or named within one too.

    Names with more than one word count anywhere.

    >>> named_entities("Yesterday Maya read “Dune” in Oslo. Maya liked it.")
    ('Maya', 'Oslo', 'Dune')
    """
    inside: dict[str, None] = {}
    opening: dict[str, None] = {}
    for match in NAME.finditer(text):
        name = match[0]
        if START.search(text[: match.start()]):
            first, _, rest = name.partition(" ")
            if rest and first.lower() in OPENERS:
                inside[rest] = None  # "The Hague" is not told from "The Danube"
            else:
                (inside if rest else opening)[name] = None
        elif not NO_NAME.fullmatch(name):
            inside[name] = None
    found = [name for name in [*opening, *inside] if name in inside or name in known]
    return tuple(dict.fromkeys([*found, *(match[1] for match in QUOTED.finditer(text))]))
