"""Memory-R1: one operation a fact, nothing on a repeat, and a selection of what was found."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="Memory-R1's steps are typed with pydantic")

from memgym.agents.structured.memory_r1 import MemoryR1Policy
from memgym.agents.structured.steps_facts import DECIDE_OPS, DISTIL, DecisionInput, DistilInput, KeptFact
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore


def store_of(*texts: str, speaker: str = "Ines", **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), MemoryR1Policy(RulesLLM(), HashingEmbedder(), **options))
    for text in texts:
        store.add(text, speaker=speaker)
    return store


def events(store: MemoryStore) -> list[str]:
    return [done.op.kind.name for done in store.engine.log]


def texts(store: MemoryStore) -> list[str]:
    return [entry.text for entry in store.get_all()]


TWO_DOGS = ("I adopted a dog named Buddy.", "I adopted another dog named Scout.")


def test_a_second_one_of_a_kind_joins_the_first() -> None:
    store = store_of(*TWO_DOGS)
    assert events(store) == ["ADD", "UPDATE"]
    (text,) = texts(store)
    assert "Buddy" in text
    assert "Scout" in text


def test_without_the_manager_it_does_not() -> None:
    assert events(store_of(*TWO_DOGS, manager=False)) == ["ADD", "ADD"]


def test_a_new_value_takes_the_place_of_the_old_one() -> None:
    store = store_of("I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now.")
    assert events(store) == ["ADD", "ADD", "UPDATE"]
    assert "Bergen" in texts(store)[0]
    assert not any("Oslo" in text for text in texts(store))


def test_a_repeat_changes_nothing() -> None:
    store = store_of("I live in Oslo.")
    before = store.engine.digest()
    store.add("I live in Oslo.", speaker="Ines")
    assert store.engine.digest() == before
    assert events(store_of("I live in Oslo.", "I live in Oslo.", manager=False)) == ["ADD", "ADD"]


@pytest.mark.parametrize("ending", ["I no longer play the cello.", "Please forget that I play the cello."])
def test_what_ended_is_gone(ending: str) -> None:
    store = store_of("I play the cello.", "I live in Oslo.", ending)
    assert events(store) == ["ADD", "ADD", "DELETE"]
    assert len(store.get_all()) == 1
    assert "cello" not in store.engine.snapshot().decode()


def test_speakers_do_not_change_each_other_s_facts() -> None:
    store = store_of("I live in Oslo.")
    store.add("I live in Bergen now.", speaker="Kofi")
    assert events(store) == ["ADD", "ADD"]


def test_small_talk_is_no_fact() -> None:
    assert events(store_of("Good to know!", "Really?", "I see.")) == []


def test_selection_is_among_what_was_found() -> None:
    facts = ("I live in Oslo.", "I adopted a dog named Buddy.", "My sister plays the cello.")
    found = [hit["id"] for hit in store_of(*facts, distillation=False).read("Where does Ines live?").hits]
    kept = [hit["id"] for hit in store_of(*facts).read("Where does Ines live?").hits]
    assert set(kept) < set(found)
    assert kept == ["m1"]


def test_a_model_cannot_name_what_it_was_not_shown() -> None:
    memory = KeptFact(number=3, text="Ines lives in Oslo.")
    with pytest.raises(LLMOutputInvalid, match="none of the memories shown"):
        DISTIL.parse('{"numbers": [3, 9]}', DistilInput(question="Where?", memories=(memory,)))
    x = DecisionInput(fact="She moved.", memories=(memory,))
    for operation in ('{"event": "DELETE", "number": 9}', '{"event": "ADD", "text": " "}'):
        with pytest.raises(LLMOutputInvalid, match=r"none of the memories shown|without a text"):
            DECIDE_OPS.parse(f'{{"operations": [{operation}]}}', x)
