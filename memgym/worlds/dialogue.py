"""A small seeded world of people whose facts change, and the conversation that tells of it.

First the world: an append-only log of events (assert, update, forget, happening), drawn before any text.
Then the text: turns are written from the log. A question is asked of the world as it stands at that moment,
so its answer, its evidence and what is out of date are known by construction.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from memgym.rng import CounterRNG
from memgym.stream import UNKNOWN, Item, Question, format_date

__all__ = ["QUESTION_TYPES", "DialogueConfig", "DialogueWorld"]

QUESTION_TYPES = ("single-hop", "knowledge-update", "deletion", "temporal", "abstention")
RELATIVE = (  # (phrase, days before the session)
    ("today", 0),
    ("yesterday", 1),
    ("the day before yesterday", 2),
    ("three days ago", 3),
    ("a week ago", 7),
    ("two weeks ago", 14),
)
GAPS = (1, 2, 3, 7, 14, 5, 10)  # days between the right date and the others


@dataclass(frozen=True)
class DialogueConfig:
    """How long and how hard a conversation is; `DialogueMemory` documents the fields."""

    num_sessions: int = 4
    turns_per_session: int = 16
    num_facts: int = 8
    num_events: int = 4
    update_rate: float = 0.5
    forget_rate: float = 0.25
    questions_per_session: int = 4
    num_choices: int = 0  # 0: open questions


@dataclass
class Fact:
    """One attribute of one person, and what became of it."""

    person: str
    slot: str
    values: list[str] = field(default_factory=list)  # as told so far, the last one holds
    evidence: str = ""  # item that told the newest, or asked to forget
    forgotten: bool = False


@dataclass
class Happening:
    """Something that one person did on one day."""

    person: str
    phrase: str  # as a question names it
    day: date
    told: date
    evidence: str


@dataclass(frozen=True)
class Statement:
    """One planned turn: `op` is assert, update, forget or happening."""

    op: str
    person: str
    slot: str = ""
    value: str = ""
    phrase: str = ""
    when: tuple[str, int] = ("", 0)


@cache
def lexicon(split: str) -> Mapping[str, Any]:
    """Names, values and templates of one split."""
    return tomllib.loads(files("memgym.worlds").joinpath("dialogue.toml").read_text("utf-8"))[split]


class DialogueWorld:
    """One conversation.

    Args:
        key: of the episode; everything is drawn from it.
        split: whose words are used.
        config: length and difficulty.
    """

    def __init__(self, key: int, split: str, config: DialogueConfig) -> None:
        self.config = config
        self.words = lexicon(split)
        self._rng = CounterRNG(key)
        self.people = self._rng.sample(self.words["names"], 2)
        self._facts: dict[tuple[str, str], Fact] = {}
        self._happenings: list[Happening] = []
        self._plan: list[list[Statement]] = [[] for _ in range(config.num_sessions)]
        self._days = self._draw_days()
        self._plan_facts()
        self._plan_events()

    # ------------------------------------------------------------------ the world

    def _draw_days(self) -> list[date]:
        day = date(2021, 1, 1) + timedelta(days=self._rng.integer(0, 1200))
        days = []
        for _ in range(self.config.num_sessions):
            days.append(day)
            day += timedelta(days=self._rng.integer(15, 40))  # further apart than any relative date reaches
        return days

    def _plan_facts(self) -> None:
        """Give each fact its sessions: told first, perhaps changed later, perhaps to be forgotten after that."""
        sessions = self.config.num_sessions
        owners = [(person, slot) for person in self.people for slot in self.words["slots"]]
        for person, slot in self._rng.sample(owners, self.config.num_facts):
            values = self._rng.sample(self.words["slots"][slot]["values"], 2)
            at = self._rng.integer(0, max(0, sessions - 2))
            self._plan[at].append(Statement("assert", person, slot, values[0]))
            if at + 1 < sessions and self._rng.random() < self.config.update_rate:
                at = self._rng.integer(at + 1, sessions - 1)
                self._plan[at].append(Statement("update", person, slot, values[1]))
            if at + 1 < sessions and self._rng.random() < self.config.forget_rate:
                at = self._rng.integer(at + 1, sessions - 1)
                self._plan[at].append(Statement("forget", person, slot))

    def _plan_events(self) -> None:
        for told, asked in self._rng.sample(self.words["events"]["phrases"], self.config.num_events):
            at = self._rng.integer(0, self.config.num_sessions - 1)
            person, when = self._rng.choice(self.people), self._rng.choice(RELATIVE)
            self._plan[at].append(Statement("happening", person, value=told, phrase=asked, when=when))

    def _tell(self, statement: Statement, item_id: str, today: date) -> None:
        """Let a statement change the world."""
        if statement.op == "happening":
            day = today - timedelta(days=statement.when[1])
            self._happenings.append(Happening(statement.person, statement.phrase, day, today, item_id))
            return
        key = (statement.person, statement.slot)
        fact = self._facts.setdefault(key, Fact(*key))
        fact.evidence = item_id
        if statement.op == "forget":
            fact.forgotten = True
        else:
            fact.values.append(statement.value)

    # ------------------------------------------------------------------ the text

    def stream(self) -> Iterator[Item | Question]:
        """Session by session: the turns, then questions about the world as it is now."""
        for session, planned in enumerate(self._plan):
            yield from self._session(session, planned)
            yield from self._questions(session)

    def _session(self, session: int, planned: list[Statement]) -> Iterator[Item]:
        rng = self._rng.fork(1, session)
        length = max(self.config.turns_per_session, len(planned))
        turns: list[Statement | None] = [*planned, *[None] * (length - len(planned))]
        rng.shuffle(turns)
        today, hour = self._days[session], rng.integer(8, 20)
        previous: Statement | None = None
        for turn, statement in enumerate(turns):
            draw = self._rng.fork(2, session, turn)
            item_id = f"s{session + 1}t{turn + 1}"
            time = f"{today.isoformat()}T{hour:02d}:{turn % 60:02d}"
            if statement is None:
                # a reply comes from whoever was listening
                speaker = draw.choice([p for p in self.people if previous is None or p != previous.person])
                pool = self.words["replies"] if previous else self.words["smalltalk"]
                yield Item(item_id, draw.choice(pool), speaker, time)
            else:
                self._tell(statement, item_id, today)
                yield Item(item_id, self._write(statement, draw), statement.person, time)
            previous = statement

    def _write(self, statement: Statement, draw: CounterRNG) -> str:
        templates = self.words["events" if statement.op == "happening" else "slots"]
        if statement.op != "happening":
            templates = templates[statement.slot]
        when = statement.when[0]
        op = "assert" if statement.op == "happening" else statement.op
        text = draw.choice(templates[op]).format(v=statement.value, when=when, When=when.capitalize())
        return text[0].upper() + text[1:]

    # ------------------------------------------------------------------ the questions

    def _questions(self, session: int) -> Iterator[Question]:
        """Types in turn, each about something of its own, as far as the world has it by now."""
        rng = self._rng.fork(3, session)
        pools = {type_: self._candidates(type_) for type_ in QUESTION_TYPES}
        for pool in pools.values():
            rng.shuffle(pool)
        order = list(QUESTION_TYPES)
        rng.shuffle(order)
        asked = 0
        while asked < self.config.questions_per_session and any(pools.values()):
            for type_ in order:
                if pools[type_] and asked < self.config.questions_per_session:
                    asked += 1
                    yield self._ask(type_, pools[type_].pop(), f"s{session + 1}q{asked}", session, rng)

    def _candidates(self, type_: str) -> list[Any]:
        facts = list(self._facts.values())
        if type_ == "temporal":
            return list(self._happenings)
        if type_ == "single-hop":
            return [f for f in facts if len(f.values) == 1 and not f.forgotten]
        if type_ == "knowledge-update":
            return [f for f in facts if len(f.values) > 1 and not f.forgotten]
        if type_ == "deletion":
            return [f for f in facts if f.forgotten]
        # a false premise: one person told it, the question is about the other
        swapped = [(self._other(f.person), f.slot) for f in facts if not f.forgotten]
        return [Fact(*key) for key in swapped if key not in self._facts]

    def _other(self, person: str) -> str:
        return self.people[1 - self.people.index(person)]

    def _ask(self, type_: str, about: Fact | Happening, id: str, session: int, rng: CounterRNG) -> Question:
        time = f"{self._days[session].isoformat()}T23:00"
        if isinstance(about, Happening):
            text = rng.choice(self.words["events"]["question"]).format(name=about.person, v=about.phrase)
            return Question(
                id,
                text,
                type_,
                format_date(about.day),
                time=time,
                evidence=(about.evidence,),
                choices=self._date_choices(about, rng),
                meta={"person": about.person},
            )
        slot = self.words["slots"][about.slot]
        known = bool(about.values) and not about.forgotten
        answer = about.values[-1] if known else UNKNOWN
        stale = tuple(about.values[:-1]) if known else ()
        traps = list(stale) + (about.values if about.forgotten else [])
        if type_ == "abstention":  # the value of the person who did tell
            traps = self._facts[self._other(about.person), about.slot].values[-1:]
        return Question(
            id,
            rng.choice(slot["question"]).format(name=about.person),
            type_,
            answer,
            time=time,
            evidence=(about.evidence,) if known else (),  # to abstain, nothing has to be kept
            choices=self._choices(answer, traps, slot["values"], rng),
            stale=stale,
            forbidden=tuple(about.values) if about.forgotten else (),
            meta={"person": about.person, "slot": about.slot},
        )

    def _date_choices(self, about: Happening, rng: CounterRNG) -> tuple[str, ...]:
        """Dates among which the right one is first, last or in between with equal chance, and `UNKNOWN`.

        Where a later date is shown, one of them is the day it was told: what somebody answers who reads "two
        weeks ago" as today.
        """
        count = self.config.num_choices - 1
        if count < 0:
            return ()
        earlier = rng.integer(0, count - 1)
        days = [about.day - timedelta(days=gap) for gap in rng.sample(GAPS, earlier)]
        later = [about.day + timedelta(days=gap) for gap in rng.sample(GAPS, count - 1 - earlier)]
        if later and about.told > about.day and about.told not in later:
            later[0] = about.told
        options = [UNKNOWN, *(format_date(day) for day in (about.day, *days, *later))]
        rng.shuffle(options)
        return tuple(options)

    def _choices(self, answer: str, traps: list[str], others: list[str], rng: CounterRNG) -> tuple[str, ...]:
        """The answer, what could be mistaken for it, fillers of the same kind, and `UNKNOWN`."""
        count = self.config.num_choices
        if count == 0:
            return ()
        options = list(dict.fromkeys([answer, UNKNOWN, *traps]))[:count]
        fill = [other for other in rng.sample(others, len(others)) if other not in options]
        options += fill[: count - len(options)]
        rng.shuffle(options)
        return tuple(options)
