"""Memory-R1: a manager that decides an operation for every fact, and an answerer that selects before it answers.

Yan et al. 2025, arXiv 2508.19828. The two are trained by reinforcement there; here they are whoever `llm` names.
"""

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.facts import FactLedger
from memgym.agents.structured.steps_facts import (
    DECIDE_OPS,
    DISTIL,
    EXTRACT_FACTS,
    Decision,
    DecisionInput,
    DistilInput,
    KeptFact,
    Said,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["MemoryR1Policy", "memory_r1"]


class MemoryR1Policy(MemoryPolicy):
    """Facts are extracted, each is compared with its nearest memories of the same speaker, and an operation decided.

    Args:
        llm: carries out `EXTRACT_FACTS`, `DECIDE_OPS` and `DISTIL`.
        embedder: makes the vectors that memories are compared by.
        candidates: memories that a fact is compared with.
        hits: memories that are found for a question, before the selection.
        manager: whether operations are decided; without, every fact is added.
        distillation: whether memories are selected before the answer; without, all that were found are read.
    """

    def __init__(
        self,
        llm: LLM,
        embedder: Embedder,
        *,
        candidates: int = 10,
        hits: int = 60,
        manager: bool = True,
        distillation: bool = True,
    ) -> None:
        check_integer("candidates", candidates, 1, 100)
        check_integer("hits", hits, 1, 100)
        self.llm, self.candidates, self.hits = llm, candidates, hits
        self.manager, self.distillation = manager, distillation
        self.ledger = FactLedger(embedder)

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """What the manager decides for each fact; the oldest memories go where there is no room."""
        self.ledger.begin(view)
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        for fact in self.llm.run(EXTRACT_FACTS, said).output.facts:
            if not self.manager:
                self.ledger.carry_out(Decision(event="ADD", text=fact), message)
                continue
            memories = self.ledger.candidates(fact, message.speaker, self.candidates)
            x = DecisionInput(fact=fact, memories=memories)
            for decision in self.llm.run(DECIDE_OPS, x).output.operations:
                self.ledger.carry_out(decision, message)
        return self.ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """The nearest memories, or those of them that the answerer selects."""
        near = [number for number, _ in self.ledger.nearest(question.text, self.hits)]
        found = self.ledger.fetch(near, search)
        if not self.distillation or not found:
            return ReadResult(found)
        memories = tuple(KeptFact(number=int(hit["id"][1:]), text=hit["text"]) for hit in found)
        kept = self.llm.run(DISTIL, DistilInput(question=question.text, memories=memories)).output.numbers
        by_number = {int(hit["id"][1:]): hit for hit in found}
        return ReadResult([by_number[number] for number in dict.fromkeys(kept)])

    def nbytes(self) -> int:
        """Its ledger."""
        return self.ledger.nbytes()


def memory_r1(llm: str = "rules", manager: bool = True, distillation: bool = True) -> PolicyAgent:
    """Memory-R1: decides ADD, UPDATE, DELETE or NOOP for every fact, and selects memories for an answer.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        manager: see `MemoryR1Policy`.
        distillation: see `MemoryR1Policy`.
    """
    return system(
        "memory-r1",
        lambda backend: MemoryR1Policy(
            backend, HashingEmbedder(256), manager=manager, distillation=distillation
        ),
        llm=llm,
        steps=(EXTRACT_FACTS, DECIDE_OPS, DISTIL),
        description="Decides ADD, UPDATE, DELETE or NOOP for every fact, and selects memories before it answers.",
        url="https://arxiv.org/abs/2508.19828",
        deviations="Not trained. Vectors hash pieces of words. Candidates come from the entries in view. The "
        "oldest memories go where the budget is full; the paper keeps all.",
        manager=manager,
        distillation=distillation,
    )
