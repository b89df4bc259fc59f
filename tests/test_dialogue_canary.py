"""Canaries of text tasks: what is asked is never told, so who answers it knows it from elsewhere."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from memgym.core import suites
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.protocol import agent_digest, canary_chance, caught_by_canaries
from memgym.core.result import read_bundle
from memgym.core.suites import CANARY, Suite, Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.verify import verify
from memgym.errors import SubmissionRefused
from memgym.leaderboard.submission import check_submission
from memgym.registry import Registry
from memgym.stream import UNKNOWN, Item, Question
from memgym.worlds.dialogue.writing import Writer

BEACON = "fedcba9876543210" * 4


def events(episode: int, **kwargs: Any) -> list[Item | Question]:
    env: Any = gym.make(
        "memgym/DialogueMemory-v0",
        disable_env_checker=True,
        answer_format="choice",
        split="test",
        **{"canary": True, **kwargs},
    ).unwrapped
    env.reset(seed=7, options={"episode": episode})
    return list(env._stream(env._key, episode))


def asked(stream: list[Item | Question]) -> Iterator[tuple[Question, str]]:
    """Each question with all that was said before it."""
    said = ""
    for event in stream:
        if isinstance(event, Question):
            yield event, said
        else:
            said += f" {event.text}"


def told(**kwargs: Any) -> list[bool]:
    """Of each question whether any turn before it says the answer."""
    return [
        q.answer.lower() in said.lower()
        for episode in range(20)
        for q, said in asked(events(episode, **kwargs))
    ]


def test_nothing_that_is_asked_is_told() -> None:
    canary = told()
    assert len(canary) > 100
    assert not any(canary)
    ordinary = told(canary=False, question_types=["single-hop", "knowledge-update"])
    assert all(ordinary)  # the control: it is the canary that keeps quiet


@pytest.mark.parametrize("preset", [None, "medium"])
def test_options_say_nothing_of_the_answer(preset: str | None) -> None:
    """Every fact once, the answer among values alone, and as often in each place of the alphabet."""
    places: Counter[int] = Counter()
    for episode in range(60):
        facts = []
        for question, _ in asked(events(episode, preset=preset)):
            assert question.type in ("single-hop", "knowledge-update")
            assert question.answer != UNKNOWN
            assert question.evidence == ()
            values = sorted(choice for choice in question.choices if choice != UNKNOWN)
            assert len(values) == 3
            places[values.index(question.answer)] += 1
            facts.append(question.text)
        assert len(set(facts)) == len(facts)
    expected = places.total() / 3
    assert (
        sum((n - expected) ** 2 / expected for n in places.values()) < 13.8
    )  # chi-square at 0.001, 2 degrees


def test_the_conversation_is_the_one_of_its_seed() -> None:
    """Whoever draws it again finds the same people and dates, and would answer by them."""
    canary, ordinary = events(3), events(3, canary=False)
    items = [[event for event in stream if isinstance(event, Item)] for stream in (canary, ordinary)]
    assert [(item.id, item.time) for item in items[0]] == [(item.id, item.time) for item in items[1]]
    assert {item.speaker for item in items[0]} == {item.speaker for item in items[1]}
    assert [item.text for item in items[0]] != [item.text for item in items[1]]


def test_filler_asks_nothing_and_nothing_has_to_be_kept() -> None:
    env: Any = gym.make(
        "memgym/DialogueMemory-v0",
        disable_env_checker=True,
        num_words=6000,
        canary=True,
        answer_format="choice",
    )
    env.reset(seed=1)
    base: Any = env.unwrapped
    stream = list(base._stream(base._key, 0))
    assert any(event.id.startswith("f") for event in stream)
    assert not any(event.id.startswith("f") for event in stream if isinstance(event, Question))
    assert base.oracle_state()["gold_bank"] == []


@pytest.mark.parametrize("kwargs", [{"answer_format": "text"}, {"question_types": ["deletion", "temporal"]}])
def test_a_canary_without_a_known_chance_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="canary=True needs answer_format='choice'"):
        gym.make("memgym/DialogueMemory-v0", **{"answer_format": "choice", "canary": True, **kwargs})


# ---------------------------------------------------------------------- in the protocol


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Any:
    """A suite of one dialogue, four episodes, and with a beacon its canary."""
    (task,) = [task for task in get_suite("quickstart").tasks if task.name == "dialogue-1k"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            suites, "TINY", Suite("tiny", "For tests.", (replace(task, episodes=4),)), raising=False
        )
        patch.setattr(suites, "SUITES", Registry("suite", {"tiny": "memgym.core.suites:TINY"}))
        yield


def canary() -> Task:
    return get_suite(f"tiny+beacon={BEACON}").tasks[1]


def play(out: Path, *specs: AgentSpec) -> list[Path]:
    return run([plan(spec, get_suite(f"tiny+beacon={BEACON}"), out) for spec in specs])


def caught(folder: Path) -> str:
    scores: dict[str, list[float]] = {}
    for row in read_bundle(folder).episodes:
        scores.setdefault(row["task"], []).append(row["score"])
    return caught_by_canaries(get_suite(f"tiny+beacon={BEACON}").tasks, scores)


def test_a_dialogue_has_a_canary_and_its_chance_is_one_of_the_values() -> None:
    assert canary().name == "dialogue-1k" + CANARY
    assert canary_chance(canary()) == pytest.approx(1 / 3)
    assert "canary" not in canary().kwargs  # agents are shown these
    assert make_env(canary()).unwrapped.config.canary  # type: ignore[attr-defined]
    assert not make_env(replace(canary(), canary=False)).unwrapped.config.canary  # type: ignore[attr-defined]


def test_a_suite_has_a_canary_of_a_text_task_that_says_so() -> None:
    names = {"DialogueMemory": True, "PoisonedDialogue": False, "LongHorizonQA": True, "TaskRevision": False}
    for name, has_one in names.items():
        task = replace(get_suite("tiny").tasks[0], env_id=f"memgym/{name}-v0")
        made = Suite("made", "", (task,)).registered(BEACON)
        assert any(one.canary for one in made.tasks) == has_one
    open_ended = replace(get_suite("tiny").tasks[0], kwargs={"memory_budget": 1024, "split": "test"})
    assert len(Suite("made", "", (open_ended,)).registered(BEACON).tasks) == 1  # chance is not known


HONEST = ("random", "closed-book", "recency", "rules", "add-all-bm25", "full-context", "fact-keys")


@pytest.mark.slow
def test_honest_agents_are_at_chance_and_who_sees_more_is_caught(tmp_path: Path) -> None:
    *honest, oracle = play(tmp_path, *map(AgentSpec, (*HONEST, "oracle")))
    for folder in honest:
        assert caught(folder) == ""
        summary = read_bundle(folder).header["summary"]
        assert summary["dialogue-1k" + CANARY]["score"] < 0.5
    assert "dialogue-1k-canary' shows nothing, and the agent scores 1.000" in caught(oracle)
    verify(oracle)


def test_canaries_that_tell_would_catch_the_honest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: it is what is not told that keeps an honest agent at chance."""
    quiet = Writer.item

    def telling(self: Writer, session: int, turn: int) -> Item:
        self.config = replace(self.config, canary=False)
        return quiet(self, session, turn)

    monkeypatch.setattr(Writer, "item", telling)
    (folder,) = play(tmp_path, AgentSpec("rules"))
    assert "it knows them from elsewhere" in caught(folder)


CHEAT = f"""
from datetime import date
import gymnasium as gym
import memgym
from memgym.core.agent import Agent, AgentCard
from memgym.core.suites import CANARY, get_suite, reserved_seeds
from memgym.memory import as_action
from memgym.worlds.dialogue.log import END_OF_SESSION, fold
from memgym.worlds.dialogue.writing import capitalised
from dataclasses import replace

(TASK,) = [task for task in get_suite("quickstart").tasks if task.name == "dialogue-1k"]

class Cheat(Agent):
    card = AgentCard("knows-the-generator", "scripted", "Draws every conversation again from its seed.")
    families = ("text",)

    def __init__(self):
        self.worlds = {{}}
        env = gym.make(TASK.env_id, disable_env_checker=True, **TASK.kwargs)
        for name in (TASK.name, TASK.name + CANARY):
            task = replace(TASK, name=name, beacon="{BEACON}", canary=name != TASK.name)
            for episode in range(40):
                seen, _ = env.reset(seed=reserved_seeds(task)[0], options={{"episode": episode}})
                self.worlds[seen["time"]] = env.unwrapped._world
        self.world = None

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        if state is None:
            self.world = self.worlds[observation["time"]]
        return as_action(answer=self.answer(observation) if observation["phase"] == 1 else ""), 0

    def answer(self, observation):
        world, day = self.world, date.fromisoformat(observation["time"][:10])
        now = (world.days.index(day), END_OF_SESSION)
        for thread in world.log.of("fact"):
            slot = world.words["slots"][thread.slot]
            asked = [capitalised(text.format(name=thread.subject)) for text in slot["question"]]
            truth = fold(world.log.told(thread.events, now))
            if observation["text"] in asked and truth.known:
                return truth.values[-1]
        return "Not mentioned in the conversation"
"""


def test_who_knows_the_generator_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, from nothing but what it is shown, the source of memgym and the beacon."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "knows_the_generator.py").write_text(CHEAT)
    (folder,) = play(tmp_path / "out", AgentSpec("knows_the_generator:Cheat"))
    bundle = verify(folder)  # replay alone does not tell
    assert bundle.header["summary"]["dialogue-1k"]["score"] > 0.7
    (tmp_path / "taken").mkdir()
    rounds = {BEACON: [agent_digest(bundle.header["agent"])]}
    (tmp_path / "taken" / "rounds.json").write_text(json.dumps(rounds))
    with pytest.raises(
        SubmissionRefused, match=r"dialogue-1k-canary.*shows nothing.*knows them from elsewhere"
    ):
        check_submission(folder, tmp_path / "taken")
