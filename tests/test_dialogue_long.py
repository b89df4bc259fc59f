"""Conversations of any length: nested, written turn by turn, in flat memory."""

import re
import runpy
import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.envs.dialogue import MAX_WORDS, DialogueMemory
from memgym.memory import as_action
from memgym.rng import episode_key
from memgym.scoring import score_answer
from memgym.stream import Item, Question
from memgym.worlds.dialogue import DialogueConfig, DialogueWorld
from memgym.worlds.dialogue.background import MAX_DELAY

solve = runpy.run_path(str(Path(__file__).with_name("dialogue_solver.py")))["solve"]

seeds = st.integers(0, 10_000)
splits = st.sampled_from(["train", "test"])
TYPES = ("single-hop", "knowledge-update", "deletion")  # what guests are asked about


def world(seed: int, split: str = "train", preset: str | None = None, **given: Any) -> DialogueWorld:
    return DialogueWorld(episode_key(seed, 0), split, DialogueConfig.of(preset, **given))


def of_guest(event: Item | Question) -> bool:
    return event.id.startswith("f")


@given(seeds, splits, st.sampled_from([None, "easy", "hard"]), st.integers(0, 20_000), st.integers(0, 20_000))
@settings(max_examples=15, deadline=None)
def test_longer_conversation_has_all_of_the_shorter_one(
    seed: int, split: str, preset: str | None, one: int, other: int
) -> None:
    """Every turn in the same order, every question with the same answer, options and evidence."""
    short, long = (list(world(seed, split, preset, num_words=n).stream()) for n in sorted((one, other)))
    there = {event.id: event for event in long}
    order = {id: place for place, id in enumerate(there)}
    assert len(there) == len(long)
    places = [order[event.id] for event in short]
    assert places == sorted(places)
    for event in short:
        twin = there[event.id]
        names = (
            ("text", "speaker")
            if isinstance(event, Item)
            else ("text", "answer", "choices", "evidence", "type")
        )
        assert [getattr(event, name) for name in names] == [getattr(twin, name) for name in names]


def test_length_changes_nothing_that_is_told_and_only_adds_guests() -> None:
    told, long = (list(world(3, num_words=n).stream()) for n in (0, 10_000))
    assert [e.id for e in long if not of_guest(e)] == [e.id for e in told]
    assert sum(of_guest(e) for e in long) > 100


@pytest.mark.parametrize("preset", [None, "easy", "medium", "hard"])
@pytest.mark.parametrize("num_words", [20_000, 60_000])
def test_conversation_is_about_as_long_as_asked_for(preset: str | None, num_words: int) -> None:
    words = sum(len(e.text.split()) for e in world(1, preset=preset, num_words=num_words).stream())
    assert words == pytest.approx(num_words, rel=0.1)


@given(seeds, splits, st.sampled_from([None, "hard"]), st.data())
@settings(max_examples=10, deadline=None)
def test_turn_is_written_without_the_turns_before_it(
    seed: int, split: str, preset: str | None, data: Any
) -> None:
    items = [e for e in world(seed, split, preset, num_words=8000).stream() if isinstance(e, Item)]
    fresh = world(seed, split, preset, num_words=8000)
    for item in data.draw(st.lists(st.sampled_from(items), min_size=5, max_size=20)):
        assert fresh.item(item.id) == item


def test_turn_in_the_middle_of_ten_million_words_is_there_at_once() -> None:
    far = world(0, num_words=10_000_000)
    blocks = far.background.num_blocks[2]
    assert blocks > 1000
    assert far.item(f"f3.{blocks // 2}t7").text
    questions = [q for block in range(blocks - 9, blocks) for q in far.background.questions(2, block)]
    assert max(q.meta["blocks"] for q in questions) > 100


@given(seeds, splits)
@settings(max_examples=4, deadline=None)
def test_what_guests_tell_answers_what_is_asked_about_them(seed: int, split: str) -> None:
    """From the text of all turns alone, with changes and wishes to forget that come much later."""
    items: list[Item] = []
    asked = 0
    for event in world(
        seed, split, num_words=20_000, num_sessions=1, update_rate=0.8, forget_rate=0.4
    ).stream():
        if isinstance(event, Item):
            items.append(event)
        elif of_guest(event):
            asked += 1
            told = {item.id: item for item in items}
            person = event.meta["person"]
            own = [item for item in items if item.speaker == person]
            assert score_answer(event, solve(event, own, split)).is_correct, event
            evidence = [told[id] for id in event.evidence]
            assert score_answer(event, solve(event, evidence, split)).is_correct, event
    assert asked >= 3


def test_facts_of_guests_come_at_a_constant_rate_and_are_asked_at_every_distance() -> None:
    guests = world(0, num_words=MAX_WORDS, update_rate=0.5, forget_rate=0.5).background
    blocks = range(1 << MAX_DELAY, (1 << MAX_DELAY) + 300)
    told = [op for block in blocks for _, op in guests.block(1, block)[1].values()]
    asked = [q for block in blocks for q in guests.questions(1, block)]
    assert told.count("assert") == 2 * len(blocks)
    assert 0.35 < told.count("update") / told.count("assert") < 0.65
    assert 0.8 < len(asked) / told.count("assert") < 1.2
    assert {q.type for q in asked} == set(TYPES)
    assert {(q.meta["blocks"] + 1).bit_length() - 1 for q in asked} == set(range(MAX_DELAY + 1))


def test_no_two_guests_have_one_name() -> None:
    guests = world(0, num_words=MAX_WORDS).background
    assert sum(guests.num_blocks) * 2 * 2 < guests.words.num_strangers
    names = [guests.fact(gap, block, i).name for gap in range(4) for block in range(4000) for i in range(2)]
    assert len(set(names)) == len(names)


def test_bystanders_are_nobody_who_is_asked_about() -> None:
    told = list(world(0, num_words=30_000, distractor_ratio=0.5).stream())
    asked = {e.meta["person"] for e in told if isinstance(e, Question) and of_guest(e)}
    for event in told:
        if isinstance(event, Item) and event.speaker not in asked:
            assert not any(re.search(rf"\b{name}\b", event.text) for name in asked)


def test_streaming_keeps_nothing() -> None:
    stream = world(0, num_words=400_000).stream()
    for _ in islice(stream, 500):
        pass
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in islice(stream, 5000):  # a quarter of a million words
        pass
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 64_000


def test_ten_million_words_start_at_once() -> None:
    env = gym.make("memgym/DialogueMemory-v0", num_words=10_000_000, preset="hard")
    observation, _ = env.reset(seed=0)
    assert observation["text"]
    assert env.step(as_action())[0]["text"]


def test_another_process_writes_the_same_long_conversation() -> None:
    program = (
        "import hashlib\n"
        "from memgym.worlds.dialogue import DialogueConfig, DialogueWorld\n"
        "events = DialogueWorld(7, 'test', DialogueConfig.of('hard', num_words=15_000, num_choices=5)).stream()\n"
        "print(hashlib.sha256(repr(list(events)).encode()).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("num_words", [-1, MAX_WORDS + 1, 1000.5])
def test_length_out_of_range_is_named(num_words: Any) -> None:
    with pytest.raises(ValueError, match="num_words"):
        DialogueMemory(num_words=num_words)
