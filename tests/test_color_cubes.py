"""Color Cubes: its rules, what its frames may and may not show, and how it fails; see `test_control` too."""

import copy
import hashlib
import pickle
import tracemalloc
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments
from memgym.checks import check_vector_env
from memgym.envs.color_cubes import DOWN, INTERACT, LEFT, RIGHT, UP, ColorCubes, ColorCubesArguments
from memgym.envs.color_cubes.arguments import NO_EVENT, PHASE_START, TELEPORT
from memgym.envs.color_cubes.vector import ColorCubesVector

ENV_ID = "memgym/ColorCubes-v0"
VARIANTS: list[dict[str, Any]] = [
    {"mode": "trivial"},
    {"mode": "trivial", "num_cubes": 4, "num_targets": 3},
    {},
    {"update": "delta", "always_show_target": True},
    {"mode": "extreme"},
    {"mode": "extreme", "update": "delta", "wrong": "continue", "split": "test"},
    {"mode": "extreme", "grid_size": 7, "num_cubes": 5},
    {"mode": "extreme", "grid_size": 7, "num_cubes": 16, "teleport_probability": 0.5},
    {"mode": "extreme", "grid_size": 3, "num_cubes": 7, "teleport_probability": 1.0},
    {"grid_size": 2, "num_cubes": 2, "num_targets": 2, "wrong": "continue", "wrong_reward": -0.25},
]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def walk(env: ColorCubes, actions: list[int]) -> tuple[Any, ...]:
    """Take the actions; return what the last one gave."""
    result: tuple[Any, ...] = ()
    for action in actions:
        result = env.step(action)
    return result


def started(seed: int = 0, **arguments: Any) -> ColorCubes:
    env = ColorCubes(**arguments)
    env.reset(seed=seed)
    return env


def go_to(env: ColorCubes, cell: int) -> None:
    """Walk there."""
    while (action := env.arguments.towards(env._cell, cell)) != INTERACT:
        env.step(action)


def parts(env: ColorCubes, observation: Any) -> tuple[Any, Any, int, Any]:
    """The agent's place, the target's one-hot, the event and the rows of an observation."""
    arguments = env.arguments
    event = observation[arguments.event_at : arguments.rows_at]
    assert event.sum() == 1
    rows = observation[arguments.rows_at :].reshape(arguments.cubes, arguments.row_size)
    return observation[:2], observation[2 : arguments.event_at], int(event.argmax()), rows


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "hard"}, "mode is 'trivial', 'medium' or 'extreme', not 'hard'"),
        ({"grid_size": 1}, "grid_size is an integer from 2 to 32"),
        ({"grid_size": 5.0}, "grid_size is an integer from 2 to 32"),
        ({"num_cubes": 0}, "num_cubes is an integer from 1 to 16"),
        ({"num_cubes": 17}, "num_cubes is an integer from 1 to 16"),
        ({"grid_size": 3, "num_cubes": 8}, "num_cubes is an integer from 1 to 7, not 8"),
        ({"grid_size": 2}, "num_cubes is an integer from 1 to 2, not 3"),
        ({"num_targets": 0}, "num_targets is an integer from 1 to 1000"),
        ({"num_targets": True}, "num_targets"),
        ({"teleport_probability": 1.1}, "teleport_probability is a number from 0 to 1"),
        ({"teleport_probability": float("nan")}, "teleport_probability is a number from 0 to 1"),
        ({"mode": "trivial", "teleport_probability": 0.1}, "teleport_probability is 0 in mode 'trivial'"),
        ({"wrong_reward": 1.0}, "wrong_reward is a number from -1000 to 0"),
        ({"wrong": "stop"}, "wrong is 'terminate' or 'continue'"),
        ({"always_show_target": 1}, "always_show_target is True or False"),
        ({"update": "none"}, "update is 'full' or 'delta'"),
        ({"split": "valid"}, "split is 'train' or 'test'"),
        ({"render_mode": "svg"}, "render_mode"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [ColorCubes, ColorCubesVector])
def test_a_bad_argument_is_named_with_its_range(form, arguments, words):
    with pytest.raises(ValueError, match=words):
        form(**arguments)


def test_modes_have_the_defaults_of_the_specification():
    cases: tuple[tuple[Any, ...], ...] = (
        ("trivial", 1, 1, 0.0),
        ("medium", 3, 5, 0.15),
        ("extreme", 3, 5, 0.15),
    )
    for mode, cubes, targets, probability in cases:
        arguments = ColorCubesArguments(mode)
        assert (cubes, targets, probability) == (arguments.cubes, arguments.targets, arguments.probability)
        assert arguments.limit == 6 * 2 * 5 * targets
    assert ColorCubes("extreme").observation_space.shape == (26,)


@pytest.mark.parametrize("action", [5, -1, 0.5, "up", None])
def test_an_action_outside_the_space_is_refused(action):
    with pytest.raises(ValueError, match="action is one of 0"):
        started().step(action)


def test_an_action_may_be_any_integer_type():
    array: Any = np.array(DOWN)  # as Stable-Baselines3 gives it
    assert started().step(array)[1] == started().step(np.int64(DOWN))[1] == -0.01


def test_stepping_without_a_running_episode_asks_for_reset():
    env = ColorCubes("trivial")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(UP)
    env.reset(seed=0)
    env.step(INTERACT)
    with pytest.raises(gym.error.ResetNeeded, match="no cube here"):
        env.step(UP)


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_checkers_of_gymnasium_and_stable_baselines3_pass(variant):
    gymnasium_check_env(gym.make(ENV_ID, disable_env_checker=True, render_mode="ansi", **variant).unwrapped)
    pytest.importorskip("stable_baselines3.common.env_checker").check_env(ColorCubes(**variant))


# ---------------------------------------------------------------------- the rules, by hand


def test_moves_stop_at_walls_and_not_at_cubes():
    env = started(3, mode="trivial", num_cubes=16)
    walk(env, [UP, LEFT] * 5)
    assert env.oracle_state()["agent"] == (0, 0)
    for action, place in ((LEFT, (0, 0)), (RIGHT, (1, 0)), (DOWN, (1, 1)), (UP, (1, 0)), (UP, (1, 0))):
        observation, reward, *_ = env.step(action)
        assert env.oracle_state()["agent"] == place
        assert reward == -0.01
        np.testing.assert_array_equal(np.array(place, np.float32) / np.float32(4), observation[:2])


def test_finding_a_target_pays_moves_it_and_sets_another():
    env = started(1, teleport_probability=0.0)
    before = env.oracle_state()
    go_to(env, env._cubes[env._target])
    observation, reward, terminated, truncated, info = env.step(INTERACT)
    after = env.oracle_state()
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert (info["targets_found"], info["overwrites"], info["teleports"]) == (1, 1, 0)
    assert after["target"] != before["target"]
    found = before["target"]
    assert [before["cubes"][i] == after["cubes"][i] for i in range(3)] == [i != found for i in range(3)]
    _, target, event, rows = parts(env, observation)
    assert event == PHASE_START
    assert target.tolist() == [float(i == after["target"]) for i in range(3)]
    np.testing.assert_array_equal(rows[:, :2] * 4, after["cubes"])
    np.testing.assert_array_equal(rows[:, 2:], np.c_[np.ones(3), np.eye(3)])


def test_one_cube_alone_is_the_target_again():
    env = started(0, mode="trivial", num_targets=3)
    for found in (1, 2):
        go_to(env, env._cubes[0])
        here = env._cell
        assert env.step(INTERACT)[4]["targets_found"] == found
        assert env._cubes[0] != here
    go_to(env, env._cubes[0])
    _, reward, terminated, _, info = env.step(INTERACT)
    assert (reward, terminated, info["success"], info["overwrites"]) == (1.0, True, True, 2)


@pytest.mark.parametrize("where", ["another cube", "no cube"])
@pytest.mark.parametrize("wrong", ["terminate", "continue"])
def test_a_wrong_interact_costs_and_ends_the_episode_unless_told_otherwise(where, wrong):
    env = started(2, wrong=wrong, wrong_reward=-0.5, teleport_probability=0.0)
    other = (env._target + 1) % 3
    free = next(cell for cell in range(25) if cell not in (*env._cubes, env._cell))
    go_to(env, env._cubes[other] if where == "another cube" else free)
    observation, reward, terminated, truncated, info = env.step(INTERACT)
    assert (reward, terminated, truncated) == (-0.5, wrong == "terminate", False)
    assert (info["cue_blind_error"], info["stale_error"], info["success"]) == (True, False, False)
    assert parts(env, observation)[2] == NO_EVENT
    if wrong == "continue":
        assert not env.step(UP)[4]["cue_blind_error"], "flags hold for one step"


def test_interacting_where_the_target_stood_before_it_moved_is_a_stale_error():
    env = started(4, wrong="continue", teleport_probability=0.0, num_targets=100)
    first, cell = env._target, env._cubes[env._target]
    go_to(env, cell)
    env.step(INTERACT)
    while env._target != first:  # until the one that moved is wanted again
        go_to(env, env._cubes[env._target])
        env.step(INTERACT)
    go_to(env, cell)
    info = env.step(INTERACT)[4]
    assert (info["stale_error"], info["cue_blind_error"]) == (True, False)


@pytest.mark.parametrize(("size", "targets"), [(5, 5), (3, 1), (4, 7)])
def test_the_limit_is_twelve_steps_a_side_and_target(size, targets):
    env = started(grid_size=size, num_targets=targets)
    steps = [env.step(UP) for _ in range(12 * size * targets)]
    flags = [step[2:4] for step in steps]
    assert [(False, False)] * (len(flags) - 1) + [(False, True)] == flags
    assert steps[-1][4]["search_error"]
    assert not steps[-2][4]["search_error"]


def test_success_in_the_very_last_step_is_a_termination():
    env = started(0, mode="trivial")
    go_to(env, env._cubes[0])
    while env._t < env.arguments.limit - 1:  # back and forth
        env.step(UP if env._t % 2 else DOWN)
        go_to(env, env._cubes[0])
    _, _, terminated, truncated, info = env.step(INTERACT)
    assert (env._t, terminated, truncated, info["success"]) == (60, True, False, True)


def test_frames_without_an_event_show_the_agent_alone():
    env = started(0, mode="extreme")
    seen = 0
    for _ in range(200):
        _, target, event, rows = parts(env, env.step(LEFT)[0])
        if event == NO_EVENT:
            assert not rows.any()
            assert not target.any()
            seen += 1
    assert 140 < seen < 195


def test_the_target_can_be_shown_always():
    env = started(5, always_show_target=True)
    while not env._outcome:
        observation = env.step(env.oracle_action())[0]
        assert parts(env, observation)[1][env.oracle_state()["target"]] == 1
    assert env._outcome == "success"


@pytest.mark.parametrize("mode", ["medium", "extreme"])
def test_a_delta_update_shows_the_cube_that_jumped_alone(mode):
    env = started(6, mode=mode, update="delta", num_cubes=5)
    jumps = 0
    for _ in range(100):
        before = env.oracle_state()["cubes"]
        _, _, event, rows = parts(env, env.step(RIGHT)[0])
        if event != TELEPORT:
            continue
        after = env.oracle_state()["cubes"]
        (moved,) = (i for i in range(5) if before[i] != after[i])
        wanted = np.zeros((5, 8), np.float32)
        if mode == "medium":
            wanted[moved] = [*np.array(after[moved]) / 4, 1, *np.eye(5)[moved]]
        else:
            wanted[0, :3] = [*np.array(before[moved]) / 4, 1]
            wanted[1, :3] = [*np.array(after[moved]) / 4, 1]
        np.testing.assert_array_equal(wanted, rows)
        jumps += 1
    assert jumps > 5


# ---------------------------------------------------------------------- determinism

DELTA = {"mode": "extreme", "update": "delta"}
# What the 0.1.0 rules give. A change here is a change of the task: it needs a new version of the id.
GOLDEN = {
    "mode=trivial": "d89f586f6b67e781382d7c73220ea5b87f77dbe06bbc09875279007248b4fbb9",
    "default": "68364b1366bbfe88cbb6c047fe0d4c9cec93f9de1af726985d9c738982f64d6e",
    "mode=extreme": "ad705a2e671143bbb3fe6615793a38b1579e089a903129ffbedac12e34be132a",
    "mode=extreme-update=delta": "8463c84eae0ea2cb90075e649cdda6ce10ccf5dcae0e55054d16008f7a70e9db",
}


def play(env: ColorCubes, seed: int, steps: int) -> str:
    """Digest of everything seen in several episodes, played half by the oracle and half at random."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    for action, follow in zip(rng.integers(0, 5, steps), rng.random(steps) < 0.9, strict=True):
        digest.update(observation.tobytes() + repr(sorted(info.items())).encode())
        observation, reward, terminated, truncated, info = env.step(env.oracle_action() if follow else action)
        digest.update(np.float64(reward).tobytes() + bytes([terminated, truncated]))
        if terminated or truncated:
            digest.update(observation.tobytes() + repr(sorted(info.items())).encode())
            observation, info = env.reset()
    return digest.hexdigest()


@pytest.mark.parametrize("variant", [VARIANTS[0], VARIANTS[2], VARIANTS[4], DELTA], ids=name)
def test_golden_trajectory(variant):
    assert GOLDEN[name(variant)] == play(ColorCubes(**variant), seed=7, steps=2000)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("variant", VARIANTS[3:6], ids=name)
def test_a_copy_in_mid_episode_goes_on_alike(duplicate, variant):
    env = started(2, num_targets=50, **variant)
    walk(env, [UP, LEFT])
    twin = duplicate(env)
    for _ in range(120):
        action = env.oracle_action()
        assert repr(twin.step(action)) == repr(env.step(action))
    assert np.array_equal(twin.reset()[0], env.reset()[0])


# ---------------------------------------------------------------------- vector form against scalar form


@pytest.fixture(params=["numpy", "numba"])
def backend(request) -> str:
    if request.param == "numba":
        pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")
    return request.param


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_vector_env_equals_scalar_envs_step_by_step(variant, mode, backend):
    ended = check_vector_env(ENV_ID, mode, 8, 80, follow=0.97, vector_kwargs={"backend": backend}, **variant)
    assert ended >= 4


def test_ended_environments_idle_unharmed_where_nothing_jumps(backend):
    env = ColorCubesVector(64, "trivial", backend=backend)
    env.reset(seed=0)
    for _ in range(200):  # all are truncated together, and idle for a step
        env.step(np.full(64, UP))
    assert (env._cubes < 25).all()
    assert env._moved.max() == -1


def test_a_step_of_compiled_loops_allocates_nothing_of_the_size_of_the_batch():
    pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")
    env = ColorCubesVector(100_000, "extreme", copy=False, backend="numba")
    env.reset(seed=0)
    actions = [np.random.default_rng(i).integers(0, 5, 100_000) for i in range(4)]
    for action in actions:
        env.step(action)
    tracemalloc.start()
    for action in actions:
        env.step(action)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000, f"{peak} bytes for 100,000 environments"
