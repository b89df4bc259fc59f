"""Suites: named lists of tasks with exact arguments, and the seeds of the protocol."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from memgym.errors import DatasetMissing, UnknownName
from memgym.memory.poison import FORMS
from memgym.registry import Registry
from memgym.wrappers.normalise import peer_of

__all__ = ["CANARY", "PROTOCOL", "SUITES", "Suite", "Task", "get_suite", "reserved_seeds"]

PROTOCOL = "2026.1"
MAX_EPISODES, MAX_SEEDS = 1_000_000, 10_000  # of a task
BEACON = re.compile(r"[0-9a-f]{64}")  # 32 bytes that nobody could know before
CANARY = "-canary"  # ends the name of a task that shows nothing
CANARY_EPISODES = 40
LIMITS = {"episodes": MAX_EPISODES, "seeds": MAX_SEEDS, "budget": 1 << 40}  # what `Suite.resized` takes


@dataclass(frozen=True)
class Task:
    """An environment with exact arguments, and how much of it is played.

    Attributes:
        name: short, unique in its suite.
        title: for people.
        env_id: memgym's own; one of a package in `memgym.wrappers.normalise.PEERS`; or ``"your_module:Id-v0"``,
            whose import registers it.
        kwargs: arguments of the environment, JSON-like.
        episodes: played on each seed.
        num_seeds: number of reserved seeds.
        dataset: needed dataset, ``""`` for none.
        paired_with: name of the task whose seeds it shares, so that their episodes can be compared pair by pair;
            ``""`` for seeds of its own.
        beacon: what its seeds are derived from beside its name; ``""`` for the reserved seeds.
        canary: whether nothing that counts is shown, so that an honest agent is at chance.
    """

    name: str
    title: str
    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 100
    num_seeds: int = 1
    dataset: str = ""
    paired_with: str = ""
    beacon: str = ""
    canary: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it is a text task, which has a bank of so many bytes."""
        return "memory_budget" in self.kwargs

    def missing(self) -> str:
        """Why the task cannot be played on this machine; ``""`` where it can."""
        if peer := peer_of(self.env_id):
            return peer.load()
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
        Resized again, the later numbers count.

        Raises:
            ValueError: a number below 1, or larger than a result may have.
        """
        given = {"episodes": episodes, "seeds": num_seeds, "budget": budget}
        given = {key: number for key, number in given.items() if number is not None}
        for key, number in given.items():
            if not 1 <= number <= LIMITS[key]:
                raise ValueError(f"{key} is from 1 to {LIMITS[key]}, not {number}.")
        if not given:
            return self
        tasks = self.tasks
        if episodes is not None:
            tasks = [replace(task, episodes=episodes) for task in tasks]
        if num_seeds is not None:
            tasks = [replace(task, num_seeds=num_seeds) for task in tasks]
        if budget is not None:
            tasks = [_with_budget(task, budget) for task in tasks]
        return replace(self, name=_name(self.name, given), tasks=tuple(tasks))

    def registered(self, beacon: str) -> "Suite":
        """The same suite with seeds that follow from a public beacon, and with canaries where chance is known.

        Args:
            beacon: 64 hexadecimal digits, published after the agents that play it were registered.

        Raises:
            ValueError: it is not of this form.
        """
        if not BEACON.fullmatch(beacon):
            raise ValueError(f"a beacon is 64 hexadecimal digits in lower case, not {beacon[:80]!r}.")
        tasks = [replace(task, beacon=beacon) for task in self.tasks if not task.canary]
        blank = [
            replace(
                task,
                name=task.name + CANARY,
                title=f"{task.title}, nothing shown",
                episodes=CANARY_EPISODES,
                num_seeds=1,
                canary=True,
            )
            for task in tasks
            if _has_canary(task)
        ]
        return replace(self, name=_name(self.name, {"beacon": beacon}), tasks=(*tasks, *blank))


def _has_canary(task: Task) -> bool:
    """Whether chance is known of the task where nothing that counts is shown."""
    if not task.is_text:
        return bool(task.kwargs.get("split"))
    made_by = gym.spec(task.env_id).entry_point
    env = load_env_creator(made_by) if isinstance(made_by, str) else made_by
    says = getattr(env, "has_canary", None)  # a stranger's text task need not say anything
    return bool(says and says(task.kwargs))


def _name(name: str, given: Mapping[str, Any]) -> str:
    """The name of a suite with other numbers; those that it has already stay."""
    base, *parts = name.split("+")
    values: dict[str, Any] = dict(part.split("=") for part in parts)
    values |= given
    return base + "".join(f"+{key}={values[key]}" for key in (*LIMITS, "beacon") if key in values)


def _with_budget(task: Task, budget: int) -> Task:
    if not task.is_text:
        return task
    kwargs = {**task.kwargs, "memory_budget": budget}
    title = task.title.partition(" (bank of ")[0]  # of an earlier resize
    return replace(task, kwargs=kwargs, title=f"{title} (bank of {budget} bytes)")


def reserved_seeds(task: Task, protocol: str = PROTOCOL) -> list[int]:
    """The protocol's seeds of a task: derived from its name, not chosen, and the same for everybody.

    With a beacon they are 63 bits of HMAC-SHA256 under it, so that nobody knew them before it was published.
    """
    seeds, name = [], task.paired_with or task.name
    if task.canary:
        name = task.name
    for number in range(task.num_seeds):
        message = f"{protocol}/{task.env_id}/{name}/{number}".encode()
        if task.beacon:
            digest = hmac.digest(bytes.fromhex(task.beacon), message, "sha256")[:8]
        else:
            digest = blake2b(message, digest_size=4).digest()
        seeds.append(int.from_bytes(digest, "little") >> 1)
    return seeds


def _control(name: str, title: str, env_id: str, **kwargs: Any) -> Task:
    return Task(name, title, f"memgym/{env_id}-v0", {**kwargs, "split": "test"}, episodes=200)


def _t_maze(num_corridors: int, ending: str = "", **kwargs: Any) -> Task:
    title = f"Endless T-Maze, {num_corridors} corridor{'s' if num_corridors > 1 else ''}"
    given = {"num_corridors": num_corridors, "corridor_length": 5, **kwargs}
    detail = ending.replace("-", " ").strip()
    name = f"t-maze-n{num_corridors}{ending}"
    return _control(name, f"{title}, {detail}" if detail else title, "EndlessTMaze", **given)


def _rewriting(mode: str) -> Task:
    return _t_maze(10, f"-{mode}", rewriting=mode)


def _cubes(mode: str) -> Task:
    return _control(f"color-cubes-{mode}", f"Color Cubes, {mode}", "ColorCubes", mode=mode)


def _text(
    name: str, title: str, env_id: str, kib: int, *, episodes: int, paired_with: str = "", **kwargs: Any
) -> Task:
    """A synthetic text task with choice answers, whose whole bank is in view."""
    budget = 1024 * kib
    given = {
        "answer_format": "choice",
        "memory_budget": budget,
        "view_bytes": budget,
        "split": "test",
        **kwargs,
    }
    return Task(name, f"{title}, {kib} KiB", f"memgym/{env_id}-v0", given, episodes, paired_with=paired_with)


def _dialogue(kib: int) -> Task:
    return _text(f"dialogue-{kib}k", "Dialogue memory", "DialogueMemory", kib, episodes=100)


def _preset(preset: str, kib: int, episodes: int = 50) -> Task:
    title, name = f"Dialogue memory, {preset}", f"dialogue-{preset}"
    return _text(
        f"{name}-{kib}k", title, "DialogueMemory", kib, episodes=episodes, paired_with=name, preset=preset
    )


def _poisoned(form: str) -> Task:
    title = f"Poisoned dialogue, {form}"
    return _text(
        f"poisoned-{form}", title, "PoisonedDialogue", 16, episodes=50, paired_with="poisoned", form=form
    )


def _revision(kib: int) -> Task:
    return _text(f"task-revision-{kib}k", "Task revision", "TaskRevision", kib, episodes=50)


def _long(words: str, num_words: int, episodes: int, **kwargs: Any) -> Task:
    title = f"Long-horizon questions, {words} words"
    name = f"longqa-{words}"
    given = {"num_words": num_words, **kwargs}
    return _text(name, title, "LongHorizonQA", 8, episodes=episodes, paired_with="longqa", **given)


def _babilong(words: str, num_words: int, episodes: int, **kwargs: Any) -> Task:
    task = _text(
        f"babilong-{words}",
        f"BABILong, {words} words",
        "BABILong",
        1,
        episodes=episodes,
        paired_with="babilong",
        num_words=num_words,
        **kwargs,
    )
    return replace(task, dataset="babi_en_1k")


def _locomo(kib: int, **kwargs: Any) -> Task:
    how = "choice" if "answer_format" in kwargs else ""
    return Task(
        name="-".join(filter(None, ["locomo", how, f"{kib}k"])),
        title=f"LoCoMo, ten real conversations, {'with choices, ' if how else ''}{kib} KiB",
        env_id="memgym/LoCoMo-v0",
        kwargs={**kwargs, "memory_budget": 1024 * kib, "view_bytes": 2048},
        episodes=10,
        dataset="locomo10",
    )


def _fact_consolidation(hops: str) -> Task:
    return Task(
        name=f"mab-facts-{hops}",
        title=f"MemoryAgentBench, conflict resolution, {hops} hop",
        env_id="memgym/MemoryAgentBench-v0",
        kwargs={
            "sources": [f"factconsolidation_{'sh' if hops == 'single' else 'mh'}"],
            "chunk_words": 500,
            "memory_budget": 65536,
            "view_bytes": 4096,
        },
        episodes=4,
        dataset="memoryagentbench_fc",
    )


QUICKSTART = Suite(
    "quickstart",
    "One control task, one synthetic dialogue, one real one: minutes on a laptop.",
    (_t_maze(3), _dialogue(1), _locomo(256)),
)
RETENTION = Suite(
    "retention",
    "Keep one thing, over long delays and past distraction.",
    (
        _t_maze(1),
        _t_maze(1, "-long", corridor_length=100),
        _t_maze(10, "-retention", rewriting="retention"),
        _cubes("trivial"),
    ),
)
REWRITING = Suite(
    "rewriting",
    "Replace, keep selectively, delete and infer what changed.",
    (
        _t_maze(3),
        _t_maze(10),
        _rewriting("selective"),
        _rewriting("distractor"),
        _rewriting("reversal"),
        _cubes("medium"),
        _cubes("extreme"),
        _control("key-value", "Key-value rewriting", "KeyValueRewriting"),
        _control("order", "Order rewriting", "OrderRewriting"),
        _control("count", "Count rewriting", "CountRewriting"),
    ),
)
DIALOGUE = Suite(
    "dialogue",
    "Manage a bounded memory while a conversation streams by, then answer.",
    (
        _dialogue(1),
        _dialogue(4),
        _preset("medium", 4),
        _preset("hard", 16),
        _revision(4),
        _locomo(16),
        _locomo(256),
        _locomo(16, answer_format="choice"),
        Task(
            "longmemeval-s",
            "LongMemEval S, 64 KiB",
            "memgym/LongMemEval-v0",
            {"variant": "s", "exclude_defects": True, "memory_budget": 65536, "view_bytes": 4096},
            episodes=463,
            dataset="longmemeval_s",
        ),
    ),
)
BUDGETS = Suite(
    "budgets",
    "The same conversations under four budgets: score against bytes.",
    tuple(_preset("medium", kib, episodes=10) for kib in (1, 4, 16, 64)),
)
POISONED = Suite(
    "poisoned",
    "The same conversations with orders hidden in them, in six forms and in none; attack success is `attacked`.",
    tuple(_poisoned(form) for form in ("none", *FORMS)),
)
LONGQA = Suite(
    "longqa",
    "Read up to a million words in chunks under a fixed budget, then answer.",
    (
        _long("16k", 16_384, 50),
        _long("131k", 131_072, 20),
        _long("1m", 1_048_576, 5, chunk_words=2048),
        _babilong("8k", 8_000, 100),
        _babilong("128k", 128_000, 50, chunk_words=1000),
        _fact_consolidation("single"),
        _fact_consolidation("multi"),
    ),
)
PEERS = Suite(
    "peers",
    "Memory tasks of popgym, minigrid and memory-gym, each where that package is installed.",
    (
        Task("popgym-repeat-previous", "popgym: Repeat Previous (easy)", "popgym-RepeatPreviousEasy-v0"),
        Task("popgym-count-recall", "popgym: Count Recall (easy)", "popgym-CountRecallEasy-v0"),
        Task("popgym-autoencode", "popgym: Autoencode (easy)", "popgym-AutoencodeEasy-v0"),
        Task("minigrid-memory-s11", "minigrid: Memory S11", "MiniGrid-MemoryS11-v0"),
        Task("memory-gym-mortar-mayhem", "memory-gym: Mortar Mayhem (grid)", "MortarMayhem-Grid-v0"),
        Task("memory-gym-mystery-path", "memory-gym: Mystery Path (grid)", "MysteryPath-Grid-v0"),
    ),
)

SUITES = Registry(
    "suite",
    {
        "quickstart": "memgym.core.suites:QUICKSTART",
        "retention": "memgym.core.suites:RETENTION",
        "rewriting": "memgym.core.suites:REWRITING",
        "dialogue": "memgym.core.suites:DIALOGUE",
        "budgets": "memgym.core.suites:BUDGETS",
        "poisoned": "memgym.core.suites:POISONED",
        "longqa": "memgym.core.suites:LONGQA",
        "peers": "memgym.core.suites:PEERS",
    },
    group="memgym.suites",
)


def get_suite(name: str) -> Suite:
    """The suite of a registered name, or of the name that `Suite.resized` gave: ``"quickstart+episodes=2"``.

    ``"rewriting+beacon=..."`` is what `Suite.registered` gave.

    Only registered names are followed, so that a name in a stranger's file imports nothing new.

    Raises:
        UnknownName: no such suite, or a suffix that `resized` does not write, or a number that it does not take.
    """
    base, *parts = name.split("+")
    if ":" in base:
        raise UnknownName(f"{base!r} is not the name of a registered suite.")
    suite = SUITES.resolve(base)
    numbers: dict[str, int] = {}
    beacon = ""
    for part in parts:
        key, _, value = part.partition("=")
        if key == "beacon" and not beacon and BEACON.fullmatch(value):
            beacon = value
            continue
        if key not in LIMITS or key in numbers or not value.isdecimal() or len(value) > 20:
            raise UnknownName(
                f"{part[:80]!r} in the suite's name is none of {', '.join(LIMITS)}=NUMBER and beacon=64 digits."
            )
        numbers[key] = int(value)
    try:
        suite = suite.resized(numbers.get("episodes"), numbers.get("seeds"), numbers.get("budget"))
        return suite.registered(beacon) if beacon else suite
    except ValueError as error:
        raise UnknownName(f"no suite {name!r}: {error}") from None
