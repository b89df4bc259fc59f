"""mem0: release 1 keeps facts up to date, release 2 only adds, and names lead to them."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="mem0's steps are typed with pydantic")

from memgym.agents import make_agent
from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.mem0 import EXTRACT_NEW_FACTS, Mem0AdditivePolicy, Mem0Policy, SaidAfter
from memgym.agents.structured.name_index import NameIndex
from memgym.agents.structured.steps_facts import Facts
from memgym.llm import RulesLLM
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.policy import MemoryPolicy
from memgym.memory.store import MemoryStore

MOVED = ("I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now.")


def filled(policy: MemoryPolicy, *texts: str) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), policy)
    for text in texts:
        store.add(text, speaker="Ines")
    return store


def first(*texts: str, **options: Any) -> MemoryStore:
    return filled(Mem0Policy(RulesLLM(), HashingEmbedder(), **options), *texts)


def additive(*texts: str, **options: Any) -> MemoryStore:
    return filled(Mem0AdditivePolicy(RulesLLM(), HashingEmbedder(), **options), *texts)


def events(store: MemoryStore) -> list[str]:
    return [done.op.kind.name for done in store.engine.log]


def found(store: MemoryStore, question: str) -> list[str]:
    return [hit["text"] for hit in store.read(question).hits]


def test_release_1_updates_and_the_old_value_is_gone() -> None:
    store = first(*MOVED)
    assert events(store) == ["ADD", "ADD", "UPDATE"]
    assert not any("Oslo" in entry.text for entry in store.get_all())


def test_release_1_without_the_update_phase_keeps_both() -> None:
    assert events(first(*MOVED, update=False)) == ["ADD", "ADD", "ADD"]


def test_release_1_leaves_a_repeat_alone_and_deletes_what_ended() -> None:
    assert events(first("I play the cello.", "I play the cello.", "I no longer play the cello.")) == [
        "ADD",
        "DELETE",
    ]


def test_release_2_keeps_both_and_only_adds() -> None:
    store = additive(*MOVED, "I no longer play the cello.")
    assert events(store) == ["ADD"] * 4
    assert {"Ines: I live in Oslo.", "Ines: Actually, I live in Bergen now."} <= set(
        found(store, "Where does Ines live?")
    )


def test_release_2_adds_a_fact_once() -> None:
    repeated = ("I live in Oslo.", "I live in Oslo.")
    assert events(additive(*repeated)) == ["ADD"]
    assert events(additive(*repeated, deduplicate=False)) == ["ADD", "ADD"]


def test_release_2_forgets_that_it_knew_what_is_deleted() -> None:
    store = additive("I live in Oslo.")
    store.delete("m1")
    store.add("I live in Oslo.", speaker="Ines")
    assert [entry.text for entry in store.get_all()] == ["Ines: I live in Oslo. #h2"]


ABOUT_LYON = (
    "My colleague visited Lyon over the holidays last winter.",
    "I spent some holidays visiting a zoo.",
)


def test_a_shared_name_ranks_higher() -> None:
    """By vectors and words alone, the zoo is nearer to the question."""
    question = "Which holidays were spent visiting Lyon?"
    assert "Lyon" in found(additive(*ABOUT_LYON), question)[0]
    assert "zoo" in found(additive(*ABOUT_LYON, entities=False), question)[0]


def test_what_is_unlike_the_question_is_no_candidate() -> None:
    store = additive("I live in Oslo.", "My sister plays the cello.")
    assert found(store, "Who plays the cello?") == ["Ines: My sister plays the cello."]
    every = filled(
        Mem0AdditivePolicy(RulesLLM(), HashingEmbedder(), threshold=-1.0),
        "I live in Oslo.",
        "My sister plays the cello.",
    )
    assert len(found(every, "Who plays the cello?")) == 2


TWO_TELL = (("Ines", "I moved from Oslo to Bergen in spring."), ("Maya", "My cello is kept in Oslo."))


@pytest.mark.parametrize(("speakers", "first_speaker"), [(True, "Maya"), (False, "Ines")])
def test_who_said_a_fact_is_part_of_its_vector(speakers: bool, first_speaker: str) -> None:
    """The control: without, what somebody else said in the question's words is as near, and comes first."""
    policy = Mem0AdditivePolicy(RulesLLM(), HashingEmbedder(), speakers=speakers, entities=False)
    store = MemoryStore(MemoryEngine(), policy)
    for speaker, text in TWO_TELL:
        store.add(text, speaker=speaker)
    near = policy.ledger.nearest("Where did Maya move from?", 2)
    assert store.engine.get(f"m{near[0][0]}").text.startswith(f"{first_speaker}: ")


@pytest.mark.parametrize("speakers", [True, False])
def test_an_extraction_sees_what_its_speaker_told_first(speakers: bool) -> None:
    seen: list[SaidAfter] = []

    def extract(x: SaidAfter) -> Facts:
        seen.append(x)
        return Facts(facts=(x.said.text,))

    rules = RulesLLM({EXTRACT_NEW_FACTS.name: extract})
    store = MemoryStore(MemoryEngine(), Mem0AdditivePolicy(rules, HashingEmbedder(), speakers=speakers))
    for speaker in ("Ines", "Maya"):
        store.add("The harbour was closed on Sunday.", speaker=speaker)
    store.add("The harbour was closed.", speaker="Maya")
    first = seen[-1].memories[0].text
    assert first.startswith("Maya: " if speakers else "Ines: ")


def test_a_fact_is_compared_with_the_memories_that_its_extraction_saw() -> None:
    repeated = ("I live in Oslo.", "I live in Oslo.")
    assert events(additive(*repeated, candidates=0)) == ["ADD", "ADD"]
    assert events(additive("I live in Oslo. I live in Oslo.", candidates=0)) == ["ADD"], "nor twice at once"


def test_bm25_counts_less_the_longer_the_question() -> None:
    policy = Mem0AdditivePolicy(RulesLLM(), HashingEmbedder())
    filled(policy, "I live in Oslo.")
    hit = {"id": "m1", "text": "", "attrs": "", "score": 6.0}
    scores = [policy._lexical([hit], words)[1] for words in (1, 3, 4, 9, 10, 16, 300)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == scores[1] > 0.5 > scores[2]


def test_names_lead_to_their_entries() -> None:
    names = NameIndex(HashingEmbedder())
    names.link(1, ["Oslo", "Ada Lovelace"])
    names.link(2, ["OSLO"])
    names.link(3, ["Bergen"])
    found = names.boosts(["Oslo"])
    assert found == pytest.approx({1: 1 / 1.001, 2: 1 / 1.001}, abs=1e-3), "two spellings, one name"
    assert 0.5 <= names.boosts(["Lovelace"])[1] < 1, "alike"
    assert names.boosts(["Paris"]) == names.boosts([]) == {}
    held = names.nbytes()
    names.keep({2})
    assert names.boosts(["Oslo", "Lovelace", "Bergen"]) == pytest.approx({2: 1.0}, abs=1e-3)
    assert names.nbytes() < held / 2
    names.link(3, ["Bergen"])
    assert names.boosts(["Bergen"]) == pytest.approx({3: 1.0}, abs=1e-3)


def test_a_name_of_everybody_says_little() -> None:
    names = NameIndex(HashingEmbedder())
    for entry in range(100):
        names.link(entry, ["Maya", *(["Oslo"] if entry == 7 else [])])
    found = names.boosts(["Maya", "Oslo"])
    assert found[7] == pytest.approx(1.0, abs=1e-3)
    assert all(found[entry] < 0.1 for entry in found if entry != 7)


def test_an_extraction_sees_what_was_said_before() -> None:
    seen: list[SaidAfter] = []

    def extract(x: SaidAfter) -> Facts:
        seen.append(x)
        return Facts(facts=(x.said.text,))

    policy = Mem0AdditivePolicy(RulesLLM({EXTRACT_NEW_FACTS.name: extract}), HashingEmbedder())
    filled(policy, *(f"Fact {i} about the harbour." for i in range(12)))
    assert [said.text for said in seen[-1].recent] == [f"Fact {i} about the harbour." for i in range(1, 11)]
    assert 0 < len(seen[-1].memories) <= 10


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Yesterday Maya read “Dune” in Oslo. Maya liked it.", ("Maya", "Oslo", "Dune")),
        ("I moved to New York on Monday, in May.", ("New York",)),
        ("Everybody is tired. I know.", ()),
        ("Ada Lovelace wrote to me.", ("Ada Lovelace",)),
    ],
)
def test_names(text: str, names: tuple[str, ...]) -> None:
    assert named_entities(text) == names


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_variants_by_name(variant: str) -> None:
    agent = make_agent("mem0", variant=variant)
    assert agent.card.config["variant"] == variant
    assert ("decide_ops" in agent.card.extra["steps"]) == (variant == "v1")
