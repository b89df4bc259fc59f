"""Checks of records from files of strangers: a wrong one is named, with what would be right."""

import json
import re
from typing import Any

from memgym.errors import DatasetCorrupt

__all__ = ["check_text", "field", "kind_of", "load_json"]

MAX_CHARS = 1 << 16  # of one text, where a dataset says nothing else
SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(data: bytes | str, source: str) -> Any:
    """Parse JSON.

    Raises:
        DatasetCorrupt: it is none; names `source`.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DatasetCorrupt(f"{source} is not JSON: {error}.") from None


def kind_of(value: Any) -> str:
    """What a wrong value is, for a message; texts are cut, lists and objects are not spelled out."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return f"{type(value).__name__} {str(value)[:40]!r}"


def field(record: Any, key: str, kind: type | tuple[type, ...], where: str, most: int = MAX_CHARS) -> Any:
    """A field of the right type; texts must be encodable and of sensible length.

    Args:
        record: what should be an object with `key`; other keys are passed over.
        key: the field.
        kind: its type, or several.
        where: name of the record, for messages.
        most: characters that a text may have.

    Raises:
        DatasetCorrupt: the field is missing or wrong.
    """
    if not isinstance(record, dict):
        raise DatasetCorrupt(f"{where}: expected an object, found {kind_of(record)}.")
    if key not in record:
        raise DatasetCorrupt(f"{where}: {key!r} is missing.")
    value = record[key]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in kinds:  # not isinstance: JSON's true is no int
        wanted = " or ".join(each.__name__ for each in kinds)
        raise DatasetCorrupt(f"{where}: {key!r} is {kind_of(value)}, not {wanted}.")
    if type(value) is str:
        check_text(value, f"{where}: {key!r}", most)
    return value


def check_text(text: str, what: str, most: int = MAX_CHARS) -> None:
    """Refuse a text that is too long, or that no encoding can write.

    Raises:
        DatasetCorrupt: names `what`.
    """
    if len(text) > most:
        raise DatasetCorrupt(f"{what} has {len(text):,} characters; more than {most:,} are not read.")
    if not text.isascii() and SURROGATE.search(text):
        raise DatasetCorrupt(f"{what} has half a surrogate pair, which no encoding can write.")
