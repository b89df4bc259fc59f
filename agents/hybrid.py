"""Store everything, find it by words and by vectors, fused by reciprocal rank."""

from memgym.agents.dense import FOUND, DensePolicy
from memgym.agents.handles import handle_of, without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.memory.embed import make_embedder
from memgym.memory.lexical import content_words
from memgym.memory.policy import Message, ReadResult, Search
from memgym.memory.retrieval import fuse_ranks

__all__ = ["HybridPolicy", "hybrid_rrf"]

DEPTH = 50  # of each ranking


class HybridPolicy(DensePolicy):
    """Writes as `DensePolicy`; reads what reciprocal rank fusion of BM25 and the vectors puts first.

    Its searches return more entries than the reader gets, so the ``evidence_recall`` that an environment reports for
    it is that of 50 entries and more.

    Fusion: `memgym.memory.retrieval.fuse_ranks`.
    """

    def read(self, question: Message, search: Search) -> ReadResult:
        """One search by words, and one more for what only the vectors have found."""
        words = " ".join(content_words(question.text))
        numbered = [(handle_of(hit["text"]), hit) for hit in search(words, DEPTH)]
        by_words = {number: without_handle(hit) for number, hit in numbered if number is not None}
        scores = fuse_ranks((by_words, self.nearest(question.text, DEPTH)))
        best = sorted(scores, key=lambda number: (-scores[number], number))[:FOUND]
        hits = by_words | self.fetch([number for number in best if number not in by_words], search)
        return ReadResult([hits[number] for number in best if number in hits])


def hybrid_rrf(embedder: str = "hashing") -> PolicyAgent:
    """Adds every message until the budget is full; reads ten by BM25 and vectors, fused by reciprocal rank.

    Args:
        embedder: as in `memgym.memory.embed.make_embedder`.
    """
    make = make_embedder(embedder)
    card = AgentCard(
        name="hybrid-rrf",
        kind="scripted",
        description="Adds every message until the budget is full; retrieves ten by BM25 and vectors, fused.",
        extra={"embedder": make.name},
    )
    return PolicyAgent(card, lambda: HybridPolicy(make))
