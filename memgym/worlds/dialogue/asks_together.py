"""Questions whose answer has to be put together from several statements, or applied to something new."""

from collections.abc import Iterator

from memgym.stream import UNKNOWN
from memgym.worlds.dialogue.ask import Ask
from memgym.worlds.dialogue.lexicon import Lexicon
from memgym.worlds.dialogue.log import Log, Moment
from memgym.worlds.dialogue.plan import MAX_PIECES

__all__ = ["Together"]

POOLS = {2: "orgs", 3: "towns", 4: "landmarks"}  # what a chain of so many facts ends in


class Together:
    """Finds what can be asked of threads of several statements.

    Args:
        words: of the split.
        log: what is told.
    """

    def __init__(self, words: Lexicon, log: Log) -> None:
        self.words, self.log = words, log
        self._ground = tuple(e for t in log.of("ground") if t.slot == "cascade" for e in t.events)

    def chains(self, now: Moment) -> Iterator[Ask]:
        """Where a relation of somebody leads to."""
        chain, threads = self.words["chain"], self.log.of("chain")
        for thread in threads:
            told, hops = self.log.told(thread.events, now), thread.about
            others = [
                event.value
                for other in threads
                if other is not thread
                for event in self.log.told(other.events, now)
                if event.slot == f"link{hops}"
            ]
            yield Ask(
                "multi-hop",
                chain[f"question{hops}"],
                {"name": thread.subject, "slot": thread.slot},
                thread.events[-1].value,
                events=tuple(told),
                pool=chain[POOLS[hops]],
                traps=tuple(others),
                hops=hops,
                ready=len(told) == hops,
            )

    def collections(self, now: Moment) -> Iterator[Ask]:
        """How many pieces somebody has."""
        for thread in self.log.of("collection"):
            told = self.log.told(thread.events, now)
            yield Ask(
                "aggregation",
                self.words["collection"]["question"],
                {"name": thread.subject, "slot": thread.slot},
                str(len(told)),
                events=tuple(told),
                options="numbers",
                hops=max(1, len(told)),
                ready=len(told) == len(thread.events),
                about=MAX_PIECES,
            )

    def preferences(self, now: Moment) -> Iterator[Ask]:
        """What somebody would like, of things never mentioned."""
        groups = self.words["preference"]["groups"]
        for thread in self.log.of("preference"):
            told = self.log.told(thread.events, now)
            named = {event.value for event in told}
            liked = [event for event in told if event.op == "like"]
            yield Ask(
                "preference",
                self.words["preference"]["question"],
                {"name": thread.subject},
                "",  # drawn with the options
                events=tuple(liked),
                options="preference",
                hops=2,
                ready=len(liked) == 2,
                about={name: [v for v in items if v not in named] for name, items in groups.items()}
                | {"": [thread.about]},
            )

    def rules(self, now: Moment) -> Iterator[Ask]:
        """What a rule says of a thing never seen, whole and broken."""
        words = self.words["rule"]
        for thread in self.log.of("rule"):
            for event in self.log.told(thread.events, now):
                both = (
                    (words["whole"], event.value, event.other),
                    (words["broken"], event.other, event.value),
                )
                for templates, answer, trap in both:
                    yield Ask(
                        "test-time-learning",
                        templates,
                        {"s": thread.subject},
                        answer,
                        events=(event,),
                        pool=words["values"],
                        traps=(trap,),
                        about=words["objects"],
                    )

    def topics(self, now: Moment) -> Iterator[Ask]:
        """What somebody talked about most."""
        for thread in self.log.of("topic"):
            told = self.log.told(thread.events, now)
            words = self.words["topic"]
            yield Ask(
                "summary",
                words["question"],
                {"name": thread.subject},
                thread.about,
                events=tuple(told),
                pool=words["values"],
                traps=tuple(dict.fromkeys(e.value for e in told if e.value != thread.about)),
                hops=max(1, len(told)),
                ready=len(told) == len(thread.events),
            )

    def cascades(self, now: Moment) -> Iterator[Ask]:
        """What depends on something that has changed since is unknown."""
        for thread in self.log.of("dependent"):
            told = self.log.told(thread.events, now)
            if not told:
                continue
            (event,) = told
            after = (event.session, self.log.turn(event))
            base = [e for e in self.log.upcoming(thread.about.events, after) if e.op == "update"]
            broken = self.log.told(base, now)
            words = self.words["dependents"][thread.slot]
            yield Ask(
                "cascade",
                words["question"],
                {"name": thread.subject},
                UNKNOWN if broken else event.value,
                events=(event, *broken, *(self._ground if broken else ())),
                pool=words["values"],
                traps=(event.value,) if broken else (),
                stale=(event.value,) if broken else (),
                hops=2 if broken else 1,
                changes=tuple(thread.about.events),
            )
