"""Stable-Baselines3 on memgym: the adapter, the shipped agents and their weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments
from memgym.agents import make_agent

torch = pytest.importorskip("torch")
pytest.importorskip("sb3_contrib")

from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.env_checker import check_env  # noqa: E402

from memgym.agents.ppo_lstm import PPOLSTMAgent  # noqa: E402
from memgym.agents.ppo_memory import PPOMemoryAgent  # noqa: E402
from memgym.agents.sb3 import SB3VecEnv, success_rate  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid, build_policy, load_weights, save_weights  # noqa: E402
from memgym.envs.t_maze import EndlessTMaze  # noqa: E402
from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"
WEIGHTS = Path(__import__("memgym.agents.weights", fromlist=["x"]).__file__).parent


def make_vec(num_envs: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, **arguments: Any) -> Any:
    return gym.make_vec(ENV_ID, num_envs=num_envs, autoreset_mode=mode, **arguments)


@pytest.mark.parametrize("arguments", [{}, {"length_mode": "uniform", "junction_visible": True}], ids=str)
@pytest.mark.parametrize("memory", [False, True], ids=["plain", "memory-actions"])
def test_stable_baselines_checker_passes(arguments, memory):
    env = gym.make(ENV_ID, **arguments)
    check_env(MemoryActions(env) if memory else env)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_another_autoreset_mode_is_refused_with_the_remedy(mode):
    with pytest.raises(ValueError, match=r"autoreset_mode=gym\.vector\.AutoresetMode\.SAME_STEP"):
        SB3VecEnv(make_vec(2, mode))


def test_ppo_learns_on_the_adapter_without_complaint():
    env = SB3VecEnv(make_vec(256))
    env.seed(0)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=1024, n_epochs=1, device="cpu", seed=0)
    model.learn(3 * 256 * 16)
    assert model.num_timesteps == 3 * 256 * 16
    assert model.ep_info_buffer
    assert all(episode["l"] >= 6 for episode in model.ep_info_buffer)


def test_infos_of_finished_environments_tell_their_episode():
    env = SB3VecEnv(make_vec(8, length_mode="uniform"))
    env.seed(20)
    twins = [EndlessTMaze(length_mode="uniform") for _ in range(8)]
    observation: Any = env.reset()
    for i, twin in enumerate(twins):
        np.testing.assert_array_equal(twin.reset(seed=20 + i)[0], observation[i])
    rng, returns, lengths, finished = np.random.default_rng(0), np.zeros(8), np.zeros(8, int), 0
    for _ in range(300):
        actions = rng.choice(3, 8, p=[0.5, 0.25, 0.25])
        observation, reward, done, infos = env.step(actions)
        for i, twin in enumerate(twins):
            final, gain, terminated, truncated, info = twin.step(actions[i])
            returns[i] += gain
            lengths[i] += 1
            assert np.float32(gain) == reward[i]
            assert (terminated or truncated) == done[i]
            if not done[i]:
                assert infos[i] == {}
                np.testing.assert_array_equal(final, observation[i])
                continue
            finished += 1
            np.testing.assert_array_equal(final, infos[i]["terminal_observation"])
            assert truncated == infos[i]["TimeLimit.truncated"]
            assert info["success"] == infos[i]["is_success"]
            assert info["corridor"] == infos[i]["corridor"]
            assert returns[i] == pytest.approx(infos[i]["episode"]["r"])
            assert lengths[i] == infos[i]["episode"]["l"]
            returns[i], lengths[i] = 0, 0
            np.testing.assert_array_equal(twin.reset()[0], observation[i])
    assert finished > 50


def test_terminal_observations_show_the_memory_as_it_was():
    env = SB3VecEnv(MemoryActionsVector(make_vec(1, num_corridors=1)))
    env.seed(0)
    first: Any = env.reset()
    observation: Any = first
    done: Any = [False]
    infos: list[dict[str, Any]] = [{}]
    op = 1
    while not done[0]:
        observation, _, done, infos = env.step(np.array([[0, op]]))
        op = 0
    np.testing.assert_array_equal(first[0, :3], infos[0]["terminal_observation"][3:6])
    np.testing.assert_array_equal(np.zeros(4, np.float32), observation[0, 3:])
    assert infos[0]["memory_bytes"] == 12


def test_a_timeout_is_marked_as_one():
    env = SB3VecEnv(make_vec(2, num_corridors=1, corridor_length=1))
    env.reset()
    for _ in range(11):
        assert not env.step(np.array([1, 1]))[2].any()
    _, _, done, infos = env.step(np.array([1, 1]))
    assert done.all()
    assert infos[0]["TimeLimit.truncated"]


# ---------------------------------------------------------------------- the shipped agents


def play(agent: Any, episodes: int, **arguments: Any) -> float:
    """Success rate through `predict` and `wrap`, one episode after the other."""
    env = agent.wrap(gym.make(ENV_ID, split="test", **arguments))
    won = 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=1, options={"episode": episode})
        state, start, done, info = None, True, False, {}
        while not done:
            action, state = agent.predict(observation, state, start, deterministic=True)
            assert env.action_space.contains(np.asarray(action, env.action_space.dtype))
            observation, _, terminated, truncated, info = env.step(action)
            start, done = False, terminated or truncated
        won += info["success"]
    return won / episodes


@pytest.mark.parametrize("name", ["ppo-lstm", "ppo-memory"])
def test_a_shipped_agent_plays_what_it_was_trained_for(name):
    agent = make_agent(name)
    assert (name, "rl") == (agent.card.name, agent.card.kind)
    assert agent.card.training_steps > 0
    assert sum(p.numel() for p in agent.policy.parameters()) == agent.card.parameters
    assert agent.cannot_play(gym.make(ENV_ID, num_corridors=10)) == ""
    assert play(agent, 20) >= 0.95


@pytest.mark.parametrize(("agent", "nbytes"), [(PPOLSTMAgent, 2 * 48 * 4), (PPOMemoryAgent, 3 * 4)])
def test_memory_is_counted_in_bytes_that_are_carried(agent, nbytes):
    agent = agent()
    env = agent.wrap(gym.make(ENV_ID))
    observation, _ = env.reset(seed=0)
    _, state = agent.predict(observation, None, True)
    assert nbytes == agent.memory_nbytes(state)


def test_the_lstm_forgets_at_the_start_of_an_episode():
    agent, (observation, _) = PPOLSTMAgent(), gym.make(ENV_ID).reset(seed=0)
    _, fresh = agent.predict(observation, None, True)
    _, old = agent.predict(observation, fresh, False)
    _, again = agent.predict(observation, old, True)
    np.testing.assert_allclose(fresh[0], again[0], atol=1e-6)
    assert not np.allclose(fresh[0], old[0])


@pytest.mark.parametrize("agent", [PPOLSTMAgent, PPOMemoryAgent])
def test_a_task_with_other_spaces_is_declined_with_the_reason(agent):
    agent = agent()
    assert "observations" in agent.cannot_play(gym.make(ENV_ID, junction_visible=True))
    assert "control" in agent.cannot_play(gym.make("CartPole-v1"))


# ---------------------------------------------------------------------- weights


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"agent{suffix}").write_bytes((WEIGHTS / f"ppo_lstm{suffix}").read_bytes())
    return tmp_path / "agent"


def edit(stem: Path, **changes: Any) -> None:
    file = stem.with_suffix(".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_weights_survive_saving_and_loading(copied):
    agent = PPOLSTMAgent(copied)
    again = copied.with_name("again")
    save_weights(again, agent.policy, agent.card, load_weights(copied).policy_kwargs)
    assert agent.card.to_dict() == load_weights(again).card.to_dict()
    for name, tensor in load_weights(copied).tensors.items():
        assert torch.equal(tensor, load_weights(again).tensors[name])
    assert list(again.parent.glob("*.part")) == []


def damage_truncate(stem: Path) -> None:
    file = stem.with_suffix(".safetensors")
    file.write_bytes(file.read_bytes()[:-100])


def damage_exchange(stem: Path) -> None:
    stem.with_suffix(".safetensors").write_bytes((WEIGHTS / "ppo_memory.safetensors").read_bytes())


def damage_not_safetensors(stem: Path) -> None:
    import hashlib

    stem.with_suffix(".safetensors").write_bytes(b"\x80\x04pickle")
    edit(stem, sha256=hashlib.sha256(b"\x80\x04pickle").hexdigest())


DAMAGE = {
    "truncated": (damage_truncate, "damaged"),
    "exchanged": (damage_exchange, "damaged"),
    "not-safetensors": (damage_not_safetensors, "not a safetensors file"),
    "no-tensors": (lambda stem: stem.with_suffix(".safetensors").unlink(), "cannot read"),
    "no-card": (lambda stem: stem.with_suffix(".json").unlink(), "cannot read"),
    "card-not-json": (lambda stem: stem.with_suffix(".json").write_text("{"), "not JSON"),
    "card-not-utf8": (lambda stem: stem.with_suffix(".json").write_bytes(b"\xff\xfe\xfa"), "not JSON"),
    "other-format": (lambda stem: edit(stem, format="x"), "not a memgym-policy-1 card"),
    "no-name": (lambda stem: edit(stem, name=None), "'name'"),
    "other-width": (lambda stem: edit(stem, policy_kwargs={"lstm_hidden_size": 8}), "another network"),
    "huge": (lambda stem: edit(stem, policy_kwargs={"lstm_hidden_size": 10**9}), "lstm_hidden_size"),
    "names-code": (lambda stem: edit(stem, policy_kwargs={"activation_fn": "os.system"}), "activation_fn"),
    "activation-list": (lambda stem: edit(stem, policy_kwargs={"activation": ["relu"]}), "activation"),
    "other-space": (
        lambda stem: edit(
            stem, observation_space={"type": "Box", "low": [0], "high": [1], "dtype": "float32"}
        ),
        "another network",
    ),
    "no-space": (lambda stem: edit(stem, action_space={"type": "Discrete", "n": "x"}), "space"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_bad_weights_are_a_named_error(copied, damage):
    spoil, words = DAMAGE[damage]
    spoil(copied)
    with pytest.raises(WeightsInvalid, match=words):
        PPOLSTMAgent(copied)


def test_weights_of_another_kind_of_agent_are_a_named_error():
    with pytest.raises(WeightsInvalid):
        PPOLSTMAgent(WEIGHTS / "ppo_memory")
    with pytest.raises(WeightsInvalid, match="the weights of 'ppo-lstm' are of another network"):
        PPOMemoryAgent(WEIGHTS / "ppo_lstm")


@pytest.mark.parametrize("num_slots", [None, 0, 7, "1", True])
def test_number_of_slots_that_does_not_fit_the_network_is_a_named_error(tmp_path, num_slots):
    for suffix in (".json", ".safetensors"):
        shutil.copy(WEIGHTS / f"ppo_memory{suffix}", tmp_path)
    edit(tmp_path / "ppo_memory", settings={"num_slots": num_slots})
    with pytest.raises(WeightsInvalid, match="num_slots"):
        PPOMemoryAgent(tmp_path / "ppo_memory")


def test_shipped_weights_are_small():
    for name in ("ppo_lstm", "ppo_memory"):
        assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 500_000


def test_success_rate_counts_first_episodes_only():
    weights = load_weights(WEIGHTS / "ppo_lstm")
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

    policy = build_policy(RecurrentActorCriticPolicy, weights)
    assert success_rate(policy, make_vec(50, split="test"), seed=5) >= 0.95
