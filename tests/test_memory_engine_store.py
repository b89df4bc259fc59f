"""What structure adds to the engine, and the store over it: edges, lineage, validity, vectors, users, filters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.agents.bm25 import AddAllPolicy
from memgym.agents.rules import RulesPolicy
from memgym.errors import InvalidOperation
from memgym.memory import MADE, MemoryEngine, MemoryEntry, MemoryOp, Scope
from memgym.memory.embed import HashingEmbedder
from memgym.memory.filters import compile_filters
from memgym.memory.persistent import PersistentEngine
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search
from memgym.memory.store import MemoryStore
from memgym.memory.vectors import EmbeddingInvalid, VectorIndex


def run(*ops: MemoryOp, **kwargs: Any) -> MemoryEngine:
    engine = MemoryEngine(**{"extended": True, **kwargs})
    for op in ops:
        assert engine.apply(op).ok, op
    return engine


def ids(hits: Sequence[Any]) -> list[str]:
    return [hit.entry.id for hit in hits]


OSLO, ROME, TEA = (MemoryOp.add(f"Maya {does}") for does in ("lives in Oslo", "lives in Rome", "drinks tea"))

# ---------------------------------------------------------------------- edges and lineage


def test_merge_archives_its_sources_names_them_and_takes_over_their_edges() -> None:
    engine = run(OSLO, ROME, TEA, MemoryOp.link("m1", "m3", "with", 0.5), MemoryOp.link("m3", "m2", "of"))
    assert engine.apply(MemoryOp.merge(["m1", "m2"], "Maya moved from Oslo to Rome", time="2024")).id == "m4"
    assert engine.get("m4").parents == ("m1", "m2")
    assert [engine.get(id).status for id in ("m1", "m2", "m4")] == ["archived", "archived", "active"]
    assert ids(engine.search("Maya", 10)) == ["m3", "m4"]
    assert [hit.entry.id for hit in engine.neighbours("m4", direction="out")] == ["m3"]
    assert {edge[:4] for edge in engine.edges() if "m4" in edge} == {
        ("m4", "with", "m3", 0.5),
        ("m3", "of", "m4", 1),
    }


def test_deleting_a_source_empties_what_was_made_of_it_and_brings_the_other_back() -> None:
    engine = run(
        OSLO, ROME, MemoryOp.merge(["m1", "m2"], "Oslo, then Rome"), MemoryOp.link("m3", "m1", "secret")
    )
    engine.apply(MemoryOp.merge([MADE, MADE], ""))  # refused, and made nothing
    engine.apply(MemoryOp.delete("m1"))
    stale = engine.get("m3")
    assert (stale.status, stale.text, stale.parents) == ("stale", "", ("m1", "m2"))
    assert ids(engine.search("Oslo Rome")) == ["m2"]
    assert [entry.id for entry in engine.get_all(status="stale")] == ["m3"]
    for word in (b"Oslo", b"secret"):
        assert word not in engine.snapshot()
    assert engine.apply(MemoryOp.update("m3", "Maya lives in Rome")).ok
    assert engine.get("m3").status == "active"


def test_deleting_a_merged_entry_takes_its_past_with_it_but_not_what_came_back() -> None:
    engine = run(
        OSLO, ROME, MemoryOp.merge(["m1", "m2"], "both"), MemoryOp.restore("m2"), MemoryOp.delete("m3")
    )
    assert [entry.id for entry in engine.get_all()] == ["m2"]
    assert "m1" not in engine
    assert b"Oslo" not in engine.snapshot()


def test_neighbourhood_reaches_what_shares_no_word_with_the_query() -> None:
    chain = [MemoryOp.add(text) for text in ("storm at sea", "the harbour closed", "bread got dear")]
    engine = run(*chain, MemoryOp.link("m1", "m2", "causes"), MemoryOp.link("m2", "m3", "causes", 0.5))
    assert ids(engine.neighbours("m1", hops=2)) == ["m2", "m3"]
    assert [hit.score for hit in engine.neighbours("m1", hops=2)] == [1, 0.25]
    assert ids(engine.neighbours("m1", hops=2, direction="in")) == []
    assert ids(engine.neighbours("m1", rel="part_of")) == []
    assert ids(engine.search("storm", views=["lexical", "graph"])) == ["m1", "m2"]
    engine.apply(MemoryOp.unlink("m1", "m2"))
    assert ids(engine.neighbours("m1", hops=2)) == []
    assert ids(engine.search("storm", views=["graph"], as_of=5)) == ["m2"]
    with pytest.raises(KeyError):
        engine.neighbours("m9")


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (MemoryOp.update("m1", "x"), "m1 is frozen: RESTORE it first"),
        (MemoryOp.delete("m1"), "m1 is frozen"),
        (MemoryOp.archive("m1"), "m1 is frozen"),
        (MemoryOp.merge(["m1", "m2"], "x"), "m1 is frozen"),
        (MemoryOp.rollback("m1", 1), "m1 is frozen"),
        (MemoryOp.update("m3", "x"), "m3 is archived"),
        (MemoryOp.restore("m2"), "m2 is active"),
        (MemoryOp.rollback("m2", 1), "no such earlier version"),
        (MemoryOp.link("m2", "m2"), "to itself"),
        (MemoryOp.link("m2", "m9"), "no entry 'm9'"),
        (MemoryOp.link("m2", "password"), "ids are m1, m2"),
        (MemoryOp.link("m2", "m1", "x" * 65), "'rel'"),
        (MemoryOp.link("m2", "m1", weight=10**400), "'weight'"),
        (MemoryOp.link("m2", MADE, weight=True), "'weight'"),
        (MemoryOp.unlink("m2", "m1"), "no such edge"),
        (MemoryOp.merge(["m2", "m2"], "x"), "two different ids"),
        (MemoryOp.merge(["m2", "m1"], ""), "m1 is frozen"),
        (MemoryOp.add("x", derived_from="m1"), "'derived_from' is a list"),
        (MemoryOp.add("x", derived_from=["m9"]), "no entry 'm9'"),
        (MemoryOp.add("x", valid_from="soon"), "ISO 8601"),
        (MemoryOp.add("x", valid_from="2024-02-01", valid_to="2024-01-01"), "before"),
    ],
)
def test_refused_structure_says_why_changes_nothing_and_leaves_nothing_in_the_log(
    op: MemoryOp, reason: str
) -> None:
    engine = run(OSLO, ROME, TEA, MemoryOp.freeze("m1"), MemoryOp.archive("m3"))
    before = engine.get_all(), engine.edges(), engine.nbytes
    done = engine.apply(op)
    assert not done.ok
    assert reason in done.reason
    assert (engine.get_all(), engine.edges(), engine.nbytes) == before
    assert engine.log[-1].op.attrs == {}
    assert "password" not in str(engine.log)
    assert "soon" not in str(engine.log)


def test_rollback_of_an_entry_brings_back_its_text_and_its_rank() -> None:
    engine = run(OSLO, TEA, MemoryOp.update("m1", "Maya is away"), MemoryOp.rollback("m1", 1))
    assert engine.search("Oslo")[0].entry.id == "m1"
    assert [(e.version, e.text) for e in engine.history("m1")][-1] == (3, "Maya lives in Oslo")
    assert engine.get("m1").attrs == engine.get("m1", version=1).attrs


# ---------------------------------------------------------------------- time, keys and vectors


def test_two_times_what_was_known_and_what_held() -> None:
    engine = run(
        MemoryOp.add("lives in Oslo", valid_from="2023-01-01"),
        MemoryOp.update("m1", "lives in Rome", valid_from="2023-06-01"),
        MemoryOp.update("m1", "lives in Bern", valid_from="2023-06-01T12:00+02:00"),
    )

    def found(**when: Any) -> list[str]:
        return [hit.entry.text[9:] for hit in engine.search("lives", **when)]

    assert found() == found(valid_at="2023-07-01") == ["Bern"]
    assert found(valid_at="2023-03-01") == ["Oslo"]
    assert found(valid_at="2023-06-01T09:59") == found(valid_at="2023-07-01", as_of=2) == ["Rome"]
    assert found(valid_at="2023-06-01T10:00") == ["Bern"]
    assert found(valid_at="2022-12-31T23:59:59") == []
    assert found(as_of=1) == ["Oslo"]
    engine.apply(MemoryOp.update("m1", "lived in Bern", valid_to="2024-01-01"))
    assert found(valid_at="2024-01-01") == ["Bern"]  # as the version before says, which had no end
    with pytest.raises(InvalidOperation, match="ISO 8601"):
        found(valid_at="yesterday")


def test_entries_are_found_by_their_attributes() -> None:
    engine = run(
        MemoryOp.add("a", slot="city", who="Maya"), MemoryOp.add("b", slot="city"), MemoryOp.add("c", slot=1)
    )
    assert [entry.id for entry in engine.find({"slot": "city"})] == ["m1", "m2"]
    assert [entry.id for entry in engine.find({"slot": "city", "who": "Maya"})] == ["m1"]
    assert [entry.id for entry in engine.find({"slot": True})] == []
    engine.apply(MemoryOp.update("m1", "a", slot="town"))
    engine.apply(MemoryOp.archive("m2"))
    assert engine.find({"slot": "city"}) == []
    assert [entry.id for entry in engine.find({"slot": "town"})] == ["m1"]


def test_dense_view_follows_every_change() -> None:
    engine = run(OSLO, TEA, embedder=HashingEmbedder(256))
    assert ids(engine.search("living", views=["dense"]))[0] == "m1"
    engine.apply(MemoryOp.update("m2", "somebody is living there"))
    engine.apply(MemoryOp.archive("m1"))
    assert ids(engine.search("living", views=["dense"])) == ["m2"]
    again = MemoryEngine.restore(engine.snapshot(), embedder=HashingEmbedder(256))
    assert again.search("living", views=["dense"]) == engine.search("living", views=["dense"])
    with pytest.raises(ValueError, match="embedder"):
        MemoryEngine().search("x", views=["dense"])


class Table:
    """Vectors by number."""

    name = "table"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([np.random.default_rng(int(text)).standard_normal(5) for text in texts], np.float32)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(0, 6)), max_size=120),
    st.integers(1, 12),
)
def test_vector_index_is_exact_whatever_came_and_went(changes: list[tuple[bool, int, int]], k: int) -> None:
    index, there = VectorIndex(Table()), dict[int, str]()
    for put, key, text in changes:
        if put:
            index.put(key, str(text))
            there[key] = str(text)
        else:
            index.remove(key)
            there.pop(key, None)
    wanted = Table().embed(["7"])[0]
    scores = {key: _cosine(Table().embed([text])[0], wanted) for key, text in there.items()}
    found = index.search("7", k)
    assert [key for key, _ in found] == sorted(scores, key=lambda key: (-round(scores[key], 5), key))[:k]
    assert np.allclose([score for _, score in found], [scores[key] for key, _ in found], atol=1e-5)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("made", [np.zeros(3), np.zeros((2, 3)), np.full((1, 3), np.nan), np.zeros((1, 4))])
def test_embedder_that_returns_no_vectors_is_named(made: np.ndarray) -> None:
    class Broken(Table):
        answers = iter([np.ones((1, 3)), made])

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return next(self.answers)

    index = VectorIndex(Broken(), [(1, "a")])
    with pytest.raises(EmbeddingInvalid, match="finite numbers of shape"):
        index.put(2, "b")


# ---------------------------------------------------------------------- the store


def test_users_agents_and_runs_are_apart_and_whoever_names_none_sees_all() -> None:
    store = MemoryStore(MemoryEngine(), AddAllPolicy)
    for user, run_id in (("ann", ""), ("ann", "monday"), ("ben", "monday")):
        store.add(f"tea for {user} {run_id}", user_id=user, run_id=run_id)
    assert len(store.get_all()) == 3
    assert [e.id for e in store.get_all(user_id="ann")] == ["m1", "m2"]
    assert [e.id for e in store.get_all(run_id="monday")] == ["m2", "m3"]
    assert [e.id for e in store.get_all(user_id="ann", run_id="monday")] == ["m2"]
    assert ids(store.search("ben ann tea", user_id="ben")) == ["m3"]
    assert store.get("m3", user_id="ann") is None
    assert store.history("m3", user_id="ann") == []
    assert store.delete("m3", user_id="ann").reason == "DELETE: no entry 'm3'"
    assert store.update("m3", "x", user_id="ann").reason == "UPDATE: no entry 'm3'"
    assert [done.id for done in store.delete_all(user_id="ann")] == ["m1", "m2"]
    assert [e.id for e in store.get_all()] == ["m3"]


def test_policy_of_one_user_knows_its_ids_where_others_write_too() -> None:
    store = MemoryStore(MemoryEngine(400), RulesPolicy)
    for i in range(30):
        for user in ("ann", "ben"):
            rows = store.add(f"I have visited town number {i}", speaker=user, user_id=user)["results"]
            assert [row["reason"] for row in rows if row["reason"]] in ([], ["over budget"]) or i > 2
    assert store.engine.nbytes <= 400


def test_one_policy_serves_one_scope() -> None:
    store = MemoryStore(MemoryEngine(), AddAllPolicy())
    store.add("tea", user_id="ann")
    with pytest.raises(ValueError, match="one policy serves one scope"):
        store.add("tea", user_id="ben")


def test_conversations_metadata_and_storing_as_it_stands() -> None:
    store = MemoryStore(MemoryEngine(), RulesPolicy())
    talk = [{"role": "user", "content": "hm"}, {"role": "assistant", "content": "I see a red kayak"}]
    assert [row["event"] for row in store.add(talk, metadata={"topic": "boats"})["results"]] == ["ADD"]
    assert store.get_all()[0].attrs == {"topic": "boats"}
    (row,) = store.add("hm", infer=False, time="2024-01-01", metadata={"time": "never", "topic": "none"})[
        "results"
    ]
    assert row["event"] == "ADD"
    assert store.get_all()[-1].attrs == {"time": "2024-01-01", "topic": "none"}
    assert [e.text for e in store.get_all(filters={"topic": "none"})] == ["hm"]
    assert ids(store.search("kayak hm", filters={"topic": {"in": ["boats"]}})) == ["m1"]
    for wrong in ({"role": "user"}, {"content": "x"}, {"role": "user", "content": 3}):
        with pytest.raises(ValueError, match="'role' and 'content'"):
            store.add(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, "abc"),
        ({"n": 2}, "b"),
        ({"n": {"gte": 2}}, "b"),
        ({"n": {"gt": 0, "lt": 2}}, "a"),
        ({"n": {"ne": 2}}, "ac"),
        ({"n": {"nin": [1, 2]}}, "c"),
        ({"tags": {"contains": "x"}}, "a"),
        ({"n": {"contains": "x"}}, "c"),
        ({"OR": [{"n": 1}, {"tags": {"contains": "y"}}]}, "ab"),
        ({"AND": [{"n": 1}, {"tags": {"contains": "y"}}]}, ""),
        ({"NOT": {"n": 1}}, "bc"),
        ({"kind": "unit"}, "c"),
        ({"missing": None}, ""),
    ],
)
def test_filters_keep_what_they_describe(filters: dict[str, Any], kept: str) -> None:
    entries = [
        MemoryEntry("m1", "a", attrs={"n": 1, "tags": ["x"]}),
        MemoryEntry("m2", "b", attrs={"n": 2, "tags": ["y"]}),
        MemoryEntry("m3", "c", "unit", attrs={"kind": "unit", "n": "xyz"}),
    ]
    assert "".join(entry.text for entry in entries if compile_filters(filters)(entry)) == kept


@pytest.mark.parametrize("filters", [{"n": {"about": 1}}, {"OR": []}, {"AND": "x"}, {"NOT": 3}, []])
def test_filter_that_says_nothing_is_named(filters: Any) -> None:
    with pytest.raises(ValueError, match=r"comparison|list of filters|mappings"):
        compile_filters(filters)


class Walks(MemoryPolicy):
    """Reads along the edges of the nearest entry."""

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        return [MemoryOp.add(message.text), *([MemoryOp.link("m1", MADE)] if view.entries else [])]

    def read(self, question: Message, search: Search) -> ReadResult:
        return ReadResult(search("", 5, near=search(question.text, 1)[0]["id"]))


def test_policy_reads_along_edges() -> None:
    store = MemoryStore(MemoryEngine(extended=True), Walks())
    store.add("tea in oslo")
    store.add("oslo kayak")
    assert [hit["text"] for hit in store.read("tea").hits] == ["oslo kayak"]


def test_store_in_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    for day in (1, 2):
        with PersistentEngine(tmp_path / "bank.db") as engine:
            MemoryStore(engine, AddAllPolicy).add(f"day {day}", user_id="ann")
    with PersistentEngine(tmp_path / "bank.db") as engine:
        assert [entry.times.created for entry in engine.get_all()] == [1, 2]
        assert [entry.scope for entry in engine.get_all()] == [Scope("ann")] * 2


@pytest.mark.parametrize("scope", [Scope("\ud800"), Scope(3), Scope("x" * 257), ("a", "b", "c", "d")])  # type: ignore[arg-type]
def test_scope_that_is_none_is_refused_before_anything_happens(scope: Any) -> None:
    engine = MemoryEngine()
    with pytest.raises(InvalidOperation, match="three names"):
        engine.apply(MemoryOp.add("x"), scope=scope)
    assert engine.seq == 0


def test_bytes_are_told_apart() -> None:
    engine = run(
        OSLO, ROME, TEA, MemoryOp.link("m1", "m3"), MemoryOp.archive("m2"), MemoryOp.update("m3", "Maya")
    )
    engine.search("Maya")
    sizes = engine.measure()
    assert (sizes.active, sizes.archived, sizes.history, sizes.edges) == (26, 20, 17, 19)
    assert engine.nbytes == sizes.active + sizes.archived + sizes.history + sizes.edges
    assert sizes.log > 0 < sizes.index
