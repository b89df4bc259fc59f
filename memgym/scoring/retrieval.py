"""How much of the evidence a ranking holds. All functions take ids, best first, and the ids of the evidence."""

import math
from collections.abc import Collection, Hashable, Sequence
from itertools import islice

__all__ = [
    "longmemeval_k",
    "longmemeval_ndcg_at_k",
    "ndcg_at_k",
    "recall_all_at_k",
    "recall_any_at_k",
    "recall_at_k",
]


def recall_at_k(found: Sequence[Hashable], evidence: Collection[Hashable], k: int) -> float:
    """Share of the evidence among the first `k` found.

    Raises:
        ValueError: no evidence, or `k` below 1; LoCoMo's harness counts a question without evidence as 1.

    >>> recall_at_k(["a", "x", "b"], ["a", "b"], 2)
    0.5
    """
    wanted = _wanted(evidence, k)
    return len(wanted & set(found[:k])) / len(wanted)


def recall_any_at_k(found: Sequence[Hashable], evidence: Collection[Hashable], k: int) -> float:
    """1 where any of the evidence is among the first `k` found (LongMemEval's ``recall_any@k``, also hit@k)."""
    return float(not _wanted(evidence, k).isdisjoint(found[:k]))


def recall_all_at_k(found: Sequence[Hashable], evidence: Collection[Hashable], k: int) -> float:
    """1 where all of the evidence is among the first `k` found (LongMemEval's ``recall_all@k``)."""
    return float(_wanted(evidence, k) <= set(found[:k]))


def ndcg_at_k(found: Sequence[Hashable], evidence: Collection[Hashable], k: int) -> float:
    """Normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen, 2002).

    Rank r (from 1) has the weight 1 / log2(r + 1).

    >>> round(ndcg_at_k(["x", "a"], ["a"], 10), 3)
    0.631
    """
    return _ndcg(found, evidence, [1 / math.log2(rank + 1) for rank in range(1, k + 1)])


def longmemeval_ndcg_at_k(found: Sequence[Hashable], evidence: Collection[Hashable], k: int) -> float:
    """``ndcg_any@k`` as LongMemEval publishes it, for the comparison with its numbers only.

    Ranks 1 and 2 have the same weight there: rank r > 1 has the weight 1 / log2(r).

    >>> longmemeval_ndcg_at_k(["x", "a"], ["a"], 10)
    1.0
    """
    return _ndcg(found, evidence, [1.0, *(1 / math.log2(rank) for rank in range(2, k + 1))])


def longmemeval_k(sessions: Sequence[Hashable], k: int) -> int:
    """How many turns LongMemEval looks at when turns are ranked but sessions counted.

    Args:
        sessions: the session of each turn found, best first.
        k: sessions wanted.

    Returns:
        The shortest length, at least `k`, that holds `k` different sessions; all where there are fewer.

    >>> longmemeval_k(["s1", "s1", "s2", "s3"], 2)
    3
    """
    seen: set[Hashable] = set()
    for i, session in enumerate(sessions, 1):
        seen.add(session)
        if len(seen) == k:
            return i
    return max(k, len(sessions))


def _wanted(evidence: Collection[Hashable], k: int) -> set[Hashable]:
    if not evidence:
        raise ValueError("there is no evidence to find; leave such questions out.")
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}.")
    return set(evidence)


def _ndcg(found: Sequence[Hashable], evidence: Collection[Hashable], weights: Sequence[float]) -> float:
    wanted = _wanted(evidence, len(weights))
    gain = sum(weight for id, weight in zip(found, weights, strict=False) if id in wanted)
    return gain / sum(islice(weights, len(wanted)))
