"""Reading bAbI's files: small ones in its format, with every fault named, and the real ones."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from memgym.datasets.babi import INFO, TASKS, load_babi, parse_babi
from memgym.datasets.base import import_file, verify
from memgym.errors import DatasetCorrupt, DatasetMissing

SMALL = (
    "1 Mary went to the kitchen.\n"
    "2 John is in the park.\n"
    "3 Where is Mary? \tkitchen\t1\n"
    "1 The hall is west of the den.\n"
    "2 How do you go from the den to the hall?|w|1\n"
)


@pytest.fixture(scope="module")
def folder(real_data: Callable[[str], Path]) -> Path:
    return real_data("babi_en_1k")


def test_stories_start_again_from_line_1_and_both_separators_are_read() -> None:
    first, second = parse_babi(SMALL.encode())
    assert [line.text for line in first] == [
        "Mary went to the kitchen.",
        "John is in the park.",
        "Where is Mary?",
    ]
    assert (first[2].answer, first[2].evidence) == ("kitchen", (1,))
    assert (second[1].text, second[1].answer) == ("How do you go from the den to the hall?", "w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("3 Where", "Where"), r"line 3: expected '3 Mary went home.', found str 'Where is Mary"),
        (("3 Where", "4 Where"), r"line 3: the line has number 4, which continues no story"),
        (("1 Mary", "2 Mary"), r"line 1: the line has number 2, which continues no story"),
        (("\tkitchen\t1", "\tkitchen"), r"line 3: a question has an answer and evidence"),
        (("\tkitchen\t", "\t \t"), r"line 3: a question has an answer and evidence"),
        (("\tkitchen\t1", "\tkitchen\t3"), r"line 3: evidence '3' is no number of an earlier statement"),
        (("\tkitchen\t1", "\tkitchen\tone"), r"line 3: evidence 'one' is no number"),
        (("\tkitchen\t1", "\tkitchen\t"), r"line 3: evidence '' is no number"),
        ((" \tkitchen\t1", ""), r"story 1 has no question"),
        (("park", "p" * 2000), r"line 2 has 2,\d\d\d characters; more than 1000 are not read"),
        (("|1\n", "|1"), r"the last line, 5, does not end; the file is cut off"),
    ],
)
def test_a_broken_line_is_named(change: tuple[str, str], message: str) -> None:
    with pytest.raises(DatasetCorrupt, match=message):
        parse_babi(SMALL.replace(*change).encode())


@pytest.mark.parametrize("cut", range(1, len(SMALL)))
def test_a_file_cut_anywhere_is_refused_or_a_shorter_file(cut: int) -> None:
    """Where a line ends the rest is a file of its own kind, which only the checksum tells from the whole."""
    text = SMALL[:cut]
    whole = text.endswith("\n") and any(text.endswith(end) for end in ("\t1\n", "|1\n"))
    if whole:
        assert parse_babi(text.encode())
    else:
        with pytest.raises(DatasetCorrupt):
            parse_babi(text.encode())


def test_what_is_not_utf8_is_a_named_error() -> None:
    with pytest.raises(DatasetCorrupt, match="mine is not UTF-8"):
        parse_babi(b"1 \xff\n", "mine")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "qa1_single-supporting-fact_train.txt"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # sparse: takes no room
    with pytest.raises(DatasetCorrupt, match=r"1,073,741,824 bytes; more than 16,777,216 are not read"):
        load_babi(1, "train", tmp_path)


def test_a_missing_folder_and_a_missing_file_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"memgym data get babi_en_1k --from FOLDER"):
        load_babi(1, "train", tmp_path / "none")
    with pytest.raises(DatasetMissing, match=r"qa1_single-supporting-fact_train\.txt"):
        load_babi(1, "train", tmp_path)


def test_a_well_formed_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "qa1_single-supporting-fact_test.txt").write_text(SMALL)
    with pytest.raises(DatasetCorrupt, match=r"expected 94,477 bytes"):
        load_babi(1, "test", tmp_path)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match="1 to 20, not 21"):
        load_babi(21, "train")


def test_the_parts_add_up_to_the_dataset() -> None:
    lines = [f"{part.file} {part.sha256}" for part in sorted(INFO.parts, key=lambda part: part.file)]
    assert len(lines) == 40
    assert sha256("\n".join(lines).encode()).hexdigest() == INFO.sha256
    assert sum(part.nbytes for part in INFO.parts) == INFO.nbytes


# ---------------------------------------------------------------------- the real files


def test_every_real_file_is_the_published_one(folder: Path) -> None:
    verify(INFO, folder)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_thousand_questions_with_evidence(folder: Path, task: int, split: str) -> None:
    questions = [line for story in load_babi(task, split, folder) for line in story if line.answer]
    assert len(questions) == 1000
    assert all(line.evidence for line in questions)


def test_a_changed_letter_in_a_real_file_is_found(folder: Path, tmp_path: Path) -> None:
    name = "qa15_basic-deduction_test.txt"
    (tmp_path / name).write_bytes((folder / name).read_bytes().replace(b"wolf", b"Wolf", 1))
    with pytest.raises(DatasetCorrupt, match="sha256"):
        load_babi(15, "test", tmp_path)


def test_a_copied_folder_is_found_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    assert import_file(INFO, folder) == INFO.find()
    assert len(load_babi(20, "test")) > 50
