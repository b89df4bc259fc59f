"""Endless T-Maze, many at once: the rules of `scalar` on arrays, equal to it bit for bit."""

from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import NOBODY, ControlVectorEnv, Index
from memgym.envs.t_maze.arguments import (
    DISTRACTOR_DRAW,
    EVENT_DRAW,
    REWRITING,
    LengthMode,
    Reward,
    Rewriting,
    TMazeArguments,
)
from memgym.envs.t_maze.render import TMazeView
from memgym.envs.t_maze.scalar import FORWARD, NOTHING
from memgym.rng import HALF, LOW, draw_array

__all__ = ["EndlessTMazeVector"]

PASSED, STALE, BLIND, SEARCH = range(4)  # what an act at the junction comes to


class EndlessTMazeVector(ControlVectorEnv):
    """`num_envs` Endless T-Mazes in arrays; see `memgym.envs.t_maze.EndlessTMaze` for the task and its
    arguments, and `ControlVectorEnv` for what vector forms promise.

    Args:
        num_envs: number of environments.
        autoreset_mode: when an environment that ended starts again, see Gymnasium's ``AutoresetMode``.
        copy: whether fresh arrays are returned, or buffers that the next step overwrites.
        backend: ``"auto"``, ``"numpy"`` or ``"numba"``.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
    """

    render_module = "memgym.envs.t_maze.render"
    INFO: ClassVar[dict[str, type]] = {
        "success": np.bool_,
        "corridor": np.int64,
        "overwrites": np.int64,
        "stale_error": np.bool_,
        "cue_blind_error": np.bool_,
        "search_error": np.bool_,
    }

    def __init__(
        self,
        num_envs: int = 1,
        num_corridors: int = 3,
        corridor_length: int = 5,
        length_mode: LengthMode = "fixed",
        junction_visible: bool = False,
        rewriting: Rewriting = "overwrite",
        event_rate: float = 0.5,
        num_cues: int = 2,
        reward: Reward = "paper",
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = TMazeArguments(
            num_corridors,
            corridor_length,
            length_mode,
            junction_visible,
            rewriting,
            event_rate,
            num_cues,
            reward,
            split,
        )
        super().__init__(self.arguments, num_envs, autoreset_mode, render_mode, copy, backend)
        n, k = self.num_envs, int(num_cues)
        self._clock = 0  # steps so far
        self._soonest = 0  # the first step, on that clock, at which time can run out anywhere
        self._began = np.zeros(n, np.int64)  # where that clock stood when the episode began
        # float32 is exact for positions and saves a conversion in every observation
        self._x = np.zeros(n, np.float32)
        self._length = np.full(n, corridor_length, np.float32)
        self._cue = np.zeros(n, np.int8)
        self._older = np.zeros(n, np.int8)
        self._place = np.zeros(n, np.int16)  # of the distractor, 0 for none
        self._distractor = np.zeros(n, np.int16)
        self._moved, self._still, self._standing = (np.zeros(n, np.bool_) for _ in range(3))  # of one step
        self._entered: Index = NOBODY  # who passes into a further corridor in this step
        self._prepare_tables(k)
        self._prepare_kernel()

    def _prepare_tables(self, k: int) -> None:
        """What an act at the junction comes to, and what a first cell shows, looked up instead of worked out."""
        rewards = self.arguments.rewards
        act, cue, older = np.ogrid[: k + 1, : k + 1, : k + 1]
        wrong = np.where(act == FORWARD, SEARCH, np.where(act == older, STALE, BLIND))
        self._outcomes = np.where(act == cue, PASSED, wrong).astype(np.int8)
        self._outcome_rewards = np.array([rewards.right] + [rewards.wrong] * 3)
        self._walk_rewards = np.array([rewards.forward] + [rewards.useless] * k)
        self._first_cell = np.zeros((self.arguments.observation_size, k + 2), np.float32)
        self._first_cell[1 : k + 1, 1 : k + 1] = np.eye(k)
        self._first_cell[1 : k + 1, k + 1] = 1.0

    def _prepare_kernel(self) -> None:
        """Rules and state in the form that the compiled loops take."""
        arguments = self.arguments
        self._rewards = tuple(arguments.rewards)
        self._rules = (
            arguments.limit,
            int(arguments.num_corridors),
            int(arguments.corridor_length),
            int(arguments.num_cues),
            arguments.length_mode == "uniform",
            REWRITING.index(arguments.rewriting),
            np.uint64(arguments.event_threshold),
            bool(arguments.junction_visible),
        )
        self._maze = (
            self._began,
            self._x,
            self._length,
            self._cue,
            self._older,
            self._place,
            self._distractor,
        )
        names = ("success", "stale_error", "cue_blind_error", "search_error")
        self._errors = tuple(self._info[name] for name in names)
        self._counts = (self._info["corridor"], self._info["overwrites"])
        self._event = np.zeros(-8 * (-self.num_envs // 8), np.uint8)  # read eight at a time
        self._act = np.zeros(self.num_envs, np.int8)
        self._lists = np.zeros((2, self.num_envs + 8), np.intp)

    # ------------------------------------------------------------------ starting corridors

    def _start(self, index: Index) -> None:
        entered = np.concatenate((self._entered, index))
        self._entered = NOBODY
        if not entered.size:
            return
        self._began[index] = self._clock
        self._cue[index] = self._older[index] = 0
        if self.backend == "numba":
            kernel = load_kernel("memgym.envs.t_maze.kernel")
            kernel.enter_corridors(entered, self._rules, self._key, self._maze, self._obs, self._counts)
        else:
            self._enter_corridors(entered)

    def _enter_corridors(self, index: Index) -> None:
        """`EndlessTMaze._enter_corridor` for the environments of `index`."""
        info, mode, k = self._info, self.arguments.rewriting, np.uint64(self.arguments.num_cues)
        corridor = info["corridor"][index]
        number, key = corridor.view(np.uint64), self._key[index]
        bits = draw_array(key, number)
        if self.arguments.length_mode == "uniform":
            longest = np.uint64(self.arguments.corridor_length)
            self._length[index] = ((bits & LOW) * longest >> HALF) + np.uint64(1)
        shown = ((bits >> HALF) * k >> HALF).astype(np.int8) + np.int8(1)
        cue, older = shown, self._cue[index]
        if mode == "overwrite":
            info["overwrites"][index] = corridor
        else:
            happens = self._happens(index, key, number)
            shown, cue, older = self._rewrite(index, corridor, shown, happens)
        self._cue[index] = cue
        self._older[index] = older
        self._x[index] = 0.0
        for row, values in zip(self._obs, self._first_cell, strict=True):
            row[index] = values.take(shown)

    def _happens(self, index: Index, key: Any, number: NDArray[np.uint64]) -> Any:
        """Whether the event that `rewriting` is named for happens; distractors are placed."""
        if self.arguments.rewriting == "retention":
            return np.zeros(index.size, np.bool_)
        event = draw_array(key, number + np.uint64(EVENT_DRAW))
        happens = event >> HALF < np.uint64(self.arguments.event_threshold)
        if self.arguments.rewriting == "distractor":
            length, k = self._length[index], np.uint64(self.arguments.num_cues)
            room = (length - 1).astype(np.uint64)
            there = happens & (length > 1)
            self._place[index] = np.where(there, 1 + ((event & LOW) * room >> HALF), 0)
            which = draw_array(key, number + np.uint64(DISTRACTOR_DRAW))
            self._distractor[index] = 1 + ((which >> HALF) * k >> HALF)
        return happens

    def _rewrite(self, index: Index, corridor: Any, new: Any, happens: Any) -> tuple[Any, Any, Any]:
        """What the corridors show, and the cue in force and the one before it; overwrites are counted."""
        mode, further = self.arguments.rewriting, corridor > 0
        cue, older = self._cue[index], self._older[index]
        kept = np.zeros(index.size, np.bool_)
        if mode == "retention":
            kept = further
        elif mode == "selective":
            kept = further & ~happens
        shown = np.where(kept, np.int8(NOTHING), new)
        then, before = np.where(kept, cue, new), np.where(kept, older, cue)
        if mode == "reversal":
            swapped = happens & (corridor > 1)
            shown = np.where(swapped, np.int8(self.arguments.num_cues + 1), shown)
            then = np.where(swapped, older, then)
        self._info["overwrites"][index] += further & ~kept
        return shown, then, before

    # ------------------------------------------------------------------ stepping

    def _play(self, actions: NDArray[np.integer]) -> None:
        if self.backend == "numpy":
            super()._play(actions)
            return
        kernel = load_kernel("memgym.envs.t_maze.kernel")
        self._clock += 1
        self._soonest = kernel.play(
            actions,
            self._clock,
            self._soonest,
            self._rules,
            self._rewards,
            self.autoreset_mode == AutoresetMode.NEXT_STEP,
            self._base,
            self._episode,
            self._key,
            self._maze,
            self._obs,
            self._reward,
            self._terminated,
            self._truncated,
            self._errors,
            self._counts,
            self._ended,
            self._event,
            self._act,
            self._lists,
        )
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            self._flagged = np.flatnonzero(self._ended)

    def _advance(self, actions: NDArray[np.integer]) -> None:
        moved, still, standing = self._moved, self._still, self._standing
        # on booleans "a > b" is "a and not b" in one call
        np.equal(self._x, self._length, out=standing)
        np.equal(actions, FORWARD, out=moved)
        np.greater(moved, standing, out=moved)
        np.logical_not(moved, out=still)
        np.add(self._x, moved, out=self._x)
        np.divide(self._x, np.float32(self.arguments.corridor_length), out=self._obs[0])
        signs = self._obs[1 : 1 + int(self.arguments.num_cues)]
        np.multiply(signs, still, out=signs)  # who moved sees no cue any more
        if self.arguments.rewriting == "distractor":
            met = np.flatnonzero(moved & (self._x == self._place))
            self._obs[self._distractor[met], met] = 1.0
        if self.arguments.junction_visible:
            np.equal(self._x, self._length, out=self._obs[-1])
        rewards = self.arguments.rewards
        if rewards.forward == rewards.useless:
            self._reward.fill(rewards.useless)
        else:
            self._walk_rewards.take(actions, out=self._reward, mode="clip")
        index = standing.nonzero()[0]
        self._turn(index, actions[index])
        self._clock += 1
        if self._clock >= self._soonest:
            self._end_late()

    def _end_late(self) -> None:
        """Truncate where time has run out, and see when it can do so next."""
        latest = self._clock - self.arguments.limit
        late = (self._began <= latest).nonzero()[0]
        late = late[~self._terminated[late]]
        self._truncated[late] = self._info["search_error"][late] = True
        self._soonest = int(self._began.min()) + self.arguments.limit

    def _turn(self, index: Index, action: NDArray[np.integer]) -> None:
        """Act at the junction, for the environments of `index`."""
        outcome = self._outcomes[action, self._cue[index], self._older[index]]
        self._reward[index] = self._outcome_rewards.take(outcome)
        for error, values in zip((STALE, BLIND, SEARCH), self._errors[1:], strict=True):
            values[index] = outcome == error
        wrong = outcome > PASSED
        self._terminated[index] = wrong
        passed = index[~wrong]
        corridor = self._info["corridor"][passed] + 1
        self._info["corridor"][passed] = corridor
        last = corridor == self.arguments.num_corridors
        if last.any():
            done, passed = passed[last], passed[~last]
            self._info["success"][done] = self._terminated[done] = True
        self._entered = passed

    def view(self, i: int) -> TMazeView:
        """All that a picture of environment `i` shows."""
        k = int(self.arguments.num_cues)
        lit = (self._obs[1 : 1 + k, i].nonzero()[0] + 1).tolist()
        return TMazeView(
            num_corridors=int(self.arguments.num_corridors),
            longest=int(self.arguments.corridor_length),
            num_cues=k,
            corridor=int(self._info["corridor"][i]),
            position=int(self._x[i]),
            length=int(self._length[i]),
            shown=k + 1 if len(lit) > 1 else sum(lit),
            step=self._clock - int(self._began[i]),
            limit=self.arguments.limit,
            outcome="over" if self._ended[i] else "",
        )
