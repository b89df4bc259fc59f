"""What will be told: the log of one conversation, drawn before any text in time that grows with the facts alone.

Each kind of thread has a planner of its own with its own random source, and is planned only where a chosen
question type needs it. Sessions are drawn, turns are not (`memgym.worlds.dialogue.log`), and nothing here depends
on `num_words`: a longer conversation tells the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

from memgym.rng import CounterRNG
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import RELATIVE, Lexicon
from memgym.worlds.dialogue.log import Log

__all__ = ["MAX_PIECES", "Cast", "max_updates", "plan"]

MAX_UPDATES = 3  # of one fact
MAX_PIECES = 5  # of one kind in a collection
MAX_HOPS = 4
DISPUTED = 1 / 3  # of the contradictions; of the others, half are no contradiction in the end
BREAKS = 0.75  # of what depends on something that then changes; until it does, it is asked as well
NUM_OUTSIDERS = 4  # people who never speak, of whom opinions and claims are told


def max_updates(num_sessions: int) -> int:
    """Changes of one fact, at most: half of the sessions are left for what comes after."""
    return min(MAX_UPDATES, (num_sessions - 1) // 2)


@dataclass(frozen=True)
class Cast:
    """Who is in a conversation.

    Attributes:
        speakers: who talk.
        outsiders: who are talked about.
        friends: who stand in relations ("my sister"), each in one.
        host: who states the ground rules.
        intruders: who have no business here.
    """

    speakers: tuple[str, ...]
    outsiders: tuple[str, ...]
    friends: tuple[str, ...]
    host: str
    intruders: tuple[str, ...]

    @classmethod
    def draw(cls, rng: CounterRNG, words: Lexicon, num_speakers: int) -> "Cast":
        """A cast from the words of a split."""
        people = words["people"]
        speakers = rng.sample(words["names"], num_speakers)
        contacts = rng.sample(people["contacts"], len(people["contacts"]))
        return cls(
            tuple(speakers),
            tuple(contacts[:NUM_OUTSIDERS]),
            tuple(contacts[NUM_OUTSIDERS:]),
            people["host"],
            tuple(people["intruders"]),
        )


class Planner:
    """Fills a log; see `plan`."""

    def __init__(self, rng: CounterRNG, words: Lexicon, config: DialogueConfig, cast: Cast) -> None:
        self.rng, self.words, self.config, self.cast = rng, words, config, cast
        prompted = words.slots if config.paraphrase_level >= 2 else ()
        self.log = Log(rng.fork(0), config.turns_per_session, prompted)
        keys = [(person, slot) for person in cast.speakers for slot in words.slots]
        self._free = rng.fork(1).sample(keys, len(keys))  # attributes that no thread has taken
        self._some = max(1, config.num_facts // 4)  # threads of each kind other than facts and happenings

    # ------------------------------------------------------------------ helpers

    def _sessions(self, rng: CounterRNG, count: int) -> list[int]:
        """`count` sessions in order, different ones as far as there are any."""
        all_, drawn = self.config.num_sessions, []
        while count > 0:
            drawn += rng.sample(range(all_), min(count, all_))
            count -= all_
        return sorted(drawn)

    def _take(self, wanted: Callable[[str], bool] = lambda slot: True) -> tuple[str, str] | None:
        """An attribute of somebody that is still free."""
        for key in self._free:
            if wanted(key[1]):
                self._free.remove(key)
                return key
        return None

    def _values(self, rng: CounterRNG, slot: str, count: int) -> list[str]:
        return rng.sample(self.words["slots"][slot]["values"], count)

    def _other(self, rng: CounterRNG, *people: str) -> str:
        return rng.choice([person for person in self.cast.speakers if person not in people])

    # ------------------------------------------------------------------ facts and happenings

    def facts(self, rng: CounterRNG) -> None:
        """Attributes, told first, perhaps changed later, perhaps to be forgotten after that."""
        for _ in range(self.config.num_facts):
            key = self._take()
            if key is None:
                return
            sessions = self.config.num_sessions
            forget = sessions > 1 and rng.random() < self.config.forget_rate
            most = max_updates(sessions)
            changes = rng.integer(1, most) if most and rng.random() < self.config.update_rate else 0
            if changes:  # the last one at a time that does not tell how many there are
                last = rng.integer(most, sessions - 1 - forget)
                at = [*sorted(rng.sample(range(last), changes)), last]
            else:
                at = [rng.integer(0, max(0, sessions - 2))]
            if forget:
                at.append(rng.integer(at[-1] + 1, sessions - 1))
            thread = self.log.open("fact", *key)
            ops = ["assert", *["update"] * changes, *["forget"] * forget]
            values = self._values(rng, key[1], 1 + changes)
            for op, session, value in zip(ops, at, [*values, ""], strict=False):
                self.log.add(thread, op, session, key[0], value=value)

    def happenings(self, rng: CounterRNG) -> None:
        """What somebody did on some day."""
        phrases = rng.sample(self.words["events"]["phrases"], self.config.num_events)
        for told, asked in phrases:
            session = rng.integer(0, self.config.num_sessions - 1)
            person, when = rng.choice(self.cast.speakers), rng.choice(RELATIVE)
            if self.config.paraphrase_level >= 2 and rng.random() < 0.5:
                when = ("weekday", rng.integer(2, 6))
            thread = self.log.open("happening", person)
            self.log.add(thread, "happening", session, person, value=told, other=asked, when=when)

    # ------------------------------------------------------------------ what others say

    def contradictions(self, rng: CounterRNG) -> None:
        """Claims about somebody: against that person's own word, or about somebody who is not here."""
        outside = [(name, slot) for name in self.cast.outsiders for slot in self.words.slots]
        outside = rng.sample(outside, len(outside))
        for _ in range(self._some):
            key = self._take() if rng.random() < DISPUTED else None
            first, second = self._sessions(rng, 2)
            if key is not None:
                person, slot = key
                own, claimed = self._values(rng, slot, 2)
                thread = self.log.open("dispute", person, slot)
                both = [("assert", person, own), ("claim", self._other(rng, person), claimed)]
            else:
                person, slot = outside.pop()
                values = self._values(rng, slot, 2)
                values[1] = rng.choice(values)  # half of the time both say the same
                thread = self.log.open("hearsay", person, slot)
                both = [
                    ("claim", who, v)
                    for who, v in zip(rng.sample(self.cast.speakers, 2), values, strict=True)
                ]
            rng.shuffle(both)
            for session, (op, who, value) in zip((first, second), both, strict=True):
                self.log.add(thread, op, session, who, value=value)

    def secrets(self, rng: CounterRNG) -> None:
        """What one speaker tells another in confidence."""
        for _ in range(self._some):
            key = self._take()
            if key is None:
                return
            thread = self.log.open("secret", *key)
            confidant = self._other(rng, key[0])
            value = self._values(rng, key[1], 1)[0]
            session = rng.integer(0, max(0, self.config.num_sessions - 2))
            self.log.add(thread, "secret", session, key[0], value=value, other=confidant)

    def injections(self, rng: CounterRNG) -> None:
        """Texts that order to store something else about a fact that was told."""
        facts = rng.sample(self.log.of("fact"), len(self.log.of("fact")))
        for fact in facts[: self._some]:
            taken = {event.value for event in fact.events}
            pool = self.words["slots"][fact.slot]["values"]
            value = rng.choice([v for v in pool if v not in taken])
            session = rng.integer(fact.events[0].session, self.config.num_sessions - 1)
            intruder = rng.choice(self.cast.intruders)
            self.log.add(fact, "inject", session, intruder, value=value)

    def opinions(self, rng: CounterRNG) -> None:
        """Opinions of speakers, and those of others as speakers report them."""
        sources = (*self.cast.speakers, *self.cast.outsiders)
        for clause in rng.sample(self.words["opinion"]["clauses"], self._some):
            source = rng.choice(sources)
            speaker = source if source in self.cast.speakers else rng.choice(self.cast.speakers)
            thread = self.log.open("opinion", source, about=sources)
            self.log.add(thread, "opinion", self._sessions(rng, 1)[0], speaker, value=clause)

    # ------------------------------------------------------------------ what has to be put together

    def chains(self, rng: CounterRNG) -> None:
        """A person's relation, where it works, in which town that is, what the town is famous for."""
        chain = self.words["chain"]
        friends, owners = list(self.cast.friends), []
        for relation in rng.sample(chain["relations"], len(chain["relations"])):
            owners.append((rng.choice(self.cast.speakers), relation))
        pools = [rng.sample(chain[name], len(chain[name])) for name in ("orgs", "towns", "landmarks")]
        for i in range(min(self._some, len(owners), len(friends), *(len(pool) for pool in pools))):
            person, relation = owners[i]
            hops = rng.integer(2, min(self.config.hops, MAX_HOPS))
            nodes = [friends[i], *(pool[i] for pool in pools)]
            thread = self.log.open("chain", person, relation, about=hops)
            at = self._sessions(rng, hops)
            rng.shuffle(at)
            self.log.add(thread, "link", at[0], person, value=nodes[0])
            for hop in range(1, hops):
                who = rng.choice(self.cast.speakers)
                link = {"subject": nodes[hop - 1], "slot": f"link{hop + 1}", "value": nodes[hop]}
                self.log.add(thread, "link", at[hop], who, **link)

    def collections(self, rng: CounterRNG) -> None:
        """Things of one kind that somebody gathers."""
        words = self.words["collection"]
        kinds = [(person, noun) for person in self.cast.speakers for noun in words["nouns"]]
        for person, noun in rng.sample(kinds, self._some):
            thread = self.log.open("collection", person, noun)
            pieces = rng.sample(words["kinds"], rng.integer(1, MAX_PIECES))
            last = rng.integer(0, self.config.num_sessions - 1)  # says nothing about how many there are
            at = sorted(rng.integer(0, last) for _ in pieces[1:])
            for session, piece in zip([*at, last], pieces, strict=True):
                self.log.add(thread, "collect", session, person, value=piece)

    def preferences(self, rng: CounterRNG) -> None:
        """What somebody likes, shown by what was enjoyed and what was not."""
        groups = self.words["preference"]["groups"]
        for person in rng.sample(self.cast.speakers, self._some):
            liked, *others = rng.sample(list(groups), 3)
            enjoyed, left = rng.sample(groups[liked], 2), [rng.choice(groups[name]) for name in others]
            thread = self.log.open("preference", person, about=liked)
            told = [*(("like", v) for v in enjoyed), *(("dislike", v) for v in left)]
            rng.shuffle(told)
            for session, (op, value) in zip(self._sessions(rng, len(told)), told, strict=True):
                self.log.add(thread, op, session, person, value=value)

    def rules(self, rng: CounterRNG) -> None:
        """Rules that are taught and have to be applied to things never seen."""
        words = self.words["rule"]
        for material in rng.sample(words["materials"], self._some):
            value, other = rng.sample(words["values"], 2)
            thread = self.log.open("rule", material)
            session = rng.integer(0, max(0, self.config.num_sessions - 2))
            self.log.add(thread, "rule", session, rng.choice(self.cast.speakers), value=value, other=other)

    def topics(self, rng: CounterRNG) -> None:
        """What somebody keeps talking about: one subject four times, others less often."""
        for person in rng.sample(self.cast.speakers, self._some):
            subjects = rng.sample(self.words["topic"]["values"], 3)
            told = [subjects[0]] * 4 + [subjects[1]] * 2 + [subjects[2]]
            rng.shuffle(told)
            thread = self.log.open("topic", person, about=subjects[0])
            for session, value in zip(self._sessions(rng, len(told)), told, strict=True):
                self.log.add(thread, "mention", session, person, value=value)

    def cascades(self, rng: CounterRNG) -> None:
        """Something that holds only as long as something else stays what it is."""
        dependents = self.words["dependents"]
        for _ in range(self._some):
            slot = rng.choice(list(dependents))
            base = dependents[slot]["base"]
            key = self._take(lambda free, base=base: free == base)
            if key is None:
                continue
            person, values = key[0], self._values(rng, base, 2)
            first, *rest = self._sessions(rng, 3)
            fact = self.log.open("fact", person, base, about="base")
            self.log.add(fact, "assert", first, person, value=values[0])
            thread = self.log.open("dependent", person, slot, about=fact)
            value = rng.choice(dependents[slot]["values"])
            breaks = rng.random() < BREAKS and rest[1] > first
            at = rest[0] if rest[1] > rest[0] else first
            self.log.add(thread, "assert", at, person, value=value)
            if breaks:
                self.log.add(fact, "update", rest[1], person, value=values[1])

    def ground_rules(self, rng: CounterRNG) -> None:
        """What the group has agreed on, stated in the first session."""
        kinds = {thread.kind for thread in self.log.threads}
        needed = {"authority": {"dispute", "hearsay"}, "cascade": {"dependent"}, "secret": {"secret"}}
        for name, needs in needed.items():
            if needs & kinds or (name == "authority" and "injection" in self.config.question_types):
                thread = self.log.open("ground", self.cast.host, name)
                self.log.add(thread, "ground", 0, self.cast.host)


def plan(rng: CounterRNG, words: Lexicon, config: DialogueConfig, cast: Cast) -> Log:
    """The log of one conversation.

    Threads that need an attribute of their own come before the ordinary facts, which take what is left.
    """
    planner = Planner(rng, words, config, cast)
    chosen = set(config.question_types)
    order: list[tuple[Callable[[CounterRNG], None], set[str]]] = [
        (planner.cascades, {"cascade"}),
        (planner.contradictions, {"contradiction"}),
        (planner.secrets, {"isolation"}),
        (planner.facts, chosen),
        (planner.happenings, chosen),
        (planner.injections, {"injection"}),
        (planner.opinions, {"attribution"}),
        (planner.chains, {"multi-hop"}),
        (planner.collections, {"aggregation"}),
        (planner.preferences, {"preference"}),
        (planner.rules, {"test-time-learning"}),
        (planner.topics, {"summary"}),
        (planner.ground_rules, chosen),
    ]
    for number, (write, types) in enumerate(order):
        if chosen & types:
            write(rng.fork(2, number))
    return planner.log
