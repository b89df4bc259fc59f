"""String retrieval: records, a list and variables made of random letters, as in SCBench."""

from itertools import pairwise
from typing import NamedTuple

from memgym.rng import CounterRNG
from memgym.worlds.long_qa.plan import (
    GROUP,
    Ability,
    Draft,
    LongQAConfig,
    Statement,
    draw_group,
    group_of,
    in_round,
    sentence,
    spread,
)
from memgym.worlds.long_qa.words import Strings

__all__ = ["StringRetrieval"]

ENDS = 3  # letters at either end of a listed string that a question gives
WORD = 9  # letters of a listed string
LOOKALIKE = 0.5  # share of list distractors that share an end with a string that is asked for


class Assigned(NamedTuple):
    """A record or variable, what it is set to, and the statement that says so."""

    name: str
    value: str
    told: Statement


class StringRetrieval(Ability):
    """Look up a key, find a string by both ends, follow a variable to its value.

    The values of half of the records are the names of the other half. Distractors are other records, other
    variables, and strings that share one end with a string that is asked for, never both.
    """

    name = "string-retrieval"
    kinds = ("key-value", "prefix-suffix", "variable-tracking")

    @classmethod
    def most_words(cls, config: LongQAConfig) -> int:
        """Records in pairs, listed strings, and chains of variables, 7 words each."""
        return 7 * in_round((2 + 1 + config.hops) * config.breadth, config.num_rounds)

    def _tell(self, rng: CounterRNG) -> None:
        count, hops = self.config.breadth, self.config.hops
        words = self.words["strings"]
        self._strings = Strings(self.words["letters"])
        draw = self._strings.draw
        names = [[draw(rng) for _ in range(3)] for _ in range(count)]  # record -> record -> value
        chains = [[draw(rng) for _ in range(hops + 1)] for _ in range(count)]  # variable -> ... -> value
        listed = [draw(rng, WORD) for _ in range(count)]
        self._ends = frozenset(end for word in listed for end in (word[:ENDS], word[-ENDS:]))
        pairs = [("record", *pair) for one in names for pair in pairwise(one)]
        for chain in chains:
            last = len(chain) - 2
            pairs += [("assign" if i == last else "assign_from", chain[i], chain[i + 1]) for i in range(hops)]
        pairs += [("word", word, word) for word in listed]
        rng.shuffle(pairs)
        told: dict[str, Assigned] = {}
        for (form, name, value), place in zip(pairs, spread(rng, len(pairs)), strict=True):
            text = rng.choice(words[form]).format(k=name, v=value)
            told[name] = Assigned(name, value, self.log.tell(place, text))
        self._records = [[told[name] for name in one[:-1]] for one in names]
        self._chains = [[told[name] for name in chain[:-1]] for chain in chains]
        self._listed = [told[word] for word in listed]

    def distractor(self, rng: CounterRNG) -> str:
        """Another record, variable or listed string."""
        form = rng.choice(("record", "word", "assign", "assign_from"))
        name, value = self._strings.other(rng), self._strings.other(rng)
        if form == "word":
            value = self._lookalike(rng)
        return sentence(rng.choice(self.words["strings"][form]).format(k=name, v=value))

    def _lookalike(self, rng: CounterRNG) -> str:
        one = rng.choice(self._listed).name
        if rng.random() < LOOKALIKE / 2:
            start, end = one[:ENDS], ""
        else:
            start, end = "", one[-ENDS:]
        while True:
            word = self._strings.other(rng, WORD, start, end)
            if not (word[:ENDS] in self._ends and word[-ENDS:] in self._ends):
                return word

    # ------------------------------------------------------------------ questions

    def drafts(self, now: int, rng: CounterRNG) -> dict[str, list[Draft]]:
        """Records, listed strings, and variables from the start of their chains."""
        words = self.words["strings"]
        pools = {
            "key-value": [
                self._value(one, i, rng.choice(words["ask_record"]).format(k=record.name))
                for one in self._records
                for i, record in enumerate(one)
                if record.told.round <= now
            ],
            "prefix-suffix": [self._word(word, rng) for word in self._listed if word.told.round <= now],
            "variable-tracking": [
                self._end(chain, rng.choice(words["ask_value"]).format(k=chain[0].name))
                for chain in self._told(self._chains, now)
            ],
        }
        for pool in pools.values():
            rng.shuffle(pool)
        return pools

    def conversations(self, now: int, rng: CounterRNG) -> dict[str, list[list[Draft]]]:
        """A record and the one that it names; a variable step by step."""
        words = self.words["strings"]
        found: dict[str, list[list[Draft]]] = {"key-value": [], "variable-tracking": []}
        for one in self._told(self._records, now):
            ask = rng.choice(words["ask_record"]).format(k=one[0].name)
            turns = [self._value(one, 0, ask), self._value(one, 1, rng.choice(words["then_record"]))]
            found["key-value"].append(turns)
        for chain in self._told(self._chains, now):
            turns = []
            for i in range(len(chain) - 1):
                text = rng.choice(words["then_from" if i else "ask_from"]).format(k=chain[0].name)
                turns.append(self._step(chain, i, text))
            turns.append(self._end(chain[-1:], rng.choice(words["then_value"])))
            found["variable-tracking"].append(turns)
        for pool in found.values():
            rng.shuffle(pool)
        return found

    @staticmethod
    def _told(chains: list[list[Assigned]], now: int) -> list[list[Assigned]]:
        return [chain for chain in chains if all(link.told.round <= now for link in chain)]

    def _value(self, one: list[Assigned], i: int, text: str) -> Draft:
        group = group_of([other[i].value for other in self._records], one[i].value)
        return Draft("key-value", (one[i].name,), text, one[i].value, group, (one[i].told,))

    def _word(self, word: Assigned, rng: CounterRNG) -> Draft:
        start, end = word.name[:ENDS], word.name[-ENDS:]
        text = rng.choice(self.words["strings"]["ask_word"]).format(a=start, b=end)
        similar: list[str] = []
        while len(similar) < GROUP - 1:
            other = self._strings.other(rng, WORD, start, end)
            similar += [other] if other not in similar else []
        group = draw_group(rng, word.name, similar)
        return Draft("prefix-suffix", (word.name,), text, word.name, group, (word.told,))

    def _step(self, chain: list[Assigned], i: int, text: str) -> Draft:
        group = group_of([other[i].value for other in self._chains], chain[i].value)
        about = (f"{chain[i].name} from",)
        return Draft("variable-tracking", about, text, chain[i].value, group, (chain[i].told,))

    def _end(self, chain: list[Assigned], text: str) -> Draft:
        value = chain[-1].value
        group = group_of([other[-1].value for other in self._chains], value)
        told = tuple(link.told for link in chain)
        return Draft("variable-tracking", (chain[0].name,), text, value, group, told, hops=len(chain))
