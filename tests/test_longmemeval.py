"""LongMemEval on small files in its format: reading, every fault named, and the environment."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from memgym.checks import check_env
from memgym.datasets import longmemeval
from memgym.datasets.longmemeval import KNOWN_DEFECTS, open_longmemeval, parse_longmemeval
from memgym.envs.longmemeval import LongMemEval
from memgym.errors import DatasetCorrupt, DatasetMissing
from memgym.memory import MemoryOp, OpKind, as_action
from memgym.scoring.longmemeval import accepted_answers, contains_answer
from memgym.stream import UNKNOWN, Question


def question(
    id: str = "q1", type: str = "multi-session", answer: Any = "7 May", **more: Any
) -> dict[str, Any]:
    """A record with three sessions, out of order as in the oracle file, two of them with the same id."""
    return {
        "question_id": id,
        "question_type": type,
        "question": "When did I move?",
        "answer": answer,
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": ["answer_1", "chat", "chat"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/04/01 (Sat) 10:00", "2023/05/29 (Mon) 09:05"],
        "haystack_sessions": [
            [
                {"role": "user", "content": "I moved on 7 May.", "has_answer": True},
                {"role": "assistant", "content": "Nice!", "has_answer": False},
            ],
            [{"role": "user", "content": "Bread?"}, {"role": "assistant", "content": ""}],
            [{"role": "user", "content": "Hello again."}],
        ],
        "answer_session_ids": ["answer_1"],
        **more,
    }


RECORDS = [
    question(),
    question("gpt4_88806d6e", "temporal-reasoning", 15, a_new_field={"x": 1}),
    question("q3_abs", answer="You did not say so."),
    question("q4", "single-session-preference", "Prefers answers about rye bread."),
]


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(RECORDS))
    return path


# ---------------------------------------------------------------------- reading


def test_a_record_is_read_with_its_sessions_in_the_order_of_time() -> None:
    read = parse_longmemeval(json.dumps(RECORDS[1]).encode())
    assert [session.time for session in read.sessions] == [
        "2023-04-01T10:00",
        "2023-05-20T02:21",
        "2023-05-29T09:05",
    ]
    assert read.time == "2023-05-30T23:40"
    assert read.answer == "15"
    assert [turn.has_answer for turn in read.sessions[1].turns] == [True, False]


def set_at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(record: dict[str, Any]) -> None:
        place: Any = record
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return spoil


TURN = ("haystack_sessions", 0, 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        *[
            (lambda record, key=key: record.pop(key), rf"'{key}' is missing")
            for key in question()
            if key != "question_id"
        ],
        (set_at("question", value=None), r"'question' is NoneType 'None', not str"),
        (set_at("question_type", value="jokes"), r"question_type 'jokes' is none of single-session-user"),
        (set_at("answer", value=["7"]), r"'answer' is a list of 1, not str or int or float"),
        (set_at("answer", value=True), r"'answer' is bool 'True'"),
        (set_at("question_date", value="2023-05-30"), r"'2023-05-30' is not a time like"),
        (set_at("question_date", value="2023/02/30 (Tue) 23:40"), r"is not a time like"),
        (set_at("haystack_dates", 2, value="yesterday"), r"session 2: 'yesterday' is not a time"),
        (
            set_at("haystack_dates", value=["2023/05/20 (Sat) 02:21"]),
            r"3 haystack_session_ids, 1 haystack_dates",
        ),
        (
            set_at("haystack_session_ids", 1, value=5),
            r"session 1: id int '5' and date str .* are not both str",
        ),
        (set_at("haystack_sessions", 1, value="hi"), r"session 1 is str 'hi', not a list of turns"),
        (set_at(*TURN, value="hi"), r"session 0, turn 1: expected an object, found str 'hi'"),
        (set_at(*TURN, "role", value="system"), r"session 0, turn 1: role 'system' is neither"),
        (set_at(*TURN, "content", value=3), r"session 0, turn 1: 'content' is int '3', not str"),
        (set_at(*TURN, "content", value="\ud83d"), r"session 0, turn 1: 'content' has half a surrogate pair"),
        (set_at(*TURN, "content", value="x" * (1 << 21)), r"turn 1: 'content' has 2,097,152 characters"),
        (set_at(*TURN, "has_answer", value="yes"), r"session 0, turn 1: 'has_answer' is str 'yes', not bool"),
        (set_at("answer_session_ids", value="answer_1"), r"'answer_session_ids' is str"),
        (set_at("answer_session_ids", value=[1]), r"answer_session_ids has int '1', not str"),
    ],
)
def test_a_broken_record_is_named_before_an_episode_starts(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    records = json.loads(json.dumps(RECORDS))
    spoil(records[2])
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(records))
    with pytest.raises(DatasetCorrupt, match=rf"broken\.json, record 2 \(q3_abs\).*{message}"):
        LongMemEval(path=path)


def test_other_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    text = json.dumps(RECORDS)
    for content, message in (
        (text[: 3 * len(text) // 8], r"record 1 \(gpt4_88806d6e\) does not end; the file is cut off"),
        (json.dumps([{"question": "?"}]), r"record 0: 'question_id' is missing"),
        (json.dumps([RECORDS[0], RECORDS[0]]), r"record 1: a second question 'q1'"),
        ("[]", r"has no question"),
        ('[{"question_id": "q1", oops}]', r"record 0 is not JSON"),
    ):
        path.write_text(content)
        with pytest.raises(DatasetCorrupt, match=message):
            LongMemEval(path=path)


def test_a_gigabyte_of_one_string_is_refused_by_the_id_of_its_record(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(b'[{"question_id": "q1", "question": "')
        file.truncate(1 << 30)  # sparse: takes no room
    with pytest.raises(
        DatasetCorrupt, match=r"record 0 \(q1\): a string in it has more than 4,194,304 bytes"
    ):
        LongMemEval(path=path)


def test_a_missing_file_says_how_to_get_it() -> None:
    with pytest.raises(DatasetMissing, match=r"memgym data get longmemeval_m"):
        LongMemEval(variant="m")


def test_a_file_found_by_its_name_is_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))
    path = tmp_path / "longmemeval_oracle" / "longmemeval_oracle.json"
    path.parent.mkdir()
    path.write_text(json.dumps(RECORDS))
    with pytest.raises(DatasetCorrupt, match=r"expected 15,388,478 bytes with sha256 821a2034"):
        LongMemEval(variant="oracle")


def test_a_checked_file_is_not_read_again_until_it_changes(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_longmemeval("s", small)
    longmemeval._places.cache_clear()  # as in another process
    with monkeypatch.context() as patch:
        patch.setattr(longmemeval, "iter_records", lambda *_: pytest.fail("the file was read again"))
        assert open_longmemeval("s", small).places == first.places
    small.write_text(json.dumps(RECORDS[:1], indent=1))
    assert len(open_longmemeval("s", small).places) == 1


def test_a_damaged_index_is_made_anew(small: Path, tmp_path: Path) -> None:
    places = open_longmemeval("s", small).places
    (index,) = (tmp_path / "cache" / "index").iterdir()
    for damage in ("", "[1]", '[{"id": "q1"}]'):
        index.write_text(damage)
        longmemeval._places.cache_clear()
        assert open_longmemeval("s", small).places == places


def test_a_file_that_changes_under_way_is_named(small: Path) -> None:
    env = LongMemEval(path=small)
    small.write_text(json.dumps(RECORDS[::-1]))
    with pytest.raises(DatasetCorrupt, match=r"changed|not JSON"):
        env.reset(seed=0)


# ---------------------------------------------------------------------- environment


def episode(env: LongMemEval, number: int = 0) -> list[Any]:
    env.reset(seed=0, options={"episode": number})
    return list(env._stream(env._key, number))


def asked(env: LongMemEval, count: int) -> list[Question]:
    return [episode(env, i)[-1] for i in range(count)]


def test_turns_stream_in_the_order_of_time_before_the_question(small: Path) -> None:
    *items, last = episode(LongMemEval(path=small))
    assert [(item.speaker, item.text, item.time) for item in items] == [
        ("user", "Bread?", "2023-04-01T10:00"),
        ("user", "I moved on 7 May.", "2023-05-20T02:21"),
        ("assistant", "Nice!", "2023-05-20T02:21"),
        ("user", "Hello again.", "2023-05-29T09:05"),
    ]
    assert (last.text, last.time) == ("When did I move?", "2023-05-30T23:40")


def test_a_session_can_be_one_item(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = LongMemEval(path=small, unit="session", question_types=("multi-session",))
    *items, last = episode(env)
    assert items[1].text == "user: I moved on 7 May.\nassistant: Nice!"
    assert [item.text for item in items if item.id in last.evidence] in ([items[1].text], [])
    monkeypatch.setattr("memgym.envs.longmemeval.MAX_SESSION", 30)
    *parts, _ = episode(env)
    assert [part.text for part in parts][1:3] == ["user: I moved on 7 May.", "assistant: Nice!"]
    assert len({part.id for part in parts}) == 4


def test_every_question_comes_once_before_any_comes_again(small: Path) -> None:
    ids = [question.id for question in asked(LongMemEval(path=small), 4)]
    assert sorted(ids[:3]) == ["gpt4_88806d6e", "q1", "q3_abs"]
    assert ids[3] == ids[0]


def test_known_defects_and_preferences_are_left_out_or_asked_for(small: Path) -> None:
    assert {q.id for q in asked(LongMemEval(path=small, exclude_defects=True), 4)} == {"q1", "q3_abs"}
    preference = LongMemEval(path=small, question_types=("single-session-preference",))
    assert {q.type for q in asked(preference, 2)} == {"single-session-preference"}
    assert all("/issues/" in reason for reason in KNOWN_DEFECTS.values())


def test_evidence_and_what_a_judge_needs_are_on_the_question(small: Path) -> None:
    by_id = {question.id: question for question in asked(LongMemEval(path=small), 3)}
    assert by_id["q1"].evidence == ("1:0",)
    assert by_id["q3_abs"].evidence == ()
    assert by_id["q3_abs"].answer == UNKNOWN
    assert by_id["q3_abs"].type == "abstention"
    assert by_id["q3_abs"].meta == {
        "question_type": "multi-session",
        "gold": "You did not say so.",
        "answerable": False,
    }


def test_the_oracle_knows_the_gold_that_a_judge_compares_with(small: Path) -> None:
    env = LongMemEval(path=small)
    references = {}
    for number in range(3):
        env.reset(seed=0, options={"episode": number})
        while not env.oracle_state():
            env.step(as_action())
        references[env.oracle_state()["type"]] = env.oracle_state()["reference"]
    assert references["abstention"] == "You did not say so."
    assert references["temporal-reasoning"] == "15"


def test_nothing_shown_before_the_question_names_it_or_its_evidence(small: Path) -> None:
    """The published session ids begin with "answer_", which would give the evidence away."""
    env = LongMemEval(path=small)
    for number in range(3):
        observation, info = env.reset(seed=0, options={"episode": number})
        while observation["phase"] == 0:
            shown = repr((observation, info))
            assert not any(word in shown for word in ("answer_1", "When did I move", "q1", "has_answer"))
            observation, _, _, _, info = env.step(as_action([MemoryOp(OpKind.ADD, text=observation["text"])]))


@pytest.mark.parametrize(
    ("id", "answer", "score"),
    [
        ("q1", "You moved on 7 May.", 1.0),
        ("q1", "17 May", 0.0),
        ("q1", UNKNOWN, 0.0),
        ("gpt4_88806d6e", "15 weeks", 1.0),
        ("q3_abs", UNKNOWN, 1.0),
        ("q3_abs", "7 May", 0.0),
    ],
)
def test_scores_of_answers(small: Path, id: str, answer: str, score: float) -> None:
    env = LongMemEval(path=small)
    (wanted,) = [question for question in asked(env, 3) if question.id == id]
    assert env._score(wanted, answer).score == score


@pytest.mark.parametrize(
    ("prediction", "gold", "contained"),
    [
        ("8 days", "7 days. 8 days (including the last day) is also acceptable.", True),
        ("6 days", "7 days. 8 days (including the last day) is also acceptable.", False),
        ("The Blue Room", "blue room", True),
        ("blue  ROOM!", "The blue room", True),
        ("bluer room", "blue room", False),
        ("word " * 52 + "blue room", "blue room", False),
        ("word " * 50 + "blue room", "blue room", True),
        ("anything", "the", False),
    ],
)
def test_containment(prediction: str, gold: str, contained: bool) -> None:
    assert contains_answer(prediction, gold) is contained


def test_a_gold_without_alternatives_stays_whole() -> None:
    assert accepted_answers("On 7 May. Or so.") == ("On 7 May. Or so.",)


@pytest.mark.parametrize("unit", ["turn", "session"])
def test_the_environment_keeps_memgyms_promises(small: Path, unit: str) -> None:
    check_env("memgym/LongMemEval-v0", path=str(small), unit=unit)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"variant": "l"},
        {"unit": "word"},
        {"question_types": ("jokes",)},
        {"question_types": ()},
        {"exclude_defects": "yes"},
    ],
)
def test_a_wrong_argument_is_named(small: Path, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(kwargs)).replace("question_types", "types")):
        gym.make("memgym/LongMemEval-v0", path=small, **kwargs)
