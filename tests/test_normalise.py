"""Other packages' environments in a suite: the mechanism with Gymnasium's own, the real ones where installed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import memgym  # noqa: F401 - registers the environments
from memgym.core import suites
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_bundle
from memgym.core.rollout import play_episode, replay_episode
from memgym.core.suites import Suite, Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.trace import Episode, Recorder
from memgym.core.verify import verify
from memgym.errors import DependencyMissing, InvalidOperation, MemgymError, ResultMismatch
from memgym.wrappers import normalise as module
from memgym.wrappers.normalise import PEERS, Normalised, Peer, normalise, peer_of

PEER_PACKAGE = """
import gymnasium as gym
TOY = "gymnasium.envs.toy_text"
gym.register("fakepeer-FrozenLake-v0", TOY + ".frozen_lake:FrozenLakeEnv", max_episode_steps=30)
gym.register("fakepeer-Blackjack-v0", TOY + ".blackjack:BlackjackEnv")
gym.register("fakepeer-CartPole-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
"""
IDS = ["fakepeer-FrozenLake-v0", "fakepeer-Blackjack-v0", "fakepeer-CartPole-v0"]
TASKS = tuple(Task(env_id.split("-")[1].lower(), env_id, env_id, episodes=10) for env_id in IDS)
PEER_SUITE = Suite("peers", "Gymnasium's own, as if another package had brought them.", TASKS)


def squashed(ret: float, info: Any) -> float:
    return min(max(ret, 0.0), 1.0)


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose ids begin with ``fakepeer-``, and a suite "peers" of them; gives the package's file."""
    file = tmp_path / "fake_peer.py"
    file.write_text(PEER_PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PEERS, "fakepeer-", Peer("fake_peer", "pip install fake-peer", squashed))
    monkeypatch.setattr(suites, "PEERS", PEER_SUITE)
    yield file
    sys.modules.pop("fake_peer", None)
    for env_id in IDS:
        gym.registry.pop(env_id, None)


def play_at_random(env: gym.Env, seed: int, episode: int) -> Episode:
    recorder = Recorder(env)
    recorder.start(seed, episode)
    env.action_space.seed(1000 * seed + episode)
    for _ in range(10_000):
        observation, _, terminated, truncated, _ = recorder.step(env.action_space.sample())
        assert observation in env.observation_space
        if terminated or truncated:
            return recorder.close_record()
    raise AssertionError("the episode does not end")


class Spy(gym.Env):
    """Ends with reward 1 after the action 1, and keeps what it was reset with."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.resets: list[tuple[Any, Any]] = []
        self.own_info = {"pages": [0]}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.resets.append((seed, options))
        return 0, self.own_info

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert type(action) is int
        self.own_info["pages"][0] += 1
        return 1, float(action), action == 1, False, self.own_info


def spy_with(**given: Any) -> Any:
    """A `Spy` with another `observation_space` or `action_space`."""
    env = Spy()
    for name, value in given.items():
        setattr(env, name, value)
    return env


# ---------------------------------------------------------------------- episodes


@pytest.mark.parametrize("env_id", IDS)
def test_an_episode_reached_directly_is_the_one_reached_in_order(peer, env_id):
    env = make_env(Task("t", "t", env_id))
    in_order = [play_at_random(env, 3, episode).hash for episode in range(5)]
    assert len(set(in_order)) > 1
    assert in_order[3] == play_at_random(make_env(Task("t", "t", env_id)), 3, 3).hash
    assert in_order[1] == play_at_random(env, 3, 1).hash
    assert in_order != [play_at_random(env, 4, episode).hash for episode in range(5)]


def test_each_episode_has_a_seed_of_its_own_that_numpy_takes():
    spy = Spy()
    env = Normalised(spy, squashed)
    for seed in range(50):
        env.reset(seed=seed)
        env.reset()
        env.reset(options={"episode": 1})
    given = [seed for seed, _ in spy.resets]
    assert given[1::3] == given[2::3]
    assert len({*given[0::3], *given[1::3]}) == 100
    assert all(0 <= seed < 2**31 for seed in given)
    assert max(given) > 2**29  # all the bits are used


def test_an_unseeded_environment_still_counts_its_episodes():
    spy = Spy()
    env = Normalised(spy, squashed)
    env.reset()
    env.reset()
    assert env.episode == 1
    assert spy.resets[0][0] != spy.resets[1][0]


def test_options_other_than_the_episode_reach_the_environment():
    spy = Spy()
    Normalised(spy, squashed).reset(seed=0, options={"episode": 2, "size": 3})
    assert spy.resets[0][1] == {"size": 3}


def test_a_negative_episode_is_refused():
    with pytest.raises(ValueError, match="episode is at least 0"):
        Normalised(Spy(), squashed).reset(seed=0, options={"episode": -1})


# ---------------------------------------------------------------------- observations and actions


@pytest.mark.parametrize(
    ("env_id", "shape"),
    [("fakepeer-FrozenLake-v0", (16,)), ("fakepeer-Blackjack-v0", (45,)), ("fakepeer-CartPole-v0", (4,))],
)
def test_observations_are_float_boxes(peer, env_id, shape):
    env = make_env(Task("t", "t", env_id))
    assert (shape, np.float32) == (env.observation_space.shape, env.observation_space.dtype)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space


def test_discrete_parts_are_one_hot_and_texts_are_left_out():
    space = spaces.Dict(
        mission=spaces.Text(9), turn=spaces.Discrete(3), image=spaces.Box(0, 255, (1, 2), np.uint8)
    )
    env = spy_with(observation_space=space)
    env.reset = lambda **kwargs: ({"mission": "go", "turn": 2, "image": np.array([[7, 255]], np.uint8)}, {})
    observation, _ = Normalised(env, squashed).reset(seed=0)
    assert sorted(observation.tolist()) == [0, 0, 1, 7, 255]
    assert observation.dtype == np.float32


def test_a_box_keeps_its_shape_and_type():
    space = spaces.Box(0, 255, (4, 4, 3), np.uint8)
    assert Normalised(spy_with(observation_space=space), squashed).observation_space == space


@pytest.mark.parametrize(
    "space",
    [spaces.Text(3), spaces.Sequence(spaces.Discrete(2)), spaces.Dict(mission=spaces.Text(3))],
    ids=lambda space: type(space).__name__,
)
def test_observations_without_a_fixed_size_are_refused(space):
    with pytest.raises(ValueError, match="a fixed number of numbers"):
        Normalised(spy_with(observation_space=space), squashed)


def test_actions_of_several_parts_are_refused():
    with pytest.raises(ValueError, match="Discrete, MultiDiscrete or Box actions"):
        Normalised(spy_with(action_space=spaces.Tuple([spaces.Discrete(2)])), squashed)


@pytest.mark.parametrize("action", [2, -1, 0.5, "1", None, [1], [[1], [1, 2]], {}, True, 10**30], ids=str)
def test_an_action_outside_the_space_is_refused(action):
    env = Normalised(Spy(), squashed)
    env.reset(seed=0)
    with pytest.raises(InvalidOperation, match="an action is one of Discrete"):
        env.step(action)


@pytest.mark.parametrize("action", [1, np.int64(1), np.array(1)], ids=repr)
def test_the_types_that_agents_give_for_a_number_are_taken(action):
    env = Normalised(Spy(), squashed)
    env.reset(seed=0)
    assert env.step(action)[2]


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([8, 8]), spaces.Box(-2.0, 2.0, (2,), np.float32)])
def test_recorded_actions_come_back_as_the_arrays_they_were(space):
    env = spy_with(action_space=space)
    given: list[Any] = []
    env.step = lambda action: (given.append(action), (1, 1.0, True, False, {}))[1]
    recorder = Recorder(Normalised(env, squashed))
    space.seed(0)
    recorder.start(0, 0)
    recorder.step(space.sample())
    replay_episode(recorder, 0, 0, recorder.close_record().actions)
    first, again = given
    assert first.dtype == again.dtype == space.dtype
    np.testing.assert_array_equal(first, again)


# ---------------------------------------------------------------------- scores


def test_the_last_info_has_score_and_success():
    env = Normalised(Spy(), squashed)
    env.reset(seed=0)
    assert "score" not in env.step(0)[-1]
    info = env.step(1)[-1]
    assert (info["score"], info["success"]) == (1.0, True)
    half = Normalised(Spy(), lambda ret, info: ret / 2)
    half.reset(seed=0)
    info = half.step(1)[-1]
    assert (info["score"], info["success"]) == (0.5, False)


def test_infos_that_the_environment_changes_later_are_copied():
    env = Normalised(Spy(), squashed)
    _, info = env.reset(seed=0)
    env.step(0)
    assert info == {"pages": [0]}


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan")])
def test_a_score_outside_0_to_1_is_an_error(score):
    env = Normalised(Spy(), lambda ret, info: score)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"score\(return, info\) is from 0 to 1"):
        env.step(1)


@pytest.mark.parametrize(
    ("env_id", "ret", "info", "score"),
    [
        ("popgym-AutoencodeEasy-v0", -1.0000000000000007, {}, 0.0),
        ("popgym-AutoencodeEasy-v0", 0.5, {}, 0.75),
        ("popgym-AutoencodeEasy-v0", 1.0000000000000002, {}, 1.0),
        ("MiniGrid-MemoryS7-v0", 0.1, {}, 1.0),
        ("MiniGrid-MemoryS7-v0", 0.0, {}, 0.0),
        ("MortarMayhem-Grid-v0", 0.9, {"success": 0}, 0.0),
        ("MysteryPath-v0", 0.9, {"success": 1}, 1.0),
        ("SearingSpotlights-v0", 0.2, {"success": np.True_}, 1.0),
    ],
)
def test_each_package_has_its_rule(env_id, ret, info, score):
    found = peer_of(env_id)
    assert found is not None
    assert score == found.score(ret, info)


@pytest.mark.parametrize(
    "env_id", ["memgym/EndlessTMaze-v0", "CartPole-v1", "MiniGrid-Fetch-5x5-N2-v0", "Endless-MortarMayhem-v0"]
)
def test_other_ids_are_not_taken_for_peers(env_id):
    assert peer_of(env_id) is None


def test_an_environment_without_a_known_score_needs_one():
    with pytest.raises(ValueError, match="no score is known for 'CartPole-v1': give score"):
        normalise(gym.make("CartPole-v1"))
    assert normalise(gym.make("CartPole-v1"), squashed).metric == "score"


# ---------------------------------------------------------------------- in a suite


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.* value is.*infinity")
@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
def test_gymnasiums_checker_passes(peer, env_id):
    check_env(make_env(Task("t", "t", env_id)))


def test_random_plays_a_suite_of_peers_and_it_verifies(peer, tmp_path):
    (folder,) = run([plan(AgentSpec("random"), get_suite("peers"), tmp_path / "out")])
    assert [(task["env_id"], task["family"], task["metric"]) for task in verify(folder).header["tasks"]] == [
        (env_id, "control", "score") for env_id in IDS
    ]
    scores = {row["score"] for row in read_bundle(folder).episodes}
    assert scores == {0.0, 1.0}


def test_another_rule_for_the_score_does_not_verify(peer, tmp_path, monkeypatch):
    (folder,) = run([plan(AgentSpec("random"), get_suite("peers"), tmp_path / "out")])
    monkeypatch.setitem(PEERS, "fakepeer-", Peer("fake_peer", "", lambda ret, info: 0.5))
    with pytest.raises(ResultMismatch, match=r"score is .* in the file and 0\.5 when replayed"):
        verify(folder)


def test_the_oracle_is_told_why_it_cannot_play(peer, tmp_path):
    with pytest.raises(MemgymError, match="needs an environment with oracle_action"):
        run([plan(AgentSpec("oracle"), get_suite("peers"), tmp_path / "out")])


def test_a_task_whose_package_is_missing_is_skipped_with_the_reason(peer, tmp_path, monkeypatch):
    monkeypatch.setitem(PEERS, "fakepeer-C", Peer("not_there", "pip install not-there", squashed))
    ids = dict(sorted(PEERS.items(), key=lambda item: -len(item[0])))  # the longer prefix first
    monkeypatch.setattr(module, "PEERS", ids)
    (folder,) = run([plan(AgentSpec("random"), get_suite("peers+episodes=2"), tmp_path / "out")])
    header = verify(folder).header
    assert header["skipped"] == [
        {"task": "cartpole", "reason": "the package 'not_there' is not installed: pip install not-there"}
    ]
    assert [task["name"] for task in header["tasks"]] == ["frozenlake", "blackjack"]


def test_a_result_cannot_be_verified_without_the_package(peer, tmp_path):
    (folder,) = run([plan(AgentSpec("random"), get_suite("peers+episodes=2"), tmp_path / "out")])
    peer.write_text("import not_there")
    sys.modules.pop("fake_peer")
    with pytest.raises(DependencyMissing, match="'not_there' is not installed: pip install fake-peer"):
        verify(folder)


def test_a_stable_baselines3_model_plays_a_peer(peer):
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env = make_env(TASKS[1])
    sb3_check_env(env)
    model = sb3.PPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    recorder = Recorder(env)
    played = play_episode(model, recorder, recorder, 5, 2)
    assert played.error is None
    assert played.hash == replay_episode(recorder, 5, 2, played.actions).hash


# ---------------------------------------------------------------------- the packages themselves

REAL = {task.name: task for task in suites.PEERS.tasks}
MORE_IDS = [  # other spaces: pairs of numbers as actions, continuous ones, images beside numbers
    "popgym-BattleshipEasy-v0",
    "popgym-ConcentrationEasy-v0",
    "popgym-PositionOnlyPendulumEasy-v0",
    "MiniGrid-MemoryS13Random-v0",
    "MortarMayhemB-v0",
    "SearingSpotlights-v0",
]


def installed(task: Task) -> Task:
    if reason := task.missing():
        pytest.skip(reason)
    return task


@pytest.mark.parametrize("task", [*REAL.values(), *(Task(i, i, i) for i in MORE_IDS)], ids=lambda t: t.name)
def test_real_peers_keep_the_protocol(task):
    env = make_env(installed(task))
    in_order = [play_at_random(env, 7, episode) for episode in range(4)]
    again = play_at_random(make_env(task), 7, 2)
    assert in_order[2].hash == again.hash
    assert len({episode.hash for episode in in_order}) == 4
    assert all(0.0 <= episode.score <= 1.0 for episode in in_order)
    assert isinstance(env.observation_space, spaces.Box)
    recorder = Recorder(env)
    assert again.hash == replay_episode(recorder, 7, 2, again.actions).hash
    env.close()


def test_the_suite_of_real_peers_is_played_and_verified(tmp_path):
    missing = {name: reason for name, task in REAL.items() if (reason := task.missing())}
    if len(missing) == len(REAL):
        pytest.skip("; ".join(dict.fromkeys(missing.values())))
    (folder,) = run([plan(AgentSpec("random"), get_suite("peers+episodes=2"), tmp_path)])
    header = verify(folder).header
    assert set(header["summary"]) == REAL.keys() - missing.keys()
    assert {row["task"]: row["reason"] for row in header["skipped"]} == missing
