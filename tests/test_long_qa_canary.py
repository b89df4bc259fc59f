"""The canary of LongHorizonQA: a stream without its statements, and questions that only chance answers then."""

import runpy
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from memgym.core import suites
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.protocol import canary_chance, caught_by_canaries
from memgym.core.result import read_bundle
from memgym.core.suites import CANARY, Suite, get_suite
from memgym.core.task_env import make_env
from memgym.envs.long_horizon_qa import PRESETS, LongHorizonQA
from memgym.registry import Registry
from memgym.rng import episode_key
from memgym.stream import Item, Question
from memgym.worlds.long_qa import ABILITIES, LongQAConfig, LongQAWorld

Reader = runpy.run_path(str(Path(__file__).with_name("long_qa_reader.py")))["Reader"]
BEACON = "0123456789abcdef" * 4


def world(seed: int, canary: bool = True, num_rounds: int = 1) -> LongQAWorld:
    config = LongQAConfig(
        abilities=tuple(ABILITIES),
        num_words=6000,
        num_rounds=num_rounds,
        num_choices=4,
        canary=canary,
        **PRESETS["medium"],
    )
    return LongQAWorld(episode_key(seed, 0), "test", config)


def read(one: LongQAWorld) -> tuple[list[Item], list[Question]]:
    events = list(one.stream())
    return [e for e in events if isinstance(e, Item)], [e for e in events if isinstance(e, Question)]


def right(canary: bool) -> tuple[int, int]:
    """How many of its questions a reader answers that has the whole stream before it, and of how many."""
    found, asked = 0, 0
    for seed in range(4):
        items, questions = read(world(seed, canary))
        reader = Reader("test", [item.text for item in items])
        found += sum(reader.answer(question.text) == question.answer for question in questions)
        asked += len(questions)
    return found, asked


def test_a_perfect_reader_finds_nothing() -> None:
    found, asked = right(canary=True)
    assert asked >= 40
    assert found == 0
    found, asked = right(canary=False)
    assert found >= 0.9 * asked  # the control: it is the canary that keeps quiet


def test_no_statement_is_told() -> None:
    for canary in (True, False):
        one = world(2, canary)
        text = " ".join(item.text for item in read(one)[0])
        assert len(text.split()) == 6000
        assert [statement.text in text for statement in one.log.statements].count(True) == (
            0 if canary else len(one.log.statements)
        )
        assert any(one.told(item.id) for item in read(one)[0]) != canary
        assert all(bool(question.evidence) != canary for question in read(one)[1])


def test_no_two_questions_have_an_option_in_common() -> None:
    """Rewards tell which answer was right: it would say something of the next question with that option."""
    for canary in (True, False):
        shared = 0
        for seed in range(10):
            options = list(
                chain(*(question.choices for question in read(world(seed, canary, num_rounds=2))[1]))
            )
            shared += len(options) - len(set(options))
        assert (shared == 0) == canary


def test_each_option_is_right_as_often() -> None:
    places: Counter[int] = Counter()
    for seed in range(150):
        for question in read(world(seed))[1]:
            places[sorted(question.choices).index(question.answer)] += 1
    expected = places.total() / 4
    assert expected > 300
    assert (
        sum((n - expected) ** 2 / expected for n in places.values()) < 16.3
    )  # chi-square at 0.001, 3 degrees


@pytest.mark.parametrize(
    "kwargs", [{"answer_format": "text"}, {"mode": "multi-turn"}, {"abilities": ["test-time-learning"]}]
)
def test_a_canary_without_a_known_chance_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="canary=True needs answer_format='choice' and mode='multi-request'"):
        LongHorizonQA(**{"answer_format": "choice", "canary": True, **kwargs})


# ---------------------------------------------------------------------- in the protocol


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite of the shortest task, made shorter, two episodes, and with a beacon its canary."""
    task = get_suite("longqa").tasks[0]
    task = replace(task, episodes=2, kwargs={**task.kwargs, "num_words": 4096})
    monkeypatch.setattr(suites, "TINY", Suite("tiny", "For tests.", (task,)), raising=False)
    monkeypatch.setattr(suites, "SUITES", Registry("suite", {"tiny": "memgym.core.suites:TINY"}))
    return get_suite(f"tiny+beacon={BEACON}")


def test_the_shortest_stream_has_a_canary_and_longer_ones_ask_the_same() -> None:
    registered = get_suite(f"longqa+beacon={BEACON}").tasks
    assert [task.name for task in registered if task.canary] == ["longqa-16k" + CANARY]
    canary = registered[-1]
    assert canary_chance(canary) == pytest.approx(1 / 4)
    assert "canary" not in canary.kwargs  # agents are shown these
    for task, is_one in ((canary, True), (registered[0], False)):
        env: Any = make_env(task).unwrapped
        assert env.config.canary == is_one


def test_honest_agents_are_at_chance_and_who_sees_more_is_caught(tiny: Suite, tmp_path: Path) -> None:
    caught = {}
    for name in ("oracle", "recency"):
        (folder,) = run([plan(AgentSpec(name), tiny, tmp_path)])
        scores: dict[str, list[float]] = {}
        for row in read_bundle(folder).episodes:
            scores.setdefault(row["task"], []).append(row["score"])
        caught[name] = caught_by_canaries(tiny.tasks, scores)
    assert "longqa-16k-canary' shows nothing, and the agent scores 1.000" in caught.pop("oracle")
    assert caught == {"recency": ""}
