"""Reading LoCoMo's file: a small one in its format, with every fault named, and the real one."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.datasets.locomo import INFO, MAX_BYTES, Conversation, load_locomo, parse_locomo
from memgym.errors import DatasetCorrupt

# ---------------------------------------------------------------------- a small file


def small() -> list[dict[str, Any]]:
    """One conversation in LoCoMo's format, with the oddities of the original."""
    return [
        {
            "sample_id": "conv-1",
            "conversation": {
                "speaker_a": "Ann",
                "speaker_b": "Bob",
                "session_10_date_time": "12:09 am on 13 September, 2023",
                "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "Bye."}],
                "session_2_date_time": "1:56 pm on 8 May, 2023",
                "session_2": [
                    {"speaker": "Ann", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a photo of a dog"},
                    {"speaker": "Bob", "dia_id": "D2:2", "text": "Nice. 🐕", "img_url": []},
                ],
                "session_11_date_time": "an orphan: there is no session 11",
            },
            "qa": [
                {"question": "When?", "answer": 2022, "evidence": ["D2:1"], "category": 2},
                {"question": "What?", "adversarial_answer": "A cat", "evidence": ["D2:2"], "category": 5},
            ],
        }
    ]


def parse(records: Any) -> list[Conversation]:
    return parse_locomo(json.dumps(records).encode())


def test_sessions_come_by_number_and_carry_iso_times() -> None:
    (conversation,) = parse(small())
    assert [(s.number, s.time) for s in conversation.sessions] == [
        (2, "2023-05-08T13:56"),
        (10, "2023-09-13T00:09"),
    ]


def test_a_shared_picture_is_shown_as_its_caption() -> None:
    first, second = parse(small())[0].sessions[0].turns
    assert first.shown_text == "Look! [shares a photo of a dog]"
    assert second.shown_text == "Nice. 🐕"


def test_a_number_as_answer_becomes_text_and_an_adversarial_question_keeps_its_trap() -> None:
    when, what = parse(small())[0].questions
    assert (when.answer, when.adversarial_answer) == ("2022", "")
    assert (what.answer, what.adversarial_answer) == ("", "A cat")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["D2:1"], ("D2:1",)),
        (["D2:1; D2:2"], ("D2:1", "D2:2")),
        (["D10:1 D2:2 D2:1"], ("D10:1", "D2:2", "D2:1")),
        (["D:2:1"], ("D2:1",)),
        (["D2:01"], ("D2:1",)),
        (["D2:1", "D2:1"], ("D2:1",)),
        (["D"], ()),
        (["D2:9", "D2:2"], ("D2:2",)),
        ([], ()),
    ],
)
def test_malformed_evidence_is_repaired_or_dropped(written: list[str], meant: tuple[str, ...]) -> None:
    records = small()
    records[0]["qa"][0]["evidence"] = written
    assert parse(records)[0].questions[0].evidence == meant


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("12:00 am on 1 January, 2024", "2024-01-01T00:00"),
        ("12:30 pm on 29 February, 2024", "2024-02-29T12:30"),
        ("11:59 pm on 31 December, 2022", "2022-12-31T23:59"),
    ],
)
def test_twelve_o_clock_and_leap_days_are_read_right(written: str, iso: str) -> None:
    records = small()
    records[0]["conversation"]["session_2_date_time"] = written
    assert parse(records)[0].sessions[0].time == iso


def set_at(*path: Any, value: Any) -> Callable[[list[Any]], Any]:
    """A fault: put `value` where `path` leads."""

    def spoil(records: list[Any]) -> None:
        place: Any = records
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return spoil


def delete_at(*path: Any) -> Callable[[list[Any]], Any]:
    """A fault: delete what `path` leads to."""

    def spoil(records: list[Any]) -> None:
        place: Any = records
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return spoil


TALK = (0, "conversation")
TURN = (0, "conversation", "session_2", 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_at(0, "qa", 1, "category", value=7), r"conversation conv-1, qa 1: category 7 is not 1 to 5"),
        (set_at(0, "qa", 1, "category", value=True), r"conv-1, qa 1: 'category' is bool 'True', not int"),
        (set_at(0, "qa", 0, "category", value="2"), r"conv-1, qa 0: 'category' is str '2', not int"),
        (set_at(0, "qa", 0, "question", value=None), r"conv-1, qa 0: 'question' is NoneType"),
        (set_at(0, "qa", 0, "answer", value=["x"]), r"conv-1, qa 0: 'answer' is a list of 1, not str or int"),
        (set_at(0, "qa", 0, "evidence", value="D2:1"), r"conv-1, qa 0: 'evidence' is str 'D2:1', not list"),
        (set_at(0, "qa", 0, "evidence", value=[3]), r"conv-1, qa 0: evidence int '3' is not str"),
        (set_at(0, "qa", 0, value="What?"), r"conv-1, qa 0: expected an object, found str"),
        (set_at(*TURN, "text", value=5), r"conv-1, session_2, turn 1: 'text' is int '5', not str"),
        (set_at(*TURN, "text", value="\ud83d"), r"session_2, turn 1: 'text' has half a surrogate pair"),
        (set_at(*TURN, "text", value="x" * 70_000), r"turn 1: 'text' has 70,000 characters"),
        (set_at(*TURN, "speaker", value="Eve"), r"session_2, turn 1: speaker 'Eve' is neither of"),
        (set_at(*TURN, "dia_id", value="D3:2"), r"turn 1: dia_id 'D3:2' is not of the form 'D2:7'"),
        (set_at(*TURN, "dia_id", value="D2:1"), r"conv-1: two turns have the dia_id 'D2:1'"),
        (set_at(*TALK, "session_2", value={}), r"session_2: 'session_2' is an object of 0, not list"),
        (set_at(*TALK, "session_2_date_time", value="8 May"), r"session_2: '8 May' is not a time like"),
        (
            set_at(*TALK, "session_2_date_time", value="1:56 pm on 31 June, 2023"),
            r"session_2: .* is not a time",
        ),
        (set_at(*TALK, "session_2_date_time", value="0:56 am on 3 May, 2023"), r"session_2: .* not a time"),
        (
            set_at(0, "conversation", value={"speaker_a": "A", "speaker_b": "B"}),
            r"conv-1: there is no session",
        ),
        (set_at(0, value=None), r"record 0: expected an object, found NoneType"),
        (delete_at(0, "sample_id"), r"record 0: 'sample_id' is missing"),
        (delete_at(0, "qa"), r"conversation conv-1: 'qa' is missing"),
        (delete_at(*TALK, "session_2_date_time"), r"session_2: 'session_2_date_time' is missing"),
        (delete_at(*TURN, "dia_id"), r"session_2, turn 1: 'dia_id' is missing"),
        (delete_at(0, "qa", 0, "answer"), r"conv-1, qa 0: 'answer' is NoneType"),
        (delete_at(0, "qa", 1, "adversarial_answer"), r"conv-1, qa 1: 'adversarial_answer' is missing"),
        (lambda records: records.append(records[0]), r"two conversations are called 'conv-1'"),
        (lambda records: records.clear(), r"expected a list of conversations, found a list of 0"),
    ],
)
def test_a_broken_record_is_named(spoil: Callable[[list[Any]], Any], message: str) -> None:
    records = small()
    spoil(records)
    with pytest.raises(DatasetCorrupt, match=message):
        parse(records)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON",
        json.dumps(small()).encode()[: len(json.dumps(small())) // 2],
        b"\xff\xfe" + json.dumps(small()).encode(),
        b"[" * 200_000,
        b"[" + b"9" * 5_000 + b"]",
    ],
    ids=["empty", "words", "cut in half", "not UTF-8", "nested without end", "a number without end"],
)
def test_what_is_not_json_is_a_named_error(data: bytes) -> None:
    with pytest.raises(DatasetCorrupt, match=r"^mine is not JSON"):
        parse_locomo(data, "mine")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "locomo10.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(DatasetCorrupt, match=r"more than 33,554,432 are not read"):
        load_locomo(path)


def test_a_well_formed_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps(small()))
    with pytest.raises(DatasetCorrupt, match=INFO.sha256):
        load_locomo(path)


# ---------------------------------------------------------------------- the real file


def test_the_locomo_file_has_the_known_counts(conversations: list[Conversation]) -> None:
    questions = [question for conversation in conversations for question in conversation.questions]
    sessions = [session for conversation in conversations for session in conversation.sessions]
    assert len(conversations) == 10
    assert len(sessions) == 272
    assert sum(len(session.turns) for session in sessions) == 5_882
    assert len(questions) == 1_986
    assert Counter(q.category for q in questions) == {1: 282, 2: 321, 3: 96, 4: 841, 5: 446}


def test_repair_leaves_the_known_number_of_questions_with_evidence(conversations: list[Conversation]) -> None:
    questions = [question for conversation in conversations for question in conversation.questions]
    with_evidence = Counter(question.category for question in questions if question.evidence)
    assert with_evidence == {1: 282, 2: 321, 3: 92, 4: 841, 5: 446}


def test_sessions_of_a_conversation_follow_one_another_in_time(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        times = [session.time for session in conversation.sessions]
        assert times == sorted(times), conversation.id


def test_one_changed_letter_in_the_locomo_file_is_found(locomo_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "locomo10.json"
    path.write_bytes(locomo_file.read_bytes().replace(b"sunrise", b"sunriSe", 1))
    with pytest.raises(DatasetCorrupt, match=r"sha256"):
        load_locomo(path)


def test_a_wrong_category_in_the_locomo_file_names_conversation_and_question(
    locomo_file: Path, tmp_path: Path
) -> None:
    records = json.loads(locomo_file.read_bytes())
    records[3]["qa"][17]["category"] = 7
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps(records))
    with pytest.raises(DatasetCorrupt, match=r"conversation conv-42, qa 17: category 7 is not 1 to 5"):
        load_locomo(path)
