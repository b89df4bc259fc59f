"""Steps of MemOS: how two statements relate, what holds of both, who may see one and for how long."""

import re
from datetime import date
from typing import Literal

from memgym.agents.structured.steps_facts import (
    PACKAGE,
    DecisionInput,
    KeptFact,
    Said,
    decide_by_words,
)
from memgym.llm import Step, StepModel, load_prompt
from memgym.readers.dates import find_dates

__all__ = [
    "FUSE_STATEMENTS",
    "GOVERN",
    "JUDGE_RELATION",
    "Fused",
    "Governance",
    "Pair",
    "Relation",
]

PRIVATE = re.compile(
    r"\b(between (?:you and me|us)|(?:do not|don['’]t) tell|keep (?:it|this|that) (?:to yourself|secret|private)|"
    r"in confidence|confidential(?:ly)?|(?:it|this|that)(?: i|['’])s (?:a )?(?:secret|private))\b",
    re.IGNORECASE,
)
UNTIL = re.compile(r"\b(?:until|till|valid for|expires)\b", re.IGNORECASE)


class Pair(StepModel):
    """Two statements of one speaker, without the speaker's name."""

    older: str
    newer: str


class Relation(StepModel):
    """How they relate."""

    relation: Literal["contradictory", "redundant", "independent"]


class Fused(StepModel):
    """What holds of both; ``""`` where nothing does, and the older is deleted."""

    text: str


class Governance(StepModel):
    """Whether only the speaker may see a statement, and the last day on which it is of use, ISO 8601."""

    private: bool = False
    until: str = ""


def judge_by_words(x: Pair) -> Relation:
    """By what `decide_by_words` would do: nothing, redundant; an update or a deletion, contradictory."""
    made = decide_by_words(
        DecisionInput(fact=x.newer, memories=(KeptFact(number=0, text=x.older),))
    ).operations
    if not made or made[0].event == "ADD":
        return Relation(relation="independent")
    return Relation(relation="redundant" if made[0].event == "NOOP" else "contradictory")


def fuse_by_words(x: Pair) -> Fused:
    """The text of the update that `decide_by_words` would make; of two that say the same, the longer."""
    made = decide_by_words(
        DecisionInput(fact=x.newer, memories=(KeptFact(number=0, text=x.older),))
    ).operations
    if made and made[0].event == "UPDATE":
        return Fused(text=made[0].text)
    if made and made[0].event == "NOOP":
        return Fused(text=max(x.older, x.newer, key=len))
    return Fused(text="")


def govern_by_words(x: Said) -> Governance:
    """Private by phrases like "between us"; until the first day that is named after "until"."""
    until, found = "", UNTIL.search(x.text)
    try:
        whens = find_dates(x.text[found.start() :], date.fromisoformat(x.time[:10])) if found else []
    except ValueError:  # no time to count from
        whens = []
    if whens:
        until = whens[0].day.isoformat()
    return Governance(private=PRIVATE.search(x.text) is not None, until=until)


JUDGE_RELATION = Step(
    "judge_relation",
    Pair,
    Relation,
    load_prompt("judge_relation", PACKAGE),
    rule=judge_by_words,
    fallback=lambda x: Relation(relation="independent"),
    max_tokens=32,
)
FUSE_STATEMENTS = Step(
    "fuse_statements",
    Pair,
    Fused,
    load_prompt("fuse_statements", PACKAGE),
    rule=fuse_by_words,
    fallback=lambda x: Fused(text=x.newer),
)
GOVERN = Step(
    "govern",
    Said,
    Governance,
    load_prompt("govern", PACKAGE),
    rule=govern_by_words,
    fallback=lambda x: Governance(),
    max_tokens=64,
)
