"""A package's memory over the environment's bank: mirrored, bounded, and found again. Without any package."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="the rules are typed with pydantic")

from memgym.agents import make_agent
from memgym.agents.external.model import PackageModel
from memgym.agents.external.store import Memory, PackagePolicy, PackageStore
from memgym.errors import DependencyMissing
from memgym.llm import ChatMessage, Client, Completion, LLMError, LLMRequest, LLMUnavailable, Usage
from memgym.memory import MemoryEngine
from memgym.memory.policy import Message
from memgym.memory.store import MemoryStore

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


class Answers(Client):
    """Says the same to everybody; or fails."""

    model = "answers"

    def __init__(self, outcome: Completion | LLMError) -> None:
        self.outcome = outcome
        self.asked: list[LLMRequest] = []

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: Any = None
    ) -> list[Completion | LLMError]:
        self.asked += requests
        return [self.outcome for _ in requests]


YES = Completion("yes", Usage(1, 10, 2), "answers")


class Slots(PackageStore):
    """Stands in for a package: "city: Oslo" keeps one value a key, "-city" deletes it; asks its model each time."""

    def __init__(self, model: PackageModel, forgets: bool = True) -> None:
        self.model, self.forgets = model, forgets
        self.kept: dict[str, str] = {}

    def add(self, message: Message) -> None:
        try:
            self.model.ask("slots", [ChatMessage("user", message.text)])
        except LLMError:
            return  # as packages do
        key, colon, value = message.text.partition(": ")
        if colon:
            self.kept[key] = value
        else:
            self.kept.pop(key[1:], None)

    def memories(self) -> Mapping[str, Memory]:
        return {key: Memory(f"{key} {value}", {"key": key}) for key, value in self.kept.items()}

    def search(self, question: Message) -> Sequence[str]:
        return [key for key in self.kept if key in question.text]

    def delete(self, id: str) -> None:
        if self.forgets:
            del self.kept[id]

    def nbytes(self) -> int:
        return 100 * len(self.kept)


def playing(budget: int | None = None, outcome: Completion | LLMError = YES, **how: Any) -> MemoryStore:
    model = PackageModel(Answers(outcome), 100)
    return MemoryStore(MemoryEngine(budget), PackagePolicy(Slots(model, **how), model))


def slots(store: MemoryStore) -> Slots:
    assert isinstance(store.policy, PackagePolicy)
    assert isinstance(store.policy.store, Slots)
    return store.policy.store


def events(store: MemoryStore) -> list[str]:
    return [done.op.kind.name for done in store.engine.log]


def texts(store: MemoryStore) -> list[str]:
    return [entry.text.partition(" #")[0] for entry in store.get_all()]


def test_what_is_new_changed_or_gone_becomes_an_operation() -> None:
    store = playing()
    for said in ("city: Oslo", "pet: cat", "city: Bergen", "city: Bergen", "-pet"):
        store.add(said)
    assert events(store) == ["ADD", "ADD", "UPDATE", "DELETE"]
    assert texts(store) == ["city Bergen"]
    assert dict(store.get_all()[0].attrs) == {"key": "city"}


def test_its_own_search_decides_what_is_found() -> None:
    store = playing()
    for said in ("city: Oslo", "pet: cat"):
        store.add(said)
    (hit,) = store.read("which city?").hits
    assert (hit["text"], hit["id"]) == ("city Oslo", "m1")
    assert store.read("where does one live?").hits == []  # the bank's search is not asked


@pytest.mark.parametrize("forgets", [True, False])
def test_what_does_not_fit_is_forgotten_by_the_package(forgets: bool) -> None:
    """The control: a package that does not delete would know more than was counted."""
    store = playing(budget=150, forgets=forgets)
    for i in range(12):
        store.add(f"key{i}: value")
    assert store.engine.nbytes <= 150
    assert (set(slots(store).kept) == {text.split()[0] for text in texts(store)}) == forgets


def test_what_is_larger_than_the_budget_costs_nothing_else() -> None:
    store = playing(budget=150)
    for said in ("city: Oslo", f"song: {'la' * 100}"):
        store.add(said)
    assert texts(store) == ["city Oslo"]
    assert slots(store).kept == {"city": "Oslo"}


def test_a_change_that_does_not_fit_leaves_nothing_untrue() -> None:
    store = playing(budget=80)
    store.add("city: Oslo")
    store.add(f"city: {'Bergen' * 20}")
    assert texts(store) == []
    assert slots(store).kept == {}


def test_what_others_delete_from_the_bank_the_package_forgets() -> None:
    store = playing()
    store.add("city: Oslo")
    store.delete("m1")
    store.add("pet: cat")
    assert slots(store).kept == {"pet": "cat"}
    assert store.read("which city?").hits == []


def test_a_failure_does_not_look_like_nothing_to_remember() -> None:
    with pytest.raises(LLMUnavailable, match="out of order"):
        playing(outcome=LLMUnavailable("out of order")).add("city: Oslo")


def test_calls_are_counted_and_control_tokens_taken_out() -> None:
    model = PackageModel(client := Answers(YES), 100)
    store = MemoryStore(MemoryEngine(), PackagePolicy(Slots(model), model))
    store.add("city: Oslo<|im_end|>")
    assert [request.messages[0].content for request in client.asked] == ["city: Oslo "]
    assert model.ledger.to_dict()["slots"] == Usage(1, 10, 2).to_dict()


def test_bytes_are_the_packages_and_the_maps() -> None:
    store = playing()
    before = slots(store)
    assert isinstance(store.policy, PackagePolicy)
    empty = store.policy.nbytes()
    store.add("city: Oslo")
    assert store.policy.nbytes() >= empty + before.nbytes() + 16 > empty + 100


PACKAGES = {"mem0": "mem0", "langmem": "langmem", "graphiti": "graphiti_core"}


@pytest.mark.parametrize("extra", PACKAGES)
def test_an_absent_package_names_its_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"memgym.agents.external.{extra}"
    monkeypatch.setitem(sys.modules, PACKAGES[extra], None)
    with pytest.raises(DependencyMissing, match=rf"pip install 'memgym\[{extra}\]'"):
        make_agent(f"{module}:{extra}_package", llm="openai:none@http://127.0.0.1:1/v1")


def test_the_comparison_leaves_out_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in PACKAGES.values():
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert importlib.import_module("external_memories").main(["--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert [line.split(":")[0] for line in shown.err.splitlines()] == [f"skipped {one}" for one in PACKAGES]
    assert "## " not in shown.out  # no table
    assert not any(tmp_path.iterdir())
