"""Order Rewriting: its rules, laws, forms, players and words."""

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.agents.scripted.order import OrderPlayer
from memgym.checks import check_vector_env
from memgym.envs.order import APPEND, AT, FRONT, REMOVE, OrderArguments, OrderRewriting
from memgym.envs.order.vector import OrderRewritingVector
from memgym.envs.streams import Stream, generate, keys_of

ENV_ID = "memgym/OrderRewriting-v0"
VERBS = {"APPEND": APPEND, "REMOVE": REMOVE, "FRONT": FRONT, "AT": AT}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"split": "test", "num_steps": 20},
    {"num_items": 2, "capacity": 2, "num_steps": 7},
    {"num_items": 100, "capacity": 64, "num_steps": 80, "absent_rate": 0.5},
    {"capacity": 8, "query_rate": 0.1, "move_rate": 0.3, "remove_rate": 0.6, "num_steps": 30},
    {"move_rate": 0.0, "remove_rate": 0.0, "absent_rate": 0.0},
    {"num_steps": 2},
]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def streams(n: int = 400, backend: str = "numpy", **arguments: Any) -> tuple[OrderArguments, Stream]:
    task = OrderArguments(**arguments)
    return task, generate(task, keys_of(task, 7, 0, n), backend)


def tokens_of(operations: str) -> list[list[int]]:
    """Tokens of operations such as ``"APPEND 3, AT 1"``; items by number, in their first spelling."""
    tokens = []
    for operation in operations.split(", "):
        verb, number = operation.split()
        tokens.append(
            [VERBS[verb], int(number), 0] if verb == "AT" else [VERBS[verb], 0, 1 + 2 * int(number)]
        )
    return tokens


# ---------------------------------------------------------------------- the rules, by hand


@pytest.mark.parametrize(
    ("operations", "items"),
    [
        ("APPEND 4, APPEND 0, APPEND 7", ["x4", "x0", "x7"]),
        ("APPEND 4, APPEND 0, APPEND 7, REMOVE 4", ["x0", "x7"]),
        ("APPEND 4, APPEND 0, APPEND 7, REMOVE 7", ["x4", "x0"]),
        ("APPEND 4, APPEND 0, APPEND 7, FRONT 7", ["x7", "x4", "x0"]),
        ("APPEND 4, APPEND 0, APPEND 7, FRONT 0", ["x0", "x4", "x7"]),
        ("APPEND 4, APPEND 0, FRONT 0, REMOVE 4, AT 1, APPEND 4", ["x0", "x4"]),
        ("APPEND 4, REMOVE 4", []),
    ],
)
def test_a_list_is_edited(operations, items):
    task = OrderArguments()
    memory = task.replay(np.array(tokens_of(operations)))
    assert [item for _, item in task.rows(memory)] == items
    assert list(memory) == list(range(1, len(items) + 1))


def test_the_rows_of_a_long_list_are_numbered_one_below_the_other():
    rows = OrderArguments(num_items=12, capacity=12).rows({place: place for place in range(1, 13)})
    assert rows[0] == (" 1.", "x0")
    assert rows[-1] == ("12.", "x11")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_steps": 1}, "num_steps is an integer from 2 to 10000"),
        ({"num_items": 1}, "num_items is an integer from 2 to 1024"),
        ({"capacity": 1}, "capacity is an integer from 2 to 8"),
        ({"capacity": 9}, "capacity is an integer from 2 to 8"),
        ({"num_items": 1000, "capacity": 65}, "capacity is an integer from 2 to 64"),
        ({"query_rate": 1.5}, "query_rate is a number from 0 to 1"),
        ({"move_rate": -0.1}, "move_rate is a number from 0 to 1"),
        ({"remove_rate": "often"}, "remove_rate is a number from 0 to 1"),
        ({"absent_rate": float("nan")}, "absent_rate is a number from 0 to 1"),
        ({"query_rate": 0.8, "move_rate": 0.3}, r"query_rate \+ move_rate \+ remove_rate is at most 1"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [OrderRewriting, OrderRewritingVector])
def test_a_bad_argument_is_named_with_its_range(form, arguments, words):
    with pytest.raises(ValueError, match=words):
        form(**arguments)


# ---------------------------------------------------------------------- laws


@st.composite
def arguments(draw: Any) -> dict[str, Any]:
    num_items = draw(st.integers(2, 12))
    shares = [draw(st.integers(0, 10)) for _ in range(3)]
    unit = max(sum(shares), draw(st.integers(1, 30)))
    return {
        "num_steps": draw(st.integers(2, 40)),
        "num_items": num_items,
        "capacity": draw(st.integers(2, num_items)),
        "query_rate": shares[0] / unit,
        "move_rate": shares[1] / unit,
        "remove_rate": shares[2] / unit,
        "absent_rate": draw(st.integers(0, 4)) / 4,
        "split": draw(st.sampled_from(["train", "test"])),
    }


@given(arguments(), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=100)
def test_every_stream_obeys_the_laws(chosen, seed):
    task = OrderArguments(**chosen)
    (tokens,), (answers,), (stale,), (overwrites,) = generate(task, keys_of(task, seed, 0, 1))
    items: list[int] = []
    taken: dict[int, int] = {}
    for t, (operation, place, token) in enumerate(tokens.tolist()):
        before, item = list(items), task.items.answer_of(token) if token else 0
        if operation == APPEND:
            assert item not in items
            items.append(item)
        elif operation == REMOVE:
            gap = items.index(item)
            items = items[:gap] + items[gap + 1 :]  # closes the gap
        elif operation == FRONT:
            assert items.index(item) > 0  # it always changes something
            items = [item, *(other for other in items if other != item)]
        else:
            assert operation == AT
            assert 1 <= place <= task.capacity
            assert answers[t] == (items[place - 1] if place <= len(items) else 0)
            assert stale[t] == taken.get(place, -1)
        changed = [p for p, old in enumerate(before) if old != (items[p] if p < len(items) else 0)]
        taken |= {p + 1: before[p] for p in changed}
        assert overwrites[t] == any(p < len(items) for p in changed)
        assert (answers[t] >= 0) == (place > 0) == (token == 0) == (operation == AT)
        assert len(items) <= task.capacity
        assert len(set(items)) == len(items)
        assert before or operation == APPEND or t == task.num_steps - 1
    assert tokens[-1, 0] == AT  # always


@given(arguments(), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_what_the_belief_player_holds_is_what_the_operations_make(chosen, seed):
    env = OrderRewriting(**chosen)
    player = OrderPlayer(env, "belief")
    observation, _ = env.reset(seed=seed)
    done = False
    while not done:
        answer = player.act(observation)
        memory = env.oracle_state()["memory"]
        assert player._items == list(memory.values())
        assert player.nbytes == 2 * len(memory)
        assert answer == env.oracle_action()
        observation, _, done, _, _ = env.step(answer)


def test_operations_have_their_shares():
    task, stream = streams(
        1000, num_items=200, capacity=64, query_rate=0.3, move_rate=0.25, remove_rate=0.1, num_steps=80
    )
    drawn, asked = stream.tokens[:, 20:-1, 0], stream.answers[:, 20:-1]  # by then every operation is possible
    for operation, share in ((AT, 0.3), (FRONT, 0.25), (REMOVE, 0.1), (APPEND, 0.35)):
        assert np.mean(drawn == operation) == pytest.approx(share, abs=0.01)
    assert np.mean(asked[asked >= 0] == 0) == pytest.approx(task.absent_rate, abs=0.01)


def test_items_and_their_spellings_are_equally_frequent():
    _, stream = streams(2000)
    ids = stream.tokens[..., 2]
    counts = np.bincount(ids[ids > 0] - 1, minlength=16)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 16, atol=0.004)


def test_one_edit_shifts_several_places():
    task, stream = streams(20, capacity=8, move_rate=0.3, remove_rate=0.1)
    changes = []
    for tokens in stream.tokens:
        lists = [task.replay(tokens[: t + 1]) for t in range(len(tokens))]
        changes += [sum(now.get(p) != item for p, item in old.items()) for old, now in pairwise(lists)]
    assert max(changes) == 8
    assert np.mean(np.array(changes)[np.array(changes) > 0]) > 3


def test_the_test_split_shows_words_that_train_never_shows():
    (train, seen), (test, unseen) = streams(num_items=6), streams(num_items=6, split="test")
    assert train.observation_space() == test.observation_space()
    shown = [train.observe(seen.tokens)[..., 10:], test.observe(unseen.tokens)[..., 10:]]
    words = [{row.tobytes() for row in rows.reshape(-1, rows.shape[-1]) if row.any()} for rows in shown]
    assert len(words[0]) == len(words[1]) == 12
    assert not words[0] & words[1]
    for rows in shown:  # while every digit takes both values
        assert np.all((rows == 1).any(axis=(0, 1)) & (rows == -1).any(axis=(0, 1)))


def test_answering_with_the_item_that_the_last_edit_took_from_the_place_is_stale_or_a_leak():
    env = OrderRewriting()
    wrong = {"stale_errors": 0, "leak_errors": 0}
    for episode in range(20):
        _, answers, stale, _ = (
            part[0] for part in generate(env.arguments, keys_of(env.arguments, 3, episode, 1))
        )
        env.reset(seed=3, options={"episode": episode})
        expected, info = dict.fromkeys(wrong, 0), {}
        for answer, old in zip(answers.tolist(), stale.tolist(), strict=True):
            info = env.step(old if old >= 0 else max(answer, 0))[4]
            if answer >= 0 and old >= 0 and old != answer:
                expected["stale_errors" if answer else "leak_errors"] += 1
        assert {key: info[key] for key in wrong} == expected
        assert info["correct"] + sum(expected.values()) == info["gets"]
        wrong = {key: count + expected[key] for key, count in wrong.items()}
    assert min(wrong.values()) > 10


# ---------------------------------------------------------------------- the forms


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_numpy_and_numba_make_the_same_streams(variant):
    pytest.importorskip("numba")
    (_, ours), (_, theirs) = streams(1100, **variant), streams(1100, "numba", **variant)
    for one, other in zip(ours, theirs, strict=True):  # more than a block of the compiled loop
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("variant", VARIANTS[:3], ids=name)
def test_vector_equals_scalar_bit_for_bit(variant, mode):
    assert check_vector_env(ENV_ID, mode, 7, 140, vector_kwargs={"backend": "numpy"}, **variant) > 0


def test_episodes_that_start_alone_are_those_that_start_together():
    """Environments out of step: a reset of a few of them touches no other."""
    pytest.importorskip("numba")
    for backend in ("numpy", "numba"):
        envs = OrderRewritingVector(6, autoreset_mode="Disabled", backend=backend)  # type: ignore[arg-type]
        whole = OrderRewritingVector(6, autoreset_mode="Disabled", backend="numpy")
        envs.reset(seed=0)
        whole.reset(seed=0)
        for _ in range(20):
            envs.step(np.zeros(6, int))
        mask = np.array([False, True, False, False, True, False])
        envs.reset(seed=0, options={"reset_mask": mask})
        for _ in range(20):
            given, wanted = envs.step(np.zeros(6, int))[0], whole.step(np.zeros(6, int))[0]
            assert np.array_equal(given[mask], wanted[mask])


GOLDEN = {
    "default": "b2065e6ee0a92dbe",
    "split=test-num_steps=20": "5439cb01d070e7e3",
    "num_items=2-capacity=2-num_steps=7": "c5f315e1f1d46dd8",
    "num_items=100-capacity=64-num_steps=80-absent_rate=0.5": "c1d723df6b37f990",
}


@pytest.mark.parametrize("variant", VARIANTS[:4], ids=name)
def test_the_bytes_of_v0_never_change(variant):
    task, stream = streams(50, **variant)
    digest = hashlib.sha256(task.observe(stream.tokens).tobytes())
    for array in stream:
        digest.update(array.tobytes())
    assert GOLDEN[name(variant)] == digest.hexdigest()[:16]


# ---------------------------------------------------------------------- players


class Forgetful(OrderPlayer):
    """Does not take part in one kind of edit."""

    misses = 0

    def _edit(self, operation: int, answer: int) -> None:
        if operation != self.misses and (operation == APPEND or answer in self._items):
            super()._edit(operation, answer)


def accuracy(player: Any, memory: str = "belief", episodes: int = 60, **arguments: Any) -> float:
    env, total = OrderRewriting(**arguments), 0.0
    for episode in range(episodes):
        one, done, info = player(env, memory), False, {}
        observation, _ = env.reset(seed=5, options={"episode": episode})
        while not done:
            observation, _, done, _, info = env.step(one.act(observation))
        total += info["accuracy"]
    return total / episodes


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_players_reach_the_reference_scores(variant):
    reference = OrderRewriting(**variant).reference_scores()
    assert accuracy(OrderPlayer, "belief", 10, **variant) == 1.0
    margin = 0.05 if variant.get("num_steps", 64) > 7 else 0.2
    for memory in ("first-cue", "cue-blind"):
        assert accuracy(OrderPlayer, memory, **variant) == pytest.approx(reference[memory], abs=margin), (
            memory
        )


def test_the_memory_gap_is_wide_with_default_arguments():
    scores = OrderRewriting().reference_scores()
    assert scores["random"] == pytest.approx(1 / 9)
    assert scores["cue-blind"] == pytest.approx(0.19, abs=0.01)
    assert scores["first-cue"] == pytest.approx(0.21, abs=0.01)


def test_the_first_list_is_all_there_is_to_know_where_nothing_is_edited():
    retention: dict[str, Any] = {"move_rate": 0.0, "remove_rate": 0.0}
    assert accuracy(OrderPlayer, "first-cue", 20, **retention) == 1.0
    assert OrderArguments(**retention).reference_scores()["first-cue"] == 1.0


@pytest.mark.parametrize("edit", [APPEND, REMOVE, FRONT])
def test_a_memory_that_misses_one_kind_of_edit_fails(edit):
    assert accuracy(Forgetful) == 1.0
    assert accuracy(type("Misses", (Forgetful,), {"misses": edit})) < 0.6


def test_without_memory_the_answer_may_depend_on_the_place():
    env = OrderRewriting(absent_rate=0.5)
    player = OrderPlayer(env, "cue-blind")
    said = [player.act(env.arguments.observe(np.array([AT, place, 0]))) for place in range(1, 7)]
    assert said[0] == 1  # a list has a first item nearly always,
    assert said[-1] == 0  # and a sixth one seldom
    assert player.nbytes == 0


# ---------------------------------------------------------------------- words


def test_words_tell_what_the_numbers_show():
    env = OrderRewriting(split="test")
    shown = [
        env.arguments.observe(np.array(tokens)) for tokens in ([AT, 3, 0], [FRONT, 0, 17], [REMOVE, 0, 20])
    ]
    words = [env.describe(row) for row in shown]
    assert words == ["AT 3: answer with the item there or 'none'", "FRONT x0c", "REMOVE x1d"]
    assert env.describe(shown[0] * 0) == "nothing"
    assert env.action_names == ("none", *(f"x{i}" for i in range(8)))
    assert "x0c and x0d" in env.instructions()


def test_a_frame_shows_the_list_in_order_beside_the_operations():
    env = OrderRewriting(render_mode="ansi")
    env.reset(seed=1)
    for _ in range(30):
        env.step(env.oracle_action())
    frame = env.render().splitlines()
    items = [env.action_names[item] for item in env.oracle_state()["memory"].values()]
    assert [line.split("| ")[1] for line in frame[1 : 1 + len(items)]] == [
        f"{place}.  {item}" for place, item in enumerate(items, start=1)
    ]
