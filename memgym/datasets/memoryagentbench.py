"""MemoryAgentBench: one long text, read once, and many questions; a strict reader of its four files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from memgym.datasets.base import DatasetInfo, check_size, read_as_it_is, verify
from memgym.datasets.schema import check_text, field, kind_of, load_json
from memgym.errors import DatasetCorrupt, DependencyMissing

__all__ = [
    "ACCURATE_RETRIEVAL",
    "COMPETENCIES",
    "CONFLICT_RESOLUTION",
    "LONG_RANGE_UNDERSTANDING",
    "MOVIES",
    "TEST_TIME_LEARNING",
    "BenchRow",
    "BenchTask",
    "load_memoryagentbench",
    "load_movies",
    "parse_memoryagentbench",
]

HOME = "https://huggingface.co/datasets/ai-hyz/MemoryAgentBench"
# sizes and checksums as several users of this revision have published them; not computed here, but for
# the conflict resolution file
REVISION = "7ea066982b140a19337e17e60d45d4076e042faf"
CITATION = "Hu et al., Evaluating Memory in LLM Agents via Incremental Multi-Turn Interactions, ICLR 2026"


def _info(name: str, file: str, sha256: str, nbytes: int, description: str) -> DatasetInfo:
    url = f"{HOME}/resolve/{REVISION}/{file}"
    return DatasetInfo(
        name=f"memoryagentbench_{name}",
        file=file.rpartition("/")[2],
        url=url,
        revision=REVISION[:8],
        sha256=sha256,
        nbytes=nbytes,
        licence="MIT",
        citation=CITATION,
        description=description,
        home=HOME,
    )


CONFLICT_RESOLUTION = DatasetInfo(
    name="memoryagentbench_fc",
    file="Conflict_Resolution.json",
    url="https://raw.githubusercontent.com/DSAIL-Memory/EvoMemBench/aa4cea8fd936b76b2d3591d3ef897030617dc43a/"
    "In-Episode-Knowledge/INEP-KNOW/MemoryAgentBench/data/Conflict_Resolution.json",
    revision="aa4cea8f",
    sha256="d5168e94cba99744e35031c1e6419e6090d63978f5addc9163d56704a78c7acd",
    nbytes=3_293_442,
    licence="MIT",
    citation=CITATION,
    description="conflict resolution: 8 lists of 455 to 18,332 numbered facts, newer ones win, 100 questions on each",
    home=HOME,
)
ACCURATE_RETRIEVAL = _info(
    "ar",
    "data/Accurate_Retrieval-00000-of-00001.parquet",
    "56c3cd80fb6731a3e53cd1a6be3148f54df60ff2d290ee50e28f8acebf9655c1",
    20_024_386,
    "accurate retrieval: 22 long texts (documents, chats, novels) with questions on each",
)
TEST_TIME_LEARNING = _info(
    "ttl",
    "data/Test_Time_Learning-00000-of-00001.parquet",
    "5338753be48f925d03318eed66117286e3489025fabe050a547bd086cd7d79c0",
    3_947_476,
    "test-time learning: 5 label codes to learn from thousands of examples, and film recommendation",
)
LONG_RANGE_UNDERSTANDING = _info(
    "lru",
    "data/Long_Range_Understanding-00000-of-00001.parquet",
    "5ab175461954db67770d4a4cb69e569b513ebb96aceb9ee79b57f67488bcd539",
    49_342_452,
    "long-range understanding: 110 novels to summarise or to solve",
)
MOVIES = _info(
    "movies",
    "entity2id.json",
    "63353aca481bc9558b502f91cb98f6fa26438796fdd7e0bc06b5a1532126e8b5",
    1_758_081,
    "film names by number, needed for the film recommendations of test-time learning",
)
COMPETENCIES: Mapping[str, DatasetInfo] = {
    "accurate_retrieval": ACCURATE_RETRIEVAL,
    "test_time_learning": TEST_TIME_LEARNING,
    "long_range_understanding": LONG_RANGE_UNDERSTANDING,
    "conflict_resolution": CONFLICT_RESOLUTION,
}

MAX_BYTES = 128 << 20  # of a file
MAX_UNPACKED = 1 << 30  # of a Parquet file, as its footer declares
MAX_CONTEXT = 32 << 20  # characters of one text; a novel has 4 million
MAX_QUESTION = 1 << 18  # a question may hold a whole dialogue, an answer a summary
COLUMNS = ["context", "questions", "answers"]
DETAILS = ["source", "qa_pair_ids", "question_types", "question_dates", "keypoints"]  # of "metadata"


@dataclass(frozen=True, slots=True)
class BenchTask:
    """A question with all its right answers; `type` and `date` are ``""`` where the file gives none."""

    id: str
    text: str
    answers: tuple[str, ...]
    type: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A text and its questions; `source` names the sub-dataset, e.g. ``"factconsolidation_mh_6k"``.

    `keypoints` are what a summary should hold (``infbench_sum``), for a judge.
    """

    source: str
    context: str
    questions: tuple[BenchTask, ...]
    keypoints: tuple[str, ...] = ()


def load_memoryagentbench(
    competency: str, path: str | os.PathLike[str] | None = None
) -> tuple[BenchRow, ...]:
    """The texts and questions of one competency.

    Args:
        competency: a key of `COMPETENCIES`.
        path: your own file of that format, JSON or Parquet; None: the published one, looked for in
            ``$MEMGYM_DATA`` and the cache.

    Raises:
        ValueError: no such competency.
        DatasetMissing: the file is not on this machine; the message says how to get it.
        DatasetCorrupt: the file does not follow the schema (the message names the record), or one found by its
            name is not the published one.
        DependencyMissing: a Parquet file, and pyarrow is not installed.
    """
    if competency not in COMPETENCIES:
        raise ValueError(f"competency is one of {', '.join(COMPETENCIES)}, not {competency!r}.")
    info = COMPETENCIES[competency]
    found = info.find(path)
    rows = read_as_it_is(found, _load)
    if path is None:
        verify(info, found)
    return rows


@lru_cache(maxsize=4)
def _load(path: Path, nbytes: int, mtime_ns: int) -> tuple[BenchRow, ...]:
    check_size(path, nbytes, MAX_BYTES)
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    records = _parquet(path) if is_parquet else load_json(path.read_bytes(), str(path))
    return tuple(parse_memoryagentbench(records, str(path)))


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise DependencyMissing.for_extra("pyarrow", "parquet", "Reading a Parquet file") from None
    try:
        with parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            unpacked = sum(group.total_byte_size for group in groups)
            if unpacked > MAX_UNPACKED:
                raise DatasetCorrupt(
                    f"{path} unpacks to {unpacked:,} bytes; more than {MAX_UNPACKED:,} are not read."
                )
            # the chats that a text was made of stand there once more, as large as the text: not read
            return file.read([*COLUMNS, *(f"metadata.{name}" for name in DETAILS)]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DatasetCorrupt(f"{path} is not a Parquet file that can be read: {error}.") from None


def parse_memoryagentbench(records: Any, source: str = "MemoryAgentBench") -> list[BenchRow]:
    """Rows from what JSON or Parquet gave.

    Args:
        records: a list of ``{"context", "questions", "answers", "metadata"}``.
        source: name of the file, for messages.

    Raises:
        DatasetCorrupt: not the schema; the message names the record, counted from 0.
    """
    if not isinstance(records, list) or not records:
        raise DatasetCorrupt(f"{source}: expected a list of records, found {kind_of(records)}.")
    return [_row(record, f"record {i}") for i, record in enumerate(records)]


def _row(record: Any, where: str) -> BenchRow:
    metadata = field(record, "metadata", dict, where)
    source = field(metadata, "source", str, where)
    where = f"{where} ({source[:64]})"
    context = field(record, "context", str, where, MAX_CONTEXT)
    texts = field(record, "questions", list, where)
    answers = field(record, "answers", list, where)
    if not context.strip():
        raise DatasetCorrupt(f"{where}: 'context' is empty.")
    if not texts or len(texts) != len(answers):
        raise DatasetCorrupt(
            f"{where}: {len(texts)} questions and {len(answers)} answers; as many are needed."
        )
    ids, types, dates = (
        _listed(metadata, key, len(texts), where)
        for key in ("qa_pair_ids", "question_types", "question_dates")
    )
    questions = []
    for i, (text, golds) in enumerate(zip(texts, answers, strict=True)):
        place = f"{where}, question {i}"
        if not isinstance(text, str):
            raise DatasetCorrupt(f"{place} is {kind_of(text)}, not str.")
        check_text(text, place, MAX_QUESTION)
        id = ids[i] or f"{source}_no{i}"
        questions.append(BenchTask(id, text, _answers(golds, place), types[i], dates[i]))
    repeated = len({question.id for question in questions}) < len(questions)
    if repeated:
        raise DatasetCorrupt(f"{where}: two questions have the same id in 'qa_pair_ids'.")
    keypoints = metadata.get("keypoints") or []
    if not isinstance(keypoints, list) or not all(isinstance(each, str) for each in keypoints):
        raise DatasetCorrupt(f"{where}: 'keypoints' is {kind_of(keypoints)}, not a list of str.")
    return BenchRow(source, context, tuple(questions), tuple(keypoints))


def _listed(metadata: Mapping[str, Any], key: str, count: int, where: str) -> list[str]:
    """One text for each question; ``""`` where the file gives none."""
    values = metadata.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DatasetCorrupt(f"{where}: {key!r} is {kind_of(values)}, not a list of str.")
    if values and len(values) != count:
        raise DatasetCorrupt(f"{where}: {count} questions and {len(values)} of {key!r}; as many are needed.")
    return values or [""] * count


def _answers(golds: Any, where: str) -> tuple[str, ...]:
    golds = golds if isinstance(golds, list) else [golds]
    for gold in golds:
        if type(gold) not in (str, int):
            raise DatasetCorrupt(f"{where}: the answer {kind_of(gold)} is not str or int.")
        check_text(str(gold), f"{where}: the answer", MAX_QUESTION)
    if not golds:
        raise DatasetCorrupt(f"{where} has no answer.")
    return tuple(map(str, golds))


def load_movies(path: str | os.PathLike[str] | None = None) -> dict[int, str]:
    """Names of things by number, as the recommendation task of test-time learning refers to them.

    Raises:
        DatasetMissing: the file is not on this machine.
        DatasetCorrupt: it does not map names to numbers, or one found by its name is not the published one.
    """
    found = MOVIES.find(path)
    names = read_as_it_is(found, _movies)
    if path is None:
        verify(MOVIES, found)
    return dict(names)


@lru_cache(maxsize=1)
def _movies(path: Path, nbytes: int, mtime_ns: int) -> Mapping[int, str]:
    check_size(path, nbytes, MAX_BYTES)
    names = load_json(path.read_bytes(), str(path))
    if not isinstance(names, dict) or not names:
        raise DatasetCorrupt(f"{path}: expected an object of names and numbers, found {kind_of(names)}.")
    for name, number in names.items():
        if type(number) is not int:
            raise DatasetCorrupt(f"{path}: the number of {name[:60]!r} is {kind_of(number)}, not int.")
    return {number: name for name, number in names.items()}
