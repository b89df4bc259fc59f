"""What a published memory system is: a policy that decides the operations. The engine carries them out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from memgym.memory.lexical import content_words
from memgym.memory.ops import MemoryOp

__all__ = ["MemoryPolicy", "MemoryView", "Message", "ReadResult", "Search", "Shown"]

Shown = Mapping[str, Any]
"""An entry as an observation shows it: ``id``, ``text``, ``attrs`` (JSON) and ``score``."""


class Search(Protocol):
    """What a policy asks the bank with."""

    def __call__(self, query: str, k: int = 10, **how: Any) -> Sequence[Shown]:
        """The `k` entries nearest to `query`, best first.

        In an extended bank, ``near="m3"`` asks for the neighbourhood of an entry, and ``views`` and ``valid_at`` say
        how to search (`memgym.memory.retrieval.answer_search`).
        """
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """What a policy is asked to remember or to answer: one turn, chunk or question."""

    text: str
    speaker: str = ""
    time: str = ""
    choices: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The text with who says it in front: "Speaker: text"."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What a policy sees of the bank while it writes.

    Attributes:
        entries: all entries where they fit the view, otherwise those nearest to the message.
        bytes_left: what the budget still takes.
        bank: bytes of every entry by id, oldest first, where others write to the bank too, as in a library;
            None where only this policy does, which then knows them itself.
        next_id: the id that the next new entry gets, in a library; ``""`` where the policy counts them itself.
    """

    entries: Sequence[Shown]
    bytes_left: int
    bank: MappingProxyType[str, int] | None = None
    next_id: str = ""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a policy found for a question.

    Attributes:
        hits: entries for the reader, best first.
        answer: the policy's own answer; None leaves it to the reader.
    """

    hits: Sequence[Shown]
    answer: str | None = None


class MemoryPolicy(ABC):
    """Decides what to write and what to look up. One instance lives for one episode.

    It sees messages and the bank through a view, and changes the bank only by the operations that it returns;
    so a bank can be rebuilt from its operations, whatever thought of them.
    """

    @abstractmethod
    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """Operations to carry out for one new message."""

    def read(self, question: Message, search: Search) -> ReadResult:
        """Find what answers `question`; by default the ten entries nearest to its content words.

        It may be called again for the same question, with the results of earlier searches at hand, and must
        then ask for the same searches in the same order.
        """
        return ReadResult(search(" ".join(content_words(question.text)), 10))

    def consolidate(self, view: MemoryView) -> list[MemoryOp]:
        """Operations that tidy the bank between messages; by default none."""
        return []

    def nbytes(self) -> int:
        """Bytes that the policy remembers outside the bank."""
        return 0
