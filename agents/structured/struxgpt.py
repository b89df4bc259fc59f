"""StruXGPT: what is said is put in order, scope by scope and aspect by aspect, before it is kept.

Liu et al. 2024, arXiv 2407.16434, turn a passage into three layers: its scope, the aspects of it, and under each
aspect the descriptions, which are the passage's own sentences. There a passage is put in order once, and read; here a
stream is, a message at a time, into an outline that grows.
"""

from typing import Any

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger
from memgym.agents.structured.steps_facts import PACKAGE, Said, first_person_sentences
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.lexical import content_words, stem, stems
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["STRUCTURISE", "Placed", "StruXPolicy", "Structure", "ToStructure", "struxgpt"]

DOCUMENT = "Document"  # scope of what nobody said
MOST = 600  # characters of the descriptions of one entry; a longer aspect goes on in another one
SHOWN = 40  # aspects that the step sees, the latest
PASSING = stems("actually now instead really also just today yesterday always never still please new")


class ToStructure(StepModel):
    """A message, its scope, and the aspects of that scope which the outline has."""

    said: Said
    scope: str
    aspects: tuple[str, ...] = ()


class Placed(StepModel):
    """A description, a sentence of the message, and the aspect that it comes under."""

    aspect: str
    description: str


class Structure(StepModel):
    """The descriptions of a message in order; none where it says nothing."""

    placed: tuple[Placed, ...]


def place_by_words(x: ToStructure) -> Structure:
    """Each sentence that says something comes under the first aspect whose word it has, else under its own first one.

    An aspect is a content word, as a rule the deed.
    """
    known = {stem(aspect): aspect for aspect in x.aspects}
    placed = []
    for sentence in first_person_sentences(x.said).facts:
        words = [word for word in content_words(sentence) if stem(word) not in PASSING]
        if words:
            aspect = next((known[stem(word)] for word in words if stem(word) in known), words[0])
            known.setdefault(stem(aspect), aspect)
            placed.append(Placed(aspect=aspect, description=sentence))
    return Structure(placed=tuple(placed))


def _own_words(x: ToStructure, output: Structure) -> str:
    """Descriptions are the message's own words: structure adds none."""
    for one in output.placed:
        if not one.aspect.strip() or len(one.aspect) > 80 or "\n" in one.aspect:
            return "an aspect is a short name on one line."
        if not one.description.strip() or not stems(one.description) <= stems(x.said.text):
            return f"{one.description[:80]!r} is not in the message's own words."
    return ""


STRUCTURISE = Step(
    "structurise",
    ToStructure,
    Structure,
    load_prompt("structurise", PACKAGE),
    rule=place_by_words,
    fallback=lambda x: Structure(placed=(Placed(aspect="other", description=x.said.text),)),
    check=_own_words,
)


class StruXPolicy(MemoryPolicy):
    """One entry an aspect of a scope, with its descriptions in the order in which they were said.

    The scope of a message is who speaks. An entry reads "Scope: aspect: description description ...".

    Args:
        llm: carries out `STRUCTURISE`.
        hits: entries that are read for a question.
        structure: whether descriptions are gathered under aspects; without, each is an entry of its own.
    """

    def __init__(self, llm: LLM, *, hits: int = 10, structure: bool = True) -> None:
        check_integer("hits", hits, 1, 100)
        self.llm, self.hits, self.structure = llm, hits, structure
        self.ledger = Ledger()

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD a new aspect, UPDATE one with what is new; without room, the aspect written longest ago goes."""
        ledger = self.ledger
        ledger.begin(view)
        scope = message.speaker or DOCUMENT
        entries = self._outline(scope)
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        x = ToStructure(said=said, scope=scope, aspects=tuple(entries)[-SHOWN:])
        for one in self.llm.run(STRUCTURISE, x).output.placed:
            number = entries.get(one.aspect) if self.structure else None
            made = self._add_to(number, one, scope, message.time)
            if made is not None:
                entries[one.aspect] = made
        return ledger.take()

    def _outline(self, scope: str) -> dict[str, int]:
        """The aspects of a scope and their newest entries in view."""
        attrs = {number: self.ledger.attrs(number) for number in sorted(self.ledger.in_view)}
        return {held["aspect"]: number for number, held in attrs.items() if held.get("scope") == scope}

    def _add_to(self, number: int | None, one: Placed, scope: str, time: str) -> int | None:
        """Plan it: the entry's number, None where it does not fit."""
        ledger = self.ledger
        attrs = {"time": time} if time else {}
        if number is not None and number in ledger.in_view:
            text = f"{ledger.in_view[number]['text']} {one.description}"
            if len(text) <= MOST:
                return number if ledger.update(number, text, attrs, evict=self._order) else None
        head = (
            f"{scope}: {one.aspect}" if self.structure else scope
        )  # a reader takes what stands first for who spoke
        return ledger.add(
            f"{head}: {one.description}", {**attrs, "scope": scope, "aspect": one.aspect}, evict=self._order
        )

    def _order(self, number: int) -> Any:
        return self.ledger.attrs(number).get("time", ""), number

    def read(self, question: Message, search: Search) -> ReadResult:
        """The entries nearest to the question's words, each with all of its aspect."""
        hits = search(" ".join(content_words(question.text)), self.hits)
        numbers = [int(hit["id"][1:]) for hit in hits]
        return ReadResult(self.ledger.fetch(numbers, search))

    def nbytes(self) -> int:
        """Its ledger."""
        return self.ledger.nbytes()


def struxgpt(llm: str = "rules", structure: bool = True) -> PolicyAgent:
    """StruXGPT: puts what is said in order, by scope and aspect, and keeps an entry an aspect.

    Args:
        llm: who carries out its step, as `memgym.llm.make_llm` names it.
        structure: see `StruXPolicy`.
    """
    return system(
        "struxgpt",
        lambda backend: StruXPolicy(backend, structure=structure),
        llm=llm,
        steps=(STRUCTURISE,),
        description="Puts what is said in order, by scope and aspect, and keeps an entry an aspect.",
        url="https://arxiv.org/abs/2407.16434",
        deviations="A message at a time into an outline that grows, where the paper puts one passage in order; the "
        "scope is who speaks. Nothing is corrected or forgotten on request: the paper has no such operation. Entries "
        "in view can grow, others go on in a new one. No model is trained. The aspect written longest ago goes where "
        "the budget is full.",
        structure=structure,
    )
