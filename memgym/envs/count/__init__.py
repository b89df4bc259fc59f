"""Count Rewriting: arguments, rules, and the scalar and the vector form of the task."""

from memgym.envs.count.arguments import CountArguments
from memgym.envs.count.rules import CLEAR, COME, GO, HOW_MANY
from memgym.envs.count.scalar import CountRewriting

__all__ = ["CLEAR", "COME", "GO", "HOW_MANY", "CountArguments", "CountRewriting"]
