"""The package mem0 as an agent: the real one, with a server that follows rules in the place of a language model."""

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

if find_spec("mem0") is None:
    pytest.skip("needs mem0: pip install 'memgym[mem0]'", allow_module_level=True)

from memgym.agents.external import mem0
from memgym.agents.external.mem0 import Mem0Store, mem0_package
from memgym.agents.external.model import PackageModel
from memgym.agents.external.store import PackageUnusable
from memgym.checks import check_agent
from memgym.llm import Cassette, LLMUnavailable, OpenAIClient
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

given = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("external_play.py"))))
MOVED = ("I live in Oslo.", "Hello there!", "I play the cello on Sundays.", "Actually, I live in Bergen now.")


def make(model: PackageModel) -> Mem0Store:
    return Mem0Store(model, HashingEmbedder(256))


def known(store: MemoryStore) -> list[str]:
    """What the package itself says that it knows."""
    rows = given.package(store).memory.get_all(filters=mem0.SCOPE, top_k=1000)["results"]
    return sorted(row["memory"] for row in rows)


def test_the_bank_has_what_the_package_remembers(llm: str) -> None:
    store = given.filled(make, llm, *MOVED)
    assert given.texts(store) == known(store)
    assert known(store) == sorted(f"Ines: {text}" for text in MOVED if "Hello" not in text)
    assert [entry.attrs["time"] for entry in store.get_all()] == ["2024-05-01", "2024-05-03", "2024-05-04"]


def test_it_adds_a_fact_once_and_never_updates(llm: str) -> None:
    store = given.filled(make, llm, *MOVED, MOVED[0])
    assert given.events(store) == ["ADD"] * 3


def test_without_room_the_package_forgets_the_oldest(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f"I keep {i} canaries in house number {i}." for i in range(6)]
    store = given.filled(make, llm, *said, budget=200)
    assert store.engine.nbytes <= 200
    assert given.texts(store) == known(store)
    assert known(store)[-1].endswith("5.")
    monkeypatch.setattr(Mem0Store, "delete", lambda self, id: None)  # the control
    careless = given.filled(make, llm, *said, budget=200)
    assert len(known(careless)) == 6 > len(given.texts(careless))


def test_its_own_search_finds_what_is_asked(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = given.filled(make, llm, *MOVED)
    assert store.read("Who plays the cello?").hits[0]["text"] == "Ines: I play the cello on Sundays."
    assert store.read("xyzzy").hits == []  # nothing above mem0's threshold, whatever is in the bank
    monkeypatch.setattr(given.package(store).memory, "search", lambda *_, **__: {"results": []})
    assert store.read("Who plays the cello?").hits == []


def test_it_plays_the_same_episode_twice(llm: str) -> None:
    check_agent(mem0_package(llm), given.ID, **given.SHORT)


def test_an_episode_with_its_search_and_without(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_search = given.play(agent := mem0_package(llm), **given.UNSEEN)
    assert agent.usage()["calls"] == 16  # one a message
    assert with_search.agent_bytes > 0
    monkeypatch.setattr(Mem0Store, "search", lambda self, question: [])
    without = given.play(mem0_package(llm), **given.UNSEEN)
    assert given.recall(with_search) > 0.7
    assert given.recall(without) == 0.0
    assert with_search.score > without.score


def test_a_recording_replays_so_no_clock_and_no_uuid_is_in_a_prompt(rule_server: str, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    first = given.play(mem0_package(Cassette(file, OpenAIClient("rules", base_url=rule_server))))
    again = given.play(mem0_package(Cassette(file)))
    assert first.actions == again.actions
    assert first.agent_bytes == again.agent_bytes
    requests = [json.loads(line)["request"] for line in file.read_text("utf-8").splitlines()]
    dates = {request["messages"][1]["content"][-40:] for request in requests}
    assert len(dates) == 2  # one a session
    assert "Current Date" in min(dates)


def test_a_prompt_of_another_form_is_refused(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mem0, "DATES", mem0.re.compile("## No such thing"))
    with pytest.raises(Exception, match=r"use mem0ai 2\.2") as caught:
        given.filled(make, llm, *MOVED)
    assert any(isinstance(one, PackageUnusable) for one in (caught.value, caught.value.__cause__))


def test_a_server_that_is_not_there_is_an_error_and_no_empty_memory() -> None:
    nobody = OpenAIClient("rules", base_url="http://127.0.0.1:1/v1", attempts=1)
    with pytest.raises(LLMUnavailable, match="no answer"):
        given.filled(make, nobody, "I live in Oslo.")


def test_telemetry_is_off_and_nothing_is_written_at_home(tmp_path: Path, llm: str) -> None:
    program = (
        "from memgym.agents.external.mem0 import mem0_package\n"
        f"agent = mem0_package({llm!r})\n"
        "import mem0.memory.telemetry as t\nprint(t.MEM0_TELEMETRY, t._get_oss_telemetry().posthog)\n"
        "print(agent.card.extra['search']['vectors'])"
    )
    assert given.quiet_python(program, tmp_path) == ["False", "None", "True"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_evaluated_and_verified_from_the_command_line(rule_server: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "memgym"]
    agent = "memgym.agents.external.mem0:mem0_package"
    command = [*program, "evaluate", "--agent", agent, "-s", "quickstart", "--episodes", "1", "--seeds", "1"]
    env = os.environ | {"OPENAI_BASE_URL": rule_server, "MEMGYM_DATA": str(tmp_path / "none")}
    subprocess.run([*command, "--out", str(tmp_path / "r")], env=env, check=True, capture_output=True)
    subprocess.run([*program, "verify", str(tmp_path / "r")], env=env, check=True, capture_output=True)
    header = json.loads((tmp_path / "r" / "mem0-package" / "submission.json").read_text())
    assert header["agent"]["extra"]["packages"]["mem0ai"].startswith("2.")
