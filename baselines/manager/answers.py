"""Learn to answer from a memory: what is asked of which bank, a limited teacher, samples, and what came of it.

A question and what is found for it make a case of its own, so samples are compared that have begun from the same:
there is one way to give credit, and an answer is right or is not.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memgym.agents.llm.answerer import Answer, Consulted, MemoryAnswerer, consult
from memgym.agents.llm.manager import MemoryManager
from memgym.baselines.manager.dialogues import Asked, Bank, Dialogue, Source
from memgym.baselines.manager.measure import BASELINES, decided_by, greedily, played, rounded
from memgym.baselines.manager.network import Row
from memgym.baselines.manager.rollouts import Sample
from memgym.rng import CounterRNG

__all__ = [
    "CHOOSERS",
    "Answered",
    "Banks",
    "Case",
    "answer_demonstrations",
    "banks_by",
    "cases_of",
    "everything_added",
    "measure_answerer",
    "measure_choosers",
    "right_answer",
    "sample_answers",
]

Banks = Callable[[Sequence[Dialogue]], list[Bank]]
"""Whoever manages the memory: some dialogues -> the bank at the end of each."""

DRAWN = 0.3  # of the teacher's answers are


class Case(NamedTuple):
    """A question with what is found for it."""

    asked: Asked
    consulted: Consulted

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the memories, oldest first."""
        return tuple(id for id, _ in self.consulted.memory)

    def is_right(self, answer: Answer) -> bool:
        """Whether an answer is; one that could not be read is not, whatever it would stand for."""
        return not answer.malformed and self.asked.is_answered_by(answer.said(self.consulted))


def everything_added(source: Source) -> Banks:
    """A manager that adds every turn as it stands."""
    return lambda dialogues: played(source, dialogues, decided_by(BASELINES["add everything"]))[0]


def banks_by(manager: MemoryManager, source: Source) -> Banks:
    """A language model that manages the memory, greedily."""
    return lambda dialogues: played(source, dialogues, greedily(manager))[0]


def cases_of(source: Source, dialogues: Sequence[Dialogue], banks: Banks) -> list[Case]:
    """All questions of some dialogues, each with what is found for it in the bank of its dialogue."""
    return [
        Case(asked, consult(asked.text, found))
        for dialogue, bank in zip(dialogues, banks(dialogues), strict=True)
        for asked, found in zip(dialogue.asked, source.found(dialogue, bank), strict=True)
    ]


def right_answer(case: Case) -> Answer:
    """What the oracle names: nothing or one memory, the newest of those that are right; all where none is."""
    ways = [Answer(), *(Answer((id,)) for id in reversed(case.ids))]
    return next((answer for answer in ways if case.is_right(answer)), Answer(case.ids))


CHOOSERS: dict[str, Callable[[Case], Answer]] = {
    "oracle": right_answer,
    "all that is found": lambda case: Answer(case.ids),
    "the newest": lambda case: Answer(case.ids[-1:]),
}
"""Who answers without a model, by name."""


def _drawn_answer(case: Case, rng: CounterRNG) -> Answer:
    """Nothing, one memory, or all of them."""
    return rng.choice(_possible(case))


def _possible(case: Case) -> list[Answer]:
    return [Answer(), *(Answer((id,)) for id in case.ids), *([Answer(case.ids)] if len(case.ids) > 1 else [])]


def answer_demonstrations(
    answerer: MemoryAnswerer, cases: Sequence[Case], seed: int, *, of_oracle: bool = False
) -> list[Row]:
    """A row for each case, in the order of their length: a limited teacher uses whatever was found.

    A share of its answers is drawn at random, so that each kind has been written once and can be sampled later.

    Args:
        answerer: who learns from them.
        cases: what is asked.
        seed: of what is drawn.
        of_oracle: whether they are the oracle's (`right_answer`) instead, none of them drawn.
    """
    rows = []
    for number, (case, prompt) in enumerate(
        zip(cases, answerer.prompts([case.consulted for case in cases]), strict=True)
    ):
        rng = CounterRNG(seed).fork(6, number)
        if of_oracle:
            answer = right_answer(case)
        else:
            answer = _drawn_answer(case, rng) if rng.random() < DRAWN else Answer(case.ids)
        rows.append(Row(prompt, answerer.reply(answer, case.consulted)))
    return sorted(rows, key=lambda row: len(row.prompt))


def sample_answers(
    answerer: MemoryAnswerer, cases: Sequence[Case], group_size: int, seed: int
) -> list[Sample]:
    """`group_size` answers to each case; half of them are each of the possible ones, in turn.

    These are learned from as if the model had given them: what it has nearly given up is still tried.
    """
    tried = group_size // 2
    prompts = answerer.prompts([case.consulted for case in cases])
    written = answerer.generate(prompts, group_size - tried, seed=seed)
    samples = []
    for number, (case, prompt, replies) in enumerate(zip(cases, prompts, written, strict=True)):
        possible = _possible(case)
        first = CounterRNG(seed).fork(7, number).integer(0, len(possible) - 1)
        replies += [
            answerer.reply(possible[(first + i) % len(possible)], case.consulted) for i in range(tried)
        ]
        for reply in replies:
            answer = answerer.read(reply, case.consulted)
            row, right = Row(prompt, reply), float(case.is_right(answer))
            # each answer is a play of its own, of one turn
            samples.append(Sample(row, right, number, Bank(), len(samples), 0, bool(answer.malformed)))
    return samples


@dataclass
class Answered:
    """What came of some cases.

    Attributes:
        accuracy: share that was answered right.
        by_type: the same for each type of question.
        malformed: share of the replies that could not be read.
        named: for each type, how often no memory was named, one, and several.
    """

    accuracy: float
    by_type: dict[str, float]
    malformed: float
    named: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Rounded to four digits, for JSON."""
        return rounded(vars(self))


def measure_answerer(cases: Sequence[Case], answerer: MemoryAnswerer) -> Answered:
    """What the model answers greedily."""
    return _measure(cases, answerer.answer([case.consulted for case in cases]))


def measure_choosers(cases: Sequence[Case]) -> dict[str, float]:
    """Accuracy of those who answer without a model."""
    return {
        name: round(_measure(cases, [choose(case) for case in cases]).accuracy, 4)
        for name, choose in CHOOSERS.items()
    }


def _measure(cases: Sequence[Case], answers: Sequence[Answer]) -> Answered:
    right: dict[str, list[bool]] = defaultdict(list)
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for case, answer in zip(cases, answers, strict=True):
        right[case.asked.type].append(case.is_right(answer))
        number = min(len(answer.named), 2)
        named[case.asked.type]["malformed" if answer.malformed else ("none", "one", "several")[number]] += 1
    return Answered(
        sum(map(sum, right.values())) / len(cases),
        {name: sum(some) / len(some) for name, some in sorted(right.items())},
        sum(bool(answer.malformed) for answer in answers) / len(answers),
        {
            name: {kind: count / some.total() for kind, count in sorted(some.items())}
            for name, some in sorted(named.items())
        },
    )
