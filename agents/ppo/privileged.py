"""The hidden state of memgym's vector environments, as targets of an auxiliary loss: what a memory should hold.

This is the one place where training looks behind the observations, and training alone does. The numbers are those
of the scalar environments' ``oracle_state()``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from memgym.envs.color_cubes.vector import ColorCubesVector
from memgym.envs.count.vector import CountRewritingVector
from memgym.envs.key_value.vector import KeyValueRewritingVector
from memgym.envs.order.vector import OrderRewritingVector
from memgym.envs.streams.vector import StreamVectorEnv
from memgym.envs.t_maze.vector import EndlessTMazeVector

__all__ = ["PrivilegedTargets", "TargetsOf", "privileged_targets", "targets_of"]

LOW16 = 0xFFFF


class PrivilegedTargets(NamedTuple):
    """Integers that the network learns to tell from its memory, for every observation.

    Attributes:
        sizes: for each target, by name, how many integers it has and how many values each of them can take.
        read: gives the targets of the present observation by name, integers from 0 on, shape (num_envs, number of
            integers); -1 where there is nothing to tell.
    """

    sizes: Mapping[str, tuple[int, int]]
    read: Callable[[], dict[str, NDArray[np.integer]]]


TargetsOf = Callable[[VectorEnv], PrivilegedTargets]


def targets_of(
    env: VectorEnv,
    aux_targets: bool | TargetsOf,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    error: type[Exception] = ValueError,
) -> PrivilegedTargets | None:
    """The targets that the argument `aux_targets` of `MemoryPPO` asks for.

    Args:
        env: whose targets.
        aux_targets: which.
        sizes: what they must be, where that is known.
        error: raised where they are others.

    Raises:
        ValueError: it is neither a flag nor a function that gives `PrivilegedTargets`.
    """
    if not callable(aux_targets) and not isinstance(aux_targets, bool):
        raise ValueError(
            f"aux_targets is True, False or a function of the environments, not {aux_targets!r}."
        )
    targets = None
    if aux_targets:
        targets = aux_targets(env) if callable(aux_targets) else privileged_targets(env)
        if not isinstance(targets, PrivilegedTargets):
            raise ValueError(f"aux_targets gives PrivilegedTargets, not {type(targets).__name__}.")
    found = {} if targets is None else dict(targets.sizes)
    if sizes is not None and found != dict(sizes):
        raise error(f"the run had the auxiliary targets {dict(sizes)}, and these environments have {found}.")
    return targets


def privileged_targets(env: VectorEnv) -> PrivilegedTargets:
    """What the hidden state of a memgym environment says that a perfect memory would hold.

    - Endless T-Maze: ``cue``, the one in force, and in mode "reversal" ``older_cue``;
    - Color Cubes: the cell of each of the ``cubes``, and the ``target``;
    - Key-Value, Order and Count Rewriting: the answer under each key, place or kind (``memory``), and the ``answer``
      to the present question.

    Args:
        env: a native vector environment of memgym, or wrappers around one.

    Raises:
        ValueError: another environment.
    """
    inner: Any = env.unwrapped
    if isinstance(inner, EndlessTMazeVector):
        return _t_maze(inner)
    if isinstance(inner, ColorCubesVector):
        return _color_cubes(inner)
    if isinstance(inner, StreamVectorEnv):
        return _stream(inner)
    raise ValueError(
        f"privileged targets are known for memgym's vector environments, not {type(inner).__name__}; pass a "
        "function from the environment to PrivilegedTargets."
    )


def _t_maze(env: Any) -> PrivilegedTargets:
    cues = int(env.arguments.num_cues)
    if env.arguments.rewriting != "reversal":
        return PrivilegedTargets({"cue": (1, cues)}, lambda: {"cue": env._cue[:, None] - 1})
    # before the second corridor there is no older cue: -1
    return PrivilegedTargets(
        {"cue": (1, cues), "older_cue": (1, cues)},
        lambda: {"cue": env._cue[:, None] - 1, "older_cue": env._older[:, None] - 1},
    )


def _color_cubes(env: Any) -> PrivilegedTargets:
    cubes, cells = int(env.arguments.cubes), int(env.arguments.cells)
    return PrivilegedTargets(
        {"cubes": (cubes, cells), "target": (1, cubes)},
        lambda: {"cubes": env._cubes.T, "target": env._target[:, None]},
    )


def _stream(env: Any) -> PrivilegedTargets:
    answers = 1 + int(env._task.num_answers)
    memory = _memory_reader(env)
    return PrivilegedTargets(
        {"memory": (memory().shape[1], answers), "answer": (1, answers)},
        lambda: {"memory": memory(), "answer": env._ops.answer[:, None]},
    )


def _memory_reader(env: Any) -> Callable[[], NDArray[np.integer]]:
    """The answer under each key, place or kind; 0 for none."""
    if isinstance(env, KeyValueRewritingVector | CountRewritingVector):
        cells = env._state[0]
        return lambda: cells & LOW16
    if isinstance(env, OrderRewritingVector):
        items, _, live = env._state
        places = np.arange(int(env.arguments.capacity))
        return lambda: np.where(places < live[:, None], items[:, : len(places)], 0)
    raise ValueError(f"privileged targets are not known for {type(env).__name__}.")
