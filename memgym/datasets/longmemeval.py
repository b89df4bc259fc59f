"""LongMemEval: 500 questions, each about a chat history of its own; a strict reader that holds one at a time."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from memgym.datasets.base import DatasetInfo, cache_dir, read_as_it_is, verify
from memgym.datasets.json_records import iter_records
from memgym.datasets.schema import field, kind_of, load_json
from memgym.errors import DatasetCorrupt, DatasetError

__all__ = [
    "KNOWN_DEFECTS",
    "LONGMEMEVAL_M",
    "LONGMEMEVAL_ORACLE",
    "LONGMEMEVAL_S",
    "TYPES",
    "VARIANTS",
    "ChatSession",
    "ChatTurn",
    "LongMemEvalFile",
    "LongMemEvalQuestion",
    "RecordPlace",
    "iso_time",
    "open_longmemeval",
    "parse_longmemeval",
]

HOME = "https://huggingface.co/datasets/xiaowu0162/longmemeval-cleaned"
# sizes and checksums as several users of this revision have published them; not computed here
REVISION = "98d7416c24c778c2fee6e6f3006e7a073259d48f"


def _info(name: str, file: str, sha256: str, nbytes: int, description: str) -> DatasetInfo:
    return DatasetInfo(
        name=f"longmemeval_{name}",
        file=file,
        url=f"{HOME}/resolve/{REVISION}/{file}",
        revision=REVISION[:8],
        sha256=sha256,
        nbytes=nbytes,
        licence="MIT",
        citation="Wu et al., LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory, ICLR 2025",
        description=description,
        home=HOME,
    )


LONGMEMEVAL_S = _info(
    "s",
    "longmemeval_s_cleaned.json",
    "d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
    277_383_467,
    "500 questions, each about its own history of about 50 chat sessions (115,000 tokens)",
)
LONGMEMEVAL_M = _info(
    "m",
    "longmemeval_m_cleaned.json",
    "9d79e5524794a2e6900a3aa9cb7d9152c5a3e8319c9a87c25494ba1eacee495f",
    2_737_100_077,
    "the same questions, each about a history of about 500 chat sessions (1.5 million tokens)",
)
LONGMEMEVAL_ORACLE = _info(
    "oracle",
    "longmemeval_oracle.json",
    "821a2034d219ab45846873dd14c14f12cfe7776e73527a483f9dac095d38620c",
    15_388_478,
    "the same questions with nothing but the sessions that hold the evidence",
)
VARIANTS: Mapping[str, DatasetInfo] = {"s": LONGMEMEVAL_S, "m": LONGMEMEVAL_M, "oracle": LONGMEMEVAL_ORACLE}

TYPES = (
    "single-session-user",
    "single-session-assistant",
    "single-session-preference",
    "multi-session",
    "temporal-reasoning",
    "knowledge-update",
)
ISSUES = "github.com/xiaowu0162/LongMemEval/issues"
KNOWN_DEFECTS: Mapping[str, str] = {
    "a3332713": f"{ISSUES}/11: the history adds up to another sum (corrected in the cleaned files)",
    "ad7109d1": f"{ISSUES}/12: a later session gives another value (corrected in the cleaned files)",
    "370a8ff4": f"{ISSUES}/19 and /40: the dates give another number of weeks",
    "eac54add": f"{ISSUES}/37: the evidence is another session",
    "gpt4_88806d6e": f"{ISSUES}/40: the history gives another order",
    "9aaed6a3": f"{ISSUES}/50: the weekday of the question is not that of the evidence",
    "gpt4_f420262d": f"{ISSUES}/50: the date of the evidence is not that of the question",
}
"""Questions whose label somebody has shown to be wrong, and where."""

ABSTENTION = "_abs"  # how the id of a question without an answer ends
DATE = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2}) \([A-Z][a-z]{2}\) (\d{1,2}):(\d\d)")
MAX_TURN = 1 << 20  # characters
INDEX_VERSION = 1


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What the user or the assistant said; `has_answer` marks the evidence."""

    role: str
    text: str
    has_answer: bool = False


@dataclass(frozen=True, slots=True)
class ChatSession:
    """One chat; `time` is ISO 8601, e.g. ``"2023-05-30T23:40"``. Ids may repeat within a history."""

    id: str
    time: str
    turns: tuple[ChatTurn, ...]


@dataclass(frozen=True, slots=True)
class LongMemEvalQuestion:
    """A question and its history.

    Attributes:
        id: ends in ``_abs`` where the history has no answer.
        type: one of `TYPES`.
        text: the question.
        answer: the gold as text; for a preference what a good answer takes into account, for a question without an
            answer why there is none.
        time: when it is asked, ISO 8601.
        sessions: the history in the order of time.
        evidence: ids of the sessions with the evidence.
    """

    id: str
    type: str
    text: str
    answer: str
    time: str
    sessions: tuple[ChatSession, ...]
    evidence: frozenset[str]

    @property
    def is_answerable(self) -> bool:
        """Whether the history has the answer."""
        return not self.id.endswith(ABSTENTION)


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where the record of a question stands in the file."""

    id: str
    type: str
    offset: int
    nbytes: int


class LongMemEvalFile:
    """A checked file from which any question can be read alone.

    Args:
        path: the file.
        places: of its records.
    """

    def __init__(self, path: Path, places: tuple[RecordPlace, ...]) -> None:
        self.path = path
        self.places = places

    def read(self, place: RecordPlace) -> LongMemEvalQuestion:
        """One question with its history.

        Raises:
            DatasetCorrupt: the file is not what it was when it was opened.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(place.offset)
                data = file.read(place.nbytes)
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read: {error.strerror}.") from error
        question = parse_longmemeval(data, str(self.path))
        if question.id != place.id:
            raise DatasetCorrupt(f"{self.path} has changed: it has {question.id} where {place.id} was.")
        return question


def open_longmemeval(variant: str, path: str | os.PathLike[str] | None = None) -> LongMemEvalFile:
    """Check a whole file, record by record, and return where its questions are.

    What was found is kept in the cache: a file of the same size and time of change is not checked again.

    Args:
        variant: a key of `VARIANTS`.
        path: your own file of that format; None: the published one, looked for in ``$MEMGYM_DATA`` and the cache.

    Raises:
        ValueError: no such variant.
        DatasetMissing: the file is not on this machine; the message says how to get it.
        DatasetCorrupt: a record does not follow the schema (the message names it), or a file found by its name is
            not the published one.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is one of {', '.join(VARIANTS)}, not {variant!r}.")
    info = VARIANTS[variant]
    found = info.find(path).resolve()
    published = info if path is None else None
    return LongMemEvalFile(found, read_as_it_is(found, partial(_places, published=published)))


@lru_cache(maxsize=8)
def _places(path: Path, nbytes: int, mtime_ns: int, published: DatasetInfo | None) -> tuple[RecordPlace, ...]:
    # the name says everything that the content depends on, so an index of another file is never taken
    key = f"{INDEX_VERSION}|{path}|{nbytes}|{mtime_ns}|{published.sha256 if published else ''}"
    index = cache_dir() / "index" / f"longmemeval-{sha256(key.encode()).hexdigest()[:32]}.json"
    try:
        return tuple(RecordPlace(**each) for each in json.loads(index.read_bytes()))
    except (OSError, ValueError, TypeError):
        pass  # none, or a damaged one: made anew
    places = []
    seen: set[str] = set()
    for number, (offset, data) in enumerate(iter_records(path, "question_id")):
        question = parse_longmemeval(data, f"{path}, record {number}")
        if question.id in seen:
            raise DatasetCorrupt(f"{path}, record {number}: a second question {question.id!r}.")
        seen.add(question.id)
        places.append(RecordPlace(question.id, question.type, offset, len(data)))
    if not places:
        raise DatasetCorrupt(f"{path} has no question.")
    if published:
        verify(published, path)
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        part = index.with_suffix(f".{os.getpid()}.tmp")
        part.write_text(json.dumps([asdict(place) for place in places]))
        part.replace(index)
    except OSError:
        pass  # a cache that cannot be written costs time, nothing else
    return tuple(places)


def parse_longmemeval(data: bytes, where: str = "LongMemEval") -> LongMemEvalQuestion:
    """Read one record. Fields that are not known are passed over.

    Args:
        data: its JSON text.
        where: name of the record, for messages; its question_id is added.

    Raises:
        DatasetCorrupt: not JSON, or not the schema; the message names the record, the session and the turn.
    """
    record = load_json(data, where)
    id = field(record, "question_id", str, where)
    where = f"{where} ({id[:64]})"
    type = field(record, "question_type", str, where)
    if type not in TYPES:
        raise DatasetCorrupt(f"{where}: question_type {type[:40]!r} is none of {', '.join(TYPES)}.")
    answer = str(field(record, "answer", (str, int, float), where))
    ids, dates, chats = (
        field(record, key, list, where)
        for key in ("haystack_session_ids", "haystack_dates", "haystack_sessions")
    )
    if not len(ids) == len(dates) == len(chats) or not chats:
        raise DatasetCorrupt(
            f"{where}: {len(ids)} haystack_session_ids, {len(dates)} haystack_dates and {len(chats)} "
            "haystack_sessions; as many of each are needed, and at least one."
        )
    sessions = [
        _session(id, date, chat, f"{where}, session {i}")
        for i, (id, date, chat) in enumerate(zip(ids, dates, chats, strict=True))
    ]
    evidence = field(record, "answer_session_ids", list, where)
    for each in evidence:
        if not isinstance(each, str):
            raise DatasetCorrupt(f"{where}: answer_session_ids has {kind_of(each)}, not str.")
    return LongMemEvalQuestion(
        id=id,
        type=type,
        text=field(record, "question", str, where),
        answer=answer,
        time=_time(field(record, "question_date", str, where), where),
        # the oracle file is not in the order of time; the sort is stable, so equal times keep theirs
        sessions=tuple(sorted(sessions, key=lambda session: session.time)),
        evidence=frozenset(evidence),
    )


def _session(id: Any, date: Any, chat: Any, where: str) -> ChatSession:
    if not isinstance(id, str) or not isinstance(date, str):
        raise DatasetCorrupt(f"{where}: id {kind_of(id)} and date {kind_of(date)} are not both str.")
    if not isinstance(chat, list):
        raise DatasetCorrupt(f"{where} is {kind_of(chat)}, not a list of turns.")
    turns = []
    for i, record in enumerate(chat):
        place = f"{where}, turn {i}"
        role = field(record, "role", str, place)
        if role not in ("user", "assistant"):
            raise DatasetCorrupt(f"{place}: role {role[:40]!r} is neither 'user' nor 'assistant'.")
        marked = record.get("has_answer") is not None and field(record, "has_answer", bool, place)
        turns.append(ChatTurn(role, field(record, "content", str, place, MAX_TURN), marked))
    return ChatSession(id, _time(date, where), tuple(turns))


def iso_time(date: str) -> str | None:
    """A date of LongMemEval's in ISO 8601; None where it is none.

    >>> iso_time("2023/05/30 (Tue) 23:40")
    '2023-05-30T23:40'
    """
    match = DATE.fullmatch(date)
    try:
        year, month, day, hour, minute = map(int, match.groups() if match else ())
        return datetime(year, month, day, hour, minute).isoformat(timespec="minutes")
    except ValueError:
        return None


def _time(date: str, where: str) -> str:
    time = iso_time(date)
    if time is None:
        raise DatasetCorrupt(f"{where}: {date[:40]!r} is not a time like '2023/05/30 (Tue) 23:40'.")
    return time
