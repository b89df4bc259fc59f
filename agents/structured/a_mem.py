"""A-MEM: notes that link to each other and change each other (Xu et al. 2025, arXiv 2502.12110)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from memgym.agents.bm25 import as_entry
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.agents.structured.steps_facts import PACKAGE
from memgym.agents.structured.system import system
from memgym.core.arguments import check_choice, check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import content_words, stem, stems
from memgym.memory.ops import MemoryOp, load_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["EVOLVE", "NOTE_ATTRIBUTES", "AMemPolicy", "a_mem"]

KEYWORDS, TAGS = 6, 4  # of a note, at most, by the rules
LIKE = 0.15  # cosine from which the rules link two notes that share a content word
REINDEX_EVERY = 100  # evolutions, in the released code


class Note(StepModel):
    """What a note says, with its attributes."""

    text: str
    time: str = ""
    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    context: str = ""


class NoteInput(StepModel):
    """A new note's text, and the tags that older notes have."""

    text: str
    time: str = ""
    known_tags: tuple[str, ...] = ()


class NoteAttributes(StepModel):
    """Keywords, the most salient first; tags; one sentence of context."""

    keywords: tuple[str, ...]
    tags: tuple[str, ...]
    context: str


class EvolveInput(StepModel):
    """A new note and its nearest neighbours, nearest first, each with its likeness from 0 to 1."""

    note: Note
    neighbours: tuple[Note, ...]
    likeness: tuple[float, ...]


class Neighbour(StepModel):
    """What becomes of a neighbour: whether the new note links to it, and its tags and context from now on."""

    link: bool
    tags: tuple[str, ...]
    context: str


class Evolution(StepModel):
    """Tags of the new note, and what becomes of each neighbour, in the order given."""

    tags: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]


def salient_words(x: NoteInput) -> NoteAttributes:
    """Long content words as keywords; as tags known ones of the same stem, or else the keywords; the first clause."""
    said = x.text.partition(": ")[2] or x.text
    counts = Counter(word for word in content_words(said) if len(word) > 2)
    order = sorted(counts, key=lambda word: (-counts[word], -len(word), word))
    keywords = tuple(order[:KEYWORDS])
    known = {stem(tag): tag for tag in x.known_tags}
    tags = dict.fromkeys(known.get(stem(word), word) for word in keywords)
    return NoteAttributes(
        keywords=keywords, tags=tuple(tags)[:TAGS], context=said.split(",")[0].split(".")[0].strip()
    )


def share_tags(x: EvolveInput) -> Evolution:
    """Link where two notes share a content word and are alike; linked notes take on each other's tags."""
    tags = list(x.note.tags)
    fates = []
    for near, likeness in zip(x.neighbours, x.likeness, strict=True):
        link = likeness >= LIKE and bool(stems(x.note.text) & stems(near.text))
        union = tuple(dict.fromkeys([*near.tags, *x.note.tags])) if link else near.tags
        fates.append(Neighbour(link=link, tags=union, context=near.context))
    return Evolution(tags=tuple(tags), neighbours=tuple(fates))


def _one_each(x: EvolveInput, output: Evolution) -> str:
    wanted = len(x.neighbours)
    return "" if len(output.neighbours) == wanted else f"neighbours has {wanted} entries, in the order given."


NOTE_ATTRIBUTES = Step(
    "note_attributes",
    NoteInput,
    NoteAttributes,
    load_prompt("note_attributes", PACKAGE),
    rule=salient_words,
    fallback=salient_words,
)
EVOLVE = Step(
    "evolve",
    EvolveInput,
    Evolution,
    load_prompt("evolve", PACKAGE),
    rule=share_tags,
    fallback=lambda x: Evolution(
        tags=x.note.tags,
        neighbours=tuple(Neighbour(link=False, tags=n.tags, context=n.context) for n in x.neighbours),
    ),
    check=_one_each,
    max_tokens=1024,
)


class AMemPolicy(MemoryPolicy):
    """Every message becomes a note with keywords, tags and context; its neighbours are linked and may change with it.

    Args:
        llm: carries out the steps `NOTE_ATTRIBUTES` and `EVOLVE`.
        embedder: makes the vectors of notes.
        neighbours: notes that a new one is compared with.
        hits: notes that answer a question, before those that they link to.
        evolution: whether neighbours change; without, notes are only linked.
        variant: ``"paper"`` makes a note's vector of content, keywords, tags and context, and again at once when it
            changes. ``"released"`` makes it of context and keywords, and shows changes only after every hundredth.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        neighbours: int = 5,
        hits: int = 10,
        evolution: bool = True,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        check_integer("neighbours", neighbours, 0, 100)
        check_integer("hits", hits, 1, 50)
        check_choice("variant", variant, ("paper", "released"))
        self.llm, self.neighbours, self.hits = llm, neighbours, hits
        self.evolution, self.variant = evolution, variant
        self.ledger = Ledger(embedder)
        self._evolutions = 0
        self._stale: dict[int, str] = {}  # changed notes whose vectors are still those of before

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD the note, UPDATE the neighbours that change; the oldest notes go where there is no room."""
        ledger = self.ledger
        ledger.begin(view)
        text, attrs = as_entry(message).text, dict(as_entry(message).attrs)
        known = dict.fromkeys(tag for number in ledger for tag in ledger.attrs(number)["tags"])
        made = self.llm.run(
            NOTE_ATTRIBUTES, NoteInput(text=text, time=message.time, known_tags=tuple(known)[-64:])
        ).output
        note = Note(text=text, time=message.time, **made.model_dump())
        near = ledger.nearest(self._index(note), self.neighbours, among=list(ledger.in_view))
        shown = {number: _as_note(ledger.in_view[number]) for number, _ in near}
        links: list[int] = []
        if near:
            x = EvolveInput(
                note=note,
                neighbours=tuple(shown.values()),
                likeness=tuple(max(0.0, min(1.0, score)) for _, score in near),
            )
            evolved = self.llm.run(EVOLVE, x).output
            note = note.model_copy(update={"tags": evolved.tags})
            for (number, old), fate in zip(shown.items(), evolved.neighbours, strict=True):
                links += [number] if fate.link else []
                changed = old.model_copy(update={"tags": fate.tags, "context": fate.context})
                if self.evolution and changed != old:
                    self._change(number, changed)
        ledger.add(
            text,
            {**attrs, **_attrs(note), "links": [link for link in links if link in ledger]},
            index=self._index(note),
            evict=oldest_first,
        )
        return ledger.take()

    def _change(self, number: int, note: Note) -> None:
        """UPDATE a neighbour; the released code makes the vectors of all changed notes anew at every hundredth."""
        index = self._index(note)
        if self.variant == "released":
            self._stale[number] = " ".join([note.text, note.context, *note.keywords, *note.tags])
            index = None
        if self.ledger.update(number, note.text, _attrs(note), index=index):
            self._evolutions += 1
        if self.variant == "released" and self._evolutions % REINDEX_EVERY == 0:
            for changed, text in self._stale.items():
                if changed in self.ledger:
                    self.ledger.embed(changed, text)
            self._stale.clear()

    def _index(self, note: Note) -> str:
        """What a note's vector is made of."""
        if self.variant == "released":
            return " ".join([note.context, *note.keywords])
        return " ".join([note.text, *note.keywords, *note.tags, note.context])

    def read(self, question: Message, search: Search) -> ReadResult:
        """The nearest notes, then those that they link to."""
        near = [number for number, _ in self.ledger.nearest(question.text, self.hits)]
        linked = [link for number in near for link in self.ledger.attrs(number)["links"]]
        more = [link for link in dict.fromkeys(linked) if link not in near][: self.hits]
        return ReadResult(self.ledger.fetch([*near, *more], search))

    def nbytes(self) -> int:
        """Its ledger, and what waits to be shown."""
        return self.ledger.nbytes() + sum(8 + len(text.encode()) for text in self._stale.values())


def _attrs(note: Note) -> dict[str, Any]:
    return {"keywords": list(note.keywords), "tags": list(note.tags), "context": note.context}


def _as_note(entry: Shown) -> Note:
    attrs: Mapping[str, Any] = load_attrs(entry["attrs"])
    return Note(
        text=entry["text"],
        time=attrs.get("time", ""),
        keywords=tuple(attrs["keywords"]),
        tags=tuple(attrs["tags"]),
        context=attrs["context"],
    )


def a_mem(
    llm: str = "rules", variant: Literal["paper", "released"] = "paper", evolution: bool = True
) -> PolicyAgent:
    """A-MEM: notes with keywords, tags and context, linked to neighbours, which change with them.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        variant: see `AMemPolicy`.
        evolution: see `AMemPolicy`.
    """
    return system(
        "a-mem",
        lambda backend: AMemPolicy(backend, HashingEmbedder(256), variant=variant, evolution=evolution),
        llm=llm,
        steps=(NOTE_ATTRIBUTES, EVOLVE),
        description="Notes with keywords, tags and context, linked to their neighbours, which change with them.",
        url="https://arxiv.org/abs/2502.12110",
        deviations="Vectors hash pieces of words. Neighbours come from the entries in view. The oldest "
        "notes go where the budget is full; the paper keeps all.",
        variant=variant,
        evolution=evolution,
    )
