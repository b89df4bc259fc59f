"""What text agents do does not depend on a process's hash seed, which orders every set of strings."""

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import pytest

from memgym.agents import AGENTS, make_agent
from memgym.core.agent import Agent, AgentCard
from memgym.core.rollout import play_episode
from memgym.core.trace import Recorder
from memgym.memory import MemoryOp, as_action

SEEDS = ("0", "1")
CONTROL = ("belief", "first-cue", "cue-blind", "ppo-lstm", "ppo-memory")  # agents that play no text
TASKS: dict[str, dict[str, Any]] = {
    "memgym/TaskRevision-v0": {"preset": "easy", "memory_budget": 2048, "view_bytes": 2048},
    "memgym/LongHorizonQA-v0": {"num_words": 4096, "difficulty": "easy", "memory_budget": 4096},
    "memgym/DialogueMemory-v0": {"num_sessions": 3, "memory_budget": 1024, "view_bytes": 1024},
}


class FirstOfASet(Agent):
    """The control: keeps the word, and gives the answer, that a set of strings happens to begin with."""

    card = AgentCard(name="first-of-a-set", kind="scripted", description="Takes the first element of a set.")
    families = ("text",)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        first = next(iter(set(observation["text"].split())), "nothing")
        return as_action([MemoryOp.add(first)], answer=first), None


def play(name: str) -> dict[str, str]:
    """By task: a digest of an agent's actions, of all that it saw, and of the bytes it remembered."""
    digests = {}
    for env_id, kwargs in TASKS.items():
        agent = FirstOfASet() if name == FirstOfASet.card.name else make_agent(name)
        recorder = Recorder(gym.make(env_id, disable_env_checker=True, split="test", **kwargs))
        episode = play_episode(agent, agent.wrap(recorder), recorder, 4, 0)
        assert episode.error is None, episode.error
        seen = (episode.hash, episode.actions, episode.bank_bytes, episode.agent_bytes)
        digests[env_id] = hashlib.sha256(repr(seen).encode()).hexdigest()
    return digests


@pytest.mark.slow
def test_no_text_agent_depends_on_the_hash_seed() -> None:
    processes = []
    for seed in SEEDS:
        env = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        processes.append(subprocess.Popen([sys.executable, __file__], env=env, stdout=subprocess.PIPE))
    one, two = (json.loads(process.communicate()[0]) for process in processes)
    control_one, control_two = one.pop(FirstOfASet.card.name), two.pop(FirstOfASet.card.name)
    assert {*one} == {*AGENTS} - {*CONTROL}
    assert [name for name in one if one[name] != two[name]] == []
    assert [env_id for env_id in TASKS if control_one[env_id] == control_two[env_id]] == []


if __name__ == "__main__":
    names = [name for name in AGENTS if name not in CONTROL]
    print(json.dumps({name: play(name) for name in (*names, FirstOfASet.card.name)}))
