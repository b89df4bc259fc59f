"""MemoryAgentBench's own scores (Hu et al., ICLR 2026); names are those of its result files.

Of an answer it takes the better of the whole and of what follows the first ``Answer:``; over several golds the best.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

__all__ = [
    "exact_match",
    "f1",
    "first_words",
    "parse_answer",
    "score_memoryagentbench",
    "substring_exact_match",
]

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
CLOSED = {"yes", "no", "noanswer"}
PREFIX = re.compile(r"answer:(.*)(?:\n|$)", re.IGNORECASE)


def substring_exact_match(prediction: str, gold: str) -> float:
    """1 where the normalised gold is in the normalised prediction, also within a word.

    >>> substring_exact_match("It is the Camden Town.", "Camden town"), substring_exact_match("label: 43", "4")
    (1.0, 1.0)
    """
    return float(_normalise(gold) in _normalise(prediction))


def exact_match(prediction: str, gold: str) -> float:
    """1 where both are the same once normalised."""
    return float(_normalise(prediction) == _normalise(gold))


def f1(prediction: str, gold: str) -> float:
    """Token F1, 0 where only one side is ``yes``, ``no`` or ``noanswer``."""
    guess, wanted = _normalise(prediction), _normalise(gold)
    if guess != wanted and (guess in CLOSED or wanted in CLOSED):
        return 0.0
    words, gold_words = guess.split(), wanted.split()
    overlap = (Counter(words) & Counter(gold_words)).total()
    if overlap == 0:
        return 0.0
    precision, recall = overlap / len(words), overlap / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def parse_answer(output: str) -> str:
    r"""What follows the first ``Answer:`` on its line, otherwise the first line.

    >>> parse_answer("I think so. Answer: answer: Rome\nBecause ...")
    'Rome'
    """
    found = PREFIX.search(output)
    text = (found[1] if found else output.split("\n", 1)[0]).strip()
    return re.sub(r"^answer:", "", text, flags=re.IGNORECASE).strip()


def first_words(output: str, most: int) -> str:
    r"""The first `most` words of an output, as they stand.

    The benchmark lets a model write so many tokens; without that a copy of the whole memory would match any gold.

    >>> first_words("Rome or\nParis", 2)
    'Rome or'
    """
    words = list(islice(re.finditer(r"\S+", output), most + 1))
    return output[: words[most - 1].end()] if len(words) > most else output


METRICS: dict[str, Callable[[str, str], float]] = {
    "substring_exact_match": substring_exact_match,
    "exact_match": exact_match,
    "f1": f1,
}


def score_memoryagentbench(prediction: str, golds: Sequence[str], metric: str) -> float:
    r"""The benchmark's score of one answer: best over `golds`, raw or parsed.

    Args:
        prediction: what was answered.
        golds: right answers, at least one.
        metric: ``"substring_exact_match"``, ``"exact_match"`` or ``"f1"``.

    Raises:
        ValueError: no gold, or an unknown metric.

    >>> score_memoryagentbench("Answer: 43\nlabel", ["43"], "exact_match")
    1.0
    """
    if not golds:
        raise ValueError("there is no right answer to compare with.")
    if metric not in METRICS:
        raise ValueError(f"metric is one of {', '.join(METRICS)}, not {metric!r}.")
    score = METRICS[metric]
    return max(score(text, gold) for text in (prediction, parse_answer(prediction)) for gold in golds)


def _normalise(text: str) -> str:
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())
