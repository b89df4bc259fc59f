"""Which entries a question is about, and what they say."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from memgym.memory.lexical import stems
from memgym.memory.ops import load_attrs

__all__ = ["relevant", "said", "speaker", "written"]

MAX_NAME = 32  # characters before ": " that can be a speaker


def relevant(question: str, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entries by the number of question words they share, most first; the newest of equals first.

    Where the question names somebody who speaks in the entries, what others said is left out: a question
    about the wrong person is the usual false premise, and word overlap alone cannot tell.
    """
    named = {name for entry in entries if (name := speaker(entry)) and name in question}
    asked = stems(question) - stems(" ".join(named)) if named else stems(question)
    scored = [
        (len(asked & stems(entry["text"])), i, entry)
        for i, entry in enumerate(entries)
        if not named or speaker(entry) in named
    ]
    best = max((score for score, _, _ in scored), default=0)
    kept = [row for row in scored if row[0] >= max(1, best / 2)]
    kept.sort(key=lambda row: (-row[0], [-part for part in _age(row[2])], row[1]))
    return [entry for _, _, entry in kept]


def speaker(entry: Mapping[str, Any]) -> str:
    """Who said an entry, ``""`` where it does not begin with a name and a colon."""
    name, colon, _ = entry["text"].partition(": ")
    return name if colon and len(name) <= MAX_NAME else ""


def said(entry: Mapping[str, Any]) -> str:
    """What was said, without the speaker."""
    return entry["text"].split(": ", 1)[-1] if speaker(entry) else entry["text"]


def written(entry: Mapping[str, Any]) -> date | None:
    """The day that an entry was said."""
    try:
        return date.fromisoformat(str(load_attrs(entry["attrs"]).get("time", ""))[:10])
    except ValueError:
        return None


def _age(entry: Mapping[str, Any]) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(load_attrs(entry["attrs"]).get("time", "")))]
