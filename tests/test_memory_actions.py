"""The memory that MemoryActions adds to an environment."""

import pickle
from copy import deepcopy
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
from memgym.envs.t_maze.vector import EndlessTMazeVector
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
@pytest.mark.parametrize(("num_slots", "content"), [(1, "observation"), (3, "observation"), (9, "bit")])
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.* value is.*infinity")
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_gymnasiums_checker_passes_around_any_environment(env_id, num_slots, content):
    env = MemoryActions(gym.make(env_id), num_slots=num_slots, content=content)
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


def test_a_bit_joins_its_flag_to_the_observation_and_nothing_else():
    env = MemoryActions(EndlessTMaze(), num_slots=2, content="bit")
    first, info = env.reset(seed=0)
    assert first.shape == (5,)
    assert (info["memory_bytes"], info["memory_ops"]) == (0, 0)
    second, *_ = env.step([FORWARD, write(1)])
    np.testing.assert_array_equal(np.array([0, 1], np.float32), second[3:])
    third, *_ = env.step([FORWARD, write(0)])
    np.testing.assert_array_equal(np.array([1, 1], np.float32), third[3:])
    fourth, *_, info = env.step([FORWARD, erase(1, 2)])
    np.testing.assert_array_equal(np.array([1, 0], np.float32), fourth[3:])
    assert info["memory_ops"] == 3
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("num_slots", "nbytes"), [(1, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_bits_are_packed_and_cost_nothing_while_all_are_clear(num_slots, nbytes):
    env = MemoryActions(EndlessTMaze(), num_slots, content="bit")
    vector = MemoryActionsVector(EndlessTMazeVector(2), num_slots, content="bit")
    env.reset(seed=0)
    vector.reset(seed=0)
    last = num_slots - 1
    for op, expected in [(NOOP, 0), (write(last), nbytes), (write(0), nbytes), (NOOP, nbytes)]:
        assert expected == env.step([FORWARD, op])[-1]["memory_bytes"]
        infos = vector.step(np.array([[FORWARD, op], [FORWARD, NOOP]]))[-1]
        assert [expected, 0] == infos["memory_bytes"].tolist()
    env.step([FORWARD, erase(0, num_slots)])
    assert env.step([FORWARD, erase(last, num_slots)])[-1]["memory_bytes"] == 0


def test_hidden_memory_shows_neither_content_nor_flags():
    env = MemoryActions(EndlessTMaze(), show=False)
    env.reset(seed=0)
    observation, *_, info = env.step([FORWARD, write(0)])
    np.testing.assert_array_equal(np.zeros(4, np.float32), observation[3:])
    assert info["memory_bytes"] == 12


@pytest.mark.parametrize("content", ["observation", "bit"])
@pytest.mark.parametrize("show", [False, True])
def test_no_memory_operation_changes_a_hidden_view(content, show):
    """The negative control of every claim that a policy uses its memory; with `show` the views do differ."""
    views = []
    for seed in range(2):
        env = MemoryActions(EndlessTMaze(), 2, show, content)
        vector = MemoryActionsVector(EndlessTMazeVector(4), 2, show, content)
        rng = np.random.default_rng(seed)  # of the operations alone: the actions are the same
        seen = [env.reset(seed=0)[0].tobytes(), vector.reset(seed=0)[0].tobytes()]
        for _ in range(30):
            observation, _, terminated, truncated, _ = env.step([FORWARD, rng.integers(0, 5)])
            seen.append(observation.tobytes())
            if terminated or truncated:
                env.reset()
            actions = np.stack([np.full(4, FORWARD), rng.integers(0, 5, 4)], axis=1)
            seen.append(vector.step(actions)[0].tobytes())
        views.append(seen)
    assert (views[0] != views[1]) == show


@pytest.mark.parametrize("content", ["observation", "bit"])
def test_the_spec_makes_the_same_wrapper_again(content):
    env = MemoryActions(gym.make("memgym/EndlessTMaze-v0"), 3, show=False, content=content)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert isinstance(again, MemoryActions)
    assert (3, False, content) == (again.num_slots, again.show, again.content)
    assert env.observation_space == again.observation_space


@pytest.mark.parametrize("content", ["observation", "bit"])
@pytest.mark.parametrize("copy", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_made_in_mid_episode_goes_on_alike(content, copy):
    env = MemoryActions(EndlessTMaze(), 2, content=content)
    vector = MemoryActionsVector(EndlessTMazeVector(3), 2, content=content)
    env.reset(seed=0)
    vector.reset(seed=0)
    env.step([FORWARD, write(1)])
    vector.step(np.array([[FORWARD, write(1)]] * 3))
    for ours, theirs, unit in [(env, copy(env), [1]), (vector, copy(vector), [3, 1])]:
        for op in (write(0), erase(1, 2)):
            action = np.tile([FORWARD, op], unit)
            for mine, other in zip(ours.step(action), theirs.step(action), strict=True):
                assert_same(mine, other)


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
@pytest.mark.parametrize("content", ["observation", "bit"])
@pytest.mark.parametrize(("num_slots", "show"), [(1, True), (2, True), (9, True), (1, False)])
def test_vector_memory_equals_scalar_memory_step_by_step(mode, num_slots, show, content):
    def make() -> gym.Env:
        return MemoryActions(EndlessTMaze(length_mode="uniform"), num_slots, show, content)

    ours = MemoryActionsVector(
        EndlessTMazeVector(8, length_mode="uniform", autoreset_mode=mode), num_slots, show, content
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


def test_an_observation_handed_out_does_not_change_afterwards():
    env = MemoryActionsVector(EndlessTMazeVector(3))
    kept, _ = env.reset(seed=0)
    copy = kept.copy()
    env.step(np.array([[FORWARD, write(0)]] * 3))
    np.testing.assert_array_equal(copy, kept)


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
    "bad", [np.zeros((2, 3), int), np.zeros(4, int), np.zeros((2, 2))], ids=lambda a: f"{a.dtype}{a.shape}"
)
def test_actions_of_another_shape_or_type_are_refused(bad):
    vector = MemoryActionsVector(EndlessTMazeVector(2))
    vector.reset(seed=0)
    with pytest.raises(ValueError, match=r"integers of shape \(2, 2\)"):
        vector.step(bad)


@pytest.mark.parametrize("num_slots", [0, -1, 1.5, True, "2"])
@pytest.mark.parametrize("content", ["observation", "bit"])
def test_num_slots_outside_its_range_is_refused(num_slots, content):
    with pytest.raises(ValueError, match="num_slots is an integer from 1 on"):
        MemoryActions(EndlessTMaze(), num_slots, content=content)
    with pytest.raises(ValueError, match="num_slots is an integer from 1 on"):
        MemoryActionsVector(EndlessTMazeVector(2), num_slots, content=content)


@pytest.mark.parametrize("content", ["bits", "", None, 1, ["bit"]])
def test_unknown_content_is_refused(content):
    with pytest.raises(ValueError, match="content is 'observation' or 'bit', not"):
        MemoryActions(EndlessTMaze(), content=content)
    with pytest.raises(ValueError, match="content is 'observation' or 'bit', not"):
        MemoryActionsVector(EndlessTMazeVector(2), content=content)


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


@pytest.mark.parametrize("action", [[7, 1], [0.9, 1.9], 1, [0, 1, 2]], ids=str)
def test_a_refused_action_leaves_the_memory_as_it_was(action: Any) -> None:
    env = MemoryActions(EndlessTMaze())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(action)
    observation, *_, info = env.step([0, 0])
    assert (info["memory_ops"], info["memory_bytes"], float(observation[-1])) == (0, 0, 0.0)
