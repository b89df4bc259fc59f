"""The package Graphiti as an agent: the real one, with a server that follows rules in the place of a model."""

import asyncio
import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if find_spec("graphiti_core") is None or find_spec("kuzu") is None:
    pytest.skip("needs graphiti-core: pip install 'memgym[graphiti]'", allow_module_level=True)

from memgym.agents.external.graphiti import (
    ENTITIES,
    EPISODES,
    FACTS,
    MESSAGES,
    GraphitiStore,
    graphiti_package,
)
from memgym.agents.external.model import PackageModel
from memgym.checks import check_agent
from memgym.llm import Cassette, Completion, LLMOutputInvalid, LLMUnavailable, OpenAIClient, Usage
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

given = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("external_play.py"))))
OSLO, CELLO, BERGEN = "I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now."


def make(model: PackageModel) -> GraphitiStore:
    return GraphitiStore(model, HashingEmbedder(256))


def rows(store: MemoryStore, query: str) -> list[dict[str, Any]]:
    """What the package's own database says."""
    return given.package(store)._query(query)


def test_what_is_contradicted_ends_and_is_kept(llm: str) -> None:
    store = given.filled(make, llm, OSLO, "Hello there!", CELLO, BERGEN)
    assert given.texts(store) == sorted(row["fact"] for row in rows(store, FACTS))
    assert given.texts(store) == [f"Ines: {text}" for text in (BERGEN, OSLO, CELLO)]
    assert given.events(store) == ["ADD", "ADD", "UPDATE", "ADD"]
    assert [dict(entry.attrs) for entry in store.get_all()] == [
        {"time": "2024-05-01", "valid_from": "2024-05-01T00:00", "valid_to": "2024-05-04T00:00"},
        {"time": "2024-05-03", "valid_from": "2024-05-03T00:00"},
        {"time": "2024-05-04", "valid_from": "2024-05-04T00:00"},
    ]


def test_what_is_over_is_not_found_but_as_of_then(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = given.filled(make, llm, OSLO, CELLO, BERGEN)
    question = "In which town does Ines live?"

    def found(time: str = "") -> set[str]:
        return {hit["text"] for hit in store.read(question, time=time).hits}

    assert f"Ines: {BERGEN}" in found("2024-06-01")
    assert f"Ines: {OSLO}" not in found("2024-06-01") | found()
    assert f"Ines: {OSLO}" in found("2024-05-02")
    monkeypatch.setattr("memgym.agents.external.graphiti._holds", lambda until, asked: True)  # the control
    assert f"Ines: {OSLO}" in found("2024-06-01")


def test_without_contradictions_the_stale_value_holds(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = PackageModel.ask

    def compatible(self: PackageModel, step: str, messages: Any, **how: Any) -> Completion:
        if step != "EdgeDuplicate":
            return ask(self, step, messages, **how)
        return Completion('{"duplicate_facts": [], "contradicted_facts": []}', Usage(), "nobody")

    monkeypatch.setattr(PackageModel, "ask", compatible)
    store = given.filled(make, llm, OSLO, CELLO, BERGEN)
    assert given.events(store) == ["ADD"] * 3
    assert not any("valid_to" in entry.attrs for entry in store.get_all())


def test_without_room_the_package_forgets_the_oldest(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f"I bought canary{i} in Town{i}." for i in range(6)]
    store = given.filled(make, llm, *said, budget=250)
    assert store.engine.nbytes <= 250
    assert given.texts(store) == sorted(row["fact"] for row in rows(store, FACTS))
    assert "canary5" in given.texts(store)[-1]
    assert not any("canary0" in row["name"] for row in rows(store, ENTITIES))  # nor who has no other fact
    monkeypatch.setattr(GraphitiStore, "delete", lambda self, id: None)  # the control
    careless = given.filled(make, llm, *said, budget=250)
    assert len(rows(careless, FACTS)) == 6 > len(given.texts(careless))


def test_it_works_where_an_event_loop_runs(llm: str) -> None:
    async def notebook() -> list[str]:
        return given.texts(given.filled(make, llm, OSLO))

    assert asyncio.run(notebook()) == [f"Ines: {OSLO}"]


def test_messages_that_no_extraction_reads_any_more_are_deleted(llm: str) -> None:
    store = given.filled(make, llm, *(f"Hello number {i}!" for i in range(EPISODES + 3)))
    kept = [row["content"] for row in rows(store, MESSAGES)]
    assert kept == [f"Ines: Hello number {i}!" for i in range(EPISODES + 2, 2, -1)]


def test_its_own_search_finds_what_is_asked(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = given.filled(make, llm, OSLO, CELLO)
    assert store.read("Who plays the cello?").hits[0]["text"] == f"Ines: {CELLO}"

    with monkeypatch.context() as patch:  # without, a question mark hides all words
        patch.setattr("memgym.agents.external.graphiti.WILDCARDS", re.compile("(?!)"))
        assert store.read("Who plays the cello?").hits == []

    async def nothing(*_: Any, **__: Any) -> list[Any]:
        return []

    monkeypatch.setattr(given.package(store).graph, "search", nothing)
    assert store.read("Who plays the cello?").hits == []


@pytest.mark.slow
def test_it_plays_the_same_episode_twice(llm: str) -> None:
    check_agent(graphiti_package(llm), given.ID, **given.SHORT)


@pytest.mark.slow
def test_an_episode_replays_and_needs_its_search(
    rule_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.jsonl"
    first = given.play(
        graphiti_package(Cassette(file, OpenAIClient("rules", base_url=rule_server))), **given.UNSEEN
    )
    again = given.play(graphiti_package(Cassette(file)), **given.UNSEEN)
    assert first.actions == again.actions
    assert first.agent_bytes == again.agent_bytes
    assert given.recall(first) > 0.4
    monkeypatch.setattr(GraphitiStore, "search", lambda self, question: [])
    without = given.play(graphiti_package(Cassette(file)), **given.UNSEEN)
    assert given.recall(without) == 0.0
    assert first.score > without.score


def test_a_server_that_is_not_there_is_an_error_and_no_empty_memory() -> None:
    nobody = OpenAIClient("rules", base_url="http://127.0.0.1:1/v1", attempts=1)
    with pytest.raises(LLMUnavailable, match="no answer"):
        given.filled(make, nobody, OSLO)


def test_an_answer_that_is_no_json_is_an_error(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PackageModel, "ask", lambda *_, **__: Completion("I see.", Usage(), "nobody"))
    with pytest.raises(LLMOutputInvalid, match="no JSON"):
        given.filled(make, llm, OSLO)


def test_telemetry_is_off_and_nothing_is_written_at_home(tmp_path: Path, llm: str) -> None:
    program = (
        "import sys\nfrom memgym.agents.external.graphiti import graphiti_package\n"
        f"agent = graphiti_package({llm!r})\nagent.make_policy()\n"
        "from graphiti_core.telemetry.telemetry import is_telemetry_enabled\n"
        "print(is_telemetry_enabled(), 'posthog' in sys.modules)"
    )
    assert given.quiet_python(program, tmp_path) == ["False", "False"]
    assert [*tmp_path.iterdir()] == []
