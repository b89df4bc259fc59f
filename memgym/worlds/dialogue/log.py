"""The append-only log of what is said that matters, and what follows from it.

An event is one statement with a place in the conversation: a session, and in it a turn that is drawn only when
somebody looks. Threads group the events that belong together, such as one fact with its changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from memgym.rng import CounterRNG

__all__ = ["END_OF_SESSION", "Event", "Layout", "Log", "Moment", "Thread", "Value", "fold"]

Moment = tuple[int, int]
"""(session, turn); what was told up to and including it is known."""

END_OF_SESSION = 1 << 30  # later than any turn
PROMPTED = 0.25  # of the statements that can be the answer to somebody's question, at paraphrase level 2


@dataclass(frozen=True, slots=True)
class Event:
    """One statement.

    Attributes:
        index: its number in the log.
        op: assert, update, forget, happening, claim, secret, inject, link, collect, like, dislike, opinion, rule,
            mention or ground.
        session: in which it is made.
        speaker: who makes it.
        subject: whom or what it is about.
        slot: which attribute, relation, kind or chain link.
        value: what is said.
        other: a second value, e.g. the confidant of a secret, or a happening as a question names it.
        when: (relative date, days before the session) of a happening.
    """

    index: int
    op: str
    session: int
    speaker: str
    subject: str
    slot: str = ""
    value: str = ""
    other: str = ""
    when: tuple[str, int] = ("", 0)


@dataclass
class Thread:
    """Events that belong together, in the order in which they are told."""

    number: int
    kind: str
    subject: str
    slot: str = ""
    events: list[Event] = field(default_factory=list)
    about: Any = None  # what else a question about it needs


@dataclass(frozen=True)
class Layout:
    """Who has which turn of one session: events, and the prompts that some of them answer."""

    num_turns: int
    events: dict[int, Event]
    prompts: dict[int, Event]
    turn_of: dict[int, int]  # event index -> turn


class Log:
    """All events of one conversation.

    Args:
        rng: source for places of turns.
        turns_per_session: turns of a session; more where more is to be told.
        prompted: attributes of which a statement may be the answer to a question of the turn before it.
    """

    def __init__(self, rng: CounterRNG, turns_per_session: int, prompted: Sequence[str]) -> None:
        self._rng = rng
        self._turns = turns_per_session
        self._prompted = prompted
        self.events: list[Event] = []
        self.threads: list[Thread] = []
        self._sessions: dict[int, list[Event]] = {}
        self._thread_of: list[int] = []
        self._layouts: dict[int, Layout] = {}
        self._empty = Layout(turns_per_session, {}, {}, {})

    def open(self, kind: str, subject: str, slot: str = "", about: Any = None) -> Thread:
        """Begin a thread."""
        self.threads.append(Thread(len(self.threads), kind, subject, slot, [], about))
        return self.threads[-1]

    def add(self, thread: Thread, op: str, session: int, speaker: str, **fields: Any) -> Event:
        """Append an event to the log and to its thread; the fields not given are the thread's."""
        fields = {"subject": thread.subject, "slot": thread.slot} | fields
        event = Event(len(self.events), op, session, speaker, **fields)
        self.events.append(event)
        thread.events.append(event)
        self._thread_of.append(thread.number)
        self._sessions.setdefault(session, []).append(event)
        return event

    def of(self, *kinds: str) -> list[Thread]:
        """Threads of some kinds."""
        return [thread for thread in self.threads if thread.kind in kinds]

    def layout(self, session: int) -> Layout:
        """Which turn of a session tells what; drawn from the session's number alone."""
        if session not in self._sessions:
            return self._empty
        if session not in self._layouts:
            self._layouts[session] = self._lay_out(session, self._sessions[session])
        return self._layouts[session]

    def _lay_out(self, session: int, events: Sequence[Event]) -> Layout:
        rng = self._rng.fork(session)
        num_turns = max(self._turns, len(events))
        turns = rng.sample(range(num_turns), len(events))
        groups: dict[int, list[int]] = {}
        for i, event in enumerate(events):
            groups.setdefault(self._thread_of[event.index], []).append(i)
        placed: dict[int, Event] = {}
        for group in groups.values():  # within a thread, in the order of the log
            for i, turn in zip(group, sorted(turns[i] for i in group), strict=True):
                placed[turn] = events[i]
        prompts: dict[int, Event] = {}
        for turn in sorted(placed):
            event, before = placed[turn], turn - 1
            answers = event.op in ("assert", "update") and event.slot in self._prompted
            if answers and before >= 0 and before not in placed and rng.random() < PROMPTED:
                prompts[before] = event
        return Layout(num_turns, placed, prompts, {event.index: turn for turn, event in placed.items()})

    def turn(self, event: Event) -> int:
        """The turn of an event in its session."""
        return self.layout(event.session).turn_of[event.index]

    def item_ids(self, events: Iterable[Event]) -> tuple[str, ...]:
        """Ids of the items that tell these events, prompts included, in the order of the conversation."""
        places = set()
        for event in events:
            turn = self.turn(event)
            places.add((event.session, turn))
            if self.layout(event.session).prompts.get(turn - 1) is event:
                places.add((event.session, turn - 1))
        return tuple(f"s{session + 1}t{turn + 1}" for session, turn in sorted(places))

    def told(self, events: Iterable[Event], now: Moment) -> list[Event]:
        """Those of `events` that have been told."""
        session, turn = now
        if turn == END_OF_SESSION:
            return [event for event in events if event.session <= session]
        return [
            event
            for event in events
            if event.session < session or (event.session == session and self.turn(event) <= turn)
        ]

    def upcoming(self, events: Iterable[Event], now: Moment) -> Iterator[Event]:
        """Those of `events` that are still to be told."""
        session, turn = now
        for event in events:
            if event.session > session or (event.session == session and self.turn(event) > turn):
                yield event


@dataclass
class Value:
    """What a fact is, folded from its events.

    Attributes:
        values: told so far, the last one holds.
        source: the event that told the last one, or asked to forget it.
        forgotten: whether it is to be forgotten.
        sources: the events that told each value.
    """

    values: list[str] = field(default_factory=list)
    source: Event | None = None
    forgotten: bool = False
    sources: list[Event] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether there is a value that may be said."""
        return bool(self.values) and not self.forgotten


def fold(events: Iterable[Event]) -> Value:
    """The truth after `events`: the last word of its owner counts, and a wish to forget ends it.

    What others claim, and what an injected text orders, changes nothing.
    """
    truth = Value()
    for event in events:
        if event.op in ("assert", "update"):
            truth.values.append(event.value)
            truth.sources.append(event)
            truth.source, truth.forgotten = event, False
        elif event.op == "forget":
            truth.source, truth.forgotten = event, True
    return truth
