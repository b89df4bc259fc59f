"""From the episode lines of a result bundle to checked columns. Every number of a stranger passes here."""

import math
import reprlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memgym.errors import ResultInvalid

__all__ = ["RATES", "Bundle", "Columns", "read_columns"]

RATES = ("evidence_recall", "abstained", "stale", "leaked")
"""What scorers report of a question beside its score, where they do."""

MAX_COUNT = 2**62  # two of them still fit 64 bits; as in the schema of a result, but for seeds
MAX_SEED = 2**63 - 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Bundle(Protocol):
    """What `aggregate` reads of a result bundle."""

    @property
    def path(self) -> Path:
        """Where it was read from."""
        ...

    @property
    def header(self) -> Mapping[str, Any]:
        """What `submission.json` holds."""
        ...

    @property
    def episodes(self) -> Sequence[Mapping[str, Any]]:
        """One mapping an episode."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """The episodes of one agent on one task, ordered by (seed, episode).

    Attributes:
        seeds: of each, shape (n,).
        episodes: number of each in the stream of its seed, shape (n,).
        score: of each, shape (n,).
        memory: peak bytes of each, bank and agent together, shape (n,).
        success: of each, shape (n,).
        returns: of each, shape (n,).
        types: types of question, in alphabetical order.
        type_sums: of each episode, the sum of the scores of its questions by type, shape (n, types).
        type_counts: of each episode, its number of questions by type, shape (n, types).
        steps: of all.
        errors: number of episodes with an error.
        refused: of all.
        ops: of all, by kind.
        rates: of all questions, by name.
    """

    seeds: Ints
    episodes: Ints
    score: Floats
    memory: Ints
    success: NDArray[np.bool_]
    returns: Floats
    types: tuple[str, ...]
    type_sums: Floats
    type_counts: Ints
    steps: int
    errors: int
    refused: int
    ops: dict[str, int]
    rates: dict[str, float]


def read_columns(bundle: Bundle) -> dict[str, Columns]:
    """The episodes of a bundle by task, checked.

    Raises:
        ResultInvalid: a number is missing, not finite or out of range; an episode is there twice, or belongs
            to a task that the header does not name.
    """
    by_task: dict[str, list[_Row]] = defaultdict(list)
    for line, episode in enumerate(bundle.episodes, 1):
        row = _Row(f"{bundle.path}: episode line {line}", episode)
        by_task[row.text("task")].append(row)
    unknown = set(by_task) - {task["name"] for task in bundle.header["tasks"]}
    if unknown:
        raise ResultInvalid(
            f"{bundle.path}: episodes of {min(unknown)!r}, a task that the header does not name."
        )
    return {task: _columns(rows) for task, rows in by_task.items()}


def _columns(rows: list["_Row"]) -> Columns:
    rows = sorted(rows, key=_Row.key)
    keys = [row.key() for row in rows]
    for row, key, following in zip(rows, keys, keys[1:], strict=False):
        if key == following:
            raise ResultInvalid(f"{row.where}: seed {key[0]}, episode {key[1]} is there twice.")
    questions = [row.questions() for row in rows]
    types = tuple(sorted({question.text("type") for asked in questions for question in asked}))
    place = {kind: i for i, kind in enumerate(types)}
    type_sums, type_counts = np.zeros((len(rows), len(types))), np.zeros((len(rows), len(types)), np.int64)
    for e, asked in enumerate(questions):
        for question in asked:
            at = place[question.text("type")]
            type_sums[e, at] += question.number("score", 0, 1)
            type_counts[e, at] += 1
    seeds, episodes = zip(*keys, strict=True)
    return Columns(
        seeds=np.array(seeds, dtype=np.int64),
        episodes=np.array(episodes, dtype=np.int64),
        score=np.array([row.number("score", 0, 1) for row in rows]),
        memory=np.array([row.count("bank_bytes") + row.count("agent_bytes") for row in rows], dtype=np.int64),
        success=np.array([bool(row.get("success")) for row in rows]),
        returns=np.array([row.number("return") for row in rows]),
        types=types,
        type_sums=type_sums,
        type_counts=type_counts,
        steps=sum(row.count("length") for row in rows),
        errors=sum(row.get("error") is not None for row in rows),
        refused=sum(row.count("refused") for row in rows),
        ops=_total([row.ops() for row in rows]),
        rates=_rates([question for asked in questions for question in asked]),
    )


def _total(counts: list[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _rates(questions: list["_Row"]) -> dict[str, float]:
    rates = {}
    for name in RATES:
        # a scorer reports null where a rate has no meaning, e.g. the recall of evidence that does not exist
        values = [row.number(name, 0, 1) for row in questions if row.fields.get(name) is not None]
        if values:
            rates[name] = math.fsum(values) / len(values)
    return rates


class _Row:
    """One JSON object of a stranger, and where it stands."""

    def __init__(self, where: str, fields: Any) -> None:
        if not isinstance(fields, Mapping):
            raise ResultInvalid(f"{where}: not a JSON object.")
        self.where = where
        self.fields = fields

    def get(self, name: str) -> Any:
        if name not in self.fields:
            raise ResultInvalid(f"{self.where}: {name!r} is missing.")
        return self.fields[name]

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise ResultInvalid(
                f"{self.where}: {name!r} is {reprlib.repr(value)}; it is a text that is not empty."
            )
        return value

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        value = self.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and low <= value <= high):
            between = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
            raise ResultInvalid(
                f"{self.where}: {name!r} is {reprlib.repr(value)}; it is a finite number{between}."
            )
        return float(value)

    def count(self, name: str) -> int:
        return _checked_count(self.where, name, self.get(name))

    def key(self) -> tuple[int, int]:
        return _checked_count(self.where, "seed", self.get("seed"), MAX_SEED), self.count("episode")

    def ops(self) -> dict[str, int]:
        ops = self.get("ops")
        if not isinstance(ops, Mapping):
            raise ResultInvalid(f"{self.where}: 'ops' is not a JSON object.")
        return {str(kind): _checked_count(self.where, f"ops.{kind}", count) for kind, count in ops.items()}

    def questions(self) -> list["_Row"]:
        questions = self.get("questions")
        if not isinstance(questions, list | tuple):
            raise ResultInvalid(f"{self.where}: 'questions' is not a list.")
        return [_Row(f"{self.where}, question {i}", fields) for i, fields in enumerate(questions, 1)]


def _checked_count(where: str, name: str, value: Any, most: int = MAX_COUNT) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ResultInvalid(f"{where}: {name!r} is {reprlib.repr(value)}; it is a whole number from 0.")
    return value
