"""The client of OpenAI-compatible servers, against a real HTTP server that misbehaves in every way asked for."""

import gc
import gzip
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.llm import (
    Cassette,
    CassetteCorrupt,
    CassetteMiss,
    ChatMessage,
    LLMBudget,
    LLMBudgetExceeded,
    LLMError,
    LLMRefused,
    LLMRequest,
    LLMUnavailable,
    ModelLLM,
    OpenAIClient,
    Step,
    StepModel,
    ToolCall,
    make_llm,
    openai_client,
)
from memgym.llm.judge import LOCOMO

Behaviour = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Plays the next behaviour of its server's script, and the last one from then on."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            behaviour = self.server.script[min(len(self.server.requests), len(self.server.script)) - 1]
        try:
            behaviour(self, body)
        except OSError:
            self.close_connection = True  # the client went away, as it should
        finally:
            with self.server.lock:
                self.server.now -= 1

    def send(self, status: int, raw: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.script: list[Behaviour] = [says("hello")]
        self.now = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.requests]


def chat(text: str | None, *, finish: str = "stop", usage: Any = (7, 3), **message: Any) -> bytes:
    """A chat completion as servers write it."""
    answer: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    }
    if isinstance(usage, tuple):
        answer["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    return json.dumps(answer).encode()


def named(name: str, behaviour: Behaviour) -> Behaviour:
    behaviour.__name__ = name  # shown in the test's id
    return behaviour


def says(text: str | None, **how: Any) -> Behaviour:
    return named("text", lambda handler, body: handler.send(200, chat(text, **how)))


def fails(status: int, said: str = "no", **headers: str) -> Behaviour:
    raw = json.dumps({"error": said}).encode()
    return named(f"status-{status}", lambda handler, body: handler.send(status, raw, **headers))


def sends(raw: bytes) -> Behaviour:
    return named("broken", lambda handler, body: handler.send(200, raw))


def echoes(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, chat(body["messages"][-1]["content"]))


def never(handler: Handler, body: dict[str, Any]) -> None:
    handler.server.stopping.wait(30)
    handler.close_connection = True


def hangs_in_the_middle(handler: Handler, body: dict[str, Any]) -> None:
    raw = chat("hello")
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw[:20])
    handler.wfile.flush()
    never(handler, body)


def breaks_off(handler: Handler, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.close_connection = True


def drips(handler: Handler, body: dict[str, Any]) -> None:
    """A piece every moment, for ever: no single read is slow."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000000")
    handler.end_headers()
    while not handler.server.stopping.wait(0.02):
        handler.wfile.write(b" ")


def drips_headers(handler: Handler, body: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.stopping.wait(0.02):
        handler.wfile.write(b"y")


def compresses(handler: Handler, body: dict[str, Any]) -> None:
    handler.send(200, gzip.compress(chat("hello")), Content_Encoding="gzip")


def goes_on(handler: Handler, body: dict[str, Any]) -> None:
    while not handler.server.stopping.wait(0.02):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def pours(handler: Handler, body: dict[str, Any]) -> None:
    """A generation without end, as fast as it goes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000000000")
    handler.end_headers()
    while not handler.server.stopping.is_set():
        handler.wfile.write(b"x" * 65536)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OpenAIClient]]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made: list[OpenAIClient] = []

    def connect(**options: Any) -> OpenAIClient:
        settings = {"base_url": server.url, "timeout_s": 5.0, "backoff_s": 0.001} | options
        made.append(OpenAIClient("tiny", **settings))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def ask(text: str = "hi", **settings: Any) -> LLMRequest:
    return LLMRequest((ChatMessage("system", "Be brief."), ChatMessage("user", text)), **settings)


class Text(StepModel):
    text: str


ALL = {"prompt_tokens": 10**400, "completion_tokens": 10**18}
ECHO = Step("echo", Text, Text, "Repeat the text.", fallback=lambda x: Text(text="?"))

# ------------------------------------------------------------------ what is sent, and what comes back


def test_messages_go_out_and_text_and_usage_come_back(server: Server, connect: Any) -> None:
    done = connect().complete(ask(max_tokens=20, seed=3))
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert "authorization" not in {name.lower() for name in headers}
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 20,
        "temperature": 0.0,
        "seed": 3,
    }
    assert (done.text, done.finish, done.model) == ("hello", "stop", "tiny")
    assert done.usage.to_dict() == {
        "calls": 1,
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "retries": 0,
        "failures": 0,
    }


def test_the_key_comes_from_the_environment_and_stays_out_of_pickles(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    client = connect(api_key_env="MY_KEY")
    raw = pickle.dumps(client)
    assert b"very-secret" not in raw
    assert "very-secret" not in repr(vars(client))
    with pickle.loads(raw) as copy:
        assert copy.complete(ask()).text == "hello"
    assert server.requests[0][1]["Authorization"] == "Bearer very-secret"


@pytest.mark.parametrize(
    "trouble", [fails(500, "very-secret"), fails(400, "very-secret"), sends(b"very-secret")]
)
def test_a_server_that_repeats_the_key_does_not_bring_it_into_messages(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch, trouble: Behaviour
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret\r\n")  # as files with Windows' line ends leave it
    server.script = [trouble]
    with pytest.raises(LLMError, match=r"\*\*\*") as caught:
        connect(attempts=1).complete(ask())
    assert server.requests[0][1]["Authorization"] == "Bearer very-secret"
    assert "very-secret" not in str(caught.value)


def test_a_key_that_no_header_may_hold_is_named_by_its_variable(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-s\u00e9cret")
    with pytest.raises(LLMRefused, match=r"\$OPENAI_API_KEY holds characters that no key has") as caught:
        connect().complete(ask())
    assert "very" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x/v1", "begins with http"),
        ("http://bob:hunter2@127.0.0.1/v1", "holds a name or a password"),
        ("http://127.0.0.1:abc/v1", "is no address"),
        ("http://[::1/v1", "is no address"),
        ("http:///v1", "names no host"),
    ],
)
def test_a_bad_address_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OpenAIClient("tiny", base_url=url)
    assert "hunter2" not in str(caught.value)


def test_a_client_that_nobody_closed_leaves_no_connection_open(server: Server) -> None:
    OpenAIClient("tiny", base_url=server.url).complete(ask())
    gc.collect()  # an open socket would warn, and a warning fails


def test_tool_calls_go_both_ways(server: Server, connect: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "memory_add", "arguments": '{"text": "x"}'}}
    server.script = [says(None, finish="tool_calls", tool_calls=[call]), says("done")]
    tool = {"type": "function", "function": {"name": "memory_add", "parameters": {"type": "object"}}}
    client = connect()
    first = client.complete(ask(tools=(tool,)))
    assert first.tool_calls == (ToolCall("c1", "memory_add", '{"text": "x"}'),)
    assert (first.text, first.finish) == ("", "tool_calls")
    reply = (
        *ask().messages,
        ChatMessage("assistant", "", first.tool_calls),
        ChatMessage("tool", "stored", tool_call_id="c1"),
    )
    assert client.complete(LLMRequest(reply, tools=(tool,))).text == "done"
    assert server.bodies[0]["tools"] == [tool]
    assert server.bodies[1]["messages"][-2]["tool_calls"] == [call]
    assert server.bodies[1]["messages"][-1] == {"role": "tool", "content": "stored", "tool_call_id": "c1"}


def test_extra_arguments_go_in_and_none_takes_one_out(server: Server, connect: Any) -> None:
    connect(extra={"seed": None, "top_p": 0.9}).complete(ask(seed=3))
    assert "seed" not in server.bodies[0]
    assert server.bodies[0]["top_p"] == 0.9


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": "many"}, ALL])
def test_usage_that_a_server_does_not_tell_is_guessed_not_zero(
    server: Server, connect: Any, usage: Any
) -> None:
    answer = json.loads(chat("hello", usage=None)) | {"usage": usage}
    server.script = [sends(json.dumps(answer).encode())]
    used = connect().complete(ask("word " * 30)).usage
    assert 30 <= used.prompt_tokens < 1000
    assert 1 <= used.completion_tokens < 1000


# ------------------------------------------------------------------ what is tried again


@pytest.mark.parametrize(
    "trouble",
    [
        fails(429),
        fails(429, Retry_After="0"),
        fails(429, Retry_After="soon"),
        fails(429, Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
        fails(429, Retry_After="Fri, 31 Dec 9999 23:59:59 -1400"),
        fails(500),
        fails(502),
        fails(503),
        sends(b"{not json"),
        sends(b"[]"),
        sends(b'{"choices": []}'),
        sends(b'{"choices": [{"message": {"content": 5}}]}'),
        sends(b"[" * 200_000),
        sends(chat("\ud800")),
        sends(chat("", tool_calls=[{"id": "\ud800", "function": {"name": "f", "arguments": "{}"}}])),
        breaks_off,
        compresses,
    ],
)
def test_what_may_pass_is_tried_again(server: Server, connect: Any, trouble: Behaviour) -> None:
    server.script = [trouble, trouble, says("hello")]
    done = connect().complete(ask())
    assert (done.text, done.usage.retries, len(server.requests)) == ("hello", 2, 3)


@pytest.mark.parametrize("trouble", [fails(500, "out of memory"), sends(b"<html>"), breaks_off])
def test_attempts_are_bounded_and_the_error_says_why(
    server: Server, connect: Any, trouble: Behaviour
) -> None:
    server.script = [trouble]
    with pytest.raises(LLMUnavailable, match="after 3 of 3 attempts") as caught:
        connect(attempts=3).complete(ask())
    assert len(server.requests) == 3
    assert (caught.value.usage.calls, caught.value.usage.retries) == (1, 2)


@pytest.mark.parametrize("trouble", [never, hangs_in_the_middle, drips, drips_headers, goes_on])
def test_a_server_that_hangs_is_left(server: Server, connect: Any, trouble: Behaviour) -> None:
    server.script = [trouble]
    start = time.monotonic()
    with pytest.raises(LLMUnavailable, match=r"no answer within 0\.2 s"):
        connect(timeout_s=0.2, attempts=2).complete(ask())
    assert time.monotonic() - start < 3
    assert len(server.requests) == 2


def test_a_generation_without_end_is_cut_by_size(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "MAX_BODY", 1 << 20)
    server.script = [pours]
    with pytest.raises(LLMUnavailable, match="longer than 1 MiB"):
        connect(attempts=1, timeout_s=30).complete(ask())


def test_the_servers_wait_is_kept(server: Server, connect: Any) -> None:
    server.script = [fails(429, Retry_After="0.3"), says("hello")]
    start = time.monotonic()
    assert connect().complete(ask()).text == "hello"
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_that_is_too_long_ends_it_at_once(server: Server, connect: Any, form: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.script = [fails(429, Retry_After="3600" if form == "seconds" else date)]
    with pytest.raises(LLMUnavailable, match=r"asks to wait 3[56]"):
        connect().complete(ask())
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 301])
def test_a_refused_request_is_not_repeated(server: Server, connect: Any, status: int) -> None:
    server.script = [fails(status, "no such model")]
    with pytest.raises(LLMRefused, match=f"status {status}.*no such model"):
        connect().complete(ask())
    assert len(server.requests) == 1


def test_no_server_is_a_named_error(connect: Any) -> None:
    with pytest.raises(LLMUnavailable, match="no connection"):
        connect(base_url="http://127.0.0.1:9/v1", attempts=2).complete(ask())


def test_what_a_server_says_is_shown_on_one_short_line(server: Server, connect: Any) -> None:
    server.script = [lambda handler, body: handler.send(400, b"\x1b[31mred\n" + b"y" * 10_000)]
    with pytest.raises(LLMRefused) as caught:
        connect().complete(ask())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


# ------------------------------------------------------------------ JSON schemas where the server takes them


def refuses_formats(*formats: str) -> Behaviour:
    def behave(handler: Handler, body: dict[str, Any]) -> None:
        if body.get("response_format", {}).get("type") in formats:
            handler.send(400, b'{"error": "response_format is not supported"}')
        else:
            handler.send(200, chat('{"text": "x"}'))

    return behave


@pytest.mark.parametrize(
    ("refused", "taken"),
    [((), "json_schema"), (("json_schema",), "json_object"), (("json_schema", "json_object"), None)],
)
def test_the_best_format_that_a_server_takes_is_found_once(
    server: Server, connect: Any, refused: tuple[str, ...], taken: str | None
) -> None:
    server.script = [refuses_formats(*refused)]
    llm = ModelLLM(connect())
    for _ in range(2):
        assert llm.run(ECHO, Text(text="x")).output == Text(text="x")
    assert len(server.requests) == 2 + len(refused)
    assert server.bodies[-1].get("response_format", {}).get("type") == taken
    if taken == "json_schema":
        assert server.bodies[-1]["response_format"]["json_schema"]["schema"] == ECHO.schema


def test_newer_models_get_their_name_for_the_bound(server: Server, connect: Any) -> None:
    server.script = [fails(400, "max_tokens: use 'max_completion_tokens' instead"), says("hello")]
    assert connect().complete(ask(max_tokens=9)).text == "hello"
    assert "max_tokens" not in server.bodies[1]
    assert server.bodies[1]["max_completion_tokens"] == 9


# ------------------------------------------------------------------ many at once


def test_answers_keep_the_order_of_requests_and_the_limit_holds(server: Server, connect: Any) -> None:
    def slow(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(0.05)
        echoes(handler, body)

    server.script = [slow]
    client = connect(concurrency=3)
    answers = client.complete_many([ask(str(i)) for i in range(12)])
    assert [answer.text for answer in answers] == [str(i) for i in range(12)]
    assert server.most == 3  # neither more, nor one after the other


def test_the_limit_holds_for_callers_in_several_threads(server: Server, connect: Any) -> None:
    def slow(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(0.05)
        echoes(handler, body)

    server.script = [slow]
    client = connect(concurrency=2)
    threads = [threading.Thread(target=client.complete, args=(ask(str(i)),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.most, len(server.requests)) == (2, 6)


def test_one_failure_loses_no_other_answer(server: Server, connect: Any) -> None:
    def picky(handler: Handler, body: dict[str, Any]) -> None:
        if body["messages"][-1]["content"] == "1":
            handler.send(400, b"no")
        else:
            echoes(handler, body)

    server.script = [picky]
    zero, one, two = connect().complete_many([ask(str(i)) for i in range(3)])
    assert (zero.text, type(one), two.text) == ("0", LLMRefused, "2")


# ------------------------------------------------------------------ budgets


def test_a_spent_budget_stops_before_the_next_request(server: Server, connect: Any) -> None:
    server.script = [says("hello", usage=(30, 10))]
    budget = LLMBudget(max_tokens=100)
    client = connect(budget=budget)
    for _ in range(2):
        client.complete(ask(max_tokens=20))
    with pytest.raises(LLMBudgetExceeded, match="20 of 100 tokens are left"):
        client.complete(ask(max_tokens=20))
    assert (len(server.requests), budget.tokens) == (2, 80)


def test_a_budget_in_money_is_shared_and_never_overdrawn(server: Server, connect: Any) -> None:
    server.script = [says("hello", usage=(20, 20))]
    budget = LLMBudget(max_cost=0.01)
    clients = [connect(budget=budget, prices=(10.0, 100.0), concurrency=8) for _ in range(2)]
    outcomes = [outcome for client in clients for outcome in client.complete_many([ask(max_tokens=20)] * 8)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, LLMBudgetExceeded)]
    assert budget.cost <= 0.01
    assert len(outcomes) - len(refused) == len(server.requests) == round(budget.cost / 0.0022)
    assert refused


@pytest.mark.parametrize(("trouble", "counts"), [(fails(500), False), (never, True), (sends(b"{"), True)])
def test_an_attempt_of_unknown_cost_counts_in_full(
    server: Server, connect: Any, trouble: Behaviour, counts: bool
) -> None:
    server.script = [trouble]
    budget = LLMBudget(max_tokens=10_000)
    with pytest.raises(LLMUnavailable):
        connect(budget=budget, attempts=2, timeout_s=0.2).complete(ask(max_tokens=100))
    assert (budget.tokens >= 200) == counts
    assert counts or budget.tokens == 0


def test_a_budget_is_not_a_failure_to_go_on_after(connect: Any) -> None:
    llm = ModelLLM(connect(budget=LLMBudget(max_tokens=1)), on_failure="fallback")
    with pytest.raises(LLMBudgetExceeded):
        llm.run(ECHO, Text(text="x"))


# ------------------------------------------------------------------ steps over a server


def test_a_wrong_schema_is_sent_back_once(server: Server, connect: Any) -> None:
    server.script = [says('{"txt": "x"}'), says('```json\n{"text": "x"}\n```')]
    llm = ModelLLM(connect())
    result = llm.run(ECHO, Text(text="x"))
    assert result.output == Text(text="x")
    assert result.usage.to_dict() == {
        "calls": 2,
        "prompt_tokens": 14,
        "completion_tokens": 6,
        "retries": 0,
        "failures": 0,
    }
    roles = [message["role"] for message in server.bodies[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "txt: Extra inputs are not permitted" in server.bodies[1]["messages"][-1]["content"]
    assert server.bodies[1]["messages"][0] == server.bodies[0]["messages"][0]


@pytest.mark.parametrize("trouble", [fails(503), says("Sure! Here you go."), says('{"text": 5}'), never])
def test_a_failed_step_raises_or_goes_on_counted(server: Server, connect: Any, trouble: Behaviour) -> None:
    server.script = [trouble]
    stops = ModelLLM(connect(attempts=2, timeout_s=0.2))
    with pytest.raises(Exception, match=r"step 'echo'|no answer"):
        stops.run(ECHO, Text(text="x"))
    goes_on = ModelLLM(connect(attempts=2, timeout_s=0.2), on_failure="fallback")
    result = goes_on.run(ECHO, Text(text="x"))
    assert result.output == Text(text="?")
    assert result.error
    for llm in (stops, goes_on):
        assert llm.ledger.by_step["echo"].failures == 1


def test_an_answer_that_was_cut_says_so(server: Server, connect: Any) -> None:
    server.script = [says('{"text": "x', finish="length")]
    with pytest.raises(Exception, match="cut off after 512 tokens"):
        ModelLLM(connect()).run(ECHO, Text(text="x"))


# ------------------------------------------------------------------ cassettes


def test_recorded_once_replayed_offline_with_the_same_bytes(
    server: Server, connect: Any, tmp_path: Path
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    server.script = [
        says("ü€\u2028"),
        says(None, finish="tool_calls", tool_calls=[call]),
        fails(500),
        says("b"),
    ]
    path = tmp_path / "new" / "tape.jsonl"
    requests = [ask("0"), ask("1"), ask("2", temperature=0.5, seed=1)]
    recorder = Cassette(path, connect(concurrency=1))
    recorded = recorder.complete_many(requests)
    assert [answer.usage.retries for answer in recorded] == [0, 0, 1]
    raw, asked = path.read_bytes(), len(server.requests)
    assert Cassette(path, connect()).complete_many(requests) == recorded
    assert Cassette(path).complete_many(requests[::-1]) == recorded[::-1]
    assert (path.read_bytes(), len(server.requests)) == (raw, asked)


def test_a_whole_run_replays_from_its_file(server: Server, connect: Any, tmp_path: Path) -> None:
    server.script = [says("no JSON"), says('{"text": "a"}')]
    path = tmp_path / "tape.jsonl"
    first = make_llm(f"openai:tiny@{server.url}", record=path, backoff_s=0.001)
    result = first.run(ECHO, Text(text="a"))
    again = make_llm(f"replay:{path}")
    assert again.run(ECHO, Text(text="a")) == result
    assert again.ledger.to_dict() == first.ledger.to_dict()
    assert again.describe(ECHO) == first.describe(ECHO)
    first.close()


def test_a_line_tells_step_prompt_and_model(server: Server, connect: Any, tmp_path: Path) -> None:
    server.script = [says('{"text": "a"}')]
    path = tmp_path / "tape.jsonl"
    ModelLLM(Cassette(path, connect())).run(ECHO, Text(text="a"))
    line = json.loads(path.read_text())
    assert (line["step"], line["model"], line["prompt"]) == ("echo", "tiny", ECHO.prompt_sha256)
    assert "seconds" not in path.read_text()


@pytest.mark.parametrize(
    "changed",
    [
        ask("other"),
        ask(max_tokens=9),
        ask(seed=9),
        ask(temperature=0.1),
        ask(schema={"type": "object"}),
        ask(tools=({"type": "function"},)),
        LLMRequest((ChatMessage("user", "Be brief."), ChatMessage("user", "hi"))),
    ],
)
def test_replay_misses_by_name_whatever_was_changed(
    connect: Any, tmp_path: Path, changed: LLMRequest
) -> None:
    path = tmp_path / "tape.jsonl"
    Cassette(path, connect()).complete(ask())
    assert Cassette(path).complete(ask()).text == "hello"
    with pytest.raises(CassetteMiss, match=r"holds no answer of 'tiny'"):
        Cassette(path).complete(changed)


def test_no_file_and_no_client_is_a_miss(tmp_path: Path) -> None:
    with pytest.raises(CassetteMiss, match="there is no cassette"):
        Cassette(tmp_path / "tape.jsonl")


def test_errors_are_not_recorded(server: Server, connect: Any, tmp_path: Path) -> None:
    server.script = [fails(500), says("hello")]
    tape = Cassette(tmp_path / "tape.jsonl", connect(attempts=1))
    with pytest.raises(LLMUnavailable):
        tape.complete(ask())
    assert tape.complete(ask()).text == "hello"


def test_each_answer_is_in_the_file_as_soon_as_it_is_there(
    server: Server, connect: Any, tmp_path: Path
) -> None:
    path = tmp_path / "tape.jsonl"
    lines: list[int] = []

    def counts(handler: Handler, body: dict[str, Any]) -> None:
        lines.append(path.read_bytes().count(b"\n") if path.exists() else 0)
        echoes(handler, body)

    server.script = [counts]
    tape = Cassette(path, connect(concurrency=1))
    tape.complete_many([ask(str(i)) for i in range(4)])
    assert lines == [0, 1, 2, 3]
    assert len(pickle.loads(pickle.dumps(tape))) == 4


def test_a_request_that_comes_twice_is_asked_once(server: Server, connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    first, second = Cassette(path, connect()).complete_many([ask(), ask()])
    assert first == second
    assert (len(server.requests), path.read_bytes().count(b"\n")) == (1, 1)


def test_a_run_killed_while_writing_goes_on(server: Server, connect: Any, tmp_path: Path) -> None:
    server.script = [echoes]
    path = tmp_path / "tape.jsonl"
    Cassette(path, connect()).complete_many([ask("0"), ask("1")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(Cassette(path)) == 1  # read, and left as it is
    tape = Cassette(path, connect())
    assert [answer.text for answer in tape.complete_many([ask("0"), ask("1")])] == ["0", "1"]
    assert path.read_bytes() == whole
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"key": "k", "model": "m", "completion": {}}',
        b'{"key": "k", "model": 5, "completion": {"text": "", "finish": "stop", "tool_calls": [], "usage": {}}}',
        b'{"key": "k", "model": "m", "completion": {"text": "", "finish": "x", "tool_calls": [], "usage": {}}}',
        b'{"key": "k", "model": "m", "completion": {"text": "", "finish": "stop", "tool_calls": [], "usage": '
        b'{"calls": -1}}}',
    ],
)
def test_a_bad_line_is_named(connect: Any, tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "tape.jsonl"
    Cassette(path, connect()).complete(ask())
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(CassetteCorrupt, match="line 2"):
        Cassette(path)


def test_a_file_of_two_models_asks_which(connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    first = connect()
    Cassette(path, first).complete(ask())
    first.model = "other"
    Cassette(path, first).complete(ask())
    with pytest.raises(CassetteCorrupt, match="say which model"):
        Cassette(path)
    assert Cassette(path, model="other").complete(ask()).model == "other"


# ------------------------------------------------------------------ judging a result


def agrees(handler: Handler, body: dict[str, Any]) -> None:
    """A judge by word overlap: right where the answer holds the reference."""
    data = json.loads(body["messages"][1]["content"].split("\n")[1])
    right = data["reference"].lower() in data["answer"].lower()
    handler.send(200, chat(json.dumps({"reason": "as read", "label": "CORRECT" if right else "WRONG"})))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, locomo_file: Path) -> Path:
    """Two agents on a maze, a dialogue with choices and a conversation with open questions."""
    out = tmp_path_factory.mktemp("results")
    for agent in ("oracle", "closed-book"):
        done = CliRunner().invoke(
            app,
            [
                "evaluate",
                "--agent",
                agent,
                "-s",
                "quickstart",
                "-o",
                str(out),
                "--episodes",
                "1",
                "--workers",
                "1",
            ],
        )
        assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize(("agent", "least", "most"), [("oracle", 1.0, 1.0), ("closed-book", 0.0, 0.1)])
def test_a_judge_names_itself_and_its_verdicts_replay_offline(
    server: Server, results: Path, tmp_path: Path, agent: str, least: float, most: float
) -> None:
    server.script = [agrees]
    tape, first, again = tmp_path / "tape.jsonl", tmp_path / "first.json", tmp_path / "again.json"
    before = {path: path.read_bytes() for path in (results / agent).rglob("*") if path.is_file()}
    common = ["judge", str(results / agent), "--rules", "locomo", "--out"]
    done = CliRunner().invoke(
        app, [*common, str(first), "--llm", f"openai:tiny@{server.url}", "--record", str(tape)]
    )
    assert done.exit_code == 0, done.output
    asked = len(server.requests)
    assert CliRunner().invoke(app, [*common, str(again), "--llm", f"replay:{tape}"]).exit_code == 0
    assert first.read_bytes() == again.read_bytes()
    assert len(server.requests) == asked
    verdicts = json.loads(first.read_text())
    assert verdicts["metric"] == "judge:tiny"
    assert verdicts["prompts"] == {"judge_locomo": LOCOMO.prompt_sha256}
    assert verdicts["result"] == json.loads((results / agent / "submission.json").read_text())["digest"]
    rows = [row for types in verdicts["tasks"].values() for row in types.values()]
    assert sum(row["judged"] for row in rows) == len(verdicts["verdicts"]) > 0
    assert least <= sum(row["correct"] for row in rows) / len(verdicts["verdicts"]) <= most
    assert set(verdicts["tasks"]) == {"locomo-256k"}
    assert "5-adversarial" not in verdicts["tasks"]["locomo-256k"]
    assert {path: path.read_bytes() for path in before} == before  # the result itself is left alone


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--llm", "rules"], "another metric"),
        (["--llm", "openai:x", "--rules", "mine"], "locomo, longmemeval"),
        (["--llm", "replay:missing.jsonl"], "there is no cassette"),
        (["--llm", "replay:missing.jsonl", "--max-tokens", "5"], "for a server"),
    ],
)
def test_a_judge_that_cannot_be_is_refused(
    results: Path, tmp_path: Path, options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "verdicts.json"
    done = CliRunner().invoke(app, ["judge", str(results / "oracle"), "--out", str(out), *options])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
    assert not out.exists()
