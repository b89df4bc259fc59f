"""Readers: they answer a question from memory entries, and remember nothing themselves.

The same weak, deterministic reader for every memory makes differences between agents those of what they remember;
a language model plugs in at the same place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memgym.registry import Registry

__all__ = ["READERS", "Reader", "make_reader"]

Reader = Callable[[str, Sequence[Mapping[str, Any]], Sequence[str]], str]
"""(question text, entries best first, choices) -> answer."""

READERS = Registry(
    "reader",
    {
        "extractive": "memgym.readers.extractive:extractive_reader",
        "choice": "memgym.readers.choice:choice_reader",
    },
    group="memgym.readers",
)
"""Readers by name, each a `Reader`."""


def make_reader(name: str) -> Reader:
    """A reader by registered name or ``"module:attr"``; ``"llm:"`` and a name as in `memgym.llm.make_llm` is a model.

    Raises:
        UnknownName: no such reader; the message suggests near matches.
        DependencyMissing: a language model needs the extra ``llm``.

    >>> make_reader("extractive")("Where is it?", [{"text": "It is in Oslo.", "attrs": ""}], ("Rome", "Oslo"))
    'Oslo'
    """
    if name.startswith("llm:"):
        from memgym.llm import LLMReader, make_llm

        return LLMReader(make_llm(name.removeprefix("llm:")))
    return READERS.resolve(name)
