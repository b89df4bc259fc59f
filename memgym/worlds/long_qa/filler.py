"""Sentences that say nothing of importance, to fill a chunk to an exact number of words."""

from functools import cache

from memgym.rng import CounterRNG, mix64, stream_id
from memgym.worlds.long_qa.words import lexicon

__all__ = ["FillerBank", "filler_bank"]

SIZE_BITS = 12
SIZE = 1 << SIZE_BITS  # sentences; five places in the bank come from one 64-bit draw
MASK = SIZE - 1
STEP = 0x9E3779B97F4A7C15
SLOTS = ("adjective", "noun", "noun2", "verb", "place", "adverb", "reason")


class FillerBank:
    """A few thousand sentences of a split, and those of each length.

    Args:
        split: whose words are used.
    """

    def __init__(self, split: str) -> None:
        words = lexicon(split)["filler"]
        rng = CounterRNG(stream_id(f"LongHorizonQA/filler/{split}"))
        self.sentences: list[tuple[str, int]] = []
        self.by_length: dict[int, list[str]] = {}
        for i in range(SIZE):
            template = words["templates"][i % len(words["templates"])]
            bits, drawn = rng.bits(), {}
            for slot in SLOTS:  # at most 20 words each: 30 of the 64 bits
                some = words[slot.rstrip("2")]
                bits, place = divmod(bits, len(some))
                drawn[slot] = some[place]
            capitals = {slot.capitalize(): word.capitalize() for slot, word in drawn.items()}
            text = template.format(**drawn, **capitals)
            length = len(text.split())
            self.sentences.append((text, length))
            self.by_length.setdefault(length, []).append(text)
        self.longest = max(self.by_length)

    def fill(self, key: int, words: int) -> list[str]:
        """Sentences of exactly `words` words together, a pure function of `key`."""
        sentences, longest = self.sentences, self.longest
        out: list[str] = []
        left = words
        bits, places = 0, 0
        while left > longest:
            if places == 0:
                key += STEP
                bits, places = mix64(key), 5
            text, length = sentences[bits & MASK]
            bits >>= SIZE_BITS
            places -= 1
            out.append(text)
            left -= length
        if left:
            last = self.by_length[left]
            out.append(last[mix64(key + STEP) % len(last)])
        return out


@cache
def filler_bank(split: str) -> FillerBank:
    """The bank of a split, made once in a process."""
    return FillerBank(split)
