"""bAbI's score: the answer is a word, a list of things in any order, or a path in order."""

import re

__all__ = ["babi_match"]

SEPARATORS = re.compile(r"[,;\s]+")
PASSED_OVER = {"", "a", "an", "and", "the"}


def babi_match(prediction: str, gold: str, ordered: bool = False) -> bool:
    """Whether an answer is the right one, word for word, apart from case, articles and how a list is separated.

    Args:
        prediction: what was answered.
        gold: bAbI's answer; several things are separated by commas.
        ordered: whether the order counts: in path finding (task 19) it does, in lists and sets (task 8) not.

    >>> babi_match("Milk and the apple.", "apple,milk"), babi_match("s,w", "w,s", ordered=True)
    (True, False)
    """
    said, wanted = _things(prediction), _things(gold)
    return said == wanted if ordered else sorted(said) == sorted(wanted)


def _things(text: str) -> list[str]:
    words = (word.strip(".!?\"'") for word in SEPARATORS.split(text.lower()))
    return [word for word in words if word not in PASSED_OVER]
