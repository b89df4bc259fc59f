"""Count Rewriting: its rules, laws, forms, players and words."""

import hashlib
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.agents.scripted.count import CountPlayer
from memgym.checks import check_vector_env
from memgym.envs.count import CLEAR, COME, GO, HOW_MANY, CountArguments, CountRewriting
from memgym.envs.count.vector import CountRewritingVector
from memgym.envs.streams import Stream, generate, keys_of

ENV_ID = "memgym/CountRewriting-v0"
VERBS = {"COME": COME, "GO": GO, "CLEAR": CLEAR, "HOW_MANY": HOW_MANY}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"split": "test", "num_steps": 20},
    {"num_kinds": 1, "max_count": 1, "num_steps": 9},
    {"num_kinds": 300, "max_count": 1024, "num_steps": 80, "query_rate": 0.1},
    {"num_kinds": 2, "max_count": 3, "query_rate": 0.0, "go_rate": 0.5, "clear_rate": 0.5, "num_steps": 30},
    {"go_rate": 0.0, "clear_rate": 0.0},
    {"num_steps": 2},
]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def streams(n: int = 400, backend: str = "numpy", **arguments: Any) -> tuple[CountArguments, Stream]:
    task = CountArguments(**arguments)
    return task, generate(task, keys_of(task, 7, 0, n), backend)


# ---------------------------------------------------------------------- the rules, by hand


@pytest.mark.parametrize(
    ("operations", "rows"),
    [
        ("COME 2, COME 0, COME 2", [("k0", "1"), ("k2", "2")]),
        ("COME 2, COME 0, COME 2, GO 2, GO 0", [("k2", "1")]),
        ("COME 2, COME 0, COME 2, CLEAR 2", [("k0", "1")]),
        ("COME 2, COME 2, CLEAR 2, HOW_MANY 2, COME 2", [("k2", "1")]),
        ("COME 1, GO 1, COME 1, COME 1", [("k1", "2")]),
        ("HOW_MANY 3", []),
    ],
)
def test_things_come_and_go(operations, rows):
    task = CountArguments()
    pairs = [operation.split() for operation in operations.split(", ")]
    memory = task.replay(np.array([[VERBS[verb], 1 + int(kind)] for verb, kind in pairs]))
    assert task.rows(memory) == rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_steps": 1}, "num_steps is an integer from 2 to 10000"),
        ({"num_kinds": 0}, "num_kinds is an integer from 1 to 1024"),
        ({"max_count": 0}, "max_count is an integer from 1 to 1024"),
        ({"max_count": 2.0}, "max_count is an integer from 1 to 1024"),
        ({"query_rate": 1.5}, "query_rate is a number from 0 to 1"),
        ({"go_rate": -0.1}, "go_rate is a number from 0 to 1"),
        ({"clear_rate": float("nan")}, "clear_rate is a number from 0 to 1"),
        ({"query_rate": 0.8, "go_rate": 0.3}, r"query_rate \+ go_rate \+ clear_rate is at most 1"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [CountRewriting, CountRewritingVector])
def test_a_bad_argument_is_named_with_its_range(form, arguments, words):
    with pytest.raises(ValueError, match=words):
        form(**arguments)


# ---------------------------------------------------------------------- laws


@st.composite
def arguments(draw: Any) -> dict[str, Any]:
    shares = [draw(st.integers(0, 10)) for _ in range(3)]
    unit = max(sum(shares), draw(st.integers(1, 30)))
    return {
        "num_steps": draw(st.integers(2, 40)),
        "num_kinds": draw(st.integers(1, 6)),
        "max_count": draw(st.integers(1, 6)),
        "query_rate": shares[0] / unit,
        "go_rate": shares[1] / unit,
        "clear_rate": shares[2] / unit,
        "split": draw(st.sampled_from(["train", "test"])),
    }


@given(arguments(), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=100)
def test_every_stream_obeys_the_laws(chosen, seed):
    task = CountArguments(**chosen)
    (tokens,), (answers,), (stale,), (overwrites,) = generate(task, keys_of(task, seed, 0, 1))
    counts, before = dict.fromkeys(range(1, 1 + 2 * task.num_kinds), 0), {}
    for t, (operation, kind) in enumerate(tokens.tolist()):
        count = counts[kind]
        if operation == HOW_MANY:
            assert answers[t] == count
            assert stale[t] == before.get(kind, -1)
        elif operation == COME:
            counts[kind] = count + 1
        elif operation == GO:
            assert count > 0
            counts[kind] = count - 1  # one less, and never below zero
        else:
            assert operation == CLEAR
            assert count > 0
            counts[kind] = 0
        if operation != HOW_MANY:
            before[kind] = count
        assert counts[kind] <= task.max_count
        assert overwrites[t] == (operation != HOW_MANY and count > 0 and counts[kind] > 0)
        assert (answers[t] >= 0) == (operation == HOW_MANY)
    assert tokens[-1, 0] == HOW_MANY  # always


def test_the_answer_follows_the_operation_before_it():
    _, stream = streams(1000, go_rate=0.2, clear_rate=0.1)
    told, asked = stream.tokens[:, :-1].reshape(-1, 2), stream.tokens[:, 1:].reshape(-1, 2)
    answers, old = stream.answers[:, 1:].ravel(), stream.stale[:, 1:].ravel()
    about_it = (told[:, 1] == asked[:, 1]) & (asked[:, 0] == HOW_MANY)
    for operation, law in ((COME, old + 1), (GO, old - 1), (CLEAR, old * 0)):
        these = about_it & (told[:, 0] == operation)
        assert these.sum() > 100
        assert np.array_equal(answers[these], law[these])


@given(arguments(), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_what_the_belief_player_holds_is_what_the_operations_make(chosen, seed):
    env = CountRewriting(**chosen)
    player = CountPlayer(env, "belief")
    observation, _ = env.reset(seed=seed)
    done = False
    while not done:
        answer = player.act(observation)
        assert {kind: count for kind, count in player._counts.items() if count} == env.oracle_state()[
            "memory"
        ]
        assert answer == env.oracle_action()
        observation, _, done, _, _ = env.step(answer)
    assert player.nbytes == 4 * len(player._counts) <= 4 * env.arguments.num_kinds


def test_operations_have_their_shares():
    _, stream = streams(2000, num_kinds=1, max_count=1000, query_rate=0.3, go_rate=0.2, clear_rate=0.1)
    there = stream.answers[:, :-1].copy()  # the count before each operation, of the only kind
    change = stream.tokens[..., 0]
    count = np.zeros(len(there), int)
    for t in range(there.shape[1]):
        there[:, t] = count
        count = np.select(
            [change[:, t] == COME, change[:, t] == GO, change[:, t] == CLEAR],
            [count + 1, count - 1, 0],
            count,
        )
    drawn = change[:, :-1][there > 0]  # at a count of 0 a COME takes the place of a GO or a CLEAR
    for operation, share in ((HOW_MANY, 0.3), (GO, 0.2), (CLEAR, 0.1), (COME, 0.4)):
        assert np.mean(drawn == operation) == pytest.approx(share, abs=0.01)
    assert np.mean(change[:, :-1][there == 0] == COME) == pytest.approx(0.7, abs=0.01)


def test_kinds_are_equally_frequent():
    _, stream = streams(2000, num_kinds=5)
    counts = np.bincount(stream.tokens[..., 1].ravel() - 1, minlength=5)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 5, atol=0.005)


def test_the_test_split_shows_words_that_train_never_shows():
    (train, seen), (test, unseen) = streams(num_kinds=6), streams(num_kinds=6, split="test")
    assert train.observation_space() == test.observation_space()
    shown = [train.observe(seen.tokens)[..., 4:], test.observe(unseen.tokens)[..., 4:]]
    words = [{row.tobytes() for row in rows.reshape(-1, rows.shape[-1])} for rows in shown]
    assert len(words[0]) == len(words[1]) == 6
    assert not words[0] & words[1]
    for rows in shown:  # while every digit takes both values
        assert np.all((rows == 1).any(axis=(0, 1)) & (rows == -1).any(axis=(0, 1)))


def test_answering_with_the_count_before_the_last_change_is_stale_or_a_leak():
    env = CountRewriting()
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
        envs = CountRewritingVector(6, autoreset_mode="Disabled", backend=backend)  # type: ignore[arg-type]
        whole = CountRewritingVector(6, autoreset_mode="Disabled", backend="numpy")
        envs.reset(seed=0)
        whole.reset(seed=0)
        for _ in range(20):
            envs.step(np.zeros(6, int))
        mask = np.array([False, True, False, False, True, False])
        envs.reset(seed=0, options={"reset_mask": mask})
        for _ in range(20):
            *given, infos = envs.step(np.ones(6, int))
            *wanted, other = whole.step(np.ones(6, int))
            assert np.array_equal(given[0][mask], wanted[0][mask])
            assert np.array_equal(infos["correct"][mask], other["correct"][mask])


GOLDEN = {
    "default": "9da0ca0f48c39453",
    "split=test-num_steps=20": "cf2b26353a4687d3",
    "num_kinds=1-max_count=1-num_steps=9": "29128d799919e3ac",
    "num_kinds=300-max_count=1024-num_steps=80-query_rate=0.1": "ec2e90ee3f727ea3",
}


@pytest.mark.parametrize("variant", VARIANTS[:4], ids=name)
def test_the_bytes_of_v0_never_change(variant):
    task, stream = streams(50, **variant)
    digest = hashlib.sha256(task.observe(stream.tokens).tobytes())
    for array in stream:
        digest.update(array.tobytes())
    assert GOLDEN[name(variant)] == digest.hexdigest()[:16]


# ---------------------------------------------------------------------- players


class Forgetful(CountPlayer):
    """Does not see one kind of operation."""

    misses = 0

    def act(self, observation: Any) -> int:
        seen = self.arguments.read(observation)[0] != self.misses
        return super().act(observation if seen else observation * 0)


def accuracy(player: Any, memory: str = "belief", episodes: int = 60, **arguments: Any) -> float:
    env, total = CountRewriting(**arguments), 0.0
    for episode in range(episodes):
        one, done, info = player(env, memory), False, {}
        observation, _ = env.reset(seed=5, options={"episode": episode})
        while not done:
            # a count that was missed may lead out of the answers
            action = np.clip(one.act(observation), 0, env.arguments.num_answers)
            observation, _, done, _, info = env.step(action)
        total += info["accuracy"]
    return total / episodes


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_players_reach_the_reference_scores(variant):
    reference = CountRewriting(**variant).reference_scores()
    assert accuracy(CountPlayer, "belief", 10, **variant) == 1.0
    margin = 0.05 if variant.get("num_steps", 64) > 30 else 0.2
    for memory in ("first-cue", "cue-blind"):
        assert accuracy(CountPlayer, memory, **variant) == pytest.approx(reference[memory], abs=margin), (
            memory
        )


def test_the_memory_gap_is_wide_with_default_arguments():
    scores = CountRewriting().reference_scores()
    assert scores["random"] == pytest.approx(1 / 7)
    assert scores["cue-blind"] == pytest.approx(0.23, abs=0.01)
    assert scores["first-cue"] == pytest.approx(0.33, abs=0.01)


def test_the_shares_of_the_answers_follow_from_one_kinds_own_chain():
    """Each kind's count is a Markov chain of its own: the shares computed here know nothing of the generator."""
    _, stream = streams(4000, num_kinds=3, max_count=4, num_steps=50)
    chance, expected = np.array([1.0, 0, 0, 0, 0]), np.zeros(5)
    ask, go, clear, come = np.array([0.4, 0.15, 0.05, 0.4]) / 3
    for _ in range(49):
        expected += 3 * chance * [ask, ask, ask, ask, ask + come]
        after = chance.copy()
        for count, p in enumerate(chance):
            for to, rate in (
                (min(count + 1, 4), come),
                (count - 1 if count else 1, go),
                (0 if count else 1, clear),
            ):
                after[count] -= p * rate
                after[to] += p * rate
        chance = after
    expected += chance  # the last operation asks always
    counts = np.bincount(stream.answers[stream.answers >= 0])
    np.testing.assert_allclose(counts / counts.sum(), expected / expected.sum(), atol=0.006)


@pytest.mark.parametrize("missed", [COME, GO, CLEAR])
def test_a_memory_that_misses_one_kind_of_operation_fails(missed):
    assert accuracy(Forgetful, episodes=20) == 1.0
    assert accuracy(type("Misses", (Forgetful,), {"misses": missed})) < 0.85


# ---------------------------------------------------------------------- words


def test_words_tell_what_the_numbers_show():
    env = CountRewriting(split="test")
    shown = [
        env.arguments.observe(np.array(tokens)) for tokens in ([HOW_MANY, 6], [COME, 5], [GO, 7], [CLEAR, 8])
    ]
    words = [env.describe(row) for row in shown]
    assert words == ["HOW MANY k5: answer with a number or 'none'", "COME k4", "GO k6", "CLEAR k7"]
    assert env.describe(shown[0] * 0) == "nothing"
    assert env.action_names == ("none", "1", "2", "3", "4", "5", "6")
    assert "4 kinds" in env.instructions()


def test_a_frame_shows_the_counts_beside_the_operations():
    env = CountRewriting(render_mode="ansi")
    env.reset(seed=1)
    for _ in range(30):
        env.step(env.oracle_action())
    frame = env.render().splitlines()
    rows = [f"k{kind - 1}  {count}" for kind, count in sorted(env.oracle_state()["memory"].items())]
    assert rows
    assert [line.split("| ")[1] for line in frame[1 : 1 + len(rows)]] == rows
