"""StruXGPT: what was said at different times about one thing stands together, in its own words."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="StruXGPT's step is typed with pydantic")

from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.struxgpt import STRUCTURISE, Placed, Structure, StruXPolicy, ToStructure
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.policy import MemoryPolicy
from memgym.memory.store import MemoryStore

TOLD = (
    ("Ines", "I play the cello."),
    ("Ines", "I keep two goats."),
    ("Omar", "I play chess on Sundays."),
    ("Ines", "I baked bread for my neighbours."),
    ("Ines", "I play it in a quartet with my cousin Bruno."),
    ("Ines", "We play in Bremen next spring."),
)


def told(policy: MemoryPolicy, *messages: tuple[str, str], budget: int | None = None) -> MemoryStore:
    store = MemoryStore(MemoryEngine(budget), policy)
    for i, (speaker, text) in enumerate(messages):
        store.add(text, speaker=speaker, time=f"2024-05-{i + 1:02d}T10:00")
    return store


def store_of(*messages: tuple[str, str], **options: Any) -> MemoryStore:
    return told(StruXPolicy(RulesLLM(), **options), *messages)


def test_one_entry_brings_all_that_was_said_about_an_aspect() -> None:
    """Its last sentence names neither the cello nor the quartet."""
    (hit,) = store_of(*TOLD, hits=1).read("Where does Ines play the cello?").hits
    assert hit["text"] == (
        "Ines: play: I play the cello. I play it in a quartet with my cousin Bruno. We play in Bremen next spring."
    )


def test_without_structure_it_brings_one_sentence() -> None:
    """The control."""
    (hit,) = store_of(*TOLD, hits=1, structure=False).read("Where does Ines play the cello?").hits
    assert hit["text"] == "Ines: I play the cello."


def test_scopes_are_kept_apart() -> None:
    texts = [entry.text for entry in store_of(*TOLD).get_all()]
    assert sum("play" in text for text in texts) == 2
    assert not any("chess" in text and "cello" in text for text in texts)


def test_small_talk_has_no_place() -> None:
    assert len(store_of(("Ines", "Good morning!"), ("Omar", "How are you?")).get_all()) == 0


def test_a_long_aspect_goes_on_in_another_entry() -> None:
    store = store_of(*[("Ines", f"I play piece number {i} of the great book of studies.") for i in range(30)])
    entries = store.get_all()
    assert len(entries) > 1
    assert all(len(entry.text) < 640 for entry in entries)
    assert sum(entry.text.count("piece number") for entry in entries) == 30


def test_descriptions_in_other_words_are_refused() -> None:
    x = ToStructure(said=Said(text="I play the cello.", speaker="Ines"), scope="Ines")
    good = Structure(placed=(Placed(aspect="music", description="I play the cello."),))
    assert STRUCTURISE.parse(good.model_dump_json(), x) == good
    bad = Structure(placed=(Placed(aspect="music", description="Ines is a famous pianist."),))
    with pytest.raises(LLMOutputInvalid, match="own words"):
        STRUCTURISE.parse(bad.model_dump_json(), x)


def test_a_model_names_the_aspects() -> None:
    def by_topic(x: ToStructure) -> Structure:
        """All of it is music."""
        return Structure(placed=(Placed(aspect="music", description=x.said.text),))

    store = told(StruXPolicy(RulesLLM({STRUCTURISE.name: by_topic})), *TOLD[:2])
    assert [entry.text for entry in store.get_all()] == [
        "Ines: music: I play the cello. I keep two goats. #h1"
    ]


def test_what_was_written_longest_ago_goes() -> None:
    topics = "cello goats bread chess garden boats stamps radio".split()
    messages = [
        ("Ines", f"I {'play build bake grow sell paint mend sort'.split()[i]} {t}.")
        for i, t in enumerate(topics)
    ]
    store = told(StruXPolicy(RulesLLM()), *messages, budget=400)
    kept = [entry.text for entry in store.get_all()]
    assert 0 < len(kept) < len(topics)
    assert "radio" in kept[-1]
