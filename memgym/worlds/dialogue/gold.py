"""How good a bank is, whatever is asked: F1 between its entries and what an optimal bank holds."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from memgym.scoring import normalise

__all__ = ["bank_f1"]


@lru_cache(maxsize=1 << 12)
def _padded(text: str) -> str:
    return f" {normalise(text)} "


def bank_f1(entries: Iterable[str], needed: Sequence[tuple[str, ...]]) -> float:
    """F1 of a bank: recall over what is needed, precision over its entries.

    An entry has something needed where it says all of its words, after SQuAD's normalisation. One entry may have
    several; an entry that has nothing needed costs precision.

    >>> bank_f1(["Maya: I live in Oslo.", "Nice weather."], [("Maya", "Oslo"), ("Maya", "Fiat")])
    0.5
    """
    texts = [_padded(entry) for entry in entries]
    if not texts or not needed:
        return 0.0
    everything = "\n".join(texts)
    found, useful = 0, set[int]()
    for parts in needed:
        words = [_padded(part) for part in parts]
        if all(word in everything for word in words):  # seldom so, and a search in one string is fast
            having = [i for i, text in enumerate(texts) if all(word in text for word in words)]
            found += bool(having)
            useful.update(having)
    precision, recall = len(useful) / len(texts), found / len(needed)
    return 2 * precision * recall / (precision + recall) if found else 0.0
