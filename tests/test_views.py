"""Views of the text tasks: one string, a few integers, arrays of tokens."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.envs.text import Phase
from memgym.errors import InvalidOperation
from memgym.memory import MemoryOp, as_action
from memgym.wrappers.slot_actions import SlotActions
from memgym.wrappers.text_actions import TextActions, parse_text_action
from memgym.wrappers.tokens import TokenObservation, token_ids

CHOICE = {"answer_format": "choice", "memory_budget": 1024, "view_bytes": 1024}


def make(**kwargs: Any) -> gym.Env:
    return gym.make("memgym/DialogueMemory-v0", disable_env_checker=True, **kwargs)


# ---------------------------------------------------------------------- TextActions


@pytest.mark.parametrize(
    ("text", "ops", "answer"),
    [
        ('{"op": "ADD", "text": "tea"}', [MemoryOp.add("tea")], ""),
        ('[{"op": "noop"}, {"op": "DELETE", "id": "m1"}]', [MemoryOp.noop(), MemoryOp.delete("m1")], ""),
        ('{"ops": [], "answer": "Oslo"}', [], "Oslo"),
        ('Sure!\n```json\n{"answer": "Oslo"}\n```\nDone.', [], "Oslo"),
        ('{"op": "SEARCH", "text": "tea", "attrs": {"k": 3}}', [MemoryOp.search("tea", 3)], ""),
        ('{"op": "ADD", "text": "use ```x = 1``` here"}', [MemoryOp.add("use ```x = 1``` here")], ""),
    ],
)
def test_string_is_read_as_an_action(text: str, ops: list[MemoryOp], answer: str) -> None:
    assert parse_text_action(text) == as_action(ops, answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ADD tea",
        "{",
        "42",
        "null",
        '{"ops": {}}',
        '{"answer": 3}',
        '{"op": "EAT"}',
        '{"op": 1e999}',
        '{"op": "ADD", "text": "\\ud800"}',
        '{"answer": "\\ud800"}',
        '{"ops": [3]}',
        '{"op": "ADD", "text": "x", "sudo": true}',
        "[" * 100_000,
        "x" * 70_000,
    ],
)
def test_malformed_string_is_a_counted_noop(text: str) -> None:
    env = TextActions(make())
    env.reset(seed=0)
    observation, *_, info = env.step(text)
    assert info["malformed"] == 1
    assert info["malformed_reason"]
    assert observation["memory"] == ()
    *_, info = env.step('{"op": "ADD", "text": "tea"}')
    assert (info["malformed"], info["malformed_reason"]) == (1, "")
    assert env.reset(seed=0)[1]["malformed"] == 0


@given(st.text())
def test_any_string_either_parses_or_is_refused(text: str) -> None:
    try:
        action = parse_text_action(text)
    except InvalidOperation:
        return
    assert set(action) == {"ops", "answer"}


# ---------------------------------------------------------------------- SlotActions


def test_every_observation_and_action_of_the_views_is_in_its_space() -> None:
    slots = SlotActions(make(**CHOICE), num_slots=3, num_choices=4)
    view = TokenObservation(slots, memory_entries=3, num_choices=4)
    view.action_space.seed(0)
    observation, _ = view.reset(seed=0)
    done = False
    while not done:
        assert observation in view.observation_space
        observation, _, done, _, _ = view.step(view.action_space.sample())


def test_writing_a_slot_stores_the_item_as_it_stands_and_erasing_frees_it() -> None:
    env = SlotActions(make(**CHOICE), num_slots=2, num_choices=4)
    first, _ = env.reset(seed=0)
    observation, *_ = env.step([1, 1, 0])
    said = f"{first['speaker']}: {first['text']}"
    assert [entry["text"] for entry in observation["memory"]] == ["", said]
    second = observation
    observation, *_ = env.step([1, 1, 0])
    assert observation["memory"][1]["text"] == f"{second['speaker']}: {second['text']}"
    assert len(env.unwrapped.bank) == 1  # type: ignore[attr-defined]
    observation, *_ = env.step([2, 1, 0])
    assert [entry["text"] for entry in observation["memory"]] == ["", ""]
    assert env.unwrapped.bank.nbytes == 0  # type: ignore[attr-defined]


def test_refused_write_leaves_the_slot_as_it_was() -> None:
    env = SlotActions(make(**{**CHOICE, "memory_budget": 5, "view_bytes": 5}), 1, 4)
    env.reset(seed=0)
    observation, *_, info = env.step([1, 0, 0])
    assert info["refused"]
    assert observation["memory"][0]["id"] == ""


@pytest.mark.parametrize(
    "action", [[1, -1, -7], [77, 0, 0], [1, 99, 0], [1, 0], [1.5, 0, 0], 1, "1", None, [[1], [0, 0]]]
)
def test_action_outside_the_space_of_slots_raises_and_writes_nothing(action: Any) -> None:
    env = SlotActions(make(**CHOICE), num_slots=8, num_choices=4)
    env.reset(seed=0)
    with pytest.raises(InvalidOperation, match="MultiDiscrete"):
        env.step(action)
    assert len(env.unwrapped.bank) == 0  # type: ignore[attr-defined]
    assert len(env.step(np.array([1, 7, 3]))[0]["memory"]) == 8


def test_choice_index_is_the_answer() -> None:
    env = SlotActions(make(**CHOICE), num_slots=1, num_choices=4)
    observation, _ = env.reset(seed=3)
    done, rewards = False, []
    while not done:
        choice = 0
        if observation["phase"] == Phase.QUESTION:
            state = env.unwrapped.oracle_state()  # type: ignore[attr-defined]
            choice = observation["choices"].index(state["answer"])
        observation, reward, done, _, info = env.step([0, 0, choice])
        if "is_correct" in info:
            rewards.append(reward)
    assert rewards
    assert set(rewards) == {1.0}


@pytest.mark.parametrize(
    ("kwargs", "slots", "choices", "message"),
    [
        ({"memory_budget": None}, 1, 4, "view_bytes"),
        ({"memory_budget": 4096, "view_bytes": 100}, 1, 4, "view_bytes"),
        (CHOICE, 0, 4, "num_slots"),
        (CHOICE, 1, 0, "reader"),
    ],
)
def test_slots_say_what_they_need(kwargs: dict[str, Any], slots: int, choices: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlotActions(make(**kwargs), slots, choices)


@pytest.mark.parametrize(
    ("wrap", "kwargs"),
    [
        (TextActions, {}),
        (SlotActions, {"num_slots": 3, "num_choices": 4}),
        (TokenObservation, {"vocab_size": 64}),
    ],
)
def test_view_can_be_made_again_from_its_spec(wrap: Any, kwargs: dict[str, Any]) -> None:
    env = wrap(make(**CHOICE), **kwargs)
    again = gym.make(env.spec)
    assert again.action_space == env.action_space
    assert again.observation_space == env.observation_space


# ---------------------------------------------------------------------- TokenObservation


def test_tokens_are_padded_cut_and_alike_everywhere() -> None:
    ids = token_ids("Maya lives in Oslo.", 8, 4096)
    assert (ids > 0).tolist() == [True] * 5 + [False] * 3
    assert (token_ids("MAYA", 1, 4096) == token_ids("maya!", 1, 4096)).all()
    assert len(token_ids("a b c d", 2, 16)) == 2
    assert ids.dtype == np.int32


def test_token_arrays_show_text_memory_and_choices() -> None:
    env = TokenObservation(make(**CHOICE), num_choices=4, memory_entries=2)
    observation, _ = env.reset(seed=0)
    assert observation["phase"].tolist() == [1, 0, 0]
    assert observation["filled"].tolist() == [0, 0]
    observation, *_ = env.step(as_action([MemoryOp.add("Maya lives in Oslo")]))
    assert observation["filled"].tolist() == [1, 0]
    assert (observation["memory"][0] == token_ids("Maya lives in Oslo", 16, 4096)).all()


@pytest.mark.slow
def test_stable_baselines_trains_on_the_slot_and_token_view() -> None:
    """A plain SB3 PPO plays a dialogue task, and learns at least to answer better than at random."""
    sb3 = pytest.importorskip("stable_baselines3")
    import torch

    torch.set_num_threads(1)
    kwargs = {**CHOICE, "num_facts": 2, "num_events": 0, "num_sessions": 1, "turns_per_session": 4}

    def one() -> gym.Env:
        view = SlotActions(make(**kwargs), num_slots=2, num_choices=4)
        return TokenObservation(view, text_tokens=8, memory_entries=2, num_choices=4, vocab_size=64)

    model = sb3.PPO("MultiInputPolicy", one(), n_steps=256, batch_size=256, seed=0)
    model.learn(2048)
    observation, _ = one().reset(seed=0)
    action, _ = model.predict(observation, deterministic=True)
    assert action in one().action_space
