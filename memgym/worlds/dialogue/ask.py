"""What an `Ask` is: one thing that can be asked at a moment, and what the world says to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memgym.worlds.dialogue.log import Event

__all__ = ["Ask"]


@dataclass(frozen=True)
class Ask:
    """One thing that can be asked.

    Attributes:
        type: question type.
        templates: of its text.
        fields: what goes into the template.
        answer: the right answer.
        events: those that the answer follows from.
        options: kind of its options: values, dates, numbers, days, pairs or named.
        pool: other values of the same kind.
        traps: what is easily mistaken for the answer.
        around: template that wraps the question, with ``{question}``.
        ready: whether all of it has been told; until then it is not asked, but has to be remembered.
        changes: later events that may change the answer.
        about: what the options need besides.
    """

    type: str
    templates: Sequence[str]
    fields: dict[str, str]
    answer: str
    events: tuple[Event, ...] = ()
    options: str = "values"
    pool: Sequence[str] = ()
    traps: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    planted: tuple[str, ...] = ()
    hops: int = 1
    around: str = "{question}"
    ready: bool = True
    changes: tuple[Event, ...] = ()
    about: Any = None
