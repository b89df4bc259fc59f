"""Color Cubes: find one coloured cube after the other on a map that is seen only when it changes."""

from bisect import bisect_right
from operator import index as as_integer
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

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
from memgym.envs.color_cubes.frames import Frames
from memgym.envs.color_cubes.render import CubesView
from memgym.envs.color_cubes.words import describe, instructions
from memgym.envs.control import ControlEnv
from memgym.rng import LOW32, draw

__all__ = ["ColorCubes"]

NO_INFO: dict[str, Any] = {
    "success": False,
    "targets_found": 0,
    "teleports": 0,
    "overwrites": 0,
    "stale_error": False,
    "cue_blind_error": False,
    "search_error": False,
}


class ColorCubes(ControlEnv):
    """Walk to the cube of the target's colour and interact, though the map is seen only when it changes.

    ## Description
    On a grid stand cubes of different colours. At the start the agent sees where they are and which colour
    it has to find; one step later the map is hidden. Interacting on the target's cell ends the phase: the
    found cube jumps to a free cell and another colour becomes the target. Meanwhile other cubes jump as well,
    one at a time, and each jump is shown in the frame in which it happens. Cubes do not block the way.

    The three modes say what a frame with cubes shows:

    * `"trivial"`: nothing jumps but what is found; with one cube and one target the task is pure retention.
    * `"medium"`: cubes jump, and every such frame shows all cubes in their colours. As the target stays where
      it is until it is found, the map of the phase's first frame is enough until the next phase replaces it.
    * `"extreme"`: only the first frame of an episode shows colours. From then on a frame with cubes shows which
      cells are taken, and the agent must infer from its old map which cube has moved. Every move counts,
      since the cube that moved may be the next target.

    ## Memory Demand
    `"trivial"`: one of grid_size^2 - 1 cells. `"medium"`: the same, overwritten `num_targets` - 1 times, while
    maps that bring nothing new come in between. `"extreme"`: the cells of all cubes, one of them overwritten at
    every event (4 times by found cubes and 2.5 times by others in an average game of the belief player),
    and the target. Exact belief from observations succeeds always.

    ## Observation Space
    `Box(0, 1, (5 + N + N (3 + N),), float32)` for N cubes: 26 numbers with three.

    | index | meaning | range |
    | --- | --- | --- |
    | 0, 1 | the agent's column and row / (`grid_size` - 1), from the top left | 0 to 1 |
    | 2 ... N + 1 | the target's colour, one-hot; zeros but at the start of a phase (or always shown) | 0 or 1 |
    | N + 2 ... N + 4 | one-hot: nothing happened, a phase starts, a cube has jumped | 0 or 1 |
    | then N rows of 3 + N | a cube's column and row, 1 if the row shows a cube, its colour one-hot | 0 to 1 |

    Where colours are shown, row i is that of colour i. Where they are not, the colours are zeros and the rows
    stand in the order of cells (row by row from the top left), so that nothing in them depends on which cube is
    which. Frames without an event show no cubes: their rows are zeros.

    `update` says what the frame of a jump shows (the start of a phase always shows all cubes): `"full"` all
    cubes, `"delta"` only the one that jumped. Its row is then the only one, except without colours: there the
    first row is the cell that it left, and the second the cell where it is.

    ## Action Space
    `Discrete(5)`

    | action | meaning |
    | --- | --- |
    | 0 | up |
    | 1 | down |
    | 2 | left |
    | 3 | right |
    | 4 | interact |

    A move into a wall does nothing.

    ## Rewards
    | case | reward |
    | --- | --- |
    | interact on the target's cell | +1 |
    | interact elsewhere | `wrong_reward` (-1) |
    | any other step | -0.01 |

    ## Starting State
    The agent and all cubes on different cells, one colour as target, all of it shown in colour in every mode.
    The seed and the episode number decide these and everything later: in which steps a cube jumps does not
    depend on what the agent does. In each step with probability `teleport_probability` one of the cubes other
    than the target jumps to a free cell, neither a cube's nor the agent's; all are equally likely. A step in
    which a target is found starts a phase instead. A found cube jumps in the same way, and the next target is
    any other cube (the same one, where there is one alone).

    ## Episode End
    Terminated by finding the last target, which is the success, and with `wrong="terminate"` by interacting
    elsewhere; `info["success"]` tells them apart. Truncated after 6 (2 `grid_size`) `num_targets` steps; a
    success in the very last step is a termination. A step that terminates moves no cube and shows none.

    `info` says what happened and how an episode fails:

    | key | meaning |
    | --- | --- |
    | `success` | all targets are found |
    | `targets_found` | targets found |
    | `teleports` | jumps of cubes that were not found, so far |
    | `overwrites` | times that a cube moved, found ones included, so that the old map was wrong |
    | `stale_error` | interacted where the target stood before it moved the last time |
    | `cue_blind_error` | interacted anywhere else but on the target |
    | `search_error` | out of time |

    With `wrong="continue"` the two errors of interacting hold for the step in which it happened.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `mode` | str | `"medium"` | `"trivial"`, `"medium"` or `"extreme"` |
    | `grid_size` | int | 5 | columns and rows, 2 to 32 |
    | `num_cubes` | int | 1 in trivial, else 3 | cubes, 1 to 16 and at most `grid_size`^2 - 2 |
    | `num_targets` | int | 1 in trivial, else 5 | targets to find, 1 to 1000 |
    | `teleport_probability` | float | 0 in trivial, else 0.15 | of a jump in each step, 0 to 1 (trivial: only 0) |
    | `wrong_reward` | float | -1.0 | for interacting elsewhere, -1000 to 0 |
    | `wrong` | str | `"terminate"` | `"continue"` lets the episode go on after it |
    | `always_show_target` | bool | False | every frame shows the target's colour |
    | `update` | str | `"full"` | what a jump shows: `"full"` or `"delta"`, see above |
    | `split` | str | `"train"` | `"train"` or `"test"`: two random streams of episodes |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Success rate over 2,000 episodes, default arguments of each mode: `memgym.checks.play_by_name(agent,
    "memgym/ColorCubes-v0", 2000, mode=mode)`.

    | agent | trivial | medium | extreme |
    | --- | --- | --- | --- |
    | oracle | 1.00 | 1.00 | 1.00 |
    | belief (exact, from observations alone) | 1.00 | 1.00 | 1.00 |
    | first-cue (the first map for ever, and the present target) | 1.00 | 0.00 | 0.00 |
    | cue-blind (acts on the present frame) | 0.14 | 0.00 | 0.00 |

    In trivial, 4 / (G (G + 1)) = 0.133 is the most that any policy without memory can reach on a G x G grid.
    The first map for ever finds 2.0 of 5 targets; 4 of 5 of its failures are stale errors. Random actions
    succeed in at most 3 % of trivial episodes and in fewer than one in 100,000 of the others.

    ## Source
    Shchendrigin, Cherepanov, Kovalev & Panov, 2026, arXiv:2601.15086. From the paper: a G x G grid with N
    uniquely coloured cubes and K phases of one target each; the full state at the start of a phase; frames
    with cubes only after events; found cubes teleport and earn +1; non-target cubes teleport at random; N = K =
    1 without jumps (trivial), colours shown on updates (medium) or hidden (extreme).

    Our choice, as no source gives them: the actions, that cubes do not block, the observation's layout, the
    reward of a wrong interact and of a step, G, N, K and the probability of the modes, at most one jump a step,
    the limit, and what success is. In extreme the paper's "full state at the start of a phase" and its "the
    agent must infer which cube moved" cannot both hold in colour: with colours at the start of each phase no
    jump would ever matter, as the target itself never jumps. So colours are shown at the start of the first
    phase alone. Ours: `always_show_target`, `update`, `wrong="continue"`.

    ## Version History
    * v0: first version (0.1.0)
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 8}
    render_module = "memgym.envs.color_cubes.render"
    pictures_reveal = True
    action_names = ("up", "down", "left", "right", "interact")

    def __init__(
        self,
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
        self._check_render_mode(render_mode)
        self.split = split
        self.observation_space = arguments.observation_space()
        self.action_space = arguments.action_space()
        self._num_cubes, self._num_cells = int(arguments.cubes), arguments.cells
        self._num_targets, self._limit = int(arguments.targets), arguments.limit
        self._extreme = mode == "extreme"
        self._moves: list[list[int]] = arguments.moves().tolist()
        self._waits: list[int] = arguments.waits().tolist()
        self._frames = Frames(arguments)
        self._hidden = self._frames.hidden[0]
        self._outcome = "not reset"  # "" while an episode runs, otherwise why there is none
        self._key = self._t = self._cell = self._target = self._jump = self._ring = 0
        self._everywhere = list(range(self._num_cells))  # all cells
        self._cubes = [0] * self._num_cubes  # the cell of each
        self._before = [-1] * self._num_cubes  # the cell that each one left last
        self._stop = -1  # before this step of a running episode nothing can happen but moves and interacts
        self._shown = (0, NO_EVENT, False)  # the last frame with cubes: its step, its event, in colour
        self._moved = -1  # the cube that moved last
        self._info = NO_INFO.copy()

    # ------------------------------------------------------------------ the rules

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episode 0 of `seed`, or the next episode; ``options={"episode": e}`` starts that one."""
        self._key = self._begin(seed, options)
        self._t, self._outcome = 0, ""
        self._place_everything()
        self._before = [-1] * self._num_cubes
        self._info = NO_INFO.copy()
        self._schedule()
        observation = self._show(PHASE_START, coloured=True)
        if self.render_mode == "human":
            self.render()
        return observation, self._info.copy()

    def _place_everything(self) -> None:
        """Agent and cubes on different cells, and the first target; each takes 32 bits of the start's draws."""
        n, key = self._num_cubes, self._key
        halves: list[int] = []
        for number in range((n + 3) // 2):
            bits = draw(key, START_DRAW + number)
            halves += (bits & LOW32, bits >> 32)
        free = self._everywhere.copy()
        places = [free.pop(half * len(free) >> 32) for half in halves[: n + 1]]
        self._cell, *self._cubes = places
        self._aim(halves[n + 1] * n >> 32)

    def _aim(self, target: int) -> None:
        self._target = target
        self._hidden = self._frames.hidden[target]

    def _schedule(self) -> None:
        """Decide in this step when the next jump comes, and which one it is."""
        bits = draw(self._key, self._t)
        self._jump = bits & LOW32
        self._ring = self._t + 1 + bisect_right(self._waits, bits >> 32)
        self._stop = min(self._ring, self._limit)

    def _free_cell(self, number: int) -> int:
        """The free cell with this number, counted in the order of cells."""
        for other in sorted({self._cell, *self._cubes}):
            number += other <= number
        return number

    def _move_cube(self, cube: int, cell: int) -> None:
        self._before[cube], self._cubes[cube] = self._cubes[cube], cell
        self._moved = cube
        self._info["overwrites"] += 1

    def _teleport(self) -> None:
        """A cube that is not the target jumps to a free cell: all pairs of the two are equally likely."""
        free = self._num_cells - self._num_cubes - (self._cell not in self._cubes)
        cube, number = divmod(self._jump * ((self._num_cubes - 1) * free) >> 32, free)
        self._move_cube(cube + (cube >= self._target), self._free_cell(number))
        self._info["teleports"] += 1

    def _start_phase(self, found: int) -> None:
        """The found cube goes to a free cell; another one, where there is one, becomes the target."""
        bits, n = draw(self._key, PHASE_DRAW + found), self._num_cubes
        # the agent stands on a cube, so it takes up no cell of its own
        self._move_cube(self._target, self._free_cell((bits & LOW32) * (self._num_cells - n) >> 32))
        if n > 1:
            other = (bits >> 32) * (n - 1) >> 32
            self._aim(other + (other >= self._target))

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; see the class for what each action does.

        Raises:
            ResetNeeded: no episode is running.
            ValueError: the action is outside the action space.
        """
        try:
            number = as_integer(action)
        except TypeError:
            raise self._refusal(action) from None
        t = self._t + 1
        if t < self._stop and 0 <= number < INTERACT:  # the usual case, kept short
            self._t = t
            self._cell = cell = self._moves[number][self._cell]
            if self.render_mode == "human":
                self.render()
            return self._hidden[cell].copy(), STEP_REWARD, False, False, self._info.copy()
        return self._decide(number)

    def _decide(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A step in which the agent interacts, a cube jumps or time runs out."""
        if self._outcome:
            raise gym.error.ResetNeeded(f"Call reset before step: the episode is over ({self._outcome}).")
        if not 0 <= action <= INTERACT:
            raise self._refusal(action)
        self._t = t = self._t + 1
        reward, event, flags = STEP_REWARD, NO_EVENT, {}
        if action == INTERACT:
            reward, event, flags = self._interact()
        else:
            self._cell = self._moves[action][self._cell]
        if t == self._ring:
            if event == NO_EVENT and not self._outcome:
                self._teleport()
                event = TELEPORT
            self._schedule()
        terminated = self._outcome != ""
        truncated = not terminated and t == self._limit
        if truncated:
            self._outcome = "time limit"
            flags = {**flags, "search_error": True}
        if self._outcome:
            self._stop = -1
        observation = self._hidden[self._cell].copy() if event == NO_EVENT else self._show(event)
        if self.render_mode == "human":
            self.render()
        return observation, reward, terminated, truncated, {**self._info, **flags}

    def _interact(self) -> tuple[float, int, dict[str, bool]]:
        """The reward, the event, and what to change in `info` for this step."""
        if self._cell == self._cubes[self._target]:
            self._info["targets_found"] = found = self._info["targets_found"] + 1
            if found == self._num_targets:
                self._outcome = "success"
                return FOUND_REWARD, NO_EVENT, {"success": True}
            self._start_phase(found)
            return FOUND_REWARD, PHASE_START, {}
        if self.arguments.wrong == "terminate":
            self._outcome = "wrong cube" if self._cell in self._cubes else "no cube here"
        stale = self._cell == self._before[self._target]
        return (
            float(self.arguments.wrong_reward),
            NO_EVENT,
            {"stale_error": stale, "cue_blind_error": not stale},
        )

    def _show(self, event: int, coloured: bool = False) -> NDArray[np.float32]:
        """The frame of an event; `coloured` also where the mode would hide colours."""
        coloured = coloured or not self._extreme
        self._shown = (self._t, event, coloured)
        left = self._before[self._moved]
        return self._frames.show(event, coloured, self._cell, self._target, self._cubes, self._moved, left)

    # ------------------------------------------------------------------ views of it

    def _place(self, cell: int) -> tuple[int, int]:
        """(column, row)."""
        y, x = divmod(cell, int(self.arguments.grid_size))
        return x, y

    def oracle_state(self) -> dict[str, Any]:
        """Where everything is, as (column, row), which cube is the target, and the steps to each cube."""
        x, y = self._place(self._cell)
        cubes = [self._place(cell) for cell in self._cubes]
        return {
            "agent": (x, y),
            "cubes": cubes,
            "target": self._target,
            "distances": [abs(x - column) + abs(y - row) for column, row in cubes],
        }

    def oracle_action(self) -> np.int64:
        """A shortest way to the target, then interact."""
        return np.int64(self.arguments.towards(self._cell, self._cubes[self._target]))

    def reference_scores(self) -> dict[str, float]:
        """Success rates that follow from the rules."""
        return self.arguments.reference_scores()

    def view(self) -> CubesView:
        """All that a picture of this moment shows."""
        t, event, coloured = self._shown
        return CubesView(
            size=int(self.arguments.grid_size),
            agent=self._cell,
            cubes=tuple(self._cubes),
            target=self._target,
            target_shown=bool(self.arguments.always_show_target) or (t == self._t and event == PHASE_START),
            event=event if t == self._t else NO_EVENT,
            coloured=coloured,
            only_moved=event == TELEPORT and self.arguments.update == "delta",
            moved=self._moved if t == self._t and t > 0 else -1,
            left=self._before[self._moved],
            found=self._info["targets_found"],
            targets=self._num_targets,
            step=self._t,
            limit=self._limit,
            outcome=self._outcome,
        )

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        return instructions(self.arguments)

    def describe(self, observation: NDArray[np.float32]) -> str:
        """What an observation says, in words."""
        return describe(self.arguments, observation)
