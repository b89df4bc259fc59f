"""MemoryAgentBench's score of film recommendations: recall among the first five, after snapping names to films.

An answer names films, one a line; each becomes the film of the catalogue whose name is nearest by edit distance.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["Catalogue", "film_name", "recommended_names", "redial_recall_at_k"]

BRACKETS = re.compile(r"\([^()]*\)")
NUMBERING = re.compile(r"^\d+[.)、]?\s*[-—–]?\s*")
MAX_NAMES = 20  # what a question asks for; an answer's further lines are not looked at
MAX_KEPT = 4096  # names whose film is kept
MAX_LENGTH = 200  # characters of a recommended name; a longer line names no film


def film_name(entity: str) -> str:
    """The name in a catalogue entry.

    >>> film_name("<http://dbpedia.org/resource/Solaris_(1972_film)>")
    'Solaris'
    """
    words = re.sub(r"[_>-]", " ", entity.rpartition("/")[2])
    return " ".join(BRACKETS.sub("", words).split())


def recommended_names(answer: str) -> list[str]:
    r"""The names of an answer in order: its lines after ``1.``, or where there is none its lines and comma parts.

    >>> recommended_names("You may like: 1. Solaris (1972)\n2. Stalker")
    ['Solaris', 'Stalker']
    """
    _, found, listed = answer.partition("1.")
    lines = (listed if found else answer.replace(",", "\n")).split("\n")[:MAX_NAMES]
    return [
        " ".join(NUMBERING.sub("", BRACKETS.sub("", line.strip())).split())[:MAX_LENGTH] for line in lines
    ]


class Catalogue:
    """The films that there are, and the nearest one to a name.

    Among equally near ones the first in alphabetical order is taken; the benchmark's choice among them depends on
    the process.

    Args:
        names: names of the films.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        if not self.names:
            raise ValueError("a catalogue has at least one film.")
        lowered = [name.lower() for name in self.names]
        self._exact = {name: i for i, name in reversed(list(enumerate(lowered)))}
        self._lengths = np.array([len(name) for name in lowered])
        width = int(self._lengths.max())
        self._codes = np.zeros((width, len(lowered)), np.int32)  # one column a name: a row is read at a time
        for i, name in enumerate(lowered):
            self._codes[: len(name), i] = [ord(letter) for letter in name]
        self._found: dict[str, int] = {}  # an answer is scored at three cutoffs, and films recur

    def nearest(self, name: str) -> str:
        """The film with the smallest edit distance (Levenshtein, case aside) to `name`."""
        name = name.lower()
        place = self._exact.get(name, self._found.get(name))
        if place is None:
            if len(self._found) >= MAX_KEPT:
                self._found.clear()
            place = self._found[name] = self._search(name)
        return self.names[place]

    def _search(self, name: str) -> int:
        width, count = self._codes.shape
        row = np.broadcast_to(np.arange(width + 1, dtype=np.int32)[:, None], (width + 1, count)).copy()
        for i, letter in enumerate(name, 1):
            before = row
            row = np.empty_like(before)
            row[0] = i
            changed = before[:-1] + (self._codes != ord(letter))
            np.minimum(changed, before[1:] + 1, out=changed)
            for j in range(width):
                np.minimum(changed[j], row[j] + 1, out=row[j + 1])
        return int(np.argmin(row[self._lengths, np.arange(count)]))


def redial_recall_at_k(answer: str, golds: Sequence[str], catalogue: Catalogue, k: int) -> float:
    r"""Share of the `golds` among the first `k` films that an answer names.

    >>> films = Catalogue(["Solaris", "Stalker", "The Mirror"])
    >>> redial_recall_at_k("1. Solarys\n2. Mirror", ["Solaris", "Stalker"], films, 5)
    0.5
    """
    if not golds:
        raise ValueError("there is no right answer to compare with.")
    films = {catalogue.nearest(name) for name in recommended_names(answer)[:k]}
    return sum(gold in films for gold in golds) / len(golds)
