"""Evaluation, results and verification: what is written is what happened, and a lie is named."""

import contextlib
import gzip
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.core import verify as verification
from memgym.core.engines import LocalEngine
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import find_bundles, read_bundle, seal
from memgym.core.suites import SUITES, get_suite, reserved_seeds
from memgym.core.verify import verify
from memgym.errors import DatasetMissing, MemgymError, ResultError, ResultInvalid, ResultMismatch, UnknownName

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


def test_paired_tasks_share_their_seeds_and_no_others() -> None:
    tasks = {task.name: task for name in SUITES for task in get_suite(name).tasks}
    for one in tasks.values():
        for other in tasks.values():
            same = one.env_id == other.env_id and (
                one.name == other.name or (one.paired_with and one.paired_with == other.paired_with)
            )
            assert (reserved_seeds(one) == reserved_seeds(other)) == bool(same)
    assert reserved_seeds(tasks["longqa-16k"]) == reserved_seeds(tasks["longqa-1m"])


def test_workers_change_nothing(bundles: Path, tmp_path: Path) -> None:
    evaluate(tmp_path, "first-cue", engine=LocalEngine(2))
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
    [
        "nope",
        "quickstart+pages=3",
        "quickstart+episodes=x",
        "quickstart+episodes=0",
        "quickstart+episodes=1000001",
        "quickstart+seeds=10001",
        "quickstart+budget=99999999999999",
        "quickstart+episodes=1+episodes=2",
        "os:system",
        "os:system+episodes=1",
    ],
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
        data = file.read_bytes() if file.exists() else gzip.compress(b"")
        header["manifest"][name] = hashlib.sha256(data).hexdigest()
        if name in header["content"]:
            with contextlib.suppress(EOFError, OSError, zlib.error):
                header["content"][name] = hashlib.sha256(gzip.decompress(data)).hexdigest()
    header["digest"] = forged_seal([header[name] for name in DIGESTED])
    for name in header["seals"]:
        if name != "header":
            header["seals"][name] = forged_seal(header[name])
    header["seals"]["header"] = forged_seal(
        [header[name] for name in ("schema", "protocol", "suite", "created", "digest")]
    )
    path.write_bytes(hostile_json(header))


DIGESTED = ("protocol", "suite", "agent", "tasks", "content")


def hostile_json(value: Any) -> bytes:
    """JSON that memgym itself never writes: infinite numbers and halves of surrogate pairs."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.replace("-Infinity", "-1e999").replace("Infinity", "1e999").encode()


def forged_seal(value: Any) -> str:
    try:
        return seal(value)
    except ValueError:  # no seal is right for what has no canonical JSON
        return hashlib.sha256(hostile_json(value)).hexdigest()


def rewrite_lines(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / name
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(rows)
    rewrite_file(folder, name, gzip.compress(b"".join(hostile_json(row) + b"\n" for row in rows), mtime=0))


def rewrite_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    rewrite_header(folder, lambda header: None)


EPISODES = "episodes.jsonl.gz"
TRACE = "traces/t-maze-n3.jsonl.gz"


def set_in(index: int, key: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[index][key] = value

    return change


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        (EPISODES, set_in(0, "return", 3.0), r"episode 0: return is 3.0 in the file"),
        (EPISODES, set_in(1, "score", 0.5), r"episode 1: score is 0.5"),
        (EPISODES, lambda rows: rows[2].update(success=not rows[2]["success"]), r"episode 2: success is"),
        (EPISODES, set_in(3, "length", 1), r"episode 3: length is 1 in the file, which has"),
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
        (EPISODES, set_in(0, "length", 12.0), r"line 1: length: Input should be a valid integer"),
        (EPISODES, set_in(0, "length", True), r"line 1: length: Input should be a valid integer"),
        (EPISODES, set_in(0, "success", 1), r"line 1: success: Input should be a valid boolean"),
        (EPISODES, set_in(0, "score", True), r"line 1: score: Input should be a valid number"),
        (EPISODES, set_in(0, "agent_bytes", "5"), r"line 1: agent_bytes: Input should be a valid integer"),
        (EPISODES, set_in(0, "agent_bytes", -1), r"line 1: agent_bytes: Input should be greater"),
        (EPISODES, set_in(0, "agent_bytes", 2**53), r"line 1: agent_bytes: Input should be less"),
        (EPISODES, set_in(0, "agent_bytes", 10**400), r"line 1: .*an integer is beyond 64 bits"),
        (
            EPISODES,
            lambda rows: rows.extend([rows[0] | {"seed": "5"}, rows[0] | {"seed": 6}]),
            r"line 41: seed",
        ),
        (EPISODES, set_in(0, "ops", {"ADD": -1}), r"line 1: ops\.ADD: Input should be greater"),
        (EPISODES, set_in(0, "ops", {"ADD": 1.0}), r"line 1: ops\.ADD: Input should be a valid integer"),
        (EPISODES, set_in(0, "metrics", {"x": math.inf}), r"line 1: .*a number is not finite"),
        (EPISODES, set_in(0, "questions", [{"type": "a", "score": math.inf}]), r"line 1: .*not finite"),
        (EPISODES, set_in(0, "error", "\ud800"), r"line 1: .*surrogates not allowed"),
        (EPISODES, set_in(0, "\x1b[2J", 1), r"line 1: \\x1b\[2J: Extra inputs"),
        ("timings.jsonl.gz", set_in(0, "cpu_s", math.inf), r"line 1: .*a number is not finite"),
        (
            TRACE,
            lambda rows: rows[0]["actions"].append(0),
            r"episode 0: length is \d+ in the file, which has",
        ),
        (TRACE, lambda rows: rows[0]["actions"].pop(), r"episode 0: length is \d+ in the file, which has"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, math.inf), r"line 1: .*not finite"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, nested(80)), r"line 1: .*nested more than 64"),
        (TRACE, lambda rows: rows[0]["actions"].__setitem__(0, nested(50)), r"cannot be replayed"),
        (TRACE, lambda rows: rows.append(rows[0]), r"has more episodes than episodes\.jsonl\.gz"),
        (TRACE, lambda rows: rows.reverse(), r"not of the same episodes"),
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


def test_first_difference_does_not_depend_on_the_engine(bundle: Path) -> None:
    rewrite_lines(bundle, TRACE, lambda rows: rows[-1].__setitem__("episode", 99))
    rewrite_lines(bundle, TRACE, lambda rows: rows[1]["actions"].__setitem__(0, 1))
    said = []
    for engine in (None, LocalEngine(2)):
        with pytest.raises(ResultMismatch) as refused:
            verify(bundle, engine=engine)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "episode 1:" in said[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda h: h["summary"]["t-maze-n3"].__setitem__("score", 1.0), r"summary: t-maze-n3: score is 1.0"),
        (lambda h: h["versions"].__setitem__("memgym", "9.9"), r"made with memgym 9.9"),
        (lambda h: h.__setitem__("protocol", "1999.1"), r"protocol is '1999.1'"),
        (lambda h: h.__setitem__("suite", "rewriting"), r"episodes"),
        (lambda h: h.__setitem__("suite", "os:system"), r"suite"),
        (lambda h: h.__setitem__("suite", f"{SUITE}+episodes=4"), r"suite: "),
        (
            lambda h: h.__setitem__("suite", "rewriting+episodes=004"),
            r"'rewriting\+episodes=004'; its name is",
        ),
        (lambda h: h.__setitem__("suite", "rewriting+episodes=0"), r"suite: .*from 1 to 1000000, not 0"),
        (lambda h: h.__setitem__("suite", "rewriting+episodes=2000000"), r"suite: .*not 2000000"),
        (lambda h: h.__setitem__("suite", "rewriting+seeds=99999999999"), r"suite: .*not 99999999999"),
        (lambda h: h.__setitem__("suite", "rewriting+seeds=" + "9" * 5000), r"suite: .*seeds=999"),
        (lambda h: skip_everything(h), r"no task was played"),
        (lambda h: h["agent"].__setitem__("extra", {"x": math.inf}), r"a number is not finite"),
        (lambda h: h["agent"].__setitem__("extra", {"x": "\ud800"}), r"surrogates not allowed"),
        (lambda h: h["agent"].__setitem__("extra", {"\udfff": 1}), r"surrogates not allowed"),
        (lambda h: h["agent"].__setitem__("extra", nested(700)), r"submission\.json.*nested|recursion"),
        (lambda h: h["content"].pop(EPISODES), r"content and the tasks disagree about 'episodes"),
        (lambda h: h["content"].__setitem__("/etc/passwd", "0"), r"disagree about '/etc/passwd'"),
        (lambda h: h["tasks"][0].__setitem__("seeds", [1]), r"seeds"),
        (lambda h: h["tasks"][0].__setitem__("seeds", [True]), r"tasks\.0\.seeds\.0: .*valid integer"),
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


def skip_everything(header: dict[str, Any]) -> None:
    header["skipped"] = [{"task": task["name"], "reason": "x"} for task in header["tasks"]]
    for task in header["tasks"]:
        del header["manifest"][f"traces/{task['name']}.jsonl.gz"]
        del header["content"][f"traces/{task['name']}.jsonl.gz"]
    header["tasks"], header["summary"] = [], {}


@pytest.mark.parametrize("reference", ["spy_module:SUITE", "spy_module", "spy_module:SUITE+episodes=1"])
def test_suite_or_environment_named_in_a_file_is_never_imported(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    (tmp_path / "spy_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = (bundle / "submission.json").read_bytes()
    rewrite_header(bundle, lambda h: h.__setitem__("suite", reference))
    with pytest.raises(ResultMismatch, match="suite"):
        verify(bundle)
    (bundle / "submission.json").write_bytes(before)
    rewrite_header(bundle, lambda h: h["tasks"][0].__setitem__("env_id", reference))
    with pytest.raises(ResultMismatch, match="env_id"):
        verify(bundle)
    assert "spy_module" not in sys.modules


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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda actions: actions.append(0), r"actions, but the episode ends after"),
        (lambda actions: actions.pop(), r"the actions stop before the episode ends"),
    ],
)
def test_trace_and_length_changed_alike_are_refused(bundle: Path, change: Any, named: str) -> None:
    lengths = []

    def change_trace(rows: list[dict[str, Any]]) -> None:
        change(rows[0]["actions"])
        lengths.append(len(rows[0]["actions"]))

    rewrite_lines(bundle, TRACE, change_trace)
    rewrite_lines(bundle, EPISODES, set_in(0, "length", lengths[0]))
    with pytest.raises(ResultMismatch, match=named):
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
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"schema": NaN}',
        b'{"schema": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"x" * (3 << 20),
    ],
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


@pytest.mark.parametrize(
    ("ops", "named"),
    [
        ([{"kind": math.inf}], r"line 1: .*a number is not finite"),
        (nested(700), r"line 1: .*(nested|recursion)"),
        ([{"kind": 1, "text": "\ud800"}], r"line 1: .*surrogates not allowed"),
        ([{"kind": 1, "text": "a", "attrs": '{"a":"\\ud800"}'}], r"episode 0"),
        ([{"kind": 1, "text": "a", "attrs": '{"a":1e999}'}], r"episode 0"),
        ([{"kind": 1, "text": "a", "attrs": '{"a":' + "[" * 950 + "]" * 950 + "}"}], r"episode 0"),
    ],
)
def test_hostile_operation_is_a_named_error(text_bundle: Path, ops: list[Any], named: str) -> None:
    rewrite_lines(
        text_bundle, "traces/dialogue-1k.jsonl.gz", lambda rows: rows[0]["actions"][0].update(ops=ops)
    )
    with pytest.raises(ResultError, match=named):
        verify(text_bundle)


@pytest.mark.parametrize("lines", [2, 200])
def test_file_that_unpacks_to_very_much_is_refused_in_little_memory(bundle: Path, lines: int) -> None:
    """A few kB of trace that unpack to many MB of empty actions, in lines too long or in too many lines."""
    line = b'{"seed":1,"episode":0,"actions":[' + b"{}," * (4_000_000 // lines) + b"{}]}\n"
    rewrite_file(bundle, TRACE, gzip.compress(line * lines))
    assert (bundle / TRACE).stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ResultError, match=r"more than 1048576 values|not of the same episodes"):
            verify(bundle)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("file", [EPISODES, TRACE, "timings.jsonl.gz"])
def test_too_long_a_line_and_too_large_a_file_are_refused(
    bundle: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memgym.core.lines.MAX_LINE_BYTES", 40)
    with pytest.raises(ResultInvalid, match="larger than a result may be"):
        verify(bundle)
    monkeypatch.undo()
    rewrite_file(bundle, file, gzip.compress(b'{"x":"' + b"a" * (1 << 20) + b'"}\n'))
    monkeypatch.setattr("memgym.core.lines.MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(ResultInvalid, match=f"{file.split('/')[-1]}.*larger than a result may be"):
        verify(bundle)


@pytest.mark.parametrize("file", [EPISODES, TRACE, "timings.jsonl.gz"])
@pytest.mark.parametrize(
    "data",
    [b"plain", b"\x1f\x8b\x08\x00", gzip.compress(b"{}\n" * 99, mtime=0)[:-9]],
    ids=["plain", "header", "cut"],
)
def test_file_that_is_not_gzip_is_a_named_error(bundle: Path, file: str, data: bytes) -> None:
    rewrite_file(bundle, file, data)
    with pytest.raises(ResultError, match=file.split("/")[-1].split(".")[0]):
        verify(bundle)


def test_damaged_gzip_stream_with_fresh_checksums_is_a_named_error(bundle: Path) -> None:
    data = bytearray((bundle / TRACE).read_bytes())
    data[10:20] = b"\xff" * 10
    rewrite_file(bundle, TRACE, bytes(data))
    with pytest.raises(ResultInvalid, match=r"t-maze-n3\.jsonl\.gz cannot be read"):
        verify(bundle)


def test_promise_of_more_episodes_than_memory_holds_names_the_first_missing(bundle: Path) -> None:
    huge = get_suite("rewriting").resized(1_000_000, 10_000)

    def promise(header: dict[str, Any]) -> None:
        header["suite"] = huge.name
        for row, task in zip(header["tasks"], huge.tasks, strict=True):
            row.update(episodes=task.episodes, seeds=reserved_seeds(task))

    rewrite_header(bundle, promise)
    with pytest.raises(ResultMismatch, match=r"task 't-maze-n3', seed \d+, episode 4 is missing"):
        verify(bundle)


def test_content_is_checked_beside_the_files(bundle: Path) -> None:
    path = bundle / "submission.json"
    header = json.loads(path.read_bytes())
    header["content"][TRACE] = "0" * 64
    header["digest"] = seal([header[name] for name in DIGESTED])
    header["seals"]["content"] = seal(header["content"])
    header["seals"]["header"] = seal(
        [header[name] for name in ("schema", "protocol", "suite", "created", "digest")]
    )
    path.write_text(json.dumps(header))
    with pytest.raises(ResultInvalid, match=r"t-maze-n3\.jsonl\.gz: its content is not the one"):
        verify(bundle)


def test_digest_does_not_depend_on_what_compressed_the_lines(bundle: Path) -> None:
    before = verify(bundle).header
    assert (bundle / TRACE).read_bytes()[9] == 255
    for name in before["manifest"]:
        lines = gzip.decompress((bundle / name).read_bytes())
        (bundle / name).write_bytes(gzip.compress(lines, compresslevel=1, mtime=1))
    rewrite_header(bundle, lambda header: None)
    after = verify(bundle).header
    assert after["manifest"] != before["manifest"]
    assert after["digest"] == before["digest"]


def test_what_nobody_foresaw_is_an_error_of_the_result(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rows: Any) -> None:
        raise AttributeError("surprise")

    monkeypatch.setattr(verification, "summarise", fail)
    with pytest.raises(ResultInvalid, match="AttributeError: surprise"):
        verify(bundle)


def test_missing_dataset_is_not_the_fault_of_the_result(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(task: Any) -> None:
        raise DatasetMissing("bring it")

    monkeypatch.setattr(verification, "make_env", missing)
    with pytest.raises(DatasetMissing, match="bring it"):
        verify(bundles / "rules")


def test_bundle_that_cannot_be_checked_here_does_not_stop_the_others(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(path: Path, on_episode: Any, engine: Any) -> Any:
        if path.name == "first-cue":
            raise DatasetMissing("bring [it]")
        if path.name == "random":
            raise ResultMismatch("a lie")
        return read_bundle(path)

    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(verification, "verify", check)
    out = CliRunner().invoke(app, ["verify", str(bundles)])
    assert out.exit_code == 1
    assert "first-cue cannot be checked here: bring [it]" in out.stdout
    assert "refused" in out.stdout
    assert "rules: " in out.stdout.partition("verified")[2]


@pytest.mark.parametrize(
    ("name", "numbers", "resized"),
    [
        ("retention+episodes=3", {"episodes": 2}, "retention+episodes=2"),
        ("retention+seeds=3", {"episodes": 2}, "retention+episodes=2+seeds=3"),
        ("dialogue+budget=512", {"budget": 256}, "dialogue+budget=256"),
        ("dialogue+budget=512+episodes=1", {"num_seeds": 2}, "dialogue+episodes=1+seeds=2+budget=512"),
    ],
)
def test_suite_resized_again_is_the_suite_of_its_name(
    name: str, numbers: dict[str, int], resized: str
) -> None:
    suite = get_suite(name).resized(**numbers)
    assert suite.name == resized
    assert suite == get_suite(resized)


def test_what_an_agent_says_of_itself_is_declared_not_proved(bundle: Path) -> None:
    """Replay cannot know what an agent remembered; the summary still has to follow from it."""
    rewrite_lines(bundle, EPISODES, set_in(0, "agent_bytes", 5))
    with pytest.raises(ResultMismatch, match="summary: t-maze-n3: memory_bytes"):
        verify(bundle)


# ---------------------------------------------------------------------- killing


AGENTS = "random,oracle,closed-book,recency,full-context,add-all-bm25,rules,first-cue,ppo-lstm,ppo-memory"


@pytest.mark.slow
def test_killed_run_of_ten_agents_resumes_with_the_same_digests(tmp_path: Path) -> None:
    """SIGKILL to the whole process group, several times; then the same command to the end."""

    def command(out: Path) -> list[str]:
        return [
            sys.executable, "-m", "memgym", "evaluate", "--agents", AGENTS, "--suite",
            "quickstart+episodes=2", "--workers", "2", "--out", str(out),
        ]  # fmt: skip

    env = os.environ | {"MEMGYM_DATA": str(tmp_path), "MEMGYM_CACHE": str(tmp_path)}  # without LoCoMo: slow
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, env=env, capture_output=True)
    for target in (5, 11, 17):
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
