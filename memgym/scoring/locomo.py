"""LoCoMo's own score of an answer.

Results are keyed by category number: the papers that use LoCoMo give the same names to different
categories, so a name alone (``single-hop``) does not say which questions were meant.
"""

import re
import string
from collections import Counter
from functools import lru_cache
from typing import Any

from memgym.errors import DependencyMissing

__all__ = ["CATEGORIES", "load_stemmer", "locomo_f1", "locomo_score", "locomo_stems", "scored_gold"]

CATEGORIES = {
    1: "1-multi-hop",
    2: "2-temporal",
    3: "3-open-domain",
    4: "4-single-hop",
    5: "5-adversarial",
}
"""The benchmark's own category numbers, and the names that results use."""

ARTICLES = re.compile(r"\b(a|an|the|and)\b")  # "and" counts as an article here
PUNCTUATION = str.maketrans("", "", string.punctuation)
DECLINES = ("no information available", "not mentioned")


def locomo_score(category: int, prediction: str, gold: str | int) -> float:
    """The benchmark's own score of one answer, from 0 to 1.

    Categories 2, 3 and 4: F1 over Porter stems; category 3 looks only at the gold before its first ``;``.
    Category 1: both sides are split at commas (also the commas inside dates), each gold part takes its best
    F1, and the parts are averaged. Category 5: 1 if the answer says that there is no information.

    Raises:
        ValueError: `category` is not 1 to 5.
        DependencyMissing: NLTK is not installed (categories 1 to 4).

    >>> locomo_score(2, "on 7 May 2023", "7 May 2023")  # precision 3/4, recall 1
    0.8571428571428571
    """
    if category not in CATEGORIES:
        raise ValueError(f"a LoCoMo category is 1 to 5, not {category}.")
    if category == 5:
        return float(any(phrase in prediction.lower() for phrase in DECLINES))
    gold = scored_gold(category, gold)
    if category != 1:
        return locomo_f1(prediction, gold)
    guesses = [locomo_stems(part) for part in dict.fromkeys(prediction.split(","))]
    parts = [locomo_stems(part) for part in gold.split(",")]
    return sum(max(_f1(guess, part) for guess in guesses) for part in parts) / len(parts)


def locomo_f1(prediction: str, gold: str) -> float:
    """Token F1 over Porter stems as LoCoMo counts it; commas are deleted and "and" is an article.

    Raises:
        DependencyMissing: NLTK is not installed.

    >>> locomo_f1("salt and peppers", "the salt, a pepper")
    1.0
    """
    return _f1(locomo_stems(prediction), locomo_stems(gold))


def scored_gold(category: int, gold: str | int) -> str:
    """The gold answer as far as the score looks at it: in category 3, what precedes the first ``;``."""
    return str(gold).split(";")[0].strip() if category == 3 else str(gold)


def _f1(guess: Counter[str], gold: Counter[str]) -> float:
    overlap = (guess & gold).total()
    if overlap == 0:
        return 0.0
    precision, recall = overlap / guess.total(), overlap / gold.total()
    return 2 * precision * recall / (precision + recall)


def locomo_stems(text: str) -> Counter[str]:
    """The Porter stems of a text as LoCoMo normalises it, with how often each occurs.

    Raises:
        DependencyMissing: NLTK is not installed.
    """
    # commas go with the other punctuation: "1,000" is one token, "red,blue" too
    words = ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()
    return Counter(_stem(word) for word in words)


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    return load_stemmer().stem(word)


@lru_cache(maxsize=1)
def load_stemmer() -> Any:
    """NLTK's Porter stemmer, the benchmark's; it needs no NLTK data.

    Raises:
        DependencyMissing: NLTK is not installed.
    """
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError:
        raise DependencyMissing.for_extra("nltk", "data", "LoCoMo's score") from None
    return PorterStemmer()
