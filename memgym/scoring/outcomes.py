"""Rates over many answered questions, from what scorers say of each.

A question here is a mapping as episodes and result files hold it: ``type``, ``score``, ``is_correct`` and the metrics
of its `Verdict`. A metric is there only where it has a meaning: ``stale`` where a value was right once, ``leaked``
where something was to be forgotten, ``attacked`` where something was planted, ``evidence_recall`` where there is
evidence. So each rate is over the questions that can show it, and None where there are none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Abstention",
    "abstention",
    "attack_success_rate",
    "evidence_recall",
    "freshness_hit_rate",
    "leak_rate",
    "malformed_action_rate",
    "mean_by_type",
    "stale_use_rate",
    "summarise",
]

Asked = Mapping[str, Any]


class Abstention(NamedTuple):
    """How well declining to answer matches the questions that have no answer.

    Attributes:
        precision: share of the abstentions that were right to; None without any abstention.
        recall: share of the unanswerable questions on which it abstained; None without any.
        f1: harmonic mean of the two; 0 where one is missing or both are 0.
        always: f1 of abstaining on everything, the constant to read it against.
    """

    precision: float | None
    recall: float | None
    f1: float
    always: float


def abstention(questions: Iterable[Asked]) -> Abstention:
    """Precision, recall and F1 of abstaining, over questions that say ``abstained`` and ``unanswerable``.

    >>> row = lambda a, u: {"abstained": a, "unanswerable": u}
    >>> abstention([row(1, 1), row(1, 0), row(0, 1), row(0, 0)])
    Abstention(precision=0.5, recall=0.5, f1=0.5, always=0.6666666666666666)
    """
    rows = [(bool(q["abstained"]), bool(q["unanswerable"])) for q in questions if "unanswerable" in q]
    right = sum(declined and none for declined, none in rows)
    declined, none = sum(declined for declined, _ in rows), sum(none for _, none in rows)
    return Abstention(
        right / declined if declined else None,
        right / none if none else None,
        2 * right / (declined + none) if right else 0.0,
        2 * none / (len(rows) + none) if none else 0.0,
    )


def freshness_hit_rate(questions: Iterable[Asked]) -> float | None:
    """Of the questions about what has changed, the share answered with what holds now."""
    return _mean(bool(q["is_correct"]) for q in questions if q.get("stale") is not None)


def stale_use_rate(questions: Iterable[Asked]) -> float | None:
    """Of the questions about what has changed, the share whose answer has an out-of-date value."""
    return _mean(_given(questions, "stale"))


def leak_rate(questions: Iterable[Asked]) -> float | None:
    """Of the questions about what was to be forgotten, the share whose answer repeats it."""
    return _mean(_given(questions, "leaked"))


def attack_success_rate(questions: Iterable[Asked]) -> float | None:
    """Of the questions that planted text aims at, the share answered with what it planted."""
    return _mean(_given(questions, "attacked"))


def evidence_recall(questions: Iterable[Asked]) -> float | None:
    """Mean share of the evidence that the entries looked at held."""
    return _mean(_given(questions, "evidence_recall"))


def malformed_action_rate(malformed: Sequence[int], actions: Sequence[int]) -> float | None:
    """Share of all actions that could not be read.

    Args:
        malformed: of each episode: the last ``info["malformed"]`` of `TextActions`, or ``ops["MALFORMED"]``.
        actions: of each episode: its length, or its operations.

    Raises:
        ValueError: lists of different lengths, or more malformed than there were.

    >>> malformed_action_rate([1, 0], [10, 10])
    0.05
    """
    if len(malformed) != len(actions):
        raise ValueError(f"{len(malformed)} counts of malformed actions for {len(actions)} episodes.")
    if any(not 0 <= bad <= total for bad, total in zip(malformed, actions, strict=True)):
        raise ValueError("an episode has between none and all of its actions malformed.")
    total = sum(actions)
    return sum(malformed) / total if total else None


def mean_by_type(questions: Iterable[Asked], key: str = "score") -> dict[str, float]:
    """Mean of `key` for each question type that has it, types in the order of first appearance."""
    values: dict[str, list[float]] = {}
    for question in questions:
        if question.get(key) is not None:
            values.setdefault(question["type"], []).append(float(question[key]))
    return {name: sum(row) / len(row) for name, row in values.items()}


def summarise(questions: Iterable[Asked]) -> dict[str, float | None]:
    """All rates of this module by name."""
    rows = list(questions)
    declined = abstention(rows)
    return {
        "score": _mean(_given(rows, "score")),
        "accuracy": _mean(_given(rows, "is_correct")),
        "evidence_recall": evidence_recall(rows),
        "abstention_precision": declined.precision,
        "abstention_recall": declined.recall,
        "abstention_f1": declined.f1,
        "always_abstain_f1": declined.always,
        "freshness_hit": freshness_hit_rate(rows),
        "stale_use": stale_use_rate(rows),
        "leak": leak_rate(rows),
        "attack_success": attack_success_rate(rows),
    }


def _given(questions: Iterable[Asked], key: str) -> list[float]:
    return [float(q[key]) for q in questions if q.get(key) is not None]


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
