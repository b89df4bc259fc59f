"""Suites: named lists of tasks with exact arguments, and the seeds of the protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from memgym.errors import DatasetMissing, UnknownName
from memgym.registry import Registry

__all__ = ["PROTOCOL", "SUITES", "Suite", "Task", "get_suite", "reserved_seeds"]

PROTOCOL = "2026.1"
RESIZES = ("episodes", "seeds", "budget")


@dataclass(frozen=True)
class Task:
    """An environment with exact arguments, and how much of it is played.

    Attributes:
        name: short, unique in its suite.
        title: for people.
        env_id: of Gymnasium.
        kwargs: arguments of the environment, JSON-like.
        episodes: played on each seed.
        num_seeds: number of reserved seeds.
        dataset: needed dataset, ``""`` for none.
    """

    name: str
    title: str
    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 100
    num_seeds: int = 1
    dataset: str = ""

    def missing(self) -> str:
        """Why the task cannot be played on this machine; ``""`` where it can."""
        if not self.dataset:
            return ""
        from memgym.datasets import get_dataset

        try:
            get_dataset(self.dataset).find()
        except DatasetMissing:  # its message names folders of this machine, which a result should not
            return (
                f"the dataset {self.dataset!r} is not on this machine: `memgym data get {self.dataset}` "
                "brings it, or set MEMGYM_DATA"
            )
        return ""


@dataclass(frozen=True)
class Suite:
    """A named list of tasks."""

    name: str
    description: str
    tasks: tuple[Task, ...]

    def resized(
        self, episodes: int | None = None, num_seeds: int | None = None, budget: int | None = None
    ) -> "Suite":
        """The same suite with other numbers; `budget` applies to the text tasks.

        A resized suite is another suite: its name says so, and its results are never ranked with the original's.
        """
        for name, number in (("episodes", episodes), ("seeds", num_seeds), ("budget", budget)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is at least 1, not {number}.")
        if episodes is None and num_seeds is None and budget is None:
            return self
        changes: dict[str, Any] = {"episodes": episodes, "num_seeds": num_seeds}
        changes = {key: value for key, value in changes.items() if value is not None}
        tasks = [replace(task, **changes) for task in self.tasks]
        if budget is not None:
            tasks = [_with_budget(task, budget) for task in tasks]
        parts = dict(zip(RESIZES, (episodes, num_seeds, budget), strict=True))
        suffix = "+".join(f"{key}={value}" for key, value in parts.items() if value is not None)
        return replace(self, name=f"{self.name}+{suffix}", tasks=tuple(tasks))


def _with_budget(task: Task, budget: int) -> Task:
    if "memory_budget" not in task.kwargs:
        return task
    kwargs = {**task.kwargs, "memory_budget": budget}
    return replace(task, kwargs=kwargs, title=f"{task.title} (bank of {budget} bytes)")


def reserved_seeds(task: Task, protocol: str = PROTOCOL) -> list[int]:
    """The protocol's seeds of a task: derived from its name, not chosen, and the same for everybody."""
    seeds = []
    for number in range(task.num_seeds):
        digest = blake2b(f"{protocol}/{task.env_id}/{task.name}/{number}".encode(), digest_size=4).digest()
        seeds.append(int.from_bytes(digest, "little") >> 1)
    return seeds


def _t_maze(num_corridors: int, **kwargs: Any) -> Task:
    uniform = kwargs.get("length_mode") == "uniform"
    return Task(
        name=f"t-maze-n{num_corridors}" + ("-uniform" if uniform else ""),
        title=f"Endless T-Maze, {num_corridors} corridor{'s' if num_corridors > 1 else ''}",
        env_id="memgym/EndlessTMaze-v0",
        kwargs={"num_corridors": num_corridors, "corridor_length": 5, "split": "test", **kwargs},
        episodes=200,
    )


def _dialogue(kib: int) -> Task:
    budget = 1024 * kib
    return Task(
        name=f"dialogue-{kib}k",
        title=f"Dialogue memory, {kib} KiB",
        env_id="memgym/DialogueMemory-v0",
        kwargs={"answer_format": "choice", "memory_budget": budget, "view_bytes": budget, "split": "test"},
        episodes=100,
    )


def _locomo(kib: int) -> Task:
    return Task(
        name=f"locomo-{kib}k",
        title=f"LoCoMo, ten real conversations, {kib} KiB",
        env_id="memgym/LoCoMo-v0",
        kwargs={"memory_budget": 1024 * kib, "view_bytes": 2048},
        episodes=10,
        dataset="locomo10",
    )


QUICKSTART = Suite(
    "quickstart",
    "One control task, one synthetic dialogue, one real one: minutes on a laptop.",
    (_t_maze(3), _dialogue(1), _locomo(256)),
)
RETENTION = Suite("retention", "Keep one thing: T-Maze with a single corridor.", (_t_maze(1),))
REWRITING = Suite(
    "rewriting", "Replace what was kept: T-Maze with many corridors.", (_t_maze(3), _t_maze(10))
)
DIALOGUE = Suite(
    "dialogue",
    "Manage a bounded memory while a conversation streams by, then answer.",
    (_dialogue(1), _dialogue(4), _locomo(16), _locomo(256)),
)

SUITES = Registry(
    "suite",
    {
        "quickstart": "memgym.core.suites:QUICKSTART",
        "retention": "memgym.core.suites:RETENTION",
        "rewriting": "memgym.core.suites:REWRITING",
        "dialogue": "memgym.core.suites:DIALOGUE",
    },
    group="memgym.suites",
)


def get_suite(name: str) -> Suite:
    """The suite of a registered name, or of the name that `Suite.resized` gave: ``"quickstart+episodes=2"``.

    Only registered names are followed, so that a name in a stranger's file imports nothing new.

    Raises:
        UnknownName: no such suite, or a suffix that `resized` does not write.
    """
    base, *parts = name.split("+")
    if ":" in base:
        raise UnknownName(f"{base!r} is not the name of a registered suite.")
    suite = SUITES.resolve(base)
    numbers: dict[str, int] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in RESIZES or key in numbers or not value.isdecimal():
            raise UnknownName(f"{part!r} in suite {name!r} is none of {', '.join(RESIZES)}=NUMBER.")
        numbers[key] = int(value)
    return suite.resized(numbers.get("episodes"), numbers.get("seeds"), numbers.get("budget"))
