"""What a structured policy keeps beside the bank: size, attributes and vector of each of its entries, by number."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memgym.agents.bm25 import next_number
from memgym.agents.handles import handle_of, handles_query, with_handle, without_handle
from memgym.agents.structured.half_vectors import HalfVectors
from memgym.envs.text import MAX_OPS
from memgym.memory import entry_nbytes
from memgym.memory.embed import Embedder
from memgym.memory.ops import MemoryOp, dump_attrs
from memgym.memory.policy import MemoryView, Search, Shown

__all__ = ["SPOKEN", "Ledger", "oldest_first", "said_by"]

SPOKEN = re.compile(r"[^:\n]{1,64}: ")  # how an entry begins that somebody said

Order = Callable[[int], Any]
"""What entries are evicted by, the smallest first."""


def oldest_first(number: int) -> int:
    """The order of what keeps the newest."""
    return number


def said_by(text: str, speaker: str) -> bool:
    """Whether an entry is of a speaker; of ``""``, a document, it is where nobody said it.

    So a document has no say in what people told.

    >>> said_by("Maya: I live in Oslo.", "Maya"), said_by("Maya: I live in Oslo.", "")
    (True, False)
    """
    return text.startswith(f"{speaker}: ") if speaker else SPOKEN.match(text) is None


@dataclass
class _Known:
    """Of one entry: its bytes in the bank, its attributes, and their bytes as JSON."""

    nbytes: int
    attrs: dict[str, Any]
    attrs_nbytes: int


class Ledger:
    """Plans the operations of one message, within the budget, and finds entries again.

    An entry's number is that of its id, and is written into its text as a handle (`memgym.agents.handles`), so that a
    SEARCH finds exactly the entries wanted. Between `begin` and `take` the plan is kept in step with the budget: what
    would not fit is not planned.

    Args:
        embedder: makes a vector of each entry; None for none.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder
        self._known: dict[int, _Known] = {}  # oldest first
        self._attrs_nbytes = 0
        self._vectors = HalfVectors()
        self._next = 1
        self._left = 0
        self._ops: list[MemoryOp] = []
        self._shown: dict[int, Shown] = {}
        self._last_vector: tuple[str | None, NDArray[np.float32]] = None, np.zeros(0, np.float32)

    # ------------------------------------------------------------------ planning

    def begin(self, view: MemoryView) -> None:
        """Start on a message: what the bank is like now."""
        self._ops, self._left = [], view.bytes_left
        self._next = next_number(view, self._next)
        self._shown = {}
        for entry in view.entries:
            number = handle_of(entry["text"])
            if number is not None and entry["id"] == f"m{number}":
                self._shown[number] = without_handle(entry)
        if view.bank is not None:  # others may have deleted or changed what it wrote
            for number in [number for number in self._known if f"m{number}" not in view.bank]:
                self._forget(number)
            for number, known in self._known.items():
                known.nbytes = view.bank[f"m{number}"]

    def add(
        self, text: str, attrs: Mapping[str, Any], *, index: str = "", evict: Order | None = None
    ) -> int | None:
        """Plan an ADD: its number, None where it does not fit.

        Args:
            text: of the entry.
            attrs: of the entry.
            index: what its vector is made of; by default the text.
            evict: which entries may go for it, the smallest first; None for none.
        """
        number = self._next
        held, dumped = with_handle(text, number), dump_attrs(attrs)
        size = entry_nbytes(f"m{number}", held, dumped)
        if not self._make_room(size, evict, spare=number):
            return None
        self._next += 1
        self._plan(MemoryOp.add(held, **attrs), size)
        self._keep(number, size, dict(attrs), text, dumped)
        self.embed(number, index or text)
        return number

    def update(
        self,
        number: int,
        text: str,
        attrs: Mapping[str, Any],
        *,
        index: str | None = "",
        evict: Order | None = None,
    ) -> bool:
        """Plan an UPDATE of an entry's text and of the attributes given; whether it fits.

        Args:
            number: of the entry.
            text: from now on.
            attrs: those that change.
            index: what its vector is made of; by default the text, and None leaves the vector as it is.
            evict: as in `add`.
        """
        known = self._known[number]
        merged = {**known.attrs, **attrs}
        held, dumped = with_handle(text, number), dump_attrs(merged)
        size = entry_nbytes(f"m{number}", held, dumped)
        if not self._make_room(size - known.nbytes, evict, spare=number):
            return False
        self._plan(MemoryOp.update(f"m{number}", held, **attrs), size - known.nbytes)
        self._keep(number, size, merged, text, dumped)
        if index is not None:
            self.embed(number, index or text)
        return True

    def delete(self, number: int) -> None:
        """Plan a DELETE."""
        if len(self._ops) < MAX_OPS:
            self._plan(MemoryOp.delete(f"m{number}"), -self._known[number].nbytes)
            self._forget(number)

    def take(self) -> list[MemoryOp]:
        """The plan."""
        ops, self._ops = self._ops, []
        return ops

    def _make_room(self, need: int, evict: Order | None, spare: int) -> bool:
        """Plan DELETEs until `need` bytes fit; nothing where they cannot."""
        gone: list[int] = []
        left = self._left
        if need > left and evict is not None:
            for number in sorted(self._known.keys() - {spare}, key=lambda n: (evict(n), n)):
                gone.append(number)
                left += self._known[number].nbytes
                if need <= left:
                    break
        if need > left or len(self._ops) + len(gone) >= MAX_OPS:
            return False
        for number in gone:
            self.delete(number)
        return True

    def _plan(self, op: MemoryOp, nbytes: int) -> None:
        self._ops.append(op)
        self._left -= nbytes

    def _keep(self, number: int, nbytes: int, attrs: dict[str, Any], text: str, dumped: str) -> None:
        """Enter an entry as it is from now on, in the place that it has."""
        before = self._known.get(number)
        known = self._known[number] = _Known(nbytes, attrs, len(dumped.encode()))
        self._attrs_nbytes += known.attrs_nbytes - (before.attrs_nbytes if before else 0)
        self._shown[number] = {"id": f"m{number}", "text": text, "attrs": dumped, "score": 0.0}

    def embed(self, number: int, text: str) -> None:
        """Make the vector of an entry of this text."""
        if self.embedder is not None:
            self._vectors.put(number, self._vector(text, self.embedder))

    def _vector(self, text: str, embedder: Embedder) -> NDArray[np.float32]:
        """The vector of a text; what was just looked for is often what is then kept."""
        if text != self._last_vector[0]:
            self._last_vector = text, embedder.embed([text])[0]
        return self._last_vector[1]

    def _forget(self, number: int) -> None:
        self._attrs_nbytes -= self._known.pop(number).attrs_nbytes
        self._vectors.remove(number)
        self._shown.pop(number, None)

    # ------------------------------------------------------------------ finding

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[int]:
        """Numbers, oldest first."""
        return iter(self._known)

    def __contains__(self, number: object) -> bool:
        return number in self._known

    def attrs(self, number: int) -> Mapping[str, Any]:
        """The attributes of an entry."""
        return self._known[number].attrs

    @property
    def in_view(self) -> Mapping[int, Shown]:
        """The entries in view, without their handles, and those planned for this message."""
        return self._shown

    def nearest(self, text: str, k: int, among: Iterable[int] | None = None) -> list[tuple[int, float]]:
        """The `k` entries whose vectors are nearest to that of `text`, with the cosine, best first."""
        numbers = [n for n in (self._known if among is None else among) if n in self._vectors]
        if not numbers or self.embedder is None:
            return []
        query = self._vector(text, self.embedder)
        # rounded, since the last bits of a product depend on the machine
        scores = np.round(self._vectors.of(numbers) @ query, 5)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(numbers[i], float(scores[i])) for i in best]

    def vectors(self, numbers: Iterable[int]) -> NDArray[np.float32]:
        """Their vectors, one a row."""
        return self._vectors.of(numbers)

    def fetch(self, numbers: Sequence[int], search: Search) -> list[Shown]:
        """These entries, in this order, as far as the bank still has them."""
        wanted = [number for number in dict.fromkeys(numbers) if number in self._known]
        if not wanted:
            return []
        found = {
            handle_of(hit["text"]): without_handle(hit) for hit in search(handles_query(wanted), len(wanted))
        }
        return [found[number] for number in wanted if number in found]

    def nbytes(self) -> int:
        """Sizes and numbers, attributes as JSON, vectors."""
        return 16 + 16 * len(self._known) + self._attrs_nbytes + self._vectors.nbytes
