"""Mem-alpha: core is bounded and always read, events have times, and the reward has four terms."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("pydantic", reason="Mem-alpha's steps are typed with pydantic")

from memgym.agents import make_agent
from memgym.agents.structured.mem_alpha import (
    WRITE_TYPED_MEMORY,
    MemAlphaPolicy,
    MemoryCall,
    MemoryCalls,
    WriterInput,
    cut,
)
from memgym.agents.structured.mem_alpha_rewards import (
    Content,
    call_validity,
    compression,
    content_validity,
    judge_by_form,
    question_accuracy,
    total_reward,
)
from memgym.agents.structured.mem_alpha_tools import read_call, tool_schemas
from memgym.agents.structured.steps_facts import Said
from memgym.errors import InvalidOperation
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.ops import OpKind
from memgym.memory.store import MemoryStore

TIME = "2025-11-15T10:00"


def scripted(*calls: MemoryCall) -> RulesLLM:
    """One call a message."""
    left = iter(calls)
    return RulesLLM({WRITE_TYPED_MEMORY.name: lambda _: MemoryCalls(calls=(next(left),))})


def store_of(llm: RulesLLM | None = None, **options: Any) -> MemoryStore:
    return MemoryStore(MemoryEngine(), MemAlphaPolicy(llm or RulesLLM(), HashingEmbedder(), **options))


def said(store: MemoryStore, *texts: str, time: str = TIME) -> MemoryStore:
    for text in texts:
        store.add(text, speaker="Ines", time=time)
    return store


def parts(store: MemoryStore) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text.rpartition(" #h")[0]) for entry in store.get_all()]


LONG = " ".join(f"word{i:04d}" for i in range(600))


def test_core_is_cut_and_read_with_every_question() -> None:
    store = said(store_of(scripted(MemoryCall(tool="update", memory_type="core", content=LONG))), "x")
    first = store.read("What colour is the harbour?").hits[0]["text"]
    assert first.startswith("word0000 word0001")
    assert len(first.encode()) <= 2048 < len(LONG.encode())
    assert not first.endswith("word")


def test_without_types_there_is_no_core() -> None:
    llm = scripted(MemoryCall(tool="update", memory_type="core", content="Ines is a nurse."))
    store = said(store_of(llm, typed=False), "x")
    assert store.read("What colour is the harbour?").hits == []
    policy = store.policy
    assert isinstance(policy, MemAlphaPolicy)
    assert policy.rejected == ["update core: there is no core"]


def test_an_event_without_a_time_is_rejected() -> None:
    insert = MemoryCall(tool="insert", memory_type="episodic", content="Ines won the regatta.")
    store = said(store_of(scripted(insert, insert)), "x", time="")
    assert parts(store) == []
    policy = store.policy
    assert isinstance(policy, MemAlphaPolicy)
    assert policy.rejected == ["insert episodic: an episodic entry has a time"]
    assert parts(said(store, "x")) == [("episodic", "Ines: Ines won the regatta.")]


def test_rules_sort_what_is_said_into_parts() -> None:
    store = said(
        store_of(),
        "I live in Oslo.",
        "I won a regatta last week.",
        "I hosted a barbecue yesterday.",
        "Always answer me in French.",
        "Actually, I live in Bergen now.",
    )
    kinds = {text: kind for kind, text in parts(store)}
    assert kinds["Ines: I won a regatta last week."] == "episodic"
    assert kinds["Ines: I hosted a barbecue yesterday."] == "episodic"
    assert kinds["Ines: Actually, I live in Bergen now."] == "semantic"
    (core,) = [text for text, kind in kinds.items() if kind == "core"]
    assert core == "In this conversation: Ines.\nAlways answer me in French."
    assert not any("Oslo" in text for text in kinds)


def test_a_repeat_is_not_inserted() -> None:
    insert = MemoryCall(tool="insert", memory_type="semantic", content="I live in Oslo.")
    assert len(parts(said(store_of(scripted(insert, insert)), "x", "y"))) == 1


@pytest.mark.parametrize("retrieval", ["bm25", "dense"])
def test_an_update_changes_both_rankings(retrieval: Any) -> None:
    calls = [
        MemoryCall(tool="insert", memory_type="semantic", content="The cello stands in the attic."),
        MemoryCall(tool="insert", memory_type="semantic", content="The drum stands in the cellar."),
        MemoryCall(tool="update", memory_type="semantic", number=1, content="The kite hangs on the door."),
    ]
    store = said(store_of(scripted(*calls), retrieval=retrieval), "x", "y")
    assert store.read("Where is the cello?").hits[0]["id"] == "m1"
    said(store, "z")
    assert [hit["id"] for hit in store.read("Where is the kite?").hits][:1] == ["m1"]
    found = store.read("Where is the cello?").hits
    assert not any("cello" in hit["text"] for hit in found)
    assert retrieval == "dense" or found == []


def test_two_thousand_inserts_have_two_thousand_ids() -> None:
    """Four hexadecimal digits, as released, would make about thirty pairs share one."""

    def fifty(x: WriterInput) -> MemoryCalls:
        inserts = (
            MemoryCall(tool="insert", memory_type="semantic", content=f"fact {i} of {x.said.text}")
            for i in range(50)
        )
        return MemoryCalls(calls=tuple(inserts))

    store = store_of(RulesLLM({WRITE_TYPED_MEMORY.name: fifty}))
    for i in range(40):
        store.add(str(i))
    assert len({entry.id for entry in store.get_all()}) == 2000


@pytest.mark.parametrize("core_bytes", [40, 500])
def test_plays_a_bank_in_three_parts(core_bytes: int) -> None:
    env = gym.make(
        "memgym/LongHorizonQA-v0",
        num_words=4000,
        core_bytes=core_bytes,
        answer_format="choice",
        memory_budget=4096,
        disable_env_checker=True,
    )
    agent = make_agent("mem-alpha", core_bytes=core_bytes)
    observation, info = env.reset(seed=1)
    state, over, written = None, False, 0
    while not over:
        action, state = agent.predict(observation, state, np.array([state is None]))
        written += len(action["ops"])
        observation, _, over, _, info = env.step(action)
        assert not info["refused"], info["refused"]
    assert written > 50


def test_cut_keeps_whole_words() -> None:
    assert cut("one two three", 7) == "one two"
    assert cut("one two three", 8) == "one two"
    assert cut("ééééé", 5) == "éé"
    assert cut("one", 0) == ""


# ---------------------------------------------------------------------- tools


def test_calls_become_operations() -> None:
    insert = read_call("new_memory_insert", '{"memory_type": "episodic", "content": "On 3 May Ines won."}')
    assert (insert.kind, insert.attrs) == (OpKind.ADD, {"kind": "episodic"})
    assert read_call("memory_update", {"memory_type": "core", "new_content": "a"}).kind is OpKind.ADD
    assert read_call("memory_update", {"memory_type": "core", "new_content": "a"}, core="m4").id == "m4"
    assert read_call("memory_delete", {"memory_type": "semantic", "memory_id": "m2"}).kind is OpKind.DELETE
    assert read_call("search_memory", {"memory_type": "semantic", "query": "cello"}).attrs == {"k": 20}


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("remember", {}, "no tool 'remember'"),
        ("memory_update", "{", "JSON object"),
        ("new_memory_insert", {"memory_type": "core", "content": "a"}, "one of semantic, episodic"),
        ("new_memory_insert", {"memory_type": "semantic", "content": " "}, "is text"),
        ("new_memory_insert", {"memory_type": "semantic"}, "needs 'content'"),
        ("memory_delete", {"memory_type": "semantic"}, "needs 'memory_id'"),
        ("memory_delete", {"memory_type": "core", "force": True}, "no argument 'force'"),
        ("search_memory", {"memory_type": "semantic", "query": "a", "top_k": 99}, "from 1 to 50"),
        ("search_memory", {"memory_type": ["core"], "query": "a"}, "one of"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_by_name(name: str, arguments: Any, reason: str) -> None:
    with pytest.raises(InvalidOperation, match=reason):
        read_call(name, arguments)


def test_every_tool_has_a_schema_of_its_arguments() -> None:
    for tool in tool_schemas():
        parameters = tool["function"]["parameters"]
        assert set(parameters["required"]) <= set(parameters["properties"])
        assert parameters["additionalProperties"] is False


def test_a_model_cannot_change_what_it_was_not_shown() -> None:
    x = WriterInput(said=Said(text="a"))
    for call, reason in (
        (
            '{"tool": "update", "memory_type": "semantic", "number": 3, "content": "a"}',
            "no semantic entry shown",
        ),
        ('{"tool": "insert", "memory_type": "core", "content": "a"}', "never inserted"),
        ('{"tool": "insert", "memory_type": "semantic", "content": ""}', "without content"),
    ):
        with pytest.raises(LLMOutputInvalid, match=reason):
            WRITE_TYPED_MEMORY.parse(f'{{"calls": [{call}]}}', x)


# ---------------------------------------------------------------------- rewards


def test_compression_falls_with_every_junk_entry() -> None:
    store = MemoryStore(MemoryEngine(), MemAlphaPolicy(RulesLLM(), HashingEmbedder()))
    sizes = []
    for i in range(5):
        store.add(f"junk number {i}", infer=False)
        sizes.append(compression(store.engine.nbytes, 1000))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 5
    assert compression(0, 10) == 1.0
    assert compression(20, 10) == -1.0


@pytest.mark.parametrize("args", [(1, 0), (-1, 10)])
def test_compression_of_nothing_is_an_error(args: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="what was read"):
        compression(*args)


@pytest.mark.parametrize(
    ("content", "valid"),
    [
        (Content(memory_type="episodic", content="Ines won the regatta."), False),
        (Content(memory_type="episodic", content="Ines won the regatta on 3 May 2024."), True),
        (Content(memory_type="episodic", content="Ines won the regatta.", time=TIME), True),
        (Content(memory_type="semantic", content="Ines lives in Oslo."), True),
        (Content(memory_type="semantic", content="ok"), False),
    ],
)
def test_content_is_judged_by_its_part(content: Content, valid: bool) -> None:
    verdict = judge_by_form(content)
    assert verdict.valid is valid
    assert bool(verdict.reason) is not valid


def test_the_terms_add_up() -> None:
    r1, r2 = question_accuracy([1.0, 0.0, 0.5]), call_validity([True, True, False, True])
    r4 = content_validity([True, False])
    assert (r1, r2, r4) == (0.5, 0.75, 0.5)
    assert total_reward(r1, r2, 0.8, r4) == pytest.approx(0.5 + 0.75 + 0.04 + 0.05)
    assert total_reward(r1, r2, 0.8, r4, beta=0, gamma=0) == 1.25
    assert (call_validity([]), content_validity([])) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no questions"):
        question_accuracy([])
