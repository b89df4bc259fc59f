"""Key-Value Rewriting: its rules, laws, players and pictures; `test_streams` compares its forms."""

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.agents.scripted.key_value import KeyValuePlayer
from memgym.envs.key_value import DELETE, GET, SET, KeyValueArguments, KeyValueRewriting
from memgym.envs.key_value.rules import TRIES
from memgym.envs.key_value.vector import KeyValueRewritingVector
from memgym.envs.streams import Stream, generate, keys_of
from memgym.wrappers.memory_actions import MemoryActions

ENV_ID = "memgym/KeyValueRewriting-v0"
VARIANTS: list[dict[str, Any]] = [
    {},
    {"split": "test", "num_steps": 20},
    {"delay": 4, "num_keys": 3, "capacity": 2, "vocabulary": 2, "num_steps": 30},
    {"num_keys": 1, "capacity": 1, "absent_rate": 0.5, "delete_rate": 0.3, "num_steps": 15},
    {"num_keys": 40, "capacity": 40, "vocabulary": 100, "absent_rate": 0.0, "delete_rate": 0.0},
    {"num_steps": 2},
]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def streams(n: int = 400, backend: str = "numpy", **arguments: Any) -> tuple[KeyValueArguments, Stream]:
    task = KeyValueArguments(**arguments)
    return task, generate(task, keys_of(task, 7, 0, n), backend)


def told(env: KeyValueRewriting, operations: list[str]) -> None:
    """Let an environment show these operations, e.g. ``"SET 3 5"``, ``"DELETE 3"``, ``"GET 3"``, in place of its own.

    The right answers are set as well, from a dict that the operations change.
    """
    task, table, taken = env.arguments, {}, {}
    env.reset(seed=0)
    for t, operation in enumerate(operations):
        verb, key, *value = operation.split()
        env._tokens[t] = [{"SET": SET, "DELETE": DELETE, "GET": GET}[verb], 1 + int(key), 0]
        env._answers[t] = env._stale[t] = -1
        if verb == "GET":
            env._answers[t], env._stale[t] = table.get(key, 0), taken.get(key, -1)
        elif key in table:
            taken[key] = table.pop(key)
        if verb == "SET":
            env._tokens[t, 2] = 1 + 2 * int(value[0])
            table[key] = task.values.answer_of(1 + 2 * int(value[0]))
    env._rows[: len(operations)] = list(task.observe(env._tokens[: len(operations)]))


# ---------------------------------------------------------------------- the rules, by hand


def test_an_answer_is_counted_as_right_stale_leaked_or_blind():
    env = KeyValueRewriting()
    told(env, ["SET 0 4", "SET 0 6", "GET 0", "GET 0", "GET 0", "DELETE 0", "GET 0", "GET 0", "GET 1"])
    answers = [0, 0, 7, 5, 2, 0, 7, 0, 3]
    keys = ("is_correct", "gets", "correct", "stale_errors", "leak_errors", "cue_blind_errors")
    expected = [
        (False, 0, 0, 0, 0, 0),
        (False, 0, 0, 0, 0, 0),
        (True, 1, 1, 0, 0, 0),  # v6
        (False, 2, 1, 1, 0, 0),  # v4, which v6 has replaced
        (False, 3, 1, 1, 0, 1),  # v1, which was never there
        (False, 3, 1, 1, 0, 1),
        (False, 4, 1, 1, 1, 1),  # v6, which was deleted
        (True, 5, 2, 1, 1, 1),  # none
        (False, 6, 2, 1, 1, 2),  # a key never set
    ]
    for answer, counts in zip(answers, expected, strict=True):
        _, reward, terminated, truncated, info = env.step(answer)
        assert counts == tuple(info[key] for key in keys)
        assert (float(counts[0]), False, False) == (reward, terminated, truncated)
        assert info["accuracy"] == (counts[2] / counts[1] if counts[1] else 0.0)


def test_the_value_before_a_delete_is_no_stale_error_once_it_is_right_again():
    env = KeyValueRewriting()
    told(env, ["SET 0 4", "DELETE 0", "SET 0 4", "GET 0"])
    for _ in range(3):
        env.step(0)
    assert env.step(5)[4]["is_correct"]


def test_the_last_answer_ends_the_episode_with_a_zero_observation():
    env = KeyValueRewriting(num_steps=5)
    env.reset(seed=0)
    for t in range(5):
        observation, _, terminated, truncated, info = env.step(env.oracle_action())
        assert (terminated, truncated) == (t == 4, False)
        assert info["success"] == (t == 4)
    assert not observation.any()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_one_wrong_answer_is_no_success():
    env = KeyValueRewriting(num_steps=5)
    env.reset(seed=0)
    for _ in range(4):
        env.step(env.oracle_action())
    *_, info = env.step((env.oracle_action() + 1) % 9)
    assert not info["success"]
    assert info["correct"] == info["gets"] - 1


@pytest.mark.parametrize("action", [9, -1, 0.5, "none"])
def test_an_action_outside_the_space_is_refused(action):
    env = KeyValueRewriting()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action is an integer from 0 to 8"):
        env.step(action)


def test_an_array_of_no_dimension_is_an_action():
    env = KeyValueRewriting()
    env.reset(seed=0)
    assert env.step(np.array(3))[4]["gets"] in (0, 1)


def test_step_before_reset_asks_for_it():
    with pytest.raises(gym.error.ResetNeeded):
        KeyValueRewriting().step(0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_steps": 1}, "num_steps is an integer from 2 to 10000"),
        ({"num_keys": 0}, "num_keys is an integer from 1 to 1024"),
        ({"num_keys": 3, "capacity": 4}, r"capacity is an integer from 1 to num_keys \(3\)"),
        ({"capacity": 0}, "capacity is an integer from 1"),
        ({"vocabulary": 1}, "vocabulary is an integer from 2 to 1024"),
        ({"query_rate": 1.0}, "query_rate is a number from 0 to 0.9"),
        ({"overwrite_rate": -0.1}, "overwrite_rate is a number from 0 to 1"),
        ({"delete_rate": "often"}, "delete_rate is a number from 0 to 1"),
        ({"absent_rate": float("nan")}, "absent_rate is a number from 0 to 1"),
        (
            {"query_rate": 0.8, "overwrite_rate": 0.3},
            r"query_rate \+ overwrite_rate \+ delete_rate is at most 1",
        ),
        ({"num_steps": 10, "delay": 9}, r"delay is an integer from 0 to num_steps - 2 \(8\)"),
        ({"delay": -1}, "delay is an integer from 0"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [KeyValueRewriting, KeyValueRewritingVector])
def test_a_bad_argument_is_named_with_its_range(form, arguments, words):
    with pytest.raises(ValueError, match=words):
        form(**arguments)


# ---------------------------------------------------------------------- laws


@st.composite
def arguments(draw: Any) -> dict[str, Any]:
    num_steps, num_keys = draw(st.integers(2, 40)), draw(st.integers(1, 12))
    shares = [draw(st.integers(0, 10)) for _ in range(3)]
    unit = max(sum(shares), draw(st.integers(1, 30)))
    return {
        "num_steps": num_steps,
        "num_keys": num_keys,
        "capacity": draw(st.integers(1, num_keys)),
        "vocabulary": draw(st.integers(2, 9)),
        "query_rate": min(shares[0] / unit, 0.9),
        "overwrite_rate": shares[1] / unit,
        "delete_rate": shares[2] / unit,
        "absent_rate": draw(st.integers(0, 4)) / 4,
        "delay": draw(st.integers(0, num_steps - 2)),
        "split": draw(st.sampled_from(["train", "test"])),
    }


@given(arguments(), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=150)
def test_every_stream_obeys_the_laws(chosen, seed):
    task = KeyValueArguments(**chosen)
    (tokens,), (answers,), (stale,), (overwrites,) = generate(task, keys_of(task, seed, 0, 1))
    table, taken, changed = {}, {}, {}
    for t, (operation, key, word) in enumerate(tokens.tolist()):
        if operation == SET:
            assert overwrites[t] == (key in table)
            if key in table:
                assert task.values.answer_of(word) != table[key]  # an overwrite invalidates what was there
                taken[key] = table[key]
            table[key] = task.values.answer_of(word)
        elif operation == DELETE:
            taken[key] = table.pop(key)  # fails where the key holds nothing
        elif operation == GET:
            assert answers[t] == table.get(key, 0)
            assert stale[t] == taken.get(key, -1)
            assert t == task.num_steps - 1 or t - changed.get(key, -(10**6)) > task.delay
        else:
            assert (key, word) == (0, 0)
        if operation in (SET, DELETE):
            changed[key] = t
        assert (answers[t] >= 0) == (operation == GET)
        assert (word > 0) == (operation == SET)
        assert len(table) <= task.capacity
    assert operation == GET  # the last one always


def test_a_get_after_delete_is_none_and_one_after_a_new_set_is_not():
    _, stream = streams(delete_rate=0.3)
    tokens, answers = stream.tokens, stream.answers
    after = {SET: [], DELETE: []}
    for before, now, answer in zip(
        tokens[:, :-1].reshape(-1, 3), tokens[:, 1:].reshape(-1, 3), answers[:, 1:].ravel(), strict=True
    ):
        if before[0] in after and now[0] == GET and now[1] == before[1]:
            after[int(before[0])].append(int(answer))
    assert len(after[DELETE]) > 50
    assert set(after[DELETE]) == {0}
    assert 0 not in after[SET]
    assert len(after[SET]) > 50


def test_operations_have_their_shares():
    task, stream = streams(2000, num_keys=64, capacity=60, absent_rate=0.3)
    drawn = stream.tokens[:, 1:-1, 0].ravel()  # the first and the last are bound
    asked = stream.answers[:, 1:-1].ravel()
    assert np.mean(drawn == GET) == pytest.approx(task.query_rate, abs=0.01)
    assert np.mean(stream.overwrites[:, 1:-1]) == pytest.approx(task.overwrite_rate, abs=0.01)
    assert np.mean(drawn == DELETE) == pytest.approx(task.delete_rate, abs=0.01)
    assert np.mean(asked[asked >= 0] == 0) == pytest.approx(task.absent_rate, abs=0.01)


def test_keys_and_values_are_equally_frequent():
    _, stream = streams(2000)
    for field, size in ((1, 8), (2, 16)):
        ids = stream.tokens[..., field]
        counts = np.bincount(ids[ids > 0] - 1, minlength=size)
        np.testing.assert_allclose(counts / counts.sum(), 1 / size, atol=0.004)


def test_a_get_looks_at_several_keys_before_it_gives_up():
    arguments = {"num_keys": TRIES, "capacity": TRIES, "absent_rate": 0.0, "delay": 2, "delete_rate": 0.0}
    task, stream = streams(query_rate=0.5, overwrite_rate=0.5, **arguments)
    for tokens in stream.tokens[:50].tolist():
        changed = {}
        for t, (operation, key, _) in enumerate(tokens):
            if operation == 0:  # with as many keys as tries, a GET is left out only where it must be
                assert all(t - last <= task.delay for last in changed.values())
            elif operation == SET:
                changed[key] = t


def test_the_test_split_shows_words_that_train_never_shows():
    train, seen = streams(num_keys=5, capacity=3, vocabulary=6)
    test, unseen = streams(num_keys=5, capacity=3, vocabulary=6, split="test")
    assert train.observation_space() == test.observation_space()
    for field, part, size in ((1, slice(3, 7), 5), (2, slice(7, None), 12)):
        ids = [set(np.unique(stream.tokens[..., field])) - {0} for stream in (seen, unseen)]
        assert len(ids[0]) == len(ids[1]) == size
        assert not ids[0] & ids[1]
        shown = [train.observe(seen.tokens)[..., part], test.observe(unseen.tokens)[..., part]]
        words = [{row.tobytes() for row in rows.reshape(-1, rows.shape[-1]) if row.any()} for rows in shown]
        assert len(words[0]) == len(words[1]) == size
        assert not words[0] & words[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_digit_takes_both_values_in_both_splits(split):
    task, stream = streams(split=split)
    shown = task.observe(stream.tokens)[..., 3:]
    assert np.all(np.any(shown == 1, axis=(0, 1)) & np.any(shown == -1, axis=(0, 1)))


def test_reading_an_observation_gives_its_tokens():
    task, stream = streams(20, num_keys=9, vocabulary=300)
    for tokens in stream.tokens.reshape(-1, 3):
        assert tuple(tokens) == task.read(task.observe(tokens))


# ---------------------------------------------------------------------- players, checkers, pictures


def accuracy(memory: str, episodes: int = 100, **arguments: Any) -> float:
    env, total = KeyValueRewriting(**arguments), 0.0
    for episode in range(episodes):
        player, done, info = KeyValuePlayer(env, memory), False, {}
        observation, _ = env.reset(seed=5, options={"episode": episode})
        while not done:
            observation, _, done, _, info = env.step(player.act(observation))
        total += info["accuracy"]
    return total / episodes


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_players_reach_the_reference_scores(variant):
    reference = KeyValueRewriting(**variant).reference_scores()
    assert accuracy("belief", **variant) == 1.0
    for memory in ("first-cue", "cue-blind"):
        assert accuracy(memory, **variant) == pytest.approx(reference[memory], abs=0.13), memory


def test_the_memory_gap_is_wide_with_default_arguments():
    scores = KeyValueRewriting().reference_scores()
    assert scores["random"] == pytest.approx(1 / 9)
    # nearly always there is a key of either kind to ask for, so "none" is right to a fifth of the GETs
    assert scores["cue-blind"] == pytest.approx(0.2, abs=0.02)
    assert scores["first-cue"] == pytest.approx(0.374, abs=0.01)


def test_random_answers_score_one_in_nine():
    envs, rng = KeyValueRewritingVector(2000), np.random.default_rng(0)
    envs.reset(seed=0)
    for _ in range(64):
        *_, info = envs.step(rng.integers(0, 9, 2000))
    assert info["accuracy"].mean() == pytest.approx(1 / 9, abs=0.005)


def test_a_player_counts_the_bytes_that_it_keeps():
    env = KeyValueRewriting(num_steps=200, num_keys=20, capacity=5)
    players = {memory: KeyValuePlayer(env, memory) for memory in ("belief", "first-cue", "cue-blind")}
    observation, _ = env.reset(seed=0)
    seen = set()
    for _ in range(200):
        for player in players.values():
            player.act(observation)
        operation, key, _ = env.arguments.read(observation)
        seen |= {key} if operation == SET else set()
        observation, *_ = env.step(0)
    assert 0 < players["belief"].nbytes <= 4 * 5
    assert players["first-cue"].nbytes == 4 * len(seen) > 4 * 5
    assert players["cue-blind"].nbytes == 0


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_gymnasiums_and_stable_baselines_checkers_pass(variant):
    check_env(gym.make(ENV_ID, render_mode="rgb_array", **variant).unwrapped)
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    sb3.check_env(KeyValueRewriting(**variant))
    sb3.check_env(MemoryActions(KeyValueRewriting(**variant), num_slots=2))


def test_words_tell_what_the_numbers_show():
    env = KeyValueRewriting(split="test")
    told(env, ["SET 9 8", "GET 9", "DELETE 9"])
    assert env.describe(env._rows[0]) == "SET k9 = v0c"
    assert env.describe(env._rows[1]) == "GET k9: answer with its value or 'none'"
    assert env.describe(env.step(0)[0] * 0) == "nothing"
    assert env.action_names == ("none", *(f"v{i}" for i in range(8)))
    assert "v0c and v0d" in env.instructions()


def test_the_oracle_sees_the_table():
    env = KeyValueRewriting()
    told(env, ["SET 2 5", "SET 3 1", "DELETE 2", "GET 3"])
    assert env.oracle_state() == {"answer": -1, "memory": {3: 6}}
    for _ in range(3):
        env.step(0)
    assert env.oracle_state() == {"answer": 2, "memory": {4: 2}}
    assert env.oracle_action() == 2


def test_the_text_frame_marks_answers_and_shows_the_table():
    env = KeyValueRewriting(render_mode="ansi")
    told(env, ["SET 2 5", "GET 2", "GET 2", "SET 3 1"])
    for answer in (0, 6, 0):
        env.step(answer)
    frame = env.render().splitlines()
    assert frame[0] == "step 3/64  right 1/2"
    assert "GET k2  \033[32mv5\033[0m" in frame[2]
    assert "GET k2  \033[31mnone (right: v5)\033[0m" in frame[3]
    assert frame[4].startswith("> SET k3 = v1a")
    assert [line.split("| ")[1] for line in frame[1:3]] == ["k2  v5", "k3  v1"]


def test_a_vector_frame_is_the_scalar_frame():
    one, many = KeyValueRewriting(render_mode="ansi"), KeyValueRewritingVector(3, render_mode="ansi")
    one.reset(seed=2)
    many.reset(seed=0)
    for step in range(40):
        assert many.render()[2] == one.render()  # type: ignore[index]
        one.step(step % 3)
        many.step(np.full(3, step % 3))


@pytest.mark.parametrize(
    "variant", [*VARIANTS, {"num_keys": 1024, "capacity": 1024, "vocabulary": 1024}], ids=name
)
def test_a_picture_changes_with_every_answer(variant):
    env = KeyValueRewriting(render_mode="rgb_array", **variant)
    env.reset(seed=0)
    frames = [env.render()]
    while not env.step(0)[2]:
        frames.append(env.render())
    frames.append(env.render())
    assert {(frame.shape, frame.dtype) for frame in frames} == {((240, 560, 3), np.dtype(np.uint8))}
    assert all((a != b).any() for a, b in pairwise(frames))
