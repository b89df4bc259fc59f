"""Names, and the entries that each leads to: mem0's store of entities, in release 2."""

from collections.abc import Container, Iterable

import numpy as np

from memgym.agents.structured.half_vectors import HalfVectors
from memgym.memory.embed import Embedder

__all__ = ["NameIndex"]

SAME = 0.95  # cosine of two names from which they are one
LIKE = 0.5  # from which a name that is asked for leads to the entries of another
ASKED = 8  # names of a question that count


class NameIndex:
    """Names with their vectors; names that are spelled alike, or nearly so, are one.

    Args:
        embedder: makes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._ids: dict[str, int] = {}  # by spelling, in lower case
        self._entries: dict[int, set[int]] = {}  # that a name leads to, by its id
        self._names: dict[int, set[int]] = {}  # ids of an entry's names
        self._vectors = HalfVectors()
        self._next = 1

    def link(self, entry: int, names: Iterable[str]) -> None:
        """Let names lead to an entry."""
        for spelling, name in {_plain(name): name for name in names}.items():
            id = self._ids.get(spelling) or self._alike(name)
            if not id:
                id = self._ids[spelling] = self._next
                self._next += 1
                self._entries[id] = set()
                self._vectors.put(id, self._embedder.embed([name])[0])
            self._entries[id].add(entry)
            self._names.setdefault(entry, set()).add(id)

    def keep(self, entries: Container[int]) -> None:
        """Forget all other entries, and the names that led to them alone."""
        unused = []
        for gone in [entry for entry in self._names if entry not in entries]:
            for id in self._names.pop(gone):
                self._entries[id].remove(gone)
                unused += [] if self._entries[id] else [id]
        for id in unused:
            del self._entries[id]
            self._vectors.remove(id)
        if unused:
            self._ids = {spelling: id for spelling, id in self._ids.items() if id in self._entries}

    def boosts(self, names: Iterable[str]) -> dict[int, float]:
        """Of each entry that the names asked for lead to, how much the best one says: from 0 to 1.

        It says less, the less alike its spelling is to the one asked for, and the more entries it leads to.
        """
        asked = list({_plain(name): name for name in names}.values())[:ASKED]
        if not asked or not self._entries:
            return {}
        ids = [*self._entries]
        likeness = np.round(self._vectors.of(ids) @ self._embedder.embed(asked).T, 5).max(axis=1)
        found: dict[int, float] = {}
        for id, like in zip(ids, likeness.tolist(), strict=True):
            if like >= LIKE:
                boost = like / (1 + 0.001 * (len(self._entries[id]) - 1) ** 2)
                found |= {entry: max(found.get(entry, 0.0), boost) for entry in self._entries[id]}
        return found

    def _alike(self, name: str) -> int:
        """The id of the nearest name, 0 where none is near enough."""
        if not self._entries:
            return 0
        ids = [*self._entries]
        likeness = np.round(self._vectors.of(ids) @ self._embedder.embed([name])[0], 5)
        best = int(np.argmax(likeness))
        return ids[best] if likeness[best] >= SAME else 0

    def nbytes(self) -> int:
        """Spellings, vectors, and a number for each link."""
        spelled = sum(8 + len(spelling.encode()) for spelling in self._ids)
        return spelled + self._vectors.nbytes + 8 * sum(map(len, self._entries.values()))


def _plain(name: str) -> str:
    return " ".join(name.lower().split())
