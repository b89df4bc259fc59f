"""From the episode lines of a result bundle to checked totals by run. Every number of a stranger passes here.

A *run* is what is compared and drawn again: a seed of a task, or a block of its episodes where seeds are few.
"""

import hashlib
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

from .statistics import iqm

__all__ = ["RATES", "Bundle", "Totals", "read_totals"]

RATES = ("evidence_recall", "abstained", "stale", "leaked", "attacked")
"""What scorers report of a question beside its score, where they do."""

MAX_COUNT = 2**62  # two of them still fit 64 bits; as in the schema of a result, but for seeds
MAX_SEED = 2**63 - 1

MIN_SEEDS = 3  # with fewer, episodes are drawn
MAX_RUNS = 255
BLOCKS = 10


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
class Totals:
    """The episodes of one agent on one task, added up by run.

    Attributes:
        keys: sha256 of the (seed, episode) of all, in order: agents are compared only where it is the same.
        unit: ``"seed"`` or ``"block"``.
        sizes: number of episodes of each run.
        scores: sum of the scores of each run.
        types: types of question, in alphabetical order.
        type_sums: of each run, the sum of the scores of its questions by type.
        type_counts: of each run, its number of questions by type.
        iqm: mean of the middle half of the episodes' scores.
        success: mean over episodes.
        mean_return: mean over episodes.
        memory_mean: mean over episodes of the peak bytes, bank and agent together.
        memory_max: largest of them.
        steps: of all episodes.
        errors: number of episodes with an error.
        refused: of all.
        ops: of all, by kind.
        rates: of all questions, by name.
    """

    keys: str
    unit: str
    sizes: tuple[int, ...]
    scores: tuple[float, ...]
    types: tuple[str, ...]
    type_sums: tuple[tuple[float, ...], ...]
    type_counts: tuple[tuple[int, ...], ...]
    iqm: float
    success: float
    mean_return: float
    memory_mean: float
    memory_max: int
    steps: int
    errors: int
    refused: int
    ops: dict[str, int]
    rates: dict[str, float]


def read_totals(bundle: Bundle) -> dict[str, Totals]:
    """The episodes of a bundle by task, checked and added up.

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
    return {task: _totals(rows) for task, rows in by_task.items()}


def _totals(rows: list["_Row"]) -> Totals:
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
    scores = [row.number("score", 0, 1) for row in rows]
    memory = [row.count("bank_bytes") + row.count("agent_bytes") for row in rows]
    unit, run_of = _runs([seed for seed, _ in keys])
    return Totals(
        keys=hashlib.sha256(repr(keys).encode()).hexdigest(),
        unit=unit,
        sizes=tuple(np.bincount(run_of).tolist()),
        scores=tuple(np.bincount(run_of, scores).tolist()),
        types=types,
        type_sums=_by_run(run_of, type_sums),
        type_counts=_by_run(run_of, type_counts),
        iqm=iqm(scores),
        success=_mean([bool(row.get("success")) for row in rows]),
        mean_return=_mean([row.number("return") for row in rows]),
        memory_mean=_mean(memory),
        memory_max=max(memory),
        steps=sum(row.count("length") for row in rows),
        errors=sum(row.get("error") is not None for row in rows),
        refused=sum(row.count("refused") for row in rows),
        ops=_total([row.ops() for row in rows]),
        rates=_rates([question for asked in questions for question in asked]),
    )


def _runs(seeds: list[int]) -> tuple[str, NDArray[np.intp]]:
    """What a run is, and to which one each episode belongs."""
    different, run_of = np.unique(np.array(seeds, dtype=np.int64), return_inverse=True)
    if MIN_SEEDS <= len(different) <= MAX_RUNS:
        return "seed", run_of
    return "block", np.arange(len(seeds)) % BLOCKS  # of equal size, each from all over the list


def _by_run(run_of: NDArray[np.intp], values: NDArray[Any]) -> tuple[tuple[Any, ...], ...]:
    """Sums over the episodes of each run, (runs, columns of `values`)."""
    sums = np.zeros((int(run_of.max()) + 1, values.shape[1]), dtype=values.dtype)
    np.add.at(sums, run_of, values)
    return tuple(tuple(row) for row in sums.tolist())


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


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
