"""Test-time learning: labelled examples of a rule that nobody states, then things that were never seen."""

from itertools import combinations, product

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.plan import (
    Ability,
    Draft,
    LongQAConfig,
    Statement,
    group_of,
    in_round,
    sentence,
    spread,
)

__all__ = ["TestTimeLearning"]

FEATURES, VALUES = 4, 8  # of a thing, and of each feature
SHOTS = 2  # examples of each value, or pair of values, that decides
TRIES = 40  # random things looked at for one question

Thing = tuple[str, ...]  # a value of each feature


class TestTimeLearning(Ability):
    """Things of four features go to shelves; one feature decides, or two together, and the others do not.

    A question is about a thing that was not shown, and is asked only where every rule of at most as many
    features that fits all examples so far gives the same shelf or none.
    """

    name = "test-time-learning"
    kinds = ("unseen",)
    __test__ = False  # not a test, whatever pytest makes of the name

    @classmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """A few examples, 11 words each, of each value that decides."""
        return 11 * in_round(SHOTS * _num_keys(config), config.num_rounds)

    def _tell(self, rng: CounterRNG) -> None:
        words = self.words["learning"]
        self._object = rng.choice(words["objects"])
        self._features: list[list[str]] = words["features"]
        self._deciding = tuple(sorted(rng.sample(range(FEATURES), self.config.rule_features)))
        keys = rng.sample(list(product(*(self._features[i] for i in self._deciding))), _num_keys(self.config))
        self._labels = self._draw_labels(rng)
        # every shelf at least once
        labels = [self._labels[i % len(self._labels)] for i in range(len(keys))]
        self._rule = dict(zip(keys, labels, strict=True))
        shown = [key for _ in range(SHOTS) for key in rng.sample(keys, len(keys))]
        self._examples: dict[Thing, Statement] = {}
        for key, place in zip(shown, spread(rng, len(shown)), strict=True):
            thing = self._thing(rng, key)
            while thing in self._examples:
                thing = self._thing(rng, key)
            text = rng.choice(words["tell"]).format(d=" ".join(thing), o=self._object, c=self._rule[key])
            self._examples[thing] = self.log.tell(place, text)

    def _draw_labels(self, rng: CounterRNG) -> list[str]:
        """Names of shelves that mean nothing, three letters each."""
        letters, vowels = self.words["letters"], self.words["vowels"]
        syllables = [a + v + b for a, v, b in product(letters, vowels, letters) if a != b]
        return [name.capitalize() for name in rng.sample(syllables, self.config.num_classes)]

    def _thing(self, rng: CounterRNG, key: tuple[str, ...]) -> Thing:
        values = [rng.choice(some) for some in self._features]
        for i, value in zip(self._deciding, key, strict=True):
            values[i] = value
        return tuple(values)

    def distractor(self, rng: CounterRNG) -> str:
        """Something else happens to such a thing."""
        thing = " ".join(rng.choice(some) for some in self._features)
        return sentence(rng.choice(self.words["learning"]["other"]).format(d=thing, o=self._object))

    # ------------------------------------------------------------------ questions

    def _rules(self, now: int) -> tuple[list[Statement], list[tuple[tuple[int, ...], dict[Thing, str]]]]:
        """The examples so far, and all rules that fit them: the deciding features with what they lead to."""
        told = {thing: at for thing, at in self._examples.items() if at.round <= now}
        fitting = []
        for size in range(1, self.config.rule_features + 1):
            for features in combinations(range(FEATURES), size):
                leads: dict[Thing, str] = {}
                labelled = [(tuple(t[i] for i in features), self._shelf(t)) for t in told]
                if all(leads.setdefault(key, label) == label for key, label in labelled):
                    fitting.append((features, leads))
        return list(told.values()), fitting

    def _shelf(self, thing: Thing) -> str:
        return self._rule[tuple(thing[i] for i in self._deciding)]

    def _askable(self, thing: Thing, rules: list[tuple[tuple[int, ...], dict[Thing, str]]]) -> bool:
        """Whether a thing is new and every fitting rule that says anything says the right shelf."""
        if thing in self._examples:
            return False
        said = {leads.get(tuple(thing[i] for i in features), "") for features, leads in rules} - {""}
        return said == {self._shelf(thing)}

    def _unseen(
        self, rng: CounterRNG, label: str, rules: list[tuple[tuple[int, ...], dict[Thing, str]]]
    ) -> Thing | None:
        keys = [key for key, shelf in self._rule.items() if shelf == label]
        for _ in range(TRIES):
            thing = self._thing(rng, rng.choice(keys))
            if self._askable(thing, rules):
                return thing
        return None

    def _draft(self, text: str, thing: Thing, evidence: list[Statement]) -> Draft:
        hops = 1 + len(self._deciding)
        about = (" ".join(thing),)
        shelf = self._shelf(thing)
        group = group_of(self._labels, shelf)
        return Draft("unseen", about, text, shelf, group, tuple(evidence), hops=hops)

    def _asked(self, thing: Thing, evidence: list[Statement], rng: CounterRNG) -> Draft:
        text = rng.choice(self.words["learning"]["ask"]).format(d=" ".join(thing), o=self._object)
        return self._draft(text, thing, evidence)

    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """Unseen things, each shelf in turn and each as often."""
        evidence, rules = self._rules(now)
        # drawn one by one: were each shelf to come once, the options of one question would tell of another's
        labels = [rng.choice(self._labels) for _ in range(2 * len(self._rule))]
        things = [self._unseen(rng, label, rules) for label in labels]
        return {"unseen": [self._asked(thing, evidence, rng) for thing in dict.fromkeys(things) if thing]}

    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """An unseen thing, then the same with one value changed, and once more."""
        evidence, rules = self._rules(now)
        found = []
        for label in [rng.choice(self._labels) for _ in range(len(self._rule))]:
            thing = self._unseen(rng, label, rules)
            if thing is None:
                continue
            turns = [self._asked(thing, evidence, rng)]
            for feature in rng.sample(range(FEATURES), 2):
                changed = self._changed(thing, feature, rng, rules)
                if changed:
                    thing = changed
                    text = rng.choice(self.words["learning"]["then"]).format(v=thing[feature])
                    turns.append(self._draft(text, thing, evidence))
            if len(turns) > 1:
                found.append(turns)
        return {"unseen": found}

    def _changed(
        self,
        thing: Thing,
        feature: int,
        rng: CounterRNG,
        rules: list[tuple[tuple[int, ...], dict[Thing, str]]],
    ) -> Thing | None:
        for value in rng.sample(self._features[feature], VALUES):
            changed = (*thing[:feature], value, *thing[feature + 1 :])
            known = tuple(changed[i] for i in self._deciding) in self._rule
            if changed != thing and known and self._askable(changed, rules):
                return changed
        return None


def _num_keys(config: LongQAConfig) -> int:
    """How many values, or pairs of values, lead to a shelf."""
    return config.num_classes * 2 if config.rule_features == 2 else max(config.num_classes, 6)
