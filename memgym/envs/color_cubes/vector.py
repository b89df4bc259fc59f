"""Color Cubes, many at once: the rules of `scalar` on arrays, equal to it bit for bit."""

from typing import ClassVar, Literal

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from memgym.envs.backend import load_kernel
from memgym.envs.color_cubes.arguments import (
    FOUND_REWARD,
    INTERACT,
    NO_EVENT,
    PHASE_DRAW,
    PHASE_START,
    START_DRAW,
    STEP_REWARD,
    TELEPORT,
    ColorCubesArguments,
    Mode,
    Update,
    Wrong,
)
from memgym.envs.color_cubes.render import CubesView
from memgym.envs.control_vector import ControlVectorEnv, Index
from memgym.rng import HALF, LOW, draw_array

__all__ = ["ColorCubesVector"]

KERNEL = "memgym.envs.color_cubes.kernel"
NOWHERE = np.int16(np.iinfo(np.int16).max)  # beyond the last cell


class ColorCubesVector(ControlVectorEnv):
    """`num_envs` Color Cubes in arrays; see `memgym.envs.color_cubes.ColorCubes` for the task and its
    arguments, and `ControlVectorEnv` for what vector forms promise.

    Args:
        num_envs: number of environments.
        autoreset_mode: when an environment that ended starts again, see Gymnasium's ``AutoresetMode``.
        copy: whether fresh arrays are returned, or buffers that the next step overwrites.
        backend: ``"auto"``, ``"numpy"`` or ``"numba"``.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
    """

    render_module = "memgym.envs.color_cubes.render"
    INFO: ClassVar[dict[str, type]] = {
        "success": np.bool_,
        "targets_found": np.int64,
        "teleports": np.int64,
        "overwrites": np.int64,
        "stale_error": np.bool_,
        "cue_blind_error": np.bool_,
        "search_error": np.bool_,
    }

    def __init__(
        self,
        num_envs: int = 1,
        mode: Mode = "medium",
        grid_size: int = 5,
        num_cubes: int | None = None,
        num_targets: int | None = None,
        teleport_probability: float | None = None,
        wrong_reward: float = -1.0,
        wrong: Wrong = "terminate",
        always_show_target: bool = False,
        update: Update = "full",
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = arguments = ColorCubesArguments(
            mode,
            grid_size,
            num_cubes,
            num_targets,
            teleport_probability,
            wrong_reward,
            wrong,
            always_show_target,
            update,
            split,
        )
        super().__init__(arguments, num_envs, autoreset_mode, render_mode, copy, backend)
        n = self.num_envs
        self._num_cubes, self._num_cells = int(arguments.cubes), arguments.cells
        self._extreme, self._delta = mode == "extreme", update == "delta"
        self._moves, self._waits = arguments.moves(), arguments.waits()
        self._xs, self._ys = arguments.coordinates()
        self._t = np.zeros(n, np.int32)
        self._ring = np.zeros(n, np.int32)  # the step in which a cube jumps
        self._jump = np.zeros(n, np.uint64)  # which one, and where to
        self._cell = np.zeros(n, np.int16)
        self._target = np.zeros(n, np.int16)
        # the cubes of an environment lie side by side: whoever looks at one looks at all
        self._cubes = np.zeros((self._num_cubes, n), np.int16, order="F")
        self._before = np.full((self._num_cubes, n), -1, np.int16, order="F")  # the cell that each left last
        self._moved = np.full(n, -1, np.int16)  # the cube that moved in this step
        self._event = np.zeros(n, np.int8)  # what the present frame shows
        self._everyone = np.arange(n)
        self._prepare_kernel()

    def _prepare_kernel(self) -> None:
        """Rules and state in the form that the compiled loops take."""
        arguments, info = self.arguments, self._info
        self._rules = (
            arguments.limit,
            int(arguments.targets),
            arguments.wrong == "terminate",
            float(arguments.wrong_reward),
            bool(arguments.always_show_target),
            self._extreme,
            self._delta,
        )
        guide = np.searchsorted(self._waits, np.arange(256, dtype=np.uint64) << np.uint64(24), side="right")
        self._tables = (self._moves, self._waits, guide, self._xs, self._ys)
        self._world = (
            self._t,
            self._ring,
            self._jump,
            self._cell,
            self._target,
            self._cubes,
            self._before,
            self._moved,
            self._event,
        )
        self._counts = (info["targets_found"], info["teleports"], info["overwrites"])
        self._errors = (info["success"], info["stale_error"], info["cue_blind_error"], info["search_error"])
        self._buffers = tuple(np.zeros(self.num_envs, np.uint64) for _ in range(4))  # lists of environments

    # ------------------------------------------------------------------ starting episodes

    def _start(self, index: Index) -> None:
        if not index.size:
            return
        if self.backend == "numba":
            kernel = load_kernel(KERNEL)
            kernel.start(index.view(np.uint64), self._tables, self._key, self._world, self._obs)
            return
        self._t[index] = 0
        self._before[:, index] = self._moved[index] = -1
        self._place_everything(index)
        self._schedule(index)
        for row in self._obs[2 : self.arguments.rows_at]:
            row[index] = 0.0
        shown = index[self._event[index] != NO_EVENT]  # other frames show no cubes
        for row in self._obs[self.arguments.rows_at :]:
            row[shown] = 0.0
        self._obs[0][index] = self._xs.take(self._cell[index])
        self._obs[1][index] = self._ys.take(self._cell[index])
        self._show(index, PHASE_START, coloured=True)

    def _place_everything(self, index: Index) -> None:
        """`ColorCubes._place_everything` for the environments of `index`."""
        n, key = self._num_cubes, self._key[index]
        halves: list[NDArray[np.uint64]] = []
        for number in range((n + 3) // 2):
            bits = draw_array(key, START_DRAW + number)
            halves += (bits & LOW, bits >> HALF)
        places = np.empty((n + 1, index.size), np.int16)
        for taken in range(n + 1):
            number = (halves[taken] * np.uint64(self._num_cells - taken) >> HALF).astype(np.int16)
            places[taken] = free_cell(number, places[:taken])
        self._cell[index] = places[0]
        self._cubes[:, index] = places[1:]
        self._target[index] = halves[n + 1] * np.uint64(n) >> HALF

    def _schedule(self, index: Index) -> None:
        """Decide in this step when the next jump comes, and which one it is."""
        t = self._t[index]
        bits = draw_array(self._key[index], t.astype(np.uint64))
        self._jump[index] = bits & LOW
        self._ring[index] = t + 1 + np.searchsorted(self._waits, bits >> HALF, side="right")

    # ------------------------------------------------------------------ stepping

    def _play(self, actions: NDArray[np.integer]) -> None:
        if self.backend == "numpy":
            super()._play(actions)
            return
        self._check_range(actions)
        load_kernel(KERNEL).play(
            actions,
            self._next_step,
            self._rules,
            self._tables,
            self._base,
            self._episode,
            self._key,
            self._world,
            self._obs,
            self._reward,
            self._terminated,
            self._truncated,
            self._ended,
            self._counts,
            self._errors,
            self._buffers,
        )
        if self._same_step:
            self._flagged = self._ended.nonzero()[0]

    def _advance(self, actions: NDArray[np.integer]) -> None:
        self._t += 1
        self._cell[:] = self._moves[actions, self._cell]
        self._hide()
        self._reward.fill(STEP_REWARD)
        self._info["stale_error"].fill(False)
        self._info["cue_blind_error"].fill(False)
        found = self._interact(np.flatnonzero(actions == INTERACT))
        self._start_phases(found)
        rung = np.flatnonzero(self._t == self._ring)
        quiet = (self._event[rung] == NO_EVENT) & ~self._terminated[rung]
        self._teleport(rung[quiet])
        self._schedule(rung)
        late = np.flatnonzero(self._t >= self.arguments.limit)
        late = late[~self._terminated[late]]
        self._truncated[late] = self._info["search_error"][late] = True

    def _hide(self) -> None:
        """Frames that show the agent alone, and the target where it is always shown."""
        at = self.arguments.event_at
        self._xs.take(self._cell, out=self._obs[0], mode="clip")
        self._ys.take(self._cell, out=self._obs[1], mode="clip")
        self._obs[2:] = 0.0
        self._obs[at] = 1.0
        self._event.fill(NO_EVENT)
        self._moved.fill(-1)
        if self.arguments.always_show_target:
            self._obs[2 + self._target, self._everyone] = 1.0

    def _interact(self, index: Index) -> Index:
        """Interact, for the environments of `index`; those that go on to their next target are returned."""
        cell, target, info = self._cell[index], self._target[index], self._info
        right = self._cubes[target, index] == cell
        wrong, found = index[~right], index[right]
        stale = (self._before[target, index] == cell)[~right]
        self._reward[wrong] = self.arguments.wrong_reward
        self._reward[found] = FOUND_REWARD
        self._terminated[wrong] = self.arguments.wrong == "terminate"
        info["stale_error"][wrong] = stale
        info["cue_blind_error"][wrong] = ~stale
        info["targets_found"][found] += 1
        last = info["targets_found"][found] == self.arguments.targets
        info["success"][found] = self._terminated[found] = last
        return found[~last]

    def _start_phases(self, index: Index) -> None:
        """`ColorCubes._start_phase` for the environments of `index`."""
        n, found = self._num_cubes, self._info["targets_found"][index].astype(np.uint64)
        bits = draw_array(self._key[index], found + np.uint64(PHASE_DRAW))
        number = (bits & LOW) * np.uint64(self._num_cells - n) >> HALF
        target = self._target[index]
        self._move_cubes(index, target, number)
        if n > 1:
            other = ((bits >> HALF) * np.uint64(n - 1) >> HALF).astype(np.int16)
            self._target[index] = other + (other >= target)
            self._obs[2 + target, index] = 0.0
        self._show(index, PHASE_START, coloured=not self._extreme)

    def _teleport(self, index: Index) -> None:
        """`ColorCubes._teleport` for the environments of `index`."""
        if not index.size:  # a single cube never jumps, and its frames have no second row
            return
        n = self._num_cubes
        on_cube = (self._cubes[:, index] == self._cell[index]).any(axis=0)
        free = self._num_cells - n - 1 + on_cube.astype(np.uint64)
        pair = self._jump[index] * (np.uint64(n - 1) * free) >> HALF
        cube, number = np.divmod(pair, free)
        cube = cube.astype(np.int16)
        self._move_cubes(index, cube + (cube >= self._target[index]), number)
        self._info["teleports"][index] += 1
        self._show(index, TELEPORT, coloured=not self._extreme)

    def _move_cubes(self, index: Index, cube: NDArray[np.int16], number: NDArray[np.uint64]) -> None:
        """Move a cube to the free cell with this number."""
        cubes, agent = self._cubes[:, index], self._cell[index]
        agent = np.where((cubes == agent).any(axis=0), NOWHERE, agent)
        self._before[cube, index] = self._cubes[cube, index]
        self._cubes[cube, index] = free_cell(number.astype(np.int16), np.vstack((cubes, agent)))
        self._moved[index] = cube
        self._info["overwrites"][index] += 1

    # ------------------------------------------------------------------ what is seen

    def _show(self, index: Index, event: int, coloured: bool) -> None:
        """Frames of an event, where so far nothing but the agent is shown."""
        at = self.arguments.event_at
        self._event[index] = event
        self._obs[at][index] = 0.0  # row by row: on both axes at once numpy writes at half the speed
        self._obs[at + event][index] = 1.0
        if event == PHASE_START or self.arguments.always_show_target:
            self._obs[2 + self._target[index], index] = 1.0
        cubes = self._cubes[:, index]
        if event == TELEPORT and self._delta:
            self._show_moved(index, coloured)
        elif coloured:
            for cube, cell in enumerate(cubes):
                self._show_row(index, cube, cell)
                self._obs[self.arguments.rows_at + cube * self.arguments.row_size + 3 + cube][index] = 1.0
        else:
            for slot, cell in enumerate(np.sort(cubes, axis=0)):
                self._show_row(index, slot, cell)

    def _show_row(self, index: Index, slot: int, cell: NDArray[np.int16]) -> None:
        """A cube on `cell`."""
        at = self.arguments.rows_at + slot * self.arguments.row_size
        self._obs[at][index] = self._xs.take(cell)
        self._obs[at + 1][index] = self._ys.take(cell)
        self._obs[at + 2][index] = 1.0

    def _show_moved(self, index: Index, coloured: bool) -> None:
        """The moved cube alone: in its row, or without colour where it was and where it is."""
        moved = self._moved[index]
        cell = self._cubes[moved, index]
        if not coloured:
            self._show_row(index, 0, self._before[moved, index])
            self._show_row(index, 1, cell)
            return
        at = self.arguments.rows_at + moved * self.arguments.row_size
        self._obs[at, index] = self._xs.take(cell)
        self._obs[at + 1, index] = self._ys.take(cell)
        self._obs[at + 2, index] = 1.0
        self._obs[at + 3 + moved, index] = 1.0

    def view(self, i: int) -> CubesView:
        """All that a picture of environment `i` shows."""
        event, moved, found = int(self._event[i]), int(self._moved[i]), int(self._info["targets_found"][i])
        t = int(self._t[i])
        return CubesView(
            size=int(self.arguments.grid_size),
            agent=int(self._cell[i]),
            cubes=tuple(self._cubes[:, i].tolist()),
            target=int(self._target[i]),
            target_shown=bool(self.arguments.always_show_target) or event == PHASE_START,
            event=event,
            coloured=not self._extreme or t == 0,
            only_moved=self._delta and event == TELEPORT,
            moved=moved,
            left=int(self._before[moved, i]),
            found=found,
            targets=int(self.arguments.targets),
            step=t,
            limit=self.arguments.limit,
            outcome="over" if self._ended[i] else "",
        )


def free_cell(number: NDArray[np.int16], occupied: NDArray[np.int16]) -> NDArray[np.int16]:
    """The free cell with this number, counted in the order of cells, beside different occupied ones.

    It is the smallest cell that equals its number plus the occupied cells up to it; each turn comes nearer.
    """
    cell = number
    for _ in range(len(occupied)):
        nearer = number.copy()
        for other in occupied:
            nearer += other <= cell
        cell = nearer
    return cell
