"""A warm-up by demonstrations: a limited teacher shows the form of the operations, not when to do which.

The teacher adds every turn as it stands, and a share of its operations is drawn at random, so that each kind has
been written once and can be sampled later. It never updates, deletes or skips for a reason. A share of its
operations can be the oracle's instead; with all of them, the warm-up is a supervised clone of the oracle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memgym.agents.llm.manager import MemoryManager
from memgym.baselines.manager.dialogues import Bank, Dialogue, Source, Turn, operation_in_sight
from memgym.baselines.manager.network import Row, score_replies
from memgym.baselines.manager.variation import varied
from memgym.core.arguments import check_integer, check_number
from memgym.memory import MemoryOp
from memgym.rng import CounterRNG

__all__ = [
    "Teacher",
    "demonstrations",
    "draw_dialogue",
    "drawn_operation",
    "imitation_loss",
    "possible_kinds",
]

VARIED = 0.75  # of the dialogues are
ATTEMPTS = 100  # most dialogues that one is chosen from
APART = 10_000_000  # the numbers of these; that of no other one to train on is so high


@dataclass(frozen=True)
class Teacher:
    """Who shows what.

    Args:
        random: share of the operations that are drawn at random among those that are possible.
        oracle: share of the others that are the oracle's; the rest adds the turn as it stands.
    """

    random: float = 0.3
    oracle: float = 0.0

    def __post_init__(self) -> None:
        check_number("random", self.random, 0, 1)
        check_number("oracle", self.oracle, 0, 1)

    def operation(self, turn: Turn, bank: Bank, rng: CounterRNG) -> MemoryOp:
        """What to do."""
        ids = [id for id, _ in bank.shown(turn).memory]
        if rng.random() < self.random:
            return drawn_operation(rng.choice(possible_kinds(ids)), turn.text, ids, rng)
        if rng.random() < self.oracle:
            return operation_in_sight(turn, bank)
        return MemoryOp.add(turn.text)


def possible_kinds(ids: Sequence[str]) -> list[str]:
    """Kinds of operation where the bank shows these entries."""
    return ["add", "noop", *(["update", "delete"] if ids else [])]


def drawn_operation(kind: str, text: str, ids: Sequence[str], rng: CounterRNG) -> MemoryOp:
    """An operation of a kind with the turn as it stands, on an entry that is drawn."""
    if kind == "update":
        return MemoryOp.update(rng.choice(ids), text)
    if kind == "delete":
        return MemoryOp.delete(rng.choice(ids))
    return MemoryOp.add(text) if kind == "add" else MemoryOp.noop()


def draw_dialogue(source: Source, seed: int, episode: int) -> Dialogue:
    """A dialogue to train on, most of the time with made-up words (`varied`).

    Where right operations do not lead to right answers, there is another one in its place (`Source.is_solvable`).

    Raises:
        ValueError: they do in none.
    """
    for attempt in range(ATTEMPTS):
        number = episode + attempt * APART
        rng = CounterRNG(seed).fork(1, number)
        dialogue = source.dialogue(seed, number)
        if rng.random() < VARIED:
            dialogue = varied(dialogue, rng)
        if source.is_solvable(dialogue):
            return dialogue
    raise ValueError(
        f"right operations lead to right answers in none of {ATTEMPTS} dialogues of the environment."
    )


def demonstrations(
    manager: MemoryManager, source: Source, teacher: Teacher, episodes: int, seed: int
) -> list[Row]:
    """The teacher plays `episodes` dialogues: a row for each turn, in the order of their length."""
    check_integer("episodes", episodes, 1, 1 << 20)
    moments, ops = [], []
    for episode in range(episodes):
        rng, bank = CounterRNG(seed).fork(2, episode), Bank()
        for turn in draw_dialogue(source, seed, episode).turns:
            op = teacher.operation(turn, bank, rng)
            moments.append(bank.shown(turn))
            ops.append(op)
            bank = source.after(bank, op)
    rows = [
        Row(prompt, manager.reply(op, moment))
        for prompt, op, moment in zip(manager.prompts(moments), ops, moments, strict=True)
    ]
    return sorted(rows, key=lambda row: len(row.prompt))


def imitation_loss(model: Any, rows: Sequence[Row], batch: int, rng: CounterRNG) -> Tensor:
    """Cross-entropy of some demonstrations, in nats a token: of the replies, and of what the prompts say.

    To tell replies apart, a model made from nothing has to know the words first, as a language model does.

    Args:
        model: what learns.
        rows: all demonstrations, in the order of their length.
        batch: how many to learn from; they are about as long, so that there is hardly any padding.
        rng: which ones.
    """
    first = rng.integer(0, max(0, len(rows) - batch))
    some = rows[first : first + batch]
    scored = score_replies(model, [Row(row.prompt[:1], [*row.prompt[1:], *row.reply]) for row in some])
    is_reply = [
        place >= len(row.prompt) - 1 for row in some for place in range(len(row.prompt) + len(row.reply) - 1)
    ]
    mask = torch.tensor(is_reply, device=scored.logprobs.device)
    return -scored.logprobs[mask].mean() - scored.logprobs[~mask].mean()
