"""MemoryAgentBench: read a long text in chunks, then answer many questions about it."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from memgym.core.arguments import check_choice, check_flag, check_integer
from memgym.datasets.chunks import chunks
from memgym.datasets.longmemeval import iso_time
from memgym.datasets.memoryagentbench import (
    COMPETENCIES,
    BenchRow,
    BenchTask,
    load_memoryagentbench,
    load_movies,
)
from memgym.envs.text import Reader, TextMemoryEnv
from memgym.errors import DatasetCorrupt
from memgym.rng import CounterRNG, episode_key, stream_id
from memgym.scoring.answer import is_abstention
from memgym.scoring.memoryagentbench import first_words, parse_answer, score_memoryagentbench
from memgym.scoring.redial import Catalogue, film_name, redial_recall_at_k
from memgym.stream import Item, Question, Verdict

__all__ = ["MemoryAgentBench"]

MAX_CHUNK = 20_000


class Rule(NamedTuple):
    """How the questions of a kind of source are scored.

    Attributes:
        metric: the score.
        words: how much of an answer is looked at; the benchmark lets a model write so many tokens.
        parsed: whether only what follows ``Answer:`` (otherwise the first line) counts.
        judge: whether the benchmark itself asks a language model instead.
        asks: what kind of answer is wanted, in one sentence.
    """

    metric: str
    words: int
    parsed: bool = False
    judge: bool = False
    asks: str = ""


NEWEST = "Of facts that contradict each other the one with the larger number holds. Answer with a few words."
LABEL = "Give the number of the label that such a text has in the examples, and nothing else."
FILMS = "Recommend films for this conversation, one a line, as '1. NAME'."
RULES = {  # beginning of a source's name -> rule
    "factconsolidation": Rule("substring_exact_match", 10, asks=NEWEST),
    "ruler_qa": Rule("substring_exact_match", 50, asks="Answer with a few words."),
    "eventqa": Rule("substring_exact_match", 40, parsed=True, asks="Repeat the event that happens next."),
    "longmemeval": Rule("substring_exact_match", 50, judge=True, asks="Answer with a few words."),
    "icl": Rule("exact_match", 20, parsed=True, asks=LABEL),
    "detective_qa": Rule("exact_match", 2000, asks="Answer in the form that the question asks for."),
    "infbench_sum": Rule("f1", 1200, judge=True, asks="Write a summary."),
    "recsys_redial": Rule("recall@5", 300, asks=FILMS),
}
RECALLS = (1, 5, 10)


class MemoryAgentBench(TextMemoryEnv):
    """Read a long text once, in chunks, then answer many questions about it (real data).

    ## Description
    Each step shows a chunk of a text: numbered facts of which newer ones win, documents, chats, a novel, or
    thousands of labelled examples. After the last chunk come the questions, up to 100, in the order of the file.

    ## Memory Demand
    | competency | texts | what they are |
    | --- | --- | --- |
    | conflict_resolution | 8 | lists of 455 to 18,332 facts (4,400 to 183,000 words), 100 questions each |
    | accurate_retrieval | 22 | documents, chats of LongMemEval, novels (EventQA) |
    | test_time_learning | 6 | examples of 5 label codes; dialogues about films |
    | long_range_understanding | 110 | novels to summarise, detective stories to solve |

    ## Observation Space
    | key | meaning |
    | --- | --- |
    | phase | 0 a chunk, 1 a question, 2 the end |
    | text | the chunk or the question |
    | speaker | ``""`` |
    | time | ``""``, or the date of a question that has one |
    | choices | empty: the questions are open |
    | memory | the bank, or the part of it nearest to `text` |
    | hits | what the last SEARCH found |
    | bytes_left | bytes free in the bank |

    ## Action Space
    | key | meaning |
    | --- | --- |
    | ops | operations on the bank; a SEARCH keeps the environment where it is |
    | answer | the answer, read on a question |

    ## Rewards
    0 on a chunk; on a question the benchmark's score (`memgym.scoring.memoryagentbench`), best over the golds:

    | source begins with | score |
    | --- | --- |
    | factconsolidation, ruler_qa, eventqa | substring_exact_match |
    | icl, detective_qa | exact_match |
    | recsys_redial | recall@5 of the films, each name snapped to the nearest film (`memgym.scoring.redial`) |
    | longmemeval, infbench_sum | the benchmark asks a language model; here substring_exact_match and f1 |

    Of an answer the first 10 (factconsolidation) to 2,000 words count, as many as the benchmark lets a model write
    tokens, so that repeating the whole memory is no answer. The scores of longmemeval and infbench_sum are other
    metrics than the published ones and not to be compared with them. ``info["question_type"]`` is the source;
    `substring_exact_match`, `exact_match` and `f1` stand in `info` as well.

    ## Starting State
    The seed orders the texts and episode e plays number e of them, round and round. Nothing else is random.

    ## Episode End
    Terminated after the last question. Never truncated.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | competency | str | "conflict_resolution" | one of the four above, each a file of its own |
    | sources | sequence of str or None | None | only texts whose source begins with one of these |
    | chunk_words | int | 3000 | words of a chunk, about 4,096 tokens; with 1 each fact or sentence is a chunk |
    | instructions | bool | False | a sentence before each question says what kind of answer is wanted |
    | path | path or None | None | a file in the benchmark's format; None: the published one |
    | memory_budget | int or None | 65536 | bytes that the bank may hold |
    | view_bytes, max_searches, ops, reader, render_mode | | | as in `TextMemoryEnv` |

    There is no `split`: all of it is test data. Questions keep their order, because those of EventQA name the
    answers of the ones before them.

    ## Reference Scores
    The oracle scores 1. On conflict resolution the paper's systems stay at or below 0.07 where two or more facts
    have to be put together.

    ## Source
    Hu et al., Evaluating Memory in LLM Agents via Incremental Multi-Turn Interactions, ICLR 2026; data and
    scores from github.com/HUST-AI-HYZ/MemoryAgentBench (MIT; never shipped with memgym). Differences: chunks are
    cut by words instead of a tokenizer's tokens, and no line of a numbered list is cut; the benchmark's prompts
    are the agent's business.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        competency: str = "conflict_resolution",
        sources: Sequence[str] | None = None,
        chunk_words: int = 3000,
        instructions: bool = False,
        path: str | os.PathLike[str] | None = None,
        memory_budget: int | None = 65536,
        view_bytes: int = 4096,
        max_searches: int = 4,
        ops: str = "core",
        reader: str | Reader | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_choice("competency", competency, COMPETENCIES)
        check_integer("chunk_words", chunk_words, 1, MAX_CHUNK)
        check_flag("instructions", instructions)
        if isinstance(sources, str):
            raise ValueError(f"sources is a list of beginnings of names, not the text {sources!r}.")
        super().__init__(
            memory_budget=memory_budget,
            view_bytes=view_bytes,
            max_searches=max_searches,
            ops=ops,
            reader=reader,
            split="test",
            render_mode=render_mode,
        )
        self.competency = competency
        self.chunk_words = chunk_words
        self.instructions = instructions
        rows = load_memoryagentbench(competency, path)
        self._rows = [row for row in rows if sources is None or row.source.startswith(tuple(sources))]
        if not self._rows:
            known = ", ".join(sorted({row.source for row in rows}))
            raise ValueError(f"sources {sources!r} begin none of {known}.")
        rules = [_rule(row.source) for row in self._rows]
        self._names: dict[int, str] = {}
        self._films: Catalogue | None = None
        if any(rule.metric == "recall@5" for rule in rules):
            self._names = {number: film_name(name) for number, name in load_movies().items()}
            self._films = Catalogue(self._names.values())
        for row in self._rows:  # a wrong number shows now, not on its question
            for task in row.questions:
                self._golds(row, task)

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        order = list(self._rows)
        CounterRNG(episode_key(self._seed or 0, 0, stream_id("MemoryAgentBench/order"))).shuffle(order)
        row = order[episode % len(order)]
        for i, chunk in enumerate(chunks(row.context, self.chunk_words)):
            yield Item(str(i), chunk)
        for task in row.questions:
            yield self._question(row, task)

    def _question(self, row: BenchRow, task: BenchTask) -> Question:
        rule, golds = _rule(row.source), self._golds(row, task)
        meta: dict[str, Any] = {"source": row.source, "golds": golds, "question_type": task.type}
        if rule.judge:
            meta["keypoints"] = row.keypoints
        listed = "\n".join(f"{i}. {name}" for i, name in enumerate(golds, 1))
        return Question(
            id=task.id,
            text=f"{rule.asks}\n\n{task.text}" if self.instructions else task.text,
            type=row.source,
            answer=listed if rule.metric == "recall@5" else golds[0],
            time=iso_time(task.date) or "",
            aliases=golds[1:],
            meta=meta,
        )

    def _golds(self, row: BenchRow, task: BenchTask) -> tuple[str, ...]:
        """The right answers; films stand by number in the file."""
        if _rule(row.source).metric != "recall@5":
            return task.answers
        numbers = [int(number) if number.strip().isdecimal() else -1 for number in task.answers]
        for number, written in zip(numbers, task.answers, strict=True):
            if number not in self._names:
                raise DatasetCorrupt(f"question {task.id}: the answer {written[:40]!r} is no film's number.")
        return tuple(self._names[number] for number in numbers)

    def _score(self, question: Question, answer: str) -> Verdict:
        rule = _rule(question.meta["source"])
        golds: tuple[str, ...] = question.meta["golds"]
        metrics = {"abstained": float(is_abstention(answer)), "unanswerable": 0.0}
        answer = first_words(answer, max(rule.words, *(len(gold.split()) for gold in golds)))
        if self._films is not None and rule.metric == "recall@5":
            for k in RECALLS:
                metrics[f"recall@{k}"] = redial_recall_at_k(answer, golds, self._films, k)
        else:
            said = parse_answer(answer) if rule.parsed else answer
            for metric in ("substring_exact_match", "exact_match", "f1"):
                metrics[metric] = score_memoryagentbench(said, golds, metric)
            if question.meta["source"].startswith("eventqa"):
                metrics["eventqa_recall"] = float(all(gold.lower() in answer.lower() for gold in golds))
        score = metrics[rule.metric]
        return Verdict(score, score == 1.0, metrics)


def _rule(source: str) -> Rule:
    for beginning, rule in RULES.items():
        if source.startswith(beginning):
            return rule
    raise DatasetCorrupt(f"source {source[:64]!r} begins with none of {', '.join(RULES)}; how is it scored?")
