"""A stream task, one at a time: a list of operations made ahead, and what is answered to them."""

from itertools import accumulate
from operator import index
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.envs.control import ControlEnv
from memgym.envs.streams.generate import Stream, generate, keys_of
from memgym.envs.streams.render import HISTORY, StreamView, make_view
from memgym.envs.streams.task import StreamTask

__all__ = ["StreamEnv"]

FIRST_BLOCK, BLOCK_STEPS = 8, 1 << 18
NO_COUNTS = {
    "success": False,
    "accuracy": 0.0,
    "is_correct": False,
    "gets": 0,
    "correct": 0,
    "stale_errors": 0,
    "leak_errors": 0,
    "cue_blind_errors": 0,
    "overwrites": 0,
}


class StreamEnv(ControlEnv):
    """Operations stream by, one a step; where one asks something, the step's action is the answer.

    The observation of a step is the operation that the action answers. Reward 1 for a right answer, 0 for
    everything else; the action to an operation that asks nothing is not looked at. After `num_steps` actions
    the episode is terminated, and the last observation is zero.

    Episodes do not depend on what is answered, so they are made many at once: when episode e of a seed is asked
    for, those after it are made too, more of them each time that they are used up. Going on with ``reset()`` is
    therefore a hundred times as fast as a ``reset`` to a new seed or to an episode out of order, which takes
    milliseconds.

    Args:
        task: checked arguments and rules.
        render_mode: ``"ansi"``, ``"rgb_array"`` or ``"human"``.
    """

    metric = "accuracy"
    render_module = "memgym.envs.streams.render"
    pictures_reveal = True

    def __init__(self, task: StreamTask, render_mode: str | None) -> None:
        self._task = task
        self._check_render_mode(render_mode)
        self.split = task.split
        self.observation_space = task.observation_space()
        self.action_space = task.action_space()
        self.action_names = task.answer_names
        self._num_answers, self._steps = task.num_answers, int(task.num_steps)
        self._block: Stream | None = None
        self._block_seed, self._block_first = -1, 0
        # of the present episode
        self._t = 0
        self._tokens: NDArray[np.int16] = np.zeros((0, len(task.tables)), np.int16)
        self._rows: list[NDArray[np.float32]] = []
        self._answers: list[int] = []
        self._stale: list[int] = []
        self._overwritten: list[int] = []  # overwrites before each step
        self._said: list[int] = []
        self._info: dict[str, Any] = dict(NO_COUNTS)

    def __getstate__(self) -> dict[str, Any]:
        """All but the episodes to come, which can be made again."""
        return {**self.__dict__, "_block": None}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episode 0 of `seed`, or the next episode; ``options={"episode": e}`` starts that one."""
        self._begin(seed, options)
        block, i = self._find()
        self._t = 0
        self._tokens = block.tokens[i].copy()
        # rows of an array of its own: every observation is handed out once
        rows = np.zeros((self._steps + 1, *self.observation_space.shape), np.float32)  # type: ignore[misc]
        rows[:-1] = self._task.observe(self._tokens)
        self._rows = list(rows)
        self._answers, self._stale = block.answers[i].tolist(), block.stale[i].tolist()
        self._overwritten = list(accumulate(block.overwrites[i].tolist(), initial=0))
        self._said = [-1] * self._steps
        self._info = dict(NO_COUNTS)
        if self.render_mode == "human":
            self.render()
        return self._rows[0], self._info.copy()

    def _find(self) -> tuple[Stream, int]:
        """Where the present episode stands: made already, or with those that follow it."""
        block, seed, episode = self._block, self._seed, self._episode
        assert seed is not None
        made = len(block.answers) if block is not None and self._block_seed == seed else 0
        if block is not None and 0 <= episode - self._block_first < made:
            return block, episode - self._block_first
        used_up = made > 0 and episode == self._block_first + made
        count = min(4 * made if used_up else FIRST_BLOCK, max(BLOCK_STEPS // self._steps, 1))
        self._block = block = generate(self._task, keys_of(self._task, seed, episode, count))
        self._block_seed, self._block_first = seed, episode
        return block, 0

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Answer the operation that was shown last, and see the next one.

        Raises:
            ResetNeeded: no episode is running.
            ValueError: the action is outside the action space.
        """
        t = self._t
        try:
            said, answer = index(action), self._answers[t]
        except TypeError:
            raise self._refusal(action) from None
        except IndexError:
            raise gym.error.ResetNeeded("Call reset before step: no episode is running.") from None
        if not 0 <= said <= self._num_answers:
            raise self._refusal(action)
        self._said[t] = said
        self._t = t = t + 1
        right, terminated = said == answer, t == self._steps
        if answer >= 0:
            self._score(said, answer, self._stale[t - 1])
        info = self._info.copy()
        info["overwrites"] = self._overwritten[t]
        info["is_correct"] = right
        if terminated:
            info["success"] = info["correct"] == info["gets"]
        if self.render_mode == "human":
            self.render()
        return self._rows[t], 1.0 if right else 0.0, terminated, False, info

    def _score(self, said: int, answer: int, stale: int) -> None:
        """Count an answer in `_info`."""
        info = self._info
        info["gets"] += 1
        if said == answer:
            info["correct"] += 1
        elif said != stale:
            info["cue_blind_errors"] += 1
        else:
            info["stale_errors" if answer else "leak_errors"] += 1
        info["accuracy"] = info["correct"] / info["gets"]

    def _refusal(self, action: Any) -> ValueError:
        return ValueError(f"action is an integer from 0 to {self._num_answers}, not {action!r}.")

    # ------------------------------------------------------------------ views of it

    def oracle_state(self) -> dict[str, Any]:
        """The right answer (-1 where nothing is asked), and what a memory without fault holds after the
        operation shown, see `StreamTask.replay`.
        """
        running = self._t < len(self._answers)
        memory = self._task.replay(self._tokens[: self._t + 1])
        return {"answer": self._answers[self._t] if running else -1, "memory": memory}

    def oracle_action(self) -> np.int64:
        """The right answer; "none" where nothing is asked."""
        running = self._t < len(self._answers)
        return np.int64(max(self._answers[self._t], 0) if running else 0)

    def reference_scores(self) -> dict[str, float]:
        """Expected accuracies, see the arguments."""
        return self._task.reference_scores()

    def describe(self, observation: NDArray[np.float32]) -> str:
        """The operation that an observation shows, in words."""
        return self._task.tell(self._task.read(observation)) or "nothing"

    def view(self) -> StreamView:
        """All that a picture of this moment shows."""
        first = max(self._t + 1 - HISTORY, 0)
        return make_view(
            self._task,
            self._tokens[: self._t + 1],
            self._answers[first : self._t + 1],
            self._said[first : self._t],
            self._t,
            (self._info["gets"], self._info["correct"]),
        )
