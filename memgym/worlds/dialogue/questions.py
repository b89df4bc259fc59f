"""Puts what can be asked into words, with options where they are wanted."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from memgym.rng import CounterRNG
from memgym.stream import UNKNOWN, Question
from memgym.worlds.dialogue import options
from memgym.worlds.dialogue.ask import Ask
from memgym.worlds.dialogue.asks import Asks
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import CONFLICT, RELATIVE
from memgym.worlds.dialogue.log import END_OF_SESSION, Event, Log, Moment
from memgym.worlds.dialogue.writing import capitalised

__all__ = ["Questioner"]

# types whose facts are complete late in a conversation: asked first after the last session, else hardly at all
LATE = (
    "summary",
    "change-count",
    "aggregation",
    "preference",
    "multi-hop",
    "contradiction",
    "temporal-order",
)


class Questioner:
    """Asks after a session.

    Args:
        config: of the conversation.
        asks: what can be asked.
        log: of the conversation.
        days: date of each session.
    """

    def __init__(self, config: DialogueConfig, asks: Asks, log: Log, days: Sequence[date]) -> None:
        self.config, self.asks, self.log, self.days = config, asks, log, days

    def after(self, session: int, time: str, rng: CounterRNG) -> Iterator[Question]:
        """Types in turn, each about something of its own, as far as there is something to ask."""
        now = (session, END_OF_SESSION)
        order = list(self.config.question_types)
        pools = {}
        for type_ in order:
            ready = self.ready(type_, now)
            pools[type_] = rng.sample(ready, len(ready))
        rng.shuffle(order)
        if session == self.config.num_sessions - 1:
            order.sort(key=lambda type_: type_ not in LATE)
        asked = 0
        while asked < self.config.questions_per_session and any(pools.values()):
            for type_ in order:
                if pools[type_] and asked < self.config.questions_per_session:
                    asked += 1
                    yield self.write(pools[type_].pop(), f"s{session + 1}q{asked}", session, time, rng)

    def ready(self, type_: str, now: Moment) -> list[Ask]:
        """What can be asked of one type."""
        return [ask for ask in self.asks.of(type_, now) if ask.ready]

    def write(self, ask: Ask, id: str, session: int, time: str, rng: CounterRNG) -> Question:
        """One question, as it is asked after a session."""
        answer, choices, named = self._options(ask, session, rng)
        fields = dict(ask.fields)
        if named:
            fields["options"] = f"{', '.join(named[:-1])} or {named[-1]}"
        if ask.type == "test-time-learning":
            fields["object"] = rng.choice(ask.about)
        templates = ask.templates if self.config.paraphrase_level else ask.templates[:1]
        text = capitalised(rng.choice(templates).format(**fields))
        around = ask.around if isinstance(ask.around, str) else rng.choice(ask.around)
        asker = rng.choice(ask.about) if ask.type == "isolation" else ""
        text = around.format(question=text, asker=asker)
        known = answer != UNKNOWN or ask.type in ("cascade", "isolation")
        return Question(
            id,
            text,
            ask.type,
            answer,
            time=time,
            aliases=ask.aliases,
            choices=choices,
            evidence=self.log.item_ids(ask.events) if known else (),  # else nothing has to be kept
            stale=ask.stale,
            forbidden=ask.forbidden,
            planted=ask.planted,
            hops=ask.hops,
            meta={"person": fields.get("name", ""), **self._validity(ask.events, ask.changes, session)},
        )

    def _validity(self, events: Sequence[Event], changes: Sequence[Event], session: int) -> dict[str, str]:
        """Dates since which the answer holds, and on which it is going to change, ``""`` for none."""
        since = max((self.days[event.session] for event in events), default=None)
        ops = ("update", "forget")
        later = [event.session for event in changes if event.op in ops and event.session > session]
        until = self.days[min(later)].isoformat() if later else ""
        return {"valid_from": since.isoformat() if since else "", "valid_to": until}

    def _options(self, ask: Ask, session: int, rng: CounterRNG) -> tuple[str, tuple[str, ...], Sequence[str]]:
        """The answer, the choices, and the options that the question's text names."""
        count, about = self.config.num_choices, ask.about
        kind = ask.options
        if kind == "numbers":
            return ask.answer, options.numbers(int(ask.answer), about, count, rng) if count else (), ()
        if kind == "dates":
            return ask.answer, self._dates(about, session, rng), ()
        if kind == "days":
            return ask.answer, options.days_between(about, count, rng), ()
        if kind == "pairs":
            return ask.answer, options.pairs(about[0], about[1], count, rng), ()
        if kind == "named":
            named = rng.sample(about, len(about))
            return ask.answer, self._shuffled(named, rng), named
        if kind == "preference":
            named = self._preference(about, rng)
            answer = named[0]
            rng.shuffle(named)
            return answer, self._shuffled(named, rng), named
        fixed = (CONFLICT,) if kind == "disputed" else ()
        return ask.answer, options.values(ask.answer, ask.traps, ask.pool, count, rng, fixed), ()

    def _dates(self, about: Any, session: int, rng: CounterRNG) -> tuple[str, ...]:
        if about:
            ((day, told),) = about
            return options.dates(day, told, self.config.num_choices, rng)
        told = self.days[rng.integer(0, session)]  # of what never happened
        day = told - timedelta(days=rng.choice(RELATIVE)[1])
        return options.dates(day, told, self.config.num_choices, rng, answerable=day != told)

    def _shuffled(self, named: Sequence[str], rng: CounterRNG) -> tuple[str, ...]:
        choices = [*named, UNKNOWN] if self.config.num_choices else []
        rng.shuffle(choices)
        return tuple(choices)

    def _preference(self, about: dict[str, list[str]], rng: CounterRNG) -> list[str]:
        """Something of the kind that is liked, first, and things of other kinds."""
        (liked,) = about[""]
        others = [name for name in about if name not in ("", liked)]
        count = max(2, (self.config.num_choices or 4) - 1)
        return [rng.choice(about[name]) for name in (liked, *rng.sample(others, count - 1))]
