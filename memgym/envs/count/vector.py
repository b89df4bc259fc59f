"""Count Rewriting, many at once."""

from typing import Literal

from gymnasium.vector import AutoresetMode

from memgym.envs.count.arguments import CountArguments
from memgym.envs.streams.vector import StreamVectorEnv

__all__ = ["CountRewritingVector"]


class CountRewritingVector(StreamVectorEnv):
    """`num_envs` streams of Count Rewriting in arrays; see `memgym.envs.count.CountRewriting` for the task and its
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
        num_kinds: int = 4,
        max_count: int = 6,
        query_rate: float = 0.4,
        go_rate: float = 0.15,
        clear_rate: float = 0.05,
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = CountArguments(
            num_steps, num_kinds, max_count, query_rate, go_rate, clear_rate, split
        )
        super().__init__(self.arguments, num_envs, autoreset_mode, render_mode, copy, backend)
