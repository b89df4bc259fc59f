"""What a memory operation is: the vocabulary, its parsing, and the action that carries it.

`MemoryOp` is what policies emit and the engine applies. Inside an action it travels as a plain mapping that
fits `memgym.spaces.op_space`, so that any Gymnasium tool can store or send it.
"""

import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any

from memgym.errors import InvalidOperation

__all__ = [
    "CORE_KINDS",
    "MADE",
    "MAX_ID",
    "MAX_TEXT",
    "MemoryOp",
    "OpKind",
    "as_action",
    "clean_attrs",
    "dump_attrs",
    "load_attrs",
]

MAX_TEXT = 1 << 20  # characters; a chunk of a million-token document still fits
MAX_ID = 32  # characters
MAX_DEPTH = (
    16  # of nested attributes: what is deeper breaks recursive readers, at a depth that depends on them
)


MADE = "made"
"""In place of an id: the entry that the last ADD or MERGE of the same scope made. Extended banks only."""


class OpKind(IntEnum):
    """Kinds of operation; the integer is the value in the action space.

    Those after SEARCH are for memories with structure and are carried out by an extended bank only.
    """

    NOOP = 0
    ADD = 1
    UPDATE = 2
    DELETE = 3
    SEARCH = 4
    MERGE = 5
    LINK = 6
    UNLINK = 7
    ARCHIVE = 8
    RESTORE = 9
    FREEZE = 10
    ROLLBACK = 11

    @classmethod
    def parse(cls, value: Any) -> "OpKind":
        """The kind for an integer, a numpy integer or a name in any case.

        Raises:
            InvalidOperation: no such kind.
        """
        try:
            return cls[value.upper()] if isinstance(value, str) else cls(operator.index(value))
        except (KeyError, ValueError, TypeError):
            known = ", ".join(kind.name for kind in cls)
            raise InvalidOperation(f"no operation {_brief(value)}. Known: {known}.") from None


CORE_KINDS = 5
"""How many kinds the core action space has: NOOP to SEARCH."""


@dataclass(frozen=True, slots=True)
class MemoryOp:
    """One operation on a memory bank.

    Attributes:
        kind: what to do.
        id: the entry that it is about; of LINK and UNLINK the one that the edge leaves.
        text: new text for ADD, UPDATE and MERGE, the query for SEARCH.
        attrs: JSON-like values stored with the entry, e.g. ``{"time": "2023-05-08"}``. Some kinds read theirs
            instead of storing them: SEARCH ``k``, MERGE ``ids``, LINK ``to``, ``rel`` and ``weight``, UNLINK
            ``to`` and ``rel``, ROLLBACK ``version``.
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
    def search(cls, query: str, k: int = 10, *, near: str = "", **how: Any) -> "MemoryOp":
        """Ask the environment for the `k` entries nearest to `query`; in an extended bank also for those around
        the entry `near`, or in a way that `memgym.memory.retrieval.answer_search` describes.
        """
        return cls(OpKind.SEARCH, near, query, {"k": k, **how})

    @classmethod
    def merge(cls, ids: Iterable[str], text: str, **attrs: Any) -> "MemoryOp":
        """Store `text` as a new entry made of entries `ids`, which are archived and pass on their edges."""
        return cls(OpKind.MERGE, text=text, attrs={**attrs, "ids": list(ids)})

    @classmethod
    def link(cls, source: str, target: str, rel: str = "related", weight: float = 1.0) -> "MemoryOp":
        """Draw an edge of type `rel` from one entry to another, or give the one there another weight."""
        return cls(OpKind.LINK, source, attrs={"to": target, "rel": rel, "weight": weight})

    @classmethod
    def unlink(cls, source: str, target: str, rel: str = "") -> "MemoryOp":
        """Remove the edge of type `rel` from one entry to another; without `rel`, all edges from it to there."""
        return cls(OpKind.UNLINK, source, attrs={"to": target, "rel": rel} if rel else {"to": target})

    @classmethod
    def archive(cls, id: str) -> "MemoryOp":
        """Take entry `id` out of searches and views; RESTORE brings it back."""
        return cls(OpKind.ARCHIVE, id)

    @classmethod
    def restore(cls, id: str) -> "MemoryOp":
        """Make an archived entry active again, or a frozen one changeable."""
        return cls(OpKind.RESTORE, id)

    @classmethod
    def freeze(cls, id: str) -> "MemoryOp":
        """Protect entry `id` from any change; it is still found."""
        return cls(OpKind.FREEZE, id)

    @classmethod
    def rollback(cls, id: str, version: int) -> "MemoryOp":
        """Give entry `id` the text and attributes of an earlier version, as a new version."""
        return cls(OpKind.ROLLBACK, id, attrs={"version": version})

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> "MemoryOp":
        """Read the mapping form (of `to_dict`, of an action, or of a tool call with ``"op"`` for the kind).

        Raises:
            InvalidOperation: missing or wrongly typed field, unknown kind, attributes that are not JSON, or
                something that does not fit `memgym.spaces.op_space`.
        """
        if not isinstance(value, Mapping):
            raise InvalidOperation(f"an operation is a mapping, not {type(value).__name__}.")
        for name in value:
            if name not in ("kind", "op", "id", "text", "attrs"):
                raise InvalidOperation(f"unknown field {_brief(name)} in an operation.")
        if "kind" not in value and "op" not in value:
            raise InvalidOperation("an operation needs 'kind'.")
        kind = value.get("kind", value.get("op"))
        return cls(kind, value.get("id", ""), value.get("text", ""), value.get("attrs", "")).checked()

    def checked(self) -> "MemoryOp":
        """The same operation with attributes that nobody else holds.

        Raises:
            InvalidOperation: an operation that `parse` would not read.
        """
        kind = OpKind.parse(self.kind)
        for name, part, most in (("id", self.id, MAX_ID), ("text", self.text, MAX_TEXT)):
            if not isinstance(part, str):
                raise InvalidOperation(f"{name!r} of an operation is text, not {type(part).__name__}.")
            if len(part) > most:
                raise InvalidOperation(f"{name!r} of an operation has at most {most} characters.")
            if not _is_utf8(part):
                raise InvalidOperation(f"{name!r} of an operation has a lone surrogate.")
        return MemoryOp(kind, self.id, self.text, clean_attrs(self.attrs))

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
    return _dumped_words(tuple(attrs.items())) if _is_short(attrs) else _canonical(dict(attrs))


def load_attrs(value: Any) -> dict[str, Any]:
    """The inverse of `dump_attrs`; a mapping is taken as it is, so what is to be kept goes by `clean_attrs`.

    Raises:
        InvalidOperation: not a JSON object.
    """
    if value is None or (isinstance(value, str) and not value):
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    try:
        if type(value) is str and len(value) <= SHORT and (words := _loaded_words(value)) is not None:
            return dict(words)
        attrs = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        raise InvalidOperation(f"attrs are not JSON: {_brief(value)}.") from None
    if not isinstance(attrs, dict):
        raise InvalidOperation(f"attrs are a JSON object, not {type(attrs).__name__}.")
    return attrs


def clean_attrs(value: Any) -> dict[str, Any]:
    """A copy of attributes, down to the last list, that holds exactly what their canonical JSON says.

    Raises:
        InvalidOperation: not JSON (NaN and infinity are not), a lone surrogate, too long or too deep.
    """
    attrs = load_attrs(value)
    if not attrs or (_is_short(attrs) and all(word.isascii() for word in attrs.values())):
        return attrs
    plain = all(type(name) is str and type(part) in PLAIN for name, part in attrs.items())
    try:
        text = _strict(attrs)
        text.encode()
        copy = attrs if plain else json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise InvalidOperation("attrs are not JSON values in valid Unicode.") from None
    if len(text) > MAX_TEXT:
        raise InvalidOperation(f"attrs have at most {MAX_TEXT} characters as JSON.")
    if plain:
        return copy
    level = [copy]
    for _ in range(MAX_DEPTH):
        inner = [part for part in level if isinstance(part, dict | list)]
        level = [each for part in inner for each in (part.values() if isinstance(part, dict) else part)]
    if level:
        raise InvalidOperation(f"attrs are nested at most {MAX_DEPTH - 1} deep.")
    return copy


# made once: json.dumps with arguments makes an encoder for every call
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_strict = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
PLAIN = (str, int, bool, type(None))
SHORT = 64  # characters; of attributes in all

# An operation's attributes are mostly one short string, such as the time; they are read and written some times over
# on the way from an action to an entry.


def _is_short(attrs: Mapping[str, Any]) -> bool:
    """Whether attributes are few words under ASCII names."""
    return len(attrs) <= 2 and all(
        type(name) is str and type(word) is str and name.isascii() and len(name) + len(word) <= SHORT
        for name, word in attrs.items()
    )


@lru_cache(maxsize=1 << 10)
def _dumped_words(words: tuple[tuple[str, str], ...]) -> str:
    return _canonical(dict(words))


@lru_cache(maxsize=1 << 10)
def _loaded_words(text: str) -> tuple[tuple[str, str], ...] | None:
    """The items of a JSON object that holds strings alone, otherwise None."""
    attrs = json.loads(text)
    if isinstance(attrs, dict) and all(type(word) is str for word in attrs.values()):
        return tuple(attrs.items())
    return None


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _brief(value: Any) -> str:
    """`value` for a message: short, and never itself an error."""
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return repr(value)
    return f"of type {type(value).__name__}"


def as_action(ops: Iterable[MemoryOp] = (), answer: str = "") -> dict[str, Any]:
    """The action of a text task: operations on the bank, and an answer (read only when a question is asked).

    >>> as_action([MemoryOp.add("Maya moved to Oslo")])["ops"][0]["text"]
    'Maya moved to Oslo'
    """
    return {"ops": tuple(op.to_dict() for op in ops), "answer": answer}
