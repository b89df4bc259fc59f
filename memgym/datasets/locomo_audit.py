"""The public audit of LoCoMo's labels: which are wrong, and what is right instead."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from memgym.datasets.base import DatasetInfo, check_size, read_as_it_is, verify
from memgym.datasets.locomo import Conversation
from memgym.datasets.schema import field, kind_of, load_json
from memgym.errors import DatasetCorrupt

__all__ = ["INFO", "KINDS", "Defect", "apply_audit", "load_locomo_audit", "parse_locomo_audit"]

INFO = DatasetInfo(
    name="locomo_audit",
    file="errors.json",
    url="https://raw.githubusercontent.com/dial481/locomo-audit/9493fb4b4af4256ed17a18e8fd0b3cfdeec29539/errors.json",
    revision="9493fb4b",
    sha256="f298ef46263fada20688a1d672be37d4f488c6da3b19343eea55ae5c1b5fe55e",
    nbytes=150_552,
    licence="CC BY-NC 4.0",
    citation="dial481, locomo-audit: an audit of LoCoMo's ground truth, 2026",
    description="156 reviewed label defects of LoCoMo, 99 of which change scores, and what is right instead",
    home="https://github.com/dial481/locomo-audit",
)

CITATION = "WRONG_CITATION"
KINDS = (CITATION, "HALLUCINATION", "TEMPORAL_ERROR", "ATTRIBUTION_ERROR", "AMBIGUOUS", "INCOMPLETE")
MAX_BYTES = 8 << 20
ID = re.compile(r"locomo_(\d{1,3})_qa(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Defect:
    """A question whose label is wrong.

    Attributes:
        conversation: its place in LoCoMo's file, from 0.
        question: the place of the question in the conversation's list, from 0.
        text: the question.
        kind: one of `KINDS`.
        answer: what is right; for some questions an explanation of why the published answer is not.
        evidence: ids of the turns that it follows from.
        reason: why, in the auditor's words.
    """

    conversation: int
    question: int
    text: str
    kind: str
    answer: str
    evidence: tuple[str, ...]
    reason: str

    @property
    def changes_scores(self) -> bool:
        """Whether the answer is wrong, not the cited evidence alone."""
        return self.kind != CITATION


def load_locomo_audit(path: str | os.PathLike[str] | None = None) -> tuple[Defect, ...]:
    """Read the audit from `path`, or from where `DatasetInfo.find` finds the file.

    Raises:
        DatasetMissing: the file is not on this machine; the message says how to get it.
        DatasetCorrupt: the file does not follow the schema (the message names the record) or is not the
            published one.
    """
    return read_as_it_is(INFO.find(path), _load)


@lru_cache(maxsize=2)
def _load(path: Path, nbytes: int, mtime_ns: int) -> tuple[Defect, ...]:
    check_size(path, nbytes, MAX_BYTES)
    defects = tuple(parse_locomo_audit(path.read_bytes(), str(path)))
    verify(INFO, path)
    return defects


def parse_locomo_audit(data: bytes, source: str = "the audit") -> list[Defect]:
    """Read defects in the audit's format.

    Raises:
        DatasetCorrupt: not JSON, or not the schema; the message names the record.
    """
    records = load_json(data, source)
    if not isinstance(records, list) or not records:
        raise DatasetCorrupt(f"{source}: expected a list of defects, found {kind_of(records)}.")
    defects = [_defect(record, f"{source}, record {i}") for i, record in enumerate(records)]
    places = Counter((defect.conversation, defect.question) for defect in defects)
    (place, count) = places.most_common(1)[0]
    if count > 1:
        raise DatasetCorrupt(f"{source}: two records are about locomo_{place[0]}_qa{place[1]}.")
    return defects


def _defect(record: Any, where: str) -> Defect:
    id = field(record, "question_id", str, where)
    match = ID.fullmatch(id)
    if match is None:
        raise DatasetCorrupt(f"{where}: question_id {id[:40]!r} is not of the form 'locomo_0_qa12'.")
    where = f"{where} ({id})"
    kind = field(record, "error_type", str, where)
    if kind not in KINDS:
        raise DatasetCorrupt(f"{where}: error_type {kind[:40]!r} is none of {', '.join(KINDS)}.")
    evidence = field(record, "correct_evidence", list, where)
    for each in evidence:
        if not isinstance(each, str):
            raise DatasetCorrupt(f"{where}: correct_evidence has {kind_of(each)}, not str.")
    return Defect(
        int(match[1]),
        int(match[2]),
        field(record, "question", str, where),
        kind,
        field(record, "correct_answer", str, where),
        tuple(evidence),
        field(record, "reasoning", str, where),
    )


def apply_audit(conversations: Sequence[Conversation], defects: Sequence[Defect]) -> list[Conversation]:
    """The same conversations with the corrected answers and evidence.

    Raises:
        DatasetCorrupt: a defect is about another question than the one in its place, or names a turn that does
            not exist.
    """
    questions = [list(conversation.questions) for conversation in conversations]
    turns = [{turn.id for session in each.sessions for turn in session.turns} for each in conversations]
    for defect in defects:
        where = f"the audit of locomo_{defect.conversation}_qa{defect.question}"
        if defect.conversation >= len(questions) or defect.question >= len(questions[defect.conversation]):
            raise DatasetCorrupt(f"{where}: there is no such question.")
        asked = questions[defect.conversation]
        question = asked[defect.question]
        if question.text != defect.text:
            raise DatasetCorrupt(
                f"{where} is about {defect.text[:60]!r}, the question is {question.text[:60]!r}."
            )
        unknown = [id for id in defect.evidence if id not in turns[defect.conversation]]
        if unknown:
            raise DatasetCorrupt(f"{where}: there is no turn {unknown[0][:20]!r}.")
        asked[defect.question] = replace(question, answer=defect.answer, evidence=defect.evidence)
    return [
        replace(conversation, questions=tuple(asked))
        for conversation, asked in zip(conversations, questions, strict=True)
    ]
