"""The protocol in force: tracks, settings, how far a result was checked, registration, and the canaries' verdict.

`leaderboard/PROTOCOL.md` says the same to people; a test keeps the two together. Suites, their tasks and seeds are in
`memgym.core.suites`.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memgym.core.result import canonical_json
from memgym.core.suites import Task
from memgym.core.task_env import make_env

__all__ = [
    "RUNGS",
    "SETTINGS",
    "TRACKS",
    "Track",
    "agent_digest",
    "canary_chance",
    "caught_by_canaries",
    "tracks_of",
]

SETTINGS = {
    "closed-book": "Remembers nothing of the episode: no byte in the bank, none of its own. What a task gives away.",
    "offline": "Keeps the whole history, or is given it, and reads it when it is asked.",
    "online": "Manages a memory while the stream passes, and answers from that.",
}
RUNGS = {
    "claimed": "Well formed, complete, and consistent with itself; the seeds are the derived ones.",
    "replayed": "Every action was played again through the environments, and every number came out the same.",
    "rerun": "Somebody else ran the agent itself, and it did the same, action for action.",
}
LANGUAGE_MODELS = ("llm", "hybrid")  # kinds of an agent's card
SIGNIFICANCE = 0.001  # that an honest agent is refused by chance, over all canaries of a result


@dataclass(frozen=True)
class Track:
    """A table of its own: who is in it follows from card and result, nobody enters it.

    Attributes:
        name: short.
        title: for people.
        rule: who is in it.
        budget: most bytes that any episode may have taken, bank and agent together; None for no limit.
        language_model: whether the agent has one; None where it does not matter.
    """

    name: str
    title: str
    rule: str
    budget: int | None = None
    language_model: bool | None = None

    def has(self, kind: str, memory_max: int) -> bool:
        """Whether an agent is in it: its card's kind, and the largest peak of any of its episodes in bytes."""
        if self.budget is not None and memory_max > self.budget:
            return False
        return self.language_model is None or self.language_model == (kind in LANGUAGE_MODELS)


def _bounded(name: str, budget: int) -> Track:
    return Track(
        f"memory-{name.replace(' ', '').lower()}",
        f"memory ≤ {name}",
        f"no episode of any task took more than {budget:,} bytes",
        budget=budget,
    )


TRACKS = (
    Track("open", "open", "everybody"),
    _bounded("64 B", 64),
    _bounded("1 KiB", 1 << 10),
    _bounded("16 KiB", 16 << 10),
    _bounded("256 KiB", 256 << 10),
    Track("llm", "with language model", "the card's kind is llm or hybrid", language_model=True),
    Track("non-llm", "without language model", "the card's kind is another", language_model=False),
)


def tracks_of(kind: str, memory_max: int) -> tuple[str, ...]:
    """The names of the tracks that an agent is in.

    Args:
        kind: of its card.
        memory_max: the largest peak of any episode of any task, in bytes, bank and agent together.

    >>> tracks_of("rl", 384)
    ('open', 'memory-1kib', 'memory-16kib', 'memory-256kib', 'non-llm')
    """
    return tuple(track.name for track in TRACKS if track.has(kind, memory_max))


def agent_digest(card: Mapping[str, Any]) -> str:
    """What is registered before a beacon is known: sha256 of the card, with the fingerprint of code and weights."""
    return hashlib.sha256(canonical_json(dict(card))).hexdigest()


def canary_chance(task: Task) -> float | None:
    """The best expected score in a canary without any memory, which nobody who is shown nothing exceeds.

    None where the rules do not give it.
    """
    env = make_env(task)
    plain: Any = env.unwrapped
    try:
        if hasattr(plain, "canary_chance"):
            return plain.canary_chance()
        return getattr(plain, "reference_scores", dict)().get("cue-blind")
    finally:
        env.close()


def caught_by_canaries(tasks: Sequence[Task], scores: Mapping[str, Sequence[float]]) -> str:
    """Why a result cannot be that of an agent that sees observations alone; ``""`` where it can.

    Args:
        tasks: those of the suite, canaries or not.
        scores: of the episodes, by task.

    Each canary is tested one-sided, with a bound (Hoeffding's, in terms of the relative entropy) that holds for
    scores of any distribution from 0 to 1. An honest agent is caught on none of them with a probability of 0.999.
    """
    known = [(task, canary_chance(task)) for task in tasks if task.canary and task.name in scores]
    tested = [(task, chance) for task, chance in known if chance is not None]
    for task, chance in tested:
        mean = math.fsum(scores[task.name]) / len(scores[task.name])
        if _tail(mean, chance, len(scores[task.name])) < SIGNIFICANCE / len(tested):
            return (
                f"task {task.name!r} shows nothing, and the agent scores {mean:.3f} there in "
                f"{len(scores[task.name])} episodes, where chance is {chance:.3f}: it knows them from elsewhere"
            )
    return ""


def _tail(mean: float, chance: float, number: int) -> float:
    """A bound on the probability that `number` independent scores of at most this chance have at least this mean."""
    if mean <= chance:
        return 1.0
    if chance == 0.0:
        return 0.0
    entropy = mean * math.log(mean / chance)
    if mean < 1.0:
        entropy += (1.0 - mean) * math.log((1.0 - mean) / (1.0 - chance))
    return math.exp(-number * entropy)
