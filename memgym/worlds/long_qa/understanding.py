"""Long-range understanding: what follows only from statements spread over the whole stream."""

from itertools import pairwise
from typing import NamedTuple

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.plan import (
    GROUP,
    Ability,
    Draft,
    LongQAConfig,
    Statement,
    combined_group,
    draw_group,
    in_round,
    partner_of,
    sentence,
    spread,
)
from memgym.worlds.long_qa.words import compose, some_name

__all__ = ["LongRangeUnderstanding"]

MIN_COUNT = GROUP  # the most calls of a ship, at least; any number up to the most is equally likely
AIMS = 3  # of one charter
MIN_PARTS, MAX_PARTS = 12, 16  # three groups, so that options leave out the parts just asked about


class Called(NamedTuple):
    """The calls of a ship at a port, all told by the round `asked`."""

    ship: str
    port: str
    asked: int
    told: tuple[Statement, ...]


class LongRangeUnderstanding(Ability):
    """Calls of ships to count, events to order, charters to list and parts of the text to follow."""

    name = "long-range-understanding"
    kinds = ("counting", "ordering", "key-points", "topics")

    @classmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """Calls of 10 words, events of 7, aims of 12 and headings of 9."""
        sizes, rounds = _sizes(config), config.num_rounds
        words = 7 * in_round(sizes.events, rounds) + 9 * in_round(sizes.parts, rounds)
        words += 12 * sizes.charters * in_round(AIMS, rounds)
        for asked in range(rounds):
            ships = 2 * len(range(asked, sizes.ports, rounds))
            words += 10 * ships * in_round(sizes.calls, asked + 1)
        return words

    def _tell(self, rng: CounterRNG) -> None:
        self._sizes = _sizes(self.config)
        self._tell_calls(rng)
        names = rng.sample(compose(self.split, "event"), self._sizes.events)
        self._events: dict[str, Statement] = {}
        for name, place in zip(names, spread(rng, len(names)), strict=True):
            text = rng.choice(self.words["ordering"]["tell"]).format(e=name)
            self._events[name] = self.log.tell(place, text)
        self._tell_charters(rng)
        self._parts: list[tuple[str, Statement]] = []  # part i is in group i modulo their number
        topics = rng.sample(self.words["topics"], self._sizes.parts)
        for i, (topic, place) in enumerate(zip(topics, spread(rng, len(topics)), strict=True)):
            text = rng.choice(self.words["chapters"]["tell"]).format(n=i + 1, t=topic)
            self._parts.append((topic, self.log.tell(place, text)))

    def _tell_calls(self, rng: CounterRNG) -> None:
        """Two ships share a port, and each port is asked about after a round of its own."""
        ports = rng.sample(compose(self.split, "port"), self._sizes.ports)
        ships = rng.sample(compose(self.split, "ship"), 2 * len(ports))
        self._ships = frozenset(ships)
        self._calls: list[Called] = []
        rounds, templates = self.config.num_rounds, self.words["counting"]["tell"]
        for i, ship in enumerate(ships):
            port, asked = ports[i // 2], (i // 2) % rounds
            places = spread(rng, rng.integer(1, self._sizes.calls), 0, (asked + 1) / rounds)
            told = [self.log.tell(at, rng.choice(templates).format(s=ship, p=port)) for at in places]
            self._calls.append(Called(ship, port, asked, tuple(told)))

    def _tell_charters(self, rng: CounterRNG) -> None:
        words = self.words["key_points"]
        self._charters: dict[str, list[tuple[str, Statement]]] = {}
        aims = rng.sample(compose(self.split, "aim"), AIMS * self._sizes.charters)
        for owner in rng.sample(compose(self.split, "org"), self._sizes.charters):
            own, aims = aims[:AIMS], aims[AIMS:]
            self._charters[owner] = []
            for numeral, aim, place in zip(words["numerals"], own, spread(rng, AIMS), strict=True):
                text = rng.choice(words["tell"]).format(n=numeral, w=owner, v=aim)
                self._charters[owner].append((aim, self.log.tell(place, text)))

    def distractor(self, rng: CounterRNG) -> str:
        """A call of another ship, or of one that is counted at another port."""
        ports = compose(self.split, "port")
        if rng.random() < 0.5:
            ship, port = some_name(rng, compose(self.split, "ship"), self._ships), rng.choice(ports)
        else:
            counted = rng.choice(self._calls)
            ship, port = counted.ship, some_name(rng, ports, frozenset((counted.port,)))
        text = rng.choice(self.words["counting"]["tell"]).format(s=ship, p=port)
        return sentence(text)

    # ------------------------------------------------------------------ questions

    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """Of each kind, as far as it is told."""
        pools = {
            "counting": [self._count(call, "ask", rng) for call in self._due(now)],
            "ordering": [self._order(names, rng) for names in self._lists(now, rng)],
            "key-points": [self._aims(owner, rng) for owner in self._complete(now)],
            "topics": self._topics(now, rng),
        }
        for pool in pools.values():
            rng.shuffle(pool)
        return pools

    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """The other ship; another place in the order; the other charter; the part after."""
        found: dict[str, list[list[Draft]]] = {kind: [] for kind in self.kinds}
        for one, other in pairwise(self._due(now)):
            if one.port == other.port:
                turns = [self._count(one, "ask", rng), self._count(other, "then", rng)]
                found["counting"].append(turns)
        for names in self._lists(now, rng):
            first, then = rng.sample(range(len(names)), 2)
            turns = [self._order(names, rng, first), self._order(names, rng, then, follow_up=True)]
            found["ordering"].append(turns)
        charters = self._complete(now)
        rng.shuffle(charters)
        for one, other in zip(charters[::2], charters[1::2], strict=False):
            turns = [self._aims(one, rng), self._aims(other, rng, follow_up=True)]
            found["key-points"].append(turns)
        told = [part for part in self._parts if part[1].round <= now]
        for i in range(len(told) - 2):
            turns = [self._next_topic(told, i, rng), self._next_topic(told, i + 1, rng, follow_up=True)]
            found["topics"].append(turns)
        for pool in found.values():
            rng.shuffle(pool)
        return found

    def _due(self, now: int) -> list[Called]:
        """The calls to be counted now: later ones are still to come, earlier ones were asked about."""
        return [call for call in self._calls if call.asked == now]

    def _count(self, call: Called, form: str, rng: CounterRNG) -> Draft:
        text = rng.choice(self.words["counting"][form]).format(s=call.ship, p=call.port)
        number = len(call.told)
        others = [str(other + 1) for other in range(self._sizes.calls)]
        group, about = draw_group(rng, str(number), others), (f"{call.ship} {call.port}",)
        return Draft("counting", about, text, str(number), group, call.told, hops=number)

    def _lists(self, now: int, rng: CounterRNG) -> list[list[str]]:
        """Lists of events that are told, in no order."""
        told = [name for name, at in self._events.items() if at.round <= now]
        rng.shuffle(told)
        return [told[i : i + GROUP] for i in range(0, len(told) - GROUP + 1, GROUP)]

    def _order(
        self, names: list[str], rng: CounterRNG, nth: int | None = None, follow_up: bool = False
    ) -> Draft:
        words = self.words["ordering"]
        nth = rng.integer(0, len(names) - 1) if nth is None else nth
        text = rng.choice(words["then" if follow_up else "ask"])
        text = text.format(n=self.words["ordinals"][nth], l="; ".join(names))
        ordered = sorted(names, key=lambda name: self._events[name])
        evidence = tuple(self._events[name] for name in ordered)
        about = (f"{nth} of {names}",)
        return Draft("ordering", about, text, ordered[nth], names, evidence, hops=len(names))

    def _complete(self, now: int) -> list[str]:
        return [owner for owner, aims in self._charters.items() if all(told.round <= now for _, told in aims)]

    def _aims(self, owner: str, rng: CounterRNG, follow_up: bool = False) -> Draft:
        words = self.words["key_points"]
        text = rng.choice(words["then" if follow_up else "ask"]).format(w=owner)
        aims = [aim for aim, _ in self._charters[owner]]
        others = [aim for aim, _ in self._charters[partner_of(list(self._charters), owner)]]
        group = combined_group(aims, others, ((True, True, False), (False, True, True)), "; ")
        evidence = tuple(told for _, told in self._charters[owner])
        return Draft("key-points", (owner,), text, "; ".join(aims), group, evidence, hops=AIMS)

    def _topics(self, now: int, rng: CounterRNG) -> list[Draft]:
        """What a part is about, and what follows on a part."""
        told = [part for part in self._parts if part[1].round <= now]
        found = [self._next_topic(told, i, rng) for i in range(len(told) - 1)]
        for i, (topic, at) in enumerate(told):
            text = rng.choice(self.words["chapters"]["ask"]).format(n=i + 1)
            found.append(Draft("topics", (topic,), text, topic, self._group(i), (at,)))
        return found

    def _next_topic(
        self, told: list[tuple[str, Statement]], i: int, rng: CounterRNG, follow_up: bool = False
    ) -> Draft:
        words = self.words["chapters"]
        (topic, at), (following, after) = told[i], told[i + 1]
        text = rng.choice(words["then" if follow_up else "ask_next"]).format(t=topic)
        return Draft("topics", (following,), text, following, self._group(i + 1), (at, after), hops=2)

    def _group(self, i: int) -> list[str]:
        """The options where part `i` is the answer."""
        groups = len(self._parts) // GROUP
        return [topic for topic, _ in self._parts[i % groups :: groups]]


class Sizes(NamedTuple):
    """How much there is of each kind."""

    ports: int
    calls: int
    events: int
    charters: int
    parts: int


def _sizes(config: LongQAConfig) -> Sizes:
    facts = config.num_facts
    return Sizes(
        ports=max(config.num_rounds, facts // 4),
        calls=max(MIN_COUNT, facts),
        events=GROUP * max(1, facts // 8),
        charters=2 * max(1, facts // 8),
        parts=MIN_PARTS if facts <= MIN_PARTS else MAX_PARTS,
    )
