"""Graphiti: facts as edges of a graph that knows when each held (Rasmussen et al. 2025, arXiv 2501.13956)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from memgym.agents.handles import handle_of, without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.asked_time import Period, asked_period, asks_for_the_past
from memgym.agents.structured.ledger import Ledger
from memgym.agents.structured.steps_facts import PACKAGE, Said
from memgym.agents.structured.steps_triples import (
    EXTRACT_TRIPLES,
    FORGOTTEN,
    KnownTriple,
    Requested,
    Triple,
    asks_to_forget,
    relation_key,
    same_thing,
    topic_words,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import content_words, stems
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search
from memgym.memory.retrieval import fuse_ranks
from memgym.readers.dates import find_dates

__all__ = ["RESOLVE_EDGE", "GraphitiPolicy", "graphiti"]

DEPTH = 50  # of each ranking
SEEDS = 3  # facts whose entities are walked from where the question names none


class NewEdge(StepModel):
    """A new fact, and the facts that hold and may say the same or not hold beside it."""

    new: Triple
    known: tuple[KnownTriple, ...] = ()


class Resolution(StepModel):
    """Which fact says the same (0: none), and which do not hold any more."""

    duplicate: int = 0
    contradicted: tuple[int, ...] = ()


def same_relation(x: NewEdge) -> Resolution:
    """The same subject, relation and object: a duplicate, or over where the new fact says so.

    Of relations with a single object, another one: contradicted.
    """
    key, duplicate, contradicted = relation_key(x.new.relation), 0, []
    for known in x.known:
        if known.subject.casefold() != x.new.subject.casefold():
            continue
        same_key = relation_key(known.relation) == key
        same_object = same_thing(known.object, x.new.object)
        if x.new.ended:
            told = topic_words(x.new.object)
            named = topic_words(known.object) | topic_words(known.relation) if not same_key else told
            if (same_key and (same_object or topic_words(known.object) & told)) or (told and told <= named):
                contradicted.append(known.number)
        elif same_key and same_object:
            duplicate = duplicate or known.number
        elif same_key and x.new.single:
            contradicted.append(known.number)
    return Resolution(duplicate=duplicate, contradicted=tuple(contradicted))


def _of_those_shown(x: NewEdge, output: Resolution) -> str:
    strange = {output.duplicate, *output.contradicted} - {0} - {known.number for known in x.known}
    return f"{min(strange)} is none of the facts shown." if strange else ""


RESOLVE_EDGE = Step(
    "resolve_edge",
    NewEdge,
    Resolution,
    load_prompt("resolve_edge", PACKAGE),
    rule=same_relation,
    fallback=lambda x: Resolution(),
    check=_of_those_shown,
)


class GraphitiPolicy(MemoryPolicy):
    """Facts (subject, relation, object) with the time from which and until which they hold.

    A fact that contradicts another ends it and deletes nothing: ``valid_to`` says until when it held, ``ended_by``
    names the fact that took its place. When it was written down is in its versions, so the graph is bitemporal.
    A fact that was true before one that is known already is ended by that one. Only a request to forget deletes.

    A question is answered from what holds at the time that it asks about, or at present, by three rankings fused by
    reciprocal rank: words, vectors, and the neighbourhood of the entities that it names.

    Args:
        llm: carries out `EXTRACT_TRIPLES`, `RESOLVE_EDGE` and `FORGOTTEN`.
        embedder: makes the vectors of facts.
        candidates: facts that a new one is compared with.
        hits: facts that answer a question.
        hops: how far the neighbourhood goes; 0 for none.
        invalidation: whether contradicted facts are ended; without, all hold for ever.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        candidates: int = 10,
        hits: int = 10,
        hops: int = 2,
        invalidation: bool = True,
    ) -> None:
        check_integer("candidates", candidates, 0, 100)
        check_integer("hits", hits, 1, 50)
        check_integer("hops", hops, 0, 5)
        self.llm, self.candidates, self.hits, self.hops = llm, candidates, hits, hops
        self.invalidation = invalidation
        self.ledger = Ledger(embedder)

    # ------------------------------------------------------------------ writing

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD new facts, UPDATE those that they end; without room, ended facts go first, then the oldest."""
        self.ledger.begin(view)
        if message.speaker and asks_to_forget(message.text):  # a document asks for nothing
            known = tuple(self._known(number) for number in self.ledger)
            x = Requested(text=message.text, speaker=message.speaker, known=known)
            for number in self.llm.run(FORGOTTEN, x).output.numbers:
                self.ledger.delete(number)
            return self.ledger.take()
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        for triple in self.llm.run(EXTRACT_TRIPLES, said).output.triples:
            self._write(triple, message)
        return self.ledger.take()

    def _write(self, triple: Triple, message: Message) -> None:
        ledger = self.ledger
        open_ = [
            number for number in ledger.in_view if number in ledger and "ended_by" not in ledger.attrs(number)
        ]
        near = [number for number, _ in ledger.nearest(triple.fact, self.candidates, among=open_)]
        same = [n for n in open_ if ledger.attrs(n)["subject"] == triple.subject][-self.candidates :]
        known = tuple(self._known(number) for number in dict.fromkeys([*near, *same]))
        found = self.llm.run(RESOLVE_EDGE, NewEdge(new=triple, known=known)).output
        contradicted = found.contradicted if self.invalidation else ()
        since = _since(triple.fact, message.time)
        if triple.ended and contradicted:  # the facts that it ends tell of it
            for number in contradicted:
                if number in ledger:  # it may have gone to make room
                    self._end(number, since, 0)
            return
        if found.duplicate and not contradicted:
            return
        later = [n for n in contradicted if since and self._from(n) > since]
        attrs: dict[str, Any] = {
            "subject": triple.subject,
            "relation": triple.relation,
            "object": triple.object,
        }
        if message.time:
            attrs["time"] = message.time
        if since and since != message.time:
            attrs["valid_from"] = since
        if later:
            attrs |= {"valid_to": min(map(self._from, later)), "ended_by": min(later, key=self._from)}
        prefix = f"{message.speaker}: " if message.speaker else ""
        number = ledger.add(
            prefix + triple.fact, attrs, index=f"{triple.subject} {triple.fact}", evict=self._rank
        )
        if number is not None:
            for old in contradicted:
                if old in ledger and old not in later:
                    self._end(old, since, number)

    def _end(self, number: int, until: str, by: int) -> None:
        """UPDATE a fact that does not hold any more."""
        since = self._from(number)
        attrs: dict[str, Any] = {"ended_by": by}
        if until and until > since:
            attrs["valid_to"] = until
        self.ledger.update(number, self.ledger.in_view[number]["text"], attrs, index=None, evict=self._rank)

    def _rank(self, number: int) -> tuple[bool, int]:
        return "ended_by" not in self.ledger.attrs(number), number

    def _known(self, number: int) -> KnownTriple:
        attrs = self.ledger.attrs(number)
        return KnownTriple(
            number=number, subject=attrs["subject"], relation=attrs["relation"], object=attrs["object"]
        )

    def _from(self, number: int) -> str:
        return _valid_from(self.ledger.attrs(number))

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """The facts that hold at the time asked about, best first."""
        period = asked_period(question)
        if period is None and asks_for_the_past(question.text):
            keep: Callable[[Mapping[str, Any]], bool] = lambda attrs: "ended_by" in attrs  # noqa: E731
            if not any(keep(self.ledger.attrs(number)) for number in self.ledger):
                keep = lambda attrs: True  # noqa: E731
        else:
            keep = lambda attrs: _holds(attrs, period, question.time)  # noqa: E731
        valid = [number for number in self.ledger if keep(self.ledger.attrs(number))]
        held = frozenset(valid)
        found = [
            (number, hit)
            for hit in search(" ".join(content_words(question.text)), DEPTH)
            if (number := handle_of(hit["text"])) is not None and number in held
        ]
        by_words = {number: without_handle(hit) for number, hit in found}
        near = [number for number, _ in self.ledger.nearest(question.text, len(valid), among=valid)]
        walked = self._neighbourhood(question.text, [*by_words][:SEEDS] or near[:SEEDS], near)
        scores = fuse_ranks((by_words, near[:DEPTH], walked[:DEPTH]))
        best = sorted(scores, key=lambda number: (-scores[number], number))[: self.hits]
        more = self.ledger.fetch([number for number in best if number not in by_words], search)
        hits = by_words | {int(hit["id"][1:]): hit for hit in more}
        return ReadResult([hits[number] for number in best if number in hits])

    def _neighbourhood(self, question: str, seeds: Iterable[int], among: list[int]) -> list[int]:
        """Facts of `among` by their distance from the entities named, or else from those of the first hits."""
        if not self.hops:
            return []
        facts: dict[str, list[int]] = defaultdict(list)
        for number in among:
            for entity in self._entities(number):
                facts[entity].append(number)
        asked = stems(question)
        reached = {entity for entity in facts if stems(entity) and stems(entity) <= asked}
        reached = reached or {entity for number in seeds for entity in self._entities(number)}
        walked: dict[int, None] = {}
        for _ in range(self.hops):
            ring = {number for entity in reached for number in facts[entity]} - walked.keys()
            walked |= dict.fromkeys(number for number in among if number in ring)
            reached = {entity for number in ring for entity in self._entities(number)}
        return [*walked]

    def _entities(self, number: int) -> tuple[str, ...]:
        attrs = self.ledger.attrs(number)
        return attrs["subject"].casefold(), attrs["object"].casefold()

    def nbytes(self) -> int:
        """Its ledger."""
        return self.ledger.nbytes()


def _since(fact: str, time: str) -> str:
    """From when a fact holds: the first time that it names, otherwise when it was said; ISO 8601."""
    try:
        day = date.fromisoformat(time[:10])
    except ValueError:
        return time
    named = find_dates(fact, day)
    return named[0].day.isoformat() if named and named[0].day != day else time


def _valid_from(attrs: Mapping[str, Any]) -> str:
    return attrs.get("valid_from", attrs.get("time", ""))


def _holds(attrs: Mapping[str, Any], period: Period | None, now: str) -> bool:
    """Whether a fact holds at some time of a period; by default now. ISO times sort as text."""
    until = attrs.get("valid_to", "")
    if period is None:
        return "ended_by" not in attrs or bool(until and now and until > now)
    since = _valid_from(attrs)
    if "ended_by" in attrs and not until:
        return False  # it held at no time that is known
    return since < period.end and (not until or until > period.start)


def graphiti(llm: str = "rules", invalidation: bool = True, hops: int = 2) -> PolicyAgent:
    """Graphiti: facts as edges with the time in which they hold, found by words, vectors and neighbourhood.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        invalidation: see `GraphitiPolicy`.
        hops: see `GraphitiPolicy`.
    """
    return system(
        "graphiti",
        lambda backend: GraphitiPolicy(backend, HashingEmbedder(256), invalidation=invalidation, hops=hops),
        llm=llm,
        steps=(EXTRACT_TRIPLES, RESOLVE_EDGE, FORGOTTEN),
        description="Facts as edges with the time in which they hold; found by words, vectors and neighbourhood.",
        url="https://arxiv.org/abs/2501.13956",
        deviations="No episodes, communities or summaries of entities are kept, and entities are one where "
        "their names are. Vectors hash pieces of words. A fact is compared with facts in view. Only what holds "
        "at the time asked about is read. Requests to forget are found by cue words, and delete. Ended facts go "
        "first, then the oldest, where the budget is full; Graphiti keeps all.",
        invalidation=invalidation,
        hops=hops,
    )
