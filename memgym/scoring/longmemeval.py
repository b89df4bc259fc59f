"""A deterministic score for LongMemEval, whose own is a language model's judgement.

It is stricter than the judge: an answer in other words than the gold's counts as wrong. So its values are a lower
bound and no LongMemEval accuracy.
"""

import re

from memgym.scoring.answer import normalise

__all__ = ["accepted_answers", "contains_answer"]

MORE_WORDS = 50  # that an answer may have beside the gold: repeating the whole memory is no answer
ALSO = re.compile(r"(.+?)\. (\S.*?) \(including the last day\) is also acceptable\.?", re.DOTALL)


def accepted_answers(gold: str) -> tuple[str, ...]:
    """The answers that a gold names: differences of dates name one with the last day included as well.

    >>> accepted_answers("7 days. 8 days (including the last day) is also acceptable.")
    ('7 days', '8 days')
    """
    match = ALSO.fullmatch(gold.strip())
    return (match[1], match[2]) if match else (gold,)


def contains_answer(prediction: str, gold: str) -> bool:
    """Whether an answer has the words of the gold in a row, apart from case, punctuation and articles.

    Of the answer the first 50 words are looked at, beside as many as the gold has.

    >>> contains_answer("It was on 7 May.", "7 May"), contains_answer("17 May", "7 May")
    (True, False)
    """
    for each in accepted_answers(gold):
        words = normalise(each).split()
        said = normalise(prediction).split()[: MORE_WORDS + len(words)]
        if words and f" {' '.join(words)} " in f" {' '.join(said)} ":
            return True
    return False
