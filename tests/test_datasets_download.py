"""Downloading datasets, and ``memgym data``; no network but a server of our own on 127.0.0.1."""

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from memgym.cli.data import app
from memgym.datasets import DATASETS, DatasetInfo, base, locomo
from memgym.datasets.base import download, verify
from memgym.errors import DatasetCorrupt, DatasetMissing, DependencyMissing

DATA = Random(7).randbytes(300_000)
CUT = 100_000


def small_info(url: str = "http://127.0.0.1:9/small.bin") -> DatasetInfo:
    return DatasetInfo(
        name="small",
        file="small.bin",
        url=url,
        revision="r1",
        sha256=sha256(DATA).hexdigest(),
        nbytes=len(DATA),
        licence="CC0",
        citation="Nobody, 2020",
        description="random bytes",
        home="https://example.org/small",
    )


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, an empty cache, no waiting between attempts, no proxy before 127.0.0.1."""
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(base, "BACKOFF_S", 0.02)


def put(path: Path, data: bytes = DATA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------------- the server


Answer = Callable[[BaseHTTPRequestHandler, int], None]


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, promised: int = -1, start: int = 0
) -> None:
    """Answer with `body`; a `promised` length beyond it makes the answer a truncated one."""
    length = len(body) if promised < 0 else promised
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{start + length - 1}/{start + length}")
    handler.end_headers()
    handler.wfile.write(body)


def whole_file(handler: BaseHTTPRequestHandler, request: int) -> None:
    start = first_byte(handler)
    send(handler, DATA[start:], 206 if start else 200, start=start)


def truncated_once(handler: BaseHTTPRequestHandler, request: int) -> None:
    if request:
        whole_file(handler, request)
    else:
        send(handler, DATA[:CUT], promised=len(DATA))


def truncated_once_without_ranges(handler: BaseHTTPRequestHandler, request: int) -> None:
    send(handler, DATA if request else DATA[:CUT], promised=len(DATA))


def truncated_once_then_another_range(handler: BaseHTTPRequestHandler, request: int) -> None:
    if request == 0:
        send(handler, DATA[:CUT], promised=len(DATA))
    elif first_byte(handler):
        send(handler, DATA[5 : 5 + len(DATA) - CUT], 206, start=5)
    else:
        send(handler, DATA)


def truncated_once_then_no_such_range(handler: BaseHTTPRequestHandler, request: int) -> None:
    if first_byte(handler):
        send(handler, b"", 416)
    else:
        send(handler, DATA if request else DATA[:CUT], promised=len(DATA))


def busy_once(handler: BaseHTTPRequestHandler, request: int) -> None:
    if request:
        whole_file(handler, request)
    else:
        send(handler, b"", 503)


def first_byte(handler: BaseHTTPRequestHandler) -> int:
    asked = handler.headers.get("Range", "bytes=0-")
    return int(asked.removeprefix("bytes=").removesuffix("-"))


class Server(ThreadingHTTPServer):
    """Answers request number n with ``answer(handler, n)`` and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = whole_file
        self.ranges: list[str | None] = []

    @property
    def info(self) -> DatasetInfo:
        return small_info(f"http://127.0.0.1:{self.server_port}/small.bin")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.ranges.append(self.headers.get("Range"))
        server.answer(self, len(server.ranges) - 1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def left_behind(info: DatasetInfo) -> list[str]:
    folder = info.cached().parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_download_reports_progress_and_leaves_the_checked_file_alone(server: Server) -> None:
    seen: list[tuple[int, int]] = []
    path = download(server.info, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert left_behind(server.info) == ["small.bin"]
    assert seen[-1] == (len(DATA), len(DATA))
    assert sorted(seen) == seen


def test_a_file_that_is_there_is_not_fetched_again(server: Server) -> None:
    download(server.info)
    download(server.info)
    assert len(server.ranges) == 1


def test_a_damaged_file_is_fetched_anew(server: Server) -> None:
    put(server.info.cached(), b"damaged")
    assert download(server.info).read_bytes() == DATA


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (truncated_once, [None, f"bytes={CUT}-"]),
        (truncated_once_without_ranges, [None, f"bytes={CUT}-"]),
        (truncated_once_then_another_range, [None, f"bytes={CUT}-", None]),
        (truncated_once_then_no_such_range, [None, f"bytes={CUT}-", None]),
        (busy_once, [None, None]),
    ],
)
def test_an_interrupted_download_goes_on_and_ends_whole(
    server: Server, answer: Answer, asked: list[str | None]
) -> None:
    server.answer = answer
    assert download(server.info).read_bytes() == DATA
    assert asked == server.ranges
    assert left_behind(server.info) == ["small.bin"]


def test_the_next_call_goes_on_where_the_last_one_stopped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "ATTEMPTS", 1)
    server.answer = truncated_once
    with pytest.raises(DatasetMissing, match="cannot download"):
        download(server.info)
    assert left_behind(server.info) == ["small.bin.part"]
    assert download(server.info).read_bytes() == DATA
    assert [None, f"bytes={CUT}-"] == server.ranges


def test_a_wrong_part_is_thrown_away_and_the_file_fetched_whole(server: Server) -> None:
    info = server.info
    put(info.cached().with_name("small.bin.part"), b"x" * CUT)
    assert download(info).read_bytes() == DATA
    assert [f"bytes={CUT}-", None] == server.ranges


def test_a_complete_part_needs_no_request(server: Server) -> None:
    put(server.info.cached().with_name("small.bin.part"))
    assert download(server.info).read_bytes() == DATA
    assert server.ranges == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"x" * len(DATA), "found 300,000 bytes with sha256"),
        (DATA + b"x", "the server has 300,001"),
        (DATA[:-1], "the server has 299,999"),
        (b"", "the server has 0"),
    ],
)
def test_wrong_bytes_are_refused_and_nothing_of_them_stays(server: Server, body: bytes, message: str) -> None:
    server.answer = lambda handler, request: send(handler, body)
    with pytest.raises(DatasetCorrupt, match=message):
        download(server.info)
    assert left_behind(server.info) == []


def test_a_stream_without_end_is_cut_off_at_the_known_size(server: Server) -> None:
    def endless(handler: BaseHTTPRequestHandler, request: int) -> None:
        handler.send_response(200)  # no length: the body lasts until the connection closes
        handler.end_headers()
        for _ in range(1000):
            try:
                handler.wfile.write(DATA)
            except OSError:  # the client hung up
                return

    server.answer = endless
    with pytest.raises(DatasetCorrupt, match="the server sends more"):
        download(server.info)
    assert left_behind(server.info) == []


def test_an_address_that_does_not_exist_is_asked_once_and_named(server: Server) -> None:
    server.answer = lambda handler, request: send(handler, b"", 404)
    with pytest.raises(DatasetMissing, match=r"(?s)small\.bin: HTTP status 404.*--from FILE"):
        download(server.info)
    assert len(server.ranges) == 1
    assert left_behind(server.info) == []


def test_a_server_that_cannot_be_reached_is_a_named_error(server: Server) -> None:
    info = small_info("http://127.0.0.1:9/small.bin")  # port 9: nothing listens there
    with pytest.raises(DatasetMissing, match="4 attempts"):
        download(info)
    assert left_behind(info) == []


def test_a_folder_is_fetched_file_by_file_with_one_progress(server: Server) -> None:
    parts = tuple(replace(server.info, name="pair", file=file) for file in ("one.bin", "two.bin"))
    pair = replace(server.info, name="pair", file="", nbytes=2 * len(DATA), parts=parts)
    seen: list[tuple[int, int]] = []
    folder = download(pair, progress=lambda done, total: seen.append((done, total)))
    assert folder == pair.find()
    assert left_behind(parts[0]) == ["one.bin", "two.bin"]
    assert seen == sorted(seen)
    assert seen[-1] == (pair.nbytes, pair.nbytes)
    put(folder / "two.bin", b"damaged")
    with pytest.raises(DatasetCorrupt, match=r"two\.bin"):
        verify(pair, folder)
    download(pair)
    assert len(server.ranges) == 3  # the undamaged one stayed
    (folder / "one.bin").unlink()
    with pytest.raises(DatasetMissing, match=r"one\.bin"):
        verify(pair, folder)


def test_without_httpx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)  # makes "import httpx" fail
    with pytest.raises(DependencyMissing, match=r"memgym\[data\]"):
        download(small_info())


# ---------------------------------------------------------------------- command line


@pytest.fixture
def small_dataset(server: Server, monkeypatch: pytest.MonkeyPatch) -> DatasetInfo:
    """The dataset of the local server, registered as 'small'."""
    monkeypatch.setattr(locomo, "SMALL", server.info, raising=False)
    monkeypatch.setitem(DATASETS._entries, "small", "memgym.datasets.locomo:SMALL")
    return server.info


def run(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    if result.exception:
        raise result.exception
    return result.stdout


def test_get_then_path_print_where_the_file_is(small_dataset: DatasetInfo) -> None:
    got = run("get", "small")
    assert f"small: {small_dataset.cached()}\n" in got
    assert "CC0" in got
    assert f"{small_dataset.cached()}\n" == run("path", "small")


def test_list_says_what_is_here_missing_or_damaged(
    small_dataset: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    def row(name: str) -> str:
        return next(line for line in run("list").splitlines() if name in line)

    assert "CC BY-NC 4.0" in row("locomo10")
    assert " no " in row("small")
    put(small_dataset.cached())
    assert " yes " in row("small")
    put(small_dataset.cached(), b"damaged")
    assert " damaged " in row("small")


def test_get_from_takes_a_local_copy_without_a_request(
    small_dataset: DatasetInfo, server: Server, tmp_path: Path
) -> None:
    run("get", "small", "--from", str(put(tmp_path / "mine.bin")))
    assert small_dataset.cached().read_bytes() == DATA
    assert server.ranges == []


def test_path_of_a_missing_or_damaged_dataset_is_a_named_error(small_dataset: DatasetInfo) -> None:
    with pytest.raises(DatasetMissing):
        run("path", "small")
    put(small_dataset.cached(), b"damaged")
    with pytest.raises(DatasetCorrupt):
        run("path", "small")


@pytest.mark.parametrize("command", ["list", "get", "path"])
def test_help_shows_an_example(command: str) -> None:
    assert f"memgym data {command}" in run(command, "--help")
