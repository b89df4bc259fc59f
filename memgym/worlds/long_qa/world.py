"""A stream of chunks that tells the facts of several abilities among sentences that say nothing, with questions.

First the facts, their statements and the places of these in the stream, then the text: chunk i is written from
the key of the episode and i alone. Questions are asked of the facts, so their answers, evidence and options are
known by construction.
"""

from collections.abc import Iterator
from itertools import zip_longest

from memgym.rng import CounterRNG
from memgym.stream import Item, Question
from memgym.worlds.long_qa.canary import can_be_asked
from memgym.worlds.long_qa.conflict import ConflictResolution
from memgym.worlds.long_qa.filler import filler_bank
from memgym.worlds.long_qa.layout import Layout, least_words
from memgym.worlds.long_qa.learning import TestTimeLearning
from memgym.worlds.long_qa.plan import LONGEST, START, Ability, Draft, Log, LongQAConfig, Statement
from memgym.worlds.long_qa.retrieval import AccurateRetrieval
from memgym.worlds.long_qa.strings import StringRetrieval
from memgym.worlds.long_qa.understanding import LongRangeUnderstanding

__all__ = ["ABILITIES", "QUESTION_TYPES", "LongQAWorld", "shortest"]

ABILITIES: dict[str, type[Ability]] = {
    ability.name: ability
    for ability in (
        AccurateRetrieval,
        TestTimeLearning,
        LongRangeUnderstanding,
        ConflictResolution,
        StringRetrieval,
    )
}
QUESTION_TYPES = tuple(f"{name}/{kind}" for name, ability in ABILITIES.items() for kind in ability.kinds)
FACTS, FILLER, DISTRACTORS, QUESTIONS = range(1, 5)  # forks of the episode's random source
MEAN_WORDS = 8  # of a distractor, about


def shortest(config: LongQAConfig) -> int:
    """The smallest `num_words` that takes all statements of such a stream."""
    words = sum(ABILITIES[name].most_words(config) for name in config.abilities)
    return least_words(words, LONGEST, config.chunk_words, config.num_rounds)


class LongQAWorld:
    """One stream.

    Args:
        key: of the episode; everything is drawn from it.
        split: whose words are used.
        config: length and difficulty.

    Attributes:
        questions: of each round.
        num_events: chunks and questions together.
    """

    def __init__(self, key: int, split: str, config: LongQAConfig) -> None:
        self.config = config
        self._rng = CounterRNG(key)
        self._bank = filler_bank(split)
        self.log = Log(config.num_rounds)
        names = list(ABILITIES)
        self.abilities = [
            ABILITIES[name](self._rng.fork(FACTS, names.index(name)), split, config, self.log)
            for name in config.abilities
        ]
        told = () if config.canary else self.log.statements
        self.layout = Layout(told, config.num_words, config.chunk_words, config.num_rounds)
        self._ids = {
            statement.number: f"c{chunk + 1}/{i + 1}"
            for chunk, told in self.layout.statements.items()
            for i, statement in enumerate(told)
        }
        self._asked: set[tuple[str, str]] = set()
        self.questions = [self._ask(number) for number in range(config.num_rounds)]
        self.num_events = self.layout.num_chunks + sum(map(len, self.questions))

    # ------------------------------------------------------------------ the stream

    def stream(self, start: int = 0) -> Iterator[Item | Question]:
        """Chunks and questions in order, from event number `start` on; none before it is written."""
        skip, chunk = start, 0
        for end, questions in zip(self.layout.ends, self.questions, strict=True):
            first = min(chunk + skip, end)
            skip -= first - chunk
            for i in range(first, end):
                yield self.chunk(i)
            chunk = end
            yield from questions[skip:]
            skip = max(0, skip - len(questions))

    def told(self, item_id: str) -> dict[str, Statement]:
        """The statements of a chunk by the ids under which questions name them as evidence."""
        told = self.layout.statements.get(int(item_id[1:]) - 1, ())
        return {self._ids[one.number]: one for one in told}

    def chunk(self, index: int) -> Item:
        """Chunk number `index`, from 0; a function of the key and the index alone."""
        told = self.layout.statements.get(index, [])
        left = self.layout.size(index) - sum(one.text.count(" ") + 1 for one in told)
        draw = self._rng.fork(DISTRACTORS, index)
        others = self._distractors(draw, left)
        left -= sum(text.count(" ") + 1 for text in others)
        sentences = self._bank.fill(self._rng.fork(FILLER, index).key, left)
        for text in others:
            sentences.insert(draw.integer(0, len(sentences)), text)
        places = sorted(draw.integer(0, len(sentences)) for _ in told)
        for moved, (place, one) in enumerate(zip(places, told, strict=True)):
            sentences.insert(0 if one.place == START else place + moved, one.text)
        return Item(f"c{index + 1}", " ".join(sentences))

    def _distractors(self, draw: CounterRNG, room: int) -> list[str]:
        # the random start makes the mean share right, in chunks shorter than a sentence as well
        due = self.config.distractor_rate * room - MEAN_WORDS * draw.random()
        others = []
        while due > 0:
            text = draw.choice(self.abilities).distractor(draw)
            words = text.count(" ") + 1
            if words > room:
                break
            others.append(text)
            room -= words
            due -= words
        return others

    # ------------------------------------------------------------------ the questions

    def _ask(self, number: int) -> list[Question]:
        """The questions of a round: abilities in turn, and of each its kinds in turn."""
        config = self.config
        rng = self._rng.fork(QUESTIONS, number)
        due = config.num_questions * (number + 1) // config.num_rounds
        due -= config.num_questions * number // config.num_rounds
        lists = [self._alternate(ability, number, rng) for ability in self.abilities]
        rng.shuffle(lists)
        turns = [talk for group in zip_longest(*lists) for talk in group if talk]
        questions: list[Question] = []
        for talk in turns:
            about = {
                (name, one) for name, draft in talk for one in (draft.group if config.canary else draft.about)
            }
            if about & self._asked:
                continue
            self._asked |= about
            before = ""
            if len(questions) == due:
                break
            for name, draft in talk[: due - len(questions)]:
                id = f"r{number + 1}q{len(questions) + 1}"
                questions.append(self._question(id, name, draft, before, rng))
                before = id
        return questions

    def _alternate(self, ability: Ability, number: int, rng: CounterRNG) -> list[list[tuple[str, Draft]]]:
        """What an ability can ask after a round: conversations or single questions, of its kinds in turn."""
        if self.config.multi_turn:
            pools = list(ability.conversations(number, rng).values())
        else:
            pools = [
                [[draft] for draft in pool if not self.config.canary or can_be_asked(ability.name, draft)]
                for pool in ability.drafts(number, rng).values()
            ]
        rng.shuffle(pools)
        talks = [talk for group in zip_longest(*pools) for talk in group if talk]
        return [[(ability.name, draft) for draft in talk] for talk in talks]

    def _question(self, id: str, ability: str, draft: Draft, before: str, rng: CounterRNG) -> Question:
        return Question(
            id=id,
            text=draft.text[0].upper() + draft.text[1:],
            type=f"{ability}/{draft.kind}",
            answer=draft.answer,
            choices=draft.choices(rng, self.config.num_choices),
            evidence=() if self.config.canary else tuple(self._ids[one.number] for one in draft.evidence),
            stale=draft.stale,
            hops=draft.hops,
            meta={"ability": ability, **({"depends_on": before} if before else {})},
        )
