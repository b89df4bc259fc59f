"""What a manager does: answers that are right, operations by situation, replies that cannot be read."""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from memgym.agents.llm.manager import Decision, MemoryManager, Shown
from memgym.agents.rules import RulesPolicy
from memgym.baselines.manager.dialogues import SITUATIONS, Bank, Dialogue, Source, Turn, right_operation
from memgym.memory import MemoryOp
from memgym.memory.policy import MemoryView, Message

__all__ = [
    "BASELINES",
    "Measured",
    "decided_by",
    "greedily",
    "measure",
    "measure_baselines",
    "measure_manager",
    "played",
    "rounded",
]

REPEATED = "repeated fact"
Decide = Callable[[Sequence[tuple[Turn, Bank]]], list[Decision]]

BASELINES: dict[str, Callable[[Turn, Bank], MemoryOp]] = {
    "oracle": right_operation,
    "add everything": lambda turn, bank: MemoryOp.add(turn.text),
    "add facts": lambda turn, bank: (
        MemoryOp.noop() if turn.situation == "small talk" else MemoryOp.add(turn.text)
    ),
}
"""Who decides without a model, by name; all of them know the situation."""


@dataclass
class Measured:
    """What came of some dialogues.

    Attributes:
        accuracy: share of all questions that were answered right from the bank.
        by_type: the same for each type of question.
        complete: share of the dialogues of which all questions were.
        malformed: share of the replies that could not be read.
        operations: for each situation, how often each operation was chosen in the oracle's bank. "repeated fact" is
            a turn that is said once more, right after it was stored.
        right: for each situation, the share in which the bank was left as the oracle leaves it.
        banks: at the end of each dialogue.
    """

    accuracy: float
    by_type: dict[str, float]
    complete: float
    malformed: float
    operations: dict[str, dict[str, float]] = field(default_factory=dict)
    right: dict[str, float] = field(default_factory=dict)
    banks: list[Bank] = field(default_factory=list, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All but the banks, rounded to four digits, for JSON."""
        return {name: rounded(part) for name, part in vars(self).items() if name != "banks"}


def rounded(value: Any) -> Any:
    """A number, or all in a dict, to four digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return round(value, 4)


def decided_by(op: Callable[[Turn, Bank], MemoryOp]) -> Decide:
    """Who decides one moment at a time, without a model."""
    return lambda moments: [Decision(op(*moment)) for moment in moments]


def played(
    source: Source, dialogues: Sequence[Dialogue], decide: Decide
) -> tuple[list[Bank], list[Decision]]:
    """Play all dialogues side by side: the bank at the end of each, and all that was decided."""
    banks = [Bank() for _ in dialogues]
    decided: list[Decision] = []
    for t in range(max(len(dialogue.turns) for dialogue in dialogues)):
        playing = [i for i, dialogue in enumerate(dialogues) if t < len(dialogue.turns)]
        decisions = decide([(dialogues[i].turns[t], banks[i]) for i in playing])
        for i, decision in zip(playing, decisions, strict=True):
            banks[i] = source.after(banks[i], decision.op)
        decided += decisions
    return banks, decided


def measure(source: Source, dialogues: Sequence[Dialogue], decide: Decide, *, table: bool = True) -> Measured:
    """Play all dialogues side by side, and try each turn in the oracle's bank.

    Args:
        source: of the dialogues.
        dialogues: what to play.
        decide: the operation for each of some turns with the bank that they come upon.
        table: whether to tell operations by situation as well.
    """
    banks, decisions = played(source, dialogues, decide)
    by_type: dict[str, list[bool]] = defaultdict(list)
    complete = 0
    judged = source.right(list(zip(dialogues, banks, strict=True)))
    for dialogue, right in zip(dialogues, judged, strict=True):
        complete += all(right)
        for asked, is_right in zip(dialogue.asked, right, strict=True):
            by_type[asked.type].append(is_right)
    answers = [one for some in by_type.values() for one in some]
    measured = Measured(
        sum(answers) / len(answers),
        {name: sum(some) / len(some) for name, some in sorted(by_type.items())},
        complete / len(dialogues),
        sum(bool(decision.malformed) for decision in decisions) / len(decisions),
        banks=banks,
    )
    if table:
        measured.operations, measured.right = _table(source, dialogues, decide)
    return measured


def greedily(manager: MemoryManager) -> Decide:
    """A model's greedy decisions; the same prompt is asked once."""
    known: dict[Shown, Decision] = {}

    def decide(moments: Sequence[tuple[Turn, Bank]]) -> list[Decision]:
        shown = [bank.shown(turn) for turn, bank in moments]
        new = [one for one in dict.fromkeys(shown) if one not in known]
        known.update(zip(new, manager.decide(new), strict=True))
        return [known[one] for one in shown]

    return decide


def measure_manager(source: Source, dialogues: Sequence[Dialogue], manager: MemoryManager) -> Measured:
    """`measure` of what a model decides."""
    return measure(source, dialogues, greedily(manager))


def measure_baselines(source: Source, dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Accuracy of those who decide without a model: `BASELINES`, and the manager by rules."""
    found = {
        name: measure(source, dialogues, decided_by(op), table=False).accuracy
        for name, op in BASELINES.items()
    }
    kept = [(dialogue, _kept_by_rules(source, dialogue)) for dialogue in dialogues]
    right = [one for some in source.right(kept) for one in some]
    found["rules"] = sum(right) / len(right)
    return {name: round(score, 4) for name, score in found.items()}


def _kept_by_rules(source: Source, dialogue: Dialogue) -> Bank:
    policy, bank = RulesPolicy(), Bank()
    for turn in dialogue.turns:
        entries = [{"id": id, "text": text, "attrs": ""} for id, text in bank.entries]
        left = (source.budget or sys.maxsize) - bank.nbytes
        for op in policy.write(Message(turn.said, turn.speaker), MemoryView(entries, left)):
            bank = source.after(bank, op)
    return bank


def _table(
    source: Source, dialogues: Sequence[Dialogue], decide: Decide
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Which operations are chosen in each situation, and how often rightly."""
    moments: list[
        tuple[str, Turn, Bank, Bank]
    ] = []  # situation, turn, bank before it, bank that the oracle leaves
    for dialogue in dialogues:
        bank = Bank()
        for turn in dialogue.turns:
            after = source.after(bank, right_operation(turn, bank))
            moments.append((turn.situation, turn, bank, after))
            bank = after
            if turn.situation == "new fact":
                moments.append((REPEATED, turn, bank, bank))
    decisions = decide([(turn, bank) for _, turn, bank, _ in moments])
    chosen: dict[str, Counter[str]] = defaultdict(Counter)
    right: Counter[str] = Counter()
    for (situation, _, bank, wanted), decision in zip(moments, decisions, strict=True):
        chosen[situation]["malformed" if decision.malformed else decision.op.kind.name] += 1
        right[situation] += source.after(bank, decision.op).entries == wanted.entries
    names = [name for name in (*SITUATIONS[:2], REPEATED, *SITUATIONS[2:]) if name in chosen]
    totals = {name: chosen[name].total() for name in names}
    operations = {
        name: {op: count / totals[name] for op, count in sorted(chosen[name].items())} for name in names
    }
    return operations, {name: right[name] / totals[name] for name in names}
