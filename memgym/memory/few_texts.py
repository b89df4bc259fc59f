"""BM25 over few short texts, with the numbers of SQLite's FTS5 and without its cost.

An environment asks a bank of a few entries something in every fourth step, and makes a new bank in every episode. A
full-text table then costs more than all the rest: about a millisecond to make, 0.2 to change and ask.
"""

import math
import re
import sqlite3
from collections import Counter
from functools import lru_cache
from threading import Lock

__all__ = ["FewTexts", "is_plain"]

K1, B = 1.2, 0.75  # FTS5's
TOKEN = re.compile(r"[a-z0-9]+")  # what its tokenizer unicode61 takes for a word, as far as ASCII goes


def is_plain(text: str) -> bool:
    """Whether the tokenizer splits `text` as `TOKEN` does."""
    return text.isascii() and "\0" not in text


class _Stemmer:
    """FTS5's own stems, asked of it: one word at a time in a table of one row."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE word USING fts5(text, tokenize='porter unicode61')")
        self._db.execute("CREATE VIRTUAL TABLE stem USING fts5vocab(word, 'row')")

    def stem(self, word: str) -> str:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO word(rowid, text) VALUES (1, ?)", (word,))
            return self._db.execute("SELECT term FROM stem").fetchone()[0]


@lru_cache(maxsize=1)
def _stemmer() -> _Stemmer:
    return _Stemmer()


@lru_cache(maxsize=1 << 15)
def _stem(word: str) -> str:
    return _stemmer().stem(word)


@lru_cache(maxsize=1 << 10)
def _counted(text: str) -> tuple[Counter[str], int]:
    """How often each stem occurs, and how many words there are."""
    stems = [_stem(word) for word in TOKEN.findall(text.lower())]
    return Counter(stems), len(stems)


class FewTexts:
    """Plain texts by key; see `memgym.memory.lexical.LexicalIndex`, which has the same `search`."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}

    def search(self, words: list[str], k: int) -> list[tuple[int, float]]:
        """The `k` best (key, score) pairs for distinct words of a query, best first."""
        asked = [_stem(word) for word in words]
        texts = [(key, *_counted(text)) for key, text in self.texts.items()]
        total = sum(length for _, _, length in texts)
        if not total:
            return []
        mean = total / len(texts)
        weights: list[float] = []
        for word in asked:  # the order of operations is FTS5's, so that no bit differs
            having = sum(word in counts for _, counts, _ in texts)
            weight = math.log((len(texts) - having + 0.5) / (having + 0.5))
            weights.append(weight if weight > 0 else 1e-6)
        found: list[tuple[float, int]] = []
        for key, counts, length in texts:
            if not any(word in counts for word in asked):
                continue
            score, size = 0.0, K1 * (1 - B + B * length / mean)
            for word, weight in zip(asked, weights, strict=True):
                often = counts.get(word, 0)
                score += weight * ((often * (K1 + 1.0)) / (often + size))
            found.append((-score, key))
        found.sort()
        return [(key, -less) for less, key in found[:k]]
