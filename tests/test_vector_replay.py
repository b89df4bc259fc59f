"""Replay of many episodes at once finds what the scalar environment finds, and says nothing where it is in doubt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memgym.core import vector_replay, verify
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_bundle
from memgym.core.rollout import replay_episode
from memgym.core.suites import Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.trace import Episode, Recorder
from memgym.core.vector_replay import replay_together

TASKS = {task.name: task for name in ("retention", "rewriting") for task in get_suite(name).tasks}
MAZE = TASKS["t-maze-n3"]


def recorded(task: Task, episodes: int = 6) -> tuple[list[tuple[int, int, list[int]]], list[Episode]]:
    """Episodes of several seeds: half of them played well, half at random; and what happened."""
    recorder = Recorder(make_env(task))
    task_env: Any = recorder.unwrapped
    rng = np.random.default_rng(0)
    given, happened = [], []
    for number in range(episodes):
        seed, episode = 11 + number % 2, 100 - 7 * number
        recorder.start(seed, episode)
        done = False
        while not done:
            action = task_env.oracle_action() if number % 2 else rng.integers(task_env.action_space.n)
            *_, terminated, truncated, _ = recorder.step(int(action))
            done = terminated or truncated
        record = recorder.close_record()
        given.append((seed, episode, list(record.actions)))
        happened.append(record)
    return given, happened


@pytest.mark.parametrize("name", TASKS)
def test_both_forms_find_the_same_to_the_last_bit(name: str) -> None:
    given, happened = recorded(TASKS[name])
    assert replay_together(TASKS[name], given) == happened
    assert [replay_episode(Recorder(make_env(TASKS[name])), *one) for one in given] == happened


def test_what_takes_too_much_memory_is_played_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    given, happened = recorded(MAZE)
    monkeypatch.setattr(vector_replay, "MAX_BYTES", 2000)
    assert replay_together(MAZE, given) == happened


@pytest.mark.parametrize(
    "change",
    [
        lambda actions: actions.append(0),
        lambda actions: actions.pop(),
        lambda actions: actions.clear(),
        lambda actions: actions.__setitem__(0, 3),
        lambda actions: actions.__setitem__(0, -1),
        lambda actions: actions.__setitem__(0, 0.0),
        lambda actions: actions.__setitem__(0, True),
        lambda actions: actions.__setitem__(0, "0"),
        lambda actions: actions.__setitem__(0, [0]),
        lambda actions: actions.__setitem__(0, 2**62),
    ],
)
def test_where_it_is_in_doubt_it_says_nothing(change: Any) -> None:
    given, _ = recorded(MAZE)
    change(given[3][2])
    assert replay_together(MAZE, given) is None


def test_other_tasks_are_left_to_the_scalar_form() -> None:
    given, _ = recorded(MAZE)
    assert replay_together(replace(MAZE, canary=True), given) is None
    assert replay_together(get_suite("quickstart").tasks[1], given) is None
    assert replay_together(MAZE, []) is None


def test_episode_numbers_of_a_vector_environment_are_checked() -> None:
    import gymnasium as gym

    envs: Any = gym.make_vec("memgym/EndlessTMaze-v0", num_envs=2)
    envs.reset(seed=[5, 6], options={"episode": np.array([3, 9])})
    assert envs.episode.tolist() == [3, 9]
    for wrong in (np.array([1]), np.array([0.5, 1.0]), np.array([-1, 0]), np.array([[1, 2]])):
        with pytest.raises(ValueError, match="episode"):
            envs.reset(seed=0, options={"episode": wrong})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    return run([plan(AgentSpec("first-cue"), get_suite("retention+episodes=3"), out)])[0]


def test_verification_takes_the_fast_way_and_ends_as_the_slow_one(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow: list[Any] = []
    honest = verify._check_episode
    monkeypatch.setattr(verify, "_check_episode", lambda *given: slow.append(given) or honest(*given))
    verify.verify(bundle)
    assert slow == []
    monkeypatch.setattr(verify, "replay_together", lambda *given: None)
    verify.verify(bundle)
    assert len(slow) == len(read_bundle(bundle).episodes)


def test_the_scalar_environment_has_the_last_word(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector form that is wrong refuses nobody, and one that agrees with a lie would be the only way past it."""
    row = {**read_bundle(bundle).episodes[0], "return": 123.0}
    task = TASKS[row["task"]]
    monkeypatch.setattr(verify, "replay_together", lambda *given: [Episode(row["seed"], row["episode"])])
    assert b"return is 123.0" in verify._check_piece(task, [(row, _actions(bundle, row))])
    monkeypatch.setattr(verify, "_proved", lambda row: {})  # the negative control: all rows alike
    assert verify._check_piece(task, [(row, _actions(bundle, row))]) == b""


def _actions(bundle: Path, row: dict[str, Any]) -> list[Any]:
    return next(
        actions
        for key, actions in verify.read_traces(bundle, row["task"])
        if key == (row["seed"], row["episode"])
    )


def test_a_number_of_another_type_is_no_match(bundle: Path) -> None:
    row = read_bundle(bundle).episodes[0]
    spoilt = {**row, "metrics": {name: int(value) for name, value in row["metrics"].items()}}
    assert verify._check_piece(TASKS[row["task"]], [(spoilt, _actions(bundle, row))])
    assert verify._check_piece(TASKS[row["task"]], [(row, _actions(bundle, row))]) == b""
