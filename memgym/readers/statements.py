"""What a short statement states: "Actually, I changed my car, it is a Volvo now" says "Volvo" of the car."""

from collections.abc import Collection
from dataclasses import dataclass

from memgym.memory.lexical import stem
from memgym.readers.spans import WORD, clauses, says_nothing, without_time_phrases

__all__ = ["SHORT", "stated"]

SHORT = 16  # words; a longer turn says more than one thing
# what leads to what is said of something, and how surely
COPULAS = frozenset(
    "is am are was were be been becomes became become i'm it's he's she's we're they're".split()
)
NAMING = frozenset("called named name call goes".split())
LEADS = frozenset("as by to in at from".split())
ARTICLES = frozenset(("a", "an"))
THROUGH = frozenset(
    "the now it him her to by as a an".split()
)  # between a copula or a name and what it leads to


@dataclass
class _Chunk:
    """A run of words that tell something, and how likely it is what is asked for."""

    words: list[str]
    score: float


def stated(text: str, asked: Collection[str]) -> str:
    """The words that a short statement says of what is asked; ``""`` where it says nothing new.

    What follows a copula, a naming verb, an article or a preposition of place or role comes before other words,
    and what merely describes something asked ("my *new* hobby") after them; of equals the last.

    >>> stated("I changed my car, it is a Volvo now", {"car", "driv"})
    'Volvo'
    """
    chunks: list[_Chunk] = []
    last_asked = False
    for clause in clauses(without_time_phrases(text)):
        lead, running = 0.0, False
        for place, word in enumerate(WORD.findall(clause)):
            plain = word.lower().replace("’", "'")
            is_asked = stem(plain.removesuffix("'s")) in asked
            if not says_nothing(word, asked) and plain not in COPULAS and plain not in NAMING:
                if running:
                    chunks[-1].words.append(word)
                else:
                    is_name = place > 0 and word[0].isupper()
                    chunks.append(_Chunk([word], lead + last_asked + 0.5 * is_name))
                lead, last_asked, running = 0.0, False, True
                continue
            if running and is_asked:
                chunks[-1].score -= 3
            lead = _lead(plain, lead)
            last_asked, running = is_asked or (last_asked and plain in THROUGH), False
    if not chunks:
        return ""
    best = max(enumerate(chunks), key=lambda numbered: (numbered[1].score, numbered[0]))[1]
    return " ".join(best.words)


def _lead(word: str, before: float) -> float:
    """How much a word speaks for what comes right after it, given what the words before it did."""
    if word in COPULAS or word in NAMING:
        return 3.0
    if word in ARTICLES:
        return before + 1 if before else 2.0
    if word in THROUGH and before:
        return before
    return 2.0 if word in LEADS else 0.0
