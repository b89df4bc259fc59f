"""Learning: the task needs memory, and what ships can use it."""

import importlib.util
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch")
pytest.importorskip("sb3_contrib")

from stable_baselines3 import PPO  # noqa: E402

from memgym.agents.ppo_lstm import PPOLSTMAgent  # noqa: E402
from memgym.agents.ppo_memory import PPOMemoryAgent  # noqa: E402
from memgym.agents.sb3 import SB3VecEnv, success_rate  # noqa: E402
from memgym.baselines import train_ppo_lstm, train_ppo_memory  # noqa: E402
from memgym.wrappers.memory_actions import MemoryActionsVector  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"
EPISODES = 500
# four standard deviations above the cue-blind line of three corridors, 0.5^3
CUE_BLIND = 0.125 + 4 * np.sqrt(0.125 * 0.875 / EPISODES)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unseen(num_corridors: int, **arguments: Any) -> gym.vector.VectorEnv:
    return gym.make_vec(
        ENV_ID,
        num_envs=EPISODES,
        num_corridors=num_corridors,
        split="test",
        autoreset_mode=AutoresetMode.SAME_STEP,
        **arguments,
    )


def load_example(name: str) -> Any:
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", [1, 3, 10])
def test_shipped_agents_solve_unseen_episodes_and_more_corridors(n):
    assert success_rate(PPOLSTMAgent().policy, unseen(n), seed=77) >= 0.95
    agent = PPOMemoryAgent()
    assert success_rate(agent.policy, MemoryActionsVector(unseen(n), agent.num_slots), seed=77) >= 0.95


def test_the_memory_agent_fails_when_it_cannot_see_its_memory():
    agent = PPOMemoryAgent()
    hidden = MemoryActionsVector(unseen(3), agent.num_slots, show=False)
    assert success_rate(agent.policy, hidden, seed=77) <= CUE_BLIND


def test_the_lstm_agent_fails_when_its_state_is_taken_away():
    policy = PPOLSTMAgent().policy

    class Amnesiac:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
        ):
            return policy.predict(observation, None, np.ones(len(observation), bool), deterministic)

    assert success_rate(Amnesiac(), unseen(3), seed=77) <= CUE_BLIND


def test_the_training_scripts_write_agents_that_load(tmp_path, capsys):
    for script, agent in ((train_ppo_lstm, PPOLSTMAgent), (train_ppo_memory, PPOMemoryAgent)):
        stem = tmp_path / script.__name__.rpartition(".")[2]
        script.main(["--out", str(stem), "--total-steps", "100", "--num-corridors", "1", "--seed", "3"])
        card = agent(stem).card
        assert card.training_steps >= 100
        assert card.extra["seed"] == 3
        assert "success_n10" in capsys.readouterr().out


@pytest.mark.slow
def test_ppo_without_memory_stays_at_the_cue_blind_line():
    envs = SB3VecEnv(
        gym.make_vec(ENV_ID, num_envs=128, num_corridors=3, autoreset_mode=AutoresetMode.SAME_STEP)
    )
    envs.seed(0)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=64,
        batch_size=1024,
        n_epochs=6,
        learning_rate=2e-3,
        gamma=0.98,
        seed=0,
        device="cpu",
    )
    model.learn(700_000)
    assert success_rate(model, unseen(3), seed=0) <= CUE_BLIND


@pytest.mark.slow
def test_memory_actions_are_learned_from_scratch_and_only_where_memory_shows():
    _, run = train_ppo_memory.train(train_ppo_memory.Config(seed=1))
    assert run["eval"]["success_n3"] >= 0.9
    _, blind = train_ppo_memory.train(
        train_ppo_memory.Config(seed=1, show_memory=False, total_steps=300_000, eval_episodes=EPISODES)
    )
    assert blind["eval"]["success_n3"] <= CUE_BLIND


@pytest.mark.slow
def test_the_single_file_example_learns_to_remember():
    curve = load_example("cleanrl_style_ppo").main(total_steps=250_000)
    assert curve[0][1] < 0.5, "before learning it is at most at chance"
    assert np.mean([success for _, success in curve[-5:]]) > 0.9
