"""What can be asked at a moment, and what the world says to it.

Everything is asked of the log, not of the text, so each `Ask` knows its answer, the events from which it
follows, and what is out of date, to be forgotten or planted.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import cached_property
from itertools import combinations
from typing import Any

from memgym.stream import UNKNOWN, format_date
from memgym.worlds.dialogue.ask import Ask
from memgym.worlds.dialogue.asks_together import Together
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import CONFLICT, Lexicon
from memgym.worlds.dialogue.log import Event, Log, Moment, Thread, Value, fold
from memgym.worlds.dialogue.plan import Cast, max_updates

__all__ = ["Asks"]

MIN_DAYS = 8  # between two happenings whose distance is asked, so that there are smaller numbers


class Asks:
    """Finds what can be asked of a log.

    Args:
        words: of the split.
        config: of the conversation.
        cast: who is in it.
        log: what is told.
        days: date of each session.
    """

    def __init__(
        self, words: Lexicon, config: DialogueConfig, cast: Cast, log: Log, days: Sequence[date]
    ) -> None:
        self.words, self.config, self.cast, self.log, self.days = words, config, cast, log, days
        self._ground = {thread.slot: tuple(thread.events) for thread in log.of("ground")}
        self._folded: tuple[Moment, list[tuple[Thread, Value, tuple[str, ...]]]] = ((-1, -1), [])
        together = Together(words, log)
        self._by_type: dict[str, Callable[[Moment], Iterator[Ask]]] = {
            "single-hop": lambda now: self._values("single-hop", now),
            "knowledge-update": lambda now: self._values("knowledge-update", now),
            "injection": lambda now: self._values("injection", now),
            "deletion": self._deletion,
            "previous-value": self._previous,
            "change-count": self._changes,
            "cross-session": self._pairs,
            "multi-hop": together.chains,
            "aggregation": together.collections,
            "temporal": self._dates,
            "temporal-order": self._order,
            "duration": self._durations,
            "contradiction": self._disputes,
            "cascade": together.cascades,
            "preference": together.preferences,
            "abstention": self._never_told,
            "speaker-swap": self._swapped,
            "attribution": self._opinions,
            "test-time-learning": together.rules,
            "summary": together.topics,
            "isolation": self._secrets,
        }

    def of(self, type_: str, now: Moment) -> list[Ask]:
        """What can be asked of one type, those that are not ready included."""
        return list(self._by_type[type_](now))

    # ------------------------------------------------------------------ facts

    def _facts(self, now: Moment) -> list[tuple[Thread, Value, tuple[str, ...]]]:
        """Each fact that has been told, its truth, and what texts tried to plant about it."""
        if self._folded[0] != now:  # one type of question after the other looks at the same moment
            self._folded = now, list(self._fold(now))
        return self._folded[1]

    def _fold(self, now: Moment) -> Iterator[tuple[Thread, Value, tuple[str, ...]]]:
        for thread in self.log.of("fact"):
            told = self.log.told(thread.events, now)
            truth = fold(told)
            if truth.values:
                yield thread, truth, tuple(event.value for event in told if event.op == "inject")

    def _fact(self, type_: str, thread: Thread, answer: str, **fields: Any) -> Ask:
        slot = self.words["slots"][thread.slot]
        return Ask(
            type_,
            slot["question"],
            {"name": thread.subject},
            answer,
            pool=slot["values"],
            **{"changes": tuple(thread.events), **fields},
        )

    def _values(self, wanted: str, now: Moment) -> Iterator[Ask]:
        for thread, truth, planted in self._facts(now):
            attacked = bool(planted) and "injection" in self.config.question_types
            kind = "injection" if attacked else "single-hop" if len(truth.values) == 1 else "knowledge-update"
            if truth.known and truth.source and kind == wanted:
                stale = tuple(truth.values[:-1])
                events = (truth.source, *(self._ground.get("authority", ()) if attacked else ()))
                traps = {"stale": stale, "planted": planted, "traps": (*planted, *stale)}
                yield self._fact(kind, thread, truth.values[-1], events=events, **traps)

    def _deletion(self, now: Moment) -> Iterator[Ask]:
        for thread, truth, planted in self._facts(now):
            if truth.forgotten:
                gone = tuple(truth.values)
                yield self._fact(
                    "deletion", thread, UNKNOWN, traps=gone[::-1], forbidden=gone, planted=planted
                )

    def _revised(self, now: Moment) -> Iterator[tuple[Thread, Value]]:
        for thread, truth, planted in self._facts(now):
            if truth.known and len(truth.values) > 1 and not planted:
                yield thread, truth

    def _previous(self, now: Moment) -> Iterator[Ask]:
        for thread, truth in self._revised(now):
            *older, previous, newest = truth.values
            yield self._fact(
                "previous-value",
                thread,
                previous,
                events=tuple(truth.sources),
                traps=(newest, *older),
                around=self.words["ask"]["previous"],
                hops=2,
            )

    def _changes(self, now: Moment) -> Iterator[Ask]:
        most = max_updates(self.config.num_sessions)
        if most < 2:
            return  # the answer would be 1, whatever was told
        for thread, truth in self._revised(now):
            ops = [event.op for event in thread.events]
            if "forget" in ops or thread.about == "base":
                continue  # their numbers are not drawn evenly
            changes = len(truth.values) - 1
            yield Ask(
                "change-count",
                self.words["ask"]["changes"],
                {"name": thread.subject, "topic": self.words["topics"][thread.slot]},
                str(changes),
                events=tuple(truth.sources),
                options="numbers",
                hops=changes + 1,
                ready=changes == ops.count("update"),
                about=most,
            )

    def _pairs(self, now: Moment) -> Iterator[Ask]:
        known = [(t, v) for t, v, planted in self._facts(now) if v.known and not planted]
        for (one, first), (two, second) in combinations(known, 2):
            a, b = first.source, second.source
            if one.subject != two.subject or a is None or b is None or a.session == b.session:
                continue
            topics = self.words["topics"]
            v, v2 = first.values[-1], second.values[-1]
            lists = [
                (truth.values[::-1], self.words["slots"][thread.slot]["values"])
                for thread, truth in ((one, first), (two, second))
            ]
            yield Ask(
                "cross-session",
                self.words["ask"]["pair"],
                {"name": one.subject, "topic": topics[one.slot], "topic2": topics[two.slot]},
                f"{v} and {v2}",
                aliases=(f"{v2} and {v}", f"{v}, {v2}", f"{v2}, {v}"),
                events=(a, b),
                options="pairs",
                hops=2,
                changes=(*one.events, *two.events),
                about=lists,
            )

    def _about(self, now: Moment) -> set[tuple[str, str]]:
        """(person, attribute) of which anybody has said anything."""
        threads = self.log.of("fact", "dispute", "hearsay", "secret")
        return {(t.subject, t.slot) for t in threads if self.log.told(t.events, now)}

    def _never_told(self, now: Moment) -> Iterator[Ask]:
        about = self._about(now)
        slots = {slot for _, slot in about}
        for person in self.cast.speakers:
            for slot in self.words.slots:
                if slot not in slots:
                    yield self._unknown[person, slot]
        told = {event.other for event in self._happened(now)}
        for _, asked in self.words["events"]["phrases"]:
            if asked not in told:
                for person in self.cast.speakers:
                    yield self._unheard[person, asked]

    @cached_property
    def _unknown(self) -> dict[tuple[str, str], Ask]:
        """What can be asked of an attribute that nobody has told: the same after every session."""
        return {
            (person, slot): self._fact("abstention", Thread(0, "fact", person, slot), UNKNOWN)
            for person in self.cast.speakers
            for slot in self.words.slots
        }

    @cached_property
    def _unheard(self) -> dict[tuple[str, str], Ask]:
        """What can be asked of something that nobody did."""
        return {
            (person, asked): self._when("abstention", person, asked, UNKNOWN)
            for person in self.cast.speakers
            for _, asked in self.words["events"]["phrases"]
        }

    def _swapped(self, now: Moment) -> Iterator[Ask]:
        about = self._about(now)
        for owner, truth, planted in self._facts(now):
            if truth.known and not planted:
                for person in self.cast.speakers:
                    if (person, owner.slot) not in about:
                        thread = Thread(0, "fact", person, owner.slot)
                        yield self._fact("speaker-swap", thread, UNKNOWN, traps=(truth.values[-1],))

    # ------------------------------------------------------------------ dates

    def _happened(self, now: Moment) -> list[Event]:
        return [e for thread in self.log.of("happening") for e in self.log.told(thread.events, now)]

    def day(self, event: Event) -> date:
        """When a happening was."""
        return self.days[event.session] - timedelta(days=event.when[1])

    def _when(self, type_: str, person: str, asked: str, answer: str, *events: Event) -> Ask:
        return Ask(
            type_,
            self.words["events"]["question"],
            {"name": person, "v": asked},
            answer,
            events=events,
            options="dates",
            about=[(self.day(event), self.days[event.session]) for event in events],
        )

    def _dates(self, now: Moment) -> Iterator[Ask]:
        for event in self._happened(now):
            day = format_date(self.day(event))
            yield self._when("temporal", event.subject, event.other, day, event)

    def _did(self, event: Event) -> str:
        return self.words["ask"]["did"].format(name=event.subject, v=event.other)

    def _order(self, now: Moment) -> Iterator[Ask]:
        """Runs of neighbours by day; on different days each."""
        by_day = {self.day(event): event for event in self._happened(now)}
        events = [by_day[day] for day in sorted(by_day)]
        named = max(2, (self.config.num_choices or 4) - 1)
        for start in range(len(events) - named + 1):
            chosen = events[start : start + named]
            names = [self._did(event) for event in chosen]
            yield Ask(
                "temporal-order",
                self.words["ask"]["first"],
                {},
                names[0],
                aliases=(chosen[0].other,),
                events=tuple(chosen),
                options="named",
                hops=named,
                about=names,
            )

    def _durations(self, now: Moment) -> Iterator[Ask]:
        for one, two in combinations(self._happened(now), 2):
            days = abs((self.day(one) - self.day(two)).days)
            if days >= MIN_DAYS:
                yield Ask(
                    "duration",
                    self.words["ask"]["between"],
                    {"a": self._did(one), "b": self._did(two)},
                    f"{days} days",
                    aliases=(str(days),),
                    events=(one, two),
                    options="days",
                    hops=2,
                    about=days,
                )

    # ------------------------------------------------------------------ who said what

    def _disputes(self, now: Moment) -> Iterator[Ask]:
        for thread in self.log.of("dispute", "hearsay"):
            told = self.log.told(thread.events, now)
            own = next((event.value for event in told if event.op == "assert"), None)
            claims = tuple(event.value for event in told if event.op == "claim")
            if own is not None:
                answer, planted = own, claims
            else:
                answer, planted = (claims[0] if len(set(claims)) == 1 else CONFLICT), ()
            yield self._fact(
                "contradiction",
                thread,
                answer,
                events=(*told, *self._ground["authority"]),
                traps=claims,
                planted=planted,
                options="disputed",
                hops=2,
                ready=len(told) == len(thread.events),
            )

    def _opinions(self, now: Moment) -> Iterator[Ask]:
        for thread in self.log.of("opinion"):
            for event in self.log.told(thread.events, now):
                question = self.words["opinion"]["question"]
                yield Ask(
                    "attribution",
                    question,
                    {"v": event.value},
                    thread.subject,
                    events=(event,),
                    pool=thread.about,
                    traps=(event.speaker,) if event.speaker != thread.subject else (),
                )

    def _secrets(self, now: Moment) -> Iterator[Ask]:
        for thread in self.log.of("secret"):
            for event in self.log.told(thread.events, now):
                friends = (event.speaker, event.other)
                others = [p for p in (*self.cast.speakers, *self.cast.outsiders) if p not in friends]
                for askers, known in ((friends, True), (others, False)):
                    yield self._fact(
                        "isolation",
                        thread,
                        event.value if known else UNKNOWN,
                        events=(event, *self._ground["secret"]),
                        forbidden=() if known else (event.value,),
                        traps=() if known else (event.value,),
                        around=self.words["speech"]["asker"],
                        about=askers,
                        hops=2,
                    )
