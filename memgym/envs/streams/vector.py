"""A stream task, many at once: scoring, time and observations; the operations come from the task."""

from typing import ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import ControlVectorEnv, Index
from memgym.envs.streams.generate import generate
from memgym.envs.streams.render import HISTORY, StreamView, make_view
from memgym.envs.streams.task import StreamTask, make_operations, one_hot_table

__all__ = ["StreamVectorEnv"]


class StreamVectorEnv(ControlVectorEnv):
    """`num_envs` streams in arrays; see `StreamEnv` for what happens in a step, and `ControlVectorEnv` for what
    vector forms promise. All of them remember one operation each, however long the streams are.

    A subclass makes the task from its arguments, and that is all.
    """

    metric = "accuracy"
    render_module = "memgym.envs.streams.render"
    INFO: ClassVar[dict[str, type]] = {
        "success": np.bool_,
        "accuracy": np.float64,
        "is_correct": np.bool_,
        "gets": np.int64,
        "correct": np.int64,
        "stale_errors": np.int64,
        "leak_errors": np.int64,
        "cue_blind_errors": np.int64,
        "overwrites": np.int64,
    }

    def __init__(
        self,
        task: StreamTask,
        num_envs: int,
        autoreset_mode: AutoresetMode | str,
        render_mode: str | None,
        copy: bool,
        backend: str,
    ) -> None:
        super().__init__(task, num_envs, autoreset_mode, render_mode, copy, backend)
        self._task, n = task, self.num_envs
        self._t = np.zeros(n, np.int32)
        self._state = task.make_state(n)
        self._ops = make_operations(len(task.tables), n)
        self._all: Index = np.arange(n)
        self._one_hot = tuple(np.array_equal(table, one_hot_table(table.shape[1])) for table in task.tables)
        self._columns = tuple(np.ascontiguousarray(table.T) for table in task.tables)
        self._counts = tuple(self._info[name] for name, kind in self.INFO.items() if kind is np.int64)
        # the last answers, for pictures alone
        self._said = np.full((HISTORY, n), -1, np.int64) if render_mode else None

    def _start(self, index: Index) -> None:
        if not index.size:
            return
        self._t[index] = 0
        if self._said is not None:
            self._said[:, index] = -1
        self._task.begin(index, self._state)
        self._operate(index)

    def _advance(self, actions: NDArray[np.integer]) -> None:
        if self._said is not None:
            self._said[self._t % HISTORY, self._all] = actions
        if self.backend == "numba":
            kernel, info = load_kernel("memgym.envs.streams.kernel"), self._info
            kernel.score(
                actions,
                self._task.num_steps,
                self._t,
                *self._ops[1:],
                (self._terminated, info["success"], info["is_correct"]),
                self._counts,
                info["accuracy"],
                self._reward,
            )
        else:
            self._score(actions)
        self._operate(self._all)

    def _score(self, actions: NDArray[np.integer]) -> None:
        """Score the answers, and count the step."""
        _, answer, stale, overwrites = self._ops
        info, gets = self._info, self._info["gets"]
        right = np.equal(actions, answer, out=info["is_correct"])
        asked, wrong, near = answer >= 0, ~right, actions == stale
        near &= wrong
        leak = near & (answer == 0)
        gets += asked
        info["correct"] += right
        info["stale_errors"] += near & ~leak
        info["leak_errors"] += leak
        info["cue_blind_errors"] += asked & wrong & ~near
        info["overwrites"] += overwrites
        np.divide(info["correct"], np.maximum(gets, 1), out=info["accuracy"])
        np.copyto(self._reward, right)
        self._t += 1
        np.equal(self._t, self._task.num_steps, out=self._terminated)
        np.logical_and(self._terminated, info["correct"] == gets, out=info["success"])

    def _operate(self, index: Index) -> None:
        """The next operation of the episodes of `index`, and their observations."""
        rules = (index, self._key, self._t, self._state, self._ops)
        if self.backend == "numba":
            kernel = load_kernel("memgym.envs.streams.kernel")
            self._task.operate_compiled(*rules)
            kernel.show(index, self._ops.tokens, self._columns, self._one_hot, self._obs)
            return
        self._task.operate(*rules)
        row, everyone = 0, len(index) == self.num_envs
        for tokens, columns in zip(self._ops.tokens, self._columns, strict=True):
            ids = tokens.astype(np.intp) if everyone else tokens[index].astype(np.intp)
            for column in columns:
                if everyone:
                    np.take(column, ids, out=self._obs[row], mode="clip")
                else:
                    self._obs[row, index] = column[ids]
                row += 1

    def view(self, i: int) -> StreamView:
        """All that a picture of environment `i` shows."""
        said = self._said  # not kept without a render_mode
        t = int(self._t[i])
        stream = generate(self._task, self._key[i : i + 1], self.backend)
        steps = range(max(t + 1 - HISTORY, 0), min(t + 1, self._task.num_steps))
        return make_view(
            self._task,
            stream.tokens[0, : t + 1],
            stream.answers[0, steps].tolist(),
            [] if said is None else [int(said[step % HISTORY, i]) for step in steps if step < t],
            t,
            (int(self._info["gets"][i]), int(self._info["correct"][i])),
        )
