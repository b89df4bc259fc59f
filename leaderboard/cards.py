"""The agent card of a result bundle, checked. A bundle's reader passes it on as it came from a stranger."""

import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from memgym.core.agent import Setting
from memgym.errors import ResultInvalid

__all__ = ["KINDS", "read_card"]

KINDS = ("reference", "scripted", "rl", "llm", "hybrid")
NAME_LENGTH = 80


def _is_name(value: Any) -> bool:
    # control and direction characters could make one agent look like another
    return (
        isinstance(value, str) and 0 < len(value.strip()) <= len(value) <= NAME_LENGTH and value.isprintable()
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_name, f"1 to {NAME_LENGTH} printable characters"),
    "kind": (lambda value: value in KINDS, "one of " + ", ".join(KINDS)),
    "description": (_is_text, "a text"),
    "setting": (lambda value: value in get_args(Setting), "one of " + ", ".join(get_args(Setting))),
    "privileged": (lambda value: isinstance(value, bool), "true or false"),
    "authors": (_is_texts, "a list of texts"),
    "version": (_is_text, "a text"),
    "licence": (_is_text, "a text"),
    "url": (_is_text, "a text"),
    "parameters": (_is_count, "a whole number from 0"),
    "training_steps": (_is_count, "a whole number from 0"),
    "trained_on": (_is_texts, "a list of texts"),
    "config": (lambda value: isinstance(value, Mapping), "a JSON object"),
    "extra": (lambda value: isinstance(value, Mapping), "a JSON object"),
}


def read_card(path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """The card with exactly the fields of an `AgentCard`.

    Raises:
        ResultInvalid: a field is missing or not what it has to be; names the bundle, the field and the rule.
    """
    for name, (is_valid, rule) in FIELDS.items():
        if name not in card:
            raise ResultInvalid(f"{path}: the agent's card lacks {name!r}.")
        if not is_valid(card[name]):
            raise ResultInvalid(f"{path}: the card's {name!r} is {reprlib.repr(card[name])}; it is {rule}.")
    return {name: card[name] for name in FIELDS}
