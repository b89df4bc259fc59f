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
    wanted = [[_padded(part) for part in parts] for parts in needed]
    useful = [any(all(part in text for part in parts) for parts in wanted) for text in texts]
    found = [any(all(part in text for part in parts) for text in texts) for parts in wanted]
    precision, recall = sum(useful) / len(texts), sum(found) / len(wanted)
    return 2 * precision * recall / (precision + recall) if precision else 0.0
