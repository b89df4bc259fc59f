"""Keep the sentences with the rarest words: for streams that mostly say nothing, in chunks larger than the bank.

It counts how many sentences each word has been in so far, and knows of no task more than that: which words are rare
is found out while reading.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from memgym.agents.bm25 import as_entry, next_number, op_nbytes
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.envs.text import MAX_OPS
from memgym.memory.lexical import STOP_WORDS, content_words
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["SentenceIdfPolicy", "sentence_idf", "sentences"]

END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))\s+(?=[\"'“‘(\[]?[A-Z0-9])|\n+")
NO_END = re.compile(r"(?:^\d+|\b(?:no|nr|mr|mrs|ms|dr|st|vs))\.$", re.IGNORECASE)  # "12." and "no." go on
WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
SERIAL = re.compile(r"\d+[.):]\s+")
SEEN = 2  # sentences; a word that was in fewer may be a code, a name or a slip, and tells nothing about the others
COMMON = 8  # sentences; words that were in fewer are no pattern in which one thing after the other is told
PAIRED = 5  # of a sentence's common words, the rarest
NAMED = 3  # a name or a number is worth as much as a word 2 ** 3 times as rare
MAX_COUNTED = 16_384  # words, and pairs of them; beyond, the rarer half is forgotten
FOUND = 10  # entries for the reader


@dataclass(frozen=True)
class _Sentence:
    """What the policy keeps of a sentence.

    Attributes:
        words: its plain words: neither function words, names nor numbers, nor a first word, which may be a name.
        names: its names: words with a capital in a row, from the second word on.
        is_named: it has a name or a number.
        subject: all up to its last function word, where a name stands there; ``""`` otherwise.
        nbytes: that it takes from the budget.
    """

    words: tuple[str, ...]
    names: tuple[str, ...]
    is_named: bool
    subject: str
    nbytes: int = 0


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line's end ends one too.

    >>> sentences("It rains. 12. The capital of Peru is Lima. Bulletin no. 3: all is well!")
    ['It rains.', '12. The capital of Peru is Lima.', 'Bulletin no. 3: all is well!']
    """
    found: list[str] = []
    for part in filter(None, (part.strip() for part in END.split(text))):
        if found and NO_END.search(found[-1]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


class SentenceIdfPolicy(MemoryPolicy):
    """Stores single sentences, the most informative ones that fit; the least informative make room.

    A sentence is as informative as its rarest plain word is rare: the fewer sentences of the stream so far have that
    word, in powers of two, and more so where it also names somebody or something; but less the more often two of its
    words were said of that name, since what is told in ever other values holds for a moment only. Among equals the
    newest stays. What stays is judged anew with every message, so that what turns out to be said all the time goes. A
    sentence that says something else of the same subject (the same words up to the last function word, with a name
    among them) takes the place of the older one: the last one wins.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()  # sentences that a word has been in
        self._told: Counter[tuple[str, ...]] = Counter()  # sentences with a name and two common words
        self._kept: dict[str, _Sentence] = {}  # by id, oldest first
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """DELETE what says less than a new sentence, or what it replaces; ADD the new ones, in their order."""
        self._next_id = next_number(view, self._next_id)
        if view.bank is not None:  # others may have deleted what it wrote
            self._kept = {id: kept for id, kept in self._kept.items() if id in view.bank}
        new = [(sentence, _parse(sentence)) for sentence in sentences(message.text)]
        for _, parsed in new:
            self._counts.update(parsed.words)
        for _, parsed in new:
            self._told.update(key for keys in self._keys(parsed) for key in keys)
        self._counts, self._told = _bounded(self._counts), _bounded(self._told)
        last = {parsed.subject: i for i, (_, parsed) in enumerate(new) if parsed.subject}
        chosen, gone = self._choose(
            [
                (i, as_entry(Message(sentence, message.speaker, message.time)), parsed)
                for i, (sentence, parsed) in enumerate(new)
                if last.get(parsed.subject, i) == i
            ],
            view.bytes_left,
        )
        for id in gone:
            del self._kept[id]
        for _, op, parsed in chosen:
            id = f"m{self._next_id}"
            self._kept[id] = replace(parsed, nbytes=op_nbytes(op, id))
            self._next_id += 1
        return [*map(MemoryOp.delete, gone), *(op for _, op, _ in chosen)]

    def read(self, question: Message, search: Search) -> ReadResult:
        """The ten nearest entries, the newest first, so that of equally near ones the reader takes the newest."""
        hits = search(" ".join(content_words(question.text)), FOUND)
        return ReadResult(sorted(hits, key=lambda hit: -int(hit["id"][1:])))

    def nbytes(self) -> int:
        """A hash and a count for all that is counted; hashes of each entry's words, names and subject, and a size."""
        words = sum(len(kept.words) + len(kept.names) for kept in self._kept.values())
        return 8 + 12 * (len(self._counts) + len(self._told)) + 8 * words + 24 * len(self._kept)

    def _choose(
        self, new: list[tuple[int, MemoryOp, _Sentence]], left: int
    ) -> tuple[list[tuple[int, MemoryOp, _Sentence]], list[str]]:
        """The new sentences to keep, in their order, and the ids of the old ones that go for them."""
        chosen: list[tuple[int, MemoryOp, _Sentence]] = []
        gone: list[str] = []
        by_subject = {kept.subject: id for id, kept in self._kept.items() if kept.subject}
        most = max(self._counts.values(), default=1)
        id = f"m{self._next_id + len(new)}"  # as long as the longest of theirs
        judged = [(self._worth(parsed, most), i, op, parsed, op_nbytes(op, id)) for i, op, parsed in new]
        is_crowded = sum(need for *_, need in judged) > left  # otherwise nobody has to go
        worth = {id: self._worth(kept, most) for id, kept in self._kept.items()} if is_crowded else {}
        victims = sorted(worth, key=worth.__getitem__)  # of equals the oldest first
        for own, i, op, parsed, need in sorted(judged, key=lambda one: one[:2], reverse=True):
            older = by_subject.get(parsed.subject)
            out = [older] if older and older not in gone else []
            room = left + sum(self._kept[one].nbytes for one in out)
            for victim in victims:
                if need <= room or worth[victim] > own:
                    break
                if victim not in out:
                    out.append(victim)
                    room += self._kept[victim].nbytes
            if need <= room and len(gone) + len(out) + len(chosen) < MAX_OPS:
                gone += out
                victims = [victim for victim in victims if victim not in out]
                chosen.append((i, op, parsed))
                left = room - need
        return sorted(chosen, key=lambda one: one[0]), gone

    def _worth(self, sentence: _Sentence, most: int) -> int:
        """How informative a sentence is; `most` is the count of the commonest word."""
        counts = [count for word in sentence.words if (count := self._counts[word]) >= SEEN]
        # powers of two: which of two words that are in about as many sentences is rarer is chance
        rarity = -(min(counts).bit_length() - 1) if counts else -most.bit_length()
        told = max((min(self._told[key] for key in keys) for keys in self._keys(sentence)), default=1)
        return rarity + NAMED * sentence.is_named - max(0, told.bit_length() - 1)

    def _keys(self, sentence: _Sentence) -> Iterator[list[tuple[str, ...]]]:
        """For each name, the name with two common words, or with the only one."""
        common = [word for word in sentence.words if self._counts[word] >= COMMON]
        rarest = sorted(common, key=lambda word: (self._counts[word], word))[:PAIRED]
        pairs = list(combinations(sorted(rarest), 2)) or [(word,) for word in rarest]
        return ([(name, *pair) for pair in pairs] for name in sentence.names if pairs)


def _bounded(counts: "Counter[Any]") -> "Counter[Any]":
    return Counter(dict(counts.most_common(MAX_COUNTED // 2))) if len(counts) > MAX_COUNTED else counts


def _parse(sentence: str) -> _Sentence:
    words: dict[str, None] = {}
    names: list[str] = []
    has_number, subject, in_name = False, "", False
    plain = SERIAL.sub("", sentence, count=1) if SERIAL.match(sentence) else sentence
    for found in WORD.finditer(plain):
        word, was_in_name, in_name = found[0], in_name, False
        if word.lower() in STOP_WORDS:
            if names:
                subject = plain[: found.end()].lower()
        elif any(map(str.isdigit, word)):
            has_number = True
        elif not word[0].isupper():
            words[word.lower()] = None
        elif found.start():  # the first word may be a name or not: nobody knows
            in_name = True
            names[-1:] = [f"{names[-1]} {word.lower()}"] if was_in_name else [*names[-1:], word.lower()]
    return _Sentence(tuple(words), tuple(names), bool(names) or has_number, subject)


def sentence_idf() -> PolicyAgent:
    """Keeps single sentences with rare words and names, the newest on a subject; evicts what says least."""
    card = AgentCard(
        name="sentence-idf",
        kind="scripted",
        description="Keeps single sentences: those with the rarest words so far, and the newest on a subject.",
        extra={
            "backend": "rules",
            "knows": "English function words and capitals, and no task's sentences; its author knew the generators",
        },
    )
    return PolicyAgent(card, SentenceIdfPolicy)
