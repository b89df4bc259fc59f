"""HGMem: points about the same things grow together, and merged ones are one hop away."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydantic", reason="HGMem's steps are typed with pydantic")

from memgym.agents.structured.hg_mem import (
    HG_MERGE,
    Concern,
    HGMemPolicy,
    MemoryShown,
    PointShown,
    Verdict,
    shared_objects,
)
from memgym.agents.structured.hypergraph import Hypergraph, PointInvalid
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore


def vault() -> tuple[Hypergraph, int, int, int]:
    memory = Hypergraph()
    a = memory.insert(["Ada", "Brass Key"], "Ada carries the Brass Key.", [1])
    b = memory.insert(["Brass Key", "North Vault"], "The Brass Key opens the North Vault.", [2])
    return memory, a, b, memory.insert(["Zed", "Lamp"], "Zed has a Lamp.", [3])


def test_merged_points_are_one_hop_apart() -> None:
    memory, a, b, apart = vault()
    assert "North Vault" not in memory.neighbours("Ada"), "before the merge: the control"
    distractor = memory.points[apart]
    whole = memory.merge([a, b], "Ada can open the North Vault.")
    assert "North Vault" in memory.neighbours("Ada")
    assert memory.points[whole].members == {"Ada", "Brass Key", "North Vault"}
    assert memory.points[whole].sources == (1, 2)
    assert memory.points[whole].parents == (a, b)
    assert {memory.points[a].merged_into, memory.points[b].merged_into} == {whole}
    assert memory.points[apart] == distractor
    assert set(memory.active) == {apart, whole}


def test_an_update_leaves_the_vertices() -> None:
    memory, a, _, _ = vault()
    members = memory.points[a].members
    memory.update(a, "Ada carries the Brass Key on a chain.", [4])
    assert memory.points[a].members == members
    assert memory.points[a].sources == (1, 4)


def test_two_points_about_the_same_vertices_are_two() -> None:
    memory, a, _, _ = vault()
    assert memory.insert(["Brass Key", "Ada"], "Ada lost the Brass Key.") != a
    assert len(memory.active) == 4


def test_what_is_no_point() -> None:
    memory, a, b, _ = vault()
    with pytest.raises(PointInvalid, match="two vertices"):
        memory.insert(["Ada", "Ada"], "Ada.")
    with pytest.raises(PointInvalid, match="two points"):
        memory.merge([a, a], "")
    memory.merge([a, b], "")
    with pytest.raises(PointInvalid, match="no active point"):
        memory.update(a, "")


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=2), min_size=2, max_size=8), st.data())
def test_merging_keeps_all_vertices_and_sources(edges: list[set[str]], data: st.DataObject) -> None:
    memory = Hypergraph()
    numbers = [memory.insert(edge, "", [i]) for i, edge in enumerate(edges)]
    chosen = data.draw(st.lists(st.sampled_from(numbers), min_size=2, unique=True))
    before, size = memory.vertices, len(memory.active)
    memory.merge(chosen, "")
    assert memory.vertices == before
    assert len(memory.active) == size - len(chosen) + 1
    assert {source for point in memory.active.values() for source in point.sources} == set(range(len(edges)))


# ---------------------------------------------------------------------- the policy

TOLD = (
    "Today Ada carries the Brass Key.",
    "The Brass Key opens the North Vault.",
    "Zed polishes a Lamp.",
    "The North Vault holds Crimson Ledgers.",
    *(f"Visitor {i} brought Green Apples." for i in range(12)),
)
QUESTION = "What can Ada reach?"


def filled(rules: Any = None, **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), HGMemPolicy(RulesLLM(rules or {}), HashingEmbedder(), **options))
    for text in TOLD:
        store.add(text)
    return store


def memory_of(store: MemoryStore) -> Hypergraph:
    store.read(QUESTION)
    assert isinstance(store.policy, HGMemPolicy)
    return store.policy.memory


def test_points_of_a_question_are_merged_and_the_control_is_not() -> None:
    merged = memory_of(filled())
    assert "North Vault" in merged.neighbours("Ada")
    apart = memory_of(filled(merging=False))
    assert "North Vault" not in apart.neighbours("Ada")


def test_a_global_concern_never_brings_back_what_the_memory_holds() -> None:
    asked: list[MemoryShown] = []

    def concern(x: MemoryShown) -> Verdict:
        asked.append(x)
        return Verdict(sufficient=False, concerns=(Concern(query="Ada Brass Key"),))

    store = filled({"hg_judge": concern}, hits=1, rounds=2, merging=False)
    memory = memory_of(store)
    held = {name for point in asked[0].memory for name in point.objects}
    assert held
    new = [point for number, point in memory.points.items() if number > len(asked[0].memory)]
    assert not any(held & point.members for point in new)


def test_a_local_concern_stays_around_its_points() -> None:
    def concern(x: MemoryShown) -> Verdict:
        return Verdict(sufficient=False, concerns=(Concern(query="Green Apples", points=(1,)),))

    far = {hit["text"] for hit in filled({"hg_judge": concern}, hits=1, hops=1).read(QUESTION).hits}
    assert not any("Visitor" in text for text in far if text not in nearest(2))


def nearest(k: int) -> set[str]:
    policy = filled().policy
    assert isinstance(policy, HGMemPolicy)
    return {TOLD[number - 1] for number, _ in policy.ledger.nearest(QUESTION, k)}


def test_each_question_has_a_memory_of_its_own() -> None:
    store = filled()
    first = memory_of(store)
    assert memory_of(store) is not first
    assert len(memory_of(store).points) == len(first.points)


def test_an_object_that_most_points_have_connects_nothing() -> None:
    memory = tuple(
        PointShown(number=i, objects=("Maya", name), description=f"Maya has a {name}.")
        for i, name in enumerate(("kite", "boat", "drum", "lamp"), 1)
    )
    assert shared_objects(MemoryShown(question="Which kite has Maya?", memory=memory)).groups == ()


def test_a_model_must_group_points_that_it_was_shown() -> None:
    x = MemoryShown(question="a", memory=(PointShown(number=1, objects=("a", "b"), description="c"),))
    with pytest.raises(LLMOutputInvalid, match="7 is none of the points shown"):
        HG_MERGE.parse('{"groups": [{"numbers": [1, 7], "description": "d"}]}', x)
