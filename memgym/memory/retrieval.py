"""How a bank is searched: rankings of several views, fused, and the neighbourhood of an entry."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from memgym.errors import InvalidOperation
from memgym.memory.bank import Bank
from memgym.memory.edges import EdgeTable
from memgym.memory.entry import ROOT, Hit, MemoryEntry, Scope
from memgym.memory.indices import Indices
from memgym.memory.ops import MemoryOp
from memgym.memory.validity import version_seen

if TYPE_CHECKING:
    from memgym.memory.engine import MemoryEngine

__all__ = ["Filter", "Retrieval", "answer_search", "bank_seen", "fuse_ranks"]

T = TypeVar("T")

VIEWS = ("lexical", "recency", "dense", "graph")
FUSED = 1000  # hits of each view that a fused search looks at, or k where that is more
SEEDS = 10  # lexical hits whose neighbours the view "graph" ranks
RRF = 60  # k of reciprocal rank fusion
MAX_HOPS = 3  # of a SEARCH
WIDEN = 4  # how many times as many hits are looked at where a filter has left too few

Filter = Callable[[MemoryEntry], bool]
"""Keeps an entry where it returns True."""


def reciprocal_rank(place: int) -> float:
    """What reciprocal rank fusion gives for a place in one ranking, counted from 0 (Cormack et al., 2009)."""
    return 1 / (RRF + place + 1)


def fuse_ranks(rankings: Iterable[Iterable[T]]) -> dict[T, float]:
    """Reciprocal rank fusion: for each thing that some ranking has, the sum over all of them."""
    scores: dict[T, float] = {}
    for ranking in rankings:
        for place, thing in enumerate(ranking):
            scores[thing] = scores.get(thing, 0.0) + reciprocal_rank(place)
    return scores


class Retrieval:
    """Searches in one bank; `memgym.memory.engine.MemoryEngine` says what they mean."""

    def __init__(self, bank: Bank, indices: Indices) -> None:
        self.bank = bank
        self.indices = indices

    def search(
        self, query: str, k: int, views: Sequence[str], keep: Filter | None = None, scope: Scope = ROOT
    ) -> list[Hit]:
        """The `k` best of one view, or of several fused by reciprocal rank.

        Raises:
            ValueError: an unknown view.
        """
        if len(views) == 1:
            (view,) = views
            return [
                Hit(entry, score, {view: score}) for entry, score in self._rank(view, query, k, keep, scope)
            ]
        parts: dict[str, dict[str, float]] = {}
        for view in views:
            for place, (entry, _) in enumerate(self._rank(view, query, max(k, FUSED), keep, scope)):
                parts.setdefault(entry.id, {})[view] = reciprocal_rank(place)
        hits = [Hit(self.bank.versions[id][-1], sum(part.values()), part) for id, part in parts.items()]
        hits.sort(key=lambda hit: (-hit.score, hit.entry.number))
        return hits[:k]

    def find(self, attrs: Mapping[str, Any], scope: Scope) -> list[MemoryEntry]:
        """Entries that are found and have all of these attributes, oldest first."""
        sets = [self.indices.having(self.bank, scope, name, value) for name, value in attrs.items()]
        ids = set.intersection(*map(set, sets))
        return [self.bank.versions[id][-1] for id in sorted(ids, key=lambda id: int(id[1:]))]

    def neighbours(self, id: str, rel: str, direction: str, hops: int, scope: Scope) -> list[Hit]:
        """Entries that edges lead to, in rings."""
        hits: list[Hit] = []
        seen, ring = {id}, [id]
        for hop in range(1, hops + 1):
            reached: dict[str, float] = {}
            for at in ring:
                for edge in self.bank.edges.around(at, direction):
                    end = edge.target if edge.source == at else edge.source
                    versions = self.bank.seen(end, scope)
                    if rel in ("", edge.rel) and end not in seen and versions and versions[-1].is_found:
                        reached[end] = max(edge.weight, reached.get(end, edge.weight))
            found = [
                Hit(self.bank.versions[end][-1], weight / hop, {"graph": weight / hop})
                for end, weight in reached.items()
            ]
            hits += sorted(found, key=lambda hit: (-hit.score, hit.entry.number))
            seen.update(reached)
            ring = list(reached)
        return hits

    def _rank(
        self, view: str, query: str, k: int, keep: Filter | None, scope: Scope
    ) -> list[tuple[MemoryEntry, float]]:
        """The `k` best of one view that the filter keeps."""
        versions, depth = self.bank.versions, k
        while True:
            ranking = self._look(view, query, depth, scope)
            found = [(versions[id][-1], score) for id, score in ranking]
            if keep is not None:
                found = [(entry, score) for entry, score in found if keep(entry)]
            if len(found) >= k or len(ranking) < depth:
                return found[:k]
            depth *= WIDEN

    def _look(self, view: str, query: str, k: int, scope: Scope) -> list[tuple[str, float]]:
        bank, indices = self.bank, self.indices
        if view == "lexical":
            return indices.lexical(bank, scope, query, k)
        if view == "recency":
            return indices.recency(bank, scope, k)
        if view == "dense":
            return indices.dense(bank, scope, query, k)
        if view != "graph":
            raise ValueError(f"no view {view!r}. Known: {', '.join(map(repr, VIEWS))}.")
        scores: dict[str, float] = {}
        for place, (id, _) in enumerate(indices.lexical(bank, scope, query, SEEDS)):
            for hit in self.neighbours(id, "", "both", 1, scope):
                scores[hit.entry.id] = scores.get(hit.entry.id, 0.0) + hit.score / (RRF + place + 1)
        return sorted(scores.items(), key=lambda pair: (-pair[1], int(pair[0][1:])))[:k]


def bank_seen(bank: Bank, as_of: int | None, valid_at: datetime | None) -> Bank:
    """A bank of the versions and edges that were there after operation `as_of` and hold at `valid_at`.

    Edges have no validity of their own.
    """
    past = Bank(None, bank.extended)
    past.seq = bank.seq if as_of is None else as_of
    for id, versions in bank.versions.items():
        if (seen := version_seen(versions, as_of, valid_at)) is not None:
            past.versions[id] = [seen]
    past.edges = EdgeTable(
        edge._replace(ended=0)
        for edge in bank.edges.all()
        if edge.seq <= past.seq
        and not 0 < edge.ended <= past.seq
        and edge.source in past.versions
        and edge.target in past.versions
    )
    past.derive()
    return past


def answer_search(engine: "MemoryEngine", op: MemoryOp, max_k: int, scope: Scope = ROOT) -> list[Hit]:
    """The hits of a SEARCH; ``k`` says how many at most, 10 where it does not say.

    In an extended bank, a SEARCH with an id asks for the neighbourhood of that entry (``rel``, ``direction`` and
    ``hops`` as in `MemoryEngine.neighbours`, at most three hops), and one without may name ``views`` and
    ``valid_at`` (`MemoryEngine.search`).

    Raises:
        InvalidOperation: an attribute that is wrong, or an id that is not there.
    """
    attrs = op.attrs
    k = attrs.get("k", 10)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= max_k:
        raise InvalidOperation(f"k of a SEARCH is an integer from 1 to {max_k}, not {str(k)[:40]!r}.")
    if not engine.extended:
        return engine.search(op.text, k, scope=scope)
    try:
        if op.id:
            hops, how = (
                attrs.get("hops", 1),
                {name: attrs[name] for name in ("rel", "direction") if name in attrs},
            )
            if type(hops) is not int or not 1 <= hops <= MAX_HOPS:
                raise InvalidOperation(f"hops of a SEARCH is an integer from 1 to {MAX_HOPS}.")
            return engine.neighbours(op.id, hops=hops, scope=scope, **how)[:k]
        views, valid_at = attrs.get("views", ["lexical"]), attrs.get("valid_at", "")
        if not isinstance(views, list) or not all(isinstance(view, str) for view in views) or not views:
            raise InvalidOperation("views of a SEARCH is a list of names.")
        if not isinstance(valid_at, str):
            raise InvalidOperation("valid_at of a SEARCH is ISO 8601.")
        return engine.search(op.text, k, views=list(dict.fromkeys(views)), valid_at=valid_at, scope=scope)
    except KeyError:
        raise InvalidOperation(f"SEARCH: no entry {op.id!r}") from None
    except InvalidOperation:
        raise
    except ValueError as error:
        raise InvalidOperation(f"SEARCH: {error}") from None
