"""A seeded world of plans that are filled in, revised, rolled back and asked about; its truth is a task graph."""

from memgym.worlds.task_revision.plan import TaskConfig
from memgym.worlds.task_revision.questions import FLOORS, QUESTION_TYPES
from memgym.worlds.task_revision.world import TaskWorld

__all__ = ["FLOORS", "QUESTION_TYPES", "TaskConfig", "TaskWorld"]
