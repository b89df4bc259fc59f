"""The package LangMem as an agent: the real one, with a server that follows rules in the place of a model."""

import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

if find_spec("langmem") is None:
    pytest.skip("needs langmem: pip install 'memgym[langmem]'", allow_module_level=True)

from langsmith.run_helpers import get_tracing_context  # pyright: ignore[reportMissingImports]

from memgym.agents.external.langmem import NAMESPACE, LangMemStore, langmem_package
from memgym.agents.external.model import PackageModel, StableIds
from memgym.checks import check_agent
from memgym.llm import Cassette, LLMUnavailable, OpenAIClient
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

given = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("external_play.py"))))
OSLO, CELLO, BERGEN = "I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now."
FORGET = "Please forget that I play the cello."


def make(model: PackageModel, **how: Any) -> LangMemStore:
    return LangMemStore(model, HashingEmbedder(256), **how)


def known(store: MemoryStore) -> list[str]:
    """What the package itself says that it knows."""
    return sorted(
        item.value["content"]["content"] for item in given.package(store).store.search(NAMESPACE, limit=1000)
    )


def without_updates(model: PackageModel) -> LangMemStore:
    store = make(model)
    store.manager.memory_manager.enable_updates = False
    return store


def test_what_changes_is_patched_and_the_stale_value_is_gone(llm: str) -> None:
    store = given.filled(make, llm, OSLO, "Hello there!", CELLO, BERGEN)
    assert given.events(store) == ["ADD", "ADD", "UPDATE"]
    assert given.texts(store) == known(store) == [f"Ines: {BERGEN}", f"Ines: {CELLO}"]
    assert {entry.attrs["time"] for entry in store.get_all()} == {"2024-05-03", "2024-05-04"}


def test_with_its_patches_off_the_stale_value_stays(llm: str) -> None:
    store = given.filled(without_updates, llm, OSLO, CELLO, BERGEN)
    assert f"Ines: {OSLO}" in given.texts(store)
    assert given.events(store) == ["ADD"] * 3


def test_what_is_to_be_forgotten_is_removed_where_it_may_be(llm: str) -> None:
    assert given.texts(given.filled(make, llm, OSLO, CELLO, FORGET)) == [f"Ines: {OSLO}"]
    keeps = given.filled(lambda model: make(model, deletes=False), llm, OSLO, CELLO, FORGET)
    assert f"Ines: {CELLO}" in given.texts(keeps)


def test_without_room_the_package_forgets_the_oldest(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f"I bought {i} canaries for house number {i}." for i in range(6)]
    store = given.filled(make, llm, *said, budget=200)
    assert store.engine.nbytes <= 200
    assert given.texts(store) == known(store)
    monkeypatch.setattr(LangMemStore, "delete", lambda self, id: None)  # the control
    careless = given.filled(make, llm, *said, budget=200)
    assert len(known(careless)) > len(given.texts(careless))


def test_its_own_search_finds_what_is_asked(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = given.filled(make, llm, OSLO, CELLO)
    assert store.read("Who plays the cello?").hits[0]["text"] == f"Ines: {CELLO}"
    monkeypatch.setattr(type(given.package(store).store), "search", lambda *_, **__: [])
    assert store.read("Who plays the cello?").hits == []


def test_it_plays_the_same_episode_twice(llm: str) -> None:
    check_agent(langmem_package(llm), given.ID, **given.SHORT)


def test_an_episode_with_its_search_and_without(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_search = given.play(agent := langmem_package(llm), **given.UNSEEN)
    assert agent.usage()["calls"] == 16  # one a message
    monkeypatch.setattr(LangMemStore, "search", lambda self, question: [])
    without = given.play(langmem_package(llm), **given.UNSEEN)
    assert given.recall(with_search) > 0.7
    assert given.recall(without) == 0.0
    assert with_search.score > without.score


def test_a_recording_replays(rule_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangMem writes random ids into its prompts: with them, nothing in the recording would be found again."""
    file, other = tmp_path / "run.jsonl", tmp_path / "other.jsonl"
    first = given.play(langmem_package(Cassette(file, OpenAIClient("rules", base_url=rule_server))))
    again = given.play(langmem_package(Cassette(file)))
    assert first.actions == again.actions
    assert first.agent_bytes == again.agent_bytes
    monkeypatch.setattr(StableIds, "hide", lambda self, text: text)  # the control
    given.play(langmem_package(Cassette(other, OpenAIClient("rules", base_url=rule_server))))
    with pytest.raises(AssertionError, match="CassetteMiss"):
        given.play(langmem_package(Cassette(other)))


def test_ids_are_the_same_in_every_run_and_come_back() -> None:
    first, second = StableIds(), StableIds()
    one, two = uuid4(), uuid4()
    assert first.hide(f"<s_{one}> {two.hex}") == second.hide(f"<s_{uuid4()}> {uuid4().hex}")
    assert first.hide(str(one)) != first.hide(str(two))
    assert first.show(first.hide(f"{one} {two.hex}, and more")) == f"{one} {two.hex}, and more"
    assert first.show(str(unknown := uuid4())) == str(unknown)


def test_a_server_that_is_not_there_is_an_error_and_no_empty_memory() -> None:
    nobody = OpenAIClient("rules", base_url="http://127.0.0.1:1/v1", attempts=1)
    with pytest.raises(LLMUnavailable, match="no answer"):
        given.filled(make, nobody, OSLO)


def test_nothing_is_traced_whatever_the_environment_says(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    seen = []
    ask = PackageModel.ask

    def watched(self: PackageModel, *args: Any, **kwargs: Any) -> Any:
        seen.append(get_tracing_context()["enabled"])
        return ask(self, *args, **kwargs)

    monkeypatch.setattr(PackageModel, "ask", watched)
    given.filled(make, llm, OSLO)
    assert seen == [False]
    assert get_tracing_context()["enabled"] is None  # and only here
