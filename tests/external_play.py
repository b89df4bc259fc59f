"""What the tests of packages as agents share: short episodes, and what a bank holds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym

import memgym  # noqa: F401 - registers the environments
from memgym.agents.external.model import PackageModel
from memgym.agents.external.store import PackagePolicy, PackageStore
from memgym.core.rollout import play_episode
from memgym.core.trace import Episode, Recorder
from memgym.memory import MemoryEngine
from memgym.memory.store import MemoryStore

ID = "memgym/DialogueMemory-v0"
SHORT: dict[str, Any] = {
    "num_sessions": 2,
    "turns_per_session": 8,
    "num_facts": 4,
    "num_events": 1,
    "split": "test",
}
UNSEEN = {"view_bytes": 0}  # only what is searched counts as looked at


def filled(
    make: Callable[[PackageModel], PackageStore], llm: Any, *texts: str, budget: int | None = None
) -> MemoryStore:
    """A library's memory to which Ines has said these texts, one a day of May 2024."""
    model = PackageModel(llm, 500)
    store = MemoryStore(MemoryEngine(budget), PackagePolicy(make(model), model))
    for day, text in enumerate(texts, 1):
        store.add(text, speaker="Ines", time=f"2024-05-{day:02}")
    return store


def package(store: MemoryStore) -> Any:
    """The package's store in it."""
    assert isinstance(store.policy, PackagePolicy)
    return store.policy.store


def texts(store: MemoryStore) -> list[str]:
    """What the bank says, sorted."""
    return sorted(entry.text.rpartition(" #h")[0] for entry in store.get_all())


def events(store: MemoryStore) -> list[str]:
    """The operations that were carried out."""
    return [done.op.kind.name for done in store.engine.log]


def play(agent: Any, **kwargs: Any) -> Episode:
    """A short episode."""
    recorder = Recorder(gym.make(ID, disable_env_checker=True, **SHORT, **kwargs))
    episode = play_episode(agent, recorder, recorder, 0, 0)
    assert episode.error is None, episode.error
    return episode


def recall(episode: Episode) -> float:
    """The mean share of the evidence that was found."""
    found = [question["evidence_recall"] for question in episode.questions if "evidence_recall" in question]
    return sum(found) / len(found)


def quiet_python(program: str, home: Path) -> list[str]:
    """What a program prints, word by word, in a process whose home is an empty folder."""
    out = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": str(home), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout.split()
