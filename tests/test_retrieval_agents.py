"""Dense and hybrid retrieval as agents: what vectors find, what fusion adds, and that it stays in the bank."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from memgym.agents import make_agent
from memgym.agents.bm25 import AddAllPolicy
from memgym.agents.dense import DensePolicy
from memgym.agents.handles import handle_of, with_handle, without_handle
from memgym.agents.hybrid import HybridPolicy
from memgym.checks import play_by_name
from memgym.errors import UnknownName
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.policy import MemoryPolicy
from memgym.memory.store import MemoryStore

DIALOGUE = "memgym/DialogueMemory-v0"
TURNS = [
    "I photographed the harbour",
    "We ate soup",
    "The kite is broken",
    "My sister moved to Oslo",
    "Rain again",
    "I adore violins",
]


class Synonyms:
    """An embedder that knows one thing: a feline is a cat."""

    name = "synonyms"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        plain = [text.lower().replace("feline", "cat") for text in texts]
        return HashingEmbedder(256).embed(plain)


def told(policy: MemoryPolicy, turns: Sequence[str], budget: int | None = None) -> MemoryStore:
    store = MemoryStore(MemoryEngine(budget), policy)
    for turn in turns:
        store.add(turn, speaker="Maya")
    return store


def first(store: MemoryStore, question: str) -> str:
    hits = store.read(question).hits
    return hits[0]["text"] if hits else ""


@pytest.mark.parametrize("text", ["Maya: hi", "", "a #h12", "price #h", "x #h1_0"])
@pytest.mark.parametrize("number", [0, 7, 2**47])
def test_a_handle_comes_off_as_it_went_on(text: str, number: int) -> None:
    marked = with_handle(text, number)
    assert handle_of(marked) == number
    assert without_handle({"text": marked, "id": "m1"}) == {"text": text, "id": "m1"}


@pytest.mark.parametrize("text", ["plain", "tail #hx", "#h", "a #h-1", "a #h²"])
def test_a_text_without_a_handle_stays_as_it_is(text: str) -> None:
    assert handle_of(text) is None
    assert without_handle({"text": text})["text"] == text


@pytest.mark.parametrize("policy", [DensePolicy, HybridPolicy])
def test_another_spelling_is_found_that_words_alone_miss(policy: type[DensePolicy]) -> None:
    question = "any harbor"
    assert first(told(policy(HashingEmbedder()), TURNS), question) == "Maya: I photographed the harbour"
    assert first(told(AddAllPolicy(), TURNS), question) == ""  # the control


@pytest.mark.parametrize("policy", [DensePolicy, HybridPolicy])
def test_what_an_embedder_knows_is_used(policy: type[DensePolicy]) -> None:
    turns = [*TURNS, "The cat sleeps"]
    assert first(told(policy(Synonyms()), turns), "a feline") == "Maya: The cat sleeps"
    assert first(told(policy(HashingEmbedder()), turns), "a feline") != "Maya: The cat sleeps"  # the control


def test_fusion_puts_what_both_rankings_know_before_what_one_knows() -> None:
    turns = ["cat cat cat", "a feline and a violin", *TURNS]
    assert (
        first(told(HybridPolicy(Synonyms()), turns), "violin of the feline") == "Maya: a feline and a violin"
    )


@pytest.mark.parametrize("policy", [DensePolicy, HybridPolicy])
@pytest.mark.parametrize("budget", [0, 30, 100, 300])
def test_nothing_is_refused_and_what_is_found_is_in_the_bank(policy: type[DensePolicy], budget: int) -> None:
    store = MemoryStore(MemoryEngine(budget), policy(HashingEmbedder(64)))
    reasons = [row["reason"] for turn in TURNS for row in store.add(turn)["results"]]
    assert not any(reasons)
    texts = {without_handle({"text": entry.text})["text"] for entry in store.get_all()}
    assert {hit["text"] for hit in store.read("kite and soup and rain").hits} <= texts


@pytest.mark.parametrize("policy", [DensePolicy, HybridPolicy])
def test_what_others_have_deleted_is_not_found(policy: type[DensePolicy]) -> None:
    store = told(policy(HashingEmbedder()), TURNS)
    store.delete("m3")
    assert "kite" not in first(store, "the broken kite")


@pytest.mark.parametrize("name", ["dense", "hybrid-rrf"])
def test_vectors_count_as_memory_and_the_card_names_the_embedder(name: str) -> None:
    agent = make_agent(name, embedder="hashing-128")
    assert agent.card.extra["embedder"] == "hashing-128"
    (episode,) = play_by_name(name, DIALOGUE, 1)
    assert episode.agent_bytes >= 4 * 1024 * episode.ops["ADD"] > 0
    assert episode.refused == 0


def test_an_unknown_embedder_is_named() -> None:
    with pytest.raises(UnknownName, match="no embedder named 'minilm'"):
        make_agent("dense", embedder="minilm")
