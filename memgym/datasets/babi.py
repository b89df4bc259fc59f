"""bAbI: twenty tasks of short stories with questions; a strict reader of its files."""

import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from memgym.datasets.base import DatasetInfo, check_size, read_as_it_is, verify
from memgym.datasets.schema import kind_of
from memgym.errors import DatasetCorrupt

__all__ = ["INFO", "TASKS", "BAbILine", "load_babi", "parse_babi"]

ORIGIN = "https://raw.githubusercontent.com/VinGarcia/bAbI/{revision}/tasks_1-20_v1-2/en/{file}"
REVISION = "c4f149baa4ecc4ba9096d2706e5be845a98680e6"
LICENCE = "CC BY 3.0"
CITATION = "Weston et al., Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks, ICLR 2016"
HOME = "https://github.com/facebookarchive/bAbI-tasks"

TASKS = {
    1: "single-supporting-fact",
    2: "two-supporting-facts",
    3: "three-supporting-facts",
    4: "two-arg-relations",
    5: "three-arg-relations",
    6: "yes-no-questions",
    7: "counting",
    8: "lists-sets",
    9: "simple-negation",
    10: "indefinite-knowledge",
    11: "basic-coreference",
    12: "conjunction",
    13: "compound-coreference",
    14: "time-reasoning",
    15: "basic-deduction",
    16: "basic-induction",
    17: "positional-reasoning",
    18: "size-reasoning",
    19: "path-finding",
    20: "agents-motivations",
}
"""The tasks by number, with the names that their files have."""

MAX_BYTES = 16 << 20  # the largest of the ten-thousand-question edition has 5 MB
MAX_LINE = 1000
LINE = re.compile(r"([1-9]\d{0,3}) (\S.*)")
# task 1 of this copy separates with "|" what the others separate with tabs
FIELDS = re.compile(r" ?[\t|]")


def _parts() -> tuple[DatasetInfo, ...]:
    listed = json.loads(Path(__file__).with_name("babi_files.json").read_text("utf-8"))
    return tuple(
        DatasetInfo(
            name="babi_en_1k",
            file=file,
            url=ORIGIN.format(revision=REVISION, file=file),
            revision=REVISION[:8],
            sha256=sha256,
            nbytes=nbytes,
            licence=LICENCE,
            citation=CITATION,
            description="one task",
            home=HOME,
        )
        for file, (nbytes, sha256) in listed.items()
    )


PARTS = _parts()
INFO = DatasetInfo(
    name="babi_en_1k",
    file="",
    url=ORIGIN.format(revision=REVISION, file=""),
    revision=REVISION[:8],
    sha256="579986a509c91553511e8ac9dbc03d1e9c28a3c907a97b5e898d34f5a420166c",
    nbytes=5_897_887,
    licence=LICENCE,
    citation=CITATION,
    description="bAbI v1.2 in English: 20 tasks with 1,000 questions to train on and 1,000 to test with",
    home=HOME,
    parts=PARTS,
)


@dataclass(frozen=True, slots=True)
class BAbILine:
    """One line of a story: a statement, or a question with its answer.

    Attributes:
        number: counted from 1 in each story.
        text: the statement or the question.
        answer: ``""`` for a statement; several things are separated by commas.
        evidence: numbers of the statements that the answer follows from.
    """

    number: int
    text: str
    answer: str = ""
    evidence: tuple[int, ...] = ()


def load_babi(
    task: int, split: str, path: str | os.PathLike[str] | None = None
) -> tuple[tuple[BAbILine, ...], ...]:
    """The stories of one task.

    Args:
        task: 1 to 20.
        split: ``"train"`` or ``"test"``.
        path: the folder with the files; None: looked for in ``$MEMGYM_DATA`` and the cache.

    Raises:
        ValueError: no such task.
        DatasetMissing: folder or file are not on this machine.
        DatasetCorrupt: the file does not follow the format (the message names the line) or is not the
            published one.
    """
    if task not in TASKS:
        raise ValueError(f"a bAbI task is 1 to 20, not {task}.")
    name = f"qa{task}_{TASKS[task]}_{split}.txt"
    (part,) = [each for each in PARTS if each.file == name]
    return read_as_it_is(part.find(INFO.find(path) / name), partial(_load, part))


@lru_cache(maxsize=40)
def _load(part: DatasetInfo, path: Path, nbytes: int, mtime_ns: int) -> tuple[tuple[BAbILine, ...], ...]:
    check_size(path, nbytes, MAX_BYTES)
    stories = tuple(parse_babi(path.read_bytes(), str(path)))
    verify(part, path)
    return stories


def parse_babi(data: bytes, source: str = "bAbI") -> list[tuple[BAbILine, ...]]:
    """Read stories in bAbI's format: numbered lines, which start again from 1 with each story.

    Args:
        data: the text.
        source: name of the file, for messages.

    Raises:
        DatasetCorrupt: not the format; the message names the line of the file, counted from 1.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DatasetCorrupt(f"{source} is not UTF-8: {error}.") from None
    stories: list[list[BAbILine]] = []
    told: set[str] = set()  # numbers of the current story's statements
    lines = text.split("\n")
    if lines.pop() or not lines:
        raise DatasetCorrupt(f"{source}: the last line, {len(lines) + 1}, does not end; the file is cut off.")
    for i, raw in enumerate(lines, 1):
        where = f"{source}, line {i}"
        if len(raw) > MAX_LINE:
            raise DatasetCorrupt(f"{where} has {len(raw):,} characters; more than {MAX_LINE} are not read.")
        match = LINE.fullmatch(raw)
        if match is None:
            raise DatasetCorrupt(f"{where}: expected '3 Mary went home.', found {kind_of(raw)}.")
        number = int(match[1])
        if number == 1:
            stories.append([])
            told.clear()
        elif not stories or number != stories[-1][-1].number + 1:
            raise DatasetCorrupt(f"{where}: the line has number {number}, which continues no story.")
        line = _line(number, match[2], told, where)
        stories[-1].append(line)
        if not line.answer:
            told.add(match[1])
    asked = [any(line.answer for line in story) for story in stories]
    if not all(asked):
        raise DatasetCorrupt(f"{source}: story {asked.index(False) + 1} has no question.")
    return [tuple(story) for story in stories]


def _line(number: int, text: str, told: set[str], where: str) -> BAbILine:
    parts = FIELDS.split(text)
    if len(parts) == 1:
        return BAbILine(number, text.rstrip())
    if len(parts) != 3 or not parts[1].strip():
        raise DatasetCorrupt(f"{where}: a question has an answer and evidence, found {kind_of(text)}.")
    evidence = parts[2].split()
    strange = [number for number in evidence if number not in told]
    if strange or not evidence:
        raise DatasetCorrupt(f"{where}: evidence {parts[2][:40]!r} is no number of an earlier statement.")
    return BAbILine(number, parts[0].rstrip(), parts[1].strip(), tuple(dict.fromkeys(map(int, evidence))))
