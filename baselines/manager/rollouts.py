"""Play with a model and tell which operation was worth what, from the outcome alone.

The outcome of a dialogue is the share of its questions that are answered right from the bank after its last turn; a
reply that cannot be read gets 0 whatever the outcome, else it would be as good a way to do nothing as NOOP. Three
ways to give credit:

- *trajectory*: a dialogue is played several times, and each operation of a play gets the play's outcome, compared
  with the other plays (GRPO, Shao et al. 2024; for a context of its own for each turn MemAgent, arXiv 2507.02259).
  After the first turn the plays have different banks, so what is compared was done in different situations.
- *local*: a dialogue is played once. At each of its banks several operations are sampled, each is finished
  greedily, and they are compared with each other: all have begun from the same bank (VinePPO, Kazemnejad et al.
  2024; LoGo-GRPO, arXiv 2605.21768). Half of them are one of each possible kind, in turn, and learned from as if the
  model had done them: what it has nearly given up is still tried.
- *mem-alpha*: plays as for *trajectory*, each operation with a reward of four terms (Wang et al. 2025, arXiv
  2509.25911): the outcome, whether it was a call that could be carried out, how short the memory is in the end, and
  whether what it wrote is fit to be kept. All operations of all plays of a dialogue are compared with each other, as
  in the authors' code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from memgym.agents.llm.manager import Decision, MemoryManager, Shown
from memgym.agents.structured.mem_alpha_rewards import (
    Content,
    call_validity,
    compression,
    content_validity,
    judge_by_form,
    total_reward,
)
from memgym.baselines.manager.dialogues import Bank, Dialogue, Source
from memgym.baselines.manager.network import Row
from memgym.baselines.manager.warm_up import drawn_operation, possible_kinds
from memgym.memory import MemoryOp, OpKind
from memgym.rng import CounterRNG

__all__ = ["Continuations", "Sample", "play", "sample_local", "sample_mem_alpha", "sample_trajectories"]

ASTRAY = 0.2  # of the turns go on from what was tried


@dataclass(frozen=True)
class Sample:
    """One operation that was sampled.

    Attributes:
        row: prompt and reply.
        outcome: what it gets: from 0 to 1, or a reward of several terms.
        group: samples with the same number are compared with each other.
        bank: from which it began.
        play: which play of the rollout it belongs to.
        turn: of the dialogue.
        is_malformed: whether it could not be read.
    """

    row: Row
    outcome: float
    group: int
    bank: Bank
    play: int
    turn: int
    is_malformed: bool


class Continuations:
    """Outcomes of dialogues that go on greedily from some bank; each distinct bank is gone on from once,
    and the model is asked once about what looks the same.

    Args:
        manager: who goes on.
        source: of the dialogues.
        dialogues: to go on with, by their number.
    """

    def __init__(self, manager: MemoryManager, source: Source, dialogues: Sequence[Dialogue]) -> None:
        self.manager, self.source, self.dialogues = manager, source, dialogues
        self._known: dict[Any, float] = {}  # (dialogue, turn, bank) -> outcome
        self._decided: dict[Shown, Decision] = {}

    def outcomes(self, starts: Sequence[tuple[int, int, Bank]]) -> list[float]:
        """The outcome of each (dialogue, turn to go on with, bank)."""
        last = max(len(dialogue.turns) for dialogue in self.dialogues)
        todo: list[dict[Any, Bank]] = [{} for _ in range(last + 1)]  # by turn: the banks that it comes upon
        for i, t, bank in starts:
            if (i, t, bank.key) not in self._known:
                todo[t][i, t, bank.key] = bank
        after: dict[Any, Any] = {}  # a bank at one turn -> the one at the next
        for t in range(last + 1):
            over = [key for key in todo[t] if t == len(self.dialogues[key[0]].turns)]
            scores = self.source.scores([(self.dialogues[key[0]], todo[t][key]) for key in over])
            self._known.update(zip(over, scores, strict=True))
            going = [key for key in todo[t] if t < len(self.dialogues[key[0]].turns)]
            shown = [todo[t][key].shown(self.dialogues[key[0]].turns[t]) for key in going]
            new = [moment for moment in dict.fromkeys(shown) if moment not in self._decided]
            self._decided.update(zip(new, self.manager.decide(new), strict=True))
            for key, moment in zip(going, shown, strict=True):
                bank = self.source.after(todo[t][key], self._decided[moment].op)
                after[key] = key[0], t + 1, bank.key
                if after[key] not in self._known:
                    todo[t + 1][after[key]] = bank
        for key in reversed(after):  # the last turns come first
            self._known[key] = self._known[after[key]]
        return [self._known[i, t, bank.key] for i, t, bank in starts]


def play(
    manager: MemoryManager,
    source: Source,
    dialogues: Sequence[Dialogue],
    samples: int,
    seed: int,
    explored: int = 0,
) -> list[Sample]:
    """Play each dialogue once by sampling; at every bank there are `samples` operations, of which the first counts.

    Where operations are tried beside them, now and then one of these counts, so that banks are met which the policy
    alone would not come to.

    Args:
        manager: who plays.
        source: of the dialogues.
        dialogues: what is played.
        samples: replies of the model to each prompt.
        seed: of the sampling.
        explored: how many more replies there are to each: one of each possible kind of operation, in turn.

    Returns:
        The samples, turn by turn; their outcomes are those of the plays, and their groups one for each bank.
    """
    banks = [Bank() for _ in dialogues]
    found: list[tuple[Row, int, Bank, int, int, bool]] = []
    group = 0
    for t in range(max(len(dialogue.turns) for dialogue in dialogues)):
        playing = [i for i, dialogue in enumerate(dialogues) if t < len(dialogue.turns)]
        shown = [banks[i].shown(dialogues[i].turns[t]) for i in playing]
        prompts = manager.prompts(shown)
        written = manager.generate(prompts, samples, seed=seed * 1000 + t)
        for i, moment, prompt, replies in zip(playing, shown, prompts, written, strict=True):
            rng = CounterRNG(seed).fork(4, i, t)
            replies += [manager.reply(op, moment) for op in _tried(moment, explored, rng)]
            decisions = [manager.read(reply, moment) for reply in replies]
            for reply, decision in zip(replies, decisions, strict=True):
                found.append((Row(prompt, reply), group, banks[i], i, t, bool(decision.malformed)))
            group += 1
            is_astray = explored and rng.random() < ASTRAY
            chosen = samples + rng.integer(0, explored - 1) if is_astray else 0
            banks[i] = source.after(banks[i], decisions[chosen].op)
    outcomes = source.scores(list(zip(dialogues, banks, strict=True)))
    return [
        Sample(row, 0.0 if malformed else outcomes[i], group, bank, i, t, malformed)
        for row, group, bank, i, t, malformed in found
    ]


def _tried(moment: Shown, count: int, rng: CounterRNG) -> list[MemoryOp]:
    """Operations of each possible kind, in turn; ids are drawn."""
    ids = [id for id, _ in moment.memory]
    kinds = possible_kinds(ids)
    return [drawn_operation(kinds[number % len(kinds)], moment.text, ids, rng) for number in range(count)]


def sample_trajectories(
    manager: MemoryManager, source: Source, dialogues: Sequence[Dialogue], group_size: int, seed: int
) -> list[Sample]:
    """Play each dialogue `group_size` times; a turn is compared with the same turn of the other plays."""
    plays = [dialogue for dialogue in dialogues for _ in range(group_size)]
    most = max(len(dialogue.turns) for dialogue in dialogues)
    return [
        Sample(s.row, s.outcome, s.play // group_size * most + s.turn, s.bank, s.play, s.turn, s.is_malformed)
        for s in play(manager, source, plays, 1, seed)
    ]


def sample_mem_alpha(
    manager: MemoryManager, source: Source, dialogues: Sequence[Dialogue], group_size: int, seed: int
) -> list[Sample]:
    """Play each dialogue `group_size` times; an operation gets Mem-alpha's reward, compared within its dialogue."""
    plays = [dialogue for dialogue in dialogues for _ in range(group_size)]
    samples = play(manager, source, plays, 1, seed)
    decisions = [manager.read(s.row.reply, s.bank.shown(plays[s.play].turns[s.turn])) for s in samples]
    banks = {
        s.play: source.after(s.bank, d.op) for s, d in zip(samples, decisions, strict=True)
    }  # the last ones
    outcomes = source.scores([(dialogue, banks[i]) for i, dialogue in enumerate(plays)])
    read = [sum(len(turn.text.encode()) for turn in dialogue.turns) for dialogue in plays]
    return [
        replace(
            s,
            outcome=total_reward(
                outcomes[s.play],
                call_validity(_calls(d)),
                compression(banks[s.play].nbytes, read[s.play]),
                content_validity(_contents(d.op)),
            ),
            group=s.play // group_size,
        )
        for s, d in zip(samples, decisions, strict=True)
    ]


def _calls(decision: Decision) -> list[bool]:
    """Of the calls in a reply, whether each can be carried out."""
    if decision.malformed:
        return [False]
    return [] if decision.op.kind is OpKind.NOOP else [True]


def _contents(op: MemoryOp) -> list[bool]:
    """Of what an operation writes, whether it is fit to be kept in its part of memory."""
    if not op.text:
        return []
    part = str(op.attrs.get("kind", "semantic"))
    return [judge_by_form(Content(memory_type=part, content=op.text)).valid]


def sample_local(
    manager: MemoryManager, source: Source, dialogues: Sequence[Dialogue], group_size: int, seed: int
) -> list[Sample]:
    """Play each dialogue once, and sample `group_size` operations at each bank, each finished greedily."""
    explored = group_size // 2
    samples = play(manager, source, dialogues, group_size - explored, seed, explored)
    after: dict[Any, Bank] = {}  # most samples of a bank do the same
    starts = []
    for sample in samples:
        moment = sample.bank.shown(dialogues[sample.play].turns[sample.turn])
        key = sample.group, tuple(sample.row.reply)
        if key not in after:
            after[key] = source.after(sample.bank, manager.read(sample.row.reply, moment).op)
        starts.append((sample.play, sample.turn + 1, after[key]))
    outcomes = Continuations(manager, source, dialogues).outcomes(starts)
    return [
        Sample(s.row, 0.0 if s.is_malformed else outcome, s.group, s.bank, s.play, s.turn, s.is_malformed)
        for s, outcome in zip(samples, outcomes, strict=True)
    ]
