"""What every environment promises, over the registry."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

import memgym  # noqa: F401 - registers the environments
from memgym.checks import check_env, play_by_name
from memgym.envs import ENVIRONMENTS, VECTOR_ENVIRONMENTS

# arguments under which an environment is tested besides its defaults
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "memgym/EndlessTMaze-v0": [
        {"num_corridors": 1, "corridor_length": 1},
        {"length_mode": "uniform", "junction_visible": True, "split": "test"},
        {"reward": "authors_2025"},
    ],
    "memgym/DialogueMemory-v0": [
        {"answer_format": "choice", "split": "test"},
        {"num_sessions": 1, "turns_per_session": 1, "num_facts": 1, "num_events": 0},
        {"memory_budget": 0, "max_searches": 0},
        {"preset": "medium", "num_sessions": 3, "num_words": 3000, "op_reward": 0.5},
    ],
    "memgym/PoisonedDialogue-v0": [{"form": "delimiters", "answer_format": "choice", "split": "test"}],
    "memgym/LongHorizonQA-v0": [
        {"mode": "multi-turn", "answer_format": "choice", "difficulty": "easy", "num_words": 1000},
        {"num_rounds": 3, "difficulty": "hard", "core_bytes": 512, "memory_budget": None},
    ],
    "memgym/LoCoMo-v0": [{"memory_budget": None, "answer_format": "choice"}],
    "memgym/MemoryAgentBench-v0": [
        {"sources": ("factconsolidation_sh_6k",), "chunk_words": 1, "instructions": True}
    ],
    "memgym/BAbI-v0": [
        {"tasks": (8, 19), "split": "test", "memory_budget": None},
        {"tasks": (1,), "answer_format": "choice"},
    ],
    "memgym/BABILong-v0": [{"num_words": 1}, {"num_words": 500, "chunk_words": 1, "split": "test"}],
}
NEEDS = {
    "memgym/LoCoMo-v0": "locomo10",
    "memgym/LongMemEval-v0": "longmemeval_s",
    "memgym/MemoryAgentBench-v0": "memoryagentbench_fc",
    "memgym/BAbI-v0": "babi_en_1k",
    "memgym/BABILong-v0": "babi_en_1k",
}
CASES = [(env_id, kwargs) for env_id in ENVIRONMENTS for kwargs in [{}, *VARIANTS.get(env_id, [])]]
SECTIONS = [
    "Description",
    "Memory Demand",
    "Observation Space",
    "Action Space",
    "Rewards",
    "Starting State",
    "Episode End",
    "Arguments",
    "Reference Scores",
    "Source",
    "Version History",
]


@pytest.fixture(autouse=True)
def data_is_here(request: pytest.FixtureRequest, real_data: Callable[[str], Path]) -> None:
    env_id = request.node.callspec.params.get("env_id") if hasattr(request.node, "callspec") else None
    if env_id in NEEDS:
        real_data(NEEDS[env_id])


def test_no_id_ever_disappears() -> None:
    golden = (Path(__file__).parent / "golden" / "ids.txt").read_text().split()
    assert set(golden) <= set(ENVIRONMENTS)


@pytest.mark.parametrize(("env_id", "kwargs"), CASES)
def test_environment_keeps_memgyms_promises(env_id: str, kwargs: dict[str, Any]) -> None:
    check_env(env_id, **kwargs)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_gymnasiums_checker_accepts_the_environment_as_made(env_id: str) -> None:
    gymnasium_check_env(gym.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_oracle_reaches_the_ceiling_and_random_stays_at_the_floor(env_id: str) -> None:
    oracle = play_by_name("oracle", env_id, episodes=5)
    random = play_by_name("random", env_id, episodes=5)
    assert min(episode.score for episode in oracle) >= 0.99
    assert sum(episode.score for episode in random) / 5 <= 0.4


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_another_process_sees_the_same_bytes(env_id: str) -> None:
    program = (
        "import sys, memgym\n"
        "from memgym.checks import play_by_name\n"
        "print([e.hash for e in play_by_name('random', sys.argv[1], 2)])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, env_id], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    here = str([e.hash for e in play_by_name("random", env_id, 2)])
    assert {out.strip() for out in outputs} == {here}


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_other_peoples_random_state_changes_nothing(env_id: str) -> None:
    import random

    import numpy as np

    before = [e.hash for e in play_by_name("random", env_id, 1)]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is the point
    assert [e.hash for e in play_by_name("random", env_id, 1)] == before


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_different_seeds_give_different_episodes(env_id: str) -> None:
    env = gym.make(env_id)
    env.reset(seed=0)
    first = [str(env.unwrapped.oracle_state()) + str(env.reset(seed=s)[0]) for s in range(8)]
    assert len(set(first)) > 1


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_docstring_has_gymnasiums_sections_in_order(env_id: str) -> None:
    text = inspect.getdoc(ENVIRONMENTS.resolve(env_id)) or ""
    headings = [line[3:].strip() for line in text.splitlines() if line.startswith("## ")]
    assert [h for h in headings if h in SECTIONS] == SECTIONS


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_spec_survives_json(env_id: str) -> None:
    env = gym.make(env_id)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.spec is not None
    assert again.spec.id == env_id
    json.loads(env.spec.to_json())


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
@pytest.mark.parametrize("split", ["validation", ""])
def test_unknown_split_is_refused(env_id: str, split: str) -> None:
    with pytest.raises((ValueError, TypeError), match="split"):
        gym.make(env_id, split=split)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_make_vec_steps_every_environment(env_id: str) -> None:
    mode = "vector_entry_point" if env_id in VECTOR_ENVIRONMENTS else "sync"
    envs = gym.make_vec(env_id, num_envs=3, vectorization_mode=mode)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(5):
        _, rewards, terminations, truncations, _ = envs.step(envs.action_space.sample())
        assert rewards.shape == terminations.shape == truncations.shape == (3,)
    envs.close()
