"""Key-Value Rewriting, many at once."""

from typing import Literal

from gymnasium.vector import AutoresetMode

from memgym.envs.key_value.arguments import KeyValueArguments
from memgym.envs.streams.vector import StreamVectorEnv

__all__ = ["KeyValueRewritingVector"]


class KeyValueRewritingVector(StreamVectorEnv):
    """`num_envs` streams of Key-Value Rewriting in arrays; see `memgym.envs.key_value.KeyValueRewriting` for the
    task and its arguments, and `ControlVectorEnv` for what vector forms promise.

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
        num_keys: int = 8,
        capacity: int = 4,
        vocabulary: int = 8,
        query_rate: float = 0.4,
        overwrite_rate: float = 0.25,
        delete_rate: float = 0.1,
        absent_rate: float = 0.2,
        delay: int = 0,
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = KeyValueArguments(
            num_steps,
            num_keys,
            capacity,
            vocabulary,
            query_rate,
            overwrite_rate,
            delete_rate,
            absent_rate,
            delay,
            split,
        )
        super().__init__(self.arguments, num_envs, autoreset_mode, render_mode, copy, backend)
