"""Steps of systems that keep facts: which facts a message holds, what to do with each, which a question needs."""

import re
from datetime import date
from typing import Literal

from memgym.agents.rules import FIRST_PERSON
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import content_words, kept_where_short, stem, stems
from memgym.readers.dates import find_dates

__all__ = [
    "DECIDE_OPS",
    "DISTIL",
    "EXTRACT_FACTS",
    "Decision",
    "DecisionInput",
    "Decisions",
    "DistilInput",
    "Distilled",
    "Facts",
    "KeptFact",
    "Said",
]

PACKAGE = "memgym.agents.structured"
SENTENCE = re.compile(r"(?<=[.!?])\s+")
ASKING = re.compile(
    r"(who|whom|whose|what|which|when|where|why|how|is|are|am|was|were|do|does|did|have|has|had|can|could|will|would|"
    r"shall|should|may|might|must)\b",
    re.IGNORECASE,
)
FORGET = re.compile(r"\b(forget|delete|erase)\b", re.IGNORECASE)
ENDED = re.compile(
    r"\b(no longer|not \w+ any ?more|n't \w+ any ?more|stopped|gave up|sold|quit|lost)\b", re.IGNORECASE
)
CHANGED = re.compile(
    r"\b(now|instead|actually|these days|moved|switched|changed|corrected|rather)\b", re.IGNORECASE
)
CUES = stems(
    "please forget delete erase memory remember could now longer instead actually these days moved switched changed "
    "corrected rather anymore stopped gave sold quit lost also another too"
)
# what one can do with several things at different times, so that the second does not replace the first
SEVERAL = stems(
    "adopt visit read buy bought meet met watch learn try tried own have like love enjoy play see saw eat ate "
    "collect bring brought make made write wrote join attend"
)
ANY_DAY = date(2000, 1, 1)  # whether a text names a time does not depend on when it is said
ALIKE = 0.5  # share of content stems from which two facts are about the same thing
MANY = 8  # facts of a question, at most, by the rule


class Said(StepModel):
    """A message."""

    text: str
    speaker: str = ""
    time: str = ""


class Facts(StepModel):
    """Facts worth keeping, each a sentence that stands alone but for its speaker; none for small talk."""

    facts: tuple[str, ...]


class KeptFact(StepModel):
    """A fact in memory, by its number."""

    number: int
    text: str


class DecisionInput(StepModel):
    """A new fact, and those in memory that are nearest to it."""

    fact: str
    memories: tuple[KeptFact, ...] = ()


class Decision(StepModel):
    """What to do: ADD `text`; UPDATE memory `number` to `text`; DELETE memory `number`; or nothing."""

    event: Literal["ADD", "UPDATE", "DELETE", "NOOP"]
    number: int = 0
    text: str = ""


class Decisions(StepModel):
    """Operations, in order."""

    operations: tuple[Decision, ...]


class DistilInput(StepModel):
    """A question, and the memories found for it, best first."""

    question: str
    memories: tuple[KeptFact, ...]


class Distilled(StepModel):
    """Numbers of the memories that the answer needs, the most useful first."""

    numbers: tuple[int, ...]


def first_person_sentences(x: Said) -> Facts:
    """Sentences about the speaker with two content words at least; longer ones about anything; no questions.

    A question that its speaker answers is one with the answer; a statement that ends in one ("I won, can you
    believe it?") is a statement.
    """
    kept = []
    for sentence in _with_their_answers(SENTENCE.split(x.text.strip())):
        words = len(content_words(sentence))
        about = FIRST_PERSON.search(sentence) is not None
        asks = sentence.endswith("?") and (ASKING.match(sentence) is not None or "," not in sentence)
        if sentence and not asks and words >= (2 if about else 4):
            kept.append(sentence)
    if FORGET.search(x.text) and not kept:
        kept = [x.text]
    return Facts(facts=tuple(kept))


def _with_their_answers(sentences: list[str]) -> list[str]:
    """The sentences, each question together with a statement that follows it."""
    joined: list[str] = []
    for sentence in sentences:
        if joined and joined[-1].endswith("?") and not sentence.endswith("?"):
            joined[-1] += f" {sentence}"
        else:
            joined.append(sentence)
    return joined


def decide_by_words(x: DecisionInput) -> Decisions:
    """By content words: the same ones, NOOP; an end or a request to forget, DELETE; the same thing, UPDATE; else ADD.

    Where one can do a thing with several objects ("adopted Buddy", "adopted Scout"), an UPDATE names both. What
    happened at a time that is named replaces nothing.
    """
    new = stems(x.fact)
    if any(stems(memory.text) == new for memory in x.memories):
        return Decisions(operations=(Decision(event="NOOP"),))
    about = new - CUES
    near = [(_likeness(x.fact, memory.text), memory) for memory in x.memories]
    best, memory = max(near, key=lambda pair: pair[0], default=(0.0, None))
    if FORGET.search(x.fact):
        shared = {m.number: len(about & stems(m.text)) for m in x.memories}
        gone = [number for number, count in shared.items() if count and count == max(shared.values())]
        return Decisions(operations=tuple(Decision(event="DELETE", number=number) for number in gone))
    happened = find_dates(x.fact, ANY_DAY) and not CHANGED.search(x.fact) and not ENDED.search(x.fact)
    if memory is None or best < ALIKE or happened:
        return Decisions(operations=(Decision(event="ADD", text=x.fact),))
    if ENDED.search(x.fact) and not CHANGED.search(x.fact) and not about - stems(memory.text):
        return Decisions(operations=(Decision(event="DELETE", number=memory.number),))
    replaces = CHANGED.search(x.fact) or not _verb(x.fact) & SEVERAL
    text = x.fact if replaces else f"{memory.text} {x.fact}"
    return Decisions(operations=(Decision(event="UPDATE", number=memory.number, text=text),))


@kept_where_short
def _verb(text: str) -> frozenset[str]:
    """The stem of the first content word that is no cue: as a rule, what is done."""
    words = [stem(word) for word in content_words(text) if not word.endswith("ly")]
    words = [word for word in words if word not in CUES]
    return frozenset(words[:1])


def _likeness(a: str, b: str) -> float:
    """How far two facts are about the same thing: 1 where they begin with the same deed, else by shared stems."""
    if _verb(a) and _verb(a) == _verb(b):
        return 1.0
    left, right = stems(a) - CUES, stems(b) - CUES
    return len(left & right) / max(1, len(left | right))


def overlapping(x: DistilInput) -> Distilled:
    """Memories that share more than half as many stems with the question as the best one; else the first three."""
    asked = stems(x.question)
    shared = {memory.number: len(asked & stems(memory.text)) for memory in x.memories}
    most = max(shared.values(), default=0)
    kept = [number for number, count in shared.items() if 2 * count > most]
    return Distilled(numbers=tuple(kept or list(shared)[:3])[:MANY])


def _known_numbers(x: DecisionInput, output: Decisions) -> str:
    known = {memory.number for memory in x.memories}
    for operation in output.operations:
        if operation.event in ("UPDATE", "DELETE") and operation.number not in known:
            return f"{operation.event} of {operation.number}, which is none of the memories shown."
        if operation.event in ("ADD", "UPDATE") and not operation.text.strip():
            return f"{operation.event} without a text."
    return ""


def _retrieved(x: DistilInput, output: Distilled) -> str:
    known = {memory.number for memory in x.memories}
    strange = [number for number in output.numbers if number not in known]
    return f"{strange[0]} is none of the memories shown." if strange else ""


EXTRACT_FACTS = Step(
    "extract_facts",
    Said,
    Facts,
    load_prompt("extract_facts", PACKAGE),
    rule=first_person_sentences,
    fallback=lambda x: Facts(facts=()),
)
DECIDE_OPS = Step(
    "decide_ops",
    DecisionInput,
    Decisions,
    load_prompt("decide_ops", PACKAGE),
    rule=decide_by_words,
    fallback=lambda x: Decisions(operations=(Decision(event="NOOP"),)),
    check=_known_numbers,
)
DISTIL = Step(
    "distil",
    DistilInput,
    Distilled,
    load_prompt("distil", PACKAGE),
    rule=overlapping,
    fallback=overlapping,
    check=_retrieved,
)
