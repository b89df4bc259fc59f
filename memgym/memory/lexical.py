"""The lexical index: SQLite's FTS5 with the Porter stemmer and BM25 (Robertson & Zaragoza, 2009)."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from itertools import islice
from threading import Lock
from typing import TypeVar

from memgym.memory.few_texts import FewTexts, is_plain

__all__ = ["STOP_WORDS", "LexicalIndex", "content_words", "kept_where_short", "stem", "stems"]

T = TypeVar("T")

# Function words: they match nearly everything and say nothing.
STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being but by can could did do does
    doing for from had has have having he her hers him his how i if in into is it its just me more most my no
    nor not now of off on once only or other our out over own s same she should so some such t than that the
    their theirs them then there these they this those through to too under until up very was we were what when
    where which while who whom why will with would you your yours""".split()
)
WORD = re.compile(r"\w+")
MAX_QUERY_WORDS = 256  # SQLite's time grows with the square of their number: 50,000 take seconds
FEW = 32  # texts, each of at most MAX_CACHED characters, below which no table is made
MAX_CACHED = 2048  # characters; longer texts are not worth holding on to


def content_words(text: str) -> list[str]:
    """Lower-cased words without function words, in order; all words where nothing else is left."""
    words = WORD.findall(text.lower())
    return [word for word in words if word not in STOP_WORDS] or words


@lru_cache(maxsize=1 << 14)
def stem(word: str) -> str:
    """Cut plural and verb endings: enough to match "moved" with "move" where no index is at hand."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.rstrip("e")


def kept_where_short(function: Callable[[str], T]) -> Callable[[str], T]:
    """A function of a text that is asked for the same texts again and again; long ones are not held on to."""
    kept = lru_cache(maxsize=1 << 14)(function)

    @wraps(function)
    def of(text: str) -> T:
        return kept(text) if len(text) <= MAX_CACHED else function(text)

    return of


@kept_where_short
def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    return frozenset(stem(word) for word in content_words(text))


class LexicalIndex:
    """BM25 over short texts that come, change and go; each has an integer key.

    Ties are broken by key, lowest first, so rankings do not depend on the order of insertion. Queries are
    taken as they are: whoever wants function words dropped passes `content_words`. That is faster on large
    banks, and on LoCoMo it finds more (recall@10 0.605 against 0.550). Of a query, the first 256 distinct words
    count. Any thread may use it; one waits for the other.

    A table is made once there are more than a few texts, or other characters than ASCII; until then the same
    numbers come from `memgym.memory.few_texts`.
    """

    def __init__(self, documents: Iterable[tuple[int, str]] = ()) -> None:
        self._lock = Lock()
        self._few: FewTexts | None = FewTexts()
        for key, text in documents:
            self.put(key, text)

    @property
    def nbytes(self) -> int:
        """Bytes of the index, the texts that it keeps included."""
        with self._lock:
            if self._few is not None:
                return sum(map(len, self._few.texts.values()))
            self._db.execute("COMMIT")  # else what was put last is not in pages yet
            self._db.execute("BEGIN")
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            return pages * self._db.execute("PRAGMA page_size").fetchone()[0]

    def put(self, key: int, text: str) -> None:
        """Add or replace a document."""
        with self._lock:
            if self._few is not None:
                texts = self._few.texts
                if (key in texts or len(texts) < FEW) and len(text) <= MAX_CACHED and is_plain(text):
                    texts[key] = text
                    return
                self._make_table(texts)
            self._db.execute("INSERT OR REPLACE INTO doc(rowid, text) VALUES (?, ?)", (key, text))

    def remove(self, key: int) -> None:
        """Remove a document; removing what is not there does nothing."""
        with self._lock:
            if self._few is not None:
                self._few.texts.pop(key, None)
            else:
                self._db.execute("DELETE FROM doc WHERE rowid = ?", (key,))

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The `k` best (key, score) pairs, best first; only documents that share a word with `query`."""
        words = list(islice(dict.fromkeys(WORD.findall(query.lower())), MAX_QUERY_WORDS))
        if not words or k <= 0:
            return []
        with self._lock:
            if self._few is not None:
                if is_plain(query) and "_" not in query:  # which is a letter in a word, but none to SQLite
                    return self._few.search(words, k)
                self._make_table(self._few.texts)
            match = " OR ".join(f'"{word}"' for word in words)
            find = "SELECT rowid, rank FROM doc WHERE doc MATCH ? ORDER BY rank, rowid LIMIT ?"
            rows = self._db.execute(find, (match, k)).fetchall()
        return [(key, -rank) for key, rank in rows]

    def _make_table(self, texts: Mapping[int, str]) -> None:
        self._few = None
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE VIRTUAL TABLE doc USING fts5(text, tokenize='porter unicode61')")
        # One transaction without an end: FTS5 adds a part to its index for each, which puts and searches pay for.
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO doc(rowid, text) VALUES (?, ?)", texts.items())
