"""The environments on bAbI's stories, on the real files."""

import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from memgym.datasets.babi import TASKS, load_babi
from memgym.datasets.background import DID, MAX_SENTENCE, WHAT, WHEN, WHO, made_sentences, read_sentences
from memgym.envs.babi import BAbI
from memgym.envs.babilong import BABILong
from memgym.errors import DatasetCorrupt, DatasetMissing
from memgym.memory import MemoryOp, OpKind, as_action
from memgym.stream import Item, Question


@pytest.fixture(autouse=True)
def data_is_here(real_data: Callable[[str], Path]) -> None:
    real_data("babi_en_1k")


def stream(env: Any, episode: int = 0) -> list[Any]:
    env.reset(seed=3, options={"episode": episode})
    return list(env._stream(env._key, env.episode))


def words(items: list[Any]) -> int:
    return sum(len(item.text.split()) for item in items if isinstance(item, Item))


# ---------------------------------------------------------------------- bAbI


def test_a_story_streams_as_it_stands_in_the_file() -> None:
    env = BAbI(tasks=(2,), split="test")
    told = [(e.text, isinstance(e, Question)) for e in stream(env)]
    stories = [[(line.text, bool(line.answer)) for line in story] for story in load_babi(2, "test")]
    assert told in stories


def test_every_task_comes_once_before_any_comes_again() -> None:
    env = BAbI(split="test")
    types = [next(e.type for e in stream(env, i) if isinstance(e, Question)) for i in range(40)]
    assert set(types[:20]) == {f"{task}-{name}" for task, name in TASKS.items()}
    assert types[:20] == types[20:]


def test_every_story_of_a_task_comes_once_before_any_comes_again() -> None:
    env = BAbI(tasks=(20,), split="train")
    stories = load_babi(20, "train")
    played = [tuple(e.text for e in stream(env, i)) for i in range(len(stories) + 1)]
    assert sorted(played[:-1]) == sorted(tuple(line.text for line in story) for story in stories)
    assert played[-1] == played[0]


def test_remembering_the_supporting_facts_is_seen_and_forgetting_them_too() -> None:
    env = BAbI(tasks=(3,), split="test", memory_budget=None, view_bytes=1 << 20)
    for keep in (True, False):
        observation, _ = env.reset(seed=0)
        recall, done = [], False
        while not done:
            ops = (
                [MemoryOp(OpKind.ADD, text=observation["text"])] if keep and not observation["phase"] else []
            )
            observation, _, done, _, info = env.step(as_action(ops))
            recall += [info["evidence_recall"]] if "evidence_recall" in info else []
        assert recall
        assert set(recall) == {1.0 if keep else 0.0}


@pytest.mark.parametrize("make", [BAbI, partial(BABILong, num_words=1)], ids=["BAbI", "BABILong"])
def test_options_are_answers_of_the_task_with_the_right_one_anywhere(make: Any) -> None:
    env = make(tasks=(1, 6), answer_format="choice", num_choices=4)
    asked = [e for i in range(400) for e in stream(env, i) if isinstance(e, Question)]
    for question in asked:
        answers = {line.answer for story in load_babi(question.meta["task"], "train") for line in story}
        assert set(question.choices) <= answers - {""}
        assert len(set(question.choices)) == (4 if question.meta["task"] == 1 else 2)
    places = [question.choices.index(question.answer) for question in asked if question.meta["task"] == 1]
    assert all(0.13 < places.count(i) / len(places) < 0.37 for i in range(4))  # four standard deviations


@pytest.mark.parametrize("env_class", [BAbI, BABILong])
@pytest.mark.parametrize("tasks", [(), (0,), (1, 21)])
def test_tasks_that_do_not_exist_are_named(env_class: type, tasks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="tasks are some of 1 to 20"):
        env_class(tasks=tasks)


# ---------------------------------------------------------------------- BABILong


@pytest.mark.parametrize("num_words", [500, 5000])
def test_a_text_has_the_words_that_were_asked_for(num_words: int) -> None:
    for episode in range(10):
        items = stream(BABILong(num_words=num_words, tasks=(1, 2)), episode)
        assert num_words <= words(items) <= num_words + 40


def test_without_room_for_background_the_facts_remain() -> None:
    *items, question = stream(BABILong(num_words=1, tasks=(1,), chunk_words=1))
    (story,) = [
        story
        for story in load_babi(1, "train")
        if [line.text for line in story if not line.answer][: len(items)] == [item.text for item in items]
    ]
    assert question.text in [line.text for line in story]


def test_a_longer_text_has_the_same_facts_at_the_same_fractions() -> None:
    """Lengths are paired: facts, question, and background up to where the shorter text ends."""

    def parts(num_words: int) -> tuple[list[tuple[str, float]], list[str], Any]:
        *items, question = stream(BABILong(num_words=num_words, tasks=(2,), chunk_words=1), 4)
        made = set(islice(made_sentences_of(num_words), 20_000))
        facts, others, before = [], [], 0
        for item in items:
            if item.text in made:
                others.append(item.text)
            else:
                facts.append((item.text, before / num_words))
            before += len(item.text.split())
        return facts, others, (question.text, question.answer)

    def made_sentences_of(num_words: int) -> Any:
        env = BABILong(num_words=num_words, tasks=(2,))
        env.reset(seed=3, options={"episode": 4})
        from memgym.rng import CounterRNG

        return made_sentences(CounterRNG(env._key).fork(1).key)

    facts, others, question = parts(2000)
    more_facts, more_others, same_question = parts(20_000)
    assert question == same_question
    assert [text for text, _ in facts] == [text for text, _ in more_facts]
    assert [place for _, place in facts] == pytest.approx([place for _, place in more_facts], abs=0.05)
    assert more_others[: len(others)] == others


def test_memory_does_not_grow_with_the_text() -> None:
    """Streams are lazy: a pass over thirty times the text holds no more at its peak."""

    def peak(num_words: int) -> int:
        env = BABILong(num_words=num_words, tasks=(1,), chunk_words=500)
        env.reset(seed=0)
        tracemalloc.start()
        done = False
        while not done:
            _, _, done, _, _ = env.step(as_action())
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(300_000) < peak(10_000) + 100_000


def test_the_evidence_is_the_passages_with_the_supporting_facts() -> None:
    env = BABILong(num_words=3000, tasks=(1, 2, 3))
    stories = {task: load_babi(task, "train") for task in (1, 2, 3)}
    for episode in range(12):
        *items, question = stream(env, episode)
        text = {item.id: item.text for item in items}
        supports = {
            story[i - 1].text
            for story in stories[question.meta["task"]]
            for line in story
            if line.text == question.text and line.answer == question.answer
            for i in line.evidence
        }
        assert question.evidence
        for id in question.evidence:
            assert any(support in text[id] for support in supports)


def test_facts_are_spread_over_the_whole_text() -> None:
    env = BABILong(num_words=2000, tasks=(1,), chunk_words=1)
    places = []
    for episode in range(40):
        *items, question = stream(env, episode)
        places += [int(id) / len(items) for id in question.evidence]
    assert min(places) < 0.3
    assert max(places) > 0.9
    assert 0.4 < sum(places) / len(places) < 0.9  # the last mention counts, so rather late than early


def test_the_background_says_nothing_of_babis_world() -> None:
    """No word of the background but function words occurs in bAbI, so it neither adds nor hides a fact."""
    function_words = set(
        "a an and the of to in on at for by with from as that was is it had not up above after before why".split()
    )
    told: set[str] = set()
    for task in TASKS:
        for story in load_babi(task, "train"):
            told.update(word.strip(".?").lower() for line in story for word in line.text.split())
    made = {
        word.strip(",").lower() for part in (WHO, DID, WHAT, WHEN) for text in part for word in text.split()
    }
    shared = (made & told) - function_words
    assert shared <= {"north", "south", "west", "east", "two", "few"}, shared


def test_sentences_of_a_file_fill_the_haystack(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("It was dark.  Nobody\nspoke! (She said so.) And then", encoding="utf-8")
    env = BABILong(num_words=60, tasks=(1,), chunk_words=1, background=path)
    texts = {item.text for item in stream(env)[:-1]}
    assert {"It was dark.", "Nobody spoke!", "(She said so.)", "And then"} <= texts


@pytest.mark.parametrize("text", ["x", "word " * 3000, "x" * 10_000, "A. B. C.", "\n\n.\n\n"])
def test_any_text_gives_sentences_without_end(text: str) -> None:
    for key in range(5):
        found = list(islice(read_sentences(text, key), 50))
        assert len(found) == 50
        assert all(0 < len(sentence) <= MAX_SENTENCE for sentence in found)


def test_a_bad_background_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    with pytest.raises(DatasetMissing, match=r"no background text at .*book\.txt"):
        BABILong(background=path)
    path.write_bytes(b" \n")
    with pytest.raises(DatasetCorrupt, match="has no words"):
        BABILong(background=path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetCorrupt, match="not UTF-8"):
        BABILong(background=path)
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DatasetCorrupt, match="more than 67,108,864 are not read"):
        BABILong(background=path)


@pytest.mark.parametrize(
    ("kwargs", "message"), [({"num_words": 0}, "num_words"), ({"chunk_words": 1.5}, "chunk_words")]
)
def test_a_wrong_length_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BABILong(**kwargs)
