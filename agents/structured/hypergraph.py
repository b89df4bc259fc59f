"""The working memory of HGMem: points, each a statement about several vertices, that are merged into larger ones."""

from collections.abc import Iterable
from dataclasses import dataclass

from memgym.errors import MemgymError

__all__ = ["Hypergraph", "Point", "PointInvalid"]


class PointInvalid(MemgymError, ValueError):
    """A point with fewer than two vertices, or one that is not there."""


@dataclass(frozen=True)
class Point:
    """A hyperedge.

    Attributes:
        members: its vertices.
        description: what it says of them.
        sources: entries that it was made from.
        parents: points that were merged into it.
        merged_into: the point that has taken its place; 0 for none.
    """

    members: frozenset[str]
    description: str
    sources: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    merged_into: int = 0


class Hypergraph:
    """Points by number. Two points about the same vertices are two points; merged ones are archived, not lost.

    >>> memory = Hypergraph()
    >>> a = memory.insert(["Ada", "key"], "Ada has the key.")
    >>> b = memory.insert(["key", "vault"], "The key opens the vault.")
    >>> whole = memory.merge([a, b], "Ada can open the vault.")
    >>> sorted(memory.neighbours("Ada")), sorted(memory.active) == [whole]
    (['key', 'vault'], True)
    """

    def __init__(self) -> None:
        self.points: dict[int, Point] = {}

    @property
    def active(self) -> dict[int, Point]:
        """The points that no other has taken the place of."""
        return {number: point for number, point in self.points.items() if not point.merged_into}

    @property
    def vertices(self) -> frozenset[str]:
        """All vertices of active points."""
        return frozenset().union(*(point.members for point in self.active.values()))

    def insert(self, members: Iterable[str], description: str, sources: Iterable[int] = ()) -> int:
        """Add a point; its number.

        Raises:
            PointInvalid: fewer than two different vertices.
        """
        held = frozenset(members)
        if len(held) < 2:
            raise PointInvalid(f"a point has two vertices at least, not {sorted(held)}.")
        return self._put(Point(held, description, tuple(dict.fromkeys(sources))))

    def update(self, number: int, description: str, sources: Iterable[int] = ()) -> None:
        """Give a point another description; its vertices stay.

        Raises:
            PointInvalid: there is no such active point.
        """
        old = self._get(number)
        self.points[number] = Point(
            old.members, description, tuple(dict.fromkeys([*old.sources, *sources])), old.parents
        )

    def merge(self, numbers: Iterable[int], description: str) -> int:
        """One point in place of several, with all their vertices and sources; its number.

        Raises:
            PointInvalid: fewer than two different points, or one that is not there.
        """
        parents = tuple(dict.fromkeys(numbers))
        old = [self._get(number) for number in parents]
        if len(old) < 2:
            raise PointInvalid("two points at least are merged.")
        members = frozenset().union(*(point.members for point in old))
        sources = tuple(dict.fromkeys(source for point in old for source in point.sources))
        made = self._put(Point(members, description, sources, parents))
        for number, point in zip(parents, old, strict=True):
            self.points[number] = Point(point.members, point.description, point.sources, point.parents, made)
        return made

    def neighbours(self, vertex: str) -> frozenset[str]:
        """The vertices that share an active point with one."""
        around = (point.members for point in self.active.values() if vertex in point.members)
        return frozenset().union(*around) - {vertex}

    def nbytes(self) -> int:
        """Texts, and eight bytes for each reference."""
        total = 0
        for point in self.points.values():
            texts = [point.description, *point.members]
            total += 16 + sum(len(text.encode()) for text in texts)
            total += 8 * (len(point.sources) + len(point.parents))
        return total

    def _put(self, point: Point) -> int:
        number = len(self.points) + 1
        self.points[number] = point
        return number

    def _get(self, number: int) -> Point:
        point = self.points.get(number)
        if point is None or point.merged_into:
            raise PointInvalid(f"there is no active point {number}.")
        return point
