"""Text tasks: what one step does."""

from collections.abc import Iterator
from typing import Any

import pytest

from memgym.envs.text import MAX_CREDIT, Phase, TextMemoryEnv
from memgym.errors import InvalidOperation, UnknownName
from memgym.memory import MemoryOp, as_action
from memgym.spaces import MAX_TEXT
from memgym.stream import UNKNOWN, Item, Question

STORY: list[Item | Question] = [
    Item("i1", "I live in Oslo.", "Maya", "2023-05-01T10:00"),
    Item("i2", "I play chess.", "Jonas", "2023-05-01T10:01"),
    Question("q1", "Where does Maya live?", "single-hop", "Oslo", evidence=("i1",)),
    Item("i3", "I moved, I live in Rome now.", "Maya", "2023-06-01T10:00"),
    Question("q2", "Where does Maya live?", "update", "Rome", evidence=("i3",), stale=("Oslo",)),
    Question("q3", "What is Jonas' car?", "abstention", UNKNOWN),
]


class Story(TextMemoryEnv):
    """The six events above."""

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        return iter(STORY)


def start(**kwargs: Any) -> tuple[Story, dict[str, Any]]:
    env = Story(**kwargs)
    return env, env.reset(seed=0)[0]


def add(text: str) -> dict[str, Any]:
    return as_action([MemoryOp.add(text)])


def test_items_and_questions_come_one_a_step_in_order() -> None:
    env, observation = start()
    seen = [(observation["phase"], observation["text"])]
    done = False
    while not done:
        observation, _, done, truncated, _ = env.step(as_action())
        seen.append((observation["phase"], observation["text"]))
        assert not truncated
    kinds = [Phase.ITEM if isinstance(event, Item) else Phase.QUESTION for event in STORY]
    assert seen == [*zip(kinds, [e.text for e in STORY], strict=True), (Phase.END, "")]


def test_written_entry_shows_in_the_next_observation_with_its_cost() -> None:
    env, observation = start(memory_budget=100)
    assert observation["bytes_left"] == 100
    observation, *_ = env.step(add("Maya lives in Oslo"))
    assert [(e["id"], e["text"]) for e in observation["memory"]] == [("m1", "Maya lives in Oslo")]
    assert observation["bytes_left"] == 100 - 2 - 18


def test_search_stays_on_the_event_and_returns_hits() -> None:
    env, _ = start()
    env.step(add("Maya: I live in Oslo."))
    env.step(as_action())
    observation, reward, *_, info = env.step(as_action([MemoryOp.search("Oslo", k=1)], answer="Oslo"))
    assert observation["phase"] == Phase.QUESTION
    assert [hit["id"] for hit in observation["hits"]] == ["m1"]
    assert reward == 0
    assert "question_type" not in info
    observation, reward, *_, info = env.step(as_action(answer="Oslo"))
    assert reward == 1
    assert info["evidence_recall"] == 1
    assert observation["hits"] == ()


def test_searches_beyond_the_limit_are_refused_and_the_answer_counts() -> None:
    env, _ = start(max_searches=1)
    env.step(as_action())
    env.step(as_action())
    env.step(as_action([MemoryOp.search("Oslo")]))
    _, reward, *_, info = env.step(as_action([MemoryOp.search("Oslo")], answer="Oslo"))
    assert reward == 1
    assert info["refused"] == ({"op": 0, "reason": "more than 1 searches on one step"},)


def test_what_does_not_fit_is_refused_with_a_reason() -> None:
    env, _ = start(memory_budget=10)
    *_, info = env.step(add("far too long for ten bytes"))
    assert info["refused"][0]["reason"] == "over budget: needs 28 B, 10 B left of 10 B"
    assert info["memory_bytes"] == 0


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"kind": 99, "id": "", "text": "", "attrs": ""}, "no operation 99"),
        ({"kind": 1, "id": "", "text": "x", "attrs": "{"}, "not JSON"),
        ({"kind": 4, "id": "", "text": "x", "attrs": '{"k":0}'}, "k of a SEARCH"),
        ({"kind": 3, "id": "m7", "text": "", "attrs": ""}, "no entry 'm7'"),
        ("ADD", "a mapping"),
        ({"kind": 1, "id": "", "text": "x", "attrs": '{"x":"\\ud800"}'}, "not JSON"),
        ({"kind": 1, "id": "", "text": "x" * (MAX_TEXT + 1), "attrs": ""}, "at most"),
        ({"kind": float("inf"), "id": "", "text": "x", "attrs": ""}, "no operation inf"),
    ],
)
def test_single_bad_operation_is_refused_and_the_others_count(raw: Any, reason: str) -> None:
    env, _ = start()
    action = as_action([MemoryOp.add("kept")])
    action["ops"] = (raw, *action["ops"])
    observation, *_, info = env.step(action)
    assert [(r["op"], reason in r["reason"]) for r in info["refused"]] == [(0, True)]
    assert [e["text"] for e in observation["memory"]] == ["kept"]


@pytest.mark.parametrize(
    "action",
    [
        "ADD",
        {},
        {"ops": ()},
        {"ops": "x", "answer": ""},
        {"ops": (), "answer": 3},
        {"ops": (), "answer": "\ud800"},
        {"ops": (), "answer": "x" * (MAX_TEXT + 1)},
    ],
    ids=lambda action: str(action)[:24].encode("utf-8", "replace"),
)
def test_action_of_another_form_raises(action: Any) -> None:
    env, _ = start()
    with pytest.raises(InvalidOperation):
        env.step(action)


def test_step_after_the_end_raises() -> None:
    env, _ = start()
    while not env.step(as_action())[2]:
        pass
    with pytest.raises(InvalidOperation, match="reset"):
        env.step(as_action())


def test_last_info_has_the_mean_score_and_success() -> None:
    for answers, score, success in [
        (("Oslo", "Rome", "not mentioned"), 1.0, True),
        (("Oslo", "Oslo", "not mentioned"), 2 / 3, False),
    ]:
        env, observation = start()
        given, done, info = iter(answers), False, {}
        while not done:
            answer = next(given) if observation["phase"] == Phase.QUESTION else ""
            observation, _, done, _, info = env.step(as_action(answer=answer))
        assert info["score"] == pytest.approx(score)
        assert info["success"] is success


def test_stale_answer_is_told_from_a_wrong_one() -> None:
    env, _ = start()
    for _ in range(4):
        env.step(as_action())
    *_, info = env.step(as_action(answer="in Oslo"))
    assert (info["is_correct"], info["stale"]) == (False, 1.0)


def test_view_shows_the_nearest_entries_where_the_bank_does_not_fit() -> None:
    env, _ = start(view_bytes=30)
    ops = [MemoryOp.add("Jonas plays chess"), MemoryOp.add("Maya has a cat"), MemoryOp.add("rain all day")]
    observation, *_ = env.step(as_action(ops))
    assert observation["text"] == "I play chess."
    assert [e["text"] for e in observation["memory"]] == ["Jonas plays chess"]


@pytest.mark.parametrize(("view_bytes", "made"), [(4096, 2), (1, 6)])
def test_view_of_a_bank_that_fits_is_made_again_only_where_the_bank_changed(
    view_bytes: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[str] = []
    make = Story._memory_view
    monkeypatch.setattr(Story, "_memory_view", lambda self, text: views.append(text) or make(self, text))
    env, observation = start(view_bytes=view_bytes)
    env.step(add("Maya lives in Oslo"))
    for _ in range(4):
        observation, *_ = env.step(as_action())
    assert len(views) == made
    shown = [entry["text"] for entry in observation["memory"]]
    assert shown == (["Maya lives in Oslo"] if view_bytes > 1 else [])


def test_observations_share_nothing_that_can_be_changed() -> None:
    env, _ = start()
    first, *_ = env.step(add("Maya lives in Oslo"))
    second, *_ = env.step(as_action())
    first["memory"][0]["text"], first["memory"][0]["score"][...] = "changed", 7
    assert second["memory"][0]["text"] == "Maya lives in Oslo"
    assert second["memory"][0]["score"] == 0
    assert env.step(as_action())[0]["memory"][0]["text"] == "Maya lives in Oslo"


def test_extractive_reader_answers_from_the_bank_alone() -> None:
    rewards = {}
    for stored in (True, False):
        env, _ = start(reader="extractive")
        env.step(add("Maya: I live in Oslo.") if stored else as_action())
        env.step(as_action())
        _, rewards[stored], *_ = env.step(as_action(answer="Oslo"))  # the agent's own answer is not read
    assert rewards == {True: 1.0, False: 0.0}


def test_an_unknown_reader_is_named_when_the_environment_is_made() -> None:
    with pytest.raises(UnknownName, match=r"no reader named 'extractiv'\. Did you mean 'extractive'"):
        start(reader="extractiv")


def test_reader_can_be_any_callable() -> None:
    env, _ = start(reader=lambda question, entries, choices: "Oslo" if entries else "")
    env.step(add("live"))
    env.step(as_action())
    assert env.step(as_action())[1] == 1.0


def test_rendered_frame_shows_transcript_and_bank() -> None:
    env, _ = start(render_mode="ansi")
    env.step(add("Maya lives in Oslo"))
    frame = env.render()
    assert frame is not None
    assert "Maya: I live in Oslo." in frame
    assert "m1  Maya lives in Oslo" in frame
    assert "▶ Jonas: I play chess." in frame


def test_human_mode_prints_the_frame(capsys: pytest.CaptureFixture[str]) -> None:
    env, _ = start(render_mode="human")
    assert env.render() is None
    assert "MEMORY" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"memory_budget": -1}, "memory_budget"),
        ({"view_bytes": -1}, "view_bytes"),
        ({"max_searches": -1}, "max_searches"),
        ({"render_mode": "rgb_array"}, "render_mode"),
    ],
)
def test_bad_argument_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Story(**kwargs)


# ---------------------------------------------------------------------- evidence recall


class Diary(TextMemoryEnv):
    """Turns, then a question for each of them that has it as evidence."""

    turns = ("We bought a red kayak.", "The doctor moved to Lisbon.", "Grandma bakes walnut bread.", "!!!")

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        for i, text in enumerate(self.turns):
            yield Item(f"i{i}", text, "Maya")
        for i, text in enumerate(self.turns):
            yield Question(f"q{i}", f"What of {text}", "any", UNKNOWN, evidence=(f"i{i}",))


def recalls(env: TextMemoryEnv, *ops: list[MemoryOp]) -> list[float]:
    """Evidence recall of each question where the turns are answered with `ops`."""
    env.reset(seed=0)
    for each in ops:
        assert env.step(as_action(each))[-1]["refused"] == ()
    found, done = [], False
    while not done:
        *_, done, _, info = env.step(as_action())
        found += [info["evidence_recall"]] if "evidence_recall" in info else []
    return found


TOLD = [f"Maya: {text}" for text in Diary.turns]


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([[MemoryOp.add(text)] for text in TOLD[:3]], [1, 1, 1, 0]),
        ([[MemoryOp.add("x")], *[[MemoryOp.update("m1", "x")]] * 3], [0, 0, 0, 0]),  # a forged trail
        ([[MemoryOp.add(TOLD[0])], [MemoryOp.update("m1", TOLD[1])]], [0, 1, 0, 0]),  # the old text is gone
        ([[MemoryOp.add(TOLD[0])], [MemoryOp.update("m1", TOLD[0] + TOLD[1])]], [1, 1, 0, 0]),
        # word by word away from the first turn: what is left is measured on the turn, not on the last version
        (
            [
                [MemoryOp.add("bought red kayak")],
                [MemoryOp.update("m1", "red kayak doctor moved")],
                [MemoryOp.update("m1", "doctor moved bakes walnut")],
                [MemoryOp.update("m1", "bakes walnut tea cups")],
            ],
            [0, 0, 1, 0],
        ),
        ([[MemoryOp.add(TOLD[1])]], [0, 0, 0, 0]),  # written before it was said
        ([[MemoryOp.add("red kayak bought")]], [1, 0, 0, 0]),  # half of the words in another order
        ([[MemoryOp.add("kayak")]], [0, 0, 0, 0]),
        ([[MemoryOp.add(TOLD[0])], [MemoryOp.delete("m1"), MemoryOp.add("red")]], [0, 0, 0, 0]),
        ([[], [], [], [MemoryOp.add(TOLD[3])]], [0, 0, 0, 0]),  # nothing said, nothing held
    ],
)
def test_evidence_counts_where_an_entry_has_the_words_of_the_turn(
    ops: list[list[MemoryOp]], expected: list[float]
) -> None:
    assert recalls(Diary(), *ops) == expected


def test_entry_that_is_rewritten_each_turn_stays_small() -> None:
    class Chatter(Diary):
        turns = ("ok",) * 600

    env = Chatter()
    recalls(env, [MemoryOp.add("ok")], *[[MemoryOp.update("m1", "ok")]] * 599)
    assert max(len(entry.provenance) for entry in env.bank.history("m1")) == MAX_CREDIT
