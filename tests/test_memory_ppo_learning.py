"""MemoryPPO learns to remember, and what has no memory does not."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.sb3 import success_rate  # noqa: E402

pytestmark = pytest.mark.slow

ENV_ID = "memgym/EndlessTMaze-v0"
EPISODES = 500
# four standard deviations above the cue-blind line of three corridors, 0.5^3
CUE_BLIND = 0.125 + 4 * np.sqrt(0.125 * 0.875 / EPISODES)


def unseen(**arguments: Any) -> gym.vector.VectorEnv:
    mode = AutoresetMode.SAME_STEP
    return gym.make_vec(ENV_ID, num_envs=EPISODES, split="test", autoreset_mode=mode, **arguments)


def learned(cell: str, env: Any) -> MemoryPPO:
    # with a constant rate the greedy policy comes and goes, at chance one moment and at 1 the next
    model = MemoryPPO(cell, env, n_envs=128, learning_rate=(1e-3, 0.0), ent_coef=(0.01, 0.0), seed=0)
    return model.learn(200_000)


@pytest.mark.parametrize(
    "mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP], ids=lambda mode: mode.name
)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mingru"])
def test_a_recurrent_memory_learns_to_rewrite_its_cue(cell: str, mode: AutoresetMode):
    env = gym.make_vec(ENV_ID, num_envs=128, autoreset_mode=mode)
    model = learned(cell, env)
    assert success_rate(model, unseen(), seed=77) >= 0.95


def test_without_memory_it_stays_at_chance():
    model = learned("mlp", ENV_ID)
    assert success_rate(model, unseen(), seed=77) <= CUE_BLIND


def test_a_memory_whose_state_is_taken_away_is_at_chance():
    model = learned("gru", ENV_ID)

    class Amnesiac:
        def predict(self, observation: Any, **_: Any) -> Any:
            return model.predict(observation, None, deterministic=True)

    assert success_rate(model, unseen(), seed=77) >= 0.95
    assert success_rate(Amnesiac(), unseen(), seed=77) <= CUE_BLIND
