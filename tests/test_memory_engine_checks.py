"""The laws of memories, run on policies that keep them and on ones that break each of them."""

import random
import time
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from memgym.agents.bm25 import AddAllPolicy
from memgym.agents.recency import RecencyPolicy
from memgym.agents.rules import RulesPolicy
from memgym.checks import check_engine, check_policy
from memgym.memory import MADE, MemoryEngine, MemoryOp, Scope, operations
from memgym.memory.bank import Bank
from memgym.memory.laws import random_messages, random_ops
from memgym.memory.policy import MemoryPolicy, MemoryView, Message


class Structured(MemoryPolicy):
    """Adds, links to what it wrote before, merges every third pair and archives now and then."""

    def __init__(self) -> None:
        self.count = 0
        self.before: tuple[str, str] = ("", "")  # id and text

    def text(self, message: Message) -> str:
        return message.text

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        self.count += 1
        id, said = self.before
        ops = [MemoryOp.add(self.text(message), valid_from=message.time)]
        if id:
            ops.append(MemoryOp.link(MADE, id, "after"))
        self.before = (view.next_id, self.text(message))
        if id and self.count % 3 == 0:
            ops.append(MemoryOp.merge([MADE, id], f"{said}; {self.text(message)}"))
            self.before = ("", "")
        if id and self.count % 7 == 0:
            ops.append(MemoryOp.archive(id))
        return ops


class LooksAtTheClock(Structured):
    def text(self, message: Message) -> str:
        return f"{message.text} at {time.time()}"


class DrawsAnId(Structured):
    def text(self, message: Message) -> str:
        return f"{message.text} {uuid.uuid4()}"


class DrawsANumber(Structured):
    def text(self, message: Message) -> str:
        return f"{message.text} {random.random()}"


class RemembersOthers(Structured):
    said: list[str] = []

    def text(self, message: Message) -> str:
        self.said.append(message.text)
        return " ".join([message.text, *self.said[:-1][-1:]])


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("policy", [AddAllPolicy, RulesPolicy, RecencyPolicy])
def test_flat_policies_keep_the_laws(policy: type[MemoryPolicy], extended: bool) -> None:
    check_policy(policy, extended=extended, budgets=(None, 600))


def test_structured_policy_keeps_the_laws() -> None:
    check_policy(Structured)


@pytest.mark.parametrize(
    ("policy", "law"),
    [
        (LooksAtTheClock, "no clock"),
        (DrawsAnId, "no clock"),
        (DrawsANumber, "no random numbers"),
        (RemembersOthers, "another bank|another user"),
    ],
)
def test_policy_that_breaks_a_law_is_caught(policy: Callable[[], MemoryPolicy], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_policy(policy, budgets=(None,))


def _see_all(scope: Scope, other: Scope) -> bool:
    return True


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("owner", "name", "broken", "law"),
    [
        (Bank, "scrub", _nothing, "still in|another"),
        (Bank, "make_room", lambda self: (), "in a budget of"),
        (Scope, "covers", _see_all, "another user|finds"),
        (operations, "_forget_derived", _nothing, "was derived from it"),
    ],
)
def test_engine_that_breaks_a_law_is_caught(
    owner: Any, name: str, broken: Any, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((AssertionError, ValueError), match=law):
        check_policy(Structured)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("budget", [None, 2000])
@pytest.mark.parametrize("seed", range(3))
def test_random_programs_keep_the_laws(seed: int, budget: int | None, extended: bool) -> None:
    engine = MemoryEngine(budget, extended=extended)
    done = [
        engine.apply(op, provenance=(f"i{i}",), step=i)
        for i, op in enumerate(islice(random_ops(seed, extended=extended), 300))
    ]
    check_engine(engine)
    assert len({(each.op.kind, each.ok) for each in done}) >= (16 if extended and not budget else 5), (
        "the program does something"
    )
    if extended and budget:
        assert any(each.dropped for each in done)


def test_messages_and_programs_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert random_messages(1, 9) == random_messages(1, 9) != random_messages(2, 9)
    assert [*islice(random_ops(1), 9)] == [*islice(random_ops(1), 9)] != [*islice(random_ops(2), 9)]
