"""Vectors that a policy keeps beside the bank, in half precision, by number."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["HalfVectors"]

FIRST_ROWS = 64
FLOATS = (
    np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
)  # looking up is faster than casting


class HalfVectors:
    """Rows of one table by number; a removed row is used again."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._free: list[int] = []
        self._table = np.zeros((0, 0), np.float16)

    def __contains__(self, number: object) -> bool:
        return number in self._rows

    def put(self, number: int, vector: NDArray[np.float32]) -> None:
        """Add or replace a vector."""
        row = self._rows.get(number)
        if row is None:
            if not self._free:
                used = len(self._table)
                larger = np.zeros((max(FIRST_ROWS, 2 * used), vector.size), np.float16)
                larger[:used] = self._table if used else 0
                self._table, self._free = larger, list(range(len(larger) - 1, used - 1, -1))
            row = self._rows[number] = self._free.pop()
        self._table[row] = vector

    def remove(self, number: int) -> None:
        """Remove a vector; removing what is not there does nothing."""
        row = self._rows.pop(number, None)
        if row is not None:
            self._free.append(row)

    def of(self, numbers: Iterable[int]) -> NDArray[np.float32]:
        """A row for each of the numbers."""
        rows = [self._rows[number] for number in numbers]
        return FLOATS.take(self._table.view(np.uint16).take(rows, axis=0))

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors that are there."""
        return len(self._rows) * self._table.shape[1] * self._table.itemsize
