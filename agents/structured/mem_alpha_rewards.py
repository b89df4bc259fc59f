"""Mem-alpha's reward for a policy that writes memory: four terms, each a function of its own (arXiv 2509.25911).

r1 says whether questions are answered from what was written, r2 whether the calls were valid, r3 how much shorter the
memory is than what was read, and r4 whether its content is of the kind that it claims to be.
"""

from collections.abc import Sequence
from datetime import date

from memgym.agents.structured.steps_facts import PACKAGE
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import STOP_WORDS, content_words
from memgym.readers.dates import find_dates

__all__ = [
    "BETA",
    "GAMMA",
    "JUDGE_CONTENT",
    "Content",
    "call_validity",
    "compression",
    "content_validity",
    "question_accuracy",
    "total_reward",
]

BETA, GAMMA = 0.05, 0.1  # weights of r3 and r4, as published


class Content(StepModel):
    """An entry that was written: its part of memory, its text, and its time where it has one beside the text."""

    memory_type: str
    content: str
    time: str = ""


class Verdict(StepModel):
    """Whether an entry is worth having, and why not."""

    valid: bool
    reason: str = ""


def judge_by_form(x: Content) -> Verdict:
    """Two content words at least; an episodic entry names a time."""
    words = [word for word in content_words(x.content) if word not in STOP_WORDS]
    if len(words) < 2:
        return Verdict(valid=False, reason="it says too little")
    if x.memory_type == "episodic" and not (x.time or find_dates(x.content, date(2000, 1, 1))):
        return Verdict(valid=False, reason="an episodic entry has a time")
    return Verdict(valid=True)


JUDGE_CONTENT = Step(
    "judge_content",
    Content,
    Verdict,
    load_prompt("judge_content", PACKAGE),
    rule=judge_by_form,
    fallback=lambda x: Verdict(valid=False, reason="not judged"),
    max_tokens=128,
)


def question_accuracy(scores: Sequence[float]) -> float:
    """r1: the mean score of the questions, each from 0 to 1.

    Raises:
        ValueError: no questions, which say nothing.
    """
    if not scores:
        raise ValueError("the accuracy of no questions is not defined.")
    return sum(scores) / len(scores)


def call_validity(valid: Sequence[bool]) -> float:
    """r2: the share of calls that were carried out; 0 where none was made, so that doing nothing costs."""
    return sum(valid) / len(valid) if valid else 0.0


def compression(memory: float, read: float) -> float:
    """r3: 1 less the size of memory as a share of what was read, both in the same unit; below 0 where it is larger.

    Raises:
        ValueError: nothing was read, or a negative size.
    """
    if read <= 0 or memory < 0:
        raise ValueError(f"memory is at least 0 and what was read more than 0, not {memory} and {read}.")
    return 1.0 - memory / read


def content_validity(valid: Sequence[bool]) -> float:
    """r4: the share of written entries that `JUDGE_CONTENT` finds valid; 1 where none was written."""
    return sum(valid) / len(valid) if valid else 1.0


def total_reward(
    r1: float, r2: float, r3: float, r4: float, *, beta: float = BETA, gamma: float = GAMMA
) -> float:
    """r1 + r2 + beta r3 + gamma r4."""
    return r1 + r2 + beta * r3 + gamma * r4
