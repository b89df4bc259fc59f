"""What every control environment promises, over the registry: both forms, every backend, the memory gap."""

import copy
import pickle
import tracemalloc
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments
from memgym.agents import make_agent
from memgym.agents.scripted import PLAYERS
from memgym.checks import assert_same, check_vector_env, play_by_name
from memgym.envs import VECTOR_ENVIRONMENTS
from memgym.envs.control_vector import Copies
from memgym.errors import DependencyMissing

T_MAZE = "memgym/EndlessTMaze-v0"
# arguments under which an environment is tested besides its defaults
VARIANTS: dict[str, list[dict[str, Any]]] = {
    T_MAZE: [
        {"length_mode": "uniform"},
        {"junction_visible": True, "reward": "authors_2025", "split": "test"},
        {"num_corridors": 1, "corridor_length": 1},
        {"rewriting": "retention", "num_corridors": 4},
        {"rewriting": "selective", "num_cues": 3, "length_mode": "uniform"},
        {"rewriting": "distractor", "event_rate": 0.8, "num_corridors": 5},
        {"rewriting": "distractor", "num_cues": 4, "length_mode": "uniform", "junction_visible": True},
        {"rewriting": "reversal", "num_corridors": 6, "corridor_length": 2},
        {"rewriting": "reversal", "num_cues": 5, "num_corridors": 8, "length_mode": "uniform"},
    ],
    "memgym/ColorCubes-v0": [
        {"mode": "trivial"},
        {"mode": "extreme"},
        {"mode": "extreme", "update": "delta", "wrong": "continue", "num_targets": 2},
        {"mode": "extreme", "grid_size": 7, "num_cubes": 5, "teleport_probability": 0.5, "split": "test"},
        {"mode": "extreme", "update": "delta", "num_cubes": 2, "grid_size": 3},
        {"mode": "extreme", "update": "delta", "num_cubes": 1},
        {"always_show_target": True, "wrong": "continue", "wrong_reward": 0.0, "update": "delta"},
    ],
    "memgym/KeyValueRewriting-v0": [
        {"split": "test", "delay": 6},
        {"num_steps": 5, "num_keys": 2, "capacity": 1, "vocabulary": 2},
        {"num_steps": 100, "num_keys": 20, "capacity": 20, "vocabulary": 50, "delete_rate": 0.3},
    ],
    "memgym/OrderRewriting-v0": [
        {"split": "test", "absent_rate": 0.5},
        {"num_steps": 7, "num_items": 2, "capacity": 2},
        {"num_steps": 100, "num_items": 30, "capacity": 20, "remove_rate": 0.05},
    ],
    "memgym/CountRewriting-v0": [
        {"split": "test"},
        {"num_steps": 9, "num_kinds": 1, "max_count": 1},
        {"num_steps": 100, "num_kinds": 20, "max_count": 50, "go_rate": 0.3},
    ],
}
CASES = [(env_id, kwargs) for env_id in VECTOR_ENVIRONMENTS for kwargs in [{}, *VARIANTS.get(env_id, [])]]
MODES = list(AutoresetMode)
BACKENDS = ("numpy", "numba")


@pytest.fixture(autouse=True)
def numba_is_here(request: pytest.FixtureRequest) -> None:
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if params.get("backend") == "numba":
        pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")


def make(env_id: str, **kwargs: Any) -> Any:
    return gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped


def make_vec(env_id: str, num_envs: int, **kwargs: Any) -> Any:
    return gym.make_vec(env_id, num_envs=num_envs, **kwargs)


# ---------------------------------------------------------------------- the two forms


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_the_vector_form_gives_what_scalar_environments_give(env_id, kwargs, backend, mode) -> None:
    assert check_vector_env(env_id, mode, 16, 150, vector_kwargs={"backend": backend}, **kwargs) > 0


@pytest.mark.slow
@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_ten_thousand_random_steps_of_64_environments_are_the_same(env_id) -> None:
    kwargs = {"backend": "numpy"}
    assert check_vector_env(env_id, num_envs=64, steps=10_000, follow=0.0, vector_kwargs=kwargs) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_compiled_loops_give_what_numpy_gives_over_ten_thousand_steps(env_id) -> None:
    """And so what 64 scalar environments give, by the test above."""
    pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")
    plain, compiled = (make_vec(env_id, 64, backend=backend) for backend in ("numpy", "numba"))
    assert_same(compiled.reset(seed=0), plain.reset(seed=0), "reset")
    actions = np.random.default_rng(0).integers(0, plain.single_action_space.n, (10_000, 64))
    for step, row in enumerate(actions):
        assert_same(compiled.step(row), plain.step(row), f"step {step}")


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_environment_plays_the_same_whatever_stands_beside_it(env_id, backend) -> None:
    few, many = make_vec(env_id, 3, backend=backend), make_vec(env_id, 200, backend=backend)
    few.reset(seed=9)
    many.reset(seed=9)
    many.action_space.seed(0)
    for _ in range(200):
        actions = many.action_space.sample()
        assert np.array_equal(few.step(actions[:3])[0], many.step(actions)[0][:3])


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES[:2], ids=lambda mode: mode.name)
def test_buffers_hold_what_copies_hold(env_id, backend, mode) -> None:
    fresh, shared = (
        make_vec(env_id, 8, backend=backend, autoreset_mode=mode, copy=flag) for flag in (True, False)
    )
    fresh.reset(seed=0)
    first = shared.reset(seed=0)[0]
    fresh.action_space.seed(0)
    kept = []
    for _ in range(60):
        actions = fresh.action_space.sample()
        given, view = fresh.step(actions), shared.step(actions)
        for ours, theirs in zip(given[:4], view[:4], strict=True):
            assert np.array_equal(ours, theirs)
        kept.append((given[0], given[0].copy()))
        assert np.shares_memory(view[0], first)
    assert all(np.array_equal(one, other) for one, other in kept), "a returned array changed later"


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[1:],
        lambda array: array.T[0].reshape(-1),
        memoryview,
        lambda array: pytest.importorskip("torch").from_numpy(array),
        lambda array: iter([array]),
    ],
    ids=["array", "slice", "view of a view", "memoryview", "tensor", "iterator"],
)
def test_a_copy_is_written_again_only_when_nobody_holds_it(hold) -> None:
    copies, values = Copies(), np.zeros((3, 4))
    first = copies.of(values)
    address, held = first.ctypes.data, hold(first)
    del first
    for number in range(1, 9):
        values[:] = number
        assert copies.of(values).ctypes.data != address
    del held
    assert address in {copies.of(values).ctypes.data for _ in range(2)}


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_a_compiled_step_allocates_nothing_of_the_size_of_the_batch(env_id) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")
    env = make_vec(env_id, 100_000, copy=False, backend="numba")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    for action in actions:
        env.step(action)
    tracemalloc.start()
    for action in actions:
        env.step(action)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000, f"{peak} bytes for 100,000 environments"


def test_what_a_caller_does_to_a_returned_array_stays_with_the_caller() -> None:
    env = make_vec(T_MAZE, 1)
    env.reset(seed=0)
    for _ in range(8):
        observation, reward, terminated, *_ = env.step(np.array([0]))
        assert (observation.shape, reward.shape, terminated.dtype) == ((1, 3), (1,), np.bool_)
        reward.shape = (1, 1)
        reward.flags.writeable = False
        del observation, reward, terminated


def test_where_references_cannot_be_counted_every_copy_is_a_new_one(monkeypatch) -> None:
    monkeypatch.setattr("memgym.envs.control_vector.UNHELD", None)
    copies, values = Copies(), np.zeros(3)
    held = [copies.of(values) for _ in range(5)]
    values[:] = 1
    copies.of(values)
    assert not np.any(held)


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_vector_copy_in_mid_episode_goes_on_alike(env_id, backend, duplicate) -> None:
    env = make_vec(env_id, 8, backend=backend)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(7):
        env.step(env.action_space.sample())
    twin = duplicate(env)
    for _ in range(60):
        actions = env.action_space.sample()
        ours, theirs = env.step(actions), twin.step(actions)
        assert all(np.array_equal(a, b) for a, b in zip(ours[:4], theirs[:4], strict=True))


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_in_mid_episode_goes_on_alike(env_id, duplicate) -> None:
    env = make(env_id)
    env.reset(seed=2)
    for _ in range(3):
        env.step(env.oracle_action())
    twin = duplicate(env)
    for _ in range(100):
        action = env.oracle_action()
        ours, theirs = env.step(action), twin.step(action)
        assert repr(ours) == repr(theirs)
        if ours[2] or ours[3]:
            break
    assert np.array_equal(env.reset()[0], twin.reset()[0])


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES[:2], ids=lambda mode: mode.name)
def test_a_partial_reset_leaves_the_others_alone(env_id, backend, mode) -> None:
    kwargs = {"backend": backend, "autoreset_mode": mode}
    some, none = make_vec(env_id, 6, **kwargs), make_vec(env_id, 6, **kwargs)
    some.reset(seed=0)
    none.reset(seed=0)
    some.action_space.seed(0)
    mask = np.array([False, True] * 3)
    for step in range(150):
        actions = some.action_space.sample()
        ours, theirs = some.step(actions), none.step(actions)
        for one, other in zip(ours[:4], theirs[:4], strict=True):
            assert np.array_equal(one[~mask], other[~mask]), step
        if step % 3 == 0:
            some.reset(options={"reset_mask": mask})


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_each_environment_takes_its_own_seed_from_a_list(env_id) -> None:
    env = make_vec(env_id, 4)
    observation, _ = env.reset(seed=[8, 2, 8, 5])
    assert np.array_equal(observation, env.reset(seed=np.array([8, 2, 8, 5]))[0])
    for row, seed in zip(observation, [8, 2, 8, 5], strict=True):
        assert np.array_equal(row, make(env_id).reset(seed=seed)[0])


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_an_episode_is_reached_without_those_before_it(env_id) -> None:
    through, direct = make(env_id), make(env_id)
    vector = make_vec(env_id, 2)
    through.reset(seed=3)
    for _ in range(4):
        in_order, _ = through.reset()
    assert np.array_equal(in_order, direct.reset(seed=3, options={"episode": 4})[0])
    assert np.array_equal(in_order, vector.reset(seed=3, options={"episode": 4})[0][0])
    assert vector.episode.tolist() == [4, 4]


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_environments_without_a_seed_differ_and_count_their_episodes(env_id) -> None:
    env = make_vec(env_id, 64)
    env.action_space.seed(0)
    env.reset()
    seen = np.concatenate([env.step(env.action_space.sample())[0] for _ in range(8)], axis=1)
    assert len(np.unique(seen, axis=0)) > 1
    env.reset()
    assert env.episode.min() >= 1


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_a_returned_observation_belongs_to_the_caller(env_id) -> None:
    env = make(env_id)
    observation, _ = env.reset(seed=0)
    wanted = observation.copy()
    observation[:] = 9
    assert np.array_equal(wanted, env.reset(seed=0)[0])
    later = env.step(0)[0]
    later[:] = 9
    env.reset(seed=0)
    assert env.observation_space.contains(env.step(0)[0])


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_train_and_test_split_play_different_episodes(env_id) -> None:
    train, test = (
        [episode.hash for episode in play_by_name("oracle", env_id, 12, split=split)]
        for split in ("train", "test")
    )
    assert train != test


# ---------------------------------------------------------------------- other people's checkers


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_gymnasiums_checker_passes(env_id, kwargs) -> None:
    gymnasium_check_env(make(env_id, render_mode="ansi", **kwargs))


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_stable_baselines3s_checker_passes(env_id, kwargs) -> None:
    check_env = pytest.importorskip("stable_baselines3.common.env_checker").check_env
    check_env(make(env_id, **kwargs))


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"num_envs": 0}, "num_envs is an integer from 1"),
        ({"backend": "jax"}, "backend is 'auto', 'numpy' or 'numba'"),
        ({"copy": 1}, "copy is True or False"),
        ({"autoreset_mode": "NEXT_STEP"}, "autoreset_mode is .*'NextStep'"),
        ({"render_mode": "svg"}, "render_mode is"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
    ],
    ids=str,
)
def test_a_bad_argument_of_the_vector_form_is_named_with_its_range(env_id, kwargs, words) -> None:
    with pytest.raises(ValueError, match=words):
        VECTOR_ENVIRONMENTS.resolve(env_id)(**{"num_envs": 2, **kwargs})


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "actions", [np.array([0, 99]), np.array([0, -1]), np.array([0.0, 1.0]), np.array([0])], ids=str
)
def test_bad_vector_actions_are_refused(env_id, backend, actions) -> None:
    env = make_vec(env_id, 2, backend=backend)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action"):
        env.step(actions)


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("action", [99, -1, 0.5])
def test_a_bad_action_is_refused(env_id, action) -> None:
    env = make(env_id)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action is"):
        env.step(action)


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
@pytest.mark.parametrize("episode", [-1, 1.7, None, 2**63])
def test_a_bad_episode_number_is_refused(env_id, episode) -> None:
    for env in (make(env_id), make_vec(env_id, 2)):
        with pytest.raises(ValueError, match="episode is an integer from 0"):
            env.reset(seed=0, options={"episode": episode})


@pytest.mark.parametrize("seed", [3.0, [1], [1, -1], ["a", 1], [1, 2.5]])
def test_bad_seeds_are_refused(seed) -> None:
    with pytest.raises((ValueError, gym.error.Error), match=r"seed|Seed"):
        make_vec(T_MAZE, 2).reset(seed=seed)


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [*((i, {}) for i in VECTOR_ENVIRONMENTS), (T_MAZE, {"num_cues": 16})]
)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", ">i8", "uint64"])
def test_actions_of_any_integer_type_do(env_id, kwargs, backend, kind) -> None:
    env, other = (make_vec(env_id, 40, backend=backend, **kwargs) for _ in range(2))
    env.reset(seed=0)
    other.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(60):
        actions = env.action_space.sample() % 128
        given, wanted = other.step(actions.astype(kind)), env.step(actions)
        assert all(np.array_equal(one, two) for one, two in zip(given[:4], wanted[:4], strict=True))


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_a_vector_environment_that_is_not_reset_says_so(env_id) -> None:
    with pytest.raises(gym.error.ResetNeeded):
        make_vec(env_id, 2).step(np.array([0, 0]))
    env = make_vec(env_id, 2)
    env.reset(seed=0, options={"reset_mask": np.array([True, False])})
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0, 0]))


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
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
def test_a_bad_reset_mask_is_refused(env_id, mask, error) -> None:
    env = make_vec(env_id, 2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    with pytest.raises(error, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


def test_numba_that_does_not_work_is_told_and_numpy_taken(monkeypatch) -> None:
    monkeypatch.setattr("memgym.envs.backend.find_spec", lambda name: object())
    monkeypatch.setattr("memgym.envs.backend._why_not_numba", lambda: "Numba needs NumPy 2.3 or less")
    with pytest.warns(UserWarning, match="Numba needs NumPy 2.3 or less"):
        assert make_vec(T_MAZE, 2, backend="auto").backend == "numpy"
    with pytest.raises(DependencyMissing, match="Numba needs"):
        make_vec(T_MAZE, 2, backend="numba")
    assert make_vec(T_MAZE, 2, backend="numpy").backend == "numpy"


def test_where_numba_is_not_installed_numpy_is_taken(monkeypatch) -> None:
    monkeypatch.setattr("memgym.envs.backend.find_spec", lambda name: None)
    monkeypatch.setattr("memgym.envs.backend._why_not_numba", lambda: "No module named 'numba'")
    assert make_vec(T_MAZE, 2, backend="auto").backend == "numpy"
    with pytest.raises(DependencyMissing, match=r"memgym\[speed\]"):
        make_vec(T_MAZE, 2, backend="numba")


# ---------------------------------------------------------------------- the memory gap


def mean_score(agent: str, env_id: str, episodes: int, **kwargs: Any) -> float:
    played = play_by_name(agent, env_id, episodes, **kwargs)
    assert all(episode.error is None for episode in played)
    return float(np.mean([episode.score for episode in played]))


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_exact_belief_from_observations_reaches_the_ceiling(env_id, kwargs) -> None:
    assert mean_score("belief", env_id, 60, **kwargs) >= 0.99


@pytest.mark.parametrize("agent", ["cue-blind", "first-cue", "random"])
@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_what_a_task_yields_without_rewriting_is_what_its_rules_say(env_id, kwargs, agent) -> None:
    expected = make(env_id, **kwargs).reference_scores().get(agent)
    if expected is None:
        pytest.skip(f"no score of {agent!r} follows from the rules of this task")
    episodes = 200
    score = mean_score(agent, env_id, episodes, **kwargs)
    margin = 4.5 * np.sqrt(max(expected * (1 - expected), 1 / episodes) / episodes)
    assert score <= expected + margin
    if agent != "random":  # of random play the rules give a bound
        assert score >= expected - margin


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_memory_is_needed(env_id) -> None:
    """The gate: no task ships that an agent without memory can play."""
    scores = {
        agent: mean_score(agent, env_id, 100) for agent in ("belief", "first-cue", "cue-blind", "random")
    }
    assert scores["belief"] >= 0.99
    assert max(scores["first-cue"], scores["cue-blind"], scores["random"]) <= 0.5


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_every_task_has_a_scripted_player_that_counts_its_bytes(env_id) -> None:
    assert env_id in PLAYERS
    env = gym.make(env_id)
    agent = make_agent("belief")
    agent.wrap(env)
    observation, _ = env.reset(seed=0)
    _, state = agent.predict(observation, None, True)
    assert agent.memory_nbytes(state) >= 1


# ---------------------------------------------------------------------- words and pictures


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_words_say_all_that_an_observation_shows(env_id, kwargs) -> None:
    env = make(env_id, **kwargs)
    assert len(env.instructions()) > 100
    assert len(set(env.action_names)) == len(env.action_names) == env.action_space.n
    said: dict[str, bytes] = {}
    for episode in range(4):
        observation, _ = env.reset(seed=0, options={"episode": episode})
        done = False
        while not done:
            words = env.describe(observation)
            assert said.setdefault(words, observation.tobytes()) == observation.tobytes(), words
            observation, _, terminated, truncated, _ = env.step(env.oracle_action())
            done = terminated or truncated
    assert len(said) > 3 or env_id == T_MAZE


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_every_moment_can_be_drawn(env_id, kwargs) -> None:
    env, text = make(env_id, render_mode="rgb_array", **kwargs), make(env_id, render_mode="ansi", **kwargs)
    env.reset(seed=0)
    text.reset(seed=0)
    frames, texts, done = [env.render()], [text.render()], False
    while not done:
        action = env.oracle_action()
        _, _, terminated, truncated, _ = env.step(action)
        text.step(action)
        frames.append(env.render())
        texts.append(text.render())
        done = terminated or truncated
    assert all(frame.dtype == np.uint8 and frame.shape == frames[0].shape for frame in frames)
    assert not np.array_equal(frames[0], frames[-1])
    assert len(set(texts)) > 1


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_vector_frames_are_those_of_the_scalar_form(env_id) -> None:
    vector, scalar = make_vec(env_id, 2, render_mode="rgb_array"), make(env_id, render_mode="rgb_array")
    vector.reset(seed=3)
    scalar.reset(seed=4)
    for _ in range(3):
        assert np.array_equal(scalar.render(), vector.render()[1])
        action = scalar.oracle_action()
        vector.step(np.array([0, action]))
        scalar.step(action)


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_human_mode_prints_every_step(env_id, capsys) -> None:
    env = make(env_id, render_mode="human")
    env.reset(seed=0)
    first = capsys.readouterr().out
    env.step(env.oracle_action())
    assert first
    assert capsys.readouterr().out not in ("", first)
