"""mem0: facts that are kept up to date (Chhikara et al. 2025, arXiv 2504.19413), or only added (release 2)."""

import math
from collections import deque
from typing import Any, Literal

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.facts import FactLedger
from memgym.agents.structured.ledger import oldest_first
from memgym.agents.structured.name_index import NameIndex
from memgym.agents.structured.steps_facts import (
    DECIDE_OPS,
    EXTRACT_FACTS,
    PACKAGE,
    Decision,
    DecisionInput,
    Facts,
    KeptFact,
    Said,
    first_person_sentences,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_choice, check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import content_words
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["EXTRACT_NEW_FACTS", "Mem0AdditivePolicy", "Mem0Policy", "mem0"]

RECENT = 10  # messages that an extraction sees before the one it is about
ENTITY_WEIGHT = 0.5
# midpoint and steepness of the sigmoid that makes BM25 comparable with a cosine, by the words of a question, at most
SIGMOIDS = ((3, 5.0, 0.7), (6, 7.0, 0.6), (9, 9.0, 0.5), (15, 10.0, 0.5), (math.inf, 12.0, 0.5))


class SaidAfter(StepModel):
    """A message, what was said before it, and the memories nearest to it."""

    said: Said
    recent: tuple[Said, ...] = ()
    memories: tuple[KeptFact, ...] = ()


def sentences_of(x: SaidAfter) -> Facts:
    """The sentences that `first_person_sentences` keeps, whatever was said before."""
    return first_person_sentences(x.said)


EXTRACT_NEW_FACTS = Step(
    "extract_new_facts",
    SaidAfter,
    Facts,
    load_prompt("extract_new_facts", PACKAGE),
    rule=sentences_of,
    fallback=lambda x: Facts(facts=()),
)


class Mem0Policy(MemoryPolicy):
    """As published, and in release 1: every fact is compared with memory, and adds, updates, deletes or does nothing.

    Args:
        llm: carries out `EXTRACT_FACTS` and `DECIDE_OPS`.
        embedder: makes the vectors that memories are compared by.
        candidates: memories that a fact is compared with.
        hits: memories that are found for a question.
        update: whether operations are decided; without, every fact is added.
    """

    def __init__(
        self, llm: LLM, embedder: Embedder, *, candidates: int = 10, hits: int = 30, update: bool = True
    ) -> None:
        check_integer("candidates", candidates, 1, 100)
        check_integer("hits", hits, 1, 100)
        self.llm, self.candidates, self.hits, self.update = llm, candidates, hits, update
        self.ledger = FactLedger(embedder)

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """What is decided for each fact; the oldest memories go where there is no room."""
        ledger = self.ledger
        ledger.begin(view)
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        for fact in self.llm.run(EXTRACT_FACTS, said).output.facts:
            decisions: tuple[Decision, ...] = (Decision(event="ADD", text=fact),)
            if self.update:
                memories = ledger.candidates(fact, message.speaker, self.candidates)
                x = DecisionInput(fact=fact, memories=memories)
                decisions = self.llm.run(DECIDE_OPS, x).output.operations
            for decision in decisions:
                ledger.carry_out(decision, message)
        return ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """The memories whose vectors are nearest to the question's."""
        near = [number for number, _ in self.ledger.nearest(question.text, self.hits)]
        return ReadResult(self.ledger.fetch(near, search))

    def nbytes(self) -> int:
        """Its ledger."""
        return self.ledger.nbytes()


class Mem0AdditivePolicy(MemoryPolicy):
    """Release 2: facts are only ever added, each once; names that they share with a question count when it is asked.

    Args:
        llm: carries out `EXTRACT_NEW_FACTS`.
        embedder: makes the vectors of memories and names.
        candidates: memories that an extraction sees.
        hits: memories that are found for a question.
        threshold: cosine from which a memory is a candidate for a question, whatever its words.
        speakers: whether the vector of a fact, as it is kept, and of a message holds who said it.
        entities: whether shared names count.
        deduplicate: whether a fact is left out where a memory that the extraction saw has the same words.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        candidates: int = 10,
        hits: int = 20,
        threshold: float = 0.1,
        speakers: bool = True,
        entities: bool = True,
        deduplicate: bool = True,
    ) -> None:
        check_integer("candidates", candidates, 0, 100)
        check_integer("hits", hits, 1, 100)
        self.llm, self.candidates, self.hits, self.threshold = llm, candidates, hits, threshold
        self.speakers, self.entities, self.deduplicate = speakers, entities, deduplicate
        self.ledger = FactLedger(embedder)
        self._names = NameIndex(embedder)
        self._recent: deque[Said] = deque(maxlen=RECENT)

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD what is new; the oldest memories go where there is no room."""
        ledger = self.ledger
        ledger.begin(view)
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        asked = message.said if self.speakers else message.text
        near = ledger.nearest(asked, self.candidates, among=list(ledger.in_view))
        memories = tuple(KeptFact(number=n, text=ledger.in_view[n]["text"]) for n, _ in near)
        x = SaidAfter(said=said, recent=tuple(self._recent), memories=memories)
        known = {memory.text for memory in memories}
        prefix = f"{message.speaker}: " if message.speaker else ""
        attrs: dict[str, Any] = {"time": message.time} if message.time else {}
        for fact in self.llm.run(EXTRACT_NEW_FACTS, x).output.facts:
            text = prefix + fact
            if self.deduplicate and text in known:
                continue
            known.add(text)
            number = ledger.add(text, attrs, index=text if self.speakers else fact, evict=oldest_first)
            if number is not None and self.entities:
                self._names.link(number, [*filter(None, [message.speaker]), *named_entities(fact)])
        self._names.keep(ledger)
        self._recent.append(said)
        return ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """Candidates by cosine, ranked by cosine, BM25 and shared names together."""
        near = self.ledger.nearest(question.text, 4 * self.hits)
        scores = {number: score for number, score in near if score >= self.threshold}
        if not scores:
            return ReadResult([])
        words = content_words(question.text)
        lexical = self._lexical(search(" ".join(words), 4 * self.hits), len(words))
        shared = self._names.boosts(named_entities(question.text))
        most = 1.0 + bool(lexical) + ENTITY_WEIGHT * bool(shared)
        total = {
            number: (score + lexical.get(number, 0.0) + ENTITY_WEIGHT * shared.get(number, 0.0)) / most
            for number, score in scores.items()
        }
        best = sorted(total, key=lambda number: (-round(total[number], 5), number))[: self.hits]
        return ReadResult(self.ledger.fetch(best, search))

    def _lexical(self, hits: Any, words: int) -> dict[int, float]:
        midpoint, steepness = next(rest for most, *rest in SIGMOIDS if words <= most)
        found: dict[int, float] = {}
        for hit in hits:
            number = _number(hit)
            if number in self.ledger:
                found[number] = 1 / (1 + math.exp(-steepness * (hit["score"] - midpoint)))
        return found

    def nbytes(self) -> int:
        """Its ledger, names, and the recent messages."""
        recent = sum(len((said.text + said.speaker + said.time).encode()) for said in self._recent)
        return self.ledger.nbytes() + self._names.nbytes() + recent


def _number(hit: Shown) -> int:
    return int(hit["id"][1:])


def mem0(llm: str = "rules", variant: Literal["v1", "v2"] = "v1", update: bool = True) -> PolicyAgent:
    """mem0: extracts facts and keeps them up to date by ADD, UPDATE, DELETE or nothing.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        variant: ``"v1"``, as published and in release 1; ``"v2"``, the additive pipeline of release 2.
        update: see `Mem0Policy`; of ``"v1"`` alone.
    """
    check_choice("variant", variant, ("v1", "v2"))
    steps = (EXTRACT_FACTS, DECIDE_OPS) if variant == "v1" else (EXTRACT_NEW_FACTS,)
    own = (
        "A fact is extracted from its message alone, without a summary of the conversation. "
        if variant == "v1"
        else "Names are found by their spelling. "
    )

    def make(backend: LLM) -> MemoryPolicy:
        if variant == "v2":
            return Mem0AdditivePolicy(backend, HashingEmbedder(256))
        return Mem0Policy(backend, HashingEmbedder(256), update=update)

    return system(
        "mem0",
        make,
        llm=llm,
        steps=steps,
        description="Extracts facts and keeps them up to date by ADD, UPDATE, DELETE or nothing."
        if variant == "v1"
        else "Extracts facts, only adds them, and finds them by vectors, words and names.",
        url="https://arxiv.org/abs/2504.19413",
        deviations=f"{own}Vectors hash pieces of words. Candidates come from the entries in view. The oldest "
        "memories go where the budget is full; mem0 keeps all.",
        variant=variant,
        update=update,
    )
