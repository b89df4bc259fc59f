"""Accurate retrieval: one value, or two, among many that are told in nearly the same words."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.plan import (
    GROUP,
    Ability,
    Draft,
    LongQAConfig,
    Statement,
    combined_group,
    group_of,
    in_round,
    partner_of,
    sentence,
    spread,
)
from memgym.worlds.long_qa.words import compose, random_code, some_name

__all__ = ["AccurateRetrieval"]

ATTRIBUTES = 2  # told of each site, out of three


class Fact(NamedTuple):
    """One code, and the statement that tells it."""

    told: Statement
    value: str


class AccurateRetrieval(Ability):
    """Sites with codes. Distractors are other sites whose names share a part, or a third attribute."""

    name = "accurate-retrieval"
    kinds = ("single-key", "multi-key")

    @classmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """Two attributes for each site, 11 words each."""
        return 11 * in_round(ATTRIBUTES * config.breadth, config.num_rounds)

    def _tell(self, rng: CounterRNG) -> None:
        sites = rng.sample(compose(self.split, "site"), self.config.breadth)
        self._sites = frozenset(sites)
        self._told = rng.sample(self.words["attributes"], ATTRIBUTES)
        keys = list(product(sites, self._told))
        rng.shuffle(keys)
        self._codes: set[str] = set()
        self._facts: dict[tuple[str, str], Fact] = {}
        for (site, attribute), place in zip(keys, spread(rng, len(keys)), strict=True):
            value = self._code(rng)
            self._codes.add(value)
            text = rng.choice(self.words["retrieval"]["tell"]).format(a=attribute, e=site, v=value)
            self._facts[site, attribute] = Fact(self.log.tell(place, text), value)
        self._values = [fact.value for fact in self._facts.values()]

    def _code(self, rng: CounterRNG) -> str:
        while (code := random_code(rng, self.words["letters"])) in self._codes:
            pass
        return code

    def distractor(self, rng: CounterRNG) -> str:
        """The code of another site, or another code of one that was asked about."""
        attribute = rng.choice(self.words["attributes"])
        taken = self._sites if attribute in self._told else frozenset()
        site = some_name(rng, compose(self.split, "site"), taken)
        template = rng.choice(self.words["retrieval"]["tell"])
        text = template.format(a=attribute, e=site, v=self._code(rng))
        return sentence(text)

    def _draft(self, kind: str, text: str, *keys: tuple[str, str], group: Sequence[str] = ()) -> Draft:
        answer = ", ".join(self._facts[key].value for key in keys)
        return Draft(
            kind,
            tuple(" ".join(key) for key in keys),
            text,
            answer,
            group or group_of(self._values, answer),
            tuple(self._facts[key].told for key in keys),
            hops=len(keys),
        )

    def _keys(self, now: int, rng: CounterRNG) -> list[tuple[str, str]]:
        keys = [key for key, fact in self._facts.items() if fact.told.round <= now]
        rng.shuffle(keys)
        return keys

    def _single(self, site: str, attribute: str, rng: CounterRNG) -> Draft:
        text = rng.choice(self.words["retrieval"]["ask"]).format(a=attribute, e=site)
        return self._draft("single-key", text, (site, attribute))

    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """One code, or two."""
        alone: list[tuple[str, str]] = []
        paired: list[tuple[str, str]] = []
        # a group is for one kind: were a code asked for by itself and with another, it would show in both
        for key in self._keys(now, rng):
            number = self._values.index(self._facts[key].value) // GROUP
            (paired if number % 2 else alone).append(key)
        pairs = [self._pair(*two, rng) for two in zip(paired[::2], paired[1::2], strict=False)]
        return {
            "single-key": [self._single(*key, rng) for key in alone],
            "multi-key": [draft for draft in pairs if draft],
        }

    def _pair(self, one: tuple[str, str], other: tuple[str, str], rng: CounterRNG) -> Draft | None:
        """Two codes in one answer; None where each would be the wrong option for the other."""
        right = [self._facts[one].value, self._facts[other].value]
        wrong = [partner_of(self._values, value) for value in right]
        if wrong[0] == right[1]:
            return None
        template = rng.choice(self.words["retrieval"]["ask_two"])
        text = template.format(e=one[0], a=one[1], f=other[0], b=other[1])
        group = combined_group(right, wrong, ((True, True), (True, False)), ", ")
        return self._draft("multi-key", text, one, other, group=group)

    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """A code; the same of another site; another code of that site."""
        words, keys = self.words["retrieval"], self._keys(now, rng)
        found = []
        for (site, attribute), other in zip(keys, [*keys[1:], *keys[:1]], strict=True):
            then = (other[0], attribute)
            if then not in keys or then == (site, attribute):
                continue
            turns = [self._single(site, attribute, rng)]
            turns.append(self._draft("single-key", rng.choice(words["then_entity"]).format(e=other[0]), then))
            last = [key for key in keys if key[0] == other[0] and key != then]
            if last:
                text = rng.choice(words["then_attribute"]).format(a=last[0][1])
                turns.append(self._draft("single-key", text, last[0]))
            found.append(turns)
        return {"single-key": found}
