"""The laws of the memory engine."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.errors import InvalidOperation
from memgym.memory import MemoryEngine, MemoryEntry, MemoryOp, OpKind, entry_nbytes
from memgym.memory.lexical import MAX_QUERY_WORDS
from memgym.spaces import MAX_ID, MAX_TEXT, op_space

WORDS = ["oslo", "rome", "cello", "tea", "maya", "jonas", "moved", "likes", "ö", "日本"]
texts = st.lists(st.sampled_from(WORDS), min_size=0, max_size=6).map(" ".join)
ids = st.integers(1, 8).map(lambda n: f"m{n}")
ops = st.one_of(
    texts.map(MemoryOp.add),
    st.builds(MemoryOp.update, ids, texts),
    ids.map(MemoryOp.delete),
    st.just(MemoryOp.noop()),
)
programs = st.lists(ops, max_size=30)


def run(program: list[MemoryOp], budget: int | None = None) -> MemoryEngine:
    engine = MemoryEngine(budget)
    for step, op in enumerate(program):
        engine.apply(op, provenance=(f"i{step}",), step=step)
    return engine


@given(programs, st.integers(0, 80))
def test_bytes_are_those_of_the_entries_and_never_exceed_the_budget(
    program: list[MemoryOp], budget: int
) -> None:
    engine = MemoryEngine(budget)
    for op in program:
        done = engine.apply(op)
        real = sum(len(e.id.encode()) + len(e.text.encode()) for e in engine.get_all())
        assert engine.nbytes == done.nbytes == real <= budget
        assert done.ok == (done.reason == "")


@given(programs)
def test_the_same_operations_give_the_same_bank(program: list[MemoryOp]) -> None:
    assert run(program).snapshot() == run(program).snapshot()


@given(programs, texts)
def test_a_restored_bank_is_equal_in_bytes_and_rankings(program: list[MemoryOp], query: str) -> None:
    engine = run(program)
    again = MemoryEngine.restore(engine.snapshot())
    assert again.snapshot() == engine.snapshot()
    assert [(h.entry, h.score) for h in again.search(query)] == [
        (h.entry, h.score) for h in engine.search(query)
    ]


@given(programs, programs, texts)
def test_an_index_kept_up_to_date_ranks_like_a_fresh_one(
    before: list[MemoryOp], after: list[MemoryOp], query: str
) -> None:
    engine = run(before)
    engine.search("oslo")  # builds the index, which the next operations then change
    for op in after:
        engine.apply(op)
    fresh = MemoryEngine.restore(engine.snapshot())
    # BM25's statistics follow the order of edits in the last bits, so scores are compared after rounding
    found = {(h.entry.id, round(h.score, 6)) for h in engine.search(query, 100)}
    assert found == {(h.entry.id, round(h.score, 6)) for h in fresh.search(query, 100)}


@given(programs)
def test_ids_are_unique_and_count_up(program: list[MemoryOp]) -> None:
    engine = MemoryEngine()
    made = [d.id for d in map(engine.apply, program) if d.ok and d.op.kind is OpKind.ADD]
    assert made == [f"m{n}" for n in range(1, len(made) + 1)]


@given(programs, st.data())
def test_rollback_undoes_what_came_after(program: list[MemoryOp], data: st.DataObject) -> None:
    program = [op for op in program if op.kind is not OpKind.DELETE]
    seq = data.draw(st.integers(0, len(program)))
    engine = run(program)
    engine.rollback(seq)
    assert engine.snapshot() == run(program[:seq]).snapshot()


@given(programs, st.data())
def test_as_of_answers_from_the_past(program: list[MemoryOp], data: st.DataObject) -> None:
    program = [op for op in program if op.kind is not OpKind.DELETE]
    seq = data.draw(st.integers(0, len(program)))
    found = run(program).search("maya oslo", 50, as_of=seq)
    assert [h.entry.text for h in found] == [h.entry.text for h in run(program[:seq]).search("maya oslo", 50)]


@given(programs, st.integers(1, 10))
@settings(max_examples=30)
def test_search_grows_with_k(program: list[MemoryOp], k: int) -> None:
    engine = run(program)
    more = [h.entry.id for h in engine.search("maya likes oslo", k + 1)]
    assert [h.entry.id for h in engine.search("maya likes oslo", k)] == more[:k]


SECRET = "zanzibar"


@pytest.mark.parametrize("searched_before", [False, True])
def test_deleted_text_is_gone_everywhere(searched_before: bool) -> None:
    engine = MemoryEngine()
    engine.apply(MemoryOp.add(f"the code is {SECRET}", note=SECRET))
    engine.apply(MemoryOp.update("m1", f"the new code is {SECRET} too"))
    if searched_before:
        assert engine.search(SECRET)
    assert SECRET.encode() in engine.snapshot()  # the control: before, it is there
    engine.apply(MemoryOp.delete("m1"))
    assert SECRET.encode() not in engine.snapshot()
    assert engine.search(SECRET) == []
    assert engine.history("m1") == []
    assert SECRET not in str(engine.log)
    engine.rollback(2)
    assert SECRET.encode() not in engine.snapshot()


def test_update_keeps_the_older_version_in_history_only() -> None:
    engine = run([MemoryOp.add("Maya lives in Oslo"), MemoryOp.update("m1", "Maya lives in Rome")])
    assert [(e.version, e.text, e.status) for e in engine.history("m1")] == [
        (1, "Maya lives in Oslo", "superseded"),
        (2, "Maya lives in Rome", "active"),
    ]
    assert engine.search("Oslo") == []
    assert engine.search("Oslo", as_of=1)[0].entry.text == "Maya lives in Oslo"
    assert [e.provenance for e in engine.history("m1")] == [("i0",), ("i1",)]


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (MemoryOp.add(""), "ADD needs text"),
        (MemoryOp.update("m9", "x"), "no entry 'm9'"),
        (MemoryOp.update("m1", ""), "UPDATE needs text"),
        (MemoryOp.delete("m9"), "no entry 'm9'"),
        (MemoryOp.add("x" * 100), "over budget: needs 102 B, 21 B left of 30 B"),
        (MemoryOp.update("m1", "x" * 100), "over budget"),
        (MemoryOp.search("x"), "SEARCH does not change the bank"),
    ],
)
def test_refused_operation_says_why_and_changes_nothing(op: MemoryOp, reason: str) -> None:
    engine = run([MemoryOp.add("seven b")], budget=30)
    before = engine.get_all()
    done = engine.apply(op)
    assert not done.ok
    assert reason in done.reason
    assert engine.get_all() == before


def test_bytes_of_an_entry_are_id_text_and_attributes() -> None:
    engine = run([MemoryOp.add("café", time="2023")])
    assert engine.nbytes == entry_nbytes("m1", "café", '{"time":"2023"}') == 2 + 5 + 15


def test_views_rank_by_words_by_age_and_by_both() -> None:
    engine = run([MemoryOp.add("tea in oslo"), MemoryOp.add("cello"), MemoryOp.add("oslo")])
    assert [h.entry.id for h in engine.search("oslo tea")] == ["m1", "m3"]
    assert [h.entry.id for h in engine.search("anything", views=["recency"])] == ["m3", "m2", "m1"]
    fused = engine.search("oslo", views=["lexical", "recency"])
    assert fused[0].entry.id == "m3"
    assert set(fused[0].parts) == {"lexical", "recency"}
    assert engine.search("oslo", filter=lambda e: e.id != "m3")[0].entry.id == "m1"
    with pytest.raises(ValueError, match="no view 'sound'"):
        engine.search("oslo", views=["sound"])


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":"other"}',
        b"\xff",
        b'{"format":"memgym-engine/2"}',
        b'{"format":"memgym-engine/1"}',
    ],
)
def test_broken_snapshot_is_a_named_error(blob: bytes) -> None:
    with pytest.raises(InvalidOperation):
        MemoryEngine.restore(blob)


def test_search_survives_query_syntax() -> None:
    engine = run([MemoryOp.add('say "oslo" NEAR (rome) AND -tea*')])
    for query in ['"', "NEAR(", "a OR", "x:y", "-", "*", "oslo\x00rome", "'; DROP TABLE doc; --"]:
        engine.search(query)
    assert engine.search('"oslo" AND ('[0:9])[0].entry.id == "m1"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ADD", "a mapping"),
        ({}, "needs 'kind'"),
        ({"kind": "EAT"}, "no operation 'EAT'"),
        ({"kind": 77}, "no operation 77"),
        ({"kind": "ADD", "text": 3}, "'text' of an operation is text"),
        ({"kind": "ADD", "text": "x", "attrs": "[1]"}, "JSON object"),
        ({"kind": "ADD", "text": "x", "attrs": "{"}, "not JSON"),
        ({"kind": "ADD", "txt": "x"}, "unknown field 'txt'"),
    ],
)
def test_unreadable_operation_names_the_fault(value: object, message: str) -> None:
    with pytest.raises(InvalidOperation, match=message):
        MemoryOp.parse(value)  # type: ignore[arg-type]


@given(ops)
def test_operation_survives_its_mapping_form(op: MemoryOp) -> None:
    assert MemoryOp.parse(op.to_dict()) == op


# ---------------------------------------------------------------------- hostile and clumsy callers


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


BAD_ATTRS: list[Any] = [
    {"x": "\ud800"},
    {"\ud800": 1},
    {"x": float("nan")},
    {"x": float("inf")},
    {"x": {1}},
    {"x": nested(700)},
    {"x": nested(16)},
    {1: "a", "1": "b"},
    {"x": "y" * MAX_TEXT},
]
BAD_ATTRS_TEXT = ['{"x":"\\ud800"}', '{"x":NaN}', '{"x":1e999}', f'{{"x":{"[" * 700}{"]" * 700}}}']


@pytest.mark.parametrize("attrs", [*BAD_ATTRS, *BAD_ATTRS_TEXT], ids=lambda attrs: str(attrs)[:20].encode())
def test_attributes_that_are_not_json_are_refused(attrs: Any) -> None:
    with pytest.raises(InvalidOperation):
        MemoryOp.parse({"kind": "ADD", "text": "x", "attrs": attrs})


@pytest.mark.parametrize("attrs", BAD_ATTRS, ids=lambda attrs: str(attrs)[:20].encode())
def test_operation_made_by_hand_is_checked_when_applied(attrs: Any) -> None:
    engine = run([MemoryOp.add("tea")])
    for op in (MemoryOp(OpKind.ADD, text="x", attrs=attrs), MemoryOp(OpKind.UPDATE, "m1", "x", attrs)):
        done = engine.apply(op)
        assert not done.ok
        assert done.reason
        assert done.op is op
    assert [done.seq for done in engine.log] == [1, 2, 3]
    assert [entry.text for entry in engine.get_all()] == ["tea"]
    assert MemoryEngine.restore(engine.snapshot()).snapshot() == engine.snapshot()


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "\ud800"},
        {"id": "\ud800"},
        {"text": "x" * (MAX_TEXT + 1)},
        {"id": "m" * (MAX_ID + 1)},
        *({"kind": kind} for kind in (1e999, -1e999, float("nan"), 1.5, 10**5000, nested(2000), "\ud800")),
        {"\ud800": 1, 3: 4},
    ],
    ids=lambda fields: next(iter(fields)).encode("utf-8", "replace"),
)
def test_what_does_not_fit_the_space_of_operations_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidOperation) as caught:
        MemoryOp.parse({"kind": 1, "text": "x", **fields})
    str(caught.value).encode()


def test_longest_text_is_read_and_fits_the_space() -> None:
    op = MemoryOp.parse({"kind": "UPDATE", "id": "m" * MAX_ID, "text": "x" * MAX_TEXT})
    assert op_space().contains(op.to_dict())


def test_operation_of_no_kind_raises_and_counts_nothing() -> None:
    engine = MemoryEngine()
    with pytest.raises(InvalidOperation, match="no operation"):
        engine.apply(MemoryOp("EAT"))  # type: ignore[arg-type]
    assert engine.seq == len(engine.log) == 0


def test_nothing_can_be_added_to_stored_attributes_from_outside() -> None:
    shared = ["a"]
    engine = MemoryEngine(100)
    op = MemoryOp.add("x", l=shared)
    engine.apply(op)
    parsed = MemoryOp.parse({"kind": "ADD", "text": "x", "attrs": {"l": shared}})
    entry = MemoryEntry("m1", "x", attrs={"l": shared})
    shared.append("y" * 5000)
    assert engine.get("m1").attrs == parsed.attrs == entry.attrs == {"l": ["a"]}
    assert engine.nbytes == engine.get("m1").nbytes == entry_nbytes("m1", "x", '{"l":["a"]}')
    assert b"yyy" not in engine.snapshot()
    engine.apply(MemoryOp.delete("m1"))
    assert engine.nbytes == 0


def test_log_keeps_no_text_of_what_was_refused() -> None:
    engine = MemoryEngine(20)
    engine.apply(MemoryOp.add("short"))
    refused = [
        MemoryOp.update("m1", f"{SECRET} in a text that does not fit", note=SECRET),
        MemoryOp.add(f"{SECRET} " * 20),
        MemoryOp.search(SECRET),
        MemoryOp(OpKind.UPDATE, "m1", SECRET, {"x": {SECRET}}),
    ]
    for op in refused:
        assert engine.apply(op).op == op  # the caller gets it back as it was
    engine.apply(MemoryOp(OpKind.NOOP, text=SECRET))
    engine.apply(MemoryOp(OpKind.DELETE, "m1", SECRET))
    assert [done.op.kind for done in engine.log][1:3] == [OpKind.UPDATE, OpKind.ADD]
    assert engine.log[1].op.id == "m1"
    assert SECRET.encode() not in engine.snapshot()
    assert SECRET not in str(engine.log)


def test_deletion_after_rollback_still_clears_the_log() -> None:
    engine = run([MemoryOp.add("tea"), MemoryOp.add(SECRET), MemoryOp.update("m2", f"{SECRET} {SECRET}")])
    engine.rollback(2)
    engine.apply(MemoryOp.update("m2", f"new {SECRET}"))
    engine = MemoryEngine.restore(engine.snapshot())
    engine.apply(MemoryOp.delete("m2"))
    assert SECRET.encode() not in engine.snapshot()


def test_kind_follows_its_attribute() -> None:
    engine = run([MemoryOp.add("a", kind="k1"), MemoryOp.update("m1", "b", kind="k2")])
    assert [entry.kind for entry in engine.history("m1")] == ["k1", "k2"]
    engine.apply(MemoryOp.update("m1", "c"))
    assert engine.get("m1").kind == "k2"


def test_long_query_is_cut_after_its_first_distinct_words() -> None:
    engine = run([MemoryOp.add("oslo")])
    filler = [f"w{i}" for i in range(MAX_QUERY_WORDS)]
    assert engine.search(" ".join([*filler[:-1], *filler[:-1], "oslo"]))
    assert engine.search(" ".join([*filler, "oslo"])) == []


def test_bank_can_be_searched_from_any_thread() -> None:
    engine = run([MemoryOp.add(f"town number {i}") for i in range(50)])
    expected = [hit.entry.id for hit in engine.search("number 7")]  # the index belongs to this thread
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [hit.entry.id for hit in engine.search("number 7")], range(40)))
        pool.submit(engine.apply, MemoryOp.delete("m1")).result()
    assert found == [expected] * 40
    assert "m1" not in engine
    again = pickle.loads(pickle.dumps(engine))
    assert again.snapshot() == engine.snapshot()
    assert again.search("number 7") == engine.search("number 7")


def change_entry(**fields: Any) -> Any:
    return lambda state: state["versions"][0][-1].update(fields)


def change_log(**fields: Any) -> Any:
    return lambda state: state["log"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_entry(text=5), "'text'"),
        (change_entry(text="\ud800"), "surrogate"),
        (change_entry(kind=None), "'kind'"),
        (change_entry(attrs="x"), "'attrs'"),
        (change_entry(version="2"), "'version'"),
        (change_entry(provenance=[3]), "'provenance'"),
        (change_entry(times=["a", "b"]), "'times'"),
        (change_entry(id="zz"), "id is m1"),
        (change_entry(id="m01"), "id is m1"),
        (lambda state: state["versions"][0][0].update(id="m2"), "several ids"),
        (change_entry(status="superseded"), "'status'"),
        (change_entry(status="archived"), "plain bank"),
        (change_entry(scope=["ann"]), "several scopes"),
        (change_entry(parents=["x"]), "'parents'"),
        (change_entry(seq=99), "newer than the log"),
        (change_log(seq=2), "gaps"),
        (change_log(reason=1), "text"),
        (change_log(ok=1), "'ok'"),
        (change_log(ok=False), "not given out"),
        (change_log(step="1"), "'step'"),
        (change_log(dropped=[["m1", -1]]), "'dropped'"),
        (lambda state: state["edges"].append(["m1", "x", "m1", 1.0, 1, 0]), "plain bank"),
        (lambda state: state["edges"].append(["m1", "x", "m9", 1.0, 1, 0]), "without an entry"),
        (lambda state: state["edges"].append(["m1", "x", "m1", "1", 1, 0]), "weight"),
        (lambda state: state.update(extended=1), "'extended'"),
        (lambda state: state.update(budget_bytes=5), "budget of 5 B"),
        (lambda state: state.update(budget_bytes="5"), "'budget_bytes'"),
        (lambda state: state.update(seq="2"), "'seq'"),
        (lambda state: state["versions"].append(state["versions"][0]), "same id"),
        (lambda state: state["versions"].append([]), "without versions"),
    ],
)
def test_snapshot_that_no_bank_wrote_is_a_named_error(change: Any, message: str) -> None:
    state = json.loads(run([MemoryOp.add("tea"), MemoryOp.update("m1", "coffee")]).snapshot())
    MemoryEngine.restore(json.dumps(state).encode())  # the control
    change(state)
    with pytest.raises(InvalidOperation, match=message):
        MemoryEngine.restore(json.dumps(state).encode())


FIRST_FORMAT = {
    "format": "memgym-engine/1",
    "budget_bytes": 100,
    "seq": 3,
    "next_id": 3,
    "versions": [
        [
            {"id": "m1", "text": "Oslo", "kind": "fact", "attrs": {}, "version": 1, "status": "superseded"}
            | {"provenance": ["i0"], "times": [0, 0], "seq": 1},
            {"id": "m1", "text": "Rome", "kind": "fact", "attrs": {}, "version": 2, "status": "active"}
            | {"provenance": ["i1"], "times": [0, 1], "seq": 2},
        ]
    ],
    "log": [
        {"op": MemoryOp.add("Oslo").to_dict(), "ok": True, "id": "m1", "reason": "", "seq": 1, "nbytes": 6},
        {
            "op": MemoryOp.update("m1", "Rome").to_dict(),
            "ok": True,
            "id": "m1",
            "reason": "",
            "seq": 2,
            "nbytes": 6,
        },
        {"op": MemoryOp.add("tea").to_dict(), "ok": True, "id": "m2", "reason": "", "seq": 3, "nbytes": 11},
    ],
}  # what the engine wrote before it had edges, scopes and steps in its log


def test_snapshot_of_the_first_format_is_read() -> None:
    engine = MemoryEngine.restore(json.dumps(FIRST_FORMAT).encode())
    assert [(e.text, e.status) for e in engine.history("m1")] == [("Oslo", "superseded"), ("Rome", "active")]
    assert engine.search("Oslo", as_of=1)[0].entry.text == "Oslo"
    assert MemoryEngine.restore(engine.snapshot()).snapshot() == engine.snapshot()
    assert engine.apply(MemoryOp.add("cello")).id == "m3"


@pytest.mark.parametrize(
    "change", [{"next_id": 77}, {"next_id": 0}, {"seq": 2}, {"budget_bytes": 5}, {"versions": [[]]}]
)
def test_broken_snapshot_of_the_first_format_is_a_named_error(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidOperation):
        MemoryEngine.restore(json.dumps(FIRST_FORMAT | change).encode())
