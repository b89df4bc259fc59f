"""Endless T-Maze: its rules, its dial from retention to rewriting, and how it fails; see `test_control` too."""

import hashlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.agents.scripted.t_maze import TMazePlayer
from memgym.envs.t_maze import EndlessTMaze
from memgym.envs.t_maze.vector import EndlessTMazeVector

FORWARD, LEFT, RIGHT = 0, 1, 2
VARIANTS = [
    {},
    {"length_mode": "uniform"},
    {"junction_visible": True},
    {"reward": "authors_2025"},
    {"split": "test"},
    {"num_corridors": 1, "corridor_length": 1},
    {"num_corridors": 10, "corridor_length": 7, "length_mode": "uniform", "junction_visible": True},
]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def play_random(env: gym.Env, seed: int, steps: int) -> str:
    """Digest of everything that a random walk through several episodes sees."""
    digest = hashlib.sha256()
    actions = np.random.default_rng(seed).integers(0, 3, steps)
    observation, _ = env.reset(seed=seed)
    for action in actions:
        digest.update(observation.tobytes())
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(np.float64(reward).tobytes() + bytes([terminated, truncated, info["success"]]))
        if terminated or truncated:
            digest.update(observation.tobytes())
            observation, info = env.reset()
    return digest.hexdigest()


def success_rate(act: Any, episodes: int, **arguments: Any) -> float:
    """Share of successes of `act(env, observation, first)` in episodes 0, 1, ... of seed 0."""
    env = EndlessTMaze(**arguments)
    won = 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=0, options={"episode": episode})
        first, done, info = True, False, {}
        while not done:
            observation, _, terminated, truncated, info = env.step(act(env, observation, first))
            first, done = False, terminated or truncated
        won += info["success"]
    return won / episodes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_corridors": 0}, "num_corridors is an integer from 1 to 10000"),
        ({"num_corridors": True}, "num_corridors"),
        ({"num_corridors": 2.5}, "num_corridors"),
        ({"corridor_length": 10_001}, "corridor_length is an integer from 1 to 10000"),
        ({"length_mode": "random"}, "length_mode is 'fixed' or 'uniform'"),
        ({"junction_visible": 2}, "junction_visible is True or False"),
        (
            {"rewriting": "forget"},
            "rewriting is 'overwrite', 'retention', 'selective', 'distractor' or 'reversal'",
        ),
        ({"event_rate": 1.5}, "event_rate is a number from 0 to 1"),
        ({"event_rate": -0.1}, "event_rate is a number from 0 to 1"),
        ({"num_cues": 1}, "num_cues is an integer from 2 to 16"),
        ({"reward": "sparse"}, "reward is 'paper' or 'authors_2025'"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [EndlessTMaze, EndlessTMazeVector])
def test_a_bad_argument_is_named_with_its_range(form, arguments, words):
    with pytest.raises(ValueError, match=words):
        form(**arguments)


# ---------------------------------------------------------------------- the rules, by hand

QUIET = {"success": False, "corridor": 0, "overwrites": 0} | dict.fromkeys(
    ("stale_error", "cue_blind_error", "search_error"), False
)


def walk(env: EndlessTMaze, actions: list[int]) -> tuple[Any, ...]:
    """Take the actions; return what the last one gave."""
    result: tuple[Any, ...] = ()
    for action in actions:
        result = env.step(action)
    return result


def at_junction(**arguments: Any) -> tuple[EndlessTMaze, int, int]:
    """An environment at its first junction, the right turn and the wrong one."""
    env = EndlessTMaze(**arguments)
    env.reset(seed=5)
    cue = env.oracle_state()["cue"]
    walk(env, [FORWARD] * env.oracle_state()["length"])
    return env, cue, LEFT + RIGHT - cue


@pytest.mark.parametrize(
    ("reward", "forward", "useless"), [("paper", -0.01, -0.01), ("authors_2025", 0.0, -0.01)]
)
def test_only_forward_moves_in_the_corridor(reward, forward, useless):
    env = EndlessTMaze(reward=reward)
    first, _ = env.reset(seed=0)
    for turn in (LEFT, RIGHT):
        observation, got, terminated, truncated, _ = env.step(turn)
        np.testing.assert_array_equal(first, observation)
        assert (useless, False, False) == (got, terminated, truncated)
    observation, got, terminated, truncated, _ = env.step(FORWARD)
    np.testing.assert_array_equal(np.array([1 / 5, 0, 0], np.float32), observation)
    assert (forward, False, False) == (got, terminated, truncated)


@pytest.mark.parametrize(("reward", "wrong"), [("paper", -1.0), ("authors_2025", -0.01)])
@pytest.mark.parametrize("forward", [False, True], ids=["turn", "forward"])
def test_a_wrong_act_at_the_junction_ends_the_episode(reward, wrong, forward):
    env, _, other = at_junction(reward=reward)
    observation, got, terminated, truncated, info = env.step(FORWARD if forward else other)
    assert (wrong, True, False) == (got, terminated, truncated)
    failure = "search_error" if forward else "cue_blind_error"
    assert {**QUIET, failure: True} == info
    np.testing.assert_array_equal(np.array([1, 0, 0], np.float32), observation)


def test_a_right_turn_leads_to_a_new_corridor_with_its_own_cue():
    env, cue, _ = at_junction()
    observation, reward, terminated, _, info = env.step(cue)
    assert (reward, terminated, info["corridor"]) == (1.0, False, 1)
    assert observation[0] == 0.0
    assert env.oracle_state()["cue"] == 1 + int(observation[2])


def test_the_last_right_turn_is_the_success():
    env, cue, _ = at_junction(num_corridors=1)
    _, reward, terminated, truncated, info = env.step(cue)
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


def test_a_stale_error_is_a_turn_to_the_side_of_the_cue_before():
    env = EndlessTMaze(num_corridors=50)
    env.reset(seed=1)
    before = 0
    while True:
        cue = env.oracle_state()["cue"]
        walk(env, [FORWARD] * 5)
        if before and before != cue:
            break
        before = cue
        env.step(cue)
    assert env.step(before)[4]["stale_error"]


@pytest.mark.parametrize(("n", "length"), [(1, 1), (3, 5), (2, 9)])
def test_the_limit_is_six_times_length_plus_one_times_corridors(n, length):
    env = EndlessTMaze(num_corridors=n, corridor_length=length)
    env.reset(seed=0)
    flags = [env.step(LEFT)[2:4] for _ in range(6 * (length + 1) * n)]
    assert [(False, False)] * (len(flags) - 1) + [(False, True)] == flags


def test_success_in_the_very_last_step_is_a_termination():
    _, cue, _ = at_junction(num_corridors=1, corridor_length=2)
    late = EndlessTMaze(num_corridors=1, corridor_length=2)
    late.reset(seed=5)
    _, _, terminated, truncated, info = walk(late, [LEFT] * 15 + [FORWARD, FORWARD, cue])
    assert (terminated, truncated, info["success"]) == (True, False, True)


def test_the_junction_flag_is_shown_at_junctions_only():
    env = EndlessTMaze(junction_visible=True, length_mode="uniform", num_corridors=20)
    observation, _ = env.reset(seed=0)
    done = False
    while not done:
        assert env.oracle_state()["at_junction"] == bool(observation[3])
        observation, _, done, _, _ = env.step(env.oracle_action())


def test_uniform_lengths_are_uniform_and_cues_are_fair():
    lengths, cues = [], []
    env = EndlessTMaze(num_corridors=2000, length_mode="uniform")
    env.reset(seed=0)
    for _ in range(2000):
        state = env.oracle_state()
        lengths.append(state["length"])
        cues.append(state["cue"])
        walk(env, [FORWARD] * state["length"] + [state["cue"]])
    counts = np.bincount(lengths, minlength=6)[1:]
    assert len(counts) == 5
    assert np.all(np.abs(counts - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8))
    assert abs(np.mean(np.array(cues) == RIGHT) - 0.5) < 5 * 0.5 / np.sqrt(2000)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    n=st.integers(1, 6),
    length=st.integers(1, 8),
    mode=st.sampled_from(["fixed", "uniform"]),
    reward=st.sampled_from(["paper", "authors_2025"]),
    actions=st.lists(st.integers(0, 2), max_size=80),
)
def test_laws_of_every_episode(seed, n, length, mode, reward, actions):
    env = EndlessTMaze(num_corridors=n, corridor_length=length, length_mode=mode, reward=reward)
    observation, info = env.reset(seed=seed)
    total, taken = 0.0, 0
    for action in actions:
        shows_cue = bool(observation[1] or observation[2])
        assert shows_cue == (observation[0] == 0.0), "the cue is shown at position 0, and only there"
        assert not (observation[1] and observation[2])
        state, passed = env.oracle_state(), info["corridor"]
        observation, gain, terminated, truncated, info = env.step(action)
        total, taken = total + gain, taken + 1
        assert info["corridor"] - passed in (0, 1)
        assert terminated == (state["at_junction"] and (action != state["cue"] or info["corridor"] == n))
        assert info["success"] == (info["corridor"] == n)
        if terminated or truncated:
            break
    limit = 6 * (length + 1) * n
    assert taken <= limit
    assert -1.0 - 0.01 * limit <= total <= n + 1e-9


# ---------------------------------------------------------------------- the dial


def corridors(seed: int = 0, count: int = 400, **arguments: Any) -> list[dict[str, Any]]:
    """What an oracle sees and knows in each corridor of one long episode: signs by cell, and the cues."""
    env = EndlessTMaze(num_corridors=count, **arguments)
    observation, info = env.reset(seed=seed)
    k, found = env.arguments.num_cues, []
    for _ in range(count):
        state, signs = env.oracle_state(), {}
        for x in range(state["length"] + 1):
            lit = (np.flatnonzero(observation[1 : 1 + k]) + 1).tolist()
            if lit:
                signs[x] = lit
            before, action = info["overwrites"], env.oracle_action()
            observation, _, _, _, info = env.step(action)
        found.append({**state, "signs": signs, "turn": action, "overwrites": before})
    assert info["success"]
    return found


def test_retention_shows_one_cue_that_stays_in_force():
    found = corridors(rewriting="retention")
    assert [{0: [found[0]["turn"]]}, *[{}] * 399] == [corridor["signs"] for corridor in found]
    assert {found[0]["turn"]} == {corridor["turn"] for corridor in found}
    assert found[-1]["overwrites"] == 0


@pytest.mark.parametrize("k", [2, 5])
def test_overwriting_asks_for_the_cue_of_this_corridor_whatever_came_before(k):
    found = corridors(num_cues=k)
    assert all({0: [corridor["turn"]]} == corridor["signs"] for corridor in found)
    assert set(range(1, k + 1)) == {corridor["turn"] for corridor in found}
    assert list(range(400)) == [corridor["overwrites"] for corridor in found]


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_selective_maze_keeps_a_cue_until_another_is_shown(rate):
    found = corridors(rewriting="selective", event_rate=rate, num_cues=3)
    shown = 0
    for corridor in found:
        shown = corridor["signs"].get(0, [shown])[0]
        assert shown == corridor["turn"]
    new = sum(bool(corridor["signs"]) for corridor in found[1:])
    assert abs(new - 399 * rate) <= 5 * np.sqrt(399 * rate * (1 - rate))
    assert found[-1]["overwrites"] == new


def test_a_distractor_is_lit_inside_a_corridor_and_means_nothing():
    found = corridors(rewriting="distractor", event_rate=0.5, corridor_length=6)
    further = [{x: lit for x, lit in corridor["signs"].items() if x} for corridor in found]
    assert all([corridor["turn"]] == corridor["signs"][0] for corridor in found)
    assert {1, 2, 3, 4, 5} == {x for signs in further for x in signs}
    assert max(map(len, further)) == 1
    misleading = sum(
        [corridor["turn"]] not in signs.values()
        for corridor, signs in zip(found, further, strict=True)
        if signs
    )
    assert 60 < misleading < 140, "about half of two hundred distractors contradict the cue"


def test_a_reversal_brings_the_cue_before_the_last_one_back():
    found = corridors(rewriting="reversal", event_rate=0.4, num_cues=4)
    cue, older, reversals = 0, 0, 0
    for number, corridor in enumerate(found):
        lit = corridor["signs"][0]
        if len(lit) == 4:
            assert number > 1
            cue, older = older, cue
            reversals += 1
        else:
            cue, older = lit[0], cue
        assert (cue, older) == (corridor["turn"], corridor["older_cue"])
    assert 110 < reversals < 210


def test_all_modes_share_their_spaces():
    mazes = [
        EndlessTMaze(rewriting=mode)
        for mode in ("overwrite", "retention", "selective", "distractor", "reversal")
    ]
    assert all(maze.observation_space == mazes[0].observation_space for maze in mazes)
    assert all(maze.action_space == mazes[0].action_space for maze in mazes)


@pytest.mark.parametrize("mode", ["overwrite", "selective", "reversal"])
def test_a_player_that_takes_signs_for_what_they_are_not_fails(mode):
    """The negative control of the dial: who plays "overwrite" in every mode passes only that one."""
    other = EndlessTMaze(num_corridors=6, rewriting="overwrite")

    def act(env, observation, first):
        if first:
            act.player = TMazePlayer(other, "belief")
        if len(np.flatnonzero(observation[1:])) == 2 or not (observation[0] or observation[1:].any()):
            observation = np.array([observation[0], 1, 0], np.float32)  # it knows no such sign
        return act.player.act(observation)

    rate = success_rate(act, 200, num_corridors=6, rewriting=mode)
    assert rate == 1.0 if mode == "overwrite" else rate < 0.6


def test_failures_are_told_apart_by_what_was_acted_on():
    kinds = {"stale_error": 0, "cue_blind_error": 0, "search_error": 0}
    for episode in range(300):
        env = EndlessTMaze(num_corridors=4, num_cues=3, corridor_length=2)
        env.reset(seed=1, options={"episode": episode})
        rng, done, info = np.random.default_rng(episode), False, {}
        while not done:
            state = env.oracle_state()
            at_junction = state["at_junction"]
            action = rng.integers(0, 4) if at_junction and state["corridor"] else env.oracle_action()
            _, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        wrong = [kind for kind in kinds if info[kind]]
        assert len(wrong) == (not info["success"])
        if wrong:
            kinds[wrong[0]] += 1
            expected = "search_error" if action == FORWARD else "cue_blind_error"
            assert wrong[0] == ("stale_error" if action == state["older_cue"] else expected)
    assert min(kinds.values()) > 20


def test_running_out_of_time_is_a_search_error():
    env = EndlessTMaze(num_corridors=1, corridor_length=1)
    env.reset(seed=0)
    assert [env.step(LEFT)[4]["search_error"] for _ in range(12)] == [False] * 11 + [True]


# ---------------------------------------------------------------------- determinism

# What the 0.1.0 rules give. A change here is a change of the task: it needs a new version of the id.
GOLDEN = {
    "default": "a372bc5e90f45514c78ad76014b6966945892492a1b4a7d7ae4c1c3af2a62e39",
    "length_mode=uniform": "552559dd555aa23b27f63de0a0d71e5df2fee91aab62b5fb24d16051139c890d",
    "split=test": "7dfff9af587de3264b57cab4ebf7597950bb7e052b9f15f96274194474c821d3",
    "reward=authors_2025": "f8bb696f1f0b3e66abf07dd9d5683893c6f73e8cc31043f6ea69914eb0f7697f",
    # from 0.2.0 on
    "rewriting=retention": "69bb82aeb5a150bd4c1e9c736d52a9006c2e233b7eeda6a66c525616ceac274b",
    "rewriting=selective-num_cues=3": "be0bd775c3d6fad21cd0cda9618bd6ac880c37b700cf41f2ee5a77b076c21897",
    "rewriting=distractor": "5c7482fc616b8cee622d6d5d1b7cc751a1eb20fc9c7443c9cc74280f78fdb81b",
    "rewriting=reversal": "33fb1a2abee3ed33e4e494b66e3fb89980d016ea402383520e44ee0e2f6c9d20",
}


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"length_mode": "uniform"},
        {"split": "test"},
        {"reward": "authors_2025"},
        {"rewriting": "retention"},
        {"rewriting": "selective", "num_cues": 3},
        {"rewriting": "distractor"},
        {"rewriting": "reversal"},
    ],
    ids=name,
)
def test_golden_trajectory(variant):
    assert GOLDEN[name(variant)] == play_random(EndlessTMaze(**variant), seed=7, steps=2000)


# ---------------------------------------------------------------------- reference players


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_the_oracle_always_succeeds(variant):
    assert success_rate(lambda env, observation, first: env.oracle_action(), 50, **variant) == 1.0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_cue_blind_player_stays_at_one_half_to_the_n(n):
    rng = np.random.default_rng(0)

    def act(env, observation, first):
        return rng.integers(LEFT, RIGHT + 1) if observation[0] == 1.0 else FORWARD

    bound = 0.5**n
    assert abs(success_rate(act, 1000, num_corridors=n) - bound) < 4 * np.sqrt(bound * (1 - bound) / 1000)


def test_random_actions_stay_below_the_cue_blind_line():
    rng = np.random.default_rng(0)
    assert success_rate(lambda env, observation, first: rng.integers(0, 3), 500) < 0.125


# ---------------------------------------------------------------------- pictures


def test_text_shows_the_cue_while_the_agent_sees_it():
    env = EndlessTMaze(render_mode="ansi")
    env.reset(seed=0)
    side = "left" if env.oracle_state()["cue"] == LEFT else "right"
    assert f"corridor 1/3  step 0/108  cue: {side}" == env.render().splitlines()[0]
    assert "#A.....#" in env.render()
    walk(env, [FORWARD, FORWARD])
    assert "cue" not in env.render()
    assert "#..A...#" in env.render()


@pytest.mark.parametrize("variant", [*VARIANTS, {"num_corridors": 500, "corridor_length": 900}], ids=name)
def test_images_differ_where_what_they_show_differs(variant):
    env = EndlessTMaze(render_mode="rgb_array", **variant)
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(3):
        env.step(env.oracle_action())
        frames.append(env.render())
        if env.oracle_state()["corridor"] == env.arguments.num_corridors:
            break
    for frame in frames:
        assert (np.uint8, (240, 560, 3)) == (frame.dtype, frame.shape)
    assert not np.array_equal(frames[0], frames[1])


def test_the_image_does_not_give_the_cue_away_once_it_is_gone():
    frames = {}
    for seed in range(20):
        env = EndlessTMaze(render_mode="rgb_array")
        env.reset(seed=seed)
        cue = env.oracle_state()["cue"]
        start = env.render()
        env.step(FORWARD)
        frames[cue] = (start, env.render())
    assert not np.array_equal(frames[LEFT][0], frames[RIGHT][0])
    np.testing.assert_array_equal(frames[LEFT][1], frames[RIGHT][1])
