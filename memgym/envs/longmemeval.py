"""LongMemEval: remember months of chats with an assistant, then answer one question about them."""

import os
from collections.abc import Iterator, Sequence

from memgym.core.arguments import check_choice, check_flag
from memgym.datasets.longmemeval import (
    KNOWN_DEFECTS,
    TYPES,
    VARIANTS,
    ChatSession,
    LongMemEvalQuestion,
    open_longmemeval,
)
from memgym.envs.text import Reader, TextMemoryEnv
from memgym.rng import CounterRNG, episode_key, stream_id
from memgym.scoring.answer import is_abstention, token_f1
from memgym.scoring.longmemeval import accepted_answers, contains_answer
from memgym.stream import UNKNOWN, Item, Question, Verdict

__all__ = ["LongMemEval"]

PREFERENCE = "single-session-preference"
ABSTENTION = "abstention"
SCORED = tuple(type for type in TYPES if type != PREFERENCE)
UNITS = ("turn", "session")
MAX_SESSION = 1 << 18  # characters of one item; a longer session comes in parts


class LongMemEval(TextMemoryEnv):
    """Remember months of chats with an assistant, then answer one question about them (real data).

    ## Description
    A user and an assistant chat in dated sessions about all kinds of things. Each step shows one turn, or one
    session. Then comes one question: what the user or the assistant said once, what is to be put together from
    several sessions, when something was, what holds after it changed, or something that was never said.

    ## Memory Demand
    | variant | sessions of a history | tokens | file |
    | --- | --- | --- | --- |
    | s | about 50 | 115,000 | 277 MB |
    | m | about 500 | 1.5 million | 2.7 GB, read a question at a time |
    | oracle | 1 to 6, those with the evidence | 3,000 to 30,000 | 15 MB |

    The answer lies in one to six sessions; the default budget holds about an eighth of a history of variant s.

    ## Observation Space
    | key | meaning |
    | --- | --- |
    | phase | 0 a turn or session, 1 the question, 2 the end |
    | text | the turn; the session as lines ``user: ...`` and ``assistant: ...``; or the question |
    | speaker | ``"user"`` or ``"assistant"``; ``""`` for a session and on the question |
    | time | when the session began or the question is asked, ISO 8601 |
    | choices | empty: the question is open |
    | memory | the bank, or the part of it nearest to `text` |
    | hits | what the last SEARCH found |
    | bytes_left | bytes free in the bank |

    ## Action Space
    | key | meaning |
    | --- | --- |
    | ops | operations on the bank; a SEARCH keeps the environment where it is |
    | answer | the answer, read on the question |

    ## Rewards
    0 on a turn; on the question 1 where the answer has the words of the gold in a row
    (`memgym.scoring.longmemeval.contains_answer`), and 1 for abstaining where the history has no answer. The
    benchmark itself asks a language model; this is a stricter, other metric, not to be compared with its accuracies.
    A question about a preference has a rubric instead of an answer, which only a judge can apply: such questions
    are asked if named in `question_types`, and get the token F1 with the rubric.

    ``info["question_type"]`` is the benchmark's type, or ``"abstention"``; ``info["evidence_recall"]`` counts the
    turns marked as evidence, or their sessions.

    ## Starting State
    The seed orders the questions and episode e plays number e of them, round and round. Nothing else is random.

    ## Episode End
    Terminated after the question. Never truncated.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | variant | str | "s" | "s", "m" or "oracle" |
    | unit | str | "turn" | what a step shows: "turn" or "session" |
    | question_types | sequence of str | all but single-session-preference | the benchmark's types |
    | exclude_defects | bool | False | leave out the questions of `memgym.datasets.longmemeval.KNOWN_DEFECTS` |
    | path | path or None | None | a file in the benchmark's format; None: the published one |
    | memory_budget | int or None | 65536 | bytes that the bank may hold |
    | view_bytes, max_searches, ops, reader, render_mode | | | as in `TextMemoryEnv` |

    There is no `split`: all of it is test data. A file is checked record by record when it is first used, which
    takes a minute for variant m; after that, only a change of its size or time makes it be checked again.

    ## Reference Scores
    The oracle scores 1. Always abstaining scores the share of the questions without an answer, 30 of 470.

    ## Source
    Wu et al., LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory, ICLR 2025; the cleaned files
    of September 2025 from huggingface.co/datasets/xiaowu0162/longmemeval-cleaned (MIT; never shipped with memgym).
    Differences: the deterministic score above; sessions come in the order of time in all variants.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        variant: str = "s",
        unit: str = "turn",
        question_types: Sequence[str] = SCORED,
        exclude_defects: bool = False,
        path: str | os.PathLike[str] | None = None,
        memory_budget: int | None = 65536,
        view_bytes: int = 4096,
        max_searches: int = 4,
        ops: str = "core",
        reader: str | Reader | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_choice("variant", variant, VARIANTS)
        check_choice("unit", unit, UNITS)
        check_flag("exclude_defects", exclude_defects)
        for type in question_types:
            check_choice("each of question_types", type, TYPES)
        super().__init__(
            memory_budget=memory_budget,
            view_bytes=view_bytes,
            max_searches=max_searches,
            ops=ops,
            reader=reader,
            split="test",
            render_mode=render_mode,
        )
        self.variant = variant
        self.unit = unit
        self._file = open_longmemeval(variant, path)
        self._places = [
            place
            for place in self._file.places
            if place.type in question_types and not (exclude_defects and place.id in KNOWN_DEFECTS)
        ]
        if not self._places:
            raise ValueError(f"the file has no question of the types {tuple(question_types)}.")
        self._open: tuple[int, LongMemEvalQuestion] | None = None  # the question of the current episode

    def _question(self, episode: int) -> LongMemEvalQuestion:
        """The question that an episode plays, with its history."""
        order = list(range(len(self._places)))
        CounterRNG(episode_key(self._seed or 0, 0, stream_id("LongMemEval/order"))).shuffle(order)
        number = order[episode % len(order)]
        if self._open is None or self._open[0] != number:
            self._open = (number, self._file.read(self._places[number]))
        return self._open[1]

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_open": None}  # a history has megabytes and is in the file

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        question = self._question(episode)
        evidence: list[str] = []
        for i, session in enumerate(question.sessions):
            for id, text, speaker, marked in self._items(i, session, session.id in question.evidence):
                if marked:
                    evidence.append(id)
                yield Item(id, text, speaker, session.time)
        answerable = question.is_answerable
        golds = accepted_answers(question.answer)
        yield Question(
            id=question.id,
            text=question.text,
            type=question.type if answerable else ABSTENTION,
            answer=golds[0] if answerable else UNKNOWN,
            time=question.time,
            aliases=golds[1:] if answerable else (),
            evidence=tuple(evidence) if answerable else (),
            # what a judge needs: which of the benchmark's rubrics applies, and the gold as it stands
            meta={"question_type": question.type, "gold": question.answer, "answerable": answerable},
        )

    def oracle_state(self) -> dict[str, object]:
        """The current question with its answer and evidence, and the gold as it stands, which a judge compares with.

        For a question without an answer the gold says why there is none.
        """
        state = super().oracle_state()
        return state | {"reference": self._now.meta["gold"]} if isinstance(self._now, Question) else state

    def _items(self, i: int, session: ChatSession, relevant: bool) -> Iterator[tuple[str, str, str, bool]]:
        """(id, text, speaker, is it evidence) of the items of one session."""
        if self.unit == "turn":
            for j, turn in enumerate(session.turns):
                if turn.text:
                    yield f"{i}:{j}", turn.text, turn.role, turn.has_answer
            return
        lines: list[str] = []
        room = MAX_SESSION
        for j, turn in enumerate(session.turns):
            line = f"{turn.role}: {turn.text}"
            if lines and len(line) > room:
                yield f"{i}:{j}", "\n".join(lines), "", relevant
                lines, room = [], MAX_SESSION
            lines.append(line)
            room -= len(line) + 1
        if lines:
            yield f"{i}:{len(session.turns)}", "\n".join(lines), "", relevant

    def _score(self, question: Question, answer: str) -> Verdict:
        answerable = question.meta["answerable"]
        abstained = is_abstention(answer)
        golds = (question.answer, *question.aliases)
        metrics = {
            "abstained": float(abstained),
            "unanswerable": float(not answerable),
            "token_f1": max(token_f1(answer, gold) for gold in golds),
        }
        if question.type == PREFERENCE:
            return Verdict(metrics["token_f1"], False, metrics)
        right = any(contains_answer(answer, gold) for gold in golds) if answerable else abstained
        return Verdict(float(right), right, metrics)
