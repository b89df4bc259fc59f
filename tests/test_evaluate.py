"""Evaluation with agents that misbehave, and runs that meet what an earlier run has left."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_bundle
from memgym.core.suites import get_suite
from memgym.core.verify import verify
from memgym.errors import MemgymError

AGENT = """
from memgym.core.agent import Agent, AgentCard
from memgym.memory import as_action

class Mine(Agent):
    def __init__(self):
        self.card = AgentCard({name!r}, "scripted", "A test.")
        self.steps = 0
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.steps += 1
        {body}
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write an agent's file and name it for the command line: agent(body, name=...)."""
    monkeypatch.syspath_prepend(str(tmp_path))
    count = 0

    def write(body: str, name: str = "mine") -> str:
        nonlocal count
        count += 1
        module = f"mine_{tmp_path.name.replace('-', '_')}_{count}"
        (tmp_path / f"{module}.py").write_text(AGENT.format(body=body, name=name))
        return f"{module}:Mine"

    return write


def play(out: Path, *names: str, suite: str = "budgets+episodes=2") -> list[Path]:
    return run([plan(AgentSpec(name), get_suite(suite), out) for name in names])


@pytest.mark.parametrize(
    "body",
    [
        "return {'ops': 3}, None",
        "return 'ADD', None",
        "return None, None",
        "raise ValueError('no idea \\ud800')",
        "return as_action(answer='caf\\ud800'), None",
        "return {'ops': (), 'answer': 3}, None",
    ],
)
def test_failing_agent_scores_nothing_and_stops_nobody_else(agent: Any, tmp_path: Path, body: str) -> None:
    folders = play(tmp_path / "out", agent(body), "closed-book")
    bad, good = (verify(folder) for folder in folders)
    assert all(row["error"] and row["score"] == 0 for row in bad.episodes)
    assert all(row["error"] is None for row in good.episodes)


@pytest.mark.parametrize("body", ["return 7, None", "return 'left', None", "return None, None"])
def test_impossible_move_in_a_maze_is_an_error_of_the_agent(agent: Any, tmp_path: Path, body: str) -> None:
    (folder,) = play(tmp_path / "out", agent(body), suite="retention+episodes=2")
    assert all(row["error"] for row in verify(folder).episodes)


def test_failing_late_does_not_keep_the_good_questions(agent: Any, tmp_path: Path) -> None:
    body = "return (1 / 0 if self.steps % 300 == 299 else as_action(answer='unknown')), None"
    (folder,) = play(tmp_path / "out", agent(body))
    bundle = verify(folder)
    failed = [row for row in bundle.episodes if row["error"]]
    assert any(row["questions"] for row in failed)
    assert all(question["score"] == 0 for row in failed for question in row["questions"])


def test_changed_agent_does_not_continue_the_old_ones_shards(agent: Any, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(shard: Any, done: int, total: int) -> None:
        raise Stop

    name = agent("return as_action(answer='unknown'), None")
    suite = get_suite("budgets+episodes=2")
    with pytest.raises(Stop):
        run([plan(AgentSpec(name), suite, tmp_path / "out")], on_shard=stop)
    file = tmp_path / f"{name.split(':')[0]}.py"
    file.write_text(file.read_text().replace("unknown", "Oslo"))
    seen = []
    run(
        [plan(AgentSpec(name), suite, tmp_path / "out")],
        on_shard=lambda shard, done, total: seen.append(done),
    )
    assert seen[0] == 1  # nothing of the other agent counts as done


@pytest.mark.parametrize("name", ["../escaped", "", "a/b", "x" * 300, ".hidden", "a b"])
def test_name_that_is_no_folder_name_is_refused(agent: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(MemgymError, match="name"):
        play(tmp_path / "out", agent("return as_action(), None", name))
    assert not (tmp_path / "out").exists()


def test_two_agents_of_one_name_are_refused_before_anything_is_played(agent: Any, tmp_path: Path) -> None:
    with pytest.raises(MemgymError, match="two agents are called 'mine'"):
        play(tmp_path / "out", agent("return as_action(), None"), agent("return as_action(answer='x'), None"))
    assert not (tmp_path / "out").exists()


def test_damaged_shard_is_played_again(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole", "closed-book")[0]
    out = tmp_path / "out"
    plans = [plan(AgentSpec("closed-book"), get_suite("budgets+episodes=2"), out)]

    def damage(shard: Any, done: int, total: int) -> None:
        path = next(iter((out / "closed-book" / "shards").glob("*.json.gz")))
        path.write_bytes(path.read_bytes()[:50])

    run(plans, on_shard=damage)
    assert read_bundle(out / "closed-book").header["digest"] == read_bundle(whole).header["digest"]


def test_dataset_that_arrives_later_completes_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locomo_file: Path
) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path / "nothing"))
    (folder,) = play(tmp_path / "out", "closed-book", suite="quickstart+episodes=1")
    assert [task["name"] for task in read_bundle(folder).header["tasks"]] == ["dialogue-1k"]
    monkeypatch.setenv("MEMGYM_DATA", str(locomo_file.parents[1]))
    play(tmp_path / "out", "closed-book", suite="quickstart+episodes=1")
    assert [task["name"] for task in verify(folder).header["tasks"]] == ["dialogue-1k", "locomo-256k"]
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path / "nothing"))
    before = read_bundle(folder).header
    play(tmp_path / "out", "closed-book", suite="quickstart+episodes=1")
    assert read_bundle(folder).header == before  # what is there already is not thrown away


def test_shard_files_are_plain_gzipped_json(tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept: list[dict[str, Any]] = []

    def look(shard: Any, done: int, total: int) -> None:
        kept.extend(json.loads(gzip.decompress(p.read_bytes())) for p in out.rglob("*.json.gz"))

    run([plan(AgentSpec("closed-book"), get_suite("dialogue+episodes=1"), out)], on_shard=look)
    assert all(content.keys() == {"rows", "traces", "timings"} for content in kept)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the table of processes in /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memgym", "evaluate", "--agents", "ppo-lstm", "--suite", "rewriting"]
    parent = subprocess.Popen(
        [*command, "--workers", "2", "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert parent.poll() is None or parent.returncode == -signal.SIGTERM
            assert time.monotonic() < deadline
            time.sleep(0.2)

    # a worker's command line tells of the spawn; it plays once a first shard is there
    wait_for(lambda: len(_children(parent.pid)) >= 2 and any(tmp_path.rglob("*.json.gz")))
    workers = _children(parent.pid)
    parent.terminate()
    parent.wait()
    wait_for(lambda: not any(_is_running(worker) for worker in workers))


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
