"""Color Cubes played by rule, from observations alone."""

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice
from memgym.envs.color_cubes import INTERACT, ColorCubes, ColorCubesArguments
from memgym.envs.color_cubes.arguments import NO_EVENT, TELEPORT

__all__ = ["ColorCubesPlayer"]

MEMORIES = ("belief", "first-cue", "cue-blind")


class ColorCubesPlayer:
    """Goes to where it believes the target to be, and interacts.

    Three memories:

    * ``"belief"``: the cell of every cube and the target. Where a frame hides colours, the cell that has
      become empty says which cube has moved. As no cube moves unseen, this is all there is to know.
    * ``"first-cue"``: the map of the episode's first frame, never changed, and the present target.
    * ``"cue-blind"``: nothing. It goes one step towards the target while it sees both its colour and its
      place, and interacts where it stands when it does not.

    Args:
        env: the task; only its arguments are read.
        memory: which of the three.
        seed: for players that choose at random; this one does not.
    """

    def __init__(self, env: ColorCubes, memory: str, seed: int = 0) -> None:
        check_choice("memory", memory, MEMORIES)
        self.arguments: ColorCubesArguments = env.arguments
        self.memory = memory
        self._map: list[int] = []  # the cell of each cube, once it has been seen
        self._target = -1

    @property
    def nbytes(self) -> int:
        """Two bytes for the cell of each cube, one for the target."""
        return 0 if self.memory == "cue-blind" else 2 * len(self._map) + 1

    def act(self, observation: NDArray[np.float32]) -> int:
        """The action for this frame; frames come in order, from the first of an episode on."""
        event_at = self.arguments.event_at
        agent = self._cell(observation)
        target = np.flatnonzero(observation[2:event_at])
        if self.memory == "cue-blind":
            rows, coloured = self._rows(observation)
            goal = rows.get(int(target[0])) if coloured and target.size else None
            return INTERACT if goal is None else self.arguments.towards(agent, goal)
        if target.size:
            self._target = int(target[0])
        if not observation[event_at + NO_EVENT] and (not self._map or self.memory == "belief"):
            self._update(observation)
        return self.arguments.towards(agent, self._map[self._target])

    def _cell(self, place: NDArray[np.float32]) -> int:
        size = int(self.arguments.grid_size)
        x, y = np.rint(place[:2] * (size - 1)).astype(int)
        return int(y) * size + int(x)

    def _rows(self, observation: NDArray[np.float32]) -> tuple[dict[int, int], bool]:
        """The cells shown, by number of their row, and whether their colours are: then it is the cube's."""
        arguments = self.arguments
        rows = observation[arguments.rows_at :].reshape(-1, arguments.row_size)
        shown = {i: self._cell(row) for i, row in enumerate(rows) if row[2]}
        return shown, bool(rows[:, 3:].any())

    def _update(self, observation: NDArray[np.float32]) -> None:
        rows, coloured = self._rows(observation)
        if coloured:
            self._map = [rows.get(i, cell) for i, cell in enumerate(self._map or [0] * len(rows))]
            return
        shown = set(rows.values())
        if self.arguments.update == "delta" and observation[self.arguments.event_at + TELEPORT]:
            left, entered = rows[0], rows[1]
        else:
            (left,), (entered,) = set(self._map) - shown, shown - set(self._map)
        self._map[self._map.index(left)] = entered
