"""Key-Value Rewriting: arguments, rules, and the scalar and the vector form of the task."""

from memgym.envs.key_value.arguments import KeyValueArguments
from memgym.envs.key_value.rules import DELETE, GET, SET
from memgym.envs.key_value.scalar import KeyValueRewriting

__all__ = ["DELETE", "GET", "SET", "KeyValueArguments", "KeyValueRewriting"]
