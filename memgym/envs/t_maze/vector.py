"""Endless T-Maze, many at once: the rules of `scalar` on arrays, equal to it bit for bit."""

from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import ControlVectorEnv, Index
from memgym.envs.t_maze.arguments import (
    BLIND,
    DISTRACTOR_DRAW,
    EVENT_DRAW,
    LATE,
    PASSED,
    REWRITING,
    SEARCH,
    SOLVED,
    STALE,
    LengthMode,
    Reward,
    Rewriting,
    TMazeArguments,
)
from memgym.envs.t_maze.render import TMazeView
from memgym.envs.t_maze.scalar import FORWARD, NOTHING
from memgym.rng import HALF, LOW, draw_array, episode_keys

__all__ = ["EndlessTMazeVector"]


@cache
def split_reciprocal(longest: int) -> tuple[float, float]:
    """Float32 numbers a and b with x a + x b == x / `longest`, bit for bit, at every position x; (0, 0) if none.

    A processor divides several times as slowly as it does that. a has so few digits that x a is exact.
    """
    x = np.arange(longest + 1, dtype=np.float32)
    a = np.float32(round(2**23 / longest) / 2**23)
    b = np.float32(1 / longest - float(a))
    return (float(a), float(b)) if np.array_equal(x * a + x * b, x / np.float32(longest)) else (0.0, 0.0)


class Blocks(NamedTuple):
    """The arrays of `EndlessTMazeVector`; `_share_blocks` names their parts."""

    settings: NDArray[np.int64]
    rewards: NDArray[np.float64]
    records: NDArray[np.uint64]
    floats: NDArray[np.float32]
    ints: NDArray[np.int64]
    marks: NDArray[np.uint8]
    reward: NDArray[np.float64]


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
        self._blocks = self._make_blocks()
        self._share_blocks()
        self._moved, self._standing = np.zeros((2, n), np.bool_)  # in one step
        self._moves = np.zeros(n, np.float32)
        self._listed: Index | None = None  # what the compiled loop left in `_list`
        self._prepare_tables(k)

    def _prepare_tables(self, k: int) -> None:
        """What an act at the junction comes to, and what a first cell shows, looked up instead of worked out."""
        rewards = self.arguments.rewards
        act, cue, older = np.ogrid[: k + 1, : k + 1, : k + 1]
        wrong = np.where(act == FORWARD, SEARCH, np.where(act == older, STALE, BLIND))
        self._outcomes = np.where(act == cue, PASSED, wrong).ravel()
        self._outcome_rewards = np.array(
            [rewards.right if o <= PASSED else rewards.wrong for o in range(SOLVED)]
        )
        self._walk_rewards = np.array([rewards.forward] + [rewards.useless] * k)
        self._first_cell = np.zeros((self.arguments.observation_size, k + 2), np.float32)
        self._first_cell[1 : k + 1, 1 : k + 1] = np.eye(k)
        self._first_cell[1 : k + 1, k + 1] = 1.0

    def _make_blocks(self) -> Blocks:
        """Rules and state, in few arrays: a compiled call costs 0.1 microseconds for each that it takes."""
        arguments, n = self.arguments, self.num_envs
        settings = [
            0,  # steps so far
            0,  # the first step, on that clock, at which time can run out anywhere
            arguments.limit,
            arguments.num_corridors,
            arguments.corridor_length,
            arguments.num_cues,
            arguments.length_mode == "uniform",
            REWRITING.index(arguments.rewriting),
            arguments.event_threshold,
            arguments.junction_visible,
            self._next_step,
            0,  # how many rewards were others than in the corridor
        ]
        floats = np.zeros((2 + arguments.observation_size, n), np.float32)
        floats[1] = arguments.corridor_length
        # 64 bytes, so that all of one environment is in one cache line
        room = np.zeros(8 * n + 8, np.uint64)
        gap = -room.ctypes.data // 8 % 8
        records = room[gap : gap + 8 * n].reshape(n, 8)
        records[:, 2] -= np.uint64(1)  # no episode yet
        marks = np.zeros((11, -64 * (-n // 64)), np.uint8)  # read 64 at a time
        marks[2] = 1  # over, until the first reset
        ints = np.zeros((7, n + 8), np.int64)
        return Blocks(
            np.array(settings, np.int64),
            np.array([*arguments.rewards, *split_reciprocal(int(arguments.corridor_length))]),
            records,
            floats,
            ints,
            marks,
            np.full(n, arguments.rewards.useless),
        )

    def _share_blocks(self) -> None:
        """Names for the parts of the blocks, in the order that the compiled loops know."""
        blocks, info, n = self._blocks, self._info, self.num_envs
        self._clock = blocks.settings[:2]
        # float32 is exact for positions and saves a conversion in every observation
        self._x, self._length, self._obs = blocks.floats[0], blocks.floats[1], blocks.floats[2:]
        self._base, self._key = blocks.records[:, 0], blocks.records[:, 1]
        # place 0: no distractor
        columns = blocks.records.view(np.int64).T[2:7]
        self._episode, self._cue, self._older, self._place, self._distractor = columns
        # began: where the clock stood when the episode began
        info["corridor"], info["overwrites"], self._began, self._list, *_ = blocks.ints[:, :n]
        flags = blocks.marks.view(np.bool_)[:7, :n]
        self._outcome = blocks.marks[7, :n]
        self._terminated, self._truncated, self._ended = flags[:3]
        names = ("success", "stale_error", "cue_blind_error", "search_error")
        info.update(zip(names, flags[3:], strict=True))
        self._reward = blocks.reward
        self._given_infos = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has its own blocks."""
        self.__dict__.update(state)
        self._share_blocks()

    # ------------------------------------------------------------------ starting corridors

    def _start(self, index: Index) -> None:
        self._began[index] = self._clock[0]
        self._cue[index] = self._older[index] = 0
        if self.backend == "numba":
            kernel = load_kernel("memgym.envs.t_maze.kernel")
            settings, _, records, floats, ints, marks, _ = self._blocks
            kernel.start(index, settings, records, floats, ints, marks)
        elif index.size:
            self._enter_corridors(index, np.zeros(index.size, np.int64))

    def _enter_corridors(self, index: Index, corridor: NDArray[np.int64]) -> None:
        """`EndlessTMaze._enter_corridor` for the environments of `index`."""
        info, mode, k = self._info, self.arguments.rewriting, np.uint64(self.arguments.num_cues)
        info["corridor"][index] = corridor
        number, key = corridor.view(np.uint64), self._key[index]
        bits = draw_array(key, number)
        if self.arguments.length_mode == "uniform":
            longest = np.uint64(self.arguments.corridor_length)
            self._length[index] = ((bits & LOW) * longest >> HALF) + np.uint64(1)
        shown = ((bits >> HALF) * k >> HALF).view(np.int64) + 1
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
        shown = np.where(kept, NOTHING, new)
        then, before = np.where(kept, cue, new), np.where(kept, older, cue)
        if mode == "reversal":
            swapped = happens & (corridor > 1)
            shown = np.where(swapped, self.arguments.num_cues + 1, shown)
            then = np.where(swapped, older, then)
        self._info["overwrites"][index] += further & ~kept
        return shown, then, before

    # ------------------------------------------------------------------ stepping

    def _play(self, actions: NDArray[np.integer]) -> None:
        if self.backend == "numpy":
            self._play_arrays(actions)
            return
        kernel = load_kernel("memgym.envs.t_maze.kernel")
        settings, rewards, *state = self._blocks
        before = self._flagged
        if before is not self._listed:  # a reset made another list
            self._list[: before.size] = before
        number = kernel.play(actions, settings, rewards, before.size, *state)
        if number < 0:
            raise self._refusal()
        self._flagged = self._listed = self._list[:number]

    def _play_arrays(self, actions: NDArray[np.integer]) -> None:
        """`_play` in numpy. It marks what became of everyone, as comparing bytes costs less than short lists."""
        self._check_range(actions)
        self._clock[0] += 1
        self._outcome.fill(0)
        self._walk(actions)
        index = self._standing.nonzero()[0]
        entered, corridor = self._turn(index, actions.take(index))
        if self._next_step and (over := self._flagged).size:
            self._begin_next(over)
            entered = np.concatenate((over, entered))
            corridor = np.concatenate((np.zeros(over.size, np.int64), corridor))
        if entered.size:
            self._enter_corridors(entered, corridor)
        self._end_late()
        info, outcome = self._info, self._outcome
        np.greater(outcome, LATE, out=self._terminated)
        np.equal(outcome, LATE, out=self._truncated)
        np.greater_equal(outcome, LATE, out=self._ended)
        np.equal(outcome, SOLVED, out=info["success"])
        np.equal(outcome, STALE, out=info["stale_error"])
        np.equal(outcome, BLIND, out=info["cue_blind_error"])
        search = np.equal(outcome, SEARCH, out=info["search_error"])
        np.logical_or(search, self._truncated, out=search)
        self._flagged = self._ended.nonzero()[0]

    def _walk(self, actions: NDArray[np.integer]) -> None:
        """Everybody's position, observation and reward, as if nobody stood at a junction; notes who does."""
        moved, standing = self._moved, self._standing
        # on booleans "a > b" is "a and not b" in one call
        np.equal(self._x, self._length, out=standing)
        np.equal(actions, FORWARD, out=moved)
        np.greater(moved, standing, out=moved)
        np.greater(standing, self._ended, out=standing)
        moves = self._moves
        np.copyto(moves, moved)
        np.add(self._x, moves, out=self._x)
        np.divide(self._x, np.float32(self.arguments.corridor_length), out=self._obs[0])
        signs = self._obs[1 : 1 + int(self.arguments.num_cues)]
        np.multiply(signs, np.subtract(1, moves, out=moves), out=signs)  # who moved sees no cue any more
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

    def _turn(self, index: Index, action: NDArray[np.integer]) -> tuple[Index, NDArray[np.int64]]:
        """Act at the junction, for the environments of `index`: who enters a further corridor, and its number."""
        size, action = int(self.arguments.num_cues) + 1, action.astype(np.int64)
        outcome = self._outcomes.take((action * size + self._cue[index]) * size + self._older[index])
        self._reward[index] = self._outcome_rewards.take(outcome)
        self._outcome[index] = outcome
        passed = index.compress(outcome == PASSED)
        corridor = self._info["corridor"][passed] + 1
        last = corridor == self.arguments.num_corridors
        if np.count_nonzero(last):
            done = passed[last]
            self._info["corridor"][done] = self.arguments.num_corridors
            self._outcome[done] = SOLVED
            passed, corridor = passed[~last], corridor[~last]
        return passed, corridor

    def _begin_next(self, index: Index) -> None:
        """The next episode of the environments of `index`, up to its first corridor."""
        self._reward[index] = 0.0
        episode = self._episode[index] + 1
        self._episode[index] = episode
        self._key[index] = episode_keys(self._base[index], episode.view(np.uint64))
        self._began[index] = self._clock[0]
        self._cue[index] = self._older[index] = 0
        self._info["overwrites"][index] = 0

    def _end_late(self) -> None:
        """Truncate where time has run out, and see when it can do so next."""
        now, soonest = self._clock.tolist()
        if now >= soonest:
            late = (self._began <= now - self.arguments.limit).nonzero()[0]
            self._outcome[late[self._outcome[late] < LATE]] = LATE
            self._clock[1] = self._began.min() + self.arguments.limit

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
            step=int(self._clock[0] - self._began[i]),
            limit=self.arguments.limit,
            outcome="over" if self._ended[i] else "",
        )
