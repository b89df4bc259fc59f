"""Order Rewriting: arguments, rules, and the scalar and the vector form of the task."""

from memgym.envs.order.arguments import OrderArguments
from memgym.envs.order.rules import APPEND, AT, FRONT, REMOVE
from memgym.envs.order.scalar import OrderRewriting

__all__ = ["APPEND", "AT", "FRONT", "REMOVE", "OrderArguments", "OrderRewriting"]
