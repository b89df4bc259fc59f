"""DialogueMemory: the text tells the truth, and the truth changes."""

import re
from collections import Counter
from datetime import date, datetime
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.checks import play_by_name
from memgym.envs.dialogue import DialogueMemory
from memgym.readers.dates import resolve_date
from memgym.readers.extractive import extractive_reader
from memgym.rng import episode_key
from memgym.scoring import score_answer
from memgym.stream import UNKNOWN, Item, Question, format_date
from memgym.worlds.dialogue import BASIC_TYPES, DialogueConfig, DialogueWorld

seeds = st.integers(0, 10_000)
splits = st.sampled_from(["train", "test"])


def events(seed: int, split: str = "train", **config: Any) -> list[Item | Question]:
    return list(DialogueWorld(episode_key(seed, 0), split, DialogueConfig(**config)).stream())


def test_all_question_types_are_asked() -> None:
    asked = Counter(e.type for s in range(50) for e in events(s) if isinstance(e, Question))
    assert set(asked) == set(BASIC_TYPES)
    assert min(asked.values()) >= 10


@given(seeds, splits)
@settings(max_examples=60)
def test_answer_stands_in_the_evidence_and_nowhere_later(seed: int, split: str) -> None:
    """The newest statement about a fact is its evidence: the same person says nothing about it afterwards."""
    items: dict[str, Item] = {}
    for event in events(seed, split):
        if isinstance(event, Item):
            items[event.id] = event
        elif event.type in ("single-hop", "knowledge-update"):
            (told,) = (items[id] for id in event.evidence)
            assert told.speaker == event.meta["person"]
            assert event.answer.lower() in told.text.lower()
            for stale in event.stale:
                assert stale.lower() not in told.text.lower()


@given(seeds, splits)
@settings(max_examples=60)
def test_temporal_answer_follows_from_the_turn_and_its_date(seed: int, split: str) -> None:
    items = {}
    for event in events(seed, split, num_events=8):
        if isinstance(event, Item):
            items[event.id] = event
        elif event.type == "temporal":
            told = items[event.evidence[0]]
            assert event.answer == format_date(resolve_date(told.text, date.fromisoformat(told.time[:10])))


@given(seeds, splits)
@settings(max_examples=60)
def test_forgotten_and_never_told_values_have_no_answer(seed: int, split: str) -> None:
    for event in events(seed, split, forget_rate=1.0, num_choices=4):
        if isinstance(event, Question) and event.type in ("deletion", "abstention"):
            assert event.answer == UNKNOWN
            assert UNKNOWN in event.choices
            assert score_answer(event, UNKNOWN).score == 1
            for value in event.forbidden:
                assert score_answer(event, value).metrics["leaked"] == 1


@given(seeds)
@settings(max_examples=40)
def test_choices_are_distinct_and_hold_the_answer(seed: int) -> None:
    for event in events(seed, num_choices=4):
        if isinstance(event, Question):
            assert len(set(event.choices)) == 4
            assert event.answer in event.choices


def test_the_place_of_a_date_among_the_choices_tells_nothing() -> None:
    """Knowing only the question, no rule about earliest, middle or latest beats chance by much."""
    places: Counter[int] = Counter()
    for seed in range(300):
        for event in events(seed, num_choices=4):
            if isinstance(event, Question) and event.type == "temporal":
                days = [datetime.strptime(c, "%d %B %Y") for c in event.choices if c != UNKNOWN]
                places[sorted(days).index(datetime.strptime(event.answer, "%d %B %Y"))] += 1
    assert all(abs(count / places.total() - 1 / 3) < 0.06 for count in places.values())


def test_answering_nothing_scores_its_documented_share() -> None:
    asked = [e for s in range(300) for e in events(s, "test") if isinstance(e, Question)]
    assert sum(e.answer == UNKNOWN for e in asked) / len(asked) == pytest.approx(0.48, abs=0.03)


def test_dates_do_not_follow_the_locale_of_the_process() -> None:
    import locale

    before, own = [str(e) for e in events(0)], locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        try:
            assert [str(e) for e in events(0)] == before
        finally:
            locale.setlocale(locale.LC_ALL, own)


@given(seeds)
@settings(max_examples=30)
def test_reader_with_the_evidence_alone_answers(seed: int) -> None:
    """What a question needs really is in its evidence."""
    items = {}
    for event in events(seed, "test", num_choices=4):
        if isinstance(event, Item):
            items[event.id] = event
        elif event.evidence:
            told = items[event.evidence[0]]
            entry = {
                "text": f"{told.speaker}: {told.text}",
                "attrs": {"time": told.time},
                "score": 0,
            }
            assert extractive_reader(event.text, [entry], event.choices) == event.answer


@given(seeds, splits)
@settings(max_examples=60)
def test_a_value_is_first_told_in_its_evidence(seed: int, split: str) -> None:
    told: dict[str, list[Item]] = {}
    for event in events(seed, split):
        if isinstance(event, Item):
            told.setdefault(event.speaker, []).append(event)
        elif event.type == "single-hop":
            value = re.compile(rf"\b{re.escape(event.answer)}\b", re.IGNORECASE)
            mentions = [item.id for item in told[event.meta["person"]] if value.search(item.text)]
            assert mentions[0] == event.evidence[0]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_sessions": 0},
        {"num_sessions": 2.5},
        {"turns_per_session": 0},
        {"num_facts": 17},
        {"num_events": -1},
        {"update_rate": 1.5},
        {"forget_rate": -0.1},
        {"questions_per_session": 0},
        {"num_choices": 1},
        {"answer_format": "essay"},
    ],
)
def test_bad_argument_is_named_with_its_range(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        DialogueMemory(**kwargs)


def test_golden_episode() -> None:
    """A change of these bytes is a change of the task: it needs a new version of the id."""
    hashes = [e.hash for e in play_by_name("oracle", "memgym/DialogueMemory-v0", 2)]
    assert hashes == GOLDEN


GOLDEN = ["4677b54ecfad2a4cc4c640b51f0326a5", "f956df5dcf945a67d163303ee8247188"]


def test_long_conversation_starts_at_once_and_streams() -> None:
    env = gym.make("memgym/DialogueMemory-v0", num_sessions=10_000, turns_per_session=50)
    observation, _ = env.reset(seed=0)
    assert observation["text"]
