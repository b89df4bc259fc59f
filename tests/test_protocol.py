"""Evaluation, results and verification: what is written is what happened, and a lie is named."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import canonical_json, digest_of, find_bundles, read_bundle, seal
from memgym.core.suites import SUITES, get_suite, reserved_seeds
from memgym.core.verify import verify
from memgym.errors import MemgymError, ResultError, ResultInvalid, ResultMismatch, UnknownName

SUITE = "rewriting+episodes=4"


def evaluate(out: Path, *agents: str, suite: str = SUITE, **kwargs: Any) -> list[Path]:
    return run([plan(AgentSpec(name), get_suite(suite), out) for name in agents], **kwargs)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    evaluate(out, "first-cue", "random")
    evaluate(out, "rules", suite="dialogue+episodes=2")
    return out


@pytest.fixture
def bundle(bundles: Path, tmp_path: Path) -> Path:
    """A fresh copy of a good result on control tasks, to be spoilt."""
    return shutil.copytree(bundles / "first-cue", tmp_path / "first-cue")


@pytest.fixture
def text_bundle(bundles: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundles / "rules", tmp_path / "rules")


# ---------------------------------------------------------------------- running


def test_finished_result_verifies(bundles: Path) -> None:
    for path in find_bundles(bundles):
        header = verify(path).header
        assert header["summary"].keys() == {task["name"] for task in header["tasks"]}


def test_workers_change_nothing(bundles: Path, tmp_path: Path) -> None:
    evaluate(tmp_path, "first-cue", workers=2)
    for name in ("episodes.jsonl.gz", "traces/t-maze-n3.jsonl.gz"):
        assert (tmp_path / "first-cue" / name).read_bytes() == (bundles / "first-cue" / name).read_bytes()


def test_second_run_plays_nothing_again(bundles: Path) -> None:
    before = read_bundle(bundles / "random").header
    played = []
    evaluate(bundles, "random", on_shard=lambda shard, done, total: played.append(shard))
    assert played == []
    assert read_bundle(bundles / "random").header == before


def test_interrupted_run_goes_on_and_ends_with_the_same_digest(bundles: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(shard: Any, done: int, total: int) -> None:
        if done == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        evaluate(tmp_path, "random", on_shard=stop)
    assert not (tmp_path / "random" / "submission.json").exists()
    counts = []
    evaluate(tmp_path, "random", on_shard=lambda shard, done, total: counts.append(done))
    assert counts[0] == 4
    assert (
        read_bundle(tmp_path / "random").header["digest"] == read_bundle(bundles / "random").header["digest"]
    )


def test_folder_of_another_run_is_left_alone(bundles: Path) -> None:
    with pytest.raises(ResultInvalid, match="another suite"):
        evaluate(bundles, "random", suite="rewriting+episodes=5")


def test_agent_that_can_play_nothing_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(MemgymError, match=r"can play no task.*plays text tasks only"):
        evaluate(tmp_path, "recency")


def test_skipped_tasks_are_listed_with_their_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    (folder,) = evaluate(tmp_path, "random", suite="quickstart+episodes=1")
    (skipped,) = verify(folder).header["skipped"]
    assert skipped["task"] == "locomo-256k"
    assert "memgym data get locomo10" in skipped["reason"]


@pytest.mark.parametrize("name", SUITES)
def test_suites_name_tasks_once_and_use_the_test_split(name: str) -> None:
    tasks = get_suite(name).tasks
    assert len({task.name for task in tasks}) == len(tasks)
    for task in tasks:
        assert task.kwargs.get("split", "test") == "test"
        assert len(set(reserved_seeds(task))) == task.num_seeds


@pytest.mark.parametrize(
    "name",
    ["nope", "quickstart+pages=3", "quickstart+episodes=x", "os:system", "quickstart+episodes=1+episodes=2"],
)
def test_unknown_suite_is_refused_and_nothing_is_imported(name: str) -> None:
    with pytest.raises(UnknownName):
        get_suite(name)


# ---------------------------------------------------------------------- lying


def rewrite_header(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header as a careful cheat would: with fresh checksums, digest and seals."""
    path = folder / "submission.json"
    header = json.loads(path.read_bytes())
    change(header)
    for name in header["manifest"]:
        file = folder / name
        header["manifest"][name] = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "0"
    header["digest"] = digest_of(header)
    for name in header["seals"]:
        if name != "header":
            header["seals"][name] = seal(header[name])
    header["seals"]["header"] = seal(
        [header[name] for name in ("schema", "protocol", "suite", "created", "digest")]
    )
    path.write_bytes(json.dumps(header).encode())


def rewrite_lines(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / name
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(rows)
    path.write_bytes(gzip.compress(b"".join(canonical_json(row) + b"\n" for row in rows), mtime=0))
    rewrite_header(folder, lambda header: None)


EPISODES = "episodes.jsonl.gz"
TRACE = "traces/t-maze-n3.jsonl.gz"


def set_in(index: int, key: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[index][key] = value

    return change


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        (EPISODES, set_in(0, "return", 3.0), r"episode 0: return is 3.0 in the file"),
        (EPISODES, set_in(1, "score", 0.5), r"episode 1: score is 0.5"),
        (EPISODES, set_in(2, "success", 1), r"episode 2: success|success"),
        (EPISODES, set_in(3, "length", 1), r"length is 1 in the file"),
        (EPISODES, set_in(0, "hash", "00"), r"hash is \"00\""),
        (EPISODES, set_in(0, "metrics", {"corridor": 3.0}), r"metrics"),
        (EPISODES, set_in(0, "bank_bytes", 7), r"bank_bytes is 7"),
        (EPISODES, set_in(0, "seed", 1), r"missing"),
        (EPISODES, set_in(0, "task", "t-maze-n10"), r"missing"),
        (EPISODES, lambda rows: rows.pop(), r"episode 3 is missing"),
        (EPISODES, lambda rows: rows.append(rows[0]), r"come twice"),
        (EPISODES, lambda rows: rows.reverse(), r"not in the order"),
        (EPISODES, set_in(0, "score", 1e308), r"score is 1e\+308"),
        (EPISODES, set_in(0, "extra", 1), r"extra"),
        (TRACE, lambda rows: rows[0]["actions"].append(0), r"actions, but the episode ends after"),
        (TRACE, lambda rows: rows[0]["actions"].pop(), r"stop before the episode ends"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, 1), r"episode 0"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, "left"), r"cannot be replayed"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, 9), r"cannot be replayed|differ|ends after"),
        (TRACE, lambda rows: rows.pop(), r"not of the same episodes"),
        (TRACE, set_in(0, "episode", 77), r"not of the same episodes"),
        (TRACE, set_in(0, "seed", [1]), r"line 1"),
    ],
)
def test_changed_record_is_refused_and_named(bundle: Path, file: str, change: Any, named: str) -> None:
    rewrite_lines(bundle, file, change)
    with pytest.raises(ResultError, match=named):
        verify(bundle)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda h: h["summary"]["t-maze-n3"].__setitem__("score", 1.0), r"summary: t-maze-n3: score is 1.0"),
        (lambda h: h["versions"].__setitem__("memgym", "9.9"), r"made with memgym 9.9"),
        (lambda h: h.__setitem__("protocol", "1999.1"), r"protocol is '1999.1'"),
        (lambda h: h.__setitem__("suite", "rewriting"), r"episodes"),
        (lambda h: h.__setitem__("suite", "os:system"), r"suite"),
        (lambda h: h["tasks"][0].__setitem__("seeds", [1]), r"seeds"),
        (lambda h: h["tasks"][0]["kwargs"].__setitem__("num_corridors", 1), r"num_corridors is 1"),
        (lambda h: h["tasks"][0].__setitem__("env_id", "os:system"), r"env_id"),
        (lambda h: h["tasks"].pop(), r"manifest and the tasks disagree|tasks are"),
        (lambda h: h.__setitem__("schema", "memgym-result/99"), r"schema"),
        (lambda h: h.__setitem__("surprise", 1), r"surprise"),
        (lambda h: h["manifest"].__setitem__("../../etc/passwd", "0"), r"disagree about '../../etc/passwd'"),
    ],
)
def test_changed_header_is_refused_and_named(bundle: Path, change: Any, named: str) -> None:
    rewrite_header(bundle, change)
    with pytest.raises(ResultError, match=named):
        verify(bundle)


@pytest.mark.parametrize("name", ["submission.json", EPISODES, TRACE])
def test_one_changed_byte_is_refused_and_the_file_named(bundle: Path, name: str) -> None:
    path = bundle / name
    data = bytearray(path.read_bytes())
    for at in range(20, len(data), max(1, len(data) // 25)):
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        path.write_bytes(spoilt)
        with pytest.raises(ResultError, match=name.split("/")[-1].split(".")[0]):
            verify(bundle)


def test_one_changed_byte_in_the_card_names_the_section(bundle: Path) -> None:
    path = bundle / "submission.json"
    path.write_text(path.read_text().replace('"retention', '"Retention').replace("first", "First", 1))
    with pytest.raises(ResultInvalid, match="section 'agent'"):
        verify(bundle)


def test_changed_operation_in_a_text_trace_is_named(text_bundle: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        ops = next(a["ops"] for a in rows[0]["actions"] if a["ops"])
        ops[0]["text"] = "something that was never said"

    rewrite_lines(text_bundle, "traces/dialogue-1k.jsonl.gz", change)
    with pytest.raises(ResultMismatch, match=r"task 'dialogue-1k'.*episode 0"):
        verify(text_bundle)


def test_changed_answer_in_a_text_trace_is_named(text_bundle: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for action in rows[1]["actions"]:
            action["answer"] = "Oslo" if action["answer"] else ""

    rewrite_lines(text_bundle, "traces/dialogue-1k.jsonl.gz", change)
    with pytest.raises(ResultMismatch, match=r"episode 1: .*in the file and .* when replayed"):
        verify(text_bundle)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"schema": NaN}', b"\xff\xfe", b"x" * (3 << 20)]
)
def test_broken_header_is_a_named_error(bundle: Path, content: bytes) -> None:
    (bundle / "submission.json").write_bytes(content)
    with pytest.raises(ResultInvalid, match=r"submission\.json"):
        verify(bundle)


@pytest.mark.parametrize("name", [EPISODES, TRACE])
def test_missing_or_linked_file_is_a_named_error(bundle: Path, name: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    (bundle / name).rename(moved)
    with pytest.raises(ResultInvalid, match="missing"):
        verify(bundle)
    (bundle / name).symlink_to(moved)
    with pytest.raises(ResultInvalid, match="missing"):
        verify(bundle)


def test_what_an_agent_says_of_itself_is_declared_not_proved(bundle: Path) -> None:
    """Replay cannot know what an agent remembered; the summary still has to follow from it."""
    rewrite_lines(bundle, EPISODES, set_in(0, "agent_bytes", 5))
    with pytest.raises(ResultMismatch, match="summary: t-maze-n3: memory_bytes"):
        verify(bundle)


# ---------------------------------------------------------------------- killing


AGENTS = "random,oracle,closed-book,recency,full-context,add-all-bm25,rules,first-cue,ppo-lstm,ppo-memory"


@pytest.mark.slow
def test_killed_run_of_ten_agents_resumes_with_the_same_digests(tmp_path: Path, locomo_file: Path) -> None:
    """SIGKILL to the whole process group, several times; then the same command to the end."""

    def command(out: Path) -> list[str]:
        return [
            sys.executable, "-m", "memgym", "evaluate", "--agents", AGENTS, "--suite",
            "quickstart+episodes=2", "--workers", "2", "--out", str(out),
        ]  # fmt: skip

    env = os.environ | {"MEMGYM_DATA": str(locomo_file.parents[1])}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=env, capture_output=True)
    for target in (8, 20, 30):
        process = subprocess.Popen(
            command(killed),
            env=env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 180
        while len(list(killed.glob("*/shards/*.json.gz"))) < target and process.poll() is None:
            assert time.monotonic() < deadline, "the run makes no progress"
            time.sleep(0.05)
        assert process.poll() is None, "the run ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(killed.glob("*/submission.json")) == []
    subprocess.run(command(killed), check=True, env=env, capture_output=True)
    digests = [
        {p.name: read_bundle(p).header["digest"] for p in find_bundles(out)} for out in (whole, killed)
    ]
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]
    assert list(killed.rglob("*.part")) == []
