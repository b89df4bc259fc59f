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

from memgym.agents.structured.graphiti import RESOLVE_EDGE, NewEdge, same_relation
from memgym.agents.structured.mem0 import EXTRACT_NEW_FACTS
from memgym.agents.structured.steps_facts import (
    DECIDE_OPS,
    EXTRACT_FACTS,
    DecisionInput,
    KeptFact,
    Said,
    first_person_sentences,
)
from memgym.agents.structured.steps_triples import (
    EXTRACT_TRIPLES,
    FORGOTTEN,
    KnownTriple,
    Triple,
    statements,
)
from memgym.llm import Step

__all__ = ["answer", "serve"]

HOUSE = (EXTRACT_FACTS, DECIDE_OPS, EXTRACT_NEW_FACTS, EXTRACT_TRIPLES, RESOLVE_EDGE, FORGOTTEN)
STEPS: dict[str, Step[Any, Any]] = {step.name: step for step in HOUSE}
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


def graphiti(body: Body) -> dict[str, Any] | None:
    """Graphiti's prompts, each named by the form of its answer; its facts are sentences with the speaker in front."""
    name = body.get("response_format", {}).get("json_schema", {}).get("name")
    if name not in GRAPHITI:
        return None
    return {"content": json.dumps(GRAPHITI[name](body["messages"][-1]["content"]))}


def part(prompt: str, tag: str) -> str:
    """What stands between ``<tag>`` and ``</tag>``, the first time."""
    return prompt.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def triples(line: str) -> list[Triple]:
    """The facts of a line."""
    return list(statements(said(line)).triples)


def entities(prompt: str) -> dict[str, Any]:
    """Subjects and objects."""
    names = [name for one in triples(part(prompt, "CURRENT MESSAGE")) for name in (one.subject, one.object)]
    return {"extracted_entities": [{"name": name, "entity_type_id": 0} for name in dict.fromkeys(names)]}


def edges(prompt: str) -> dict[str, Any]:
    """The facts between them."""
    line = part(prompt, "CURRENT_MESSAGE")
    return {
        "edges": [
            {
                "source_entity_name": one.subject,
                "target_entity_name": one.object,
                "relation_type": re.sub(r"\W+", "_", one.relation).upper(),
                "fact": f"{said(line).speaker}: {one.fact}",
            }
            for one in triples(line)
        ]
    }


def no_duplicates(prompt: str) -> dict[str, Any]:
    """Entities are one where their names are, which Graphiti sees by itself."""
    new = json.loads(part(prompt, "ENTITIES"))
    return {
        "entity_resolutions": [
            {"id": one["id"], "name": one["name"], "duplicate_candidate_id": -1} for one in new
        ]
    }


def resolution(prompt: str) -> dict[str, Any]:
    """What memgym's rule says of the new fact and the known ones, read as sentences again."""
    listed = part(prompt, "EXISTING FACTS"), part(prompt, "FACT INVALIDATION CANDIDATES")
    both = [ast.literal_eval(one) if one else [] for one in listed]
    new = triples(part(prompt, "NEW FACT"))
    known = [
        KnownTriple(number=one["idx"] + 1, subject=t.subject, relation=t.relation, object=t.object)
        for one in [*both[0], *both[1]]
        for t in triples(one["fact"])[:1]
    ]
    if not new:
        return {"duplicate_facts": [], "contradicted_facts": []}
    found = same_relation(NewEdge(new=new[0], known=tuple(known)))
    same = [found.duplicate - 1] if 0 < found.duplicate <= len(both[0]) else []
    return {"duplicate_facts": same, "contradicted_facts": [number - 1 for number in found.contradicted]}


GRAPHITI: dict[str, Callable[[str], dict[str, Any]]] = {
    "ExtractedEntities": entities,
    "ExtractedEdges": edges,
    "NodeResolutions": no_duplicates,
    "EdgeDuplicate": resolution,
    "EdgeTimestamps": lambda prompt: {"valid_at": part(prompt, "REFERENCE TIME"), "invalid_at": None},
    "SummarizedEntities": lambda prompt: {"summaries": []},
}
KNOWN: tuple[Callable[[Body], dict[str, Any] | None], ...] = (house_step, graphiti, mem0, langmem)


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
