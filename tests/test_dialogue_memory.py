"""DialogueMemory: what an optimal bank holds, rewards for operations, presets, and paraphrases by others."""

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.envs.dialogue import DialogueMemory
from memgym.envs.text import Phase
from memgym.memory import MemoryOp, as_action
from memgym.rng import episode_key
from memgym.stream import Item, Question
from memgym.worlds.dialogue import (
    BASIC_TYPES,
    PRESETS,
    QUESTION_TYPES,
    DialogueConfig,
    DialogueWorld,
    read_question_types,
)
from memgym.worlds.dialogue.gold import bank_f1
from memgym.worlds.dialogue.log import Event, fold

seeds = st.integers(0, 10_000)


def play(env: DialogueMemory, seed: int, manager: Any) -> tuple[list[float], list[float], dict[str, Any]]:
    """Rewards on items, rewards on questions, the last info; `manager(env, observation)` gives operations."""
    observation, _ = env.reset(seed=seed)
    rewards: tuple[list[float], list[float]] = ([], [])
    done, info = False, {}
    while not done:
        kind = int(observation["phase"] == Phase.QUESTION)
        answer = env.oracle_action()["answer"]
        observation, reward, done, _, info = env.step(as_action(manager(env, observation), answer))
        rewards[kind].append(reward)
    return *rewards, info


def gold_manager(env: DialogueMemory, observation: Any) -> list[MemoryOp]:
    """Makes the bank say exactly what it has to."""
    needed = {f"{who}: {what}" for who, what in env.oracle_state()["gold_bank"]}
    have = {entry.text: entry.id for entry in env.bank.get_all()}
    ops = [MemoryOp.delete(id) for text, id in have.items() if text not in needed]
    return [*ops, *(MemoryOp.add(text) for text in sorted(needed - set(have)))][:64]


def hoarder(env: DialogueMemory, observation: Any) -> list[MemoryOp]:
    if observation["phase"] == Phase.QUESTION:
        return []
    return [MemoryOp.add(f"{observation['speaker']}: {observation['text']}")]


def mute(env: DialogueMemory, observation: Any) -> list[MemoryOp]:
    return []


# ---------------------------------------------------------------------- the log and what is seen of it

said = st.tuples(
    st.sampled_from(["assert", "update", "forget", "claim", "inject", "secret"]), st.sampled_from("abc")
)


@given(st.lists(said, max_size=12))
def test_truth_is_the_last_word_of_the_owner_and_a_wish_to_forget_ends_it(
    told: list[tuple[str, str]],
) -> None:
    events = [Event(i, op, 0, "Maya", "Maya", "city", value) for i, (op, value) in enumerate(told)]
    truth = fold(events)
    own = [(op, value) for op, value in told if op in ("assert", "update", "forget")]
    assert truth.values == [value for op, value in own if op != "forget"]
    assert truth.known == (bool(truth.values) and own[-1][0] != "forget")
    assert fold([e for e in events if e.op in ("assert", "update", "forget")]) == truth


@given(st.lists(said, max_size=8), st.sampled_from("abc"))
def test_get_after_forget_is_unknown_until_it_is_told_again(told: list[tuple[str, str]], value: str) -> None:
    events = [Event(i, op, 0, "Maya", "Maya", "city", value) for i, (op, value) in enumerate(told)]
    forget, again = (
        Event(len(told) + i, op, 1, "Maya", "Maya", "city", value)
        for i, op in enumerate(("forget", "assert"))
    )
    assert not fold([*events, forget]).known
    assert fold([*events, forget, again]).known


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_observation_shows_the_turn_and_nothing_of_what_is_known_about_it(seed: int) -> None:
    env = DialogueMemory(preset="easy", answer_format="choice")
    observation, info = env.reset(seed=seed)
    before: Item | Question | None = None
    for event in DialogueWorld(env._key, "train", env.config).stream():
        shown = (
            observation["text"],
            observation["time"],
            observation["speaker"],
            tuple(observation["choices"]),
        )
        if isinstance(event, Item):
            assert shown == (event.text, event.time, event.speaker, ())
        else:
            assert shown == (event.text, event.time, "", event.choices)
            assert event.answer not in map(str, info.values())
        assert set(observation) == {*"phase text speaker time choices memory hits bytes_left".split()}
        if isinstance(before, Item):
            assert not {"question_type", "question_score", "is_correct", "evidence_recall"} & set(info)
        before = event
        observation, _, _, _, info = env.step(as_action())


# ---------------------------------------------------------------------- the gold bank


@pytest.mark.parametrize(
    ("entries", "needed", "f1"),
    [
        (["Maya: I live in Oslo."], [("Maya", "Oslo")], 1.0),
        (["I live in Oslo."], [("Maya", "Oslo")], 0.0),
        (["Maya: I love Osloer Bier."], [("Maya", "Oslo")], 0.0),
        (["Maya: OSLO!"], [("Maya", "Oslo"), ("Maya", "Fiat")], 2 / 3),
        (["Maya has a Fiat in Oslo"], [("Maya", "Oslo"), ("Maya", "Fiat")], 1.0),
        (["Maya: Oslo", "rain"], [("Maya", "Oslo")], 2 / 3),
        ([], [("Maya", "Oslo")], 0.0),
        (["rain"], [], 0.0),
    ],
)
def test_bank_is_measured_by_who_and_what(
    entries: list[str], needed: list[tuple[str, str]], f1: float
) -> None:
    assert bank_f1(entries, needed) == pytest.approx(f1)


@given(seeds, st.sampled_from([None, "easy", "medium"]))
@settings(max_examples=12, deadline=None)
def test_gold_bank_holds_what_can_be_asked_and_nothing_out_of_date_or_forgotten(
    seed: int, preset: str | None
) -> None:
    world = DialogueWorld(episode_key(seed, 0), "train", DialogueConfig.of(preset))
    history = {"previous-value", "change-count"} & set(world.config.question_types)
    for event in world.stream():
        if isinstance(event, Question) and event.type in ("single-hop", "knowledge-update", "deletion"):
            about = {what for who, what in world.needed(event.id) if who == event.meta["person"]}
            assert event.type == "deletion" or event.answer in about
            assert not about & set(event.forbidden)
            if not history:
                assert not about & set(event.stale)


def test_gold_bank_starts_empty_and_grows_with_what_is_told() -> None:
    """Nothing stands in it before its turn: a fact is new exactly where its turn tells it."""
    for seed in range(10):
        world = DialogueWorld(episode_key(seed, 0), "test", DialogueConfig.of("easy"))
        known: set[tuple[str, str]] = set()
        for event in world.stream():
            needed = set(world.needed(event.id))
            if isinstance(event, Item):
                for who, what in needed - known:
                    assert what.lower() in event.text.lower()
                    assert who == event.speaker or who.lower() in event.text.lower()
            known |= needed


def test_oracle_state_has_the_gold_bank_on_items_and_questions() -> None:
    env = DialogueMemory(preset="easy")
    observation, _ = env.reset(seed=0)
    done, phases = False, set()
    while not done:
        assert isinstance(env.oracle_state()["gold_bank"], list)
        phases.add(int(observation["phase"]))
        observation, _, done, _, _ = env.step(as_action())
    assert phases == {Phase.ITEM, Phase.QUESTION}


# ---------------------------------------------------------------------- rewards for operations


def test_holding_the_gold_bank_is_rewarded_and_hoarding_less() -> None:
    gained = {}
    for name, manager in (("gold", gold_manager), ("hoarder", hoarder), ("mute", mute)):
        items, _, _ = play(DialogueMemory(preset="easy", op_reward=1.0, memory_budget=None), 0, manager)
        gained[name] = sum(items)
    assert gained["gold"] > gained["hoarder"] > gained["mute"] == 0


def test_reward_for_operations_is_no_part_of_the_score_and_changes_nothing_else() -> None:
    plain, paid = (play(DialogueMemory(op_reward=weight), 1, hoarder) for weight in (0.0, 0.5))
    assert paid[1:] == plain[1:]
    assert plain[2]["score"] == 1
    assert set(plain[0]) == {0.0}
    assert any(paid[0])


def test_reward_is_the_weight_times_the_change_in_f1() -> None:
    env = DialogueMemory(op_reward=2.0, num_facts=1, num_events=0, num_sessions=1, turns_per_session=2)
    env.reset(seed=0)
    while not env.oracle_state()["gold_bank"]:
        env.step(as_action())
    ((who, what),) = env.oracle_state()["gold_bank"]
    _, reward, *_ = env.step(as_action([MemoryOp.add(f"{who} {what}"), MemoryOp.add("rain")]))
    assert reward == pytest.approx(2 * 2 / 3)
    _, reward, *_ = env.step(as_action([MemoryOp.delete("m2")], answer="surely wrong"))
    assert reward == pytest.approx(2 * (1 - 2 / 3))
    _, reward, *_ = env.step(as_action([MemoryOp.delete("m1")], answer="surely wrong"))
    assert reward == pytest.approx(-2)


# ---------------------------------------------------------------------- arguments


def test_preset_is_a_set_of_defaults() -> None:
    env = DialogueMemory(preset="hard", num_sessions=3)
    assert env.config.num_sessions == 3
    assert env.config.turns_per_session == PRESETS["hard"]["turns_per_session"]


def test_presets_get_harder() -> None:
    grow = ("num_speakers", "num_facts", "num_events", "hops", "distractor_ratio", "paraphrase_level")
    configs = [DialogueConfig.of(name) for name in ("easy", "medium", "hard")]
    for name in grow:
        values = [getattr(config, name) for config in configs]
        assert values == sorted(values)
        assert values[0] < values[-1]


@pytest.mark.parametrize(
    ("given", "types"),
    [
        ("all", QUESTION_TYPES),
        ("basic", BASIC_TYPES),
        ("injection", ("injection",)),
        (["isolation", "single-hop"], ("single-hop", "isolation")),
    ],
)
def test_question_types_are_chosen(given: Any, types: Sequence[str]) -> None:
    assert set(read_question_types(given) or ()) == set(types)
    env = DialogueMemory(question_types=given, num_sessions=8, num_speakers=3, questions_per_session=30)
    asked = set()
    for seed in range(6):
        env.reset(seed=seed)
        asked |= {event.type for event in env._world.stream() if isinstance(event, Question)}
    assert asked == set(types)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"preset": "brutal"}, "preset is None or one of easy, medium, hard"),
        ({"question_types": "multihop"}, "'multihop' is none of them"),
        ({"question_types": []}, "at least one"),
        ({"num_speakers": 1}, "num_speakers is an integer from 2 to 8"),
        ({"num_facts": 17}, "num_facts is an integer from 1 to 16"),
        ({"hops": 5}, "hops is an integer from 2 to 4"),
        ({"paraphrase_level": 3}, "paraphrase_level"),
        ({"distractor_ratio": 1.1}, "distractor_ratio"),
        ({"question_spacing": 0}, "question_spacing"),
        ({"op_reward": -1}, "op_reward"),
        ({"op_reward": float("nan")}, "op_reward"),
    ],
)
def test_bad_argument_is_named(kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        DialogueMemory(**kwargs)


def test_questions_are_spaced_and_the_last_session_is_always_asked_about() -> None:
    world = DialogueWorld(1, "train", DialogueConfig(num_sessions=7, question_spacing=3))
    asked = {e.id.partition("q")[0] for e in world.stream() if isinstance(e, Question)}
    assert asked == {"s3", "s6", "s7"}


@pytest.mark.parametrize("num_sessions", [1, 2, 3])
@pytest.mark.parametrize("num_facts", [1, 24])
def test_small_worlds_have_questions_too(num_sessions: int, num_facts: int) -> None:
    for seed in range(5):
        config = DialogueConfig.of(
            "hard", num_sessions=num_sessions, num_facts=num_facts, num_speakers=3, num_choices=8
        )
        assert any(isinstance(event, Question) for event in DialogueWorld(seed, "test", config).stream())


def test_more_distractors_say_more_of_strangers() -> None:
    counts = []
    for ratio in (0.0, 0.3, 0.9):
        world = DialogueWorld(3, "train", DialogueConfig(distractor_ratio=ratio, turns_per_session=60))
        small_talk = {*world.words["smalltalk"], *world.words["replies"]}
        counts.append(sum(e.text not in small_talk for e in world.stream() if isinstance(e, Item)))
    assert counts[0] < counts[1] < counts[2]


def test_copy_in_the_middle_of_a_hard_episode_goes_on_alike() -> None:
    env = DialogueMemory(preset="hard", num_sessions=3, num_words=8000, op_reward=1.0)
    env.reset(seed=0)
    for _ in range(150):
        env.step(as_action())
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(30):
        ours, theirs = (each.step(as_action([MemoryOp.add("Maya Oslo")])) for each in (env, copy))
        assert repr(ours) == repr(theirs)


# ---------------------------------------------------------------------- paraphrases by others


def texts(paraphrase: Any) -> tuple[list[str], int]:
    env = DialogueMemory(paraphrase=paraphrase, preset="easy")
    env.reset(seed=4)
    info, done, seen = {}, False, []
    while not done:
        observation, _, done, _, info = env.step(as_action())
        seen.append(observation["text"])
    return seen, info.get("paraphrase_rejected", -1)


def test_paraphrase_that_keeps_what_matters_is_taken() -> None:
    plain, absent = texts(None)
    said, rejected = texts(lambda text, protected: f"Well, {text}")
    assert (absent, rejected) == (-1, 0)
    changed = [new for old, new in zip(plain, said, strict=True) if old != new]
    assert len(changed) > 20
    assert all(text.startswith("Well, ") for text in changed)


@pytest.mark.parametrize(
    "paraphrase",
    [
        lambda text, protected: "Something happened.",
        lambda text, protected: text.replace(protected[0], "something") if protected else "",
        lambda text, protected: (
            f"{text} Or is it Oslo, nurse, Biscuit, lasagna, chess, Fiat, pollen, a mug? now"
        ),
        lambda text, protected: None,
    ],
    ids=["says nothing", "drops a value", "adds values", "is no text"],
)
def test_paraphrase_that_loses_or_adds_a_value_is_refused_and_counted(paraphrase: Any) -> None:
    plain, _ = texts(None)
    said, rejected = texts(paraphrase)
    kept = [old for old, new in zip(plain, said, strict=True) if old == new]
    assert rejected >= 20
    assert len(kept) >= rejected


def test_protected_strings_are_the_values_in_the_text() -> None:
    seen: list[tuple[str, Sequence[str]]] = []

    def look(text: str, protected: Sequence[str]) -> str:
        seen.append((text, protected))
        return text

    texts(look)
    assert all(part.lower() in text.lower() for text, protected in seen for part in protected)
    assert sum(bool(protected) for _, protected in seen) > 0.8 * len(seen)
