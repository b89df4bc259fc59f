"""What a leaderboard says, as plain frozen data that turns into JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["SCHEMA", "AgentResult", "Board", "Estimate", "FamilyResult", "Task", "TaskResult", "TypeResult"]

SCHEMA = "memgym-board/1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        mean: over all values.
        low: lower end; None where fewer than two clusters say anything about the spread.
        high: upper end; None likewise.
        clusters: how many independent episodes it rests on; 0 for a mean over tasks.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    clusters: int = 0


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
        rank: among the ranked agents of this task; None for one that is not ranked.
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
class FamilyResult:
    """One agent on one family: the mean over its tasks of the normalised score, once all are played."""

    played: int
    tasks: int
    score: Estimate | None
    rank: int | None


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One agent on the board.

    Attributes:
        name: unique on the board.
        card: what the agent says about itself; text from strangers.
        suite: the suite it played.
        digest: of its result bundle.
        created: when the bundle was made, as it says.
        is_ranked: False for privileged agents and for the two that define the scale.
        tasks: by task name, the played ones.
        skipped: by task name, why it was not played.
        families: by family.
        overall: mean over families of the family scores; None unless every task is played.
        rank: by `overall`.
        memory_max: largest peak of any episode of any task, in bytes.
    """

    name: str
    card: Mapping[str, Any]
    suite: str
    digest: str
    created: str
    is_ranked: bool
    tasks: Mapping[str, TaskResult]
    skipped: Mapping[str, str]
    families: Mapping[str, FamilyResult]
    overall: Estimate | None
    rank: int | None
    memory_max: int


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the board.

    Attributes:
        floor: mean score of the random agent; None where it is not on the board.
        ceiling: mean score of the oracle; None likewise.
        types: question types, in alphabetical order.
        questions: asked in all episodes together.
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

    @property
    def scale(self) -> tuple[float, float] | None:
        """Floor and ceiling, where both are known and the ceiling is the higher one."""
        if self.floor is None or self.ceiling is None or self.ceiling <= self.floor:
            return None
        return self.floor, self.ceiling


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the page shows, agents in the order of the overview."""

    protocol: str
    suites: tuple[str, ...]
    families: tuple[str, ...]
    tasks: tuple[Task, ...]
    agents: tuple[AgentResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """The board as JSON-like values."""
        return {"schema": SCHEMA, **asdict(self)}
