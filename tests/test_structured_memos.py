"""MemOS: one of two that conflict is active, versions come back, rights and ends hold, and use promotes."""

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="MemOS's steps are typed with pydantic")

from memgym.agents.structured.mem_cube import MemCube
from memgym.agents.structured.memos import MemOSPolicy
from memgym.agents.structured.steps_cube import govern_by_words
from memgym.agents.structured.steps_facts import Said
from memgym.errors import InvalidOperation
from memgym.llm import RulesLLM
from memgym.memory import MemoryEngine, MemoryOp
from memgym.memory.embed import HashingEmbedder
from memgym.memory.policy import MemoryView, Message, Shown
from memgym.memory.store import MemoryStore

DAY = "2025-11-15T10:00"


def store_of(*texts: str, **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), MemOSPolicy(RulesLLM(), HashingEmbedder(256), **options))
    return told(store, *texts)


def told(store: MemoryStore, *texts: str, speaker: str = "Ines", time: str = DAY) -> MemoryStore:
    for text in texts:
        store.add(text, speaker=speaker, time=time)
    return store


def policy_of(store: MemoryStore) -> MemOSPolicy:
    assert isinstance(store.policy, MemOSPolicy)
    return store.policy


def statuses(store: MemoryStore) -> dict[str, str]:
    return {entry.text.rpartition(" #h")[0]: entry.attrs["status"] for entry in store.get_all()}


def found(store: MemoryStore, question: str, speaker: str = "", time: str = DAY) -> list[str]:
    def search(query: str, k: int = 10, **how: Any) -> Sequence[Shown]:
        hits = store.engine.search(query, k, **how)
        return [{"id": h.entry.id, "text": h.entry.text, "attrs": "", "score": h.score} for h in hits]

    asked = Message(question, speaker, time)
    return [hit["text"] for hit in policy_of(store).read(asked, search).hits]


MOVED = ("I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now.")


def test_of_two_that_conflict_one_is_active() -> None:
    store = store_of(*MOVED)
    assert statuses(store) == {
        "Ines: I live in Oslo.": "archived",
        "Ines: I play the cello on Sundays.": "activated",
        "Ines: Actually, I live in Bergen now.": "activated",
    }
    winner = store.get_all()[-1]
    assert winner.attrs["merged"] == [1]
    assert winner.attrs["history"] == [[1, "Ines: I live in Oslo."]]
    assert not any("Oslo" in text for text in found(store, "Where does Ines live, in Oslo?"))


def test_without_conflicts_both_are() -> None:
    store = store_of(*MOVED, conflicts=False)
    assert set(statuses(store).values()) == {"activated"}
    assert any("Oslo" in text for text in found(store, "Where does Ines live, in Oslo?"))


def test_lineage_is_inherited() -> None:
    store = store_of(*MOVED, "Actually, I live in Turku these days.")
    assert store.get_all()[-1].attrs["merged"] == [1, 3]
    assert [version for version, _ in store.get_all()[-1].attrs["history"]] == [1, 2]


def test_what_is_to_be_forgotten_is_gone_with_all_it_came_from() -> None:
    store = store_of(*MOVED, "Please forget where I live.")
    left = [entry.text.rpartition(" #h")[0] for entry in store.get_all()]
    assert left == ["Ines: I play the cello on Sundays.", "Ines: Please forget where I live."]
    assert not any(city in str(entry.attrs) for entry in store.get_all() for city in ("Oslo", "Bergen"))


def test_what_is_to_be_forgotten_is_gone() -> None:
    store = store_of("I play the cello.", "Please forget that I play the cello.")
    assert "I play the cello. #h1" not in store.engine.snapshot().decode()


# ---------------------------------------------------------------------- the cube


class Bench:
    """A cube and its bank."""

    def __init__(self) -> None:
        self.engine, self.cube = MemoryEngine(), MemCube(HashingEmbedder(256))

    def __enter__(self) -> MemCube:
        entries = [{"id": e.id, "text": e.text, "attrs": "", "score": 0.0} for e in self.engine.get_all()]
        self.cube.ledger.begin(MemoryView(entries, 1 << 30))
        return self.cube

    def __exit__(self, *_: object) -> None:
        for op in self.cube.ledger.take():
            assert self.engine.apply(op, step=1).ok


def test_rollback_brings_back_text_and_ranking() -> None:
    bench = Bench()
    with bench as cube:
        cube.add("The cello stands in the attic.", {}, index="The cello stands in the attic.")
        cube.add("The drum stands in the cellar.", {}, index="The drum stands in the cellar.")
    ranked = [cube.ledger.nearest("cello in the attic", 2)]
    with bench as cube:
        assert cube.update(1, "A kite hangs there.", index="A kite hangs there.")
    ranked.append(cube.ledger.nearest("cello in the attic", 2))
    with bench as cube:
        assert cube.rollback(1, 1)
        assert cube.version(1) == 3
    ranked.append(cube.ledger.nearest("cello in the attic", 2))
    assert ranked[0] == ranked[2] != ranked[1]
    assert bench.engine.get("m1").text.startswith("The cello stands in the attic.")
    with bench as cube, pytest.raises(InvalidOperation, match=r"no version 7 that is kept: \[1, 2\]"):
        cube.rollback(1, 7)


def test_the_frozen_stay_as_they_are() -> None:
    bench = Bench()
    with bench as cube:
        cube.add("Rule one.", {}, index="")
    with bench as cube:
        cube.set_status(1, "frozen")
    with bench as cube, pytest.raises(InvalidOperation, match="m1 is frozen"):
        cube.update(1, "Rule two.", index="")
    with bench as cube:
        assert cube.is_found(1)
        cube.set_status(1, "activated")
        assert cube.update(1, "Rule two.", index="")


def test_a_frozen_entry_is_not_archived_by_a_conflict() -> None:
    store = store_of("I live in Oslo.")
    cube = policy_of(store).cube
    cube.ledger.begin(store._view(Message("Oslo"), store.engine.get("m1").scope))
    cube.set_status(1, "frozen")
    for op in cube.ledger.take():
        store.engine.apply(op, step=2)
    told(store, "Actually, I live in Bergen now.")
    assert list(statuses(store).values()) == ["frozen", "activated"]


def test_archived_goes_first_and_frozen_last() -> None:
    bench = Bench()
    with bench as cube:
        for i in range(4):
            cube.add(f"Entry {i}.", {}, index="")
        cube.set_status(1, "frozen")
        cube.set_status(3, "archived")
        assert sorted(cube.ledger, key=cube.order) == [3, 2, 4, 1]


def test_bytes_of_an_adapter_count() -> None:
    bench = Bench()
    before = bench.cube.nbytes()
    with bench as cube:
        number = cube.add_adapter("ines-v1", 4096)
    assert number == 1
    assert cube.nbytes() > before + 4096
    assert not cube.is_found(1)
    bench.engine.apply(MemoryOp.delete("m1"), step=2)
    cube.ledger.begin(MemoryView([], 1 << 30, bench.engine.sizes))
    cube.keep_up()
    assert cube.nbytes() == before


# ---------------------------------------------------------------------- governance

SECRET = "Between you and me, I applied for a job in Lyon."


def test_nobody_else_finds_what_is_private() -> None:
    store = told(store_of(SECRET, hits=50), "I like Lyon a lot.", speaker="Kofi")
    question = "Who applied for a job in Lyon?"
    assert any("applied" in text for text in found(store, question, "Ines"))
    assert not any("applied" in text for text in found(store, question, "Kofi"))
    open_to_all = told(store_of(SECRET, governance=False), "I like Lyon a lot.", speaker="Kofi")
    assert any("applied" in text for text in found(open_to_all, question, "Kofi"))


PARKING = "My parking spot is number four until 20 November."


@pytest.mark.parametrize("governance", [True, False])
def test_what_has_ended_is_history(governance: bool) -> None:
    store = store_of(PARKING, governance=governance)
    question = "What is the parking spot of Ines?"
    assert found(store, question, time="2025-11-20T09:00")
    assert bool(found(store, question, time="2025-11-21T09:00")) is not governance
    told(store, "I like to walk from the parking deck to the harbour.", time="2025-11-22T09:00")
    first = store.history("m1")[0]
    assert first.text.startswith("Ines: My parking spot")
    assert store.history("m1")[-1].attrs["status"] == ("expired" if governance else "activated")


@pytest.mark.parametrize(
    ("text", "private", "until"),
    [
        (SECRET, True, ""),
        ("Don't tell anyone, but I won.", True, ""),
        (PARKING, False, "2025-11-20"),
        ("I stayed until late.", False, ""),
        ("I told everybody.", False, ""),
    ],
)
def test_rights_by_words(text: str, private: bool, until: str) -> None:
    rights = govern_by_words(Said(text=text, time=DAY))
    assert (rights.private, rights.until) == (private, until)


# ---------------------------------------------------------------------- the scheduler


def words_read(store: MemoryStore) -> int:
    assert found(store, "Where does Ines live?")[0].startswith("Ines: I live in Oslo.")
    return policy_of(store).read_words


def kind(store: MemoryStore) -> str:
    entry = store.get("m1")
    assert entry is not None
    return entry.attrs["kind"]


OSLO = ("Oslo has a harbour with many boats.", "Oslo has a museum with many paintings.")


def test_what_is_read_often_costs_nothing_to_read() -> None:
    costs, kinds = {}, {}
    for scheduler in (True, False):
        store = store_of("I live in Oslo.", promote_after=3, scheduler=scheduler)
        before = [words_read(store) for _ in range(3)]
        assert before == [5, 5, 5]
        told(store, OSLO[0])
        costs[scheduler], kinds[scheduler] = words_read(store), kind(store)
    assert costs[False] - costs[True] == 5
    assert kinds == {True: "activation", False: "plaintext"}


def test_what_is_not_read_for_long_is_demoted() -> None:
    store = store_of("I live in Oslo.", promote_after=3, demote_after=2)
    for _ in range(3):
        words_read(store)
    told(store, OSLO[0])
    assert kind(store) == "activation"
    told(store, "The tram was late and full.", "The lift was broken for hours.", OSLO[1])
    assert kind(store) == "plaintext"
    assert policy_of(store).cube.activation == {}


def test_activation_memory_is_bounded_and_counted() -> None:
    store = store_of("I live in Oslo.", "I play the cello.", promote_after=1, working=1)
    before = policy_of(store).nbytes()
    found(store, "Where does Ines live and play?")
    told(store, "Oslo and the cello are what I like.")
    assert len(policy_of(store).cube.activation) == 1
    assert policy_of(store).nbytes() > before


def test_what_conflicts_leaves_activation_memory() -> None:
    store = store_of("I live in Oslo.", promote_after=1)
    words_read(store)
    told(store, OSLO[0], "Actually, I live in Bergen now.")
    assert "Bergen" in found(store, "Where does Ines live?")[0]
    assert not any("I live in Oslo" in text for text in found(store, "Where does Ines live?"))


def test_a_promotion_pushes_nothing_out() -> None:
    """The bank is full to the last byte, and both entries are due."""
    texts = ("I live in Oslo.", "I like Oslo with its harbour.")
    budget = store_of(*texts, conflicts=False).engine.nbytes
    policy = MemOSPolicy(RulesLLM(), HashingEmbedder(256), promote_after=1, conflicts=False)
    store = told(MemoryStore(MemoryEngine(budget), policy), *texts)
    found(store, "What about Oslo and Ines?")
    told(store, "Oslo!")
    assert [entry.id for entry in store.get_all()] == ["m1", "m2"]
    assert {entry.attrs["kind"] for entry in store.get_all()} == {"plaintext"}
