"""mem0: release 1 keeps facts up to date, release 2 only adds, and names lead to them."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="mem0's steps are typed with pydantic")

from memgym.agents import make_agent
from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.mem0 import EXTRACT_NEW_FACTS, Mem0AdditivePolicy, Mem0Policy, SaidAfter
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
