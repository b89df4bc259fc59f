"""LoCoMo: ten very long conversations with 1,986 questions; a strict reader of its file."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from memgym.datasets.base import DatasetInfo, check_size, read_as_it_is, verify
from memgym.datasets.schema import check_text, field, kind_of, load_json
from memgym.errors import DatasetCorrupt
from memgym.scoring.locomo import CATEGORIES
from memgym.stream import MONTHS

__all__ = [
    "INFO",
    "Conversation",
    "LoCoMoQuestion",
    "Session",
    "Turn",
    "load_locomo",
    "parse_locomo",
]

INFO = DatasetInfo(
    name="locomo10",
    file="locomo10.json",
    url="https://raw.githubusercontent.com/snap-research/locomo/main/data/locomo10.json",
    revision="3eb6f2c5",
    sha256="79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
    nbytes=2_805_274,
    licence="CC BY-NC 4.0",
    citation="Maharana et al., Evaluating Very Long-Term Conversational Memory of LLM Agents, ACL 2024",
    description="10 conversations over months (272 sessions, 5,882 turns) and 1,986 questions about them",
    home="https://github.com/snap-research/locomo",
)

MAX_BYTES = 32 << 20
SESSION = re.compile(r"session_([1-9]\d{0,3})")
DATE = re.compile(r"(\d{1,2}):(\d\d) (am|pm) on (\d{1,2}) ([A-Z][a-z]+), (\d{4})")
EVIDENCE = re.compile(r"D:?(\d{1,4}):(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn; `caption` describes the picture that it shares, ``""`` where it shares none."""

    id: str
    speaker: str
    text: str
    caption: str = ""

    @property
    def shown_text(self) -> str:
        """The words and, in brackets, the picture."""
        return f"{self.text} [shares {self.caption}]" if self.caption else self.text


@dataclass(frozen=True, slots=True)
class Session:
    """Turns of one sitting; `time` is ISO 8601, e.g. ``"2023-05-08T13:56"``."""

    number: int
    time: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class LoCoMoQuestion:
    """A question with its repaired evidence.

    `answer` is the file's answer as text, ``""`` for the questions of category 5 that have none;
    `adversarial_answer` is the trap of category 5.
    """

    text: str
    category: int
    answer: str
    evidence: tuple[str, ...]
    adversarial_answer: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Two speakers, their sessions in order, and the questions in the order of the file."""

    id: str
    speakers: tuple[str, str]
    sessions: tuple[Session, ...]
    questions: tuple[LoCoMoQuestion, ...]


def load_locomo(path: str | os.PathLike[str] | None = None) -> list[Conversation]:
    """Read the ten conversations from `path`, or from where `DatasetInfo.find` finds the file.

    Raises:
        DatasetMissing: the file is not on this machine; the message says how to get it.
        DatasetCorrupt: the file does not follow the schema (the message names the record) or is not the
            published one.
    """
    return list(read_as_it_is(INFO.find(path), _load))


@lru_cache(maxsize=2)  # the parsed data is immutable, so all environments of a process can share it
def _load(path: Path, nbytes: int, mtime_ns: int) -> tuple[Conversation, ...]:
    check_size(path, nbytes, MAX_BYTES)
    # the schema comes before the checksum: "qa 17: category 7" tells more than two checksums do
    conversations = tuple(parse_locomo(path.read_bytes(), str(path)))
    verify(INFO, path)
    return conversations


def parse_locomo(data: bytes, source: str = "LoCoMo") -> list[Conversation]:
    """Read conversations in LoCoMo's format, whatever their number.

    Args:
        data: the JSON text.
        source: name of the file, for messages.

    Raises:
        DatasetCorrupt: not JSON, or not the schema; the message names the record. Questions are counted from
            0, as in the file's list.
    """
    records = load_json(data, source)
    if not isinstance(records, list) or not records:
        raise DatasetCorrupt(f"{source}: expected a list of conversations, found {kind_of(records)}.")
    conversations = [_conversation(record, f"record {i}") for i, record in enumerate(records)]
    repeated = [id for id, n in Counter(each.id for each in conversations).items() if n > 1]
    if repeated:
        raise DatasetCorrupt(f"{source}: two conversations are called {repeated[0]!r}.")
    return conversations


def _conversation(record: Any, where: str) -> Conversation:
    id = field(record, "sample_id", str, where)
    where = f"conversation {id[:64]}"
    talk = field(record, "conversation", dict, where)
    speakers = (field(talk, "speaker_a", str, where), field(talk, "speaker_b", str, where))
    # "session_20_date_time" without a "session_20", as in conv-26, dates nothing and is passed over
    numbers = sorted(int(match[1]) for key in talk if (match := SESSION.fullmatch(key)))
    if not numbers:
        raise DatasetCorrupt(f"{where}: there is no session.")
    sessions = tuple(_session(talk, n, speakers, f"{where}, session_{n}") for n in numbers)
    ids = Counter(turn.id for session in sessions for turn in session.turns)
    repeated = [turn_id for turn_id, n in ids.items() if n > 1]
    if repeated:
        raise DatasetCorrupt(f"{where}: two turns have the dia_id {repeated[0]!r}.")
    questions = enumerate(field(record, "qa", list, where))
    return Conversation(
        id, speakers, sessions, tuple(_question(qa, set(ids), f"{where}, qa {i}") for i, qa in questions)
    )


def _session(talk: dict[str, Any], number: int, speakers: tuple[str, str], where: str) -> Session:
    date = field(talk, f"session_{number}_date_time", str, where)
    turns = []
    for i, record in enumerate(field(talk, f"session_{number}", list, where)):
        place = f"{where}, turn {i}"
        id, speaker = field(record, "dia_id", str, place), field(record, "speaker", str, place)
        if not re.fullmatch(rf"D{number}:[1-9]\d{{0,3}}", id):
            raise DatasetCorrupt(f"{place}: dia_id {id[:40]!r} is not of the form 'D{number}:7'.")
        if speaker not in speakers:
            raise DatasetCorrupt(f"{place}: speaker {speaker[:40]!r} is neither of {speakers}.")
        caption = field(record, "blip_caption", str, place) if "blip_caption" in record else ""
        turns.append(Turn(id, speaker, field(record, "text", str, place), caption))
    return Session(number, _iso_time(date, where), tuple(turns))


def _iso_time(date: str, where: str) -> str:
    """``"1:56 pm on 8 May, 2023"`` as ``"2023-05-08T13:56"``; not by strptime, which follows the locale."""
    try:
        hour, minute, half, day, month, year = DATE.fullmatch(date).groups()  # type: ignore[union-attr]
        if not 1 <= int(hour) <= 12:
            raise ValueError
        hours = int(hour) % 12 + 12 * (half == "pm")
        time = datetime(int(year), MONTHS.index(month) + 1, int(day), hours, int(minute))
    except (AttributeError, ValueError):
        raise DatasetCorrupt(f"{where}: {date[:40]!r} is not a time like '1:56 pm on 8 May, 2023'.") from None
    return time.isoformat(timespec="minutes")


def _question(record: Any, turn_ids: set[str], where: str) -> LoCoMoQuestion:
    text, category = field(record, "question", str, where), field(record, "category", int, where)
    if category not in CATEGORIES:
        raise DatasetCorrupt(f"{where}: category {category} is not 1 to 5.")
    answer = record.get("answer", "") if category == 5 else record.get("answer")
    if type(answer) not in (str, int):
        raise DatasetCorrupt(f"{where}: 'answer' is {kind_of(answer)}, not str or int.")
    check_text(answer := str(answer), f"{where}: 'answer'")
    evidence = field(record, "evidence", list, where)
    for each in evidence:
        if not isinstance(each, str):
            raise DatasetCorrupt(f"{where}: evidence {kind_of(each)} is not str.")
    trap = field(record, "adversarial_answer", str, where) if category == 5 else ""
    return LoCoMoQuestion(text, category, answer, _repair(evidence, turn_ids), trap)


def _repair(evidence: list[str], turn_ids: set[str]) -> tuple[str, ...]:
    """The ids of existing turns in `evidence`, where some strings hold several ids or a slip.

    ``"D8:6; D9:17"`` is two ids, ``"D:11:26"`` is D11:26, ``"D30:05"`` is D30:5. What names no turn of the
    conversation (``"D"``, a turn that does not exist) is dropped.
    """
    found = [f"D{int(session)}:{int(turn)}" for each in evidence for session, turn in EVIDENCE.findall(each)]
    return tuple(id for id in dict.fromkeys(found) if id in turn_ids)
