"""The filler of a long conversation: small talk at any length, with facts about guests at a constant rate.

It comes in blocks, each a pure function of (gap between told sessions, number). A guest's fact is told in one
block, may change or be taken back 1, 2, 4, ... blocks later, and may be asked about at such a distance: so what
happens in a block is found by looking at the blocks at those distances before it, whatever the length.
"""

from collections.abc import Container, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from memgym.rng import CounterRNG, draw, draw_array
from memgym.stream import UNKNOWN, Item, Question
from memgym.worlds.dialogue import options
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import Lexicon
from memgym.worlds.dialogue.plan import Cast
from memgym.worlds.dialogue.writing import Writer, capitalised

__all__ = ["BLOCK_TURNS", "Background", "GuestFact"]

BLOCK_TURNS = 24
FACTS = 2  # that a block tells anew
MAX_DELAY = 11  # changes and questions come up to 2**11 blocks later
SPREAD = MAX_DELAY + 1
BACK = np.array([1 << exponent for exponent in range(SPREAD)])
SAME_TIME = 4  # turns that share a time
MEAN_SENTENCES = 4.9375  # of a turn: 4, 5 or 6
ASK = 2  # of the three distances; the others are those of the change and of the wish to forget


class GuestFact(NamedTuple):
    """What one guest says about himself or herself, and what becomes of it.

    Attributes:
        block: in which it is told.
        number: among the facts of its block.
        name: of the guest.
        slot: which attribute.
        values: as told first, and after a change.
        update_in: block of the change, -1 for none.
        forget_in: block of the wish to forget it, -1 for none.
        ask_in: block after which it is asked about, -1 for never.
    """

    block: int
    number: int
    name: str
    slot: str
    values: tuple[str, str]
    update_in: int
    forget_in: int
    ask_in: int

    def ops(self) -> Iterator[tuple[int, str]]:
        """(block, op) of all that is said about it."""
        yield self.block, "assert"
        if self.update_in >= 0:
            yield self.update_in, "update"
        if self.forget_in >= 0:
            yield self.forget_in, "forget"

    def told(self, block: int) -> list[tuple[int, str]]:
        """What has been said by the end of a block."""
        return [(at, op) for at, op in self.ops() if at <= block]


class Background:
    """Filler blocks.

    Args:
        rng: of the filler.
        words: of the split.
        config: of the conversation.
        cast: whose small talk it is.
        writer: of the told sessions, for bystanders and dates.
        num_blocks: of each gap.
    """

    def __init__(
        self,
        rng: CounterRNG,
        words: Lexicon,
        config: DialogueConfig,
        cast: Cast,
        writer: Writer,
        num_blocks: list[int],
    ) -> None:
        self.rng, self.words, self.config, self.cast = rng, words, config, cast
        self.writer, self.num_blocks = writer, num_blocks
        self._start = rng.fork(0).integer(0, words.num_strangers - 1) & ~1
        self._keys = [rng.fork(1, gap).key for gap in range(config.num_sessions)]
        self._planned: tuple[tuple[int, int], tuple[int, dict[int, tuple[GuestFact, str]]]] = (
            (-1, -1),
            (0, {}),
        )

    @staticmethod
    def words_per_block(words: Lexicon) -> float:
        """Words of a block, on average and without bystanders."""
        told = sum(words.mean_words(slot["assert"]) for slot in words["slots"].values()) / len(words.slots)
        return (BLOCK_TURNS - FACTS) * MEAN_SENTENCES * words.mean_words(words.sentences) + FACTS * told

    # ------------------------------------------------------------------ the facts

    def fact(self, gap: int, block: int, number: int) -> GuestFact:
        """One fact, from its place alone."""
        bits = draw(self._keys[gap], block * FACTS + number)
        update, forget, ask = _distances(bits)
        fate, which, config = draw(bits, 0), draw(bits, 1), self.config
        updated = (fate & 0xFFFF) < config.update_rate * 0x10000
        forgotten = (fate >> 16 & 0xFFFF) < config.forget_rate * 0x10000 and (not updated or forget > update)
        asked = (fate >> 32) % config.question_spacing == 0
        slot = self.words.slots[(which & 0xFFFF) % len(self.words.slots)]
        values = self.words["slots"][slot]["values"]
        first = (which >> 16 & 0xFFFF) % len(values)
        second = (first + 1 + (which >> 32 & 0xFFFF) % (len(values) - 1)) % len(values)
        person = ((block * config.num_sessions + gap) * FACTS + number) * 2  # bystanders have odd numbers
        return GuestFact(
            block,
            number,
            self.words.stranger(person, self._start),
            slot,
            (values[first], values[second]),
            block + (1 << update) if updated else -1,
            block + (1 << forget) if forgotten else -1,
            block + (1 << ask) - 1 if asked else -1,
        )

    def _due(self, gap: int, block: int, asked: bool) -> list[tuple[GuestFact, str]]:
        """(fact, op) of what a block says about facts of earlier ones; with `asked`, what is asked after it."""
        origins = block + asked - BACK[: (block + asked).bit_length()]
        numbers = (origins[:, None] * FACTS + np.arange(FACTS)).astype(np.uint64)
        keys = np.full(numbers.shape, self._keys[gap], np.uint64)
        distances = np.stack(_distances(draw_array(keys, numbers)))  # (3, exponents, FACTS)
        hit = distances == np.arange(len(origins), dtype=np.uint64)[:, None]
        hit = hit[ASK] if asked else hit[0] | hit[1]
        due = []
        for exponent, number in zip(*(axis.tolist() for axis in hit.nonzero()), strict=True):
            fact = self.fact(gap, int(origins[exponent]), number)
            if asked:
                due += [(fact, "ask")] if fact.ask_in == block else []
            else:
                due += [(fact, op) for at, op in fact.ops() if at == block]
        return due

    # ------------------------------------------------------------------ the text

    def block(self, gap: int, block: int) -> tuple[int, dict[int, tuple[GuestFact, str]]]:
        """Number of turns of a block, and which of them tell something."""
        if self._planned[0] != (gap, block):  # the last one is kept, since its turns are asked for one by one
            told = [(self.fact(gap, block, number), "assert") for number in range(FACTS)]
            told += self._due(gap, block, asked=False)
            turns = max(BLOCK_TURNS, len(told))
            rng, places = self.rng.fork(2, gap, block), dict[int, tuple[GuestFact, str]]()
            for i, each in enumerate(told):
                places[_free(rng, places, BLOCK_TURNS if i < FACTS else turns)] = each
            self._planned = ((gap, block), (turns, places))
        return self._planned[1]

    def items(self, gap: int, block: int) -> Iterator[Item]:
        """The turns of one block."""
        turns, told = self.block(gap, block)
        start, length = self._span(gap, block)
        key = np.full(2 * turns, self.rng.fork(3, gap, block).key, np.uint64)
        bits = draw_array(key, np.arange(2 * turns, dtype=np.uint64)).tolist()
        before, time = f"f{gap + 1}.{block + 1}t", ""
        for turn in range(turns):
            if turn % SAME_TIME == 0:
                time = _minute(start + length * turn / turns)
            yield self._item(f"{before}{turn + 1}", told.get(turn), bits[2 * turn], bits[2 * turn + 1], time)

    def item(self, gap: int, block: int, turn: int) -> Item:
        """One turn, without the turns before it."""
        turns, told = self.block(gap, block)
        start, length = self._span(gap, block)
        key = self.rng.fork(3, gap, block).key
        bits, more = draw(key, 2 * turn), draw(key, 2 * turn + 1)
        time = _minute(start + length * (turn - turn % SAME_TIME) / turns)
        return self._item(f"f{gap + 1}.{block + 1}t{turn + 1}", told.get(turn), bits, more, time)

    def _item(self, id: str, told: tuple[GuestFact, str] | None, bits: int, more: int, time: str) -> Item:
        """A statement, or sentences that say nothing: each of the two numbers has the bits of up to three."""
        if told is not None:
            return Item(id, self._statement(*told, CounterRNG(bits)), told[0].name, time)
        sentences, speakers = self.words.sentences, self.cast.speakers
        speaker = speakers[(bits >> 36 & 0xFF) % len(speakers)]
        one, two, three = (
            sentences[bits & 0xFFF],
            sentences[bits >> 12 & 0xFFF],
            sentences[bits >> 24 & 0xFFF],
        )
        if self.config.distractor_ratio and (more >> 40) < self.config.distractor_ratio * (1 << 24):
            return Item(id, f"{self.writer.bystander(CounterRNG(bits))} {one} {two}", speaker, time)
        text = f"{one} {two} {three} {sentences[more & 0xFFF]}"
        for shift in (12, 24)[: (bits >> 60) % 3]:
            text = f"{text} {sentences[more >> shift & 0xFFF]}"
        return Item(id, text, speaker, time)

    def _statement(self, fact: GuestFact, op: str, rng: CounterRNG) -> str:
        templates = self.words["slots"][fact.slot][op]
        template = rng.choice(templates) if self.config.paraphrase_level else templates[0]
        text = capitalised(template.format(v=fact.values[op == "update"]))
        return f"{text} {rng.choice(self.words.sentences)}" if self.config.paraphrase_level >= 2 else text

    def _span(self, gap: int, block: int) -> tuple[datetime, timedelta]:
        """When a block begins and how long it lasts: blocks share the days between two told sessions."""
        start, end = (datetime.combine(day, datetime.min.time()) for day in self.writer.days[gap : gap + 2])
        start += timedelta(days=1)
        length = (end - start) / self.num_blocks[gap]
        return start + block * length, length

    # ------------------------------------------------------------------ the questions

    def questions(self, gap: int, block: int) -> Iterator[Question]:
        """What is asked after a block, about facts told up to 2**11 blocks before."""
        time, number = "", 0
        for fact, _ in self._due(gap, block, asked=True):
            if (type_ := self._type(fact)) in self.config.question_types:
                start, length = self._span(gap, block)
                number += 1
                time = time or _minute(start + 0.99 * length)
                yield self._question(fact, type_, f"f{gap + 1}.{block + 1}q{number}", gap, time)

    def _type(self, fact: GuestFact) -> str:
        """Type of the question that is asked about a fact."""
        last = fact.told(fact.ask_in)[-1][1]
        return {"assert": "single-hop", "update": "knowledge-update", "forget": "deletion"}[last]

    def _question(self, fact: GuestFact, type_: str, id: str, gap: int, time: str) -> Question:
        rng = self.rng.fork(4, gap, fact.block, fact.number)
        slot, told = self.words["slots"][fact.slot], fact.told(fact.ask_in)
        values = fact.values[: 1 + any(op == "update" for _, op in told)]
        known = type_ != "deletion"
        answer = values[-1] if known else UNKNOWN
        templates = slot["question"] if self.config.paraphrase_level else slot["question"][:1]
        stale = values[:-1] if known else ()
        return Question(
            id,
            rng.choice(templates).format(name=fact.name),
            type_,
            answer,
            time=time,
            choices=options.values(
                answer, stale if known else values[::-1], slot["values"], self.config.num_choices, rng
            ),
            evidence=(self.item_id(gap, fact, *told[-1]),) if known else (),
            stale=stale,
            forbidden=() if known else values,
            meta={"person": fact.name, "blocks": fact.ask_in - fact.block, **self._validity(gap, fact)},
        )

    def _validity(self, gap: int, fact: GuestFact) -> dict[str, str]:
        """Dates since which the answer holds, and on which it is going to change, ``""`` for none."""
        since = fact.told(fact.ask_in)[-1][0]
        later = [at for at, _ in fact.ops() if fact.ask_in < at < self.num_blocks[gap]]
        dates = [self._span(gap, at)[0].date().isoformat() for at in (since, *later[:1])]
        return {"valid_from": dates[0], "valid_to": dates[1] if later else ""}

    def item_id(self, gap: int, fact: GuestFact, block: int, op: str) -> str:
        """Id of the turn that says `op` of a fact."""
        if op == "assert":  # comes before what depends on other blocks
            rng, places = self.rng.fork(2, gap, block), dict[int, int]()
            for number in range(fact.number + 1):
                places[_free(rng, places, BLOCK_TURNS)] = number
            turn = next(reversed(places))
        else:
            (turn,) = (at for at, told in self.block(gap, block)[1].items() if told == (fact, op))
        return f"f{gap + 1}.{block + 1}t{turn + 1}"

    def live(self, gap: int, block: int) -> list[tuple[str, str]]:
        """(guest, value) of what has been told by the end of a block, holds, and is still to be asked about."""
        found = []
        for origin in range(max(0, block + 1 - (1 << MAX_DELAY)), block + 1):
            for number in range(FACTS):
                fact = self.fact(gap, origin, number)
                told = [op for _, op in fact.told(block)]
                if block <= fact.ask_in < self.num_blocks[gap] and "forget" not in told:
                    found.append((fact.name, fact.values["update" in told]))
        return found


def _distances(bits: Any) -> tuple[Any, Any, Any]:
    """Exponents of the distances of change, wish to forget and question, of one fact's bits or an array of them."""
    return bits % SPREAD, bits // SPREAD % SPREAD, bits // SPREAD**2 % SPREAD


def _free(rng: CounterRNG, taken: Container[int], turns: int) -> int:
    """A turn that is not taken; the next free one where the one drawn is."""
    turn = rng.integer(0, turns - 1)
    while turn in taken:
        turn = (turn + 1) % turns
    return turn


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
