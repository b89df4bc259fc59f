"""Random numbers, registries, scorers: the small parts that everything stands on."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.errors import MemgymError, UnknownName
from memgym.registry import Registry, load_object
from memgym.rng import CounterRNG, draw, draw_array, episode_key, episode_keys, mix64, seed_keys
from memgym.scoring import exact_match, is_abstention, normalise, score_answer, token_f1
from memgym.spaces import UnicodeText
from memgym.stream import UNKNOWN, Question

u64 = st.integers(0, 2**64 - 1)


# ---------------------------------------------------------------------- random numbers


def test_splitmix64_gives_its_published_numbers() -> None:
    """First outputs of SplitMix64 seeded with 1234567 (the generator's reference implementation)."""
    assert [draw(1234567, i) for i in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@given(st.lists(st.tuples(u64, st.integers(0, 2**31)), min_size=1, max_size=20), u64, st.integers(0, 10**6))
def test_arrays_and_integers_give_the_same_numbers(
    pairs: list[tuple[int, int]], stream: int, index: int
) -> None:
    seeds, episodes = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    keys = episode_keys(seed_keys(seeds, stream), episodes)
    assert keys.tolist() == [episode_key(s, e, stream) for s, e in pairs]
    assert draw_array(keys, index).tolist() == [draw(int(k), index) for k in keys]


def test_mixing_is_a_permutation_of_small_numbers() -> None:
    assert len({mix64(i) for i in range(10_000)}) == 10_000


def test_neighbouring_seeds_and_episodes_share_no_draws() -> None:
    draws = Counter(draw(episode_key(s, e), i) for s in range(20) for e in range(20) for i in range(20))
    assert max(draws.values()) == 1


@given(u64, st.integers(-5, 5), st.integers(0, 100))
def test_integers_stay_in_range(key: int, low: int, span: int) -> None:
    rng = CounterRNG(key)
    assert all(low <= rng.integer(low, low + span) <= low + span for _ in range(20))


def test_draws_are_uniform_enough() -> None:
    rng = CounterRNG(7)
    counts = Counter(rng.integer(0, 9) for _ in range(20_000))
    assert all(abs(count - 2000) < 200 for count in counts.values())
    assert abs(sum(rng.random() for _ in range(20_000)) / 20_000 - 0.5) < 0.01


@given(u64, st.lists(st.integers(), max_size=12), st.integers(0, 12))
def test_shuffle_and_sample_keep_the_items(key: int, items: list[int], k: int) -> None:
    shuffled = list(items)
    CounterRNG(key).shuffle(shuffled)
    assert sorted(shuffled) == sorted(items)
    assert Counter(CounterRNG(key).sample(items, k)) <= Counter(items)


def test_forks_are_independent_of_what_was_drawn() -> None:
    a, b = CounterRNG(3), CounterRNG(3)
    a.bits()
    assert a.fork(1, 2).bits() == b.fork(1, 2).bits() != b.fork(2, 1).bits()


# ---------------------------------------------------------------------- registries


def test_registry_resolves_names_and_references() -> None:
    registry = Registry("thing", {"join": "os.path:join"})
    import os.path

    assert registry.resolve("join") is os.path.join
    assert registry.resolve("os.path:split") is os.path.split
    assert list(registry) == ["join"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("joni", "Did you mean 'join'"),
        ("zzz", "Known: join"),
        ("os.path:nope", "no attribute 'nope'"),
        ("os.path:", "'module:attr'"),
        ("no_such_module.x:y", "no module 'no_such_module'"),
    ],
)
def test_unknown_name_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message) as raised:
        Registry("thing", {"join": "os.path:join"}).resolve(name)
    assert isinstance(raised.value, MemgymError)
    assert isinstance(raised.value, KeyError)


def test_package_cannot_replace_a_builtin_name() -> None:
    registry = Registry("command", {"memgym": "os.path:join"}, group="console_scripts")
    assert registry["memgym"] == "os.path:join"
    assert len(registry) > 1


def test_malformed_reference_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName):
        load_object("no-colon")


# ---------------------------------------------------------------------- scores


@pytest.mark.parametrize(
    ("prediction", "gold", "f1"),
    [
        ("the red car", "a red bike", 0.5),
        ("red", "red", 1.0),
        ("", "", 1.0),
        ("", "red", 0.0),
        ("red red", "red", 2 / 3),  # P 1/2, R 1
        ("Oslo, Norway", "oslo norway", 1.0),
    ],
)
def test_token_f1_equals_hand_count(prediction: str, gold: str, f1: float) -> None:
    assert token_f1(prediction, gold) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_token_f1_is_symmetric_and_one_for_equals(a: str, b: str) -> None:
    assert token_f1(a, b) == pytest.approx(token_f1(b, a))
    assert token_f1(a, a) == 1
    assert 0 <= token_f1(a, b) <= 1
    assert exact_match(a, b) == (normalise(a) == normalise(b))


@pytest.mark.parametrize("text", ["", "  ", UNKNOWN, "I don't know.", "No information available", "unknown!"])
def test_declining_is_recognised(text: str) -> None:
    assert is_abstention(text)


@pytest.mark.parametrize("text", ["Oslo", "He mentioned Oslo", "a mention"])
def test_answering_is_no_declining(text: str) -> None:
    assert not is_abstention(text)


def test_choice_scores_all_or_nothing_and_open_questions_by_f1() -> None:
    open_question = Question("q", "?", "t", "the red car", aliases=("automobile",))
    assert score_answer(open_question, "red bike").score == pytest.approx(0.5)
    assert score_answer(open_question, "Automobile!").is_correct
    choice = Question("q", "?", "t", "red car", choices=("red car", "red bike"))
    assert score_answer(choice, "red bike").score == 0


# ---------------------------------------------------------------------- spaces


def test_text_space_holds_all_of_unicode_up_to_its_length() -> None:
    space = UnicodeText(5)
    assert "日本語🎈é" in space
    assert "123456" not in space
    assert "\ud800" not in space
    assert 3 not in space
    space.seed(0)
    assert all(space.sample() in space for _ in range(50))
    assert space == UnicodeText(5) != UnicodeText(6)
