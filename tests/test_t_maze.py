"""Endless T-Maze: its rules, its determinism, and scalar form against vector form."""

import copy
import hashlib
import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.agents.t_maze_rules import FirstCueAgent
from memgym.envs.t_maze import EndlessTMaze
from memgym.envs.t_maze_vector import EndlessTMazeVector

ENV_ID = "memgym/EndlessTMaze-v0"
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
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def play_random(env: gym.Env, seed: int, steps: int) -> str:
    """Digest of everything that a random walk through several episodes sees."""
    digest = hashlib.sha256()
    actions = np.random.default_rng(seed).integers(0, 3, steps)
    observation, info = env.reset(seed=seed)
    for action in actions:
        digest.update(observation.tobytes() + repr(sorted(info.items())).encode())
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(np.float64(reward).tobytes() + bytes([terminated, truncated]))
        if terminated or truncated:
            digest.update(observation.tobytes() + repr(sorted(info.items())).encode())
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


def assert_same(left: Any, right: Any) -> None:
    """Equal values, types of arrays included."""
    if isinstance(right, dict):
        assert set(left) == set(right)
        for key in right:
            assert_same(left[key], right[key])
    elif isinstance(right, tuple | list):
        for ours, theirs in zip(left, right, strict=True):
            assert_same(ours, theirs)
    elif isinstance(right, np.ndarray) and right.dtype == object:
        assert left.dtype == object
        for ours, theirs in zip(left, right, strict=True):
            assert_same(ours, theirs)
    elif isinstance(right, np.ndarray):
        assert left.dtype == right.dtype
        assert np.array_equal(left, right), (left, right)
    else:
        assert left == right


# ---------------------------------------------------------------------- Gymnasium's own checks


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_gymnasiums_checker_passes(variant):
    env = gym.make(ENV_ID, render_mode="ansi", **variant)
    check_env(env.unwrapped)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_corridors": 0}, "num_corridors is an integer from 1 to 10000"),
        ({"num_corridors": True}, "num_corridors"),
        ({"num_corridors": 2.5}, "num_corridors"),
        ({"corridor_length": 10_001}, "corridor_length is an integer from 1 to 10000"),
        ({"length_mode": "random"}, "length_mode is 'fixed' or 'uniform'"),
        ({"junction_visible": 2}, "junction_visible is True or False"),
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


@pytest.mark.parametrize("action", [3, -1, 0.5])
def test_an_action_outside_the_space_is_refused(action):
    env = EndlessTMaze()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action is 0"):
        env.step(action)


def test_stepping_without_a_running_episode_asks_for_reset():
    env = EndlessTMaze()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(FORWARD)
    env.reset(seed=0)
    walk(env, [FORWARD] * 6)
    with pytest.raises(gym.error.ResetNeeded, match="forward at the junction"):
        env.step(FORWARD)


# ---------------------------------------------------------------------- the rules, by hand


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
    assert {"success": False, "corridor": 0, "stale_error": False, "forward_error": forward} == info
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


# ---------------------------------------------------------------------- determinism

# What the 0.1.0 rules give. A change here is a change of the task: it needs a new version of the id.
GOLDEN = {
    "default": "055707e67ada00f8e49e041ec1321b315b2149a9d6dc4d4449f7b95d1702c0ca",
    "length_mode=uniform": "a8738b34b137fa688ee4d890c0e4b90e706fc5d9e1b730ae1b752b5143f2bbae",
    "split=test": "54fab1c801bc4a82ac31879d34931d53a1edc08e26e72e7a8a415a9bec502da4",
}


@pytest.mark.parametrize("variant", [{}, {"length_mode": "uniform"}, {"split": "test"}], ids=name)
def test_golden_trajectory(variant):
    assert GOLDEN[name(variant)] == play_random(EndlessTMaze(**variant), seed=7, steps=2000)


def test_another_process_sees_the_same_bytes():
    code = (
        "import numpy as np, random; np.random.seed(1); random.seed(2)\n"
        "from test_t_maze import play_random, EndlessTMaze\n"
        "print(play_random(EndlessTMaze(length_mode='uniform'), 11, 1000))"
    )
    from pathlib import Path

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert play_random(EndlessTMaze(length_mode="uniform"), 11, 1000) == run.stdout.strip()


def test_an_episode_is_reached_without_those_before_it():
    env, direct = EndlessTMaze(num_corridors=8), EndlessTMaze(num_corridors=8)
    env.reset(seed=3)
    for _ in range(4):
        env.reset()
    direct.reset(seed=3, options={"episode": 4})
    for _ in range(40):
        action = env.oracle_action()
        assert_same(direct.step(action)[0], env.step(action)[0])


def test_train_and_test_split_play_different_episodes():
    assert play_random(EndlessTMaze(), 0, 500) != play_random(EndlessTMaze(split="test"), 0, 500)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_in_mid_episode_goes_on_alike(duplicate):
    env = gym.make(ENV_ID, num_corridors=30, length_mode="uniform").unwrapped
    assert isinstance(env, EndlessTMaze)
    env.reset(seed=2)
    walk(env, [FORWARD, LEFT])
    twin = duplicate(env)
    for _ in range(100):
        action = env.oracle_action()
        assert_same(list(twin.step(action)), list(env.step(action)))
    assert_same(twin.reset()[0], env.reset()[0])


def test_a_returned_observation_belongs_to_the_caller():
    env = EndlessTMaze()
    observation, _ = env.reset(seed=0)
    observation[:] = 9
    again, _ = env.reset(seed=0)
    assert again.max() <= 1.0


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


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("mode", ["fixed", "uniform"])
def test_the_first_cue_alone_scores_one_half_to_the_n_minus_one(n, mode):
    agent = FirstCueAgent()
    memory: list[Any] = [None]

    def act(env, observation, first):
        action, memory[0] = agent.predict(observation, memory[0], first)
        return action

    expected, rate = 0.5 ** (n - 1), success_rate(act, 600, num_corridors=n, length_mode=mode)
    assert abs(rate - expected) <= 4 * np.sqrt(expected * (1 - expected) / 600)
    assert agent.memory_nbytes(memory[0]) == 1


# ---------------------------------------------------------------------- vector form against scalar form


def sync(num_envs: int, mode: AutoresetMode, variant: dict[str, Any]) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: EndlessTMaze(**variant)] * num_envs, autoreset_mode=mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_vector_env_equals_scalar_envs_step_by_step(variant, mode):
    steps = 2000 if variant in VARIANTS[:2] else 200
    ours, theirs = EndlessTMazeVector(16, autoreset_mode=mode, **variant), sync(16, mode, variant)
    rng = np.random.default_rng(0)
    assert_same(ours.reset(seed=100), theirs.reset(seed=100))
    for _ in range(steps):
        # mostly forward, or few would pass a junction
        actions = rng.choice(3, size=16, p=[0.6, 0.2, 0.2])
        got, wanted = ours.step(actions), theirs.step(actions)
        for mine, other in zip(got, wanted, strict=True):
            assert_same(mine, other)
        if mode == AutoresetMode.DISABLED and (ended := wanted[2] | wanted[3]).any():
            for mine, other in zip(
                ours.reset(options={"reset_mask": ended}),
                theirs.reset(options={"reset_mask": ended}),
                strict=True,
            ):
                assert_same(mine, other)


def test_vector_success_infos_are_those_of_oracles():
    env = EndlessTMazeVector(8, length_mode="uniform", autoreset_mode=AutoresetMode.SAME_STEP)
    twins = [EndlessTMaze(length_mode="uniform") for _ in range(8)]
    env.reset(seed=40)
    for i, twin in enumerate(twins):
        twin.reset(seed=40 + i)
    successes = 0
    for _ in range(200):
        actions = np.array([twin.oracle_action() for twin in twins])
        _, _, terminated, _, infos = env.step(actions)
        for i, twin in enumerate(twins):
            info = twin.step(actions[i])[4]
            if terminated[i]:
                assert info["success"]
                assert infos["final_info"]["success"][i]
                successes += 1
                twin.reset()
    assert successes > 50


def test_an_env_plays_the_same_whatever_stands_beside_it():
    few, many = EndlessTMazeVector(3), EndlessTMazeVector(500)
    few.reset(seed=9)
    many.reset(seed=9)
    actions = np.random.default_rng(0).integers(0, 3, (300, 500))
    for row in actions:
        assert_same(many.step(row)[0][:3], few.step(row[:3])[0])


def test_each_env_takes_its_own_seed_from_a_list():
    env = EndlessTMazeVector(4, num_corridors=9)
    observation, _ = env.reset(seed=[8, 2, 8, 5])
    for row, seed in zip(observation, [8, 2, 8, 5], strict=True):
        assert_same(row, EndlessTMaze(num_corridors=9).reset(seed=seed)[0])


def test_environments_without_a_seed_differ_and_count_their_episodes():
    env = EndlessTMazeVector(64)
    observation, _ = env.reset()
    assert {0.0, 1.0} == set(observation[:, 1])
    env.reset()
    assert env.episode.tolist() == [1] * 64


def test_make_vec_gives_the_native_form_at_4096_envs():
    env = gym.make_vec(ENV_ID, num_envs=4096, length_mode="uniform", autoreset_mode=AutoresetMode.SAME_STEP)
    assert isinstance(env, EndlessTMazeVector)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    observation, *_ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        (np.array([0, 3]), ValueError),
        (np.array([0, -1]), ValueError),
        (np.array([0.0, 1.0]), ValueError),
        (np.array([0]), ValueError),
    ],
    ids=str,
)
def test_bad_vector_actions_are_refused(actions, error):
    env = EndlessTMazeVector(2)
    env.reset(seed=0)
    with pytest.raises(error, match="action"):
        env.step(actions)


def test_a_vector_env_that_is_not_reset_says_so():
    with pytest.raises(gym.error.ResetNeeded):
        EndlessTMazeVector(2).step(np.array([0, 0]))
    env = EndlessTMazeVector(2)
    env.reset(seed=0, options={"reset_mask": np.array([True, False])})
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0, 0]))
    env = EndlessTMazeVector(1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    for _ in range(6):
        env.step(np.array([FORWARD]))
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([FORWARD]))


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        ([True, False], TypeError),
        (np.array([1, 0]), TypeError),
        (np.array([True]), ValueError),
        (np.array([False, False]), ValueError),
    ],
    ids=str,
)
def test_a_bad_reset_mask_is_refused(mask, error):
    env = EndlessTMazeVector(2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    with pytest.raises(error, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


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


def test_human_mode_prints_every_step(capsys):
    env = EndlessTMaze(render_mode="human")
    env.reset(seed=0)
    env.step(FORWARD)
    assert capsys.readouterr().out.count("corridor 1/3") == 2


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


def test_vector_frames_are_those_of_the_scalar_form():
    vector, scalar = EndlessTMazeVector(2, render_mode="rgb_array"), EndlessTMaze(render_mode="rgb_array")
    vector.reset(seed=3)
    scalar.reset(seed=4)
    vector.step(np.array([FORWARD, FORWARD]))
    scalar.step(FORWARD)
    frames = vector.render()
    assert frames is not None
    np.testing.assert_array_equal(scalar.render(), frames[1])
