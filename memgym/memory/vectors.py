"""The dense index: an exact search over a matrix of vectors, whoever makes them."""

from collections.abc import Iterable

import numpy as np

from memgym.errors import MemgymError
from memgym.memory.embed import Embedder

__all__ = ["EmbeddingInvalid", "VectorIndex"]

BATCH = 256  # texts embedded at a time
FIRST_ROWS = 64


class EmbeddingInvalid(MemgymError, ValueError):
    """An embedder returned something that is no matrix of finite numbers with one row a text."""


class VectorIndex:
    """Nearest texts by cosine, exact; texts come, change and go, each with an integer key.

    One float32 row a text; a removed row is zeroed and used again. Ties are broken by key, lowest first; scores
    are rounded to six digits, since their last bits depend on the row that a text happens to have.
    """

    def __init__(self, embedder: Embedder, documents: Iterable[tuple[int, str]] = ()) -> None:
        self._embedder = embedder
        self._rows: dict[int, int] = {}  # key -> row
        self._free: list[int] = []
        self._keys = np.zeros(0, np.int64)  # of each row, 0 where it is free
        self._matrix = np.zeros((0, 0), np.float32)
        waiting = list(documents)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            vectors = self._vectors([text for _, text in batch])
            for (key, _), vector in zip(batch, vectors, strict=True):
                self._write(key, vector)

    @property
    def nbytes(self) -> int:
        """Bytes of matrix and keys."""
        return self._matrix.nbytes + self._keys.nbytes

    def put(self, key: int, text: str) -> None:
        """Add or replace a text."""
        self._write(key, self._vectors([text])[0])

    def remove(self, key: int) -> None:
        """Remove a text; removing what is not there does nothing."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._matrix[row] = 0
            self._keys[row] = 0
            self._free.append(row)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The `k` best (key, cosine) pairs, best first."""
        k = min(k, len(self._rows))
        if k <= 0:
            return []
        scores = np.round(self._matrix @ self._vectors([query])[0], 6)
        scores[self._keys == 0] = -np.inf
        least = np.partition(scores, -k)[-k]
        rows = np.flatnonzero(scores >= least)
        order = np.lexsort((self._keys[rows], -scores[rows]))[:k]
        return [(int(self._keys[row]), float(scores[row])) for row in rows[order]]

    def _write(self, key: int, vector: np.ndarray) -> None:
        row = self._rows.get(key)
        if row is None:
            if not self._free:
                self._grow(vector.size)
            row = self._rows[key] = self._free.pop()
            self._keys[row] = key
        self._matrix[row] = vector

    def _grow(self, dimension: int) -> None:
        used = len(self._keys)
        rows = max(FIRST_ROWS, 2 * used)
        matrix = np.zeros((rows, dimension), np.float32)
        matrix[:used] = self._matrix if used else 0
        self._matrix, self._keys = matrix, np.pad(self._keys, (0, rows - used))
        self._free = list(range(rows - 1, used - 1, -1))

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """Rows of length 1, or 0 where the embedder has nothing to say."""
        vectors = np.asarray(self._embedder.embed(texts), np.float32)
        wanted = self._matrix.shape[1] or (vectors.shape[1] if vectors.ndim == 2 else 1)
        if vectors.shape != (len(texts), wanted) or not np.isfinite(vectors).all():
            raise EmbeddingInvalid(
                f"an embedder returns finite numbers of shape {(len(texts), wanted)}, not {vectors.shape}."
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms == 0, 1, norms)
