"""SimpleMem: what is said is resolved, small talk is left out, fragments become one, hard questions get more."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="SimpleMem's steps are typed with pydantic")

from memgym.agents.structured.simple_mem import SimpleMemPolicy
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.steps_units import (
    ABSTRACT_CLUSTER,
    PLAN_RETRIEVAL,
    Asked,
    Cluster,
    Window,
    plan_by_words,
    restate,
)
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.entry import MemoryEntry
from memgym.memory.store import MemoryStore

DAY = "2025-11-15T10:00"
MEETING = ("I finally talked to Alice again.", "She'll meet Bob tomorrow at 2pm.")
SMALL_TALK = (
    "Hello!",
    "Good morning, how are you?",
    "Thanks, I am well!",
    "That is great, really.",
    "Okay, see you soon.",
)
COFFEE = ("I like my coffee hot.", "I like oat milk in my coffee.", "I like my coffee without sugar.")


def store_of(*texts: str, time: str = DAY, **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), SimpleMemPolicy(RulesLLM(), HashingEmbedder(256), **options))
    for text in texts:
        store.add(text, speaker="Dana", time=time)
    return store


def units(store: MemoryStore) -> list[MemoryEntry]:
    return store.get_all()


@pytest.mark.parametrize("variant", ["v1", "v3"])
def test_names_and_dates_take_the_place_of_words_that_point(variant: Any) -> None:
    unit = units(store_of(*MEETING, variant=variant))[-1]
    assert set(unit.attrs["persons"]) == {"Dana", "Alice", "Bob"}
    assert unit.attrs["at"] == "2025-11-16T14:00"
    assert unit.text.startswith("Dana: Alice'll meet Bob on 16 November 2025 at 2pm.")


def asked_tomorrow(store: MemoryStore) -> list[str]:
    """The question shares no word with the unit that answers it, and its vector is far away."""
    store.add("I want to know whatever happens to the harbour.", speaker="Dana", time=DAY)
    return [
        hit["text"]
        for hit in store.read("What happens the day after tomorrow?", time="2025-11-14T09:00").hits
    ]


def test_a_unit_is_found_by_its_time_alone() -> None:
    assert "Alice'll meet Bob" in asked_tomorrow(store_of(*MEETING))[0]


def test_without_metadata_it_is_not() -> None:
    assert not any("meet Bob" in text for text in asked_tomorrow(store_of(*MEETING, metadata=False))[:1])


def test_small_talk_passes_no_gate() -> None:
    store = store_of("I moved to Oslo with my two cats.")
    before = store.engine.digest()
    for text in SMALL_TALK * 6:
        store.add(text, speaker="Dana", time=DAY)
    assert store.engine.digest() == before


def test_without_the_gate_repeated_talk_is_looked_at() -> None:
    """What was said a moment ago is nothing new: with the gate it is not even compressed."""
    calls = {True: 0, False: 0}
    for gate in calls:
        policy = SimpleMemPolicy(RulesLLM(), HashingEmbedder(256), gate=gate)
        store = MemoryStore(MemoryEngine(), policy)
        for text in ("I moved to Oslo with my two cats.", *SMALL_TALK * 6):
            store.add(text, speaker="Dana", time=DAY)
        calls[gate] = policy.llm.ledger.by_step["compress_window"].calls
    assert calls == {True: 1, False: 31}


def test_information_falls_when_it_is_said_again() -> None:
    policy = SimpleMemPolicy(RulesLLM(), HashingEmbedder(256))
    store = MemoryStore(MemoryEngine(), policy)
    text = "I moved to Oslo with my two cats."
    fresh = policy.information(text)
    store.add(text, speaker="Dana", time=DAY)
    assert policy.information(text) < 0.05 < 0.25 < fresh


def test_fragments_become_one_unit_with_all_attributes() -> None:
    (unit,) = units(store_of(*COFFEE))
    assert all(word in unit.text for word in ("hot", "oat milk", "without sugar"))
    assert unit.version == 3


@pytest.mark.parametrize("room", [0, 40])
def test_a_unit_that_makes_room_for_the_one_it_joins_is_gone(room: int) -> None:
    """Apart at first, so that two units join at once, and the older one grows."""
    apart = store_of(*COFFEE[:2], consolidation=False)
    policy = SimpleMemPolicy(RulesLLM(), HashingEmbedder(256), consolidation=False)
    store = MemoryStore(MemoryEngine(apart.engine.nbytes + room), policy)
    for text in COFFEE[:2]:
        store.add(text, speaker="Dana", time=DAY)
    policy.consolidation = True
    store.add(COFFEE[2], speaker="Dana", time=DAY)
    assert [entry.id for entry in units(store)] == ["m1"]
    assert "without sugar" in units(store)[0].text


def test_requests_that_nothing_is_known_of_are_kept_as_they_are() -> None:
    asked = ("I want you to forget my hobby, please.", "I want you to forget my pet, please.")
    assert ABSTRACT_CLUSTER.rule is not None
    assert ABSTRACT_CLUSTER.rule(Cluster(statements=asked)).statement == " ".join(asked)
    assert "hobby" in " ".join(unit.text for unit in units(store_of(*asked)))


def test_without_consolidation_they_stay_three() -> None:
    assert len(units(store_of(*COFFEE, consolidation=False))) == 3


def test_fragments_of_different_times_and_things_stay_apart() -> None:
    store = store_of(
        "I like my coffee hot.", "I finally repaired my bicycle yesterday.", "I missed a flight a week ago."
    )
    assert len(units(store)) == 3
    later = store_of("I like my coffee hot.")
    later.add("I like oat milk in my coffee.", speaker="Dana", time="2026-11-15T10:00")
    assert len(units(later)) == 2  # affinity fades with the days in between


def test_v3_joins_within_a_window_only() -> None:
    filler = tuple(f"I bought {thing} at the market." for thing in ("apples", "a lamp", "two chairs"))
    first, *others = COFFEE
    texts = (first, *filler, *others)
    near = [u.text for u in units(store_of(*texts, variant="v3")) if "coffee" in u.text]
    apart = [u.text for u in units(store_of(*texts, variant="v3", window=1)) if "coffee" in u.text]
    assert len(near) == 1
    assert len(apart) > 1


EASY = "Which street does Dana like?"
HARD = "Which street did Dana like before and after each move, and how many were there?"


def count(store: MemoryStore, question: str) -> int:
    return len(store.read(question).hits)


@pytest.mark.parametrize("variant", ["v1", "v3"])
def test_a_hard_question_gets_more_units(variant: Any) -> None:
    names = (
        "Abel Birch Cedar Dover Elder Fern Holm Hazel Kirk Lark Maple Nettle Park Quay Rose Sage Yew Zinnia"
    )
    store = store_of(
        *(f"I admire {name} street." for name in names.split()), variant=variant, consolidation=False
    )
    assert len(units(store)) >= 15
    assert 0 < count(store, EASY) < count(store, HARD)
    flat = RulesLLM({"plan_retrieval": lambda x: plan_by_words(x).model_copy(update={"depth": 0.0})})
    policy = store.policy
    assert isinstance(policy, SimpleMemPolicy)
    policy.llm = flat
    assert count(store, EASY) == count(store, HARD)


@pytest.mark.parametrize(
    ("text", "restated"),
    [
        ("Her sister found her keys at home.", "Alice's sister found Alice's keys at home."),
        ("Bob says he is ill and stays at home.", "Bob says he is ill and stays at home."),
        ("I was born on 3 May 1990 in Rome.", "I was born on 3 May 1990 in Rome."),
        ("I have worked there for three years.", "I have worked there since 2022."),
        ("Last month I won a prize.", "in October 2025 I won a prize."),
    ],
)
def test_restatements(text: str, restated: str) -> None:
    recent = (Said(text="I like both of them, Bob and Alice.", speaker="Dana"),)
    (unit,) = restate(Window(said=Said(text=text, speaker="Dana", time=DAY), recent=recent)).units[:1]
    assert unit.restatement == restated


def test_a_model_keeps_depth_in_bounds() -> None:
    with pytest.raises(LLMOutputInvalid, match="depth is from 0 to 1"):
        PLAN_RETRIEVAL.parse('{"keywords": [], "depth": 3.0}', Asked(question="Why?"))
