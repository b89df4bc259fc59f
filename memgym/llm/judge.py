"""Language models as judges of answers, after LoCoMo's usual judge and LongMemEval's.

A judge's verdict depends on a model and a prompt, so it is a metric of its own name, ``judge:<model>``, with the
digest of the prompt beside it, and never part of a score. Give the judge a `memgym.llm.Cassette` as its client, and
its verdicts can be checked offline by anyone. Judges err: on LoCoMo the usual one accepts about 63 % of answers that
are deliberately vague and wrong, by the audit github.com/dial481/locomo-audit.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from memgym.llm.backends import ModelLLM
from memgym.llm.steps import Step, StepModel, load_prompt
from memgym.stream import UNKNOWN

__all__ = ["JUDGES", "Judge", "Judgement", "LocomoJudge", "LongMemEvalJudge", "ToJudge"]

Label = Literal["CORRECT", "WRONG"]


class JudgeInput(StepModel):
    """An answer beside the reference."""

    question: str
    reference: str
    answer: str


class JudgeLabel(StepModel):
    """A verdict."""

    label: Label


class ReasonedLabel(StepModel):
    """A verdict with its reason."""

    reason: str
    label: Label


class ToJudge(NamedTuple):
    """An answer to judge.

    Attributes:
        question: as it was asked.
        reference: the right answer; for a preference the rubric, for an abstention why there is no answer.
        answer: what an agent answered.
        type: of the question, where the judge's rules depend on it.
    """

    question: str
    reference: str
    answer: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of one answer.

    Attributes:
        is_correct: the verdict.
        metric: ``judge:<model>``; the only name under which it may be reported.
        step: which rules it followed.
        prompt_sha256: digest of the prompt.
        reason: where the judge gives one.
    """

    is_correct: bool
    metric: str
    step: str
    prompt_sha256: str
    reason: str = ""


class Judge(ABC):
    """Judges answers by a model's verdict; a subclass says by which rules.

    Args:
        llm: the model. There is no rule in its place: a rule would be another metric.
    """

    def __init__(self, llm: ModelLLM) -> None:
        self.llm = llm

    @property
    def metric(self) -> str:
        """``judge:<model>``."""
        return f"judge:{self.llm.client.model}"

    @abstractmethod
    def step(self, type: str) -> Step[JudgeInput, Any]:
        """The rules for a type of question."""

    def judges(self, one: ToJudge) -> bool:
        """Whether its rules are meant for this question."""
        return True

    def judge(self, answers: Sequence[ToJudge]) -> list[Judgement]:
        """Judge each answer.

        Raises:
            LLMError: the model gave no verdict on one of them. There is no verdict by default.
        """
        by_step: dict[str, list[int]] = {}
        for i, one in enumerate(answers):
            by_step.setdefault(self.step(one.type).name, []).append(i)
        verdicts: dict[int, Judgement] = {}
        for places in by_step.values():
            step = self.step(answers[places[0]].type)
            inputs = [
                JudgeInput(question=one.question, reference=one.reference, answer=one.answer)
                for one in (answers[i] for i in places)
            ]
            for i, result in zip(places, self.llm.run_many(step, inputs), strict=True):
                output = result.output
                reason = output.reason if isinstance(output, ReasonedLabel) else ""
                correct = output.label == "CORRECT"
                verdicts[i] = Judgement(correct, self.metric, step.name, step.prompt_sha256, reason)
        return [verdicts[i] for i in range(len(answers))]


LOCOMO = Step("judge_locomo", JudgeInput, ReasonedLabel, load_prompt("judge_locomo"), max_tokens=256)


class LocomoJudge(Judge):
    """The generous judge that papers report as "J" on LoCoMo; its rules came with Mem0 (arXiv:2504.19413).

    It is for questions that have an answer: J is reported without LoCoMo's adversarial ones. The prompt's words are
    memgym's own, so a number is not to be set beside a paper's.
    """

    def step(self, type: str) -> Step[JudgeInput, ReasonedLabel]:
        """One set of rules for all questions."""
        return LOCOMO

    def judges(self, one: ToJudge) -> bool:
        """Whether the question has an answer."""
        return one.reference != UNKNOWN


LONGMEMEVAL = {
    rules: Step(
        f"judge_longmemeval_{rules}",
        JudgeInput,
        JudgeLabel,
        load_prompt(f"judge_longmemeval_{rules}"),
        max_tokens=32,
    )
    for rules in ("default", "temporal", "update", "preference", "abstention")
}
RULES_BY_TYPE = {
    "single-session-user": "default",
    "single-session-assistant": "default",
    "multi-session": "default",
    "temporal-reasoning": "temporal",
    "knowledge-update": "update",
    "single-session-preference": "preference",
    "abstention": "abstention",
}


class LongMemEvalJudge(Judge):
    """LongMemEval's judge (Wu et al., ICLR 2025, arXiv:2410.10813): rules by the type of question.

    A question of any type that cannot be answered, with ``_abs`` in its id, is judged as type ``"abstention"``. The
    prompts' words are memgym's own, so a number is not to be set beside a paper's.
    """

    def step(self, type: str) -> Step[JudgeInput, JudgeLabel]:
        """The rules for a question's type.

        Raises:
            ValueError: LongMemEval has no such type.
        """
        if type not in RULES_BY_TYPE:
            raise ValueError(
                f"a LongMemEval question's type is one of {sorted(RULES_BY_TYPE)}, not {type!r}."
            )
        return LONGMEMEVAL[RULES_BY_TYPE[type]]


JUDGES: dict[str, type[Judge]] = {"locomo": LocomoJudge, "longmemeval": LongMemEvalJudge}
"""Judges by the name of their rules."""
