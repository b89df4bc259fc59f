"""Endless T-Maze: a chain of T-mazes in which each new cue replaces the last."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.core.env import MemoryEnv, check_split
from memgym.rng import draw

__all__ = ["FORWARD", "LEFT", "RIGHT", "EndlessTMaze", "TMazeArguments", "TMazeRewards"]

FORWARD, LEFT, RIGHT = ACTIONS = 0, 1, 2
MAX_CORRIDORS = MAX_LENGTH = 10_000  # the step limit 6 (l + 1) n then fits 32 bits
LOW32 = (1 << 32) - 1


class TMazeRewards(NamedTuple):
    """What a step is worth: at the junction `right` or `wrong`, in the corridor `forward` or `useless`."""

    right: float
    wrong: float
    forward: float
    useless: float


REWARDS = {
    "paper": TMazeRewards(right=1.0, wrong=-1.0, forward=-0.01, useless=-0.01),
    "authors_2025": TMazeRewards(right=1.0, wrong=-0.01, forward=0.0, useless=-0.01),
}


@dataclass(frozen=True)
class TMazeArguments:
    """The arguments of the scalar and the vector form, checked, and what follows from them.

    Raises:
        ValueError: an argument outside its range; the message names it and the range.
    """

    num_corridors: int = 3
    corridor_length: int = 5
    length_mode: Literal["fixed", "uniform"] = "fixed"
    junction_visible: bool = False
    reward: Literal["paper", "authors_2025"] = "paper"
    split: Literal["train", "test"] = "train"

    def __post_init__(self) -> None:
        for name, high in (("num_corridors", MAX_CORRIDORS), ("corridor_length", MAX_LENGTH)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= high:
                raise ValueError(f"{name} is an integer from 1 to {high}, not {value!r}.")
        if self.length_mode not in ("fixed", "uniform"):
            raise ValueError(f"length_mode is 'fixed' or 'uniform', not {self.length_mode!r}.")
        if not isinstance(self.junction_visible, bool | np.bool_):
            raise ValueError(f"junction_visible is True or False, not {self.junction_visible!r}.")
        if self.reward not in REWARDS:
            raise ValueError(f"reward is 'paper' or 'authors_2025', not {self.reward!r}.")
        check_split(self.split)

    @property
    def limit(self) -> int:
        """Steps after which an episode is truncated."""
        return 6 * (int(self.corridor_length) + 1) * int(self.num_corridors)

    @property
    def rewards(self) -> TMazeRewards:
        """The numbers of the reward preset."""
        return REWARDS[self.reward]

    @property
    def stream(self) -> str:
        """Name of the random stream; scalar and vector form share it."""
        return f"EndlessTMaze/{self.split}"

    def observation_space(self) -> gym.Space[NDArray[np.float32]]:
        """The space of one observation."""
        space: Any = gym.spaces.Box(0.0, 1.0, (self.observation_size,), np.float32)
        return space

    @property
    def observation_size(self) -> int:
        """Numbers in one observation."""
        return 4 if self.junction_visible else 3


class EndlessTMaze(MemoryEnv[NDArray[np.float32], np.int64]):
    """Walk a chain of T-mazes; at each junction turn to the side that this corridor's first cell showed.

    ## Description
    The agent stands at the start of a corridor and sees a cue, left or right. It walks to the junction at
    the other end, where nothing is shown, and turns. The right turn leads to the next corridor, whose cue
    is drawn independently and replaces the last one; the wrong turn ends the episode. With one corridor the
    task is pure retention; with more, an agent that cannot overwrite what it remembers fails.

    ## Memory Demand
    1 bit for `corridor_length` steps, overwritten `num_corridors` - 1 times. Without memory of the cue the
    best success rate is 0.5^n for n corridors; with the first cue kept for ever it is 0.5^(n-1).

    ## Observation Space
    `Box(0, 1, (3,), float32)`, or 4 values with `junction_visible`.

    | index | meaning | range |
    | --- | --- | --- |
    | 0 | position / `corridor_length` | 0 to 1 |
    | 1 | the cue is left, and the agent stands at position 0 | 0 or 1 |
    | 2 | the cue is right, and the agent stands at position 0 | 0 or 1 |
    | 3 | the agent stands at the junction (only with `junction_visible`) | 0 or 1 |

    The divisor is always `corridor_length`, so with `length_mode="uniform"` the position does not show
    where the junction is: the agent has to try its turn in every cell.

    ## Action Space
    `Discrete(3)`

    | action | in the corridor | at the junction |
    | --- | --- | --- |
    | 0 | one cell forward | ends the episode |
    | 1 | nothing moves | turn left |
    | 2 | nothing moves | turn right |

    ## Rewards
    | case | `"paper"` | `"authors_2025"` |
    | --- | --- | --- |
    | right turn at the junction | +1 | +1 |
    | wrong turn, or forward, at the junction | -1 | -0.01 |
    | forward in the corridor | -0.01 | 0 |
    | a turn in the corridor | -0.01 | -0.01 |

    ## Starting State
    Position 0 of corridor 0, its cue visible. The seed and the episode number decide every cue and, with
    `length_mode="uniform"`, every length from 1 to `corridor_length`.

    ## Episode End
    Terminated by a wrong turn, by forward at a junction, and by the last right turn, which is the success;
    `info["success"]` tells them apart. Truncated after 6 (`corridor_length` + 1) `num_corridors` steps; a
    success in the very last step is a termination. Position and observation stay as they are in the step
    that ends it.

    `info` has `success`, `corridor` (corridors passed, which is the index of the present one),
    `stale_error` (the turn was wrong and the one that the corridor before asked for) and `forward_error`
    (forward at a junction).

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_corridors` | int | 3 | corridors to pass, 1 to 10000 |
    | `corridor_length` | int | 5 | steps from cue to junction (their maximum in `"uniform"`), 1 to 10000 |
    | `length_mode` | str | `"fixed"` | `"uniform"` draws each length from 1 to `corridor_length` |
    | `junction_visible` | bool | False | add the junction flag to the observation |
    | `reward` | str | `"paper"` | `"paper"` or `"authors_2025"` |
    | `split` | str | `"train"` | `"train"` or `"test"`: two random streams of episodes |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Success rate with the default arguments: oracle 1.0, first cue kept for ever 0.25, no memory 0.125 at
    best.

    ## Source
    Shchendrigin, Cherepanov, Kovalev & Panov, 2026, arXiv:2601.15086. From the paper and its authors' code
    of July 2025: structure, cue visibility, observation, dynamics, both length modes, the limit. Our choice
    where no source decides: the paper's small step penalty applies to every step in a corridor, useful ones
    included; forward at a junction counts as a wrong turn. Different from that code: seeds are honoured,
    and success in the last allowed step is a termination. `junction_visible` is ours.

    ## Version History
    * v0: first version (0.1.0)
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 8}
    family = "control"
    metric = "success"

    def __init__(
        self,
        num_corridors: int = 3,
        corridor_length: int = 5,
        length_mode: Literal["fixed", "uniform"] = "fixed",
        junction_visible: bool = False,
        reward: Literal["paper", "authors_2025"] = "paper",
        split: Literal["train", "test"] = "train",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = TMazeArguments(
            num_corridors, corridor_length, length_mode, junction_visible, reward, split
        )
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is 'ansi', 'rgb_array', 'human' or None, not {render_mode!r}.")
        self.split = split
        self.render_mode = render_mode
        self.observation_space = self.arguments.observation_space()
        self.action_space = gym.spaces.Discrete(3)
        self._limit = self.arguments.limit
        self._forward_reward = self.arguments.rewards.forward
        self._useless_reward = self.arguments.rewards.useless
        self._corridors = int(num_corridors)
        self._longest = int(corridor_length)
        self._uniform = length_mode == "uniform"
        # Every observation there is, made once; `step` hands out copies.
        self._start = {cue: self._make_observation(0, cue) for cue in (LEFT, RIGHT)}
        self._walk = [self._make_observation(x, FORWARD) for x in range(self._longest + 1)]
        self._junction = self._walk
        if junction_visible:
            self._junction = [row.copy() for row in self._walk]
            for row in self._junction:
                row[3] = 1.0
        self._outcome = "not reset"  # "" while an episode runs, otherwise why there is none
        self._key = self._t = self._corridor = self._x = self._length = self._cue = self._last_cue = 0

    def _make_observation(self, x: int, cue: int) -> NDArray[np.float32]:
        row = np.zeros(self.arguments.observation_size, np.float32)
        row[0] = np.float32(x) / np.float32(self._longest)
        row[1:3] = cue == LEFT, cue == RIGHT
        return row

    def _enter_corridor(self) -> None:
        """Draw the cue (top bit) and the length (low 32 bits) of the present corridor: one draw for each."""
        bits = draw(self._key, self._corridor)
        self._cue = LEFT + (bits >> 63)
        self._length = 1 + ((bits & LOW32) * self._longest >> 32) if self._uniform else self._longest
        self._x = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episode 0 of `seed`, or the next episode; ``options={"episode": e}`` starts that one."""
        self._key = self._begin(seed, options)
        self._t = self._corridor = self._last_cue = 0
        self._outcome = ""
        self._enter_corridor()
        if self.render_mode == "human":
            self.render()
        info = {"success": False, "corridor": 0, "stale_error": False, "forward_error": False}
        return self._start[self._cue].copy(), info

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; see the class for what each action does.

        Raises:
            ResetNeeded: no episode is running.
            ValueError: the action is not 0, 1 or 2.
        """
        if self._outcome:
            raise gym.error.ResetNeeded(f"Call reset before step: the episode is over ({self._outcome}).")
        if action not in ACTIONS:
            raise ValueError(f"action is 0 (forward), 1 (left) or 2 (right), not {action!r}.")
        self._t = t = self._t + 1
        info = {"success": False, "corridor": self._corridor, "stale_error": False, "forward_error": False}
        terminated = False
        if self._x < self._length:
            if action == FORWARD:
                self._x += 1
                reward = self._forward_reward
            else:
                reward = self._useless_reward
        else:
            reward, terminated = self._turn(action, info)
        truncated = t >= self._limit and not terminated
        if truncated:
            self._outcome = "time limit"
        if self.render_mode == "human":
            self.render()
        x = self._x
        if x == 0:
            row = self._start[self._cue]
        elif x == self._length:
            row = self._junction[x]
        else:
            row = self._walk[x]
        return row.copy(), reward, terminated, truncated, info

    def _turn(self, action: np.int64 | int, info: dict[str, Any]) -> tuple[float, bool]:
        """Act at the junction: the reward, and whether that ends the episode; `info` is completed."""
        rewards = self.arguments.rewards
        if action == self._cue:
            self._corridor += 1
            info["corridor"] = self._corridor
            if self._corridor == self._corridors:
                info["success"] = True
                self._outcome = "success"
                return rewards.right, True
            self._last_cue = self._cue
            self._enter_corridor()
            return rewards.right, False
        if action == FORWARD:
            info["forward_error"] = True
            self._outcome = "forward at the junction"
        else:
            info["stale_error"] = bool(action == self._last_cue)
            self._outcome = "wrong turn"
        return rewards.wrong, True

    def oracle_state(self) -> dict[str, Any]:
        """The cue (as the action that is right at the junction), and where the agent is."""
        return {
            "cue": self._cue,
            "position": self._x,
            "length": self._length,
            "corridor": self._corridor,
            "at_junction": self._x == self._length,
        }

    def oracle_action(self) -> np.int64:
        """Forward in the corridor, the cue's side at the junction."""
        return np.int64(self._cue if self._x == self._length else FORWARD)

    def render(self) -> Any:
        """The present frame: text for ``"ansi"``, an image for ``"rgb_array"``, printed for ``"human"``."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi'.")
            return None
        from memgym.envs.t_maze_render import TMazeView, draw_image, draw_text

        view = TMazeView(
            num_corridors=self._corridors,
            longest=self._longest,
            corridor=self._corridor,
            position=self._x,
            length=self._length,
            cue=self._cue,
            step=self._t,
            limit=self._limit,
            outcome=self._outcome,
        )
        if self.render_mode == "rgb_array":
            return draw_image(view)
        text = draw_text(view)
        if self.render_mode == "ansi":
            return text
        print(text)
        return None
