"""The laws of the extended engine, tried on random programs of operations; `memgym.memory.laws` states them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memgym.memory import MADE, ROOT, MemoryEngine, MemoryOp, OpKind, Scope
from memgym.memory.persistent import PersistentEngine

SCOPES = [ROOT, Scope("ann"), Scope("ann", "tutor"), Scope("ben")]
MOSTLY_ROOT = [ROOT] * 6 + SCOPES
RELS = ["causes", "part_of"]
places = st.integers(0, 9)  # among the entries that were ever written
scopes = st.sampled_from(MOSTLY_ROOT)


class Program(RuleBasedStateMachine):
    """Every text has a word of its own, so that a trace of it can be told from all others."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.words: dict[str, list[str]] = {}  # entry -> the words that were written into it

    @initialize(budget=st.sampled_from([None, 150, 400, 1000]))
    def start(self, budget: int | None) -> None:
        self.engine = self.make(budget)
        for _ in range(4):
            self.add(ROOT, "tea")
        self.merge(ROOT, [0, 1])
        self.link(ROOT, 2, 3, "causes")

    def make(self, budget: int | None) -> MemoryEngine:
        return MemoryEngine(budget, extended=True)

    def do(self, op: MemoryOp, scope: Scope) -> Any:
        self.step += 1
        before = self.engine.digest()
        done = self.engine.apply(op, provenance=(f"i{self.step}",), step=self.step, scope=scope)
        assert done.ok == (done.reason == "")
        if not done.ok:
            assert len(self.engine.log[-1].op.text) == 0
            again = MemoryEngine.restore(self.engine.snapshot())
            again.rollback(again.seq - 1)
            assert again.digest() == before, "a refused operation changed something"
        elif op.text:
            self.words.setdefault(done.id, []).append(self.word)
        return done

    @property
    def word(self) -> str:
        return f"zq{self.step}x"

    def text(self, *parts: str) -> str:
        return " ".join([f"zq{self.step + 1}x", *parts])

    @rule(scope=scopes, more=st.sampled_from(["tea", "tea in oslo", "rome " * 12]))
    def add(self, scope: Scope, more: str) -> None:
        self.do(MemoryOp.add(self.text(more), slot=more[:3]), scope)

    @rule(scope=scopes, places=st.lists(places, min_size=1, max_size=2))
    def derive(self, scope: Scope, places: list[int]) -> None:
        sources = [self.pick(place) for place in places]
        self.do(MemoryOp.add(self.text(*self.said(sources)), derived_from=sources), scope)

    @rule(scope=scopes, place=places, more=st.sampled_from(["coffee", "coffee " * 9]))
    def update(self, scope: Scope, place: int, more: str) -> None:
        self.do(MemoryOp.update(self.pick(place), self.text(more), valid_from="2023-05-08"), scope)

    @rule(scope=scopes, place=places)
    def delete(self, scope: Scope, place: int) -> None:
        id = self.pick(place)
        if self.do(MemoryOp.delete(id), scope).ok:
            traces = (self.engine.snapshot().decode(), str(self.engine.log))
            for word in self.words.pop(id, []):
                assert all(f"{word} " not in f"{trace} " for trace in traces), (
                    f"{word} of {id} is still there"
                )
                assert word not in "".join(traces)
                for view in ("lexical", "recency", "graph"):
                    hits = self.engine.search(word, 99, views=(view,))
                    assert all(word not in hit.entry.text for hit in hits)

    @rule(scope=scopes, places=st.lists(places, min_size=2, max_size=3))
    def merge(self, scope: Scope, places: list[int]) -> None:
        sources = [self.pick(place) for place in places]
        self.do(MemoryOp.merge(sources, self.text(*self.said(sources))), scope)

    def pick(self, place: int) -> str:
        known = list(self.words) or ["m1"]
        return known[place % len(known)]

    def said(self, ids: list[str]) -> list[str]:
        return [self.engine.get(id).text for id in ids if id in self.engine]

    @rule(scope=scopes, place=places, to=st.one_of(places, st.just(MADE)), rel=st.sampled_from(RELS))
    def link(self, scope: Scope, place: int, to: Any, rel: str) -> None:
        self.do(MemoryOp.link(self.pick(place), to if to == MADE else self.pick(to), rel, self.step), scope)

    @rule(scope=scopes, place=places, to=places, rel=st.sampled_from(["", *RELS]))
    def unlink(self, scope: Scope, place: int, to: Any, rel: str) -> None:
        self.do(MemoryOp.unlink(self.pick(place), self.pick(to), rel), scope)

    @rule(
        scope=scopes,
        place=places,
        make=st.sampled_from([MemoryOp.archive, MemoryOp.restore, MemoryOp.freeze]),
    )
    def change_status(self, scope: Scope, place: int, make: Any) -> None:
        self.do(make(self.pick(place)), scope)

    @rule(scope=scopes, place=places, version=st.integers(1, 4))
    def roll_back_entry(self, scope: Scope, place: int, version: int) -> None:
        self.do(MemoryOp.rollback(self.pick(place), version), scope)

    @rule(back=st.integers(1, 3))
    def roll_back_bank(self, back: int) -> None:
        seq = max(0, self.engine.seq - back)
        if any(done.dropped or (done.ok and done.op.kind is OpKind.DELETE) for done in self.engine.log[seq:]):
            with pytest.raises(ValueError, match="seq is from"):
                self.engine.rollback(seq)
            return
        kept = {done.id for done in self.engine.log[:seq] if done.op.kind in (OpKind.ADD, OpKind.MERGE)}
        self.engine.rollback(seq)
        self.words = {id: words for id, words in self.words.items() if id in kept}

    @precondition(lambda self: self.step % 3 == 0)
    @invariant()
    def is_rebuilt_from_its_snapshot_and_from_its_log(self) -> None:
        engine = self.engine
        for again in (
            MemoryEngine.restore(engine.snapshot()),
            MemoryEngine.replay(engine.log, engine.budget_bytes, extended=True),
        ):
            assert again.snapshot() == engine.snapshot()
            assert again.sizes == engine.sizes
            assert list(again.sizes) == list(engine.sizes)
            assert vars_of(again) == vars_of(engine)

    @invariant()
    def adds_up(self) -> None:
        engine = self.engine
        sizes, found = engine.measure(), engine.get_all()
        assert sum(entry.nbytes for entry in found) == sizes.active == sum(engine.sizes.values())
        assert engine.nbytes == sizes.active + sizes.archived + sizes.history + sizes.edges
        assert engine.budget_bytes is None or engine.nbytes <= engine.budget_bytes
        assert [entry.id for entry in found] == list(engine.sizes)
        for scope in SCOPES:
            mine = engine.get_all(scope=scope)
            assert [entry for entry in found if scope.covers(entry.scope)] == mine
            newest = [hit.entry for hit in engine.search("", 99, views=["recency"], scope=scope)]
            assert sorted(newest, key=lambda entry: entry.number) == mine


def vars_of(engine: MemoryEngine) -> dict[str, Any]:
    """Everything that follows from versions, edges and log, and has to come out the same."""
    bank = engine._bank
    names = (
        "active_bytes",
        "spare_bytes",
        "next_id",
        "last_drop",
        "undo_from",
        "members",
        "made",
        "children",
        "log_of",
    )
    return {name: getattr(bank, name) for name in names} | {"spare": list(bank.spare.items())}


TestProgram = Program.TestCase
TestProgram.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class ProgramInFile(Program):
    """The same programs on a file, which is opened again now and then."""

    def make(self, budget: int | None) -> MemoryEngine:
        self.folder = TemporaryDirectory()
        self.budget = budget
        return self.open()

    def open(self) -> PersistentEngine:
        return PersistentEngine(Path(self.folder.name) / "bank.db", self.budget, extended=True)

    @rule()
    def reopen(self) -> None:
        digest = self.engine.digest()
        self.close()
        self.engine = self.open()
        assert self.engine.digest() == digest

    def close(self) -> None:
        assert isinstance(self.engine, PersistentEngine)
        self.engine.close()

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.close()
            self.folder.cleanup()


TestProgramInFile = ProgramInFile.TestCase
TestProgramInFile.settings = settings(TestProgram.settings, max_examples=10)
