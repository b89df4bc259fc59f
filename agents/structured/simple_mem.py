"""SimpleMem: an entropy gate, units that stand alone, similar ones joined (Liu et al. 2026, arXiv 2601.02553)."""

import math
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger, oldest_first, said_by
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.steps_units import (
    ABSTRACT_CLUSTER,
    COMPRESS_WINDOW,
    PLAN_RETRIEVAL,
    Asked,
    Cluster,
    Plan,
    Unit,
    Window,
    undated,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_choice, check_integer
from memgym.llm import LLM
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import stems
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["SimpleMemPolicy", "simple_mem"]

ALPHA, GATE = 0.8, 0.25  # weight of new entities against divergence; score from which a message is kept
BETA, DECAY, ALIKE = (
    0.5,
    0.1,
    0.65,
)  # of affinity: weight of the cosine, decay a day, and from where units join
DENSE, LEXICAL, SYMBOLIC = 0.6, 0.4, 1.0  # weights of the three views
BASE, DELTA = 10, 1.0  # units for an easy question, and how many times more for the hardest
SHALLOW, DEEP = 3, 20  # candidates of each view in v3
PREVIOUS = 3  # units that a compression sees
MOST = 600  # characters of a unit; what would be longer stays apart
# what people say to be polite or to go on: no entity
PHATIC = stems(
    "hi hello hey bye goodbye good morning afternoon evening night today thanks thank thx welcome ok okay yes yeah "
    "yep nope sure right great nice cool wow ha haha lol please sorry well fine really oh ah um hmm see got indeed "
    "exactly absolutely true interesting lovely congrats congratulations cheers care soon later going day weekend "
    "everyone"
)


class SimpleMemPolicy(MemoryPolicy):
    """Messages that say something new become units with names and dates resolved; those about one thing become one.

    Args:
        llm: carries out `COMPRESS_WINDOW`, `ABSTRACT_CLUSTER` and `PLAN_RETRIEVAL`.
        embedder: makes the vectors of units and messages.
        window: messages that a new one is judged against and resolved by.
        variant: ``"v1"`` has the entropy gate, joins units of high affinity, whenever they were made, and ranks by
            the three views together. ``"v3"`` leaves the gate to the compression, joins units of the same window
            only, and takes the union of the views, as deep as planned.
        gate: whether what says nothing new is left out; v1 only.
        consolidation: whether similar units are joined.
        metadata: whether persons and times of units are looked up.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        window: int = 10,
        variant: Literal["v1", "v3"] = "v1",
        gate: bool = True,
        consolidation: bool = True,
        metadata: bool = True,
    ) -> None:
        check_integer("window", window, 1, 100)
        check_choice("variant", variant, ("v1", "v3"))
        self.llm, self.variant = llm, variant
        self.gate, self.consolidation, self.metadata = gate and variant == "v1", consolidation, metadata
        self.ledger = Ledger(embedder)
        self._embedder = embedder
        self._recent: deque[Said] = deque(maxlen=window)
        self._made: deque[int] = deque(maxlen=window)  # the newest units

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD units, and UPDATE and DELETE those that they join; the oldest go where there is no room."""
        ledger = self.ledger
        ledger.begin(view)
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        if not self.gate or self.information(message.text) >= GATE:
            shown = [ledger.in_view[number]["text"] for number in self._made if number in ledger.in_view]
            x = Window(said=said, recent=tuple(self._recent), units=tuple(shown[-PREVIOUS:]))
            for unit in self.llm.run(COMPRESS_WINDOW, x).output.units:
                self._keep(unit, message)
        self._recent.append(said)
        return ledger.take()

    def information(self, text: str) -> float:
        """How much a message says that the window before it does not, from 0 to 1: the entropy gate's score.

        The share of new entities among its content words, and how far its vector is from the window's.
        """
        before = " ".join(said.text for said in self._recent)
        words = stems(text)
        things = {word for word in words if len(word) > 2} - PHATIC
        new = things - stems(before)
        here, there = self._embedder.embed([text, before])
        likeness = min(1.0, max(0.0, float(here @ there)))
        return round(ALPHA * len(new) / max(1, len(words)) + (1 - ALPHA) * (1 - likeness), 4)

    def _keep(self, unit: Unit, message: Message) -> None:
        """ADD a unit, or put it together with those of high affinity."""
        ledger = self.ledger
        prefix = f"{message.speaker}: " if message.speaker else ""
        attrs = _attrs(unit, message)
        cluster = self._cluster(unit, message.speaker, message.time) if self.consolidation else []
        if cluster:
            parts = [ledger.in_view[number]["text"].removeprefix(prefix) for number in cluster]
            made = self.llm.run(
                ABSTRACT_CLUSTER, Cluster(statements=(*parts, unit.restatement))
            ).output.statement
            merged = _merged([ledger.attrs(number) for number in cluster], attrs)
            if len(made) <= MOST and ledger.update(
                cluster[0], prefix + made, merged, index=made, evict=oldest_first
            ):
                for number in cluster[1:]:
                    if number in ledger:  # it may have gone to make room
                        ledger.delete(number)
                return
        index = " ".join([undated(unit.restatement), *unit.keywords])
        number = ledger.add(prefix + unit.restatement, attrs, index=index, evict=oldest_first)
        if number is not None:
            self._made.append(number)

    def _cluster(self, unit: Unit, speaker: str, time: str) -> list[int]:
        """Units of the same speaker, about the same time or none, of high affinity with a new one, oldest first."""
        ledger = self.ledger
        among = [
            number
            for number, entry in ledger.in_view.items()
            if said_by(entry["text"], speaker) and ledger.attrs(number).get("at", "") == unit.timestamp
        ]
        if self.variant == "v3":
            among = [number for number in among if number in self._made]
        near = ledger.nearest(undated(unit.restatement), len(among), among=among)
        moved = (
            (n, BETA * score + (1 - BETA) * _fading(ledger.attrs(n).get("time", ""), time))
            for n, score in near
        )
        return sorted(number for number, affinity in moved if affinity >= ALIKE)

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """Units by vectors, words and metadata; the more of them, the harder the question."""
        ledger = self.ledger
        plan = self.llm.run(PLAN_RETRIEVAL, Asked(question=question.text, time=question.time)).output
        dense = dict(ledger.nearest(question.text, len(ledger)))
        hits = search(" ".join(plan.keywords) or question.text, 50)
        best = max((hit["score"] for hit in hits), default=0.0) or 1.0
        lexical = {int(hit["id"][1:]): hit["score"] / best for hit in hits}
        symbolic = {number for number in ledger if self.metadata and _fits(plan, ledger.attrs(number))}
        if self.variant == "v3":
            n = round(SHALLOW + plan.depth * (DEEP - SHALLOW))
            chosen = [*list(dense)[:n], *list(lexical)[:n], *list(symbolic)[:n]]
            return ReadResult(ledger.fetch(list(dict.fromkeys(chosen)), search))
        score = {
            number: DENSE * dense.get(number, 0.0)
            + LEXICAL * lexical.get(number, 0.0)
            + SYMBOLIC * (number in symbolic)
            for number in ledger
        }
        k = math.floor(BASE * (1 + DELTA * plan.depth))
        order = sorted((n for n in score if score[n] > 0), key=lambda n: (-round(score[n], 5), n))
        return ReadResult(ledger.fetch(order[:k], search))

    def nbytes(self) -> int:
        """Its ledger, the window, and the numbers of the newest units."""
        window = sum(len((said.text + said.speaker + said.time).encode()) for said in self._recent)
        return self.ledger.nbytes() + window + 8 * len(self._made)


def _attrs(unit: Unit, message: Message) -> dict[str, Any]:
    """What a unit is found by, without what is empty."""
    persons = [*([message.speaker] if message.speaker else []), *unit.persons]
    attrs = {
        "time": message.time,
        "at": unit.timestamp,
        "persons": list(dict.fromkeys(persons)),
        "entities": list(unit.entities),
        "location": unit.location,
        "keywords": list(unit.keywords),
    }
    return {name: value for name, value in attrs.items() if value}


def _merged(old: list[Mapping[str, Any]], new: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a unit made of several: lists joined, the newest of the others."""
    merged: dict[str, Any] = {}
    for attrs in [*old, new]:
        for name, value in attrs.items():
            merged[name] = (
                list(dict.fromkeys([*merged.get(name, []), *value])) if isinstance(value, list) else value
            )
    return merged


def _fading(a: str, b: str) -> float:
    """1 for the same time, less with every day between; 1 where a time is unknown."""
    try:
        days = abs((datetime.fromisoformat(a) - datetime.fromisoformat(b)).total_seconds()) / 86400
    except (ValueError, TypeError):
        return 1.0
    return math.exp(-DECAY * days)


def _fits(plan: Plan, attrs: Mapping[str, Any]) -> bool:
    """Whether a unit is of the time asked about, or where none is, of one of the people."""
    if plan.start:
        return plan.start <= str(attrs.get("at", ""))[:10] <= plan.end
    return bool(set(plan.persons) & set(attrs.get("persons", [])))


def simple_mem(
    llm: str = "rules",
    variant: Literal["v1", "v3"] = "v1",
    gate: bool = True,
    consolidation: bool = True,
    metadata: bool = True,
) -> PolicyAgent:
    """SimpleMem: keeps what is new, with names and dates resolved, joins what is alike, searches three views.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        variant: the version of the paper, see `SimpleMemPolicy`.
        gate: see `SimpleMemPolicy`.
        consolidation: see `SimpleMemPolicy`.
        metadata: see `SimpleMemPolicy`.
    """
    switches: dict[str, Any] = {"gate": gate, "consolidation": consolidation, "metadata": metadata}
    return system(
        "simple-mem",
        lambda backend: SimpleMemPolicy(backend, HashingEmbedder(256), variant=variant, **switches),
        llm=llm,
        steps=(COMPRESS_WINDOW, ABSTRACT_CLUSTER, PLAN_RETRIEVAL),
        description="Keeps what is new, with names and dates resolved, joins what is alike, searches three views.",
        url="https://arxiv.org/abs/2601.02553",
        deviations="Each message is judged against the ten before it, not in windows of ten, so that none "
        "waits when a question comes. Thresholds fit vectors that hash pieces of words: gate 0.25, 0.8 of it new "
        "entities, affinity 0.65 for 0.85. Units are joined as they come, among those in view; originals are "
        "deleted, not archived. The oldest units go where the budget is full; the paper keeps all.",
        variant=variant,
        **switches,
    )
