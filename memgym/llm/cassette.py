"""A recording of what models answered: made once, replayed offline with the same bytes.

A JSONL file, one line a request: its digest (``key``), the model, the step, the digest of the instruction
(``prompt``), the request and the completion. So it is also a set of (step, input, output) examples to train a
smaller model on, and the proof of which prompt and model gave a judge's verdict.
"""

import json
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from memgym.llm.errors import CassetteCorrupt, CassetteMiss, LLMError
from memgym.llm.messages import Client, Completion, LLMRequest, OnAnswer, ToolCall
from memgym.llm.usage import Usage

__all__ = ["Cassette"]

MAX_FILE = 4 << 30  # bytes
MAX_LINE = 32 << 20


class Cassette(Client):
    """Answers from a file; with a client, asks it for what the file lacks and records the answer.

    Lines are appended whole, so a killed run loses at most what was being asked: a last line that is cut off
    is taken away when recording goes on. Where a key occurs twice, the first line counts. Errors are not recorded.

    Args:
        path: the file; with a client it is made where it is missing.
        client: who is asked for what the file lacks; None replays only.
        model: name of the recorded model, needed to replay a file that holds several.

    Raises:
        CassetteCorrupt: the file cannot be read; names the line.
        CassetteMiss: there is no such file, and no client.
    """

    def __init__(self, path: str | os.PathLike[str], client: Client | None = None, model: str = "") -> None:
        self.path = Path(path)
        self.client = client
        self._answers: dict[str, Completion] = {}
        self._lock = Lock()
        models: dict[str, None] = {}
        if client is None and not self.path.is_file():
            raise CassetteMiss(f"there is no cassette {self.path}; record one with Cassette(path, client).")
        if self.path.exists():
            whole = 0
            for number, line in _lines(self.path):
                key, completion = _parse(self.path, number, line)
                self._answers.setdefault(key, completion)
                models[completion.model] = None
                whole += len(line)
            if client is not None and whole < self.path.stat().st_size:
                os.truncate(self.path, whole)
        if client is not None:
            self.model, self.reserved = client.model, client.reserved
        elif model or len(models) == 1:
            self.model = model or next(iter(models))
        else:
            raise CassetteCorrupt(
                f"{self.path} holds answers of {sorted(models)}: say which model to replay."
            )

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """Answer from the file, or ask and record."""
        keys = [request.digest(self.model) for request in requests]
        missing = {
            key: request for key, request in zip(keys, requests, strict=True) if key not in self._answers
        }
        failed = self._ask(missing) if missing else {}
        outcomes = [failed[key] if key in failed else self._answers[key] for key in keys]
        if on_answer is not None:
            for i, outcome in enumerate(outcomes):
                on_answer(i, outcome)
        return outcomes

    def close(self) -> None:
        """Close the client."""
        if self.client is not None:
            self.client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def __len__(self) -> int:
        return len(self._answers)

    def _ask(self, missing: dict[str, LLMRequest]) -> dict[str, LLMError]:
        """Ask for what the file lacks and record it; return what failed."""
        if self.client is None:
            return {key: self._miss(key, request) for key, request in missing.items()}
        keys, requests = list(missing), list(missing.values())

        def record(i: int, outcome: Completion | LLMError) -> None:
            with self._lock:
                if isinstance(outcome, Completion) and keys[i] not in self._answers:
                    self._append(keys[i], requests[i], outcome)
                    self._answers[keys[i]] = outcome

        outcomes = self.client.complete_many(requests, record)  # as they come: a killed run keeps them
        for i, outcome in enumerate(outcomes):
            record(i, outcome)
        return {
            key: outcome for key, outcome in zip(keys, outcomes, strict=True) if isinstance(outcome, LLMError)
        }

    def _miss(self, key: str, request: LLMRequest) -> CassetteMiss:
        return CassetteMiss(
            f"{self.path} holds no answer of {self.model!r} to this request of step {request.step!r} "
            f"(key {key[:16]}): its prompt, data or settings are not those that were recorded."
        )

    def _append(self, key: str, request: LLMRequest, completion: Completion) -> None:
        system = "".join(message.content for message in request.messages if message.role == "system")
        line = {
            "key": key,
            "model": completion.model,
            "step": request.step,
            "prompt": sha256(system.encode("utf-8", "surrogatepass")).hexdigest(),
            "request": request.to_dict(),
            "completion": _to_dict(completion),
        }
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            file.write(raw)  # one write: lines of two processes do not mix


def _to_dict(completion: Completion) -> dict[str, Any]:
    calls = [[call.id, call.name, call.arguments] for call in completion.tool_calls]
    usage = completion.usage.to_dict()
    return {"text": completion.text, "finish": completion.finish, "tool_calls": calls, "usage": usage}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their numbers; a last one without its end is a write that did not finish."""
    if path.stat().st_size > MAX_FILE:
        raise CassetteCorrupt(f"{path} is larger than {MAX_FILE >> 30} GiB.")
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if line.endswith(b"\n"):
                yield number, line
            elif len(line) == MAX_LINE:
                raise CassetteCorrupt(f"{path}, line {number}: longer than {MAX_LINE >> 20} MiB.")


def _parse(path: Path, number: int, line: bytes) -> tuple[str, Completion]:
    try:
        value = json.loads(line)
        key, model, done = value["key"], value["model"], value["completion"]
        calls = tuple(ToolCall(*map(_text, call)) for call in done["tool_calls"])
        counts = Usage(**done["usage"])
        if not all(type(count) is int and count >= 0 for count in counts.to_dict().values()):
            raise TypeError("usage is counts")
        if done["finish"] not in ("stop", "length", "tool_calls"):
            raise ValueError(f"finish {done['finish']!r}")
        return _text(key), Completion(_text(done["text"]), counts, _text(model), done["finish"], calls)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CassetteCorrupt(f"{path}, line {number}: not a recorded answer ({error!r}).") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text, not {value!r:.40}")
    return value
