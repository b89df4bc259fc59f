"""Which entries a question is about."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from memgym.memory.lexical import stems
from memgym.memory.ops import load_attrs

__all__ = ["Evidence", "find_evidence", "said", "speaker", "written"]

Entry = Mapping[str, Any]

MAX_NAME = 32  # characters before ": " that can be a speaker
NEAR_BEST = 0.9  # share of the best match above which the newer entry comes first: facts change
SWAPPED = 1.25  # how much better what somebody else said has to match to be what the question means


@dataclass(frozen=True)
class Evidence:
    """What a question is about, as far as word overlap tells.

    Attributes:
        entries: those that share a word with the question, best first.
        asked: stems of the question's content words, without the people it names.
        weights: of each of them, how telling it is among the entries.
        is_swapped: the question names somebody, and what others said matches it far better: a false premise.
    """

    entries: list[Entry]
    asked: frozenset[str]
    weights: Mapping[str, float]
    is_swapped: bool = False

    def match(self, text: str) -> float:
        """How much of the question a text says."""
        # fsum: the order of a set differs between processes, and a plain sum depends on it in its last bit
        return math.fsum(self.weights[word] for word in self.asked & stems(text))


def find_evidence(question: str, entries: Sequence[Entry]) -> Evidence:
    """Rank `entries` by the question's words that they say, each weighted by its rarity among them.

    Where the question names somebody who speaks in the entries, what others said is left out: a question
    about the wrong person is the usual false premise, and word overlap alone cannot tell. Among matches that
    are about equal the newest comes first.
    """
    named = {name for entry in entries if (name := speaker(entry)) and name in question}
    asked = stems(question) - stems(" ".join(named)) if named else stems(question)
    counts = Counter(word for entry in entries for word in asked & stems(entry["text"]))
    weights = {word: math.log1p(len(entries) / counts[word]) if counts[word] else 0.0 for word in asked}
    evidence = Evidence([], asked, weights)
    own, others = [], 0.0
    for i, entry in enumerate(entries):
        score = evidence.match(entry["text"])
        if named and speaker(entry) not in named:
            others = max(others, score)
        elif score > 0:
            own.append((score, i, entry))
    best = max((score for score, _, _ in own), default=0.0)
    own.sort(key=lambda row: (row[0] < NEAR_BEST * best, *_order(row, NEAR_BEST * best)))
    return Evidence([entry for _, _, entry in own], asked, weights, others > SWAPPED * best)


def speaker(entry: Entry) -> str:
    """Who said an entry, ``""`` where it does not begin with a name and a colon."""
    name, colon, _ = entry["text"].partition(": ")
    return name if colon and len(name) <= MAX_NAME else ""


def said(entry: Entry) -> str:
    """What was said, without the speaker."""
    return entry["text"].split(": ", 1)[-1] if speaker(entry) else entry["text"]


def written(entry: Entry) -> date | None:
    """The day that an entry was said, None where it does not say."""
    try:
        return date.fromisoformat(str(load_attrs(entry["attrs"]).get("time", ""))[:10])
    except ValueError:
        return None


def _order(row: tuple[float, int, Entry], near: float) -> tuple[Any, ...]:
    """Newest first among the near-best, best first among the others; then as given."""
    score, i, entry = row
    return ([-part for part in _age(entry)], -score, i) if score >= near else ([], -score, i)


def _age(entry: Entry) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(load_attrs(entry["attrs"]).get("time", "")))]
