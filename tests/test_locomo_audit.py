"""LoCoMo's audited labels, the questions left out, and its choices, on the real files."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.datasets import get_dataset
from memgym.datasets.locomo import Conversation
from memgym.datasets.locomo_audit import (
    KINDS,
    MAX_BYTES,
    Defect,
    apply_audit,
    load_locomo_audit,
    parse_locomo_audit,
)
from memgym.envs.locomo import LoCoMo
from memgym.errors import DatasetCorrupt, DatasetMissing
from memgym.scoring import normalise
from memgym.stream import UNKNOWN, Question

RECORD = {
    "question_id": "locomo_0_qa1",
    "question": "When did Melanie paint a sunrise?",
    "error_type": "TEMPORAL_ERROR",
    "correct_answer": "2021",
    "correct_evidence": ["D1:14"],
    "reasoning": "because",
}


@pytest.fixture(scope="module")
def defects() -> tuple[Defect, ...]:
    try:
        return load_locomo_audit()
    except DatasetMissing as error:
        pytest.skip(f"locomo_audit is not on this machine: {error}")


# ---------------------------------------------------------------------- reading


def parse(records: Any) -> list[Defect]:
    return parse_locomo_audit(json.dumps(records).encode(), "mine")


def test_a_record_is_read_and_what_it_does_not_know_is_passed_over() -> None:
    (defect,) = parse([{**RECORD, "a_new_field": 1}])
    assert (defect.conversation, defect.question, defect.answer) == (0, 1, "2021")
    assert defect.changes_scores
    assert not parse([{**RECORD, "error_type": "WRONG_CITATION"}])[0].changes_scores


@pytest.mark.parametrize("key", RECORD)
def test_a_missing_field_is_named(key: str) -> None:
    with pytest.raises(DatasetCorrupt, match=rf"mine, record 0.*'{key}' is missing"):
        parse([{name: value for name, value in RECORD.items() if name != key}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question_id": "conv_1"}, r"question_id 'conv_1' is not of the form"),
        ({"error_type": "TYPO"}, r"\(locomo_0_qa1\): error_type 'TYPO' is none of WRONG_CITATION"),
        ({"correct_answer": 2021}, r"\(locomo_0_qa1\): 'correct_answer' is int '2021', not str"),
        ({"correct_evidence": "D1:14"}, r"'correct_evidence' is str 'D1:14', not list"),
        ({"correct_evidence": [3]}, r"correct_evidence has int '3', not str"),
        ({"reasoning": "x" * 70_000}, r"'reasoning' has 70,000 characters"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetCorrupt, match=rf"mine, record 1.*{message}"):
        parse([{**RECORD, "question_id": "locomo_0_qa0"}, {**RECORD, **change}])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (json.dumps([RECORD]).encode()[:40], "is not JSON"),
        (b"{}", "expected a list of defects, found an object of 0"),
        (json.dumps([RECORD, RECORD]).encode(), "two records are about locomo_0_qa1"),
    ],
)
def test_a_broken_file_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DatasetCorrupt, match=message):
        parse_locomo_audit(data)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "errors.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # sparse: takes no room
    with pytest.raises(DatasetCorrupt, match=f"more than {MAX_BYTES:,} are not read"):
        load_locomo_audit(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "When?"}, r"locomo_0_qa1 is about 'When\?', the question is 'When did Melanie"),
        ({"question_id": "locomo_10_qa1"}, "there is no such question"),
        ({"question_id": "locomo_0_qa999"}, "there is no such question"),
        ({"correct_evidence": ["D99:1"]}, "there is no turn 'D99:1'"),
    ],
)
def test_an_audit_of_other_conversations_is_refused(
    conversations: list[Conversation], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetCorrupt, match=message):
        apply_audit(conversations, parse([{**RECORD, **change}]))


# ---------------------------------------------------------------------- the real audit


def test_the_audit_has_the_known_counts(
    defects: tuple[Defect, ...], conversations: list[Conversation]
) -> None:
    assert Counter(defect.kind for defect in defects) == dict(
        zip(KINDS, (57, 33, 26, 24, 13, 3), strict=True)
    )
    categories = Counter(
        conversations[d.conversation].questions[d.question].category for d in defects if d.changes_scores
    )
    assert categories == {1: 28, 2: 26, 3: 9, 4: 36}
    # the ceilings that the audit publishes, in percent: what is left of 282, 321, 96 and 841 questions
    sizes = {1: 282, 2: 321, 3: 96, 4: 841}
    ceilings = {c: round(100 * (1 - categories[c] / sizes[c]), 1) for c in sizes}
    assert ceilings == {1: 90.1, 2: 91.9, 3: 90.6, 4: 95.7}
    assert round(100 * (1 - 99 / 1540), 2) == 93.57


def test_the_audit_changes_its_questions_and_no_other(
    defects: tuple[Defect, ...], conversations: list[Conversation]
) -> None:
    audited = apply_audit(conversations, defects)
    differ = [
        (i, j)
        for i, (old, new) in enumerate(zip(conversations, audited, strict=True))
        for j, (before, after) in enumerate(zip(old.questions, new.questions, strict=True))
        if before != after
    ]
    assert set(differ) <= {(d.conversation, d.question) for d in defects}
    assert len(differ) == 154  # two correct evidence strings that the reader has already repaired
    assert all(old.sessions == new.sessions for old, new in zip(conversations, audited, strict=True))


# ---------------------------------------------------------------------- environment


def questions(env: LoCoMo) -> dict[str, Question]:
    found = {}
    for episode in range(len(env._conversations)):
        env.reset(seed=0, options={"episode": episode})
        found |= {e.id: e for e in env._stream(env._key, episode) if isinstance(e, Question)}
    return found


def test_the_environment_asks_with_corrected_labels(
    locomo_file: Path, defects: tuple[Defect, ...], conversations: list[Conversation]
) -> None:
    original, audited = (
        questions(LoCoMo(path=locomo_file)),
        questions(LoCoMo(path=locomo_file, labels="audit")),
    )
    assert len(audited) == 1986
    for defect in defects:
        id = f"{conversations[defect.conversation].id}/qa{defect.question}"
        assert audited.pop(id).evidence == defect.evidence
        original.pop(id)
    assert audited == original


def test_99_questions_can_be_left_out(locomo_file: Path, defects: tuple[Defect, ...]) -> None:
    left = questions(LoCoMo(path=locomo_file, exclude_defects=True))
    assert Counter(q.meta["category"] for q in left.values()) == {1: 254, 2: 295, 3: 87, 4: 805, 5: 446}


def test_without_the_audit_only_what_needs_it_is_refused(
    locomo_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    LoCoMo(path=locomo_file)
    for kwargs in ({"labels": "audit"}, {"exclude_defects": True}):
        with pytest.raises(DatasetMissing, match="memgym data get locomo_audit"):
            LoCoMo(path=locomo_file, **kwargs)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- choices


@pytest.mark.parametrize("num_choices", [2, 4, 8])
def test_every_question_has_options_the_right_one_and_not_mentioned_among_them(
    locomo_file: Path, num_choices: int
) -> None:
    asked = questions(LoCoMo(path=locomo_file, answer_format="choice", num_choices=num_choices))
    for question in asked.values():
        assert len({normalise(option) for option in question.choices}) == num_choices
        assert question.answer in question.choices
        assert UNKNOWN in question.choices
        if question.meta["category"] == 5:
            assert normalise(question.meta["adversarial_answer"]) in map(normalise, question.choices)


def test_options_say_nothing_of_which_is_right(locomo_file: Path) -> None:
    asked = questions(LoCoMo(path=locomo_file, answer_format="choice"))
    places = Counter(question.choices.index(question.answer) for question in asked.values())
    assert all(440 < places[i] < 560 for i in range(4))  # 1,986 / 4, with four standard deviations
    unknown = Counter(question.choices.index(UNKNOWN) for question in asked.values())
    assert all(440 < unknown[i] < 560 for i in range(4))


def test_a_question_has_the_same_options_in_every_episode(locomo_file: Path) -> None:
    env = LoCoMo(path=locomo_file, answer_format="choice", conversation="conv-30")

    def options(seed: int) -> dict[str, tuple[str, ...]]:
        env.reset(seed=seed)
        return {e.id: e.choices for e in env._stream(env._key, 0) if isinstance(e, Question)}

    assert options(0) == options(1)


@pytest.mark.parametrize(
    ("choose", "by_category"),
    [
        (lambda question: question.answer, {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}),
        (lambda question: UNKNOWN, {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 1.0}),
        (
            lambda question: question.meta.get("adversarial_answer", ""),
            {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0},
        ),
    ],
    ids=["right", "abstain", "trap"],
)
def test_scores_of_choices(
    locomo_file: Path, choose: Callable[[Question], str], by_category: dict[int, float]
) -> None:
    env = LoCoMo(path=locomo_file, answer_format="choice", num_choices=2)
    scores: dict[int, list[float]] = {}
    for question in questions(env).values():
        scores.setdefault(question.meta["category"], []).append(env._score(question, choose(question)).score)
    assert {category: sum(s) / len(s) for category, s in sorted(scores.items())} == by_category


def test_falling_for_the_trap_is_told_from_other_mistakes(locomo_file: Path) -> None:
    env = LoCoMo(path=locomo_file, categories=(5,))
    asked = questions(env)
    traps = [
        env._score(q, f"It was {q.meta['adversarial_answer']}.").metrics["trapped"] for q in asked.values()
    ]
    others = [env._score(q, "qwertyuiop").metrics["trapped"] for q in asked.values()]
    assert sum(traps) >= 444
    assert sum(others) == 0


def test_three_in_four_adversarial_questions_swap_the_speakers(locomo_file: Path) -> None:
    """Counted apart from this code: 24.8 % have evidence by a person whom the question names."""
    asked = questions(LoCoMo(path=locomo_file, categories=(5,)))
    swapped = [question.meta["speaker_swap"] for question in asked.values()]
    assert sum(swapped) / len(swapped) == pytest.approx(0.752, abs=0.01)


@pytest.mark.parametrize(
    "kwargs",
    [{"labels": "mine"}, {"answer_format": "list"}, {"num_choices": 1}, {"exclude_defects": 1}],
)
def test_a_wrong_argument_is_named(locomo_file: Path, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        LoCoMo(path=locomo_file, **kwargs)


def test_the_audit_is_registered() -> None:
    assert get_dataset("locomo_audit").nbytes == 150_552
