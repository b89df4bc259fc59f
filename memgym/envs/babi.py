"""bAbI: short stories told sentence by sentence, with questions in between."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from memgym.core.arguments import check_choice, check_integer
from memgym.datasets.babi import TASKS, BAbILine, load_babi
from memgym.envs.text import TextMemoryEnv
from memgym.rng import CounterRNG, episode_key, stream_id
from memgym.scoring.answer import is_abstention
from memgym.scoring.ordering import babi_exact_match, item_f1, split_list
from memgym.stream import Item, Question, Verdict

__all__ = ["BAbI", "BAbITask"]

Story = tuple[BAbILine, ...]


class BAbITask(TextMemoryEnv):
    """What the environments on bAbI's stories share: which story an episode plays, and the score."""

    def __init__(
        self,
        *,
        tasks: Sequence[int] = tuple(TASKS),
        answer_format: str = "text",
        num_choices: int = 4,
        path: str | os.PathLike[str] | None = None,
        memory_budget: int | None = 1024,
        view_bytes: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(memory_budget=memory_budget, view_bytes=view_bytes, **kwargs)
        check_choice("answer_format", answer_format, ("text", "choice"))
        check_integer("num_choices", num_choices, 2, 8)
        strange = [task for task in tasks if task not in TASKS]
        if strange or not tasks:
            raise ValueError(f"tasks are some of 1 to 20, not {tuple(tasks)}.")
        self.tasks = tuple(sorted(set(tasks)))
        self._stories = {task: load_babi(task, self.split, path) for task in self.tasks}
        self.num_choices = num_choices if answer_format == "choice" else 0
        self._answers = {
            task: sorted({line.answer for story in stories for line in story if line.answer})
            for task, stories in self._stories.items()
        }

    def _choose(self, episode: int) -> tuple[int, Story]:
        """The task and the story of an episode: every task once before any comes again, and so with the stories."""
        rng = CounterRNG(episode_key(self._seed or 0, 0, stream_id(f"bAbI/order/{self.split}")))
        tasks = list(self.tasks)
        rng.shuffle(tasks)
        number, place = divmod(episode, len(tasks))
        task = tasks[place]
        order = list(range(len(self._stories[task])))
        rng.fork(task).shuffle(order)
        return task, self._stories[task][order[number % len(order)]]

    def _score(self, question: Question, answer: str) -> Verdict:
        score = babi_exact_match(answer, question.answer)
        overlap = item_f1(split_list(answer), split_list(question.answer))
        metrics = {"abstained": float(is_abstention(answer)), "unanswerable": 0.0, "item_f1": overlap}
        return Verdict(score, score == 1.0, metrics)

    def _ask(
        self, task: int, line: BAbILine, id: str, evidence: tuple[str, ...], rng: CounterRNG
    ) -> Question:
        """A question of a story's as the stream has it."""
        choices: list[str] = []
        if self.num_choices:
            others = [answer for answer in self._answers[task] if answer != line.answer]
            choices = [line.answer, *rng.sample(others, self.num_choices - 1)]
            rng.shuffle(choices)
        return Question(
            id=id,
            text=line.text,
            type=f"{task}-{TASKS[task]}",
            answer=line.answer,
            choices=tuple(choices),
            evidence=evidence,
            hops=len(line.evidence),
            meta={"task": task},
        )


class BAbI(BAbITask):
    """Keep what a short story tells, and answer questions about it (real data).

    ## Description
    A story of 2 to 228 sentences is told one sentence a step: people move about, take things and drop them,
    are afraid of wolves, or stand north of the kitchen. Questions come in between and at the end. Each of the 20
    tasks needs another kind of reasoning over one to eight of the sentences.

    ## Memory Demand
    A sentence has 5.3 words on average; nine stories in ten have 14 sentences or fewer, one in a hundred more
    than 86. The default budget holds a typical story whole but not a long one of task 3.

    ## Observation Space
    | key | meaning |
    | --- | --- |
    | phase | 0 a sentence, 1 a question, 2 the end |
    | text | the sentence or the question |
    | speaker, time | ``""`` |
    | choices | options, all of them answers of the same task; empty for open questions |
    | memory | the bank, or the part of it nearest to `text` |
    | hits | what the last SEARCH found |
    | bytes_left | bytes free in the bank |

    ## Action Space
    | key | meaning |
    | --- | --- |
    | ops | operations on the bank; a SEARCH keeps the environment where it is |
    | answer | the answer, read on a question |

    ## Rewards
    0 on a sentence; on a question 1 for the right word and 0 otherwise, as in the benchmark
    (`memgym.scoring.ordering.babi_exact_match`). Several things (tasks 8 and 19) are separated by commas and come in
    the order of the story; ``info["item_f1"]`` does not look at the order.

    ``info["question_type"]`` names the task, e.g. ``"7-counting"``; ``info["evidence_recall"]`` is the share of
    the supporting facts that are held.

    ## Starting State
    The seed orders the tasks and the stories of each. Episode e plays task number e of that order, round and
    round, and every story of a task comes once before any comes again.

    ## Episode End
    Terminated after the last line of the story. Never truncated.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | tasks | sequence of int | (1, ..., 20) | which tasks are played |
    | answer_format | str | "text" | "text" or "choice" |
    | num_choices | int | 4 | options of ``answer_format="choice"``, 2 to 8; fewer where a task has fewer answers |
    | path | path or None | None | the folder with the files; None: looked for in ``$MEMGYM_DATA`` and the cache |
    | split | str | "train" | bAbI's own train or test files |
    | memory_budget | int or None | 1024 | bytes that the bank may hold |
    | view_bytes, max_searches, ops, reader, render_mode | | | as in `TextMemoryEnv` |

    ## Reference Scores
    The oracle scores 1. The paper's strongly supervised memory networks reach a mean of 0.93 over the tasks
    with 1,000 questions to train on; passing a task means 0.95.

    ## Source
    Weston et al., Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks, ICLR 2016; version 1.2
    in English with 1,000 questions to a task (CC BY 3.0; never shipped with memgym). Differences: the questions of
    a story are played in one episode.

    ## Version History
    * v0: first version (0.1.0)
    """

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        rng = CounterRNG(key)
        task, story = self._choose(episode)
        for line in story:
            if line.answer:
                evidence = tuple(map(str, line.evidence))
                yield self._ask(task, line, f"q{line.number}", evidence, rng.fork(line.number))
            else:
                yield Item(str(line.number), line.text)
