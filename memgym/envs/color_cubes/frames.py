"""What the agent sees, one observation at a time, put together from parts that are made once."""

from collections.abc import Iterable, Sequence
from operator import getitem

import numpy as np
from numpy.typing import NDArray

from memgym.envs.color_cubes.arguments import NO_EVENT, PHASE_START, TELEPORT, ColorCubesArguments

__all__ = ["Frames"]

Row = NDArray[np.float32]


class Frames:
    """All observations that the arguments allow.

    Attributes:
        hidden: frames without cubes, by target and by the agent's cell; copy before you hand one out.
    """

    def __init__(self, arguments: ColorCubesArguments) -> None:
        n, cells = int(arguments.cubes), arguments.cells
        xs, ys = arguments.coordinates()
        # Parts are kept as bytes, which are put together in half the time that arrays take.
        # agent, target and event: by event, target and cell, one after the other
        heads = np.zeros((3, n, cells, arguments.rows_at), np.float32)
        heads[..., 0], heads[..., 1] = xs, ys
        showing = slice(3) if arguments.always_show_target else PHASE_START
        for target in range(n):
            heads[showing, target, :, 2 + target] = 1.0
        for event in range(3):
            heads[event, :, :, arguments.event_at + event] = 1.0
        self._heads, self._head_size = heads.tobytes(), heads[0, 0, 0].nbytes
        self._num_cubes, self._num_cells = n, cells
        nothing = np.zeros((n, cells, n * arguments.row_size), np.float32)
        self.hidden = [list(frames) for frames in np.concatenate((heads[NO_EVENT], nothing), axis=2)]
        # the row of a cube: in its colour by cube and cell, without by cell, and of one that is not shown
        places = list(zip(xs, ys, strict=True))
        colours = np.eye(n, dtype=np.float32)
        self._coloured = [
            [np.array([x, y, 1, *colour], np.float32).tobytes() for x, y in places] for colour in colours
        ]
        self._plain = [np.array([x, y, 1, *[0] * n], np.float32).tobytes() for x, y in places]
        self._no_row = np.zeros(arguments.row_size, np.float32).tobytes()
        self._delta = arguments.update == "delta"

    def show(
        self,
        event: int,
        coloured: bool,
        agent: int,
        target: int,
        cubes: Sequence[int],
        moved: int,
        left: int,
    ) -> Row:
        """The frame of an event.

        Args:
            event: `PHASE_START` or `TELEPORT`.
            coloured: whether colours are shown.
            agent: its cell.
            target: the cube to find.
            cubes: the cell of each.
            moved: the cube that has moved.
            left: the cell that it left.
        """
        plain = self._plain
        if event == TELEPORT and self._delta:
            listed = [self._no_row] * len(cubes)
            if coloured:
                listed[moved] = self._coloured[moved][cubes[moved]]
            else:
                listed[:2] = plain[left], plain[cubes[moved]]
            rows: Iterable[bytes] = listed
        elif coloured:
            rows = map(getitem, self._coloured, cubes)
        else:
            rows = map(plain.__getitem__, sorted(cubes))
        place = ((event * self._num_cubes + target) * self._num_cells + agent) * self._head_size
        parts = [self._heads[place : place + self._head_size], *rows]
        return np.frombuffer(bytearray().join(parts), np.float32)
