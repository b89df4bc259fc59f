"""LongHorizonQA: every answer follows from the text, from its evidence alone, and from nothing else."""

import runpy
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.envs.long_horizon_qa import PRESETS, LongHorizonQA
from memgym.envs.text import Phase
from memgym.memory import MemoryOp, as_action
from memgym.rng import episode_key
from memgym.scoring import score_answer
from memgym.stream import UNKNOWN, Item, Question
from memgym.worlds.long_qa import ABILITIES, QUESTION_TYPES, LongQAConfig, LongQAWorld
from memgym.worlds.long_qa.conflict import ConflictResolution

Reader = runpy.run_path(str(Path(__file__).with_name("long_qa_reader.py")))["Reader"]
ALL = tuple(ABILITIES)
TURNS = ("accurate-retrieval/multi-key", "conflict-resolution/multi-hop", "string-retrieval/prefix-suffix")
"""Types that come in no conversation."""


def world(seed: int, split: str, difficulty: str = "easy", **kwargs: Any) -> LongQAWorld:
    given = {"abilities": ALL, "num_words": 8000, "chunk_words": 100, "num_questions": 40}
    return LongQAWorld(episode_key(seed, 0), split, LongQAConfig(**given | PRESETS[difficulty] | kwargs))


def told(one: LongQAWorld) -> list[tuple[dict[str, str], list[Question]]]:
    """Each question with the turns before it in its conversation, and the chunks so far."""
    items: dict[str, str] = {}
    found, talk = [], []
    for event in one.stream():
        if isinstance(event, Item):
            items[event.id] = event.text
        else:
            talk = [*talk, event] if "depends_on" in event.meta else [event]
            found.append((dict(items), talk))
    return found


def chunks(questions: list[Question]) -> list[str]:
    """Ids of the chunks with the evidence of some questions, in order."""
    return sorted({id.split("/")[0] for q in questions for id in q.evidence}, key=lambda id: int(id[1:]))


def answer(split: str, texts: list[str], talk: list[Question]) -> str:
    reader, said = Reader(split, texts), ""
    for question in talk:
        said = reader.answer(question.text)
    return said


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("mode", ["multi-request", "multi-turn"])
@pytest.mark.parametrize(("difficulty", "num_rounds"), [("easy", 1), ("hard", 2)])
def test_reader_with_the_evidence_alone_answers(
    split: str, mode: str, difficulty: str, num_rounds: int
) -> None:
    """And with one chunk of it missing, it does not: the evidence is no more than what is needed."""
    right: dict[str, list[bool]] = defaultdict(list)
    without: dict[str, list[bool]] = defaultdict(list)
    for seed in range(2):
        one = world(
            seed,
            split,
            difficulty,
            num_words=24_000,
            num_questions=80,
            num_rounds=num_rounds,
            multi_turn=mode == "multi-turn",
        )
        for items, talk in told(one):
            asked, ids = talk[-1], chunks(talk)
            said = answer(split, [items[id] for id in ids], talk)
            right[asked.type].append(score_answer(asked, said).is_correct)
            missing = chunks([asked])[0]
            said = answer(split, [items[id] for id in ids if id != missing], talk)
            without[asked.type].append(score_answer(asked, said).is_correct)
    assert set(right) >= set(QUESTION_TYPES) - (set(TURNS) if mode == "multi-turn" else set())
    for type_, row in right.items():
        assert sum(row) / len(row) >= 0.95, type_
    for type_, row in without.items():
        # one example of a rule less is often still enough
        assert type_ == "test-time-learning/unseen" or sum(row) / len(row) <= 0.35, type_


@pytest.mark.parametrize("split", ["train", "test"])
def test_look_alikes_bear_on_no_question(split: str) -> None:
    """A reader with the whole text, half of it distractors, answers as well."""
    for items, talk in told(world(3, split, num_words=4000, distractor_rate=0.5)):
        said = answer(split, list(items.values()), talk)
        assert score_answer(talk[-1], said).is_correct, talk[-1].text


@pytest.mark.parametrize("split", ["train", "test"])
def test_later_turns_cannot_be_read_without_the_earlier_ones(split: str) -> None:
    alone, together = [], []
    for items, talk in told(world(1, split, num_words=4000, multi_turn=True)):
        if len(talk) > 1:
            for turns, scores in ((talk[-1:], alone), (talk, together)):
                said = answer(split, [items[id] for id in chunks(talk)], turns)
                scores.append(score_answer(talk[-1], said).is_correct)
    assert all(together)
    assert len(together) >= 10
    assert sum(alone) <= 0.15 * len(alone)


@pytest.mark.parametrize("mode", ["multi-request", "multi-turn"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_manager_that_keeps_the_statements_answers_from_its_bank(mode: str, split: str) -> None:
    """The whole way through the environment; who keeps nothing and reads the same way gets next to nothing."""
    scores = {}
    for keeps in (True, False):
        env = LongHorizonQA(
            num_words=3000, difficulty="easy", mode=mode, split=split, memory_budget=8192, view_bytes=8192
        )
        observation, info = env.reset(seed=5)
        reader, done = None, False
        while not done:
            if observation["phase"] == Phase.ITEM:
                told = env.oracle_state()["statements"].values() if keeps else ()
                action = as_action([MemoryOp.add(text) for text in told])
            else:
                # the bank is in the order of the stream
                reader = reader or Reader(split, [entry["text"] for entry in observation["memory"]])
                action = as_action(answer=reader.answer(observation["text"]))
            observation, _, done, _, info = env.step(action)
            assert info["refused"] == ()
        scores[keeps] = info["score"]
    assert scores[True] == 1.0
    assert scores[False] < 0.05


# ---------------------------------------------------------------------- laws


@given(st.integers(0, 10_000), st.sampled_from(["train", "test"]), st.integers(0, 6))
@settings(max_examples=25)
def test_newest_notice_wins_and_the_others_are_stale(seed: int, split: str, updates: int) -> None:
    one = world(seed, split, abilities=("conflict-resolution",), updates=updates, num_rounds=2)
    (ability,) = one.abilities
    assert isinstance(ability, ConflictResolution)
    for number, questions in enumerate(one.questions):
        for question in questions:
            if question.hops == 1:
                (evidence,) = question.evidence
                statement = one.told(evidence.split("/")[0])[evidence]
                key = next(k for k, rows in ability.notices.items() if any(r.told == statement for r in rows))
                rows = [row for row in ability.notices[key] if row.told.round <= number]
                newest = max(rows, key=lambda row: row.stamp)
                assert question.answer == newest.value
                assert set(question.stale) == {row.value for row in rows} - {newest.value}


def test_newest_notice_is_often_not_the_last_one_read() -> None:
    last = Counter()
    for seed in range(20):
        (ability,) = world(seed, "train", abilities=("conflict-resolution",), updates=3).abilities
        assert isinstance(ability, ConflictResolution)
        for rows in ability.notices.values():
            if len(rows) > 1:
                last[max(rows, key=lambda row: row.stamp) == max(rows)] += 1
    assert 0.3 < last[True] / last.total() < 0.6


@given(st.integers(0, 10_000), st.sampled_from([1, 3]), st.booleans(), st.sampled_from([2, 4]))
@settings(max_examples=25)
def test_nothing_is_asked_twice_and_choices_are_distinct(
    seed: int, num_rounds: int, turns: bool, num_choices: int
) -> None:
    one = world(seed, "train", "medium", num_rounds=num_rounds, multi_turn=turns, num_choices=num_choices)
    questions = list(chain(*one.questions))
    assert len({q.id for q in questions}) == len(questions)
    whole = [q.text for q in questions if "depends_on" not in q.meta]
    assert len(set(whole)) == len(whole)
    for question in questions:
        assert len(set(question.choices)) == num_choices
        assert question.answer in question.choices


# ---------------------------------------------------------------------- closed book


def closed_book_rules() -> dict[str, Any]:
    """Ways to choose without having read: by place, by order, by how often an option or its parts occur."""

    def parts(option: str) -> list[str]:
        return option.replace(";", ",").split(", ")

    def ordered(options: tuple[str, ...]) -> list[str]:
        return sorted(options, key=lambda option: (len(option), option))

    def common(question: Question, others: list[Question], most: bool) -> str:
        seen = Counter(part for q in [question, *others] for option in q.choices for part in parts(option))
        scored = [sum(seen[part] for part in parts(option)) for option in question.choices]
        return question.choices[scored.index((max if most else min)(scored))]

    def named(question: Question, others: list[Question], wanted: bool = True) -> str:
        text = " ".join(q.text for q in others)
        named = [any(part in text for part in parts(option)) for option in question.choices]
        return question.choices[named.index(wanted) if wanted in named else 0]

    return {
        "first": lambda q, others: q.choices[0],
        "last": lambda q, others: q.choices[-1],
        "least": lambda q, others: ordered(q.choices)[0],
        "middle": lambda q, others: ordered(q.choices)[1],
        "greatest": lambda q, others: ordered(q.choices)[-1],
        "commonest": lambda q, others: common(q, others, True),
        "rarest": lambda q, others: common(q, others, False),
        "named elsewhere": named,
        "not named elsewhere": lambda q, others: named(q, others, False),
    }


@pytest.mark.parametrize("turns", [False, True])
def test_no_rule_that_has_not_read_beats_chance(turns: bool) -> None:
    """Each in every type within three and a half standard errors of one in four."""
    right: dict[tuple[str, str], int] = Counter()
    asked: dict[str, int] = Counter()
    rules = closed_book_rules()
    for seed in range(60):
        one = world(seed, "test", multi_turn=turns, num_choices=4, num_questions=30)
        questions = list(chain(*one.questions))
        for i, question in enumerate(questions):
            asked[question.type] += 1
            others = questions[:i] + questions[i + 1 :]
            for rule, choose in rules.items():
                right[rule, question.type] += choose(question, others) == question.answer
    for (rule, type_), count in right.items():
        allowed = 0.25 + 3.5 * (0.25 * 0.75 / asked[type_]) ** 0.5
        assert count / asked[type_] <= allowed, (rule, type_, count, asked[type_])


def test_always_abstaining_scores_nothing() -> None:
    scores = [
        score_answer(question, UNKNOWN).score
        for seed in range(10)
        for question in chain(*world(seed, "train").questions)
    ]
    assert sum(scores) / len(scores) < 0.01
