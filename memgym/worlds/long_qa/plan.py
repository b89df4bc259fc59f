"""What the parts of the world share: settings, the log of statements, and drafts of questions.

Statements have a place from 0 to 1 in the stream. They are drawn before any text and do not depend on its
length, so that a longer stream tells the same facts in the same order, only further apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.words import lexicon

__all__ = [
    "GROUP",
    "LONGEST",
    "START",
    "Ability",
    "Draft",
    "Log",
    "LongQAConfig",
    "Statement",
    "combined_group",
    "draw_group",
    "group_of",
    "in_round",
    "partner_of",
    "sentence",
    "spread",
]

START = -1.0  # the place of what opens the stream
GROUP = 4  # values that are options together, whichever of them is right
LONGEST = 14  # words of a statement at most; a test holds the templates to it


@dataclass(frozen=True)
class LongQAConfig:
    """How long and how hard a stream is; `LongHorizonQA` documents the fields."""

    abilities: tuple[str, ...]
    num_words: int = 16_384
    chunk_words: int = 512
    num_rounds: int = 1
    num_questions: int = 20
    multi_turn: bool = False
    num_facts: int = 8
    updates: int = 2
    hops: int = 3
    num_classes: int = 4
    rule_features: int = 1
    distractor_rate: float = 0.1
    num_choices: int = 0  # 0: open questions
    canary: bool = False  # nothing of what is asked is told

    @property
    def breadth(self) -> int:
        """How many things of a kind there are to tell of: whole groups."""
        return GROUP * max(1, -(-self.num_facts // GROUP))


class Statement(NamedTuple):
    """One sentence that matters. Sorted, statements are in the order in which they are told.

    Attributes:
        place: where in the stream, from 0 to 1; below 0 at its very beginning.
        number: of the statement in the log; orders those of one place.
        round: the first round of questions that comes after it.
        text: the sentence.
    """

    place: float
    number: int
    round: int
    text: str


class Log:
    """All statements of a stream, in the order in which they were made up.

    Args:
        num_rounds: rounds of questions, one at the end of each of as many equal parts of the stream.
    """

    def __init__(self, num_rounds: int) -> None:
        self.num_rounds = num_rounds
        self.statements: list[Statement] = []

    def tell(self, place: float, text: str) -> Statement:
        """Add a sentence, with a capital."""
        number = min(max(0, int(place * self.num_rounds)), self.num_rounds - 1)
        statement = Statement(place, len(self.statements), number, sentence(text))
        self.statements.append(statement)
        return statement


@dataclass(frozen=True)
class Draft:
    """A question before it has a number and choices.

    Attributes:
        kind: the last part of its type, e.g. ``"multi-hop"``.
        about: names of what is asked. Nothing is asked twice in a stream, since the options of two questions
            on one thing would have the answer in common.
        text: as asked. In a conversation, all but the first leave out what the turns before have said.
        answer: the right answer.
        group: four values, the answer among them, that are the options. Which of them is right is left open by
            all that a question says: values keep their group throughout a stream, and each is as likely.
        evidence: the statements that the answer follows from.
        stale: values that were told, but do not hold.
        hops: facts that have to be put together.
    """

    kind: str
    about: tuple[str, ...]
    text: str
    answer: str
    group: Sequence[str]
    evidence: tuple[Statement, ...]
    stale: tuple[str, ...] = ()
    hops: int = 1

    def choices(self, rng: CounterRNG, count: int) -> tuple[str, ...]:
        """The options in random order: the group, or for two the pair in it that has the answer; or none."""
        if count == 0:
            return ()
        start = self.group.index(self.answer) // count * count
        options = list(self.group[start : start + count])
        rng.shuffle(options)
        return tuple(options)


class Ability(ABC):
    """One ability that is tested: it tells its facts when made, and then asks about them.

    Args:
        rng: its own random source.
        split: whose words are used.
        config: length and difficulty.
        log: takes its statements.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, rng: CounterRNG, split: str, config: LongQAConfig, log: Log) -> None:
        self.split, self.config, self.log = split, config, log
        self.words = lexicon(split)
        self._tell(rng)

    @classmethod
    @abstractmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """How many words the statements have, at most, between one round of questions and the next."""

    @abstractmethod
    def _tell(self, rng: CounterRNG) -> None:
        """Make up the facts and log their statements."""

    @abstractmethod
    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """Independent questions by kind, answerable from what is told up to round `now`."""

    @abstractmethod
    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """Conversations by the kind of their questions: all but the first need the ones before to be read."""

    @abstractmethod
    def distractor(self, rng: CounterRNG) -> str:
        """A sentence much like the statements that bears on no question."""


def sentence(text: str) -> str:
    """`text` with a capital."""
    return text[0].upper() + text[1:]


def spread(rng: CounterRNG, count: int, low: float = 0.0, high: float = 1.0) -> list[float]:
    """`count` increasing places, one in each of as many equal parts of the stretch from `low` to `high`."""
    return [low + (high - low) * (i + rng.random()) / count for i in range(count)]


def in_round(count: int, num_rounds: int) -> int:
    """How many of `count` statements spread over the whole stream fall into one round, at most."""
    return min(count, -(-count // num_rounds) + 1)


def group_of(values: Sequence[str], value: str) -> Sequence[str]:
    """The group of a value where `values` make up groups as they stand."""
    start = values.index(value) // GROUP * GROUP
    return values[start : start + GROUP]


def partner_of(values: Sequence[str], value: str) -> str:
    """The other value of a pair where `values` make up groups as they stand."""
    return values[values.index(value) ^ 1]


def draw_group(rng: CounterRNG, answer: str, others: Sequence[str]) -> list[str]:
    """A group for one question alone: the answer among three of the others."""
    group = [answer, *rng.sample([value for value in others if value != answer], GROUP - 1)]
    rng.shuffle(group)
    return group


def combined_group(
    answer: Sequence[str], wrong: Sequence[str], steps: tuple[Sequence[bool], Sequence[bool]], comma: str
) -> list[str]:
    """A group of lists, each part of which is that of `answer` or that of `wrong`.

    Args:
        answer: the right parts.
        wrong: as many others.
        steps: the parts that change within a pair, and those that change between the pairs.
        comma: between the parts.
    """
    group = []
    for between in (False, True):
        for within in (False, True):
            changes = [(within and a) != (between and b) for a, b in zip(*steps, strict=True)]
            parts = [w if change else r for r, w, change in zip(answer, wrong, changes, strict=True)]
            group.append(comma.join(parts))
    return group
