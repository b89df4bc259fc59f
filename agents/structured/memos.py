"""MemOS: memory as a managed resource, with kinds, lives, versions and rights (Li et al. 2025, arXiv 2507.03724)."""

from typing import Any

from memgym.agents.handles import without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import said_by
from memgym.agents.structured.mem_cube import MemCube
from memgym.agents.structured.steps_cube import FUSE_STATEMENTS, GOVERN, JUDGE_RELATION, Governance, Pair
from memgym.agents.structured.steps_facts import EXTRACT_FACTS, Said
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import WORD, content_words
from memgym.memory.ops import MemoryOp, dump_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["MemOSPolicy", "memos"]

NEIGHBOURS = 5  # that a new statement is judged against
ALIKE = 0.15  # cosine from which two statements are judged; 0.8 in the paper, whose vectors know synonyms


class MemOSPolicy(MemoryPolicy):
    """Statements live in a `MemCube`: what is contradicted is archived, what is used is promoted, what ends expires.

    Args:
        llm: carries out `EXTRACT_FACTS`, `JUDGE_RELATION`, `FUSE_STATEMENTS` and `GOVERN`.
        embedder: makes the vectors of statements.
        hits: entries that are found for a question.
        conflicts: whether new statements are judged against old ones.
        scheduler: whether entries move between plaintext and activation memory.
        governance: whether private entries and those that have expired are kept from readers.
        promote_after: reads after which an entry is promoted.
        demote_after: messages without a read after which it is demoted.
        working: entries of activation memory, at most.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        hits: int = 20,
        conflicts: bool = True,
        scheduler: bool = True,
        governance: bool = True,
        promote_after: int = 3,
        demote_after: int = 50,
        working: int = 20,
    ) -> None:
        for name, value, most in (
            ("hits", hits, 50),
            ("promote_after", promote_after, 1000),
            ("demote_after", demote_after, 100_000),
            ("working", working, 1000),
        ):
            check_integer(name, value, 1, most)
        self.llm, self.hits = llm, hits
        self.conflicts, self.scheduler, self.governance = conflicts, scheduler, governance
        self.promote_after, self.demote_after, self.working = promote_after, demote_after, working
        self.cube = MemCube(embedder)
        self.read_words = (
            0  # of the last answer's evidence, those that activation memory did not hold already
        )
        self._uses: dict[
            int, tuple[int, int]
        ] = {}  # by number: reads, and the message after which the last one was
        self._messages, self._now = 0, ""

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """Move what is due, then take in what is said; what is archived goes first where there is no room."""
        cube, ledger = self.cube, self.cube.ledger
        ledger.begin(view)
        cube.keep_up()
        self._messages, self._now = self._messages + 1, message.time or self._now
        self._uses = {number: use for number, use in self._uses.items() if number in ledger}
        self._expire()
        self._schedule()
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        facts = self.llm.run(EXTRACT_FACTS, said).output.facts
        rights = self.llm.run(GOVERN, said).output if facts and self.governance else Governance()
        for fact in facts:
            self._take_in(fact, message, rights)
        cube.keep_up()
        return ledger.take()

    # ------------------------------------------------------------------ lives

    def _take_in(self, fact: str, message: Message, rights: Governance) -> None:
        """Add a statement, or what it and the one that it conflicts with come to."""
        prefix = f"{message.speaker}: " if message.speaker else ""
        owner = message.speaker if rights.private else ""
        attrs: dict[str, Any] = {"time": message.time, "owner": owner, "until": rights.until}
        attrs = {name: value for name, value in attrs.items() if value}
        older = self._conflicting(fact, message.speaker, owner) if self.conflicts else None
        if older is None:
            self.cube.add(prefix + fact, attrs, index=fact)
            return
        ledger = self.cube.ledger
        text = ledger.in_view[older]["text"]
        fused = self.llm.run(FUSE_STATEMENTS, Pair(older=text.removeprefix(prefix), newer=fact)).output.text
        if not fused:
            for number in [*ledger.attrs(older).get("merged", []), older]:  # what it came from says it too
                if number in ledger:
                    ledger.delete(number)
            self.cube.add(prefix + fact, attrs, index=fact)
            return
        held = ledger.attrs(older)
        history = [*held.get("history", []), [self.cube.version(older), text]]
        merged = [*held.get("merged", []), older]
        if self.cube.set_status(older, "archived"):
            attrs |= {"history": history[-4:], "merged": merged}
            if self.cube.add(prefix + fused, attrs, index=fused) is None:
                self.cube.set_status(older, "activated")

    def _conflicting(self, fact: str, speaker: str, owner: str) -> int | None:
        """The nearest active entry of the same speaker, as private, that a statement contradicts or repeats."""
        ledger = self.cube.ledger
        prefix = f"{speaker}: " if speaker else ""
        among = [
            number
            for number, entry in ledger.in_view.items()
            if said_by(entry["text"], speaker)
            and ledger.attrs(number).get("status") == "activated"
            and ledger.attrs(number).get("kind") != "parametric"
            and ledger.attrs(number).get("owner", "") == owner
        ]
        for number, likeness in ledger.nearest(fact, NEIGHBOURS, among=among):
            if likeness >= ALIKE:
                pair = Pair(older=ledger.in_view[number]["text"].removeprefix(prefix), newer=fact)
                if self.llm.run(JUDGE_RELATION, pair).output.relation != "independent":
                    return number
        return None

    def _expire(self) -> None:
        """Mark what has ended, among what is in view; readers do not find the rest either."""
        ledger = self.cube.ledger
        for number in list(ledger.in_view):
            attrs = ledger.attrs(number) if number in ledger else {}
            if (
                self.governance
                and attrs.get("status") == "activated"
                and self._now[:10] > attrs.get("until", "9")
            ):
                self.cube.set_status(number, "expired")

    def _schedule(self) -> None:
        """Promote what is read often, the most read first; demote what has not been read for long."""
        if not self.scheduler:
            return
        cube = self.cube
        for number in list(cube.activation):
            if self._messages - self._uses.get(number, (0, 0))[1] > self.demote_after and cube.demote(number):
                self._uses.pop(number, None)
        due = [
            n
            for n, (reads, _) in self._uses.items()
            if reads >= self.promote_after and n not in cube.activation
        ]
        for number in sorted(due, key=lambda n: (-self._uses[n][0], n)):
            if (
                len(cube.activation) < self.working
                and cube.is_found(number)
                and "until" not in cube.ledger.attrs(number)
            ):
                cube.promote(number)

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """Entries nearest by vectors and by words that the one who asks may see; activation memory is not searched.

        The one who asks is the question's speaker; nobody has everybody's rights.
        """
        ledger = self.cube.ledger
        principal = question.speaker if self.governance else ""
        day = (question.time or self._now) if self.governance else ""
        seen = [number for number in ledger if self.cube.is_found(number, principal, day)]
        dense = dict(ledger.nearest(question.text, 2 * self.hits, among=seen))
        hits = search(" ".join(content_words(question.text)), 2 * self.hits)
        best = max((hit["score"] for hit in hits), default=0.0) or 1.0
        lexical = {int(hit["id"][1:]): hit["score"] / best for hit in hits}
        known = set(seen)
        score = {
            number: dense.get(number, 0.0) + lexical.get(number, 0.0)
            for number in dict.fromkeys([*dense, *lexical])
            if number in known
        }
        chosen = sorted(score, key=lambda number: (-round(score[number], 5), number))[: self.hits]
        cached = [number for number in chosen if number in self.cube.activation]
        fetched = {
            int(hit["id"][1:]): hit for hit in ledger.fetch([n for n in chosen if n not in cached], search)
        }
        found = {**{each: self._cached(each) for each in cached}, **fetched}
        self._account([number for number in chosen if number in found], fetched)
        return ReadResult([found[number] for number in chosen if number in found])

    def _cached(self, number: int) -> Shown:
        attrs = dump_attrs(self.cube.ledger.attrs(number))
        return without_handle(
            {"id": f"m{number}", "text": self.cube.activation[number], "attrs": attrs, "score": 0.0}
        )

    def _account(self, read: list[int], fetched: dict[int, Shown]) -> None:
        """Count words that were fetched, and a use of the first three entries."""
        self.read_words = sum(len(WORD.findall(hit["text"])) for hit in fetched.values())
        for number in read[:3]:
            self._uses[number] = (self._uses.get(number, (0, 0))[0] + 1, self._messages)

    def nbytes(self) -> int:
        """Its cube, and the uses of entries."""
        return self.cube.nbytes() + 32 + 24 * len(self._uses)


def memos(
    llm: str = "rules", conflicts: bool = True, scheduler: bool = True, governance: bool = True
) -> PolicyAgent:
    """MemOS: a cube of plaintext, activation and parametric memory, with lives, versions and rights.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        conflicts: see `MemOSPolicy`.
        scheduler: see `MemOSPolicy`.
        governance: see `MemOSPolicy`.
    """
    switches: dict[str, Any] = {"conflicts": conflicts, "scheduler": scheduler, "governance": governance}
    return system(
        "memos",
        lambda backend: MemOSPolicy(backend, HashingEmbedder(256), **switches),
        llm=llm,
        steps=(EXTRACT_FACTS, JUDGE_RELATION, FUSE_STATEMENTS, GOVERN),
        description="A cube of plaintext, activation and parametric memory, with lives, versions and rights.",
        url="https://arxiv.org/abs/2507.03724",
        deviations="Activation memory holds texts that reading need not search for; no keys and values of a "
        "model. Parametric memory is a slot whose bytes count. The scheduler goes by messages and reads, not by "
        "time. No clusters and summaries. Only entries in view change. A question that nobody asks sees all. "
        "Vectors hash pieces of words. What is archived goes first where the budget is full, then the oldest.",
        **switches,
    )
