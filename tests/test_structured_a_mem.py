"""A-MEM: a note changes its neighbours, and the change is searched at once."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="A-MEM's steps are typed with pydantic")

from memgym.agents.structured.a_mem import (
    AMemPolicy,
    Evolution,
    EvolveInput,
    NoteAttributes,
    NoteInput,
    share_tags,
)
from memgym.llm import RulesLLM
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

TAGS = {"started": ("music",), "Bremen": ("orchestra", "competition"), "kite": ("wind",)}


def tagged(x: NoteInput) -> NoteAttributes:
    """Tags by a word of the text."""
    tags = next(tags for word, tags in TAGS.items() if word in x.text)
    return NoteAttributes(keywords=tags, tags=tags, context="")


def two_notes(**options: Any) -> MemoryStore:
    llm = RulesLLM({"note_attributes": tagged})
    store = MemoryStore(MemoryEngine(), AMemPolicy(llm, HashingEmbedder(), **options))
    for text in (
        "Maya started the cello.",
        "A red kite.",
        "Another kite.",
        "Maya will play the cello at Bremen.",
    ):
        store.add(text)
    return store


def ranked(store: MemoryStore) -> list[str]:
    return [hit["text"] for hit in store.read("orchestra competition").hits]


def test_a_neighbour_takes_on_tags_and_is_found_by_them() -> None:
    store = two_notes(hits=2)
    assert "Maya started the cello." in ranked(store)[:2]
    versions = store.history("m1")
    assert [entry.version for entry in versions] == [1, 2]
    assert [entry.attrs["tags"] for entry in versions] == [["music"], ["music", "orchestra", "competition"]]


@pytest.mark.parametrize("options", [{"evolution": False}, {"variant": "released"}])
def test_without_evolution_or_a_new_vector_it_is_not(options: dict[str, Any]) -> None:
    policy = two_notes(**options).policy
    assert isinstance(policy, AMemPolicy)
    scores = dict(policy.ledger.nearest("orchestra competition", 4))
    evolved = two_notes().policy
    assert isinstance(evolved, AMemPolicy)
    assert dict(evolved.ledger.nearest("orchestra competition", 4))[1] > 0.2 > scores[1]


def test_linked_notes_come_after_the_hits() -> None:
    """The note of Bremen is the only hit, and brings the one that it links to."""
    store = two_notes(hits=1, evolution=False)
    assert ranked(store) == ["Maya will play the cello at Bremen.", "Maya started the cello."]
    alone = RulesLLM(
        {"note_attributes": tagged, "evolve": lambda x: Evolution(tags=x.note.tags, neighbours=_apart(x))}
    )
    unlinked = MemoryStore(MemoryEngine(), AMemPolicy(alone, HashingEmbedder(), hits=1))
    for text in ("Maya started the cello.", "Maya will play the cello at Bremen."):
        unlinked.add(text)
    assert ranked(unlinked) == ["Maya will play the cello at Bremen."]


def _apart(x: EvolveInput) -> Any:
    return tuple(fate.model_copy(update={"link": False}) for fate in share_tags(x).neighbours)


def test_a_model_must_judge_every_neighbour() -> None:
    from memgym.agents.structured.a_mem import EVOLVE, Note
    from memgym.llm.errors import LLMOutputInvalid

    note = Note(text="a")
    x = EvolveInput(note=note, neighbours=(note, note), likeness=(0.5, 0.4))
    with pytest.raises(LLMOutputInvalid, match="neighbours has 2 entries"):
        EVOLVE.parse('{"tags": [], "neighbours": []}', x)
