"""A server of chat completions that follows rules: it stands in for a language model where mechanisms are compared.

It speaks OpenAI's protocol on the loopback interface. A step of memgym's is carried out by the step's own rule, the
prompt of a package by the same rules, on what the prompt says was said. So an original and its rendition decide alike
about language, and differ by what they do with it. It says nothing of how well either would do with a language model.

    python benchmarks/rule_server.py 8001
    OPENAI_BASE_URL=http://127.0.0.1:8001/v1 memgym evaluate ...
"""

import ast
import json
import re
import sys
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from memgym.agents.structured.mem0 import EXTRACT_NEW_FACTS
from memgym.agents.structured.steps_facts import (
    DECIDE_OPS,
    EXTRACT_FACTS,
    DecisionInput,
    KeptFact,
    Said,
    first_person_sentences,
)
from memgym.llm import Step

__all__ = ["answer", "serve"]

STEPS: dict[str, Step[Any, Any]] = {
    step.name: step for step in (EXTRACT_FACTS, DECIDE_OPS, EXTRACT_NEW_FACTS)
}
MEM0_SAID = re.compile(r"## New Messages\nuser: (.*?)\n*## Observation Date", re.DOTALL)
LANGMEM_SAID = re.compile(r"<session_[^>]*>\n=+ Human Message =+\n\n(.*?)\n</session_", re.DOTALL)
LANGMEM_KNOWN = re.compile(r"<instance id=(\S+) [^>]*>\n(.*?)\n</instance>", re.DOTALL)

Body = Mapping[str, Any]


def said(line: str) -> Said:
    """Who says what in ``"Maya: I live in Oslo."``."""
    speaker, colon, text = line.partition(": ")
    return Said(text=text, speaker=speaker) if colon and len(speaker) < 64 else Said(text=line)


def facts(line: str) -> list[str]:
    """The facts of a line, each with its speaker in front."""
    spoken = said(line)
    prefix = f"{spoken.speaker}: " if spoken.speaker else ""
    return [prefix + fact for fact in first_person_sentences(spoken).facts]


def house_step(body: Body) -> dict[str, Any] | None:
    """A step of memgym's: it names itself in the form that its answer should have."""
    name = body.get("response_format", {}).get("json_schema", {}).get("name")
    if name not in STEPS:
        return None
    step = STEPS[name]
    data = body["messages"][-1]["content"].removeprefix("<|data|>\n").removesuffix("\n<|/data|>")
    assert step.rule is not None
    return {"content": step.rule(step.input.model_validate_json(data)).model_dump_json()}


def mem0(body: Body) -> dict[str, Any] | None:
    """mem0's extraction: the facts of the new message."""
    found = MEM0_SAID.findall(body["messages"][-1]["content"])
    if not found:
        return None
    memory = [{"id": str(i), "text": text} for i, text in enumerate(facts(found[-1]))]
    return {"content": json.dumps({"memory": memory})}


def langmem(body: Body) -> dict[str, Any] | None:
    """LangMem's tool calls: what memgym's rule decides of each fact, as far as the tools offered can do it."""
    found = LANGMEM_SAID.findall(body["messages"][-1]["content"])
    if not found:
        return None
    known = {
        id: str(ast.literal_eval(value)["content"])
        for id, value in LANGMEM_KNOWN.findall(str(body["messages"][0]["content"]))
    }
    offered = {tool["function"]["name"] for tool in body["tools"]}
    calls = [call for fact in facts(found[-1]) for call in langmem_calls(fact, known, offered)]
    return {
        "tool_calls": [
            {
                "id": f"c{i}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for i, (name, arguments) in enumerate(calls)
        ]
    }


def langmem_calls(
    fact: str, known: Mapping[str, str], offered: Container[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls for one fact, compared with what the same speaker has told."""
    spoken = said(fact)
    ids = [id for id, text in known.items() if said(text).speaker == spoken.speaker]
    memories = tuple(KeptFact(number=n, text=said(known[id]).text) for n, id in enumerate(ids))
    assert DECIDE_OPS.rule is not None
    for decision in DECIDE_OPS.rule(DecisionInput(fact=spoken.text, memories=memories)).operations:
        text = f"{spoken.speaker}: {decision.text}" if spoken.speaker else decision.text
        if decision.event == "DELETE" and "RemoveDoc" in offered:
            yield "RemoveDoc", {"json_doc_id": ids[decision.number]}
        elif decision.event == "UPDATE" and "PatchDoc" in offered:
            patch = {"op": "replace", "path": "/content", "value": text}
            yield (
                "PatchDoc",
                {"json_doc_id": ids[decision.number], "planned_edits": "Replace it.", "patches": [patch]},
            )
        elif decision.event in ("ADD", "UPDATE"):
            yield "Memory", {"content": text}


KNOWN: tuple[Callable[[Body], dict[str, Any] | None], ...] = (house_step, mem0, langmem)


def answer(body: Body) -> dict[str, Any]:
    """The assistant's message for a request.

    Raises:
        ValueError: a prompt that no rule knows.
    """
    for rule in KNOWN:
        message = rule(body)
        if message is not None:
            return {"role": "assistant", "content": None, **message}
    raise ValueError(f"no rule for this prompt: {str(body['messages'][-1]['content'])[:200]!r}")


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            message, status = answer(body), 200
        except ValueError as error:
            return self._send({"error": {"message": str(error)}}, 400)
        prompt = sum(len(str(one["content"])) for one in body["messages"]) // 4
        written = len(json.dumps(message)) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        whole = {"id": "r", "object": "chat.completion", "created": 0, "model": body["model"]}
        self._send({**whole, "choices": [choice], "usage": usage}, status)

    def _send(self, value: Any, status: int) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(port: int = 0) -> Iterator[str]:
    """A running server; its base URL. Port 0 takes any that is free."""
    http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}/v1"
    finally:
        http.shutdown()
        http.server_close()


if __name__ == "__main__":
    with serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as url:
        print(f"rules at {url}; stop with Ctrl-C", flush=True)
        threading.Event().wait()
