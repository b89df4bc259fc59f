"""Retrievers over a fixed list of texts, as studies compare them: each ranks all texts for each query.

Ties go to the earlier text, so that a ranking is a function of the texts and the query.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memgym.errors import DependencyMissing
from memgym.memory.embed import make_embedder
from memgym.memory.lexical import WORD, content_words
from memgym.rng import CounterRNG, episode_key, stream_id

__all__ = ["RETRIEVERS", "Ranker", "fuse"]

Scores = NDArray[np.float64]
Ranker = Callable[[Sequence[str], Sequence[str]], Scores]
"""(texts, queries) -> scores, (queries, texts); -inf for what is not found at all."""

RRF_K = 60  # Cormack et al., 2009


def random_scores(texts: Sequence[str], queries: Sequence[str]) -> Scores:
    """The floor: a shuffled order for each query, drawn from its number."""
    keys = [episode_key(0, i, stream_id("retrievers/random")) for i in range(len(queries))]
    return np.array([[rng.random() for _ in texts] for rng in map(CounterRNG, keys)])


def recency_scores(texts: Sequence[str], queries: Sequence[str]) -> Scores:
    """The newest text first, whatever the query."""
    return np.tile(np.arange(len(texts), dtype=float), (len(queries), 1))


def bm25s_scores(texts: Sequence[str], queries: Sequence[str], *, stem: bool) -> Scores:
    """The library bm25s as it comes (Lucene's BM25, k1 1.5, b 0.75), English stop words; Snowball's stems or none."""
    bm25s = _library("bm25s")
    stemmer = _library("Stemmer", "PyStemmer").Stemmer("english") if stem else None
    cut = partial(bm25s.tokenize, stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25()
    index.index(cut(list(texts)), show_progress=False)
    rows = np.zeros((len(queries), len(texts)))
    for row, words in zip(rows, cut(list(queries), return_ids=False), strict=True):
        if known := [word for word in words if word in index.vocab_dict]:
            row[:] = index.get_scores(known)
    return rows


def tfidf_scores(texts: Sequence[str], queries: Sequence[str], **settings: Any) -> Scores:
    """Cosine of scikit-learn's TF-IDF vectors."""
    vectorizer = _library("sklearn.feature_extraction.text", "scikit-learn").TfidfVectorizer(**settings)
    index = vectorizer.fit_transform(texts)
    return (vectorizer.transform(queries) @ index.T).toarray()


def fts5_scores(
    texts: Sequence[str],
    queries: Sequence[str],
    *,
    tokenizer: str,
    words: Callable[[str], list[str]] = lambda text: WORD.findall(text.lower()),
) -> Scores:
    """BM25 of SQLite's FTS5 over any of the query's `words`."""
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE VIRTUAL TABLE doc USING fts5(text, tokenize='{tokenizer}')")
    db.executemany("INSERT INTO doc(rowid, text) VALUES (?, ?)", enumerate(texts))
    rows = np.full((len(queries), len(texts)), -np.inf)
    for row, query in zip(rows, queries, strict=True):
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words(query)))
        if match:
            for i, rank in db.execute("SELECT rowid, rank FROM doc WHERE doc MATCH ?", (match,)):
                row[i] = -rank
    db.close()
    return rows


def dense_scores(texts: Sequence[str], queries: Sequence[str], *, embedder: str) -> Scores:
    """Cosine of the vectors of an embedder of `memgym.memory.embed`."""
    embed = make_embedder(embedder).embed
    return (embed(queries) @ embed(texts).T).astype(float)


def fuse(*rankers: Ranker, k: int = RRF_K) -> Ranker:
    """Reciprocal rank fusion: the sum of 1 / (k + rank) over the rankers."""

    def fused(texts: Sequence[str], queries: Sequence[str]) -> Scores:
        total = np.zeros((len(queries), len(texts)))
        for ranker in rankers:
            order = np.argsort(-ranker(texts, queries), axis=1, kind="stable")
            ranks = np.argsort(order, axis=1, kind="stable")
            total += 1 / (k + 1 + ranks)
        return total

    return fused


def _library(module: str, package: str = "") -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise DependencyMissing.for_extra(package or module, "retrieval", "this retriever") from None


BM25_STEM = partial(bm25s_scores, stem=True)
TFIDF_CHAR = partial(tfidf_scores, analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
HASHING = partial(dense_scores, embedder="hashing")

RETRIEVERS: dict[str, Ranker] = {
    "random": random_scores,
    "recency": recency_scores,
    "bm25s, stop words": partial(bm25s_scores, stem=False),
    "bm25s, stop words and stems": BM25_STEM,
    "TF-IDF, words": partial(tfidf_scores, stop_words="english", sublinear_tf=True),
    "TF-IDF, characters 3-5": TFIDF_CHAR,
    "FTS5 unicode61": partial(fts5_scores, tokenizer="unicode61"),
    "FTS5 porter": partial(fts5_scores, tokenizer="porter unicode61"),
    "FTS5 porter, content words": partial(fts5_scores, tokenizer="porter unicode61", words=content_words),
    "dense, hashing-1024": HASHING,
    "RRF60 (bm25s stems, TF-IDF characters)": fuse(BM25_STEM, TFIDF_CHAR),
    "RRF60 (bm25s stems, dense hashing)": fuse(BM25_STEM, HASHING),
}
