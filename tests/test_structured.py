"""Structured memory systems: the laws that all of them keep, and the ledger they plan with."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("pydantic", reason="the steps of structured systems are typed with pydantic")

from memgym.agents import AGENTS, make_agent
from memgym.agents.handles import with_handle
from memgym.agents.structured.half_vectors import HalfVectors
from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.memory import MemoryEngine, MemoryOp
from memgym.memory.embed import HashingEmbedder
from memgym.memory.ops import dump_attrs
from memgym.memory.policy import MemoryView
from memgym.memory.store import MemoryStore

SYSTEMS = [name for name, target in AGENTS.items() if "memgym.agents.structured" in str(target)]


def play(name: str, **kwargs: Any) -> tuple[list[Any], float, int]:
    """One dialogue: the actions, the score, and the most bytes kept beside the bank."""
    env = gym.make("memgym/DialogueMemory-v0", answer_format="choice", disable_env_checker=True, **kwargs)
    agent = make_agent(name)
    observation, info = env.reset(seed=3)
    actions, state, most, over = [], None, 0, False
    while not over:
        action, state = agent.predict(observation, state, np.array([state is None]))
        observation, _, over, _, info = env.step(action)
        assert not info["refused"], name
        actions.append(action)
        most = max(most, agent.memory_nbytes(state))
    return actions, info["score"], most


@pytest.mark.parametrize("name", SYSTEMS)
def test_plays_the_same_way_again(name: str) -> None:
    assert play(name) == play(name)


@pytest.mark.parametrize("budget", [300, 1024, 1 << 20])
@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_is_refused_under_any_budget(name: str, budget: int) -> None:
    """What would not fit is not asked for."""
    _, score, most = play(name, memory_budget=budget, view_bytes=min(budget, 4096))
    assert 0.0 <= score <= 1.0
    assert most > 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_is_a_store_as_well(name: str) -> None:
    store = MemoryStore(MemoryEngine(), make_agent(name).make_policy())
    for text in ("I live in Oslo.", "My sister plays the cello.", "Actually, I live in Bergen now."):
        store.add(text, speaker="Maya", time="2024-05-01T10:00")
    found = store.read("Where does Maya live?")
    assert any("Bergen" in hit["text"] for hit in found.hits) or "Bergen" in (found.answer or "")
    assert all(" #h" not in hit["text"] for hit in found.hits)


@pytest.mark.parametrize("name", SYSTEMS)
def test_card_tells_who_carries_out_the_steps(name: str) -> None:
    card = make_agent(name).card
    assert card.url.startswith("https://")
    assert card.extra["steps"]
    assert all(step["backend"] == "rules" for step in card.extra["steps"].values())
    assert card.extra["deviations"]


# ---------------------------------------------------------------------- the ledger


def carry_out(engine: MemoryEngine, ledger: Ledger) -> None:
    for op in ledger.take():
        done = engine.apply(op, step=1)
        assert done.ok, done.reason


def view_of(engine: MemoryEngine) -> MemoryView:
    left = engine.bytes_left
    entries = [{"id": e.id, "text": e.text, "attrs": "", "score": 0.0} for e in engine.get_all()]
    return MemoryView(entries, 1 << 30 if left is None else left)


def test_plan_and_bank_agree() -> None:
    engine, ledger = MemoryEngine(400), Ledger(HashingEmbedder(64))
    for i in range(30):
        ledger.begin(view_of(engine))
        ledger.add(f"fact number {i} of the day", {"time": f"2024-01-{i + 1:02d}"}, evict=lambda n: n)
        if i % 3 == 2:
            newest = max(ledger)
            ledger.update(newest, f"fact {i} was corrected", {"seen": i}, evict=lambda n: n)
        carry_out(engine, ledger)
        assert [f"m{number}" for number in ledger] == [entry.id for entry in engine.get_all()]
    assert 0 < len(engine) < 30
    assert ledger.nearest("fact 29 corrected", 1)[0][0] == max(ledger)


def test_what_does_not_fit_is_not_planned() -> None:
    engine, ledger = MemoryEngine(60), Ledger()
    ledger.begin(view_of(engine))
    assert ledger.add("short", {}) == 1
    assert ledger.add("x" * 100, {}, evict=lambda n: n) is None
    assert ledger.add("y" * 60, {}) is None
    carry_out(engine, ledger)
    assert [entry.text for entry in engine.get_all()] == [with_handle("short", 1)]


def test_others_may_delete_and_add() -> None:
    engine, ledger = MemoryEngine(), Ledger()
    view = lambda: MemoryView([], 1 << 30, engine.sizes)  # noqa: E731
    ledger.begin(view())
    first = ledger.add("mine", {})
    carry_out(engine, ledger)
    engine.apply(MemoryOp.add("somebody else's"), step=2)
    engine.apply(MemoryOp.delete(f"m{first}"), step=3)
    ledger.begin(view())
    assert len(ledger) == 0
    assert ledger.add("mine again", {}) == 3
    carry_out(engine, ledger)
    assert [entry.id for entry in engine.get_all()] == ["m2", "m3"]


def test_bytes_are_those_of_what_is_held() -> None:
    """The count that is kept as entries come, change and go is the one that a ledger of the same entries has."""
    engine, ledger = MemoryEngine(400), Ledger(HashingEmbedder(64))
    for i in range(30):
        ledger.begin(view_of(engine))
        ledger.add(f"Fact {i} about the harbour.", {"n": i, "name": "ö" * (i % 5)}, evict=oldest_first)
        if i % 3 == 0:
            ledger.update(next(iter(ledger)), "Changed.", {"more": "x" * i}, evict=oldest_first)
        carry_out(engine, ledger)
        attrs = sum(len(dump_attrs(ledger.attrs(number)).encode()) for number in ledger)
        assert ledger.nbytes() == 16 + len(ledger) * (16 + 2 * 64) + attrs
    assert 1 < len(ledger) < 30
    assert ledger.vectors([*ledger]).shape == (len(ledger), 64)


def test_vectors_are_those_of_their_numbers_whatever_goes() -> None:
    rows = HalfVectors()
    for number in range(200):
        rows.put(number, np.full(8, number, np.float32))
        if number % 2:
            rows.remove(number - 1)
            rows.remove(number - 1)
    kept = [number for number in range(200) if number % 2]
    rows.put(7, np.zeros(8, np.float32))
    assert 6 not in rows
    assert 7 in rows
    assert rows.of(kept)[:, 0].tolist() == [0 if number == 7 else number for number in kept]
    assert rows.nbytes == len(kept) * 8 * 2
