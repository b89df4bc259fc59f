"""A reader that answers from memory with a language model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.llm.backends import LLM
from memgym.llm.steps import Step, StepModel, load_prompt
from memgym.memory.ops import load_attrs
from memgym.readers.extractive import extractive_reader
from memgym.stream import UNKNOWN

__all__ = ["ANSWER", "CHOOSE", "Answer", "Choice", "LLMReader", "Memory", "ReaderInput"]


class Memory(StepModel):
    """An entry as a reader sees it."""

    text: str
    time: str = ""


class ReaderInput(StepModel):
    """A question and what was found for it, best first."""

    question: str
    memories: tuple[Memory, ...] = ()
    choices: tuple[str, ...] = ()


class Answer(StepModel):
    """A short answer."""

    answer: str


class Choice(StepModel):
    """The number of a choice, from 1."""

    number: int


def extract_answer(x: ReaderInput) -> Answer:
    """`memgym.readers.extractive.extractive_reader`: the best entry's words that the question did not say."""
    return Answer(answer=extractive_reader(x.question, _entries(x)))


def extract_choice(x: ReaderInput) -> Choice:
    """`memgym.readers.extractive.extractive_reader`: the choice that the most relevant entry names."""
    return Choice(number=1 + x.choices.index(extractive_reader(x.question, _entries(x), x.choices)))


def _entries(x: ReaderInput) -> list[dict[str, str]]:
    return [{"text": memory.text, "attrs": json.dumps({"time": memory.time})} for memory in x.memories]


def _declined(x: ReaderInput) -> Choice:
    return Choice(number=1 + x.choices.index(UNKNOWN) if UNKNOWN in x.choices else len(x.choices))


def _is_choice(x: ReaderInput, output: Choice) -> str:
    return "" if 1 <= output.number <= len(x.choices) else f"number is from 1 to {len(x.choices)}."


ANSWER = Step(
    "answer",
    ReaderInput,
    Answer,
    load_prompt("answer"),
    rule=extract_answer,
    fallback=lambda x: Answer(answer=UNKNOWN),
    max_tokens=64,
)
CHOOSE = Step(
    "choose",
    ReaderInput,
    Choice,
    load_prompt("choose"),
    rule=extract_choice,
    fallback=_declined,
    check=_is_choice,
    max_tokens=16,
)


class LLMReader:
    """Answers questions from entries; a `memgym.readers.Reader`.

    Args:
        llm: who answers. With `memgym.llm.RulesLLM` the answers are those of the extractive reader.

    >>> from memgym.llm import RulesLLM
    >>> LLMReader(RulesLLM())("Where does Ada live?", [{"text": "Ada: I live in Oslo.", "attrs": ""}], ())
    'Oslo'
    """

    def __init__(self, llm: LLM) -> None:
        self.llm = llm

    def __call__(
        self, question: str, entries: Sequence[Mapping[str, Any]], choices: Sequence[str] = ()
    ) -> str:
        """Answer `question` from `entries`, best first, with one of `choices` where there are any.

        Raises:
            LLMError: there is no answer, and the backend does not go on after failures.
        """
        memories = tuple(
            Memory(text=entry["text"], time=str(load_attrs(entry["attrs"]).get("time", "")))
            for entry in entries
        )
        x = ReaderInput(question=question, memories=memories, choices=tuple(choices))
        if not choices:
            return self.llm.run(ANSWER, x).output.answer
        return choices[self.llm.run(CHOOSE, x).output.number - 1]
