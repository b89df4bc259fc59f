"""Typed, directed, weighted edges between entries, with those that were removed, so that undo can bring them back."""

from collections.abc import Iterable, Iterator

from memgym.memory.entry import Edge

__all__ = ["EdgeTable"]


class EdgeTable:
    """Edges by the entries at their ends. Between two entries there is one edge of each type at a time."""

    def __init__(self, edges: Iterable[Edge] = ()) -> None:
        self._out: dict[str, dict[tuple[str, str], Edge]] = {}  # source -> (rel, target) -> edge
        self._in: dict[str, dict[tuple[str, str], Edge]] = {}  # target -> (source, rel) -> edge
        self._ended: dict[str, dict[Edge, None]] = {}  # either end -> removed edges
        self.nbytes = 0  # of the edges that are there
        for edge in edges:
            self.put(edge)

    def __iter__(self) -> Iterator[Edge]:
        """Those that are there, in the order of their ends."""
        return (edge for edges in self._out.values() for edge in edges.values())

    def all(self) -> list[Edge]:
        """Those that are there and those removed, in a canonical order."""
        ended = {edge for edges in self._ended.values() for edge in edges}
        return sorted([*self, *ended], key=lambda edge: (edge.seq, *edge))

    def put(self, edge: Edge) -> None:
        """Add an edge, or the memory of one that was removed."""
        if edge.ended:
            self._ended.setdefault(edge.source, {})[edge] = None
            self._ended.setdefault(edge.target, {})[edge] = None
            return
        self._out.setdefault(edge.source, {})[edge.rel, edge.target] = edge
        self._in.setdefault(edge.target, {})[edge.source, edge.rel] = edge
        self.nbytes += edge.nbytes

    def end(self, edge: Edge, seq: int) -> Edge:
        """Remove an edge but remember it; returns what is remembered."""
        self._take(edge)
        ended = edge._replace(ended=seq)
        self.put(ended)
        return ended

    def forget(self, id: str) -> list[Edge]:
        """Remove every edge of an entry without a trace, those remembered too; returns them."""
        gone = [*self.around(id), *self._ended.get(id, ())]
        for edge in gone:
            if edge.ended:
                self._ended[edge.source].pop(edge, None)
                self._ended[edge.target].pop(edge, None)
            else:
                self._take(edge)
        self._ended.pop(id, None)
        return gone

    def between(self, source: str, target: str, rel: str = "") -> list[Edge]:
        """Edges from one entry to another, of one type where it is given."""
        edges = self._out.get(source, {}).values()
        return [edge for edge in edges if edge.target == target and rel in ("", edge.rel)]

    def get(self, source: str, rel: str, target: str) -> Edge | None:
        """The edge of a type from one entry to another."""
        return self._out.get(source, {}).get((rel, target))

    def around(self, id: str, direction: str = "both") -> list[Edge]:
        """Edges that leave an entry (``"out"``), come to it (``"in"``), or both."""
        out = list(self._out.get(id, {}).values()) if direction != "in" else []
        return out + (list(self._in.get(id, {}).values()) if direction != "out" else [])

    def _take(self, edge: Edge) -> None:
        del self._out[edge.source][edge.rel, edge.target]
        del self._in[edge.target][edge.source, edge.rel]
        for table, id in ((self._out, edge.source), (self._in, edge.target)):
            if not table[id]:
                del table[id]
        self.nbytes -= edge.nbytes
