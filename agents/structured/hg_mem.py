"""HGMem: a hypergraph of points as working memory for each question (arXiv 2512.23959)."""

from collections import Counter, defaultdict
from typing import Any

from memgym.agents.bm25 import as_entry
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.hypergraph import Hypergraph
from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.agents.structured.steps_facts import PACKAGE
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import content_words, stems
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["HG_EVOLVE", "HG_JUDGE", "HG_MERGE", "HGMemPolicy", "hg_mem"]

ENTITIES = 6  # of an entry, at most, by the rules
MOST = 100  # entries that are fetched for one question


class Text(StepModel):
    """A retrieved entry, with the objects that it names."""

    number: int
    text: str
    objects: tuple[str, ...]


class PointShown(StepModel):
    """A point of the memory."""

    number: int
    objects: tuple[str, ...]
    description: str


class EvolveInput(StepModel):
    """A question, its memory, and what was retrieved."""

    question: str
    memory: tuple[PointShown, ...]
    retrieved: tuple[Text, ...]


class Inserted(StepModel):
    """A new point, with the numbers of the entries that say it."""

    objects: tuple[str, ...]
    description: str
    sources: tuple[int, ...] = ()


class Updated(StepModel):
    """Another description of a point."""

    number: int
    description: str
    sources: tuple[int, ...] = ()


class Evolution(StepModel):
    """How a memory changes."""

    inserted: tuple[Inserted, ...] = ()
    updated: tuple[Updated, ...] = ()


class MemoryShown(StepModel):
    """A question and its memory."""

    question: str
    memory: tuple[PointShown, ...]


class Group(StepModel):
    """Points that belong together, and what they say together."""

    numbers: tuple[int, ...]
    description: str


class Groups(StepModel):
    """Groups; a point is in one at most."""

    groups: tuple[Group, ...]


class Concern(StepModel):
    """What to find out: around these points, or, with none, among what the memory does not hold."""

    query: str
    points: tuple[int, ...] = ()


class Verdict(StepModel):
    """Whether a memory suffices, and up to three concerns where it does not."""

    sufficient: bool
    concerns: tuple[Concern, ...] = ()


def points_of_entries(x: EvolveInput) -> Evolution:
    """Each retrieved entry with two objects is a point where it shares a word with the question or the memory.

    So is one that shares an object with such an entry. An entry about the same objects as a point is added to it.
    """
    about = stems(" ".join([x.question, *(point.description for point in x.memory)]))
    entries = [entry for entry in x.retrieved if len(entry.objects) > 1]
    direct = [entry for entry in entries if stems(entry.text) & about]
    named = {name for entry in direct for name in entry.objects}
    inserted, updated = [], {}
    for entry in entries:
        same = next((p for p in x.memory if set(p.objects) == set(entry.objects)), None)
        if entry not in direct and not named & set(entry.objects):
            continue
        if same is None:
            inserted.append(Inserted(objects=entry.objects, description=entry.text, sources=(entry.number,)))
        elif entry.text not in same.description:
            text = f"{same.description} {entry.text}"
            updated[same.number] = Updated(number=same.number, description=text, sources=(entry.number,))
    return Evolution(inserted=tuple(inserted), updated=tuple(updated.values()))


def shared_objects(x: MemoryShown) -> Groups:
    """Points that share an object belong together where one of them shares a word with the question.

    An object that more than half of four and more points have, such as a speaker, connects nothing.
    """
    count = Counter(name for point in x.memory for name in point.objects)
    common = {name for name, often in count.items() if len(x.memory) >= 4 and 2 * often > len(x.memory)}
    asked, groups, taken = stems(x.question), [], set()
    for point in x.memory:
        if point.number in taken or not stems(point.description) & asked:
            continue
        objects = set(point.objects) - common
        near = [p for p in x.memory if p.number not in taken and (p is point or objects & set(p.objects))]
        if len(near) > 1:
            taken |= {p.number for p in near}
            text = " ".join(p.description for p in near)
            groups.append(Group(numbers=tuple(p.number for p in near), description=text))
    return Groups(groups=tuple(groups))


def uncovered_words(x: MemoryShown) -> Verdict:
    """Sufficient where the points say all words of the question.

    Otherwise one concern for the missing words around the point that says most of it, one for them anywhere else.
    """
    asked = stems(x.question)
    held = stems(" ".join(point.description for point in x.memory)) if x.memory else frozenset()
    missing = [word for word in content_words(x.question) if stems(word) <= asked - held]
    if not missing:
        return Verdict(sufficient=True)
    query = " ".join(missing)
    best = max(x.memory, key=lambda point: len(stems(point.description) & asked), default=None)
    local = (Concern(query=query, points=(best.number,)),) if best is not None else ()
    return Verdict(sufficient=False, concerns=(*local, Concern(query=query)))


def _points_shown(x: EvolveInput, output: Evolution) -> str:
    strange = {each.number for each in output.updated} - {point.number for point in x.memory}
    if strange:
        return f"{min(strange)} is none of the points shown."
    return (
        ""
        if all(len(set(each.objects)) > 1 for each in output.inserted)
        else "a point has two objects at least."
    )


def _groups_apart(x: MemoryShown, output: Groups) -> str:
    numbers = [number for group in output.groups for number in group.numbers]
    strange = set(numbers) - {point.number for point in x.memory}
    if strange:
        return f"{min(strange)} is none of the points shown."
    if len(set(numbers)) < len(numbers) or any(len(group.numbers) < 2 for group in output.groups):
        return "a group has two points at least, and a point is in one group."
    return ""


def _concerns_shown(x: MemoryShown, output: Verdict) -> str:
    strange = {n for concern in output.concerns for n in concern.points} - {
        point.number for point in x.memory
    }
    return f"{min(strange)} is none of the points shown." if strange else ""


HG_EVOLVE = Step(
    "hg_evolve",
    EvolveInput,
    Evolution,
    load_prompt("hg_evolve", PACKAGE),
    rule=points_of_entries,
    fallback=lambda x: Evolution(),
    check=_points_shown,
    max_tokens=2048,
)
HG_MERGE = Step(
    "hg_merge",
    MemoryShown,
    Groups,
    load_prompt("hg_merge", PACKAGE),
    rule=shared_objects,
    fallback=lambda x: Groups(groups=()),
    check=_groups_apart,
    max_tokens=2048,
)
HG_JUDGE = Step(
    "hg_judge",
    MemoryShown,
    Verdict,
    load_prompt("hg_judge", PACKAGE),
    rule=uncovered_words,
    fallback=lambda x: Verdict(sufficient=True),
    check=_concerns_shown,
)


class HGMemPolicy(MemoryPolicy):
    """Entries with the objects that they name; for each question, points about several objects that grow together.

    In up to three rounds, what was retrieved becomes points or makes them more exact, points that belong together are
    merged (from the second round on), and where they do not suffice more is retrieved: around the vertices of a
    point, or among the vertices that the memory does not hold. The memory is new for each question, and the entries
    that its points are made of are read.

    Args:
        llm: carries out `HG_EVOLVE`, `HG_MERGE` and `HG_JUDGE`.
        embedder: makes the vectors of entries.
        hits: entries that a query retrieves.
        rounds: at most.
        hops: how far around a point to look.
        merging: whether points are merged.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        hits: int = 5,
        rounds: int = 3,
        hops: int = 2,
        merging: bool = True,
    ) -> None:
        check_integer("hits", hits, 1, 30)
        check_integer("rounds", rounds, 1, 3)  # each searches once
        check_integer("hops", hops, 0, 5)
        self.llm, self.hits, self.rounds, self.hops, self.merging = llm, hits, rounds, hops, merging
        self.ledger = Ledger(embedder)
        self.memory = Hypergraph()  # of the last question

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD the message with the objects that it names; the oldest go where there is no room."""
        self.ledger.begin(view)
        entry = as_entry(message)
        known = frozenset(name for number in self.ledger for name in self._objects(number))
        speaker = (message.speaker,) if message.speaker else ()
        attrs: dict[str, Any] = dict(entry.attrs)
        if objects := _objects_of(message.text, speaker, known):
            attrs["objects"] = list(objects)
        self.ledger.add(entry.text, attrs, evict=oldest_first)
        return self.ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """The entries that the points are made of, those of the largest points first; then the nearest ones."""
        self.memory = memory = Hypergraph()
        graph = self._graph()
        seen: dict[int, Shown] = {}
        first = wanted = [number for number, _ in self.ledger.nearest(question.text, 2 * self.hits)]
        for turn in range(self.rounds):
            new = [number for number in dict.fromkeys(wanted) if number not in seen][: MOST - len(seen)]
            found = {int(hit["id"][1:]): hit for hit in self.ledger.fetch(new, search)}
            seen |= found
            self._evolve(question.text, found)
            if turn and self.merging:
                x = MemoryShown(question=question.text, memory=self._shown())
                for group in self.llm.run(HG_MERGE, x).output.groups if len(x.memory) > 1 else ():
                    memory.merge(group.numbers, group.description)
            if turn + 1 == self.rounds:
                break
            x = MemoryShown(question=question.text, memory=self._shown())
            verdict = self.llm.run(HG_JUDGE, x).output
            if verdict.sufficient:
                break
            wanted = [n for concern in verdict.concerns[:3] for n in self._retrieve(concern, graph, seen)]
        asked = stems(question.text)
        points = sorted(
            memory.active.items(), key=lambda pair: (-len(stems(pair[1].description) & asked), pair[0])
        )
        order = [source for _, point in points for source in point.sources]
        return ReadResult([seen[number] for number in dict.fromkeys([*order, *first]) if number in seen])

    def _evolve(self, question: str, found: dict[int, Shown]) -> None:
        texts = tuple(
            Text(number=number, text=hit["text"], objects=self._objects(number))
            for number, hit in found.items()
        )
        if not texts:
            return
        x = EvolveInput(question=question, memory=self._shown(), retrieved=texts)
        change = self.llm.run(HG_EVOLVE, x).output
        for each in change.updated:
            self.memory.update(each.number, each.description, [n for n in each.sources if n in found])
        for each in change.inserted:
            self.memory.insert(each.objects, each.description, [n for n in each.sources if n in found])

    def _retrieve(self, concern: Concern, graph: dict[str, set[int]], seen: dict[int, Shown]) -> list[int]:
        """Entries for a concern: around the vertices of its points, or about vertices that the memory lacks."""
        if concern.points:
            reached = set[str]().union(*(self.memory.points[number].members for number in concern.points))
            for _ in range(self.hops):
                numbers = {number for name in reached for number in graph[name]}
                reached |= {name for number in numbers for name in self._objects(number)}
            pool = {number for name in reached for number in graph[name]}
        else:
            named = set[int]().union(*(graph[name] for name in self.memory.vertices))
            pool = {*self.ledger} - named
        near = self.ledger.nearest(concern.query, self.hits, among=sorted(pool - seen.keys()))
        return [number for number, _ in near]

    def _graph(self) -> dict[str, set[int]]:
        graph: dict[str, set[int]] = defaultdict(set)
        for number in self.ledger:
            for name in self._objects(number):
                graph[name].add(number)
        return graph

    def _objects(self, number: int) -> tuple[str, ...]:
        return tuple(self.ledger.attrs(number).get("objects", ()))

    def _shown(self) -> tuple[PointShown, ...]:
        return tuple(
            PointShown(number=number, objects=tuple(sorted(point.members)), description=point.description)
            for number, point in self.memory.active.items()
        )

    def nbytes(self) -> int:
        """Its ledger, and the memory of the last question."""
        return self.ledger.nbytes() + self.memory.nbytes()


def _objects_of(text: str, speaker: tuple[str, ...], known: frozenset[str]) -> tuple[str, ...]:
    """The speaker, names, and the longest content words."""
    names = named_entities(text, known)
    inside = stems(" ".join(names)) if names else frozenset()
    words = [
        word for word in dict.fromkeys(content_words(text)) if len(word) > 3 and not stems(word) <= inside
    ]
    longest = sorted(words, key=lambda word: (-len(word), word))
    return tuple(dict.fromkeys([*speaker, *names, *longest]))[:ENTITIES]


def hg_mem(llm: str = "rules", merging: bool = True, hops: int = 2) -> PolicyAgent:
    """HGMem: for each question, a hypergraph of points that are inserted, updated and merged.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        merging: see `HGMemPolicy`.
        hops: see `HGMemPolicy`.
    """
    return system(
        "hg-mem",
        lambda backend: HGMemPolicy(backend, HashingEmbedder(256), merging=merging, hops=hops),
        llm=llm,
        steps=(HG_EVOLVE, HG_MERGE, HG_JUDGE),
        description="For each question, a hypergraph of points that are inserted, updated and merged.",
        url="https://arxiv.org/abs/2512.23959",
        deviations="The graph of the documents has entries and what they name, found by spelling; its edges "
        "have no descriptions. Concerns are their own queries. The reader gets the entries that points are made "
        "of. Vectors hash pieces of words. The oldest entries go where the budget is full; the paper has none.",
        merging=merging,
        hops=hops,
    )
