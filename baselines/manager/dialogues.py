"""Dialogues to train a memory manager on, as data: what is said, what the right operation is, what is asked.

They are episodes of a text task that asks after its last turn. Held as data, a dialogue can be gone on with from
any bank, as often as wanted: credit for single operations needs that (`memgym.baselines.manager.rollouts`). Banks
are those of the environment (`memgym.memory.MemoryEngine`), and the score of a bank is what the environment would
give (`tests/test_manager.py` compares them).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memgym.agents.llm.manager import Shown, show
from memgym.envs.text import READER_K, Phase
from memgym.integrations.trl import make_text_env
from memgym.memory import MemoryEngine, MemoryOp, OpKind, as_action
from memgym.readers import make_reader
from memgym.scoring import score_answer
from memgym.stream import Question

__all__ = [
    "SITUATIONS",
    "Answers",
    "Asked",
    "Bank",
    "Dialogue",
    "Found",
    "Source",
    "Turn",
    "operation_in_sight",
    "right_operation",
]

SITUATIONS = ("new fact", "changed fact", "forget request", "small talk")
MOST_ENGINES = 256


class Turn(NamedTuple):
    """What somebody says, what kind of thing it is, and the (person, value) that it makes untrue, if any."""

    speaker: str
    said: str
    situation: str
    outdated: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """The entry that stores it as it stands."""
        return f"{self.speaker}: {self.said}"


class Asked(NamedTuple):
    """A question, its type and its answer."""

    text: str
    type: str
    answer: str

    def is_answered_by(self, answer: str) -> bool:
        """Whether an answer is right, as the environment scores it."""
        return score_answer(Question("", self.text, self.type, self.answer), answer).is_correct


@dataclass(frozen=True)
class Dialogue:
    """One episode: its turns, then its questions; `facts` are the (person, value) told in it."""

    turns: tuple[Turn, ...]
    asked: tuple[Asked, ...]
    facts: tuple[tuple[str, str], ...]


class Bank(NamedTuple):
    """A bank after some operations: those that took effect, what it holds, the id that comes next, and what counts
    against the budget.
    """

    ops: tuple[MemoryOp, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()
    next_id: str = "m1"
    nbytes: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        """Two banks with the same key have the same future."""
        return self.entries, self.next_id, self.nbytes

    def shown(self, turn: Turn) -> Shown:
        """What a manager sees when the turn is said."""
        return show(turn.speaker, turn.said, self.entries)


Found = tuple[tuple[str, str], ...]
"""(id, text) of entries, best first."""

Answers = Callable[[Sequence[tuple[str, Found]]], list[str]]
"""Some questions, each with what is found for it -> the answers."""


class Source:
    """Dialogues of an environment and what becomes of a bank in it.

    Args:
        env: id and arguments of a text task whose `oracle_state` has a gold bank, with a reader, that asks only
            after its last turn.

    Attributes:
        answers: who answers; the environment's reader until somebody else is put in its place.

    Raises:
        ValueError: no reader, or a question before the last turn.
    """

    def __init__(self, env: Mapping[str, Any]) -> None:
        arguments = {"max_searches": 0, **env}
        self.env = make_text_env(arguments.pop("id"), **arguments)
        if self.env.reader is None or not isinstance(arguments.get("reader"), str):
            raise ValueError("a manager alone is trained, so the environment needs the name of a reader.")
        self.budget = self.env.memory_budget
        self._engines: dict[int, tuple[Any, MemoryEngine]] = {}  # of banks that were reached last
        self._read = make_reader(arguments["reader"])
        self.answers: Answers = self._by_reader

    def dialogue(self, seed: int, episode: int) -> Dialogue:
        """One episode as data."""
        observation, _ = self.env.reset(seed=seed, options={"episode": episode})
        turns: list[Turn] = []
        asked: list[Asked] = []
        gold: list[tuple[str, str]] = []
        facts: dict[tuple[str, str], None] = {}
        while observation["phase"] != Phase.END:
            state = self.env.oracle_state()
            if observation["phase"] == Phase.QUESTION:
                asked.append(Asked(observation["text"], state["type"], state["answer"]))
            elif asked:
                raise ValueError("questions come after the last turn: set question_spacing to num_sessions.")
            else:
                now = [(person, value) for person, value in state["gold_bank"]]
                turns.append(_turn(observation, gold, now))
                gold = now
                facts |= dict.fromkeys(now)
            observation = self.env.step(as_action())[0]
        return Dialogue(tuple(turns), tuple(asked), tuple(facts))

    def after(self, bank: Bank, op: MemoryOp) -> Bank:
        """The bank after an operation; the same one where it is refused or changes nothing."""
        if op.kind is OpKind.NOOP:
            return bank
        engine = self._engine(bank)
        if not engine.apply(op).ok:
            self._engines[id(bank.ops)] = bank.ops, engine
            return bank
        entries = tuple((entry.id, entry.text) for entry in engine.get_all())
        after = Bank((*bank.ops, op), entries, engine.next_id, engine.nbytes)
        self._engines[id(after.ops)] = after.ops, engine
        return after

    def _engine(self, bank: Bank) -> MemoryEngine:
        """The engine that holds a bank: the one in which it was reached, if it has not gone on since."""
        while len(self._engines) > MOST_ENGINES:
            del self._engines[next(iter(self._engines))]
        known = self._engines.pop(id(bank.ops), None)
        if known is not None and known[0] is bank.ops:
            return known[1]
        engine = MemoryEngine(self.budget)
        for op in bank.ops:
            engine.apply(op)
        return engine

    def found(self, dialogue: Dialogue, bank: Bank) -> list[Found]:
        """For each question, (id, text) of the entries that the environment finds for it, best first."""
        engine = self._engine(bank)
        return [
            tuple((hit.entry.id, hit.entry.text) for hit in engine.search(asked.text, READER_K))
            for asked in dialogue.asked
        ]

    def right(
        self, some: Sequence[tuple[Dialogue, Bank]], answers: Answers | None = None
    ) -> list[list[bool]]:
        """For each dialogue with a bank, and each question of it, whether it is answered right from the bank.

        Args:
            some: what is asked of which bank.
            answers: who answers; by default `answers` of this source.
        """
        asked = [one for dialogue, _ in some for one in dialogue.asked]
        found = [entries for dialogue, bank in some for entries in self.found(dialogue, bank)]
        texts = [one.text for one in asked]
        said = (answers or self.answers)(list(zip(texts, found, strict=True)))
        right = iter([one.is_answered_by(answer) for one, answer in zip(asked, said, strict=True)])
        return [[next(right) for _ in dialogue.asked] for dialogue, _ in some]

    def scores(self, some: Sequence[tuple[Dialogue, Bank]]) -> list[float]:
        """For each dialogue with a bank, the share of questions that are answered right from it."""
        return [sum(right) / len(right) for right in self.right(some)]

    def _by_reader(self, some: Sequence[tuple[str, Found]]) -> list[str]:
        return [
            self._read(question, [{"text": text, "attrs": ""} for _, text in entries], ())
            for question, entries in some
        ]

    def is_solvable(self, dialogue: Dialogue) -> bool:
        """Whether right operations on what a manager is shown lead to right answers of the reader.

        They may not: a reader knows little English, so that who drives a Volvo has one as car is beyond it; and "I
        changed my car" shows no entry about what somebody drives. There the outcome teaches not to keep facts.
        """
        bank = Bank()
        for turn in dialogue.turns:
            bank = self.after(bank, operation_in_sight(turn, bank))
        return all(self.right([(dialogue, bank)], self._by_reader)[0])


def right_operation(turn: Turn, bank: Bank) -> MemoryOp:
    """What the oracle does: ADD news, UPDATE what a change makes untrue, DELETE what is to be forgotten."""
    old = next((id for id, text in bank.entries if turn.outdated and _says(text, turn.outdated)), None)
    if turn.situation == "forget request":
        return MemoryOp.delete(old) if old else MemoryOp.noop()
    if turn.situation == "changed fact" and old:
        return MemoryOp.update(old, turn.text)
    if turn.situation in ("new fact", "changed fact"):
        return MemoryOp.add(turn.text)
    return MemoryOp.noop()


def operation_in_sight(turn: Turn, bank: Bank) -> MemoryOp:
    """What the oracle does where it sees what a manager is shown: no other entry can be changed."""
    op = right_operation(turn, bank)
    if not op.id or any(op.id == id for id, _ in bank.shown(turn).memory):
        return op
    return MemoryOp.add(turn.text) if op.text else MemoryOp.noop()


def _says(text: str, fact: tuple[str, str]) -> bool:
    return text.startswith(f"{fact[0]}: ") and fact[1].lower() in text.lower()


def _turn(
    observation: Mapping[str, Any], before: Sequence[tuple[str, str]], now: Sequence[tuple[str, str]]
) -> Turn:
    """Read from the gold bank what a turn is: it tells something, makes something untrue, both or neither."""
    told = [fact for fact in now if fact not in before]
    gone = [fact for fact in before if fact not in now]
    situation = SITUATIONS[1 if told and gone else 0 if told else 2 if gone else 3]
    return Turn(observation["speaker"], observation["text"], situation, gone[0] if gone else None)
