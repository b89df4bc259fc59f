"""Order Rewriting, many at once."""

from typing import Literal

from gymnasium.vector import AutoresetMode

from memgym.envs.order.arguments import OrderArguments
from memgym.envs.streams.vector import StreamVectorEnv

__all__ = ["OrderRewritingVector"]


class OrderRewritingVector(StreamVectorEnv):
    """`num_envs` streams of Order Rewriting in arrays; see `memgym.envs.order.OrderRewriting` for the task and its
    arguments, and `ControlVectorEnv` for what vector forms promise.

    Args:
        num_envs: number of environments.
        autoreset_mode: when an environment that ended starts again, see Gymnasium's ``AutoresetMode``.
        copy: whether fresh arrays are returned, or buffers that the next step overwrites.
        backend: ``"auto"``, ``"numpy"`` or ``"numba"``.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        num_steps: int = 64,
        num_items: int = 8,
        capacity: int = 6,
        query_rate: float = 0.4,
        move_rate: float = 0.2,
        remove_rate: float = 0.15,
        absent_rate: float = 0.2,
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = OrderArguments(
            num_steps, num_items, capacity, query_rate, move_rate, remove_rate, absent_rate, split
        )
        super().__init__(self.arguments, num_envs, autoreset_mode, render_mode, copy, backend)
