"""The package mem0 as an agent: the real one, with a server that follows rules in the place of a language model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

if find_spec("mem0") is None:
    pytest.skip("needs mem0: pip install 'memgym[mem0]'", allow_module_level=True)

import memgym  # noqa: F401 - registers the environments
from memgym.agents.external import mem0
from memgym.agents.external.mem0 import Mem0Store, mem0_package
from memgym.agents.external.model import PackageModel
from memgym.agents.external.store import PackagePolicy, PackageUnusable
from memgym.checks import check_agent
from memgym.core.rollout import play_episode
from memgym.core.trace import Episode, Recorder
from memgym.llm import Cassette, LLMUnavailable, OpenAIClient
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from rule_server import serve  # pyright: ignore[reportMissingImports]

ID = "memgym/DialogueMemory-v0"
SHORT: dict[str, Any] = {
    "num_sessions": 2,
    "turns_per_session": 8,
    "num_facts": 4,
    "num_events": 1,
    "split": "test",
}
MOVED = ("I live in Oslo.", "Hello there!", "I play the cello on Sundays.", "Actually, I live in Bergen now.")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve() as url:
        yield url


@pytest.fixture
def llm(server: str) -> str:
    return f"openai:rules@{server}"


def filled(llm: str, *texts: str, budget: int | None = None) -> MemoryStore:
    model = PackageModel(llm, 500)
    store = MemoryStore(MemoryEngine(budget), PackagePolicy(Mem0Store(model, HashingEmbedder(256)), model))
    for day, text in enumerate(texts, 1):
        store.add(text, speaker="Ines", time=f"2024-05-{day:02}")
    return store


def package(store: MemoryStore) -> Mem0Store:
    assert isinstance(store.policy, PackagePolicy)
    assert isinstance(store.policy.store, Mem0Store)
    return store.policy.store


def known(store: MemoryStore) -> list[str]:
    """What the package itself says that it knows."""
    rows = package(store).memory.get_all(filters=mem0.SCOPE, top_k=1000)["results"]
    return sorted(row["memory"] for row in rows)


def texts(store: MemoryStore) -> list[str]:
    return sorted(entry.text.rpartition(" #h")[0] for entry in store.get_all())


def play(agent: Any, **kwargs: Any) -> Episode:
    recorder = Recorder(gym.make(ID, disable_env_checker=True, **SHORT, **kwargs))
    episode = play_episode(agent, recorder, recorder, 0, 0)
    assert episode.error is None
    return episode


def recall(episode: Episode) -> float:
    found = [question["evidence_recall"] for question in episode.questions if "evidence_recall" in question]
    return sum(found) / len(found)


def test_the_bank_has_what_the_package_remembers(llm: str) -> None:
    store = filled(llm, *MOVED)
    assert texts(store) == known(store) == sorted(f"Ines: {text}" for text in MOVED if "Hello" not in text)
    assert [entry.attrs["time"] for entry in store.get_all()] == ["2024-05-01", "2024-05-03", "2024-05-04"]


def test_it_adds_a_fact_once_and_never_updates(llm: str) -> None:
    store = filled(llm, *MOVED, MOVED[0])
    assert {done.op.kind.name for done in store.engine.log} == {"ADD"}
    assert len(texts(store)) == 3


def test_without_room_the_package_forgets_the_oldest(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f"I keep {i} canaries in house number {i}." for i in range(6)]
    store = filled(llm, *said, budget=200)
    assert store.engine.nbytes <= 200
    assert texts(store) == known(store)
    assert known(store)[-1].endswith("5.")
    monkeypatch.setattr(Mem0Store, "delete", lambda self, id: None)  # the control
    careless = filled(llm, *said, budget=200)
    assert len(known(careless)) == 6 > len(texts(careless))


def test_its_own_search_finds_what_is_asked(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(llm, *MOVED)
    assert store.read("Who plays the cello?").hits[0]["text"] == "Ines: I play the cello on Sundays."
    assert store.read("xyzzy").hits == []  # nothing above mem0's threshold, whatever is in the bank
    monkeypatch.setattr(package(store).memory, "search", lambda *_, **__: {"results": []})
    assert store.read("Who plays the cello?").hits == []


def test_it_plays_the_same_episode_twice(llm: str) -> None:
    check_agent(mem0_package(llm), ID, **SHORT)


def test_an_episode_with_its_search_and_without(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = {"view_bytes": 0}  # only what is searched counts as looked at
    with_search = play(agent := mem0_package(llm), **unseen)
    assert agent.usage()["calls"] == 16  # one a message
    assert with_search.agent_bytes > 0
    monkeypatch.setattr(Mem0Store, "search", lambda self, question: [])
    without = play(mem0_package(llm), **unseen)
    assert recall(with_search) > 0.7
    assert recall(without) == 0.0
    assert with_search.score > without.score


def test_a_recording_replays_so_no_clock_and_no_uuid_is_in_a_prompt(server: str, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    first = play(mem0_package(Cassette(file, OpenAIClient("rules", base_url=server))))
    again = play(mem0_package(Cassette(file)))
    assert first.actions == again.actions
    assert first.agent_bytes == again.agent_bytes
    requests = [json.loads(line)["request"] for line in file.read_text("utf-8").splitlines()]
    dates = {request["messages"][1]["content"][-40:] for request in requests}
    assert len(dates) == 2  # one a session
    assert "Current Date" in min(dates)


def test_a_prompt_of_another_form_is_refused(llm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mem0, "DATES", mem0.re.compile("## No such thing"))
    with pytest.raises(Exception, match=r"use mem0ai 2\.2") as caught:
        filled(llm, *MOVED)
    assert any(isinstance(one, PackageUnusable) for one in (caught.value, caught.value.__cause__))


def test_a_server_that_is_not_there_is_an_error_and_no_empty_memory() -> None:
    nobody = OpenAIClient("rules", base_url="http://127.0.0.1:1/v1", attempts=1)
    model = PackageModel(nobody, 500)
    store = MemoryStore(MemoryEngine(), PackagePolicy(Mem0Store(model, HashingEmbedder(256)), model))
    with pytest.raises(LLMUnavailable, match="no answer"):
        store.add("I live in Oslo.")


def test_telemetry_is_off_and_nothing_is_written_at_home(tmp_path: Path, llm: str) -> None:
    program = (
        "import sys\nfrom memgym.agents.external.mem0 import mem0_package\n"
        f"agent = mem0_package({llm!r})\n"
        "import mem0.memory.telemetry as t\nprint(t.MEM0_TELEMETRY, t._get_oss_telemetry().posthog)\n"
        "print(agent.card.extra['search']['vectors'], 'torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.split() == ["False", "None", "True", "False"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_evaluated_and_verified_from_the_command_line(server: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "memgym"]
    agent = "memgym.agents.external.mem0:mem0_package"
    command = [*program, "evaluate", "--agent", agent, "-s", "quickstart", "--episodes", "1", "--seeds", "1"]
    env = os.environ | {"OPENAI_BASE_URL": server, "MEMGYM_DATA": str(tmp_path / "none")}
    subprocess.run([*command, "--out", str(tmp_path / "r")], env=env, check=True, capture_output=True)
    subprocess.run([*program, "verify", str(tmp_path / "r")], env=env, check=True, capture_output=True)
    header = json.loads((tmp_path / "r" / "mem0-package" / "submission.json").read_text())
    assert header["agent"]["extra"]["packages"]["mem0ai"].startswith("2.")
