"""Endless T-Maze: a chain of T-mazes in which each new cue replaces the last."""

from operator import index as as_integer
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.envs.control import ControlEnv
from memgym.envs.t_maze.arguments import (
    DISTRACTOR_DRAW,
    EVENT_DRAW,
    LengthMode,
    Reward,
    Rewriting,
    TMazeArguments,
)
from memgym.envs.t_maze.render import TMazeView
from memgym.rng import LOW32, draw

__all__ = ["FORWARD", "LEFT", "RIGHT", "EndlessTMaze"]

FORWARD, LEFT, RIGHT = 0, 1, 2
NOTHING = 0  # what a cell shows: nothing, a cue (as the action that it asks for), or all cues: num_cues + 1
NO_INFO: dict[str, Any] = {
    "success": False,
    "corridor": 0,
    "overwrites": 0,
    "stale_error": False,
    "cue_blind_error": False,
    "search_error": False,
}
RULES_IN_WORDS = {
    "overwrite": "At its beginning each corridor shows a sign: the turn to take at its end.",
    "retention": "Only the first corridor shows a sign, at its beginning: the turn to take at every end.",
    "selective": "A corridor may show a sign at its beginning: the turn to take from then on. Where it shows "
    "none, the last sign holds.",
    "distractor": "At its beginning each corridor shows a sign: the turn to take at its end. Ignore signs "
    "that are lit further on.",
    "reversal": "At its beginning each corridor shows a sign: the turn to take at its end. If all signs are lit, "
    "it is the turn that held before the last one; those two have then changed places.",
}


class EndlessTMaze(ControlEnv):
    """Walk a chain of T-mazes; at each junction turn to the side that this corridor's first cell showed.

    ## Description
    The agent stands at the start of a corridor and sees a cue, left or right. It walks to the junction at
    the other end, where nothing is shown, and turns. The right turn leads to the next corridor, whose cue
    is drawn independently and replaces the last one; the wrong turn ends the episode. With one corridor the
    task is pure retention; with more, an agent that cannot overwrite what it remembers fails.

    `rewriting` is a dial over the same observations and actions. It says what happens to the cue that is in
    force when the agent enters a further corridor:

    * `"overwrite"`: it shows a new cue, which is in force from then on. Memory must replace.
    * `"retention"`: it shows nothing, and the first cue stays in force. Memory must keep.
    * `"selective"`: with probability `event_rate` it shows a new cue; otherwise it shows nothing, and the last
      cue stays in force. Memory must do one or the other.
    * `"distractor"`: it shows a new cue; with probability `event_rate` any of the cues is lit in one of the
      cells further on as well and means nothing. Memory must not take in everything. (So too in the first
      corridor.)
    * `"reversal"`: from the third corridor on, with probability `event_rate`, all cues are lit: the cue before
      the present one is in force again, and the two change places. Otherwise it shows a new cue. Memory must
      hold two.

    So `"selective"` with an `event_rate` from 0 to 1 goes all the way from retention to overwriting.

    ## Memory Demand
    log2(`num_cues`) bits for `corridor_length` steps, overwritten up to `num_corridors` - 1 times; twice as
    many bits for `"reversal"`. Without memory of the cue the best success rate is 0.5^n for n corridors in
    which two cues are drawn anew; with the first cue kept for ever it is 0.5^(n-1).
    `reference_scores` gives both for any arguments.

    ## Observation Space
    `Box(0, 1, (1 + num_cues,), float32)`, with `junction_visible` one value more. With two cues:

    | index | meaning | range |
    | --- | --- | --- |
    | 0 | position / `corridor_length` | 0 to 1 |
    | 1 | the cue is left, and the agent stands at position 0 | 0 or 1 |
    | 2 | the cue is right, and the agent stands at position 0 | 0 or 1 |
    | 3 | the agent stands at the junction (only with `junction_visible`) | 0 or 1 |

    Distractors light the same values at other positions. The divisor is always `corridor_length`, so with
    `length_mode="uniform"` the position does not show where the junction is: the agent has to try its turn
    in every cell.

    ## Action Space
    `Discrete(1 + num_cues)`

    | action | in the corridor | at the junction |
    | --- | --- | --- |
    | 0 | one cell forward | ends the episode |
    | 1 | nothing moves | turn left |
    | 2 | nothing moves | turn right |
    | j | nothing moves | turn j, with more than two cues |

    ## Rewards
    | case | `"paper"` | `"authors_2025"` |
    | --- | --- | --- |
    | right turn at the junction | +1 | +1 |
    | wrong turn, or forward, at the junction | -1 | -0.01 |
    | forward in the corridor | -0.01 | 0 |
    | a turn in the corridor | -0.01 | -0.01 |

    ## Starting State
    Position 0 of corridor 0, its cue visible. The seed and the episode number decide every cue and event and,
    with `length_mode="uniform"`, every length from 1 to `corridor_length`.

    ## Episode End
    Terminated by a wrong turn, by forward at a junction, and by the last right turn, which is the success;
    `info["success"]` tells them apart. Truncated after 6 (`corridor_length` + 1) `num_corridors` steps; a
    success in the very last step is a termination. Position and observation stay as they are in the step
    that ends it.

    `info` says how an episode fails:

    | key | meaning |
    | --- | --- |
    | `success` | all corridors are passed |
    | `corridor` | corridors passed, which is the index of the present one |
    | `overwrites` | times that a cue came into force in place of the one before, though it may be the same |
    | `stale_error` | a wrong turn, and the one that the cue before the present one asks for |
    | `cue_blind_error` | a wrong turn that neither of the two asks for |
    | `search_error` | forward at a junction, or out of time |

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_corridors` | int | 3 | corridors to pass, 1 to 10000 |
    | `corridor_length` | int | 5 | steps from cue to junction (their maximum in `"uniform"`), 1 to 10000 |
    | `length_mode` | str | `"fixed"` | `"uniform"` draws each length from 1 to `corridor_length` |
    | `junction_visible` | bool | False | add the junction flag to the observation |
    | `rewriting` | str | `"overwrite"` | see above |
    | `event_rate` | float | 0.5 | how often a corridor has what `rewriting` is named for, 0 to 1 |
    | `num_cues` | int | 2 | cues, and turns at each junction, 2 to 16 |
    | `reward` | str | `"paper"` | `"paper"` or `"authors_2025"` |
    | `split` | str | `"train"` | `"train"` or `"test"`: two random streams of episodes |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Success rate with the default arguments: oracle 1.0, first cue kept for ever 0.25, no memory 0.125 at
    best, random actions at most 0.037.

    ## Source
    Shchendrigin, Cherepanov, Kovalev & Panov, 2026, arXiv:2601.15086. From the paper and its authors' code
    of July 2025: structure, cue visibility, observation, dynamics, both length modes, the limit. Our choice
    where no source decides: the paper's small step penalty applies to every step in a corridor, useful ones
    included; forward at a junction counts as a wrong turn. Different from that code: seeds are honoured,
    and success in the last allowed step is a termination. Ours: `junction_visible`, `num_cues` and every
    `rewriting` but `"overwrite"`.

    ## Version History
    * v0: first version (0.1.0)
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 8}
    render_module = "memgym.envs.t_maze.render"
    # What every step reads: faster there than in the dictionary of an object with so many attributes
    __slots__ = ("_forward_reward", "_info", "_left", "_num_cues", "_rows", "_stop", "_useless_reward", "_x")

    def __init__(
        self,
        num_corridors: int = 3,
        corridor_length: int = 5,
        length_mode: LengthMode = "fixed",
        junction_visible: bool = False,
        rewriting: Rewriting = "overwrite",
        event_rate: float = 0.5,
        num_cues: int = 2,
        reward: Reward = "paper",
        split: Literal["train", "test"] = "train",
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
        self._check_render_mode(render_mode)
        self.split = split
        self.observation_space = self.arguments.observation_space()
        self.action_space = self.arguments.action_space()
        turns = ("left", "right") if num_cues == 2 else tuple(f"turn {j + 1}" for j in range(num_cues))
        self.action_names = ("forward", *turns)
        self._limit = self.arguments.limit
        self._corridors, self._longest = int(num_corridors), int(corridor_length)
        self._uniform, self._num_cues = length_mode == "uniform", int(num_cues)
        self._rewriting, self._threshold = str(rewriting), self.arguments.event_threshold
        self._forward_reward, self._useless_reward = self.arguments.rewards[2:]
        # Every observation there is, but those with distractors, made once; `step` hands out copies.
        self._start = [self._make_observation(0, shown) for shown in range(self._num_cues + 2)]
        self._walk = [self._make_observation(x, NOTHING) for x in range(self._longest + 1)]
        self._outcome = "not reset"  # "" while an episode runs, otherwise why there is none
        self._key = self._left = self._corridor = self._x = self._length = 0
        self._cue = self._older = self._shown = self._overwrites = 0
        self._distractor = (0, NOTHING)
        self._rows = self._walk  # what each cell of this corridor shows
        # What the cells show, by what the first one shows; none where corridors differ in more than that
        plain = rewriting != "distractor" and not junction_visible
        self._plain_rows = [[first, *self._walk[1:]] for first in self._start] if plain else []
        self._stop = -1  # below it the agent walks in a running episode, and nothing else can happen
        self._info = NO_INFO.copy()

    def _make_observation(self, x: int, shown: int) -> NDArray[np.float32]:
        row = np.zeros(self.arguments.observation_size, np.float32)
        row[0] = np.float32(x) / np.float32(self._longest)
        row[1 : 1 + self._num_cues] = [shown in (j, self._num_cues + 1) for j in range(1, self._num_cues + 1)]
        return row

    # ------------------------------------------------------------------ the rules

    def _enter_corridor(self) -> None:
        """Draw what the present corridor shows, and how long it is.

        Its cue is in the top 32 bits of a draw and its length in the low 32; a second draw decides on events.
        """
        corridor, mode = self._corridor, self._rewriting
        bits = draw(self._key, corridor)
        self._length = 1 + ((bits & LOW32) * self._longest >> 32) if self._uniform else self._longest
        event = 0
        if mode not in ("overwrite", "retention"):
            event = draw(self._key, corridor + EVENT_DRAW)
        happens = event >> 32 < self._threshold
        if corridor and (mode == "retention" or (mode == "selective" and not happens)):
            self._shown = NOTHING
        elif corridor > 1 and mode == "reversal" and happens:
            self._shown = self._num_cues + 1
            self._cue, self._older = self._older, self._cue
        else:
            self._older = self._cue
            self._shown = self._cue = 1 + ((bits >> 32) * self._num_cues >> 32)
        if corridor and self._shown:
            self._overwrites += 1
        if mode == "distractor":
            self._distract(event, happens)
        self._x = 0
        self._show_corridor()
        info = self._info = NO_INFO.copy()
        info["corridor"], info["overwrites"] = corridor, self._overwrites

    def _distract(self, event: int, happens: bool) -> None:
        """Place the distractor of the present corridor."""
        corridor = self._corridor
        self._distractor = (0, NOTHING)
        if happens and self._length > 1:
            which = draw(self._key, corridor + DISTRACTOR_DRAW) >> 32
            place = 1 + ((event & LOW32) * (self._length - 1) >> 32)
            self._distractor = place, 1 + (which * self._num_cues >> 32)

    def _show_corridor(self) -> None:
        """The observation of each cell of this corridor."""
        self._stop = -1 if self.render_mode == "human" else self._length  # who watches sees every step
        if self._plain_rows:
            self._rows = self._plain_rows[self._shown]
            return
        self._rows = rows = self._walk.copy()
        rows[0] = self._start[self._shown]
        place, cue = self._distractor
        if place:
            rows[place] = self._make_observation(place, cue)
        if self.arguments.junction_visible:
            rows[self._length] = rows[self._length].copy()
            rows[self._length][-1] = 1.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episode 0 of `seed`, or the next episode; ``options={"episode": e}`` starts that one."""
        self._key = self._begin(seed, options)
        self._corridor = self._cue = self._older = self._overwrites = 0
        self._left = self._limit
        self._outcome = ""
        self._enter_corridor()
        if self.render_mode == "human":
            self.render()
        return self._rows[0].copy(), self._info.copy()

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; see the class for what each action does.

        Raises:
            ResetNeeded: no episode is running.
            ValueError: the action is outside the action space.
        """
        try:
            number = as_integer(action)  # comparing what numpy gives costs twice as much
        except TypeError:
            raise self._refusal(action) from None
        x, left = self._x, self._left - 1
        if x < self._stop and left:  # the usual case, kept short
            if number == FORWARD:
                self._x = x = x + 1
                reward = self._forward_reward
            elif 0 < number <= self._num_cues:
                reward = self._useless_reward
            else:
                raise self._refusal(action)
            self._left = left
            return self._rows[x].copy(), reward, False, False, self._info.copy()
        return self._decide(number)

    def _decide(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """A step at a junction, or the last one that is allowed."""
        if self._outcome:
            raise gym.error.ResetNeeded(f"Call reset before step: the episode is over ({self._outcome}).")
        if not 0 <= action <= self._num_cues:
            raise self._refusal(action)
        self._left -= 1
        errors = {}
        if self._x == self._length:
            reward, errors = self._turn(action)
        elif action == FORWARD:
            self._x += 1
            reward = self._forward_reward
        else:
            reward = self._useless_reward
        terminated = self._outcome != ""
        truncated = not terminated and not self._left
        if truncated:
            self._outcome = "time limit"
            errors = {"search_error": True}
        if self._outcome:
            self._stop = -1
        if self.render_mode == "human":
            self.render()
        return self._rows[self._x].copy(), reward, terminated, truncated, {**self._info, **errors}

    def _turn(self, action: int) -> tuple[float, dict[str, bool]]:
        """Act at the junction: the reward, and what to change in `info`."""
        rewards = self.arguments.rewards
        if action == self._cue:
            self._corridor += 1
            if self._corridor < self._corridors:
                self._enter_corridor()
                return rewards.right, {}
            self._outcome = "success"
            self._info["corridor"] = self._corridor
            return rewards.right, {"success": True}
        if action == FORWARD:
            self._outcome = "forward at the junction"
            return rewards.wrong, {"search_error": True}
        self._outcome = "wrong turn"
        stale = action == self._older
        return rewards.wrong, {"stale_error": stale, "cue_blind_error": not stale}

    # ------------------------------------------------------------------ views of it

    def oracle_state(self) -> dict[str, Any]:
        """The cues (as the actions that they ask for), and where the agent is."""
        return {
            "cue": self._cue,
            "older_cue": self._older,
            "position": self._x,
            "length": self._length,
            "corridor": self._corridor,
            "at_junction": self._x == self._length,
        }

    def oracle_action(self) -> np.int64:
        """Forward in the corridor, the cue's turn at the junction."""
        return np.int64(self._cue if self._x == self._length else FORWARD)

    def reference_scores(self) -> dict[str, float]:
        """Success rates that follow from the rules."""
        return self.arguments.reference_scores()

    def view(self) -> TMazeView:
        """All that a picture of this moment shows."""
        place, distractor = self._distractor
        shown = self._shown if self._x == 0 else distractor if self._x == place else NOTHING
        return TMazeView(
            num_corridors=self._corridors,
            longest=self._longest,
            num_cues=self._num_cues,
            corridor=self._corridor,
            position=self._x,
            length=self._length,
            shown=shown,
            step=self._limit - self._left,
            limit=self._limit,
            outcome=self._outcome,
        )

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        turns = " or ".join(f"'{name}'" for name in self.action_names[1:])
        rule = RULES_IN_WORDS[self._rewriting]
        return (
            f"You walk through {self._corridors} corridors, one after the other. {rule} 'forward' takes you one "
            f"cell on. At the end of a corridor, take the turn that you are to take: {turns}. A wrong turn, or "
            f"'forward' at the end, and all is over; in the corridor a turn does nothing but lose time. You "
            f"have {self._limit} steps."
        )

    def describe(self, observation: NDArray[np.float32]) -> str:
        """What an observation says, in words."""
        cues = [name for name, lit in zip(self.action_names[1:], observation[1:], strict=False) if lit]
        x = round(float(observation[0]) * self._longest)
        where = f"You are {x} cell{'s' if x != 1 else ''} into the corridor" if x else "A corridor begins"
        if self.arguments.junction_visible and observation[-1]:
            where += ", at its end"
        if not cues:
            return f"{where}."
        if len(cues) == self._num_cues:
            return f"{where}. All signs are lit."
        return f"{where}. A sign is lit: {cues[0]}."
