"""LongHorizonQA: streams of any length that tell the same, in bytes that depend on the seed alone."""

import pickle
import re
from itertools import chain
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.checks import play_by_name
from memgym.envs.long_horizon_qa import PRESETS, LongHorizonQA
from memgym.envs.text import Phase
from memgym.memory import MemoryOp, as_action
from memgym.rng import episode_key
from memgym.stream import Item, Question
from memgym.worlds.long_qa import ABILITIES, QUESTION_TYPES, LongQAConfig, LongQAWorld, shortest
from memgym.worlds.long_qa.filler import filler_bank
from memgym.worlds.long_qa.plan import LONGEST
from memgym.worlds.long_qa.words import compose, lexicon

ALL = tuple(ABILITIES)
seeds = st.integers(0, 10_000)
splits = st.sampled_from(["train", "test"])
levels = st.sampled_from(list(PRESETS))
rounds = st.sampled_from([1, 3])


def world(seed: int = 0, split: str = "train", difficulty: str = "easy", **kwargs: Any) -> LongQAWorld:
    config = LongQAConfig(
        **{"abilities": ALL, "num_words": 6000, "chunk_words": 100} | PRESETS[difficulty] | kwargs
    )
    return LongQAWorld(episode_key(seed, 0), split, config)


def statements(one: LongQAWorld) -> list[str]:
    told = one.layout.statements
    return [statement.text for chunk in sorted(told) for statement in told[chunk]]


# ---------------------------------------------------------------------- the stream


@given(seeds, splits, st.integers(1100, 5000), st.integers(60, 700))
@settings(max_examples=25)
def test_stream_has_exactly_the_words_asked_for(seed: int, split: str, num_words: int, chunk: int) -> None:
    one = world(seed, split, num_words=num_words, chunk_words=chunk, distractor_rate=0.4)
    items = [event for event in one.stream() if isinstance(event, Item)]
    sizes = [len(item.text.split()) for item in items]
    assert sum(sizes) == num_words
    assert set(sizes[:-1]) <= {chunk}


@given(seeds, splits, levels, rounds, st.booleans())
@settings(max_examples=25)
def test_longer_stream_tells_and_asks_the_same(
    seed: int, split: str, level: str, num_rounds: int, multi_turn: bool
) -> None:
    """Tiers are nested: the statements of the shorter stream, in its order, and its questions."""
    arguments = {"num_rounds": num_rounds, "multi_turn": multi_turn, "num_choices": 4}
    tiers = [
        world(seed, split, level, num_words=words, **arguments) for words in (16_000, 100_000, 10_000_000)
    ]
    assert statements(tiers[0]) == statements(tiers[1]) == statements(tiers[2])
    asked = [
        [(q.text, q.answer, q.choices, q.stale, q.type) for q in chain(*tier.questions)] for tier in tiers
    ]
    assert asked[0] == asked[1] == asked[2]
    assert asked[0]


@given(seeds, splits, rounds)
@settings(max_examples=15)
def test_what_is_told_stands_in_its_chunk_in_order(seed: int, split: str, num_rounds: int) -> None:
    one = world(seed, split, num_rounds=num_rounds)
    for event in one.stream():
        if isinstance(event, Item):
            told = [statement.text for statement in one.told(event.id).values()]
            places = [event.text.index(text) for text in told]
            assert places == sorted(places)


@given(seeds, st.data())
@settings(max_examples=15)
def test_any_event_is_reached_without_those_before(seed: int, data: st.DataObject) -> None:
    one = world(seed, num_rounds=3)
    events = list(one.stream())
    assert len(events) == one.num_events
    start = data.draw(st.integers(0, one.num_events))
    assert list(world(seed, num_rounds=3).stream(start)) == events[start:]
    items = [event for event in events if isinstance(event, Item)]
    index = data.draw(st.integers(0, len(items) - 1))
    assert world(seed, num_rounds=3).chunk(index) == items[index]


@given(seeds, splits, levels, rounds, st.sets(st.sampled_from(ALL), min_size=1), st.integers(32, 600))
@settings(max_examples=40)
def test_shortest_stream_takes_every_statement(
    seed: int, split: str, level: str, num_rounds: int, abilities: set[str], chunk_words: int
) -> None:
    chosen = {"abilities": tuple(sorted(abilities)), "num_rounds": num_rounds, "chunk_words": chunk_words}
    least = shortest(LongQAConfig(**chosen, **PRESETS[level]))
    one = world(seed, split, level, num_words=least, **chosen)
    assert sorted(statements(one)) == sorted(statement.text for statement in one.log.statements)
    for chunk, told in one.layout.statements.items():
        assert sum(len(statement.text.split()) for statement in told) <= one.layout.size(chunk)


def test_stream_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="num_words"):
        world(num_words=300)


@given(seeds, splits, levels)
@settings(max_examples=15)
def test_statements_are_as_few_and_as_short_as_the_shortest_stream_counts_on(
    seed: int, split: str, level: str
) -> None:
    for name, ability in ABILITIES.items():
        for num_rounds in (1, 4):
            one = world(seed, split, level, abilities=(name,), num_rounds=num_rounds, num_words=100_000)
            sizes = [(statement.round, len(statement.text.split())) for statement in one.log.statements]
            assert max(size for _, size in sizes) <= LONGEST
            per_round = [sum(size for r, size in sizes if r == number) for number in range(num_rounds)]
            assert max(per_round) <= ability.most_words(one.config)


@pytest.mark.parametrize("chunk_words", [32, 500])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_look_alikes_take_their_share_of_the_words(
    rate: float, chunk_words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    write = LongQAWorld._distractors
    monkeypatch.setattr(
        LongQAWorld, "_distractors", lambda self, *given: told.extend(some := write(self, *given)) or some
    )
    one = world(num_words=60_000, chunk_words=chunk_words, distractor_rate=rate)
    for index in range(one.layout.num_chunks):
        one.chunk(index)
    share = sum(len(text.split()) for text in told) / (60_000 - sum(len(s.split()) for s in statements(one)))
    assert share == pytest.approx(rate, rel=0.12)


def test_splits_share_no_words_that_matter() -> None:
    def leaves(value: Any) -> set[str]:
        if isinstance(value, str):
            return {value}
        parts = value.values() if isinstance(value, dict) else value
        return set().union(*(leaves(part) for part in parts))

    train, test = lexicon("train"), lexicon("test")
    assert leaves(train) & leaves(test) == set()
    assert not set(train["letters"]) & set(test["letters"])
    for kind in ("person", "place", "river", "emblem", "org", "site", "ship", "port", "event", "aim"):
        assert not {n.lower() for n in compose("train", kind)} & {n.lower() for n in compose("test", kind)}


@pytest.mark.parametrize("split", ["train", "test"])
def test_filler_fills_to_the_word_and_names_nothing(split: str) -> None:
    bank = filler_bank(split)
    for words in range(200):
        assert sum(len(text.split()) for text in bank.fill(7, words)) == words
    names = {
        word.lower()
        for kind in ("person", "place", "river", "emblem", "org", "site", "ship", "port", "event", "aim")
        for name in compose(split, kind)
        for word in name.split()
    }
    said = {word for text, _ in bank.sentences for word in re.findall(r"\w+", text.lower())}
    assert said & names <= {"the", "at", "near", "more"}


# ---------------------------------------------------------------------- the environment


def play(env: gym.Env, act: Any = None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """All observations with the infos that came with them, under NOOPs or what `act` does."""
    observation, info = env.reset(seed=0)
    seen, done = [(observation, info)], False
    while not done:
        observation, _, done, _, info = env.step(act(env, observation) if act else as_action())
        seen.append((observation, info))
    return seen


@pytest.mark.parametrize("mode", ["multi-request", "multi-turn"])
@pytest.mark.parametrize("num_rounds", [1, 3])
def test_observations_show_no_ids_and_no_question_before_its_time(mode: str, num_rounds: int) -> None:
    env = LongHorizonQA(
        num_words=12_000, chunk_words=200, mode=mode, num_rounds=num_rounds, difficulty="easy"
    )
    seen = play(env)
    questions = [event for event in env._world.stream() if isinstance(event, Question)]
    phases = [int(observation["phase"]) for observation, _ in seen]
    assert phases.count(Phase.QUESTION) == len(questions) > 10
    for i, (observation, info) in enumerate(seen):
        shown = repr(observation)
        assert not re.search(r"\bc\d+/\d+|\br\d+q\d+", shown)
        if i == 0 or phases[i - 1] == Phase.ITEM:
            assert set(info) == {"memory_bytes", "memory_ops", "refused"}
        if observation["phase"] == Phase.ITEM:
            assert observation["choices"] == ()
            assert (observation["speaker"], observation["time"]) == ("", "")


UNIQUE = ("accurate-retrieval/single-key", "string-retrieval/key-value", "string-retrieval/prefix-suffix")


@given(seeds, splits)
@settings(max_examples=10)
def test_answer_that_occurs_once_occurs_in_its_evidence(seed: int, split: str) -> None:
    items: dict[str, str] = {}
    for event in world(seed, split, num_rounds=3, distractor_rate=0.5).stream():
        if isinstance(event, Item):
            items[event.id] = event.text
        elif event.type in UNIQUE:
            (told,) = event.evidence
            tells = [id for id, text in items.items() if event.answer in text]
            assert told.split("/")[0] in tells
            if event.type != "string-retrieval/key-value":  # the value of one record names another
                assert len(tells) == 1


def test_evidence_recall_counts_statements_not_chunks() -> None:
    """Keeping the few sentences that matter holds the evidence; keeping others of the chunk holds none."""

    def keep(env: Any, observation: dict[str, Any]) -> dict[str, Any]:
        if observation["phase"] != Phase.ITEM:
            return as_action()
        return as_action([MemoryOp.add(text) for text in env.oracle_state()["statements"].values()])

    def keep_others(env: Any, observation: dict[str, Any]) -> dict[str, Any]:
        if observation["phase"] != Phase.ITEM:
            return as_action()
        told = set(env.oracle_state()["statements"].values())
        others = [part for part in re.split(r"(?<=[.!]) ", observation["text"]) if part not in told]
        return as_action([MemoryOp.add(" ".join(others[:3]))])

    arguments = {"num_words": 6000, "difficulty": "easy", "memory_budget": None, "view_bytes": 1 << 20}
    recalls = {}
    for act in (keep, keep_others):
        seen = play(LongHorizonQA(**arguments), act)
        found = [info["evidence_recall"] for _, info in seen if "evidence_recall" in info]
        recalls[act] = sum(found) / len(found)
    assert recalls[keep] == 1.0
    assert recalls[keep_others] < 0.1


def test_long_stream_starts_at_once_and_goes_on_at_once_after_pickling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []
    write = LongQAWorld.chunk

    def counted(self: LongQAWorld, index: int) -> Item:
        written.append(index)
        return write(self, index)

    monkeypatch.setattr(LongQAWorld, "chunk", counted)
    env = LongHorizonQA(num_words=10_000_000)
    env.reset(seed=0)
    for _ in range(50):
        env.step(as_action())
    assert written == list(range(51))
    copy = pickle.loads(pickle.dumps(env))
    assert copy.step(as_action())[0]["text"] == env.step(as_action())[0]["text"]
    assert written[51:] == [51, 51]


@pytest.mark.parametrize("difficulty", PRESETS)
@pytest.mark.parametrize("mode", ["multi-request", "multi-turn"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_type_is_asked_and_oracle_answers_all(difficulty: str, mode: str, split: str) -> None:
    asked: dict[str, list[bool]] = {}
    arguments = {"mode": mode, "split": split, "difficulty": difficulty, "num_questions": 40}
    for episode in play_by_name("oracle", "memgym/LongHorizonQA-v0", 3, **arguments):
        for question in episode.questions:
            asked.setdefault(question["type"], []).append(question["is_correct"])
    missing = set(QUESTION_TYPES) - set(asked)
    if mode == "multi-turn":  # conversations go one relation at a time
        missing -= {
            "conflict-resolution/multi-hop",
            "accurate-retrieval/multi-key",
            "string-retrieval/prefix-suffix",
        }
    assert missing == set()
    assert all(all(row) for row in asked.values())


def test_only_the_abilities_asked_for_are_told_and_asked() -> None:
    one = world(abilities=("string-retrieval",))
    assert {q.meta["ability"] for q in one.stream() if isinstance(q, Question)} == {"string-retrieval"}
    assert not any("Part 1" in text for text in statements(one))


def test_questions_are_spread_over_the_rounds() -> None:
    kinds = ["q" if isinstance(e, Question) else "i" for e in world(num_rounds=3, num_questions=12).stream()]
    assert re.fullmatch(r"i{20}q{4}i{20}q{4}i{20}q{4}", "".join(kinds))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_words": 999}, r"num_words is an integer from \d+ to 10000000"),
        ({"num_words": 10_000_001}, "num_words"),
        ({"num_words": 1e5}, "num_words"),
        ({"chunk_words": 31}, "chunk_words is an integer from 32"),
        ({"num_rounds": 0}, "num_rounds is an integer from 1 to 24"),
        ({"num_questions": 0}, "num_questions"),
        ({"num_facts": 25}, "num_facts is an integer from 1 to 24"),
        ({"updates": -1}, "updates"),
        ({"hops": 1}, "hops is an integer from 2 to 4"),
        ({"num_classes": 7}, "num_classes is 4 or 8, not 7"),
        ({"rule_features": 3}, "rule_features"),
        ({"distractor_rate": 0.6}, "distractor_rate is a number from 0 to 0.5"),
        ({"answer_format": "essay"}, "answer_format"),
        ({"num_choices": 5}, "num_choices is 2 or 4"),
        ({"difficulty": "lethal"}, "difficulty is 'easy', 'medium' or 'hard'"),
        ({"mode": "chat"}, "mode"),
        ({"abilities": ()}, "abilities"),
        ({"abilities": "string-retrieval"}, "abilities is a sequence"),
        ({"abilities": ("juggling",)}, "abilities are some of accurate-retrieval"),
        ({"core_bytes": -1}, "core_bytes"),
        ({"core_bytes": 9, "ops": "extended"}, r"\(core_bytes\) has core operations only"),
    ],
)
def test_bad_argument_is_named_with_its_range(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LongHorizonQA(**kwargs)


def test_abilities_in_another_order_are_the_same_task() -> None:
    one, other = (LongHorizonQA(abilities=some, num_words=4000) for some in (ALL, ALL[::-1]))
    assert one.reset(seed=0)[0]["text"] == other.reset(seed=0)[0]["text"]


# ---------------------------------------------------------------------- a memory in three parts


def parts(core_bytes: int | None = 20, **kwargs: Any) -> LongHorizonQA:
    env = LongHorizonQA(num_words=4000, core_bytes=core_bytes, **kwargs)
    env.reset(seed=0)
    return env


def refusals(env: LongHorizonQA, *ops: MemoryOp) -> list[str]:
    return [refused["reason"] for refused in env.step(as_action(ops))[-1]["refused"]]


@pytest.mark.parametrize(
    ("ops", "reason"),
    [
        ([MemoryOp.add("no kind")], "attrs need a 'kind', one of core, episodic, semantic, not ''"),
        ([MemoryOp.add("x", kind="fact")], "not 'fact'"),
        ([MemoryOp.add("x", kind=["core"])], "attrs need a 'kind'"),
        ([MemoryOp.add("x" * 21, kind="core")], "core has at most 20 B of text, not 21 B"),
        ([MemoryOp.add("é" * 11, kind="core")], "not 22 B"),
        (
            [MemoryOp.add("a", kind="core"), MemoryOp.add("b", kind="core")],
            "core is one entry, m1: UPDATE it",
        ),
        ([MemoryOp.add("a", kind="core"), MemoryOp.update("m1", "x" * 21)], "core has at most"),
        ([MemoryOp.add("a", kind="episodic"), MemoryOp.update("m1", "b", kind="semantic")], "stays so"),
        ([MemoryOp.update("m9", "b", kind="core")], "no entry 'm9'"),
    ],
)
def test_what_breaks_the_rules_of_the_parts_is_refused(ops: list[MemoryOp], reason: str) -> None:
    (refused,) = refusals(parts(), *ops)
    assert reason in refused


def test_operations_that_keep_the_rules_are_carried_out() -> None:
    env = parts()
    ops = [
        MemoryOp.add("who I am", kind="core"),
        MemoryOp.add("what happened", kind="episodic"),
        MemoryOp.add("what is so", kind="semantic"),
        MemoryOp.update("m1", "who I am now"),
        MemoryOp.update("m2", "what happened then", kind="episodic"),
        MemoryOp.delete("m1"),
        MemoryOp.add("someone else", kind="core"),
    ]
    assert refusals(env, *ops) == []
    assert [(e.kind, e.text) for e in env.bank.get_all()] == [
        ("episodic", "what happened then"),
        ("semantic", "what is so"),
        ("core", "someone else"),
    ]
    env.reset(seed=0)
    assert refusals(env, MemoryOp.add("again", kind="core")) == []


def test_without_parts_any_kind_goes() -> None:
    env = parts(core_bytes=None)
    assert (
        refusals(env, MemoryOp.add("x"), MemoryOp.add("y", kind="fact"), MemoryOp.add("z" * 99, kind="core"))
        == []
    )


def test_core_is_always_in_view() -> None:
    env = parts(core_bytes=100, view_bytes=60)
    ops = [MemoryOp.add(f"fact {i} about nothing in particular", kind="semantic") for i in range(9)]
    observation, *_ = env.step(as_action([MemoryOp.add("I count ships", kind="core"), *ops]))
    assert [entry["text"] for entry in observation["memory"]][:1] == ["I count ships"]
    observation, *_ = env.step(as_action([MemoryOp.delete("m1")]))
    assert "I count ships" not in [entry["text"] for entry in observation["memory"]]


def test_golden_episode() -> None:
    """A change of these bytes is a change of the task: it needs a new version of the id."""
    arguments = {"num_words": 4000, "difficulty": "medium"}
    hashes = [e.hash for e in play_by_name("oracle", "memgym/LongHorizonQA-v0", 2, **arguments)]
    assert hashes == GOLDEN


GOLDEN = ["27c047a29bc4e185bc104b953267bd4e", "37b50b7232dd7d5990b7ce8b69cba5ed"]
