"""BABILong: the facts of a bAbI story, spread over a long text of something else."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from memgym.core.arguments import check_integer
from memgym.datasets.babi import BAbILine
from memgym.datasets.background import load_background, made_sentences, read_sentences
from memgym.envs.babi import BAbITask
from memgym.rng import CounterRNG
from memgym.stream import Item, Question

__all__ = ["BABILong"]

MAX_WORDS = 1_000_000_000
MAX_CHUNK = 20_000
FACTS, BACKGROUND, QUESTION, OPTIONS = range(4)  # what an episode's key is forked for


class BABILong(BAbITask):
    """Find the few sentences of a story in a text of any length, and answer one question about them.

    ## Description
    The sentences of a bAbI story stand, in their order, between the sentences of a background text of `num_words`
    words. The text comes in passages; one question follows. The background is made (ports, tides and trade, nothing
    of bAbI's world) or read from a file of yours.

    ## Memory Demand
    One to eight facts of about 30 bytes, to be told from everything else while it streams by. The default text has
    50,000 bytes, the default bank 1,024. Difficulty but for the length stays the same: of one seed and episode, a
    longer text has the same facts at the same fractions of it and the same background, continued.

    ## Observation Space
    | key | meaning |
    | --- | --- |
    | phase | 0 a passage, 1 the question, 2 the end |
    | text | the passage or the question |
    | speaker, time | ``""`` |
    | choices | options, all of them answers of the same task; empty for an open question |
    | memory | the bank, or the part of it nearest to `text` |
    | hits | what the last SEARCH found |
    | bytes_left | bytes free in the bank |

    ## Action Space
    | key | meaning |
    | --- | --- |
    | ops | operations on the bank; a SEARCH keeps the environment where it is |
    | answer | the answer, read on the question |

    ## Rewards
    0 on a passage; on the question 1 for the right word and 0 otherwise (`babi_exact_match`).
    ``info["evidence_recall"]`` counts passages with a supporting fact; with ``chunk_words=1`` a passage is one
    sentence, and it counts facts.

    ## Starting State
    The seed orders the tasks and the stories of each, as in `BAbI`; the question of the story, the places of its
    facts and the background are drawn for each episode.

    ## Episode End
    Terminated after the question. Never truncated.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | num_words | int | 8000 | words of the text, facts included |
    | tasks | sequence of int | (1, 2, 3, 4, 5) | which tasks are played |
    | answer_format | str | "text" | "text" or "choice" |
    | num_choices | int | 4 | options of ``answer_format="choice"``, 2 to 8; fewer where a task has fewer answers |
    | chunk_words | int | 100 | a passage ends with the sentence that brings it to so many words |
    | background | path or None | None | UTF-8 text whose sentences fill the haystack; None: made ones |
    | path | path or None | None | bAbI's folder; None: looked for in ``$MEMGYM_DATA`` and the cache |
    | split | str | "train" | bAbI's own train or test files |
    | memory_budget | int or None | 1024 | bytes that the bank may hold |
    | view_bytes, max_searches, ops, reader, render_mode | | | as in `TextMemoryEnv` |

    ## Reference Scores
    The oracle scores 1.

    ## Source
    Kuratov et al., BABILong: Testing the Limits of LLMs with Long Context Reasoning-in-a-Haystack, NeurIPS 2024;
    stories from bAbI (Weston et al., 2016; CC BY 3.0; never shipped with memgym). Differences: the published
    haystack is books of PG-19 (give them as `background`), lengths count words instead of tokens, and the story is
    of bAbI's 1,000-question edition.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        num_words: int = 8000,
        tasks: Sequence[int] = (1, 2, 3, 4, 5),
        chunk_words: int = 100,
        background: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        check_integer("num_words", num_words, 1, MAX_WORDS)
        check_integer("chunk_words", chunk_words, 1, MAX_CHUNK)
        super().__init__(tasks=tasks, **kwargs)
        self.num_words = num_words
        self.chunk_words = chunk_words
        self._background = None if background is None else load_background(background)

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        rng = CounterRNG(key)
        task, story = self._choose(episode)
        question = rng.fork(QUESTION).choice([line for line in story if line.answer])
        facts = [line for line in story if line.number < question.number and not line.answer]
        passages: dict[int, str] = {}  # number of a fact -> id of its passage
        chunk: list[str] = []
        words = number = 0
        for sentence, fact in self._sentences(rng, facts):
            if fact:
                passages[fact] = str(number)
            chunk.append(sentence)
            words += sentence.count(" ") + 1
            if words >= self.chunk_words:
                yield Item(str(number), " ".join(chunk))
                chunk.clear()
                words = 0
                number += 1
        if chunk:
            yield Item(str(number), " ".join(chunk))
        evidence = dict.fromkeys(passages[fact] for fact in question.evidence)
        yield self._ask(task, question, "question", tuple(evidence), rng.fork(OPTIONS))

    def _sentences(self, rng: CounterRNG, facts: list[BAbILine]) -> Iterator[tuple[str, int]]:
        """Facts and background in the order of the text, each with the fact's number or 0."""
        source = rng.fork(BACKGROUND).key
        others = (
            made_sentences(source) if self._background is None else read_sentences(self._background, source)
        )
        # what the facts take is not the background's, so that the last fact has not always the last word
        room = self.num_words - sum(len(line.text.split()) for line in facts)
        chance = rng.fork(FACTS)
        places = sorted(chance.random() for _ in facts)
        words = 0
        for place, line in zip(places, facts, strict=True):
            while words < place * room:
                sentence = next(others)
                words += sentence.count(" ") + 1
                yield sentence, 0
            yield line.text, line.number
        while words < room:
            sentence = next(others)
            words += sentence.count(" ") + 1
            yield sentence, 0
