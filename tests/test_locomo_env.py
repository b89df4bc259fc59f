"""The LoCoMo environment, on the real file."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from memgym.datasets.locomo import Conversation
from memgym.envs.locomo import LoCoMo
from memgym.errors import DatasetMissing
from memgym.memory import MemoryOp, OpKind, as_action
from memgym.memory.lexical import LexicalIndex
from memgym.scoring.locomo import locomo_score
from memgym.stream import UNKNOWN, Question


def make(locomo_file: Path, **kwargs: Any) -> LoCoMo:
    return LoCoMo(path=locomo_file, **kwargs)


def play(env: LoCoMo, answer: str | None = "", **reset: Any) -> Iterator[tuple[dict, float, dict]]:
    """Play one episode without a memory; `answer` None takes the oracle's action."""
    observation, _ = env.reset(**reset)
    done = False
    while not done:
        action = env.oracle_action() if answer is None else as_action(answer=answer)
        following, reward, done, _, info = env.step(action)
        yield observation, reward, info
        observation = following


def first_turn(env: LoCoMo, **reset: Any) -> str:
    return env.reset(**reset)[0]["text"]


@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_ten_episodes_of_a_seed_visit_every_conversation_once(
    locomo_file: Path, conversations: list[Conversation], seed: int
) -> None:
    env = make(locomo_file)
    opened = [first_turn(env, seed=seed)] + [first_turn(env) for _ in range(10)]
    assert {c.sessions[0].turns[0].shown_text for c in conversations} == set(opened[:10])
    assert opened[0] == opened[10]


def test_seeds_order_the_conversations_differently_and_repeatably(locomo_file: Path) -> None:
    env = make(locomo_file)

    def order(seed: int) -> list[str]:
        return [first_turn(env, seed=seed, options={"episode": e}) for e in range(10)]

    assert order(0) == order(0)
    assert len({tuple(order(seed)) for seed in range(4)}) == 4


def test_all_turns_stream_in_order_before_all_questions(
    locomo_file: Path, conversations: list[Conversation]
) -> None:
    conversation = conversations[1]
    seen = [
        observation for observation, _, _ in play(make(locomo_file, conversation=conversation.id), seed=0)
    ]
    turns = [(t.shown_text, t.speaker, s.time) for s in conversation.sessions for t in s.turns]
    asked = [(q.text, "", conversation.sessions[-1].time) for q in conversation.questions]
    found = [(o["text"], o["speaker"], o["time"]) for o in seen]
    assert found[: len(turns)] == turns
    assert sorted(found[len(turns) :]) == sorted(asked)
    assert [int(o["phase"]) for o in seen] == [0] * len(turns) + [1] * len(asked)


def test_the_place_of_a_question_does_not_give_its_category_away(locomo_file: Path) -> None:
    """In the file nearly all adversarial questions come last."""
    places = []
    for episode in range(10):
        env = make(locomo_file)
        env.reset(seed=0, options={"episode": episode})
        asked = [e for e in env._stream(env._key, episode) if isinstance(e, Question)]
        places += [i / len(asked) for i, q in enumerate(asked) if q.meta["category"] == 5]
    assert float(np.mean(places)) == pytest.approx(0.5, abs=0.05)


def test_a_constant_abstention_gets_the_benchmarks_own_score(
    locomo_file: Path, conversations: list[Conversation]
) -> None:
    env = make(locomo_file, conversation="conv-30")
    *_, (_, _, info) = played = list(play(env, UNKNOWN, seed=0))
    expected = np.mean([locomo_score(q.category, UNKNOWN, q.answer) for q in conversations[1].questions])
    assert info["score"] == pytest.approx(expected)
    assert {i["question_type"] for _, _, i in played if "question_type" in i} == {
        "1-multi-hop",
        "2-temporal",
        "4-single-hop",
        "5-adversarial",
    }
    assert all(i["abstained"] == 1.0 for _, _, i in played if "question_type" in i)


def test_the_oracle_reaches_full_marks(locomo_file: Path) -> None:
    *_, (_, _, info) = play(make(locomo_file, conversation="conv-26"), None, seed=0)
    assert info["score"] == pytest.approx(1.0)
    assert info["success"]


def test_the_trap_of_an_adversarial_question_scores_nothing(
    locomo_file: Path, conversations: list[Conversation]
) -> None:
    env = make(locomo_file, conversation="conv-26", categories=(5,))
    traps = [q.adversarial_answer for q in conversations[0].questions if q.category == 5]
    env.reset(seed=0)
    while not env.oracle_state():
        env.step(as_action())
    results = [env.step(as_action(answer=trap)) for trap in traps]
    assert len(results) == 47
    assert sum(reward for _, reward, *_ in results) == 0
    assert results[-1][2]
    assert not any(info["is_correct"] for *_, info in results)


def test_a_remembered_turn_counts_as_evidence(locomo_file: Path, conversations: list[Conversation]) -> None:
    """Writing every turn down and searching with the question finds evidence as the index alone does."""
    env = make(locomo_file, conversation="conv-30", memory_budget=None, view_bytes=0, categories=(1, 2, 4))
    observation, _ = env.reset(seed=0)
    done, recall = False, []
    while not done:
        if observation["phase"] == 0:
            text = f"{observation['speaker']}: {observation['text']}"
            action = as_action([MemoryOp(OpKind.ADD, text=text)])
        elif observation["hits"]:
            action = as_action(answer="")
        else:
            action = as_action([MemoryOp(OpKind.SEARCH, text=observation["text"], attrs={"k": 10})])
        observation, _, done, _, info = env.step(action)
        if "evidence_recall" in info:
            recall.append(info["evidence_recall"])
    turns = [turn for session in conversations[1].sessions for turn in session.turns]
    index = LexicalIndex((i, f"{turn.speaker}: {turn.shown_text}") for i, turn in enumerate(turns))
    expected = []
    for question in conversations[1].questions:
        if question.category != 5 and question.evidence:
            found = {turns[i].id for i, _ in index.search(question.text, 10)}
            expected.append(np.mean([id in found for id in question.evidence]))
    assert len(recall) == len(expected) == 81
    assert np.mean(recall) == pytest.approx(np.mean(expected), abs=0.02)


def test_only_the_chosen_categories_are_asked(locomo_file: Path) -> None:
    env = make(locomo_file, conversation="conv-26", categories=(2, 3))
    types = Counter(info.get("question_type") for _, _, info in play(env, seed=0))
    del types[None]
    assert types == {"2-temporal": 37, "3-open-domain": 13}


def test_a_conversation_with_nothing_to_ask_is_left_out(
    locomo_file: Path, conversations: list[Conversation]
) -> None:
    env = make(locomo_file, categories=(3,))
    opened = {first_turn(env, seed=0, options={"episode": e}) for e in range(30)}
    silent = conversations[1].sessions[0].turns[0].shown_text
    assert len(opened) == 9
    assert silent not in opened


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"categories": (1, 7)}, r"categories are some of 1 to 5, not \(1, 7\)"),
        ({"categories": ()}, r"categories are some of 1 to 5"),
        ({"conversation": "conv-1"}, r"one of conv-26, conv-30, .* not 'conv-1'"),
        ({"conversation": "conv-30", "categories": (3,)}, r"conv-30 has no question in categories \[3\]"),
    ],
)
def test_a_wrong_argument_is_named(locomo_file: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(locomo_file, **kwargs)


def test_a_missing_file_shows_when_the_environment_is_made(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"memgym data get locomo10"):
        LoCoMo(path=tmp_path / "none.json")


def test_gymnasium_finds_no_fault(locomo_file: Path) -> None:
    env = gym.make("memgym/LoCoMo-v0", path=locomo_file)
    check_env(env.unwrapped, skip_render_check=True)
