"""A few texts are ranked with the very numbers that FTS5 gives."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.memory import few_texts, lexical
from memgym.memory.lexical import LexicalIndex

WORDS = """Maya moved moving moves to Oslo oslo's relational hopping generously 2021-03-04 the of a running
feed agreed conflated skies sky dogs happiness a1b2 x_y -- it's NO""".split()
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.text(st.characters(max_codepoint=126), max_size=40),
    st.text(max_size=12),  # any alphabet: makes a table
)


class Fts5(LexicalIndex):
    """An index with a table from the start: SQLite's own answers."""

    def __init__(self) -> None:
        super().__init__()
        self._make_table({})


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(1, 9), st.none() | TEXTS), max_size=24),
    query=st.one_of(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), TEXTS),
    k=st.integers(0, 12),
)
def test_few_texts_score_as_fts5_does_to_the_last_bit(
    changes: list[tuple[int, str | None]], query: str, k: int
) -> None:
    mine, theirs = LexicalIndex(), Fts5()
    for key, text in changes:
        for index in (mine, theirs):
            if text is None:
                index.remove(key)
            else:
                index.put(key, text)
        assert mine.search("moved to Oslo", 3) == theirs.search("moved to Oslo", 3)
    assert mine.search(query, k) == theirs.search(query, k)


def test_another_weight_of_length_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with another constant than FTS5's, the numbers differ."""
    mine, theirs = LexicalIndex(), Fts5()
    for index in (mine, theirs):
        index.put(1, "Maya lives in Oslo")
        index.put(2, "Maya moved")
        index.put(3, "Nice weather")
        index.put(4, "Really")
    assert mine.search("Maya Oslo", 4) == theirs.search("Maya Oslo", 4) != []
    monkeypatch.setattr(few_texts, "B", 0.7)
    assert mine.search("Maya Oslo", 4) != theirs.search("Maya Oslo", 4)


def test_a_table_is_made_for_many_texts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    connect = sqlite3.connect
    few_texts._stemmer()

    def counting(*args: object, **kwargs: object) -> sqlite3.Connection:
        opened.append("table")
        return connect(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(lexical.sqlite3, "connect", counting)
    index = LexicalIndex((i, f"text {i}") for i in range(lexical.FEW))
    assert len(index.search("text", 100)) == lexical.FEW
    assert opened == []
    index.put(lexical.FEW, "text")
    assert len(index.search("text", 100)) == lexical.FEW + 1
    assert opened == ["table"]
