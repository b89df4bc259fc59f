"""Scores of an answer that is a list: in which order, and whether of the right things."""

from collections.abc import Hashable, Sequence

from memgym.scoring.answer import normalise

__all__ = ["babi_exact_match", "item_f1", "kendall_tau_b", "kendall_tau_norm", "split_list"]


def kendall_tau_b(predicted: Sequence[Hashable], gold: Sequence[Hashable]) -> float:
    """Kendall's tau-b between two orders of things, from -1 to 1.

    What only one of the lists names comes last in the other, tied with the rest of its kind. 0 where one order
    says nothing, e.g. an empty list.

    Raises:
        ValueError: a list names something twice.

    >>> kendall_tau_b(["a", "c", "b"], ["a", "b", "c"])
    0.3333333333333333
    """
    for name, order in (("predicted", predicted), ("gold", gold)):
        if len(set(order)) != len(order):
            raise ValueError(f"the {name} order names something twice: {list(order)[:20]}.")
    things = list(dict.fromkeys([*gold, *predicted]))
    first, second = _ranks(things, predicted), _ranks(things, gold)
    agree = pairs_first = pairs_second = 0
    for i in range(len(things)):
        for j in range(i):
            a = (first[i] > first[j]) - (first[i] < first[j])
            b = (second[i] > second[j]) - (second[i] < second[j])
            agree += a * b
            pairs_first += a * a
            pairs_second += b * b
    return agree / (pairs_first * pairs_second) ** 0.5 if pairs_first and pairs_second else 0.0


def kendall_tau_norm(predicted: Sequence[Hashable], gold: Sequence[Hashable]) -> float:
    """`kendall_tau_b` moved to 0 to 1, as BEAM reports it: (tau + 1) / 2; an order by chance gives about 0.5."""
    return (kendall_tau_b(predicted, gold) + 1) / 2


def item_f1(predicted: Sequence[Hashable], gold: Sequence[Hashable]) -> float:
    """F1 between two sets of things, whatever their order; 1 where both are empty.

    >>> item_f1(["a", "b"], ["b", "c"])
    0.5
    """
    guess, wanted = set(predicted), set(gold)
    if not guess and not wanted:
        return 1.0
    return 2 * len(guess & wanted) / (len(guess) + len(wanted))


def split_list(text: str) -> list[str]:
    """The things that a text lists: normalised, cut at commas, semicolons, lines and "and"; repeated ones once.

    >>> split_list("1. the tea, bread and milk")
    ['tea', 'bread', 'milk']
    """
    parts = [text]
    for mark in (",", ";", "\n", " and "):
        parts = [piece for part in parts for piece in part.split(mark)]
    cleaned = (normalise(part.strip().lstrip("0123456789").lstrip(".) -")) for part in parts)
    return list(dict.fromkeys(part for part in cleaned if part))


def babi_exact_match(prediction: str, gold: str) -> float:
    """BAbI's score: 1 for the same word or, in the tasks with lists and paths, the same words in the same order.

    Upper case, spaces around commas and a full stop at the end do not matter.

    >>> babi_exact_match("Apple, milk.", "apple,milk"), babi_exact_match("milk,apple", "apple,milk")
    (1.0, 0.0)
    """
    return float(_babi_words(prediction) == _babi_words(gold))


def _babi_words(text: str) -> list[str]:
    return [word.strip() for word in text.lower().strip().rstrip(".").split(",")]


def _ranks(things: Sequence[Hashable], order: Sequence[Hashable]) -> list[int]:
    places = {thing: i for i, thing in enumerate(order)}
    return [places.get(thing, len(order)) for thing in things]
