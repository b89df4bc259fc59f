"""A client of any server that speaks OpenAI's chat completions: hosted, or vLLM, llama.cpp, `transformers serve`."""

import email.utils
import json
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any, NamedTuple

from memgym.errors import DependencyMissing
from memgym.llm.budget import LLMBudget, guess_tokens
from memgym.llm.errors import LLMError, LLMRefused, LLMUnavailable
from memgym.llm.messages import ChatMessage, Client, Completion, LLMRequest, OnAnswer, ToolCall
from memgym.llm.usage import Usage

__all__ = ["OpenAIClient"]

OPENAI_URL = "https://api.openai.com/v1"
BUSY = (408, 409, 425, 429)  # the client errors that another attempt may mend
MAX_BODY = 16 << 20  # bytes of an answer; a generation without end stops here
SECRET = 8  # characters of a key that is one; local servers take any word
MAX_TOKENS = 1 << 31  # that one answer can be said to have cost
MAX_WAIT_S = 60.0  # a server that asks for more is not waited for
FORMATS = ("json_schema", "json_object", "")  # what may be asked of a server, best first


class _Transient(Exception):
    """What another attempt may mend."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Dialect(NamedTuple):
    """What a server is known to take."""

    form: int = 0  # of FORMATS
    bound: str = "max_tokens"


class _Adapted(Exception):
    """The server does not take an optional argument; it is now left out."""


class OpenAIClient(Client):
    """Asks a server, several requests at a time, and tries again where that can help.

    Tried again: no connection, no answer in time, 408, 409, 425, 429, 5xx, and an answer that is not the
    protocol's JSON. The waits double from `backoff_s`, or are what the server's ``Retry-After`` says. A server
    that does not take a JSON schema is asked for a JSON object, and then for nothing.

    Args:
        model: name that the server knows.
        base_url: the server; by default ``$OPENAI_BASE_URL``, else OpenAI's own.
        api_key_env: the environment variable that holds the key; none is sent where it is not set.
        timeout_s: of one attempt.
        attempts: for one request, the first included.
        backoff_s: wait before the second attempt.
        concurrency: requests under way at the same time.
        prices: of a million tokens of prompt and of completion, for `budget`.
        budget: bound on what is spent; several clients may share one.
        extra: further arguments in the body of each request; None takes one out that a server refuses, e.g.
            ``{"seed": None}``.

    Raises:
        DependencyMissing: httpx is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 60.0,
        attempts: int = 4,
        backoff_s: float = 0.5,
        concurrency: int = 4,
        prices: tuple[float, float] = (0.0, 0.0),
        budget: LLMBudget | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if attempts < 1 or concurrency < 1:
            raise ValueError(f"attempts and concurrency are at least 1, not {attempts} and {concurrency}.")
        if timeout_s <= 0 or backoff_s < 0:
            raise ValueError(f"timeout_s and backoff_s are seconds, not {timeout_s} and {backoff_s}.")
        self.model = model
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")
        if problem := _why_no_url(url):
            raise ValueError(f"base_url {problem}.")
        self.base_url = url
        self.api_key_env = api_key_env
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.backoff_s = backoff_s
        self.concurrency = concurrency
        self.prices = prices
        self.budget = budget or LLMBudget()
        self.extra = dict(extra or {})
        self._dialect = _Dialect()
        self._connect()

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """Answer each request, `concurrency` at a time; an error stands in the place of its answer."""

        def answer(i: int) -> Completion | LLMError:
            outcome = self._ask(requests[i])
            if on_answer is not None:
                on_answer(i, outcome)
            return outcome

        if len(requests) < 2:
            return [answer(i) for i in range(len(requests))]
        with ThreadPoolExecutor(min(self.concurrency, len(requests))) as pool:
            return list(pool.map(answer, range(len(requests))))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_http", "_slots", "_errors", "_deadline")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connect()

    # ------------------------------------------------------------------ inside

    def _connect(self) -> None:
        httpx = _httpx()
        from memgym.llm.deadline import Deadline

        # certificates are read only where they are used: it takes longer than a local server's answer
        self._http = httpx.Client(
            timeout=self.timeout_s,
            headers={"User-Agent": "memgym", "Accept-Encoding": "identity"},
            verify=self.base_url.startswith("https"),
        )
        self._deadline = Deadline(self._http)
        weakref.finalize(self, self._http.close)  # whoever lets go of a client does not always close it
        not_reached = httpx.ConnectError, httpx.ConnectTimeout
        self._errors = not_reached, httpx.TimeoutException, httpx.RequestError
        self._slots = BoundedSemaphore(self.concurrency)

    def _ask(self, request: LLMRequest) -> Completion | LLMError:
        start, retries = time.perf_counter(), 0
        while True:
            try:
                done: Completion | LLMError = self._attempt(request)
                break
            except _Adapted:
                continue
            except _Transient as error:
                wait = self._wait_s(request, retries) if error.retry_after_s is None else error.retry_after_s
                if retries + 1 == self.attempts or wait > MAX_WAIT_S:
                    asked = f", and it asks to wait {wait:.0f} s" if wait > MAX_WAIT_S else ""
                    done = LLMUnavailable(
                        f"no answer from {self.model!r} at {self.base_url} after {retries + 1} of "
                        f"{self.attempts} attempts{asked}; the last one: {self._without_key(str(error))}."
                    )
                    break
            except LLMError as error:
                done = error
                break
            time.sleep(wait)
            retries += 1
        seconds = time.perf_counter() - start
        if isinstance(done, LLMError):
            done.usage = Usage(calls=1, retries=retries, seconds=seconds)
            return done
        return replace(done, usage=replace(done.usage, retries=retries, seconds=seconds))

    def _wait_s(self, request: LLMRequest, retries: int) -> float:
        """Doubles with each attempt; spread by the request, so that those refused together do not return so."""
        spread = 0.5 + int(request.digest(self.model)[:4], 16) / 0xFFFF
        return self.backoff_s * 2**retries * spread

    def _attempt(self, request: LLMRequest) -> Completion:
        dialect = self._dialect  # another thread may change it meanwhile
        most = guess_tokens(request.nchars), request.max_tokens
        headers = self._headers()
        self.budget.reserve(sum(most), self._cost(*most))
        spent = most  # what the attempt counts as, until more is known
        not_reached, too_slow, broken = self._errors
        try:
            with self._slots:
                status, retry_after, raw = self._post(self._body(request, dialect), headers)
            if status != 200:
                spent = 0, 0
                self._raise_for(status, retry_after, raw, request, dialect)
            completion = _read(raw, request, self.model)
            spent = completion.usage.prompt_tokens, completion.usage.completion_tokens
            return completion
        except not_reached as error:
            spent = 0, 0
            raise _Transient(f"no connection ({error})") from None
        except too_slow:
            raise _Transient(f"no answer within {self.timeout_s:g} s") from None
        except broken as error:
            raise _Transient(f"the connection broke ({error})") from None
        finally:
            self.budget.settle(sum(spent) - sum(most), self._cost(*spent) - self._cost(*most))

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prices[0] + completion_tokens * self.prices[1]) / 1e6

    def _body(self, request: LLMRequest, dialect: _Dialect) -> dict[str, Any]:
        form = FORMATS[dialect.form]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_wire(message) for message in request.messages],
            dialect.bound: request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.tools:
            body["tools"] = list(request.tools)
        if request.schema is not None and form:
            asked: dict[str, Any] = {"type": form}
            if form == "json_schema":
                named = {"name": request.step or "answer", "schema": request.schema, "strict": True}
                asked["json_schema"] = named
            body["response_format"] = asked
        return {name: value for name, value in (body | self.extra).items() if value is not None}

    def _key(self) -> str:
        """The key, without the blanks that files of settings leave behind it; ``""`` for none."""
        return os.environ.get(self.api_key_env, "").strip()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if key := self._key():
            if not (key.isascii() and key.isprintable()):
                raise LLMRefused(f"${self.api_key_env} holds characters that no key has.")
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _without_key(self, text: str) -> str:
        """A message that may be kept in results: servers repeat what they were sent."""
        key = self._key()
        return text.replace(key, "***") if len(key) >= SECRET else text

    def _post(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str | None, bytes]:
        """Status, ``Retry-After`` and body of the answer, within the bounds on its time and size."""
        content = json.dumps(body).encode()
        raw = bytearray()
        url = f"{self.base_url}/chat/completions"
        self._deadline.begin(self.timeout_s)
        with self._http.stream("POST", url, content=content, headers=headers) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise _Transient("the answer is compressed, which was not asked for")
            for chunk in answer.iter_raw():
                raw += chunk
                if len(raw) > MAX_BODY:
                    raise _Transient(f"the answer is longer than {MAX_BODY >> 20} MiB")
            return answer.status_code, answer.headers.get("retry-after"), bytes(raw)

    def _raise_for(
        self, status: int, retry_after: str | None, raw: bytes, request: LLMRequest, dialect: _Dialect
    ) -> None:
        said = self._without_key(_plain(raw))
        if status in BUSY or status >= 500:
            raise _Transient(f"status {status}: {said}", _seconds(retry_after))
        if status in (400, 422):
            if request.schema is not None and FORMATS[dialect.form] and b"response_format" in raw:
                self._dialect = dialect._replace(form=dialect.form + 1)
                raise _Adapted
            if dialect.bound == "max_tokens" and b"max_completion_tokens" in raw:
                self._dialect = dialect._replace(bound="max_completion_tokens")
                raise _Adapted
        hint = f" Set {self.api_key_env} to a valid key." if status in (401, 403) else ""
        raise LLMRefused(f"{self.model!r} at {self.base_url}: status {status}: {said}.{hint}")


def _wire(message: ChatMessage) -> dict[str, Any]:
    """A message as the protocol has it."""
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _read(raw: bytes, request: LLMRequest, model: str) -> Completion:
    """The completion that a body holds; whatever is not the protocol's is transient."""
    try:
        answer = json.loads(raw)
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        calls = tuple(
            ToolCall(str(c.get("id", "")), c["function"]["name"], c["function"]["arguments"])
            for c in message.get("tool_calls") or ()
        )
        for part in (text, *(p for c in calls for p in (c.id, c.name, c.arguments))):
            if not isinstance(part, str):
                raise TypeError("an answer's content and its calls are text")
            part.encode()  # lone surrogates cannot be written to a file
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _Transient(f"not a chat completion: {error!r} in {_plain(raw)!r}") from None
    usage = answer.get("usage")
    prompt, completion = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    if prompt is None:
        prompt = guess_tokens(request.nchars)
    if completion is None:
        completion = guess_tokens(len(text) + sum(len(c.arguments) for c in calls))
    finish = choice.get("finish_reason")
    return Completion(
        text,
        Usage(1, prompt, completion),
        model,
        finish if finish in ("length", "tool_calls") else "stop",
        calls,
    )


def _count(usage: Any, name: str) -> int | None:
    """Tokens as a server counts them; None where it does not, or where no context is as long."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise DependencyMissing.for_extra("httpx", "llm", "A client of an LLM server") from None
    return httpx


def _why_no_url(url: str) -> str:
    """What is wrong with a server's address, which is shown in messages and on cards; ``""`` for nothing."""
    if not url.startswith(("http://", "https://")):
        return f"begins with http:// or https://, not {url[:40]!r}"
    httpx = _httpx()
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        return f"is no address: {error}"
    if parts.userinfo:
        return "holds a name or a password: only a key from the environment is sent"
    return "" if parts.host else f"names no host: {url[:40]!r}"


def _plain(raw: bytes) -> str:
    """The beginning of a body, fit for a message on one line."""
    return " ".join(
        "".join(c if c.isprintable() else " " for c in raw[:300].decode("utf-8", "replace")).split()
    )


def _seconds(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` asks for: a number of seconds, or a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
