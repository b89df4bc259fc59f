"""Mem-alpha's way to teach a manager: calls of its tools, and a reward of four terms."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")

from memgym.agents.llm.manager import MemoryManager, Shown, read_operation  # noqa: E402
from memgym.agents.structured.mem_alpha_rewards import BETA, GAMMA  # noqa: E402
from memgym.baselines.manager import rollouts  # noqa: E402
from memgym.baselines.manager.dialogues import Bank, Dialogue, Source  # noqa: E402
from memgym.baselines.manager.rollouts import Sample, sample_mem_alpha  # noqa: E402
from memgym.baselines.manager.run import train_manager  # noqa: E402
from memgym.baselines.manager.training import Plan  # noqa: E402
from memgym.baselines.manager.warm_up import draw_dialogue  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.memory import MemoryOp, OpKind, entry_nbytes  # noqa: E402

ENV = load_recipe("memory_manager").env
PLAN = Plan(
    "none", form="tools", width=32, layers=1, demonstrations=40, warm_up_updates=150, warm_up_rate=0.01
)
KEPT = Shown("Maya", "I live in Oslo.", (("m7", "Maya: I live in Rome."),))

pytestmark = pytest.mark.usefixtures("small_tokenizer")


@pytest.fixture(scope="module")
def source() -> Source:
    return Source(ENV)


@pytest.fixture(scope="module")
def manager() -> MemoryManager:
    torch.set_num_threads(1)
    return train_manager(PLAN, ENV, 0)[0]


# ------------------------------------------------------------------ calls


@pytest.mark.parametrize(
    ("reply", "op"),
    [
        (
            '{"name": "new_memory_insert", "arguments": {"memory_type": "episodic", "content": "Maya: Oslo."}}',
            MemoryOp.add("Maya: Oslo.", kind="episodic"),
        ),
        (
            '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic"}}',
            MemoryOp.add("Maya: I live in Oslo.", kind="semantic"),
        ),
        (
            '{"name": "memory_update", "arguments": {"memory_type": "semantic", "memory_id": "1", '
            '"new_content": "Maya: Oslo."}}',
            MemoryOp.update("m7", "Maya: Oslo."),
        ),
        (
            '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "1"}}',
            MemoryOp.delete("m7"),
        ),
        ("{}", MemoryOp.noop()),
    ],
)
def test_a_call_is_an_operation(reply: str, op: MemoryOp) -> None:
    assert read_operation(reply, KEPT, form="tools") == (op, "")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "[]",
        "null",
        '{"op": "ADD"}',
        '{"name": "new_memory_insert"}',
        '{"name": "new_memory_insert", "arguments": "semantic"}',
        '{"name": "new_memory_insert", "arguments": {}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": "core"}}',
        '{"name": ["new_memory_insert"], "arguments": {"memory_type": "semantic"}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": ["semantic"]}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "memory_id": "1"}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": 1}}',
        '{"name": "memory_update", "arguments": {"memory_type": "semantic"}}',
        '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "2"}}',
        '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "1", "": "x"}}',
        '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "1"}, "x": 1}',
        '{"name": "search_memory", "arguments": {"memory_type": "semantic", "query": "Oslo"}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": "Jonas: Oslo."}}',
    ],
)
def test_any_other_call_is_a_noop_that_says_why(reply: str) -> None:
    decision = read_operation(reply, KEPT, form="tools")
    assert decision.op == MemoryOp.noop()
    assert decision.malformed


def test_the_part_of_an_entry_counts_as_memory(source: Source) -> None:
    plain, named = (
        source.after(Bank(), MemoryOp.add("Maya: hi.", **how)) for how in ({}, {"kind": "semantic"})
    )
    assert plain.nbytes == entry_nbytes("m1", "Maya: hi.") < named.nbytes
    assert plain.key != named.key


# ------------------------------------------------------------------ the reward


@pytest.fixture(scope="module")
def dialogues(source: Source) -> list[Dialogue]:
    return [draw_dialogue(source, 0, episode) for episode in range(3)]


def by_kind(manager: MemoryManager, samples: list[Sample], plays: list[Dialogue]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {"call": [], "noop": [], "malformed": []}
    for sample in samples:
        decision = manager.read(sample.row.reply, sample.bank.shown(plays[sample.play].turns[sample.turn]))
        kind = "noop" if decision.op.kind is OpKind.NOOP else "call"
        found["malformed" if decision.malformed else kind].append(sample)
    return found


def test_the_reward_is_of_four_terms(
    manager: MemoryManager, source: Source, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = sample_mem_alpha(manager, source, dialogues, 4, 1)
    plays = [dialogue for dialogue in dialogues for _ in range(4)]
    assert [s.group for s in samples] == [s.play // 4 for s in samples]
    found = by_kind(manager, samples, plays)
    assert found["call"]
    assert found["noop"]
    for i, dialogue in enumerate(plays):
        bank, ops = Bank(), [s for s in samples if s.play == i]
        for sample, turn in zip(ops, dialogue.turns, strict=True):
            assert sample.bank == bank
            bank = source.after(bank, manager.read(sample.row.reply, bank.shown(turn)).op)
        (r1,) = source.scores([(dialogue, bank)])
        r3 = 1 - bank.nbytes / sum(len(turn.text.encode()) for turn in dialogue.turns)
        for sample in ops:
            r2 = 1.0 if sample in found["call"] else 0.0
            r4 = 1.0  # whatever is said here has two words or more
            assert sample.outcome == pytest.approx(r1 + r2 + BETA * r3 + GAMMA * r4)


@pytest.mark.parametrize("is_judged", [True, False])
def test_what_is_written_is_judged(
    manager: MemoryManager,
    source: Source,
    dialogues: list[Dialogue],
    monkeypatch: pytest.MonkeyPatch,
    is_judged: bool,
) -> None:
    usual = sample_mem_alpha(manager, source, dialogues, 2, 1)

    def judge(content: Any) -> Any:
        assert content.memory_type in ("semantic", "episodic")
        return type("Verdict", (), {"valid": not is_judged})()

    monkeypatch.setattr(rollouts, "judge_by_form", judge)
    now = sample_mem_alpha(manager, source, dialogues, 2, 1)
    lost = {round(a.outcome - b.outcome, 6) for a, b in zip(usual, now, strict=True)}
    assert lost == ({0.0, GAMMA} if is_judged else {0.0})
