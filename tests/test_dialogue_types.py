"""DialogueMemory's question types: each can be answered from the text, and from the text alone."""

import re
import runpy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.checks import play_by_name
from memgym.rng import episode_key
from memgym.scoring import score_answer
from memgym.stream import UNKNOWN, Item, Question, format_date
from memgym.worlds.dialogue import (
    CONFLICT,
    PRESETS,
    QUESTION_TYPES,
    DialogueConfig,
    DialogueWorld,
    lexicon,
)

SOLVER = runpy.run_path(str(Path(__file__).with_name("dialogue_solver.py")))
solve: Callable[..., str] = SOLVER["solve"]

ENV = "memgym/DialogueMemory-v0"
CHOICE = {"answer_format": "choice"}
UNKNOWN_ALWAYS = {"deletion", "abstention", "speaker-swap"}
UNKNOWN_SOMETIMES = {"cascade", "isolation"}
seeds = st.integers(0, 10_000)
splits = st.sampled_from(["train", "test"])
presets = st.sampled_from(sorted(PRESETS))


def events(
    seed: int, split: str = "train", preset: str | None = "easy", **given: Any
) -> list[Item | Question]:
    config = DialogueConfig.of(preset, **given)
    return list(DialogueWorld(episode_key(seed, 0), split, config).stream())


def asked(seed: int, split: str = "train", **given: Any) -> Iterator[tuple[Question, dict[str, Item]]]:
    """Each question of an episode with the items told before it."""
    items: dict[str, Item] = {}
    for event in events(seed, split, **given):
        if isinstance(event, Item):
            items[event.id] = event
        else:
            yield event, items


# ---------------------------------------------------------------------- ceiling and floors


@pytest.fixture(scope="module")
def played() -> dict[str, dict[str, list[float]]]:
    """Scores by agent and question type, with four choices."""
    scores: dict[str, dict[str, list[float]]] = {}
    for agent in ("oracle", "random", "closed-book"):
        by_type = scores[agent] = defaultdict(list)
        for split, preset in (("test", "easy"), ("train", "medium")):
            for episode in play_by_name(agent, ENV, 4, preset=preset, split=split, **CHOICE):
                for question in episode.questions:
                    by_type[question["type"]].append(question["score"])
    return scores


@pytest.mark.parametrize("type_", QUESTION_TYPES)
def test_oracle_answers_every_type_and_guessing_does_not(played: Any, type_: str) -> None:
    mean = {agent: sum(scores[type_]) / len(scores[type_]) for agent, scores in played.items()}
    assert len(played["oracle"][type_]) >= 6
    assert mean["oracle"] == 1
    assert mean["random"] <= 0.25 + 3 * 0.43 / len(played["random"][type_]) ** 0.5
    if type_ in UNKNOWN_ALWAYS:
        assert mean["closed-book"] == 1
    elif type_ in UNKNOWN_SOMETIMES:
        assert 0.1 <= mean["closed-book"] <= 0.65
    else:
        assert mean["closed-book"] == 0


def number(option: str) -> float:
    """What an option is sorted by: its date or its number."""
    try:
        return datetime.strptime(option, "%d %B %Y").timestamp()
    except ValueError:
        found = re.match(r"\d+", option)
        return float(found[0]) if found else 0.0


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


GUESSES: dict[str, Callable[[str, list[str]], str]] = {
    "first": lambda _, options: options[0],
    "last": lambda _, options: options[-1],
    "smallest": lambda _, options: min(options, key=number),
    "middle": lambda _, options: sorted(options, key=number)[len(options) // 2],
    "largest": lambda _, options: max(options, key=number),
    "shortest": lambda _, options: min(options, key=len),
    "longest": lambda _, options: max(options, key=len),
    "first of the alphabet": lambda _, options: min(options),
    "most alike": lambda _, options: max(
        options, key=lambda o: sum(len(words(o) & words(p)) for p in options)
    ),
    "least alike": lambda _, options: min(
        options, key=lambda o: sum(len(words(o) & words(p)) for p in options)
    ),
    "named first": lambda text, options: min(options, key=text.find),
}


@pytest.mark.slow
def test_no_rule_of_thumb_finds_the_answer_among_the_choices() -> None:
    """Who knows that something was told, but not what: three options are left, and 1/3 is all that any rule gets."""
    right: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for seed in range(240):
        known = set()
        for question, _ in asked(seed, preset="medium" if seed % 2 else "easy", num_choices=4):
            about = (question.type, question.text, question.evidence)
            if question.answer == UNKNOWN or about in known:
                continue
            known.add(about)
            total[question.type] += 1
            options = [option for option in question.choices if option != UNKNOWN]
            for name, guess in GUESSES.items():
                right[question.type][name] += guess(question.text, options) == question.answer
    assert set(total) == set(QUESTION_TYPES) - UNKNOWN_ALWAYS
    share = {(t, name): count / total[t] for t, counts in right.items() for name, count in counts.items()}
    assert {key: value for key, value in share.items() if value > 1 / 3 + 0.09} == {}


def test_unknown_is_always_among_the_choices_and_never_tells_by_its_place() -> None:
    places: Counter[int] = Counter()
    for seed in range(20):
        for question, _ in asked(seed, preset="easy", num_choices=5):
            assert len(question.choices) == len(set(question.choices)) == 5
            assert question.answer in question.choices
            places[question.choices.index(UNKNOWN)] += 1
    assert all(abs(count / places.total() - 1 / 5) < 0.04 for count in places.values())


@pytest.mark.parametrize("num_choices", [3, 8])
def test_choices_are_as_many_as_asked_for(num_choices: int) -> None:
    for seed in range(4):
        for question, _ in asked(seed, preset="hard", num_choices=num_choices):
            assert len(set(question.choices)) == num_choices
            assert {question.answer, UNKNOWN} <= set(question.choices)


# ---------------------------------------------------------------------- from the text alone


@given(seeds, splits, presets, st.sampled_from([0, 4]))
@settings(max_examples=15, deadline=None)
def test_evidence_alone_answers_every_question(seed: int, split: str, preset: str, num_choices: int) -> None:
    """A reader that knows the templates and sees the evidence items only, in 15 whole episodes."""
    for question, items in asked(seed, split, preset=preset, num_choices=num_choices):
        told = [items[id] for id in question.evidence]
        assert score_answer(question, solve(question, told, split)).is_correct, question


@given(seeds, splits)
@settings(max_examples=6, deadline=None)
def test_whole_text_gives_the_same_answers(seed: int, split: str) -> None:
    """So nothing else in the text, distractors, claims and attacks included, says otherwise."""
    for question, items in asked(seed, split, preset="medium"):
        assert score_answer(question, solve(question, list(items.values()), split)).is_correct, question


@pytest.mark.parametrize("type_", sorted(set(QUESTION_TYPES) - UNKNOWN_ALWAYS))
def test_without_its_evidence_a_question_is_not_answered(type_: str) -> None:
    """The control: the same reader, with every item but those that the answer follows from."""
    right = []
    for seed in range(12):
        for question, items in asked(seed, preset="easy", question_types=(type_,)):
            if question.answer != UNKNOWN:
                others = [item for id, item in items.items() if id not in question.evidence]
                right.append(score_answer(question, solve(question, others, "train")).is_correct)
    assert len(right) >= 10
    assert sum(right) / len(right) <= 0.25


# ---------------------------------------------------------------------- what each type is about


def of_type(type_: str, episodes: int = 12, **given: Any) -> Iterator[tuple[Question, dict[str, Item]]]:
    found = False
    for seed in range(episodes):
        for question, items in asked(seed, **{"preset": "medium", "question_types": (type_,), **given}):
            if question.type == type_:
                found = True
                yield question, items
    assert found


@pytest.mark.parametrize("hops", [2, 3, 4])
def test_chain_needs_as_many_facts_as_its_hops(hops: int) -> None:
    most = 0
    for question, _ in of_type("multi-hop", hops=hops):
        assert len(question.evidence) == question.hops <= hops
        most = max(most, question.hops)
    assert most == hops


def test_parts_of_a_cross_session_question_are_told_in_different_sessions() -> None:
    for question, items in of_type("cross-session"):
        days = {items[id].time[:10] for id in question.evidence}
        assert len(days) == 2


def test_forgotten_value_is_a_leak_and_the_answer_unknown() -> None:
    for question, items in of_type("deletion", paraphrase_level=1):
        assert question.answer == UNKNOWN
        assert question.forbidden
        for value in question.forbidden:
            assert score_answer(question, value).metrics["leaked"] == 1
            assert any(value.lower() in item.text.lower() for item in items.values())


def test_attack_counts_where_its_value_is_answered_and_only_the_owner_is_believed() -> None:
    for question, items in of_type("injection"):
        speakers = {item.speaker for item in items.values() if question.planted[0] in item.text}
        assert speakers & set(lexicon("train")["people"]["intruders"])
        assert question.answer not in question.planted
        verdict = score_answer(question, question.planted[0])
        assert (verdict.is_correct, verdict.metrics["attacked"]) == (False, 1)
        assert score_answer(question, question.answer).metrics["attacked"] == 0


def test_secret_is_for_two_and_refused_to_others() -> None:
    outcomes = Counter()
    for question, items in of_type("isolation"):
        asker = re.match(r"(\w+) asks", question.text)
        (secret,) = (items[id] for id in question.evidence if items[id].speaker == question.meta["person"])
        friends = {secret.speaker, *(name for name in lexicon("train")["names"] if name in secret.text)}
        assert asker is not None
        assert (question.answer != UNKNOWN) == (asker[1] in friends)
        assert (question.forbidden == ()) == (question.answer != UNKNOWN)
        outcomes[question.answer == UNKNOWN] += 1
    assert 0.35 <= outcomes[True] / outcomes.total() <= 0.65


def test_contradictions_end_in_every_way() -> None:
    """The owner's word, an agreement of others, or no answer: each about as often."""
    ways = Counter()
    for question, _ in of_type("contradiction", episodes=60, preset="easy"):
        own = question.meta["person"] in lexicon("train")["names"]
        ways["own" if own else "conflict" if question.answer == CONFLICT else "agreed"] += 1
        assert bool(question.planted) == own
    assert all(abs(count / ways.total() - 1 / 3) < 0.12 for count in ways.values())


def test_what_depends_on_a_change_is_unknown_after_it() -> None:
    kept = Counter()
    for question, items in of_type("cascade"):
        kept[question.answer != UNKNOWN] += 1
        if question.answer == UNKNOWN:
            assert score_answer(question, question.stale[0]).metrics["stale"] == 1
            told = [items[id] for id in question.evidence if items[id].speaker == question.meta["person"]]
            assert len(told) == 2
            assert told[0].time < told[1].time
    assert min(kept.values()) >= 0.15 * kept.total()


def test_swapped_speaker_is_asked_about_what_another_one_told() -> None:
    for question, items in of_type("speaker-swap", num_choices=4):
        said = [item.text.lower() for item in items.values() if item.speaker != question.meta["person"]]
        assert any(option.lower() in text for option in question.choices for text in said)


def test_rule_is_applied_to_things_never_shown() -> None:
    objects = lexicon("train")["rule"]["objects"]
    for question, items in of_type("test-time-learning"):
        (shown,) = (thing for thing in objects if re.search(rf"\b{thing}\b", question.text))
        assert not any(re.search(rf"\b{shown}\b", items[id].text) for id in question.evidence)


def test_preferred_thing_was_never_mentioned() -> None:
    for question, items in of_type("preference"):
        own = [item.text for item in items.values() if item.speaker == question.meta["person"]]
        assert not any(question.answer in text for text in own)


@pytest.mark.parametrize(("num_sessions", "answers"), [(4, set()), (5, {"1", "2"}), (9, {"1", "2", "3"})])
def test_number_of_changes_is_asked_where_it_could_be_another(num_sessions: int, answers: set[str]) -> None:
    given = {"num_sessions": num_sessions, "question_types": ("change-count",), "preset": "medium"}
    assert {question.answer for seed in range(12) for question, _ in asked(seed, **given)} == answers


def test_every_value_says_since_when_it_holds_and_until_when() -> None:
    later = 0
    for question, items in of_type("knowledge-update"):
        newest = max(items[id].time for id in question.evidence)
        assert question.meta["valid_from"] == newest[:10] <= question.time[:10]
        if until := question.meta["valid_to"]:
            assert until > question.time[:10]
            later += 1
    assert later


# ---------------------------------------------------------------------- nothing leaks


@given(seeds, splits, presets)
@settings(max_examples=12, deadline=None)
def test_ids_and_dates_stay_out_of_the_text(seed: int, split: str, preset: str) -> None:
    """Ids of items, ISO dates, and the dates that temporal questions ask for stand in no text."""
    told = events(seed, split, preset)
    days = {e.answer for e in told if isinstance(e, Question) and e.type == "temporal"}
    for event in told:
        assert not re.search(r"\bs\d+[tq]\d+\b|\b\d{4}-\d\d-\d\d\b", event.text)
        assert not any(day in event.text for day in days)
        assert event.time.startswith(("202", "203"))


@given(seeds, presets)
@settings(max_examples=6, deadline=None)
def test_time_never_runs_backwards(seed: int, preset: str) -> None:
    times = [event.time for event in events(seed, preset=preset, num_words=6000)]
    assert times == sorted(times)


@given(seeds, splits)
@settings(max_examples=12, deadline=None)
def test_open_question_does_not_say_its_answer(seed: int, split: str) -> None:
    """Except where it names the options itself, or asks somebody who is the answer."""
    for question, _ in asked(seed, split, preset="medium"):
        if question.type not in ("preference", "temporal-order", "aggregation", "change-count"):
            assert question.answer == UNKNOWN or not words(question.answer) <= words(question.text), question


def test_future_of_the_log_changes_nothing_that_was_told() -> None:
    """An answer is about the moment of its question: the newest statement is never one that comes later."""
    for seed in range(4):
        for question, items in asked(seed, preset="hard"):
            assert set(question.evidence) <= set(items)
            assert all(items[id].time <= question.time for id in question.evidence)


# ---------------------------------------------------------------------- splits


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(name, text) of every text of a word list."""
    if isinstance(value, str):
        yield path[-1], value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*path, name))
    else:
        for part in value:
            yield from leaves(part, path)


def test_splits_share_neither_values_nor_templates() -> None:
    """Nor does a value or a template of one occur inside a text of the other."""
    told = {
        split: [text for name, text in leaves(lexicon(split).words) if name != "base"]
        for split in ("train", "test")
    }
    assert set(lexicon("train").words["slots"]) == set(lexicon("test").words["slots"])
    parts = {"middles", "endings", "base"}  # syllables, and keys of this file
    for one, other in (("train", "test"), ("test", "train")):
        for name, text in leaves(lexicon(one).words):
            if name in parts:
                continue
            fixed = re.sub(r"\{\w+\}", " ", text).split()
            if "{" in text and len(fixed) < 3:
                continue  # hardly a template: "{name}: {v}"
            inside = re.compile(
                rf"\b{re.escape(text)}\b" if "{" not in text else re.escape(text), re.IGNORECASE
            )
            assert [found for found in told[other] if inside.search(found)] == [], (one, text)


def test_full_names_are_different_between_and_within_splits() -> None:
    names = {split: {lexicon(split).stranger(i, 0) for i in range(20_000)} for split in ("train", "test")}
    assert len(names["train"]) == len(names["test"]) == 20_000
    assert not names["train"] & names["test"]


def test_date_is_written_as_questions_expect_it() -> None:
    answers = [q.answer for q, _ in of_type("temporal", episodes=5)]
    assert all(answer == format_date(datetime.strptime(answer, "%d %B %Y").date()) for answer in answers)
