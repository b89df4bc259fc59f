"""Extended operations as actions of text tasks: allowed only where they are asked for, and under the same budget."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

from memgym.envs.text import TextMemoryEnv
from memgym.memory import MADE, MemoryOp, OpKind, as_action
from memgym.spaces import op_space
from memgym.stream import Item, Question

ITEMS = ["Maya started the cello.", "Jonas lives in Oslo.", "Maya will play at Bremen."]
EXTENDED = [
    MemoryOp.merge(["m1", "m2"], "both"),
    MemoryOp.link("m1", "m2"),
    MemoryOp.unlink("m1", "m2"),
    MemoryOp.archive("m1"),
    MemoryOp.restore("m1"),
    MemoryOp.freeze("m1"),
    MemoryOp.rollback("m1", 1),
]


class Told(TextMemoryEnv):
    """Three items and a question about the first and the last."""

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        for i, text in enumerate(ITEMS):
            yield Item(f"i{i}", text)
        yield Question("q", "What does Maya do?", "multi-hop", "cello", evidence=("i0", "i2"))


def begin(**kwargs: Any) -> Told:
    env = Told(**{"ops": "extended", **kwargs})
    env.reset(seed=0)
    return env


def act(env: Told, *ops: MemoryOp) -> dict[str, Any]:
    action = as_action(ops)
    assert env.action_space.contains(action)
    return env.step(action)[4]


def test_core_space_is_what_it_was_and_the_extended_one_has_every_kind() -> None:
    assert op_space()["kind"].n == 5  # type: ignore[attr-defined]
    assert op_space(extended=True)["kind"].n == len(OpKind) == 12  # type: ignore[attr-defined]
    assert [int(op.kind) for op in EXTENDED] == list(range(5, 12))
    assert not Told().action_space.contains(as_action(EXTENDED))
    assert Told(ops="extended").action_space.contains(as_action(EXTENDED))


@pytest.mark.parametrize("op", EXTENDED, ids=lambda op: op.kind.name)
def test_core_environment_refuses_an_extended_operation_by_name(op: MemoryOp) -> None:
    env = begin(ops="core")
    env.step(as_action([MemoryOp.add("a"), MemoryOp.add("b")]))
    before = env.bank.get_all()
    info = env.step(as_action([op]))[4]
    assert info["refused"] == (
        {"op": 0, "reason": f"{op.kind.name} needs an extended bank (ops='extended')"},
    )
    assert env.bank.get_all() == before


@pytest.mark.parametrize("env_id", ["DialogueMemory", "TaskRevision", "LongHorizonQA"])
def test_text_tasks_take_ops(env_id: str) -> None:
    env = gym.make(f"memgym/{env_id}-v0", ops="extended", disable_env_checker=True)
    env.reset(seed=0)
    info = env.step(as_action([MemoryOp.add("a"), MemoryOp.add("b"), MemoryOp.link("m1", MADE, "before")]))[4]
    assert info["refused"] == ()
    with pytest.raises(ValueError, match="'core' or 'extended'"):
        gym.make(f"memgym/{env_id}-v0", ops="all", disable_env_checker=True)


def test_merged_entry_holds_what_its_text_says_of_its_sources() -> None:
    env = begin()
    act(env, MemoryOp.add(ITEMS[0]))
    act(env)
    act(env, MemoryOp.add(ITEMS[2]), MemoryOp.merge(["m1", MADE], " ".join([ITEMS[0], ITEMS[2]])))
    assert env.bank.get("m3").provenance == ("i0", "i2")
    assert act(env)["evidence_recall"] == 1.0


@pytest.mark.parametrize("undone", [False, True])
def test_rollback_brings_back_what_the_version_held(undone: bool) -> None:
    env = begin()
    act(env, MemoryOp.add(ITEMS[0]))
    act(env)
    act(env, MemoryOp.update("m1", ITEMS[2]), *([MemoryOp.rollback("m1", 1)] if undone else []))
    assert env.bank.get("m1").provenance == (("i0",) if undone else ("i2",))


def test_search_of_a_neighbourhood_and_of_a_view() -> None:
    env = begin()
    act(env, *map(MemoryOp.add, ITEMS), MemoryOp.link("m1", "m3", "causes"), MemoryOp.link("m1", "m2"))
    observation = env.step(as_action([MemoryOp.search("", near="m1", rel="causes")]))[0]
    assert [hit["id"] for hit in observation["hits"]] == ["m3"]
    observation = env.step(as_action([MemoryOp.search("cello", views=["graph"])]))[0]
    assert [hit["id"] for hit in observation["hits"]] == ["m2", "m3"]


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (MemoryOp.search("", near="m9"), "no entry 'm9'"),
        (MemoryOp.search("", near="m1", hops=99), "hops"),
        (MemoryOp.search("", near="m1", direction="up"), "direction"),
        (MemoryOp.search("x", views="lexical"), "views"),
        (MemoryOp.search("x", views=["sound"]), "no view 'sound'"),
        (MemoryOp.search("x", views=["dense"]), "embedder"),
        (MemoryOp.search("x", valid_at="soon"), "ISO 8601"),
        (MemoryOp.search("x", valid_at=3), "ISO 8601"),
        (MemoryOp.search("x", k=0), "k of a SEARCH"),
    ],
)
def test_search_that_cannot_be_answered_is_refused(op: MemoryOp, reason: str) -> None:
    env = begin()
    info = act(env, MemoryOp.add("x"), op)
    assert [refused["op"] for refused in info["refused"]] == [1]
    assert reason in info["refused"][0]["reason"]


def test_nothing_that_can_come_back_is_outside_the_budget() -> None:
    """The cheat that an extended bank must not allow: keep a text in old versions or in the archive."""
    env = begin(memory_budget=100)
    texts = [f"fact {i} " + "x" * 30 for i in range(6)]
    act(
        env,
        *(op for i, text in enumerate(texts) for op in (MemoryOp.add(text), MemoryOp.archive(f"m{i + 1}"))),
    )
    kept = [entry.id for entry in env.bank.get_all(status="archived")]
    assert kept == ["m5", "m6"]  # the last that fit
    assert env.bank.nbytes <= 100
    info = act(env, MemoryOp.restore("m1"), MemoryOp.restore("m6"))
    assert [refused["reason"] for refused in info["refused"]] == ["RESTORE: no entry 'm1'"]


def test_old_versions_stay_only_while_there_is_room() -> None:
    for budget, kept in ((1000, [1, 2, 3]), (80, [2, 3])):
        env = begin(memory_budget=budget)
        act(env, MemoryOp.add("a" * 30), MemoryOp.update("m1", "b" * 30), MemoryOp.update("m1", "c" * 30))
        assert [entry.version for entry in env.bank.history("m1")] == kept
        assert env.bank.bytes_left == budget - 32
