"""Mem-alpha: a memory of core, facts and events, written by tool calls (Wang et al. 2025, arXiv 2509.25911).

The policy that makes the calls is trained by reinforcement there; here it is whoever `llm` names. Its tools are in
`mem_alpha_tools`, its rewards in `mem_alpha_rewards`.
"""

import re
from typing import Any, Literal

from memgym.agents.handles import without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.facts import Digests
from memgym.agents.structured.ledger import Ledger, said_by
from memgym.agents.structured.mem_alpha_rewards import Content, judge_by_form
from memgym.agents.structured.steps_facts import (
    ANY_DAY,
    FORGET,
    PACKAGE,
    DecisionInput,
    KeptFact,
    Said,
    decide_by_words,
    first_person_sentences,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_choice, check_integer
from memgym.llm import LLM, Step, StepModel, load_prompt
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.lexical import content_words
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search
from memgym.readers.dates import find_dates

__all__ = ["WRITE_TYPED_MEMORY", "MemAlphaPolicy", "MemoryCall", "mem_alpha"]

CORE_BYTES = 2048  # 512 tokens of four bytes
SHARE = 4  # core takes at most one part in so many of the budget
HANDLE_BYTES = 12  # of core's text, at most
RECENT = 20  # entries of a part that the writer sees
STANDING = re.compile(
    r"\b(always|never|from now on|in future|make sure|whenever|keep in mind)\b", re.IGNORECASE
)
PEOPLE = "In this conversation: "


class WriterInput(StepModel):
    """What is new, the core, and the newest entries of the other parts, without the speaker's name."""

    said: Said
    core: str = ""
    semantic: tuple[KeptFact, ...] = ()
    episodic: tuple[KeptFact, ...] = ()


class MemoryCall(StepModel):
    """One tool call. `number` is that of an entry; core has none."""

    tool: Literal["insert", "update", "delete"]
    memory_type: Literal["core", "semantic", "episodic"]
    number: int = 0
    content: str = ""


class MemoryCalls(StepModel):
    """Calls, in order."""

    calls: tuple[MemoryCall, ...]


def sort_into_parts(x: WriterInput) -> MemoryCalls:
    """Core gets who speaks and standing instructions; episodic what names a time, semantic the other facts.

    Facts and events are decided on as in `decide_by_words`.
    """
    calls: list[MemoryCall] = []
    core = x.core
    if x.said.speaker and x.said.speaker not in core:
        first, _, rest = core.partition("\n")
        names = f"{first.rstrip('.')}, " if first else PEOPLE
        core = f"{names}{x.said.speaker}.\n{rest}".strip()
    for fact in first_person_sentences(x.said).facts:
        if STANDING.search(fact) and fact not in core:
            core = f"{core}\n{fact}".strip()
        event = bool(find_dates(fact, ANY_DAY)) and bool(x.said.time)
        part: Literal["semantic", "episodic"] = "episodic" if event else "semantic"
        memories = x.semantic + x.episodic if FORGET.search(fact) else getattr(x, part)
        known = {memory.number: "semantic" for memory in x.semantic} | {
            m.number: "episodic" for m in x.episodic
        }
        for made in decide_by_words(DecisionInput(fact=fact, memories=memories)).operations:
            if made.event == "ADD":
                calls.append(MemoryCall(tool="insert", memory_type=part, content=made.text))
            elif made.event != "NOOP":
                tool: Literal["update", "delete"] = "update" if made.event == "UPDATE" else "delete"
                calls.append(
                    MemoryCall.model_validate(
                        {
                            "tool": tool,
                            "memory_type": known[made.number],
                            "number": made.number,
                            "content": made.text,
                        }
                    )
                )
    if core != x.core:
        calls.insert(0, MemoryCall(tool="update", memory_type="core", content=core))
    return MemoryCalls(calls=tuple(calls))


def _valid_calls(x: WriterInput, output: MemoryCalls) -> str:
    known = {"semantic": {m.number for m in x.semantic}, "episodic": {m.number for m in x.episodic}}
    for call in output.calls:
        if call.tool == "insert" and call.memory_type == "core":
            return "core is updated, never inserted into."
        if call.tool != "delete" and not call.content.strip():
            return f"{call.tool} without content."
        if (
            call.tool != "insert"
            and call.memory_type != "core"
            and call.number not in known[call.memory_type]
        ):
            return f"{call.tool} of {call.number}, which is no {call.memory_type} entry shown."
    return ""


WRITE_TYPED_MEMORY = Step(
    "write_typed_memory",
    WriterInput,
    MemoryCalls,
    load_prompt("write_typed_memory", PACKAGE),
    rule=sort_into_parts,
    fallback=lambda x: MemoryCalls(calls=()),
    check=_valid_calls,
    max_tokens=2048,
)


class MemAlphaPolicy(MemoryPolicy):
    """Every message is written by calls into three parts; core comes first in every answer's evidence.

    Entries have ``attrs["kind"]``, so the policy also plays `LongHorizonQA` with `core_bytes`.

    Args:
        llm: carries out `WRITE_TYPED_MEMORY`.
        embedder: makes vectors of entries.
        core_bytes: most bytes of core; what is longer is cut. Never more than a quarter of the budget.
        hits: entries of each other part that are found for a question.
        typed: whether there are three parts; without, all is semantic and there is no core.
        retrieval: what entries are found by, ``"bm25"`` as published or ``"dense"``.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        core_bytes: int = CORE_BYTES,
        hits: int = 20,
        typed: bool = True,
        retrieval: Literal["bm25", "dense"] = "bm25",
    ) -> None:
        check_integer("core_bytes", core_bytes, 0, 1 << 20)
        check_integer("hits", hits, 1, 25)
        check_choice("retrieval", retrieval, ("bm25", "dense"))
        self.llm, self.hits, self.typed, self.retrieval = llm, hits, typed, retrieval
        self.ledger = Ledger(embedder)
        self._digests = Digests()
        self.rejected: list[str] = []  # of the last message, calls that were not carried out, with the reason
        self._core_bytes = max(0, core_bytes - HANDLE_BYTES)
        self._core = 0  # number of the core entry
        self._core_text = ""
        self._started = False

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """Carry out the calls; the oldest entries go where there is no room, core last."""
        ledger = self.ledger
        ledger.begin(view)
        self._digests.keep(ledger)
        self.rejected = []
        if not self._started:
            self._started = True
            self._core_bytes = min(self._core_bytes, view.bytes_left // SHARE)
        if self._core not in ledger:
            self._core, self._core_text = 0, ""
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        x = WriterInput(
            said=said,
            core=self._core_text,
            semantic=self._newest("semantic", message.speaker),
            episodic=self._newest("episodic", message.speaker),
        )
        for call in self.llm.run(WRITE_TYPED_MEMORY, x).output.calls:
            if reason := self._carry_out(call, message):
                self.rejected.append(f"{call.tool} {call.memory_type}: {reason}")
        self._digests.keep(ledger)
        return ledger.take()

    def _newest(self, part: str, speaker: str) -> tuple[KeptFact, ...]:
        """The newest entries of a part, of the same speaker, that are in view."""
        prefix = f"{speaker}: " if speaker else ""
        shown = self.ledger.in_view
        numbers = [n for n in shown if self._part(n) == part and said_by(shown[n]["text"], speaker)]
        return tuple(
            KeptFact(number=n, text=shown[n]["text"].removeprefix(prefix)) for n in sorted(numbers)[-RECENT:]
        )

    def _part(self, number: int) -> str:
        return self.ledger.attrs(number).get("kind", "")

    def _carry_out(self, call: MemoryCall, message: Message) -> str:
        """Plan a call; why not, where it is not."""
        ledger = self.ledger
        if call.memory_type == "core":
            return (
                self._write_core("" if call.tool == "delete" else call.content)
                if self.typed
                else "there is no core"
            )
        prefix = f"{message.speaker}: " if message.speaker else ""
        text, time = prefix + call.content, {"time": message.time} if message.time else {}
        if call.tool != "insert" and call.number not in ledger:
            return "no such entry"
        if call.tool == "delete":
            ledger.delete(call.number)
            return ""
        part = call.memory_type if self.typed else "semantic"
        verdict = judge_by_form(Content(memory_type=part, content=call.content, time=message.time))
        if part == "episodic" and not verdict.valid:
            return verdict.reason
        if text in self._digests:
            return "it is there already"
        number: int | None = call.number
        if call.tool == "insert":
            number = ledger.add(text, {**time, "kind": part}, index=call.content, evict=self._order)
        elif not ledger.update(call.number, text, time, index=call.content, evict=self._order):
            number = None
        if number is None:
            return "it does not fit"
        self._digests.put(number, text)
        return ""

    def _write_core(self, text: str) -> str:
        """Replace core by as much of a text as may be."""
        ledger = self.ledger
        text = cut(text, self._core_bytes)
        if not text:
            if self._core:
                ledger.delete(self._core)
            self._core, self._core_text = 0, ""
            return ""
        if self._core:
            fits = ledger.update(self._core, text, {}, evict=self._order)
        else:
            number = ledger.add(text, {"kind": "core"}, evict=self._order)
            fits, self._core = number is not None, number or 0
        if fits:
            self._core_text = text
        return "" if fits else "it does not fit"

    def _order(self, number: int) -> Any:
        return number == self._core, number

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """Core, whatever is asked, and of each other part the entries nearest to the question."""
        core = self.ledger.fetch([self._core] if self._core else [], search)
        if self.retrieval == "dense":
            near = [number for number, _ in self.ledger.nearest(question.text, len(self.ledger))]
            return ReadResult([*core, *self.ledger.fetch(self._best(near), search)])
        hits = search(" ".join(content_words(question.text)), 2 * self.hits + 1)
        found = {int(hit["id"][1:]): hit for hit in hits}
        best = self._best([number for number in found if number in self.ledger])
        return ReadResult([*core, *(without_handle(found[number]) for number in best)])

    def _best(self, numbers: list[int]) -> list[int]:
        """Of entries, best first, so many of each part but core."""
        parts = {
            part: [n for n in numbers if self._part(n) == part][: self.hits]
            for part in ("semantic", "episodic")
        }
        chosen = {number for part in parts.values() for number in part}
        return [number for number in numbers if number in chosen]

    def nbytes(self) -> int:
        """Its ledger, digests, and the text of core."""
        return self.ledger.nbytes() + self._digests.nbytes() + 16 + len(self._core_text.encode())


def cut(text: str, nbytes: int) -> str:
    """As many whole words of a text as fit; of a single longer word, as many characters.

    >>> cut("one two three", 9)
    'one two'
    """
    if len(text.encode()) <= nbytes:
        return text
    short = text.encode()[: nbytes + 1].decode(errors="ignore")
    whole = short.rstrip() if short[-1:].isspace() else (short.rsplit(None, 1) or [""])[0]
    return whole if whole != short else text.encode()[:nbytes].decode(errors="ignore")


def mem_alpha(
    llm: str = "rules",
    core_bytes: int = CORE_BYTES,
    typed: bool = True,
    retrieval: Literal["bm25", "dense"] = "bm25",
) -> PolicyAgent:
    """Mem-alpha: writes core, semantic and episodic memory by tool calls; core is read with every question.

    Args:
        llm: who carries out its step, as `memgym.llm.make_llm` names it.
        core_bytes: see `MemAlphaPolicy`.
        typed: see `MemAlphaPolicy`.
        retrieval: see `MemAlphaPolicy`.
    """

    def make(backend: LLM) -> MemoryPolicy:
        return MemAlphaPolicy(
            backend, HashingEmbedder(256), core_bytes=core_bytes, typed=typed, retrieval=retrieval
        )

    return system(
        "mem-alpha",
        make,
        llm=llm,
        steps=(WRITE_TYPED_MEMORY,),
        description="Writes core, semantic and episodic memory by tool calls; core is read with every question.",
        url="https://arxiv.org/abs/2509.25911",
        deviations="Not trained. Core is 512 tokens of four bytes, and at most a quarter of the budget. The "
        "writer sees the newest entries of the same speaker among those in view. BM25 searches both parts at "
        "once. The oldest entries go where the budget is full; the paper keeps all.",
        core_bytes=core_bytes,
        typed=typed,
        retrieval=retrieval,
    )
