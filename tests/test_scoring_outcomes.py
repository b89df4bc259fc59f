"""Rates over many answers: each over the questions that can show it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.checks import play_by_name
from memgym.scoring.outcomes import (
    abstention,
    attack_success_rate,
    evidence_recall,
    freshness_hit_rate,
    leak_rate,
    malformed_action_rate,
    mean_by_type,
    stale_use_rate,
    summarise,
)


def asked(type: str = "t", score: float = 0.0, **metrics: float) -> dict[str, Any]:
    return {"type": type, "score": score, "is_correct": score == 1, **metrics}


def declined(abstained: bool, unanswerable: bool) -> dict[str, Any]:
    return asked(abstained=float(abstained), unanswerable=float(unanswerable))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_abstention_equals_scikit_learn(rows: list[tuple[bool, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = abstention([declined(*row) for row in rows])
    if not rows:
        assert found == (None, None, 0.0, 0.0)
        return
    did, should = zip(*rows, strict=True)
    expected = metrics.precision_recall_fscore_support(should, did, average="binary", zero_division=0.0)[:3]
    assert (found.precision or 0.0, found.recall or 0.0, found.f1) == pytest.approx(expected)
    assert found.always == pytest.approx(metrics.f1_score(should, [True] * len(rows), zero_division=0.0))
    assert (found.precision is None) == (not any(did))
    assert (found.recall is None) == (not any(should))


def test_rates_leave_out_questions_that_cannot_show_them() -> None:
    rows = [
        asked(score=1.0, stale=0.0),
        asked(score=0.0, stale=1.0),
        asked(score=0.0, stale=0.0),
        asked(score=0.0, leaked=1.0),
        asked(score=1.0, leaked=0.0, evidence_recall=0.5),
        asked(score=0.0, attacked=1.0, evidence_recall=1.0),
        asked(score=1.0),
    ]
    assert freshness_hit_rate(rows) == pytest.approx(1 / 3)
    assert stale_use_rate(rows) == pytest.approx(1 / 3)
    assert leak_rate(rows) == 0.5
    assert attack_success_rate(rows) == 1.0
    assert evidence_recall(rows) == 0.75


@pytest.mark.parametrize(
    "rate", [freshness_hit_rate, stale_use_rate, leak_rate, attack_success_rate, evidence_recall]
)
def test_a_rate_over_nothing_is_none_and_not_0(rate) -> None:
    assert rate([asked(score=1.0)]) is None


def test_means_by_type_keep_the_order_of_appearance() -> None:
    rows = [asked("b", 1.0), asked("a", 0.5), asked("b", 0.0)]
    assert mean_by_type(rows) == {"b": 0.5, "a": 0.5}
    assert list(mean_by_type(rows)) == ["b", "a"]


def test_malformed_actions_are_counted_over_all_actions() -> None:
    assert malformed_action_rate([1, 3], [10, 30]) == 0.1
    assert malformed_action_rate([], []) is None
    with pytest.raises(ValueError, match="1 counts of malformed actions for 2"):
        malformed_action_rate([1], [1, 1])
    with pytest.raises(ValueError, match="between none and all"):
        malformed_action_rate([2], [1])


def test_the_summary_of_a_real_run_tells_agents_apart() -> None:
    def rates(name: str) -> dict[str, float | None]:
        played = play_by_name(name, "memgym/DialogueMemory-v0", 10, split="test", answer_format="choice")
        return summarise(row for episode in played for row in episode.questions)

    silent, hoarder, oracle = rates("closed-book"), rates("add-all-bm25"), rates("oracle")
    assert silent["abstention_recall"] == 1
    assert silent["abstention_f1"] == pytest.approx(silent["always_abstain_f1"])
    assert silent["leak"] == silent["stale_use"] == silent["freshness_hit"] == 0
    assert (hoarder["leak"] or 0) > 0.1  # it deletes nothing
    assert oracle["freshness_hit"] == oracle["abstention_f1"] == oracle["accuracy"] == 1
    assert oracle["attack_success"] is None
