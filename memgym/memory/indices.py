"""What searches look into: one index for each view and scope, built when first asked for and then kept up to date.

A scope has indices of its own, so that its rankings are the same whatever else is in the bank (BM25 weighs words
by all texts in its index).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from threading import Lock
from typing import Any, Protocol

from memgym.memory.bank import Bank, Change
from memgym.memory.embed import Embedder
from memgym.memory.entry import MemoryEntry, Scope
from memgym.memory.lexical import LexicalIndex
from memgym.memory.ops import dump_attrs
from memgym.memory.vectors import VectorIndex

__all__ = ["Indices"]

MAX_INDICES = (
    64  # built at a time; the one that has not been asked for longest is dropped, and built again if need be
)


class _Index(Protocol):
    def put(self, entry: MemoryEntry) -> None: ...

    def remove(self, id: str) -> None: ...


class _Texts:
    """A lexical or dense index over entries."""

    def __init__(self, index: LexicalIndex | VectorIndex) -> None:
        self.index = index

    def put(self, entry: MemoryEntry) -> None:
        self.index.put(entry.number, entry.text)

    def remove(self, id: str) -> None:
        self.index.remove(int(id[1:]))


class _Recent:
    """Ids by their last change, newest last."""

    def __init__(self, entries: Iterable[MemoryEntry]) -> None:
        self.ids = {entry.id: entry.seq for entry in sorted(entries, key=lambda entry: entry.seq)}

    def put(self, entry: MemoryEntry) -> None:
        self.ids.pop(entry.id, None)
        self.ids[entry.id] = entry.seq

    def remove(self, id: str) -> None:
        self.ids.pop(id, None)


class _Keys:
    """Entries by the value of one attribute."""

    def __init__(self, name: str, entries: Iterable[MemoryEntry]) -> None:
        self.name = name
        self.values: dict[str, dict[str, None]] = {}
        self.value_of: dict[str, str] = {}
        for entry in entries:
            self.put(entry)

    def put(self, entry: MemoryEntry) -> None:
        self.remove(entry.id)
        if self.name in entry.attrs:
            value = self.value_of[entry.id] = dump_attrs({"": entry.attrs[self.name]})
            self.values.setdefault(value, {})[entry.id] = None

    def remove(self, id: str) -> None:
        value = self.value_of.pop(id, None)
        if value is not None:
            del self.values[value][id]
            if not self.values[value]:
                del self.values[value]


class Indices:
    """The indices of one engine.

    Args:
        embedder: makes vectors for the dense view; None where there is none.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder
        self._built: dict[tuple[str, Scope], Any] = {}  # by view, least recently asked for first
        self._lock = Lock()

    def __reduce__(self) -> Any:
        return Indices, (self.embedder,)  # they are built again where they are needed

    @property
    def nbytes(self) -> int:
        """Bytes of the lexical and dense indices that are built."""
        return sum(index.index.nbytes for index in self._built.values() if isinstance(index, _Texts))

    def clear(self) -> None:
        """Forget them all."""
        self._built.clear()

    def update(self, changes: Sequence[Change], bank: Bank) -> None:
        """Follow what has changed in the bank."""
        if not self._built:
            return
        touched = {
            what.id if kind == "put" else what: None for kind, what in changes if kind in ("put", "remove")
        }
        with self._lock:
            for id in touched:
                versions = bank.versions.get(id)
                for (_, scope), index in self._built.items():
                    if versions is None or not versions[-1].is_found:
                        index.remove(id)
                    elif scope.covers(versions[-1].scope):
                        index.put(versions[-1])

    def lexical(self, bank: Bank, scope: Scope, query: str, k: int) -> list[tuple[str, float]]:
        """(id, BM25) pairs, best first."""
        texts = self._get("lexical", scope, bank, lambda found: _Texts(LexicalIndex(_documents(found))))
        return [(f"m{key}", score) for key, score in texts.index.search(query, k)]

    def dense(self, bank: Bank, scope: Scope, query: str, k: int) -> list[tuple[str, float]]:
        """(id, cosine) pairs, best first.

        Raises:
            ValueError: the engine has no embedder.
        """
        embedder = self.embedder
        if embedder is None:
            raise ValueError("the view 'dense' needs an engine with an embedder: MemoryEngine(embedder=...).")
        texts = self._get(
            "dense", scope, bank, lambda found: _Texts(VectorIndex(embedder, _documents(found)))
        )
        return [(f"m{key}", score) for key, score in texts.index.search(query, k)]

    def recency(self, bank: Bank, scope: Scope, k: int) -> list[tuple[str, float]]:
        """(id, number of its last operation) pairs, newest first."""
        recent: _Recent = self._get("recency", scope, bank, _Recent)
        with self._lock:
            return [(id, float(seq)) for id, seq in islice(reversed(recent.ids.items()), k)]

    def having(self, bank: Bank, scope: Scope, name: str, value: Any) -> dict[str, None]:
        """Ids of the entries whose attribute `name` is `value`."""
        keys: _Keys = self._get(f"attr:{name}", scope, bank, lambda found: _Keys(name, found))
        with self._lock:
            return dict(keys.values.get(dump_attrs({"": value}), {}))

    def _get(
        self, view: str, scope: Scope, bank: Bank, build: Callable[[Iterable[MemoryEntry]], _Index]
    ) -> Any:
        with self._lock:
            index = self._built.pop((view, scope), None)
            if index is None:
                index = build(entry for entry in bank.newest(scope) if entry.is_found)
                while len(self._built) >= MAX_INDICES:
                    del self._built[next(iter(self._built))]
            self._built[view, scope] = index
        return index


def _documents(entries: Iterable[MemoryEntry]) -> Iterable[tuple[int, str]]:
    return ((entry.number, entry.text) for entry in entries)
