"""What a leaderboard says, as plain frozen data that turns into JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "SCHEMA",
    "AgentResult",
    "Board",
    "Comparison",
    "Estimate",
    "Standing",
    "Task",
    "TaskResult",
    "TypeResult",
]

SCHEMA = "memgym-board/2"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        mean: over all values.
        low: lower end; None where fewer than two runs say anything about the spread.
        high: upper end; None likewise.
        runs: how many runs it rests on, those of all its tasks together.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    runs: int = 0


@dataclass(frozen=True, slots=True)
class TypeResult:
    """One agent on the questions of one type of one task."""

    score: Estimate
    questions: int


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One agent on one task.

    Attributes:
        score: mean over episodes.
        iqm: mean of the middle half of the episodes.
        normalised: 0 is the random agent and 1 the oracle; None without both of them on the board.
        rank: place by score among the ranked agents of this task; None for one that is not ranked.
        success: fraction of successful episodes.
        mean_return: mean undiscounted return.
        episodes: number of episodes.
        errors: episodes that ended in an exception of the agent; they stay in every mean.
        steps: environment steps in all.
        memory_mean: mean over episodes of the peak of bank and agent together, in bytes.
        memory_max: largest peak of any episode, in bytes.
        ops: memory operations by kind.
        refused: operations that the bank refused.
        questions: questions asked.
        rates: mean over questions of what their scorer reports, e.g. ``{"abstained": 0.1}``.
        types: results by question type.
        on_front: no ranked agent scores as much with less memory.
    """

    score: Estimate
    iqm: float
    normalised: Estimate | None
    rank: int | None
    success: float
    mean_return: float
    episodes: int
    errors: int
    steps: int
    memory_mean: float
    memory_max: int
    ops: Mapping[str, int]
    refused: int
    questions: int
    rates: Mapping[str, float]
    types: Mapping[str, TypeResult]
    on_front: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent over a set of tasks: all of them, or those of a family. Scores are normalised.

    The numbers from `score` on are None for an agent that did not play all of the set.

    Attributes:
        played: tasks of the set that the agent played.
        tasks: tasks of the set.
        score: mean over families of the mean over tasks.
        iqm: mean of the middle half of all runs of all tasks.
        optimality_gap: how far the runs are below 1 on average.
        budget_auc: area under score over log2(bytes of memory), from 64 B to 1 GiB, as a fraction.
        place: by `score` among the ranked agents; equal scores share a place.
        rank: the first and the last place that the paired tests leave open.
        memory: mean peak bytes, over families and tasks as the score.
        on_front: no ranked agent scores as much with less memory.
        front_probability: how often that is so among the resamples.
        profile: at each of `PROFILE_LEVELS` the fraction of runs that score more, with its 95 % interval.
    """

    played: int
    tasks: int
    score: Estimate | None = None
    iqm: Estimate | None = None
    optimality_gap: Estimate | None = None
    budget_auc: Estimate | None = None
    place: int | None = None
    rank: tuple[int, int] | None = None
    memory: float | None = None
    on_front: bool = False
    front_probability: float | None = None
    profile: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ranked agents of a set of tasks against each other, over the same runs.

    The pairs are (0, 1), (0, 2), ..., (1, 2), ... of `agents`.

    Attributes:
        agents: by score, best first.
        tasks: of the set, by name.
        gap: smallest difference that is separable: half the width of the 95 % interval of a difference, for the
            median pair; None where a task has a single run.
        difference: score of the first less that of the second.
        error: standard error of the difference.
        p_value: of the paired sign-flip test.
        p_holm: the same, corrected for the number of pairs.
        improvement: probability that the first beats the second on a random run.
        improvement_error: its standard error; None where a task has a single run.
    """

    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    gap: float | None
    difference: tuple[float, ...]
    error: tuple[float, ...]
    p_value: tuple[float, ...]
    p_holm: tuple[float, ...]
    improvement: tuple[float, ...]
    improvement_error: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One agent on the board.

    Attributes:
        name: unique on the board.
        card: what the agent says about itself; text from strangers.
        seconds: by task, CPU seconds an episode on whatever machine it was; as the result says.
        suite: the suite it played.
        digest: of its result bundle.
        created: when the bundle was made, as it says.
        is_ranked: False for privileged agents and for the two that define the scale.
        tasks: by task name, the played ones.
        skipped: by task name, why it was not played.
        overall: on all tasks that are ranked.
        families: on those of each family.
        abilities: normalised score by ability; only of agents that played all that shows it.
        memory_max: largest peak of any episode of any task, in bytes.
    """

    name: str
    card: Mapping[str, Any]
    seconds: Mapping[str, float]
    suite: str
    digest: str
    created: str
    is_ranked: bool
    tasks: Mapping[str, TaskResult]
    skipped: Mapping[str, str]
    overall: Standing
    families: Mapping[str, Standing]
    abilities: Mapping[str, Estimate]
    memory_max: int


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the board.

    Attributes:
        floor: mean score of the random agent; None where it is not on the board.
        ceiling: mean score of the oracle; None likewise.
        types: question types, in alphabetical order.
        questions: asked in all episodes together.
        runs: what the bootstrap draws.
        unit: what a run is: ``"seed"``, or ``"block"`` of episodes.
        is_judged: a language model decides the score; the task is shown and enters no ranked number.
    """

    name: str
    title: str
    env_id: str
    kwargs: Mapping[str, Any]
    family: str
    metric: str
    episodes: int
    floor: float | None
    ceiling: float | None
    types: tuple[str, ...]
    questions: int
    runs: int
    unit: str
    is_judged: bool

    @property
    def scale(self) -> tuple[float, float] | None:
        """Floor and ceiling, where both are known and the ceiling is the higher one."""
        if self.floor is None or self.ceiling is None or self.ceiling <= self.floor:
            return None
        return self.floor, self.ceiling


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the page shows, agents in the order of the overview.

    Attributes:
        overall: the ranked agents that played every task; None where there are fewer than two.
        comparisons: the same for each family.
        abilities: by name, the tasks and types that show it, each as ``"task"`` or ``"task/type"``.
    """

    protocol: str
    suites: tuple[str, ...]
    families: tuple[str, ...]
    tasks: tuple[Task, ...]
    agents: tuple[AgentResult, ...]
    overall: Comparison | None
    comparisons: Mapping[str, Comparison | None]
    abilities: Mapping[str, tuple[str, ...]]
