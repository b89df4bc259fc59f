"""CompassMem: a graph of events, searched best first towards what a question still misses (arXiv 2601.04726)."""

import math
from collections import Counter
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.agents.structured.steps_events import (
    CHOOSE_NODE,
    PLAN_SUBGOALS,
    REFINE_QUERY,
    RELATE_EVENTS,
    SEGMENT_EVENTS,
    Asked,
    Event,
    NodeInput,
    RefineInput,
    RelateInput,
    Seen,
    SegmentInput,
)
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import stems
from memgym.memory.ops import MemoryOp, load_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["CompassMemPolicy", "compass_mem"]

SAME_TOPIC = 0.9  # cosine of an event with a topic's centre from which it belongs to it
RECLUSTER = 20  # events after which topics are made anew
ROUNDS = 10  # of k-means
INHERITED = 0.95  # share of its priority that an event passes on to those that it leads to
MOST = 100  # events that one search fetches
MAX_TURNS = 4  # messages of one event

Edges = dict[int, list[tuple[int, str]]]
"""The events that each is related to, with how."""


class CompassMemPolicy(MemoryPolicy):
    """Events with typed relations and topics; a question is answered by a search over them, within a budget.

    A message is divided into events. An event that says what another said is merged with it; others are related to
    it by type. Topics are clusters of events: a new one joins the nearest, and from time to time all are clustered
    again. A question is split into goals. The search starts from the nearest events and from those of other topics,
    takes the most promising event first, and decides to skip it, or to keep it and go on to what it is related to,
    until no goal is missing. Where goals stay missing, it is refined and repeated once.

    Args:
        llm: carries out the steps of `memgym.agents.structured.steps_events`.
        embedder: makes the vectors of events.
        neighbours: events that a new one is compared with.
        starts: events that a search starts from, by likeness.
        topics: how many topics are represented among the starts.
        decisions: events that are decided about for one question, at most.
        edges: whether relations are followed.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        neighbours: int = 5,
        starts: int = 5,
        topics: int = 5,
        decisions: int = 24,
        edges: bool = True,
    ) -> None:
        check_integer("neighbours", neighbours, 0, 50)
        check_integer("starts", starts, 1, 50)
        check_integer("topics", topics, 0, 50)
        check_integer("decisions", decisions, 1, 1000)
        self.llm, self.neighbours, self.starts = llm, neighbours, starts
        self.topics, self.decisions, self.edges = topics, decisions, edges
        self.ledger = Ledger(embedder)
        self.trace: list[tuple[int, str]] = []  # of the last question: event and action
        self._topic: dict[int, int] = {}  # of each event
        self._centres: NDArray[np.float32] | None = None
        self._since = 0  # events since the topics were made
        self._current = 0  # the event of the last message
        self._turns = 0  # messages in it

    # ------------------------------------------------------------------ writing

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD new events, UPDATE those that go on or happen again; the oldest go where there is no room."""
        ledger = self.ledger
        ledger.begin(view)
        current = ledger.in_view.get(self._current) if self._current in ledger else None
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        x = SegmentInput(said=said)
        if current is not None and self._turns < MAX_TURNS and _day(current) == message.time[:10]:
            x = SegmentInput(said=said, current=current["text"])
        for event in self.llm.run(SEGMENT_EVENTS, x).output.events:
            if event.continues and x.current and self._current in ledger:
                text = f"{ledger.in_view[self._current]['text']} {event.text}"
                ledger.update(self._current, text, {}, evict=oldest_first)
                self._turns += 1
            else:
                self._add(event, message)
        self._topic = {number: topic for number, topic in self._topic.items() if number in ledger}
        return ledger.take()

    def _add(self, event: Event, message: Message) -> None:
        ledger = self.ledger
        near = ledger.nearest(event.text, self.neighbours, among=list(ledger.in_view))
        others = tuple(
            Seen(number=n, text=ledger.in_view[n]["text"], likeness=_share(score)) for n, score in near
        )
        text = f"{message.speaker}: {event.text}" if message.speaker else event.text
        found = (
            self.llm.run(RELATE_EVENTS, RelateInput(text=text, others=others)).output.relations
            if others
            else ()
        )
        attrs: dict[str, Any] = {"time": message.time} if message.time else {}
        same = next((each.number for each in found if each.relation == "same"), None)
        if same is not None and same in ledger:
            again = [*ledger.attrs(same).get("again", []), message.time]
            ledger.update(
                same, ledger.in_view[same]["text"], {"again": again}, index=None, evict=oldest_first
            )
            self._current, self._turns = same, 1
            return
        if edges := [[each.number, each.relation] for each in found if each.number in ledger]:
            attrs["edges"] = edges
        if len(event.participants) > 1:
            attrs["participants"] = list(event.participants)
        number = ledger.add(text, attrs, index=event.text, evict=oldest_first)
        if number is not None:
            self._current, self._turns = number, 1
            self._assign(number)

    def _assign(self, number: int) -> None:
        """The topic of a new event: the nearest, or one of its own."""
        vector = self.ledger.vectors([number])
        self._since += 1
        if self._centres is None or self._since >= RECLUSTER:
            self._cluster()
            return
        likeness = self._centres @ vector[0]
        best = int(np.argmax(likeness))
        if likeness[best] < SAME_TOPIC:
            best = len(self._centres)
            self._centres = np.concatenate([self._centres, vector])
        self._topic[number] = best

    def _cluster(self) -> None:
        """k-means over all events: a topic for five events, 2 to 50 topics."""
        numbers = [*self.ledger]
        count = max(2, min(len(numbers) // 5, 50))
        vectors = self.ledger.vectors(numbers)
        self._centres, labels = _k_means(vectors, min(count, len(numbers)))
        self._topic = {number: int(label) for number, label in zip(numbers, labels, strict=True)}
        self._since = 0

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """The events that the search keeps; where it keeps none, the nearest ones."""
        self.trace = []
        goals = self.llm.run(PLAN_SUBGOALS, Asked(question=question.text)).output.goals
        satisfied = [False] * len(goals)
        kept: dict[int, Shown] = {}
        query, edges = question.text, self._edges()
        for _ in range(2):
            starts = self._localise([query, *goals])
            if not starts:
                break
            reachable = _reachable(starts, edges)
            shown = {int(hit["id"][1:]): hit for hit in self.ledger.fetch(reachable, search)}
            first = [number for number in starts if number in shown]
            self._explore(question.text, goals, satisfied, first, edges, shown, kept)
            missing = tuple(goal for goal, done in zip(goals, satisfied, strict=True) if not done)
            if not missing or len(self.trace) >= self.decisions:
                break
            x = RefineInput(
                question=question.text, missing=missing, evidence=tuple(hit["text"] for hit in kept.values())
            )
            query = self.llm.run(REFINE_QUERY, x).output.query
        if not kept:
            near = [number for number, _ in self.ledger.nearest(question.text, self.starts)]
            return ReadResult(self.ledger.fetch(near, search))
        return ReadResult([*kept.values()])

    def _localise(self, queries: list[str]) -> list[int]:
        """The events nearest to each query, and the nearest of the first topics in the ranking of each."""
        found: dict[int, None] = {}
        for query in dict.fromkeys(queries):
            ranking = [number for number, _ in self.ledger.nearest(query, len(self.ledger))]
            found |= dict.fromkeys(ranking[: self.starts])
            first: dict[int, int] = {}
            for number in ranking:
                first.setdefault(self._topic.get(number, -1), number)
            found |= dict.fromkeys([*first.values()][: self.topics])
        return [*found]

    def _edges(self) -> Edges:
        """Both ways."""
        edges: Edges = {number: [] for number in self.ledger}
        for number in self.ledger if self.edges else ():
            for other, relation in self.ledger.attrs(number).get("edges", []):
                if other in edges:
                    edges[number].append((other, relation))
                    edges[other].append((number, relation))
        return edges

    def _explore(
        self,
        question: str,
        goals: tuple[str, ...],
        satisfied: list[bool],
        starts: list[int],
        edges: Edges,
        shown: dict[int, Shown],
        kept: dict[int, Shown],
    ) -> None:
        """Decide about events, the most promising first, until nothing is missing or the budget is spent."""
        seen = {number for number, _ in self.trace}
        likeness = [dict(self.ledger.nearest(goal, len(shown), among=list(shown))) for goal in goals]
        count = Counter(word for hit in shown.values() for word in stems(hit["text"]))
        asked = {word for goal in goals for word in stems(goal)}
        rarity = {
            word: round(math.log1p(len(shown) / count[word]), 4) if count[word] else 0.0 for word in asked
        }

        def promise(number: int) -> float:
            return max(
                (near.get(number, 0.0) for near, done in zip(likeness, satisfied, strict=True) if not done),
                default=0.0,
            )

        queue: list[tuple[float, int, str]] = []
        for number in starts:
            heappush(queue, (-promise(number), number, ""))
        while queue and not all(satisfied) and len(self.trace) < self.decisions:
            priority, number, reached = heappop(queue)
            if number in seen:
                continue
            seen.add(number)
            around = [(other, how) for other, how in edges[number] if other in shown and other not in seen]
            x = NodeInput(
                question=question,
                goals=goals,
                satisfied=tuple(satisfied),
                text=shown[number]["text"],
                reached=reached,
                neighbours=tuple(f"{how}: {shown[other]['text']}" for other, how in around),
                rarity=rarity,
            )
            choice = self.llm.run(CHOOSE_NODE, x).output
            self.trace.append((number, choice.action))
            if choice.action == "SKIP":
                continue
            kept[number] = shown[number]
            for i in choice.satisfied:
                satisfied[i] = True
            if choice.action == "ANSWER":
                satisfied[:] = [True] * len(satisfied)
            for other, how in around:
                heappush(queue, (min(-promise(other), INHERITED * priority), other, how))

    def nbytes(self) -> int:
        """Its ledger, the topics and their centres, and the last trace."""
        centres = self._centres.nbytes if self._centres is not None else 0
        return self.ledger.nbytes() + 16 * len(self._topic) + centres + 24 + 16 * len(self.trace)


def _reachable(starts: list[int], edges: Edges) -> list[int]:
    """The starts, and what relations lead to from there, the nearest first, as far as one search fetches."""
    found = dict.fromkeys(starts[:MOST])
    ring = [*found]
    while ring and len(found) < MOST:
        further = dict.fromkeys(other for number in ring for other, _ in edges[number] if other not in found)
        ring = [*further][: MOST - len(found)]
        found |= dict.fromkeys(ring)
    return [*found]


def _k_means(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], list[int]]:
    """Centres of length 1, and the cluster of each vector; it starts from vectors that are least alike."""
    first = [0]
    likeness = vectors @ vectors[0]  # to the nearest of the first
    for _ in range(count - 1):
        first.append(int(np.argmin(np.round(likeness, 5))))
        likeness = np.maximum(likeness, vectors @ vectors[first[-1]])
    centres = vectors[first]
    labels = np.zeros(len(vectors), int)
    for _ in range(ROUNDS):
        labels = np.argmax(np.round(vectors @ centres.T, 5), axis=1)
        sums = np.stack([vectors[labels == i].sum(axis=0) for i in range(count)])
        sizes = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1e-6), centres).astype(np.float32)
    return centres, labels.tolist()


def _share(cosine: float) -> float:
    return max(0.0, min(1.0, cosine))


def _day(entry: Shown) -> str:
    return str(load_attrs(entry["attrs"]).get("time", ""))[:10]


def compass_mem(llm: str = "rules", edges: bool = True) -> PolicyAgent:
    """CompassMem: events with typed relations and topics, searched best first towards what is missing.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        edges: see `CompassMemPolicy`.
    """
    return system(
        "compass-mem",
        lambda backend: CompassMemPolicy(backend, HashingEmbedder(256), edges=edges),
        llm=llm,
        steps=(SEGMENT_EVENTS, RELATE_EVENTS, PLAN_SUBGOALS, CHOOSE_NODE, REFINE_QUERY),
        description="Events with typed relations and topics, searched best first towards what is still missing.",
        url="https://arxiv.org/abs/2601.04726",
        deviations="One explorer instead of three. Starts are taken as they rank. An event passes on part of "
        "its priority along relations, since vectors of pieces of words know no meaning. Topics are clustered "
        "anew after 20 events, not after four sessions. The oldest events go where the budget is full; the paper "
        "keeps all.",
        edges=edges,
    )
