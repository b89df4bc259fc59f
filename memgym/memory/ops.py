"""What a memory operation is: the vocabulary, its parsing, and the action that carries it.

`MemoryOp` is what policies emit and the engine applies. Inside an action it travels as a plain mapping that
fits `memgym.spaces.op_space`, so that any Gymnasium tool can store or send it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from memgym.errors import InvalidOperation

__all__ = ["MemoryOp", "OpKind", "as_action", "dump_attrs", "load_attrs"]


class OpKind(IntEnum):
    """Kinds of operation; the integer is the value in the action space."""

    NOOP = 0
    ADD = 1
    UPDATE = 2
    DELETE = 3
    SEARCH = 4

    @classmethod
    def parse(cls, value: Any) -> "OpKind":
        """The kind for an integer, a numpy integer or a name in any case.

        Raises:
            InvalidOperation: no such kind.
        """
        try:
            return cls[value.upper()] if isinstance(value, str) else cls(int(value))
        except (KeyError, ValueError, TypeError):
            known = ", ".join(kind.name for kind in cls)
            raise InvalidOperation(f"no operation {value!r}. Known: {known}.") from None


@dataclass(frozen=True, slots=True)
class MemoryOp:
    """One operation on a memory bank.

    Attributes:
        kind: what to do.
        id: the entry that UPDATE or DELETE is about.
        text: new text for ADD and UPDATE, the query for SEARCH.
        attrs: JSON-like values stored with the entry, e.g. ``{"time": "2023-05-08"}``; for SEARCH ``{"k": 10}``.
    """

    kind: OpKind
    id: str = ""
    text: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def add(cls, text: str, **attrs: Any) -> "MemoryOp":
        """Store `text` as a new entry."""
        return cls(OpKind.ADD, text=text, attrs=attrs)

    @classmethod
    def update(cls, id: str, text: str, **attrs: Any) -> "MemoryOp":
        """Replace the text of entry `id`; attributes given here replace those of the same name."""
        return cls(OpKind.UPDATE, id=id, text=text, attrs=attrs)

    @classmethod
    def delete(cls, id: str) -> "MemoryOp":
        """Remove entry `id` and every trace of its text."""
        return cls(OpKind.DELETE, id=id)

    @classmethod
    def noop(cls) -> "MemoryOp":
        """Leave memory as it is."""
        return cls(OpKind.NOOP)

    @classmethod
    def search(cls, query: str, k: int = 10) -> "MemoryOp":
        """Ask the environment for the `k` entries nearest to `query`."""
        return cls(OpKind.SEARCH, text=query, attrs={"k": k})

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> "MemoryOp":
        """Read the mapping form (of `to_dict`, of an action, or of a tool call with ``"op"`` for the kind).

        Raises:
            InvalidOperation: missing or wrongly typed field, unknown kind, attributes that are not JSON.
        """
        if not isinstance(value, Mapping):
            raise InvalidOperation(f"an operation is a mapping, not {type(value).__name__}.")
        unknown = set(value) - {"kind", "op", "id", "text", "attrs"}
        if unknown:
            raise InvalidOperation(f"unknown field {sorted(unknown)[0]!r} in an operation.")
        if "kind" not in value and "op" not in value:
            raise InvalidOperation("an operation needs 'kind'.")
        kind = OpKind.parse(value.get("kind", value.get("op")))
        id, text = value.get("id", ""), value.get("text", "")
        for name, part in (("id", id), ("text", text)):
            if not isinstance(part, str):
                raise InvalidOperation(f"{name!r} of an operation is text, not {type(part).__name__}.")
        return cls(kind, id, text, load_attrs(value.get("attrs", "")))

    def to_dict(self) -> dict[str, Any]:
        """The form that fits `memgym.spaces.op_space`."""
        return {
            "kind": int(self.kind),
            "id": self.id,
            "text": self.text,
            "attrs": dump_attrs(self.attrs),
        }


def dump_attrs(attrs: Mapping[str, Any]) -> str:
    """Attributes as canonical JSON, ``""`` for none: the form in spaces and the one whose bytes count."""
    if not attrs:
        return ""
    return json.dumps(dict(attrs), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load_attrs(value: Any) -> dict[str, Any]:
    """The inverse of `dump_attrs`; a mapping is taken as it is.

    Raises:
        InvalidOperation: not a JSON object.
    """
    if value == "" or value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    try:
        attrs = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        raise InvalidOperation(f"attrs are not JSON: {str(value)[:80]!r}.") from None
    if not isinstance(attrs, dict):
        raise InvalidOperation(f"attrs are a JSON object, not {type(attrs).__name__}.")
    return attrs


def as_action(ops: Iterable[MemoryOp] = (), answer: str = "") -> dict[str, Any]:
    """The action of a text task: operations on the bank, and an answer (read only when a question is asked).

    >>> as_action([MemoryOp.add("Maya moved to Oslo")])["ops"][0]["text"]
    'Maya moved to Oslo'
    """
    return {"ops": tuple(op.to_dict() for op in ops), "answer": answer}
