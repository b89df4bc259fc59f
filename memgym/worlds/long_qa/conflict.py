"""Conflict resolution: notices that contradict each other, of which the one with the newest stamp holds."""

from dataclasses import dataclass
from typing import NamedTuple

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.plan import (
    GROUP,
    LONGEST,
    START,
    Ability,
    Draft,
    LongQAConfig,
    Statement,
    group_of,
    in_round,
    spread,
)
from memgym.worlds.long_qa.words import compose, name_day, some_name

__all__ = ["ConflictResolution"]

DOMAINS = ("org", "person", "place", "river", "emblem")  # relation i leads from domain i to domain i + 1
STAMPS = 3  # stamps for each notice there is: the numbers and dates have gaps


class Notice(NamedTuple):
    """One stamped claim: what `relation` of `subject` is."""

    told: Statement
    stamp: int
    value: str


@dataclass(frozen=True)
class Path:
    """Where relations lead from a subject: what holds, and what could be believed by mistake."""

    subject: str
    relations: tuple[int, ...]
    answers: tuple[str, ...]
    evidence: tuple[Statement, ...]
    stale: tuple[str, ...]


class ConflictResolution(Ability):
    """Organisations, their heads, home towns, rivers and emblems; a rule at the start says which notice holds.

    Notices come in any order, so that the last one read is often not the newest. Distractors are notices on
    organisations that no question is about.
    """

    name = "conflict-resolution"
    kinds = ("single-hop", "multi-hop")

    @classmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """The rule; each relation of each subject once, and again for each update."""
        claims = config.hops * config.breadth * (1 + config.updates)
        return LONGEST * (1 + in_round(claims, config.num_rounds))

    def _tell(self, rng: CounterRNG) -> None:
        words, hops = self.words["conflict"], self.config.hops
        self._by_date = rng.random() < 0.5
        self._stamp = words["stamp_date" if self._by_date else "stamp_number"]
        self.log.tell(START, words["rule_date" if self._by_date else "rule_number"])
        names = [rng.sample(compose(self.split, kind), self.config.breadth) for kind in DOMAINS[: hops + 1]]
        self._names = names
        claims = []
        for relation in range(hops):
            for subject in names[relation]:
                start = rng.integer(0, self.config.breadth // GROUP - 1) * GROUP
                group = names[relation + 1][start : start + GROUP]  # so that older values are options
                for i in range(1 + rng.integer(0, self.config.updates)):
                    if i % GROUP == 0:
                        group = rng.sample(group, GROUP)
                    claims.append((relation, subject, group[i % GROUP]))
        rng.shuffle(claims)
        self._last_stamp = STAMPS * len(claims)
        stamps = rng.sample(range(self._last_stamp), len(claims))
        self.notices: dict[tuple[int, str], list[Notice]] = {}
        for claim, stamp, place in zip(claims, stamps, spread(rng, len(claims)), strict=True):
            relation, subject, value = claim
            text = self._write(rng, relation, subject, value, stamp)
            notice = Notice(self.log.tell(place, text), stamp, value)
            self.notices.setdefault((relation, subject), []).append(notice)

    def _write(self, rng: CounterRNG, relation: int, subject: str, value: str, stamp: int) -> str:
        words = self.words["conflict"]
        claim = rng.choice(words["tell"]).format(r=words["relations"][relation].format(x=subject), y=value)
        shown = name_day(stamp) if self._by_date else str(stamp + 1)
        return f"{self._stamp.format(n=shown)} {claim}"

    def distractor(self, rng: CounterRNG) -> str:
        """A notice on an organisation, person, ... that no question is about."""
        relation = rng.integer(0, self.config.hops - 1)
        subject = some_name(rng, compose(self.split, DOMAINS[relation]), frozenset(self._names[relation]))
        value = rng.choice(compose(self.split, DOMAINS[relation + 1]))
        return self._write(rng, relation, subject, value, rng.integer(0, self._last_stamp))

    # ------------------------------------------------------------------ questions

    def _told(self, key: tuple[int, str], now: int) -> list[Notice]:
        """The notices on a key, the one that holds first."""
        told = [notice for notice in self.notices.get(key, ()) if notice.told.round <= now]
        return sorted(told, key=lambda notice: -notice.stamp)

    def _follow(self, subject: str, start: int, hops: int, now: int) -> Path | None:
        """Follow `hops` relations from a subject; None where one of them is not told yet."""
        relations = tuple(range(start, start + hops))
        answers, evidence, believable = [], [], {subject}
        at = subject
        for relation in relations:
            told = self._told((relation, at), now)
            if not told:
                return None
            at = told[0].value
            answers.append(at)
            evidence.append(told[0].told)
            believable = {n.value for each in believable for n in self._told((relation, each), now)}
        stale = tuple(sorted(believable - {at}))
        return Path(subject, relations, tuple(answers), tuple(evidence), stale)

    def _phrase(self, relations: tuple[int, ...], subject: str) -> str:
        for relation in relations:
            subject = self.words["conflict"]["relations"][relation].format(x=subject)
        return subject

    def _draft(self, path: Path, text: str) -> Draft:
        kind = "single-hop" if len(path.relations) == 1 else "multi-hop"
        answer = path.answers[-1]
        group = group_of(self._names[path.relations[-1] + 1], answer)
        about = (f"{path.subject} {path.relations}",)
        return Draft(kind, about, text, answer, group, path.evidence, path.stale, len(path.relations))

    def _paths(self, hops: int, now: int, rng: CounterRNG) -> list[Path]:
        starts = [
            (start, subject) for start in range(self.config.hops - hops + 1) for subject in self._names[start]
        ]
        rng.shuffle(starts)
        paths = (self._follow(subject, start, hops, now) for start, subject in starts)
        return [path for path in paths if path]

    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """What one relation gives, or several in a row: the longest chains first."""
        ask = self.words["conflict"]["ask"]
        found: dict[str, list[Draft]] = {"single-hop": [], "multi-hop": []}
        for hops in range(1, self.config.hops + 1):
            drafts = [
                self._draft(path, rng.choice(ask).format(p=self._phrase(path.relations, path.subject)))
                for path in self._paths(hops, now, rng)
            ]
            found["single-hop" if hops == 1 else "multi-hop"] += drafts
        return found

    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """One relation after the other, each asked of the answer before."""
        words = self.words["conflict"]
        found = []
        for path in self._paths(self.config.hops, now, rng):
            turns = []
            for i, relation in enumerate(path.relations):
                name = words["previous"] if i else path.subject
                phrase = self._phrase((relation,), name)
                text = rng.choice(words["then" if i else "ask"]).format(p=phrase)
                at = path.answers[i - 1] if i else path.subject
                alone = self._follow(at, relation, 1, now)
                assert alone is not None  # it is part of the path
                turns.append(self._draft(alone, text))
            found.append(turns)
        return {"single-hop": found}
