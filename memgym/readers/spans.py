"""What of a text is news to somebody who asks a question."""

import re
from collections.abc import Collection

from memgym.memory.lexical import STOP_WORDS, stem

__all__ = [
    "clauses",
    "is_list_question",
    "is_yes_no",
    "news",
    "numbers",
    "says_nothing",
    "without_time_phrases",
]

CLAUSE = re.compile(r"(?<=[.!?])\s+|\n+|\s*\[shares |\]\s*|\s[-–—]\s|[,;:]\s+")
WORD = re.compile(r"[\w'’$%]+(?:[-.&/][\w'’]+)*")
# what people say around what they say; none of it answers a question
FILLERS = frozenset(
    """really so just very much got get getting like one thing things lot lots great good awesome amazing yeah
    thanks thank hey wow well also still even oh sure guess definitely totally pretty always lately recently hi know
    think feel make made going go don't can't i'm i've it's that's let's we've we're they're you're he's she's
    i'd i'll currently actually finally instead anymore moment please ok okay course favour way days now""".split()
)
TIME_PHRASES = re.compile(r"\b(?:these days|right now|at the moment|by the way|of course|any ?more)\b", re.I)
JOINS = frozenset("of the and in for to at on de la".split())  # inside a name: "Lord of the Rings"
PLURAL_NOUN = re.compile(
    r"^(?:what|which)(?: \w+){0,2}? (?!does\b|is\b|was\b|has\b|this\b)\w{3,}s\b(?! is\b)|^what (?:are|were)\b"
    r"|^(?:what|which) (?:kinds?|types?|sorts?) of\b|^who are\b",
    re.IGNORECASE,
)
YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|might|may)\b", re.IGNORECASE
)
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty hundred once twice thrice several dozen couple few half"
).split()
NUMBER = re.compile(rf"(?<!\w)(?:[$€£]?\d[\d,.]*(?<![,.])%?|{'|'.join(NUMBER_WORDS)})(?!\w)", re.IGNORECASE)


def clauses(text: str) -> list[str]:
    """The clauses of a text, cut at punctuation; a shared picture's caption is one.

    >>> clauses("By the way, I live in Oslo. It rains! [shares a photo of rain]")
    ['By the way', 'I live in Oslo.', 'It rains!', 'a photo of rain']
    """
    return [part.strip() for part in CLAUSE.split(text) if part and part.strip()]


def news(clause: str, asked: Collection[str]) -> str:
    """The words of a clause that say something beyond the stems `asked`.

    Function words go, except within a name, and so do the fillers of small talk.

    >>> news("I really love The Lord of the Rings", {"lov"})
    'Lord of the Rings'
    """
    words = WORD.findall(without_time_phrases(clause))
    kept = [not says_nothing(word, asked) for word in words]
    out = []
    for i, word in enumerate(words):
        if kept[i] or (word in JOINS and _within_name(words, kept, i)):
            out.append(word)
    return " ".join(out)


def without_time_phrases(text: str) -> str:
    """A text without "these days" and the like, whose words would seem to tell something."""
    return TIME_PHRASES.sub(" ", text)


def numbers(text: str) -> list[str]:
    """The numbers that a text names, in digits or words, in order.

    >>> numbers("She has two dogs and $1,500, not 3.")
    ['two', '$1,500', '3']
    """
    return NUMBER.findall(text)


def is_list_question(question: str) -> bool:
    """Whether the answer is likely to be several things.

    >>> is_list_question("What books has she read?"), is_list_question("Which city does she live in?")
    (True, False)
    """
    return bool(PLURAL_NOUN.match(question))


def is_yes_no(question: str) -> bool:
    """Whether a question begins with its verb."""
    return bool(YES_NO.match(question))


def says_nothing(word: str, asked: Collection[str]) -> bool:
    """Whether a word is a function word, a filler, or one of the question's."""
    plain = word.lower().replace("’", "'")
    bare = plain.removesuffix("'s")
    return bare in STOP_WORDS or plain in FILLERS or stem(bare) in asked or not any(map(str.isalnum, plain))


def _within_name(words: list[str], kept: list[bool], i: int) -> bool:
    """Between two kept words with capitals, with nothing but joining words in between."""
    left = next((j for j in range(i - 1, -1, -1) if words[j] not in JOINS), None)
    right = next((j for j in range(i + 1, len(words)) if words[j] not in JOINS), None)
    if left is None or right is None or not (kept[left] and kept[right]):
        return False
    return words[left][0].isupper() and words[right][0].isupper()
