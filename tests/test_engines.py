"""Engines: pieces of work here, in processes, on a Ray cluster of two nodes; killed workers lose nothing."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from memgym.core.engines import LocalEngine, make_engine
from memgym.core.result import read_bundle
from memgym.errors import MemgymError

SUITE = "rewriting+episodes=20"
AGENTS = "belief,random"
MINUTE = 60
KILLS = 3  # each costs Ray seconds to start another worker
PIECES = [(i, 2, "big") for i in range(20)]  # of int.to_bytes, which every process can import
TOO_MUCH = [(70_000 + i, 2, "big") for i in range(4)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes on this machine."""
    pytest.importorskip("ray", reason="the engine 'ray' needs Ray")
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    small = ["--num-cpus=1", "--object-store-memory=100000000", "--include-dashboard=false"]

    def start(*options: str) -> None:
        subprocess.run([*ray, "start", *options], check=True, capture_output=True, timeout=120)

    port = random.Random().randint(20_000, 30_000)  # free, most likely; not what results depend on
    start("--head", f"--port={port}", *small)
    try:
        start(f"--address=127.0.0.1:{port}", *small[:2])
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run([*ray, "stop", "--force"], capture_output=True, timeout=120)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_is_done_once(workers: int) -> None:
    done = list(LocalEngine(workers).run(int.to_bytes, PIECES))
    assert sorted(done) == [(i, i.to_bytes(2, "big")) for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_piece_raises_is_raised_here(workers: int) -> None:
    with pytest.raises(OverflowError, match="too big"):
        list(LocalEngine(workers).run(int.to_bytes, TOO_MUCH))


def test_killed_process_is_named() -> None:
    with pytest.raises(MemgymError, match=r"killed\. Give the same command again"):
        list(LocalEngine(2).run(cast("Any", os._exit), [(9,), (9,)]))


def test_an_error_ends_what_is_under_way() -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match="non-negative"):
        list(LocalEngine(2).run(cast("Any", time.sleep), [(MINUTE,), (-1,), (MINUTE,)]))
    assert time.monotonic() - start < MINUTE / 2


def test_a_caller_who_has_enough_ends_what_is_under_way() -> None:
    start = time.monotonic()
    running = cast("Any", LocalEngine(2).run(cast("Any", time.sleep), [(0,), (MINUTE,), (MINUTE,)]))
    assert next(running) == (0, None)
    running.close()
    assert time.monotonic() - start < MINUTE / 2


def test_a_result_on_its_way_is_received_whole() -> None:
    """A worker that ended within a large one would leave the parent waiting for the rest."""
    for _ in range(3):
        running = cast("Any", LocalEngine(2).run(bytes, ((1 << 22,) for _ in range(100))))
        assert len(next(running)[1]) == 1 << 22
        running.close()


def test_ctrl_c_ends_what_is_under_way() -> None:
    script = f"""
import signal
import time
from memgym.core.engines import LocalEngine
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without it
for i, _ in LocalEngine(2).run(time.sleep, [(0,), ({MINUTE},), ({MINUTE},)]):
    print(i, flush=True)
"""
    command = [sys.executable, "-c", script]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "0\n"
    running.send_signal(signal.SIGINT)
    # stdout is closed once no worker is left that could write to it
    _, errors = running.communicate(timeout=MINUTE / 2)
    assert errors.endswith("KeyboardInterrupt\n"), errors
    assert running.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "dask"}, "engine is 'local' or 'ray'"),
        ({"workers": 0}, "workers"),
        ({"address": "auto"}, "choose engine 'ray'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_engine(**arguments)


def evaluate(out: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command under way; what it says goes to a file beside the results."""
    command = [
        sys.executable,
        "-m",
        "memgym",
        "evaluate",
        "-a",
        AGENTS,
        "-s",
        SUITE,
        "-o",
        str(out),
        *options,
    ]
    with said(out).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def said(out: Path) -> Path:
    return out.with_name(f"{out.name}.log")


def written(out: Path) -> int:
    """How many shards lie there."""
    return len(list(out.glob("*/shards/*.json.gz")))


def digests(out: Path) -> dict[str, str]:
    return {path.name: read_bundle(path).header["digest"] for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert evaluate(out, "--workers", "1").wait() == 0
    return digests(out)


@pytest.mark.slow
def test_ray_does_every_piece_and_says_what_failed(cluster: str) -> None:
    script = f"""
from memgym.core.engines import make_engine
from memgym.errors import MemgymError

engine = make_engine("ray", address="{cluster}")
print(sorted(engine.run(int.to_bytes, {PIECES})) == [(i, i.to_bytes(2, "big")) for i in range(20)])
for one, pieces in ((engine, {TOO_MUCH}), (make_engine("ray", address="127.0.0.1:1"), {PIECES})):
    try:
        list(one.run(int.to_bytes, pieces))
    except (OverflowError, MemgymError) as error:
        print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    assert "True\n" in out.stdout
    assert "\nint too big to convert\n" in out.stdout
    assert "no Ray cluster at '127.0.0.1:1'" in out.stdout


@pytest.mark.slow
def test_five_kills_change_no_digest(undisturbed: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL five times, a random number of shards further each time, and the same command again.

    Shards and not seconds: a fast machine would be done before any second comes.
    """
    out, moments = tmp_path / "out", random.Random(7)
    kills = attempts = 0
    while kills < 5:
        attempts += 1
        assert attempts < 30
        target = written(out) + moments.randint(1, 40)
        running = evaluate(out, "--workers", "2")
        while written(out) < target and running.poll() is None:
            time.sleep(0.002)
        if running.poll() is None:
            running.kill()
            running.wait()
            kills += 1
        if (out / "random" / "submission.json").is_file():  # too late: from the beginning
            assert digests(out) == undisturbed
            shutil.rmtree(out)
    assert evaluate(out, "--workers", "2").wait(timeout=300) == 0, said(out).read_text()
    assert digests(out) == undisturbed


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds workers in the table of processes in /proc")
def test_killed_ray_workers_lose_nothing(cluster: str, undisturbed: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL to workers of a cluster of two nodes, one after the other, each with a piece under way.

    Kills begin once a first shard was written, and each waits for the next one: a worker exists, and works.
    """
    out = tmp_path / "out"
    running = evaluate(out, "--engine", "ray", "--address", cluster)
    killed: set[int] = set()
    before = 0
    while running.poll() is None and len(killed) < KILLS:
        shards = written(out)
        busy = [pid for pid in _busy_workers() if pid not in killed] if shards > before else []
        if busy:
            os.kill(busy[0], signal.SIGKILL)
            killed.add(busy[0])
            before = shards
        time.sleep(0.02)
    assert running.wait(timeout=600) == 0, said(out).read_text()
    assert len(killed) == KILLS, "the run ended before the workers were killed"
    assert digests(out) == undisturbed


def _busy_workers() -> list[int]:
    """Processes of Ray that run a piece: Ray names a worker after its task while it does."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_call"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return sorted(found)
