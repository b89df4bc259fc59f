"""The arguments of Color Cubes, checked, and what follows from them: layout, limit, reference scores."""

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice, check_flag, check_integer, check_number
from memgym.core.env import check_split

__all__ = ["COLOURS", "ColorCubesArguments", "Mode", "Update", "Wrong"]

Mode = Literal["trivial", "medium", "extreme"]
Wrong = Literal["terminate", "continue"]
Update = Literal["full", "delta"]

MAX_SIZE, MAX_TARGETS = 32, 1000
COLOURS = (
    "red", "blue", "green", "yellow", "purple", "orange", "cyan", "pink",
    "brown", "lime", "navy", "teal", "olive", "maroon", "grey", "black",
)  # fmt: skip
NUM_CUBES: dict[str, int] = {"trivial": 1, "medium": 3, "extreme": 3}
NUM_TARGETS: dict[str, int] = {"trivial": 1, "medium": 5, "extreme": 5}
TELEPORT_PROBABILITY: dict[str, float] = {"trivial": 0.0, "medium": 0.15, "extreme": 0.15}

UP, DOWN, LEFT, RIGHT, INTERACT = range(5)
NO_EVENT, PHASE_START, TELEPORT = range(3)
FOUND_REWARD, STEP_REWARD = 1.0, -0.01
# Draw t of an episode belongs to step t, in which the next jump is decided: when (its top 32 bits) and which
# cube to which cell (its low 32 bits). The draws of a phase and those of the start stand further on.
PHASE_DRAW, START_DRAW = 1 << 32, 2 << 32


@dataclass(frozen=True)
class ColorCubesArguments:
    """The arguments that the scalar and the vector form share; see `ColorCubes` for what they mean.

    Raises:
        ValueError: an argument outside its range; the message names it and the range.
    """

    mode: Mode = "medium"
    grid_size: int = 5
    num_cubes: int | None = None
    num_targets: int | None = None
    teleport_probability: float | None = None
    wrong_reward: float = -1.0
    wrong: Wrong = "terminate"
    always_show_target: bool = False
    update: Update = "full"
    split: Literal["train", "test"] = "train"

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, tuple(NUM_CUBES))
        check_integer("grid_size", self.grid_size, 2, MAX_SIZE)
        # the agent starts beside the cubes, and a cube that jumps needs a free cell
        check_integer("num_cubes", self.cubes, 1, min(len(COLOURS), int(self.grid_size) ** 2 - 2))
        check_integer("num_targets", self.targets, 1, MAX_TARGETS)
        check_number("teleport_probability", self.probability, 0.0, 1.0)
        if self.mode == "trivial" and self.probability > 0:
            raise ValueError(f"teleport_probability is 0 in mode 'trivial', not {self.probability!r}.")
        check_number("wrong_reward", self.wrong_reward, -1000.0, 0.0)
        check_choice("wrong", self.wrong, ("terminate", "continue"))
        check_flag("always_show_target", self.always_show_target)
        check_choice("update", self.update, ("full", "delta"))
        check_split(self.split)

    @property
    def cubes(self) -> int:
        """Number of cubes."""
        return NUM_CUBES[self.mode] if self.num_cubes is None else self.num_cubes

    @property
    def targets(self) -> int:
        """Targets of an episode."""
        return NUM_TARGETS[self.mode] if self.num_targets is None else self.num_targets

    @property
    def probability(self) -> float:
        """Of a jump, in each step."""
        default = TELEPORT_PROBABILITY[self.mode]
        return default if self.teleport_probability is None else self.teleport_probability

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return int(self.grid_size) ** 2

    @property
    def limit(self) -> int:
        """Steps after which an episode is truncated."""
        return 6 * 2 * int(self.grid_size) * int(self.targets)

    @property
    def stream(self) -> str:
        """Name of the random stream; scalar and vector form share it."""
        return f"ColorCubes/{self.split}"

    # ------------------------------------------------------------------ observation and action

    @property
    def event_at(self) -> int:
        """Where the event stands in an observation; the agent and the target stand before it."""
        return 2 + int(self.cubes)

    @property
    def rows_at(self) -> int:
        """Where the rows of the cubes begin in an observation."""
        return self.event_at + 3

    @property
    def row_size(self) -> int:
        """Numbers in the row of a cube: x, y, whether it is shown, and its colour."""
        return 3 + int(self.cubes)

    def observation_space(self) -> gym.Space[NDArray[np.float32]]:
        """The space of one observation."""
        shape = (self.rows_at + int(self.cubes) * self.row_size,)
        space: Any = gym.spaces.Box(0.0, 1.0, shape, np.float32)
        return space

    def action_space(self) -> gym.spaces.Discrete:
        """Four moves, and interact."""
        return gym.spaces.Discrete(5)

    # ------------------------------------------------------------------ prepared for the rules

    def moves(self) -> NDArray[np.int16]:
        """Where each action leads from each cell, shape (5, cells). Cell y G + x is in column x of row y."""
        size = int(self.grid_size)
        y, x = np.divmod(np.arange(self.cells), size)
        up, down = np.maximum(y - 1, 0), np.minimum(y + 1, size - 1)
        left, right = np.maximum(x - 1, 0), np.minimum(x + 1, size - 1)
        places = (up * size + x, down * size + x, y * size + left, y * size + right, y * size + x)
        return np.array(places, np.int16)

    def coordinates(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Column and row of each cell as observations show them, from 0 to 1."""
        y, x = np.divmod(np.arange(self.cells), int(self.grid_size))
        last = np.float32(int(self.grid_size) - 1)
        return x.astype(np.float32) / last, y.astype(np.float32) / last

    def waits(self) -> NDArray[np.uint64]:
        """Entry k: of 2^32 equally likely draws, those for which the next jump comes within k + 1 steps.

        A jump in each step with probability p is a geometric wait between jumps, so a step in which nothing
        jumps needs no draw. Made of products alone, it is the same on every platform.
        """
        stay = 1.0 - (float(self.probability) if self.cubes > 1 else 0.0)
        # two entries more than steps: where nothing jumps, none is due in the idle step before an autoreset
        still = np.cumprod(np.full(self.limit + 2, stay))
        return np.floor((1.0 - still) * 2.0**32).astype(np.uint64)

    def towards(self, cell: int, goal: int) -> int:
        """The action of a shortest way that ends with interact: along the row first."""
        (y, x), (row, column) = divmod(cell, int(self.grid_size)), divmod(goal, int(self.grid_size))
        if x != column:
            return RIGHT if x < column else LEFT
        if y != row:
            return DOWN if y < row else UP
        return INTERACT

    # ------------------------------------------------------------------ reference scores

    def reference_scores(self) -> dict[str, float]:
        """Success rates that follow from the rules, see `ControlEnv.reference_scores`.

        Of random play they are a bound. Without memory, where no cube jumps, no policy beats "one step towards
        the target, then interact". The first frame shows the target, on any of the other cells alike. From
        then on only the agent's own cell is seen, so from each cell that the first move can reach the policy
        has one distribution of where it interacts, whatever the target: at most as many targets are found as
        there are neighbours. (Bumping into a wall adds none: who then goes on does so by a neighbour.) Over
        all cells of a G x G grid that is 4 G (G - 1) pairs out of G^2 (G^2 - 1).
        """
        scores: dict[str, float] = {}
        size, one_target = int(self.grid_size), self.targets == 1
        if self.wrong == "terminate":
            scores["random"] = self._random_bound()
            if self.mode == "trivial" and one_target:
                scores["cue-blind"] = 4 / (size * (size + 1))
        if one_target:
            scores["first-cue"] = 1.0  # the target stays where it is until it is found
        return scores

    def _random_bound(self) -> float:
        """Random actions interact first at the first target, and again each time after it.

        With A the number of moves from cell to cell, (I - A/5)^-1 / 5 is the distribution of the cell of the
        first interact. The first target is on any other cell alike; for the others the best cell is taken.
        """
        cells = self.cells
        moves = np.zeros((cells, cells))
        for there in self.moves()[:INTERACT]:
            moves[np.arange(cells), there] += 1.0
        first = np.linalg.inv(np.eye(cells) - moves / 5) / 5
        elsewhere = first - np.diag(np.diag(first))
        start = float(elsewhere.sum()) / cells / (cells - 1)
        return start * float(elsewhere.max()) ** (self.targets - 1)
