"""Mem-alpha's tools: what a model may call, as OpenAI's API describes it, and the operations that calls stand for."""

import json
from collections.abc import Mapping
from typing import Any

from memgym.errors import InvalidOperation
from memgym.memory.ops import MemoryOp
from memgym.memory.parts import KINDS

__all__ = ["LISTS", "read_call", "tool_schemas"]

LISTS = ("semantic", "episodic")  # parts with any number of entries


def tool_schemas() -> list[dict[str, Any]]:
    """The four tools, for the argument ``tools`` of a chat completion.

    >>> [tool["function"]["name"] for tool in tool_schemas()]
    ['new_memory_insert', 'memory_update', 'memory_delete', 'search_memory']
    """
    text = {"type": "string"}
    part = {"type": "string", "enum": list(KINDS), "description": "the part of memory"}
    entries = {
        "type": "string",
        "enum": list(LISTS),
        "description": "semantic: facts; episodic: events, with times",
    }
    id = {"type": "string", "description": "id of the entry, e.g. m3; none for core"}
    return [
        _tool("new_memory_insert", "Add an entry.", {"memory_type": entries, "content": text}, 2),
        _tool(
            "memory_update",
            "Replace an entry; core is replaced whole.",
            {"memory_type": part, "new_content": text, "memory_id": id},
            2,
        ),
        _tool("memory_delete", "Remove an entry, or empty core.", {"memory_type": part, "memory_id": id}, 1),
        _tool(
            "search_memory",
            "Find entries by words.",
            {
                "memory_type": entries,
                "query": text,
                "top_k": {"type": "integer", "minimum": 1, "maximum": 50},
            },
            2,
        ),
    ]


def read_call(name: str, arguments: str | Mapping[str, Any], core: str = "") -> MemoryOp:
    """The operation that a call stands for, on a bank in three parts (`memgym.memory.parts`).

    Args:
        name: of the tool.
        arguments: JSON, as a model writes them, or already read.
        core: id of the core entry, ``""`` where there is none.

    Raises:
        InvalidOperation: no such tool, or arguments that do not fit its schema.

    >>> read_call("memory_update", '{"memory_type": "core", "new_content": "Ines, a nurse."}', core="m1").id
    'm1'
    """
    schema = next(
        (t["function"]["parameters"] for t in tool_schemas() if t["function"]["name"] == name), None
    )
    if schema is None:
        known = ", ".join(tool["function"]["name"] for tool in tool_schemas())
        raise InvalidOperation(f"no tool {name[:40]!r}. Known: {known}.")
    given = _read(arguments)
    _check(name, schema, given)
    kind, id = given["memory_type"], given.get("memory_id", "")
    if name == "new_memory_insert":
        return MemoryOp.add(given["content"], kind=kind)
    if name == "search_memory":
        return MemoryOp.search(given["query"], given.get("top_k", 20))
    if kind == "core":
        if name == "memory_delete":
            return MemoryOp.delete(core) if core else MemoryOp.noop()
        text = given["new_content"]
        return MemoryOp.update(core, text) if core else MemoryOp.add(text, kind="core")
    if not id:
        raise InvalidOperation(f"{name} of {kind} needs 'memory_id'.")
    return MemoryOp.delete(id) if name == "memory_delete" else MemoryOp.update(id, given["new_content"])


def _tool(name: str, description: str, properties: dict[str, Any], required: int) -> dict[str, Any]:
    """A tool whose first `required` arguments must be given."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties)[:required],
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _read(arguments: str | Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping):
        raise InvalidOperation("the arguments of a call are a JSON object.")
    return given


def _check(name: str, schema: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    properties = schema["properties"]
    if strange := sorted(set(given) - set(properties)):
        raise InvalidOperation(f"{name} has no argument {strange[0][:40]!r}.")
    if missing := [key for key in schema["required"] if key not in given]:
        raise InvalidOperation(f"{name} needs {missing[0]!r}.")
    for key, value in given.items():
        wanted = properties[key]
        if wanted["type"] == "integer":
            fits = type(value) is int and wanted["minimum"] <= value <= wanted["maximum"]
            text = f"an integer from {wanted['minimum']} to {wanted['maximum']}"
        elif "enum" in wanted:
            fits, text = value in wanted["enum"], f"one of {', '.join(wanted['enum'])}"
        else:
            fits, text = isinstance(value, str) and bool(value.strip()), "text"
        if not fits:
            raise InvalidOperation(f"{key!r} of {name} is {text}.")
