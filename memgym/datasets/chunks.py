"""Cutting a long text into chunks of about so many words, the same ones on every machine."""

import re
from collections.abc import Iterator

__all__ = ["chunks"]

LINE = re.compile(r"[^\n]*\n|[^\n]+")
NUMBERED = re.compile(r"\s*\d+[.)] ")
SENTENCE = re.compile(r".*?[.!?][\"')\]]*\s+|.+", re.DOTALL)
WORD = re.compile(r"\S+\s*|\s+")
MAX_SENTENCE = 2000  # words; what is longer is a list or a table without full stops


def chunks(text: str, chunk_words: int) -> Iterator[str]:
    r"""Consecutive pieces of `text`, none empty, which hold all of its words in order.

    A chunk takes whole lines as long as it has at most `chunk_words` words. A line that is longer alone is cut
    between sentences, never within one (unless it has more than 2,000 words); a line that begins with a number,
    such as a fact of a numbered list, is never cut. So a single long sentence or fact makes a longer chunk.

    >>> list(chunks("0. The sky is green.\n1. The sky is blue.\nSo it goes. And goes.", 3))
    ['0. The sky is green.', '1. The sky is blue.', 'So it goes.', 'And goes.']
    """
    begin = end = words = 0
    for piece in _pieces(text, chunk_words):
        count = len(piece.split())
        if words and words + count > chunk_words:
            yield text[begin:end].strip()
            begin, words = end, 0
        end += len(piece)
        words += count
    if words:
        yield text[begin:end].strip()


def _pieces(text: str, chunk_words: int) -> Iterator[str]:
    """What is not to be cut; together it is all of `text`."""
    for line in (match[0] for match in LINE.finditer(text)):
        if len(line.split()) <= chunk_words or NUMBERED.match(line):
            yield line
            continue
        for sentence in (match[0] for match in SENTENCE.finditer(line)):
            words = WORD.findall(sentence)
            if len(words) <= MAX_SENTENCE:
                yield sentence
            else:
                for i in range(0, len(words), chunk_words):
                    yield "".join(words[i : i + chunk_words])
