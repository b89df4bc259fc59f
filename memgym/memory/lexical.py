"""The lexical index: SQLite's FTS5 with the Porter stemmer and BM25 (Robertson & Zaragoza, 2009)."""

import re
import sqlite3
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["STOP_WORDS", "LexicalIndex", "content_words", "stem", "stems"]

# Function words: they match nearly everything and say nothing.
STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being but by can could did do does
    doing for from had has have having he her hers him his how i if in into is it its just me more most my no
    nor not now of off on once only or other our out over own s same she should so some such t than that the
    their theirs them then there these they this those through to too under until up very was we were what when
    where which while who whom why will with would you your yours""".split()
)
WORD = re.compile(r"\w+")


def content_words(text: str) -> list[str]:
    """Lower-cased words without function words, in order; all words where nothing else is left."""
    words = WORD.findall(text.lower())
    return [word for word in words if word not in STOP_WORDS] or words


def stem(word: str) -> str:
    """Cut plural and verb endings: enough to match "moved" with "move" where no index is at hand."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.rstrip("e")


@lru_cache(maxsize=1 << 14)
def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    return frozenset(stem(word) for word in content_words(text))


class LexicalIndex:
    """BM25 over short texts that come, change and go; each has an integer key.

    Ties are broken by key, lowest first, so rankings do not depend on the order of insertion. Queries are
    taken as they are: whoever wants function words dropped passes `content_words`. That is faster on large
    banks, and on LoCoMo it finds more (recall@10 0.605 against 0.550).
    """

    def __init__(self, documents: Iterable[tuple[int, str]] = ()) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.execute("CREATE VIRTUAL TABLE doc USING fts5(text, tokenize='porter unicode61')")
        self._db.executemany("INSERT INTO doc(rowid, text) VALUES (?, ?)", documents)

    def put(self, key: int, text: str) -> None:
        """Add or replace a document."""
        self._db.execute("INSERT OR REPLACE INTO doc(rowid, text) VALUES (?, ?)", (key, text))

    def remove(self, key: int) -> None:
        """Remove a document; removing what is not there does nothing."""
        self._db.execute("DELETE FROM doc WHERE rowid = ?", (key,))

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The `k` best (key, score) pairs, best first; only documents that share a word with `query`."""
        words = list(dict.fromkeys(WORD.findall(query.lower())))
        if not words or k <= 0:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self._db.execute(
            "SELECT rowid, rank FROM doc WHERE doc MATCH ? ORDER BY rank, rowid LIMIT ?", (match, k)
        )
        return [(key, -rank) for key, rank in rows]
