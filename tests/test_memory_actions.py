"""The memory that MemoryActions adds to an environment."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.envs.t_maze import EndlessTMaze
from memgym.envs.t_maze_vector import EndlessTMazeVector
from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector

FORWARD, NOOP = 0, 0


def assert_same(left: Any, right: Any) -> None:
    """Equal values, types of arrays included."""
    if isinstance(right, dict):
        assert set(left) == set(right)
        for key in right:
            assert_same(left[key], right[key])
    elif isinstance(right, np.ndarray) and right.dtype == object:
        for ours, theirs in zip(left, right, strict=True):
            assert_same(ours, theirs)
    elif isinstance(right, np.ndarray):
        assert left.dtype == right.dtype
        assert np.array_equal(left, right), (left, right)
    else:
        assert left == right


def write(slot: int) -> int:
    return 1 + slot


def erase(slot: int, num_slots: int) -> int:
    return 1 + num_slots + slot


@pytest.mark.parametrize(
    "env_id", ["memgym/EndlessTMaze-v0", "CartPole-v1", "MountainCar-v0"], ids=lambda name: name
)
@pytest.mark.parametrize("num_slots", [1, 3])
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.* value is.*infinity")
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_gymnasiums_checker_passes_around_any_environment(env_id, num_slots):
    env = MemoryActions(gym.make(env_id), num_slots=num_slots)
    check_env(env, skip_render_check=True)


def test_what_was_seen_when_writing_shows_from_the_next_observation_on():
    env = MemoryActions(EndlessTMaze(), num_slots=2)
    first, info = env.reset(seed=0)
    np.testing.assert_array_equal(np.zeros(8, np.float32), first[3:])
    assert (info["memory_bytes"], info["memory_ops"]) == (0, 0)
    second, *_, info = env.step([FORWARD, write(1)])
    np.testing.assert_array_equal(first[:3], second[6:9])
    np.testing.assert_array_equal(np.array([0, 1], np.float32), second[9:])
    np.testing.assert_array_equal(np.zeros(3, np.float32), second[3:6])
    assert (info["memory_bytes"], info["memory_ops"]) == (12, 1)


def test_erasing_and_overwriting_change_one_slot_only():
    env = MemoryActions(EndlessTMaze(), num_slots=2)
    env.reset(seed=0)
    second, *_ = env.step([FORWARD, write(0)])
    third, *_ = env.step([FORWARD, write(1)])
    last, *_, info = env.step([FORWARD, erase(0, 2)])
    np.testing.assert_array_equal(np.zeros(3, np.float32), last[3:6])
    np.testing.assert_array_equal(second[:3], last[6:9])
    np.testing.assert_array_equal(np.array([0, 1], np.float32), last[9:])
    assert (info["memory_bytes"], info["memory_ops"]) == (12, 3)
    over, *_ = env.step([FORWARD, write(1)])
    np.testing.assert_array_equal(last[:3], over[6:9])
    np.testing.assert_array_equal(np.array([1, 1], np.float32), third[9:])


def test_a_new_episode_starts_with_an_empty_memory():
    env = MemoryActions(EndlessTMaze())
    env.reset(seed=0)
    env.step([FORWARD, write(0)])
    observation, info = env.reset()
    np.testing.assert_array_equal(np.zeros(4, np.float32), observation[3:])
    assert (info["memory_bytes"], info["memory_ops"]) == (0, 0)


def test_hidden_memory_shows_neither_content_nor_flags():
    env = MemoryActions(EndlessTMaze(), show=False)
    env.reset(seed=0)
    observation, *_, info = env.step([FORWARD, write(0)])
    np.testing.assert_array_equal(np.zeros(4, np.float32), observation[3:])
    assert info["memory_bytes"] == 12


@settings(max_examples=50, deadline=None)
@given(
    num_slots=st.integers(1, 3),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_a_slot_holds_the_last_thing_written_to_it(num_slots, seed, data):
    env = MemoryActions(EndlessTMaze(num_corridors=4, corridor_length=3), num_slots=num_slots)
    observation, _ = env.reset(seed=seed)
    model: dict[int, Any] = {}
    actions = st.tuples(st.integers(0, 2), st.integers(0, 2 * num_slots))
    for act, op in data.draw(st.lists(actions, max_size=20)):
        if op > num_slots:
            model.pop(op - num_slots - 1, None)
        elif op > NOOP:
            model[op - 1] = observation[:3].copy()
        observation, _, terminated, truncated, info = env.step([act, op])
        for slot in range(num_slots):
            content = model.get(slot, np.zeros(3, np.float32))
            np.testing.assert_array_equal(content, observation[3 + 3 * slot : 6 + 3 * slot])
            assert float(slot in model) == observation[3 + 3 * num_slots + slot]
        assert 12 * len(model) == info["memory_bytes"]
        if terminated or truncated:
            break


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
@pytest.mark.parametrize(("num_slots", "show"), [(1, True), (2, True), (1, False)])
def test_vector_memory_equals_scalar_memory_step_by_step(mode, num_slots, show):
    def make() -> gym.Env:
        return MemoryActions(EndlessTMaze(length_mode="uniform"), num_slots, show)

    ours = MemoryActionsVector(
        EndlessTMazeVector(8, length_mode="uniform", autoreset_mode=mode), num_slots, show
    )
    theirs = SyncVectorEnv([make] * 8, autoreset_mode=mode)
    rng = np.random.default_rng(0)
    for mine, other in zip(ours.reset(seed=3), theirs.reset(seed=3), strict=True):
        assert_same(mine, other)
    for _ in range(250):
        actions = np.stack(
            [rng.choice(3, 8, p=[0.6, 0.2, 0.2]), rng.integers(0, 1 + 2 * num_slots, 8)], axis=1
        )
        wanted = theirs.step(actions)
        for mine, other in zip(ours.step(actions), wanted, strict=True):
            assert_same(mine, other)
        if mode == AutoresetMode.DISABLED and (ended := wanted[2] | wanted[3]).any():
            for mine, other in zip(
                ours.reset(options={"reset_mask": ended}),
                theirs.reset(options={"reset_mask": ended}),
                strict=True,
            ):
                assert_same(mine, other)


def test_vector_memory_works_over_gymnasiums_own_vector_environments():
    env = MemoryActionsVector(
        gym.make_vec("CartPole-v1", num_envs=5, vectorization_mode="vector_entry_point")
    )
    env.reset(seed=0)
    for _ in range(50):
        observation, *_ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)


@pytest.mark.parametrize("bad", [[0, 3], [0, -1]], ids=str)
def test_an_operation_that_does_not_exist_is_refused(bad):
    env = MemoryActions(EndlessTMaze())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="memory operation is from 0 to 2"):
        env.step(bad)
    vector = MemoryActionsVector(EndlessTMazeVector(1))
    vector.reset(seed=0)
    with pytest.raises(ValueError, match="memory operation is from 0 to 2"):
        vector.step(np.array([bad]))


@pytest.mark.parametrize(
    ("env_id", "num_slots", "words"),
    [
        ("FrozenLake-v1", 1, "needs Box observations"),
        ("Pendulum-v1", 1, "needs Discrete actions"),
        ("CartPole-v1", 0, "num_slots is an integer from 1 on"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(env_id, num_slots, words):
    with pytest.raises(ValueError, match=words):
        MemoryActions(gym.make(env_id), num_slots)
