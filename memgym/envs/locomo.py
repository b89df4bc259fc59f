"""LoCoMo: remember a conversation of months turn by turn, then answer questions about it."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from memgym.core.arguments import check_choice, check_flag, check_integer
from memgym.datasets.locomo import Conversation, LoCoMoQuestion, load_locomo
from memgym.datasets.locomo_audit import apply_audit, load_locomo_audit
from memgym.envs.text import Reader, TextMemoryEnv
from memgym.rng import CounterRNG, episode_key, stream_id
from memgym.scoring import exact_match, is_abstention, normalise
from memgym.scoring.locomo import CATEGORIES, load_stemmer, locomo_score, scored_gold
from memgym.stream import UNKNOWN, Item, Question, Verdict

__all__ = ["LoCoMo"]


class LoCoMo(TextMemoryEnv):
    """Remember a conversation of months, then answer questions about it (real data).

    ## Description
    Two people chat over 19 to 32 sessions. Each step shows one turn, and the agent decides what to write into
    a bounded memory. After the last session come the questions, 105 to 260 a conversation: facts of one turn,
    facts to be put together from several, dates, common sense, and questions about what was never said.

    ## Memory Demand
    369 to 689 turns, 8,000 to 16,200 words; the answer to a question lies in 1 to 19 turns. The default
    budget holds about a fifth of an average conversation.

    ## Observation Space
    | key | meaning |
    | --- | --- |
    | phase | 0 a turn, 1 a question, 2 the end |
    | text | the turn, with ``[shares CAPTION]`` after it where it shares a picture; or the question |
    | speaker | who said it; ``""`` on a question |
    | time | when the session began, ISO 8601; on a question, when the last session began |
    | choices | options, "Not mentioned in the conversation" among them; empty for open questions |
    | memory | the bank, or the part of it nearest to `text` |
    | hits | what the last SEARCH found |
    | bytes_left | bytes free in the bank |

    ## Action Space
    | key | meaning |
    | --- | --- |
    | ops | operations on the bank; a SEARCH keeps the environment where it is |
    | answer | the answer, read on a question |

    ## Rewards
    0 on a turn; on a question the benchmark's own score, from 0 to 1 (`memgym.scoring.locomo.locomo_score`).

    | category | questions | score |
    | --- | --- | --- |
    | 1-multi-hop | 282 | mean over the parts of the gold of the best stemmed F1 |
    | 2-temporal | 321 | stemmed F1 |
    | 3-open-domain | 96 | stemmed F1 with the gold before its first ``;`` |
    | 4-single-hop | 841 | stemmed F1 |
    | 5-adversarial | 446 | 1 for "not mentioned" or "no information available" in the answer, else 0 |

    With ``answer_format="choice"`` it is 1 for the right option and 0 otherwise. Every question then has the option
    "Not mentioned in the conversation", and one of category 5 has its trap among the others, so that the options do
    not give the category away.

    ``info["question_type"]`` names the category, ``info["abstained"]`` says whether the answer declined. In
    category 5, ``info["trapped"]`` says whether the answer has the trap, and ``info["speaker_swap"]`` whether the
    question asks about one person what the other said (no turn of its evidence is by a person named in it), as
    three in four do.

    ## Starting State
    The seed decides the order of the conversations and episode e plays number e of them, round and round: ten
    episodes of any one seed visit each conversation once. Nothing else is random.

    ## Episode End
    Terminated after the last question. Never truncated.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | categories | sequence of int | (1, 2, 3, 4, 5) | which questions are asked |
    | conversation | str or None | None | always play this one, e.g. ``"conv-26"`` |
    | answer_format | str | "text" | "text" or "choice" |
    | num_choices | int | 4 | options of ``answer_format="choice"``, 2 to 8 |
    | labels | str | "original" | "audit": the corrected answers and evidence of the public audit, 156 questions |
    | exclude_defects | bool | False | leave out the 99 questions whose answer the audit found wrong |
    | path | path or None | None | the data file; None: looked for in ``$MEMGYM_DATA`` and the cache |
    | memory_budget | int or None | 16384 | bytes that the bank may hold |
    | view_bytes, max_searches, ops, reader, render_mode | | | as in `TextMemoryEnv` |

    There is no `split`: all of LoCoMo is test data. A conversation without a question in `categories`
    (conv-30 has none of category 3) is left out. `labels` and `exclude_defects` need the dataset locomo_audit. Some
    of the audit's answers explain why the published one is wrong, which an F1 cannot reward, so leaving the
    questions out is the better remedy for scores and the corrected labels are so for evidence.

    ## Reference Scores
    Means over all questions, times 100. Always answering "Not mentioned in the conversation" gives 1.1 on
    categories 1 to 4 and 23.3 on 1 to 5: no mean that includes category 5 should be read without it. About
    6 % of the gold answers are wrong (github.com/dial481/locomo-audit), so 100 is not within honest reach: of
    categories 1 to 4, at most 90.1, 91.9, 90.6 and 95.7 %.

    ## Source
    Maharana et al., Evaluating Very Long-Term Conversational Memory of LLM Agents, ACL 2024; data and scorer
    from github.com/snap-research/locomo (CC BY-NC 4.0; never shipped with memgym). Differences: pictures are
    shown as their captions; 9 malformed evidence strings are repaired or dropped; a question of category 5 is
    asked like any other, while the benchmark offers two options built from a field that 444 of 446 lack.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        categories: Sequence[int] = tuple(CATEGORIES),
        conversation: str | None = None,
        answer_format: str = "text",
        num_choices: int = 4,
        labels: str = "original",
        exclude_defects: bool = False,
        path: str | os.PathLike[str] | None = None,
        memory_budget: int | None = 16384,
        view_bytes: int = 2048,
        max_searches: int = 4,
        ops: str = "core",
        reader: str | Reader | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            memory_budget=memory_budget,
            view_bytes=view_bytes,
            max_searches=max_searches,
            ops=ops,
            reader=reader,
            split="test",
            render_mode=render_mode,
        )
        unknown = [category for category in categories if category not in CATEGORIES]
        if unknown or not categories:
            raise ValueError(f"categories are some of 1 to 5, not {tuple(categories)}.")
        check_choice("answer_format", answer_format, ("text", "choice"))
        check_integer("num_choices", num_choices, 2, 8)
        check_choice("labels", labels, ("original", "audit"))
        check_flag("exclude_defects", exclude_defects)
        self.categories = frozenset(categories)
        self.num_choices = num_choices if answer_format == "choice" else 0
        if self.categories != {5}:
            load_stemmer()  # a missing NLTK shows now, not on the first question
        conversations = load_locomo(path)
        self._excluded: frozenset[tuple[str, int]] = frozenset()
        if labels == "audit" or exclude_defects:
            defects = load_locomo_audit()
            audited = apply_audit(conversations, defects)  # also checks that it is about these conversations
            if exclude_defects:
                self._excluded = frozenset(
                    (conversations[d.conversation].id, d.question) for d in defects if d.changes_scores
                )
            conversations = audited if labels == "audit" else conversations
        self._conversations = self._choose(conversations, conversation)

    def _choose(self, conversations: list[Conversation], id: str | None) -> list[Conversation]:
        """Those with something to ask; only `id` where one is given."""
        known = [each.id for each in conversations]
        if id is not None and id not in known:
            raise ValueError(f"conversation is None or one of {', '.join(known)}, not {id!r}.")
        chosen = [each for each in conversations if id in (None, each.id) and any(self._questions(each))]
        if not chosen:
            raise ValueError(f"{id} has no question in categories {sorted(self.categories)}.")
        return chosen

    def _questions(self, conversation: Conversation) -> Iterator[tuple[int, LoCoMoQuestion]]:
        """The questions asked, each with its place in the file."""
        for i, question in enumerate(conversation.questions):
            if question.category in self.categories and (conversation.id, i) not in self._excluded:
                yield i, question

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        # the order of conversations belongs to the seed, that of the questions to the episode
        order = list(self._conversations)
        CounterRNG(episode_key(self._seed or 0, 0, stream_id("LoCoMo/order"))).shuffle(order)
        conversation = order[episode % len(order)]
        for session in conversation.sessions:
            for turn in session.turns:
                yield Item(turn.id, turn.shown_text, turn.speaker, session.time)
        asked_at = conversation.sessions[-1].time
        questions = list(self._questions(conversation))
        # in the file nearly all adversarial questions come last, so that the place would give them away
        CounterRNG(key).shuffle(questions)
        for i, question in questions:
            asked = _as_question(question, f"{conversation.id}/qa{i}", asked_at)
            if question.category == 5:
                swapped = _is_speaker_swap(conversation, question)
                asked = replace(asked, meta={**asked.meta, "speaker_swap": swapped})
            if self.num_choices:
                # of the conversation, not of the episode: a question has the same options whenever it is asked
                rng = CounterRNG(episode_key(i, 0, stream_id(f"LoCoMo/choices/{conversation.id}")))
                asked = replace(
                    asked, choices=_options(conversation, question, asked.answer, self.num_choices, rng)
                )
            yield asked

    def _score(self, question: Question, answer: str) -> Verdict:
        category = question.meta["category"]
        if question.choices:
            score = float(exact_match(answer, question.answer))
        else:
            score = locomo_score(category, answer, question.answer)
        metrics = {"abstained": float(is_abstention(answer)), "unanswerable": float(category == 5)}
        if category == 5:
            trap = normalise(question.meta.get("adversarial_answer", ""))
            metrics["trapped"] = float(bool(trap) and f" {trap} " in f" {normalise(answer)} ")
            metrics["speaker_swap"] = float(question.meta["speaker_swap"])
        return Verdict(score, score == 1.0, metrics)


def _is_speaker_swap(conversation: Conversation, question: LoCoMoQuestion) -> bool:
    """Whether a question names a person of whom no turn of its evidence is."""
    named = {name for name in conversation.speakers if re.search(rf"\b{re.escape(name)}\b", question.text)}
    turns = (turn for session in conversation.sessions for turn in session.turns)
    by = {turn.speaker for turn in turns if turn.id in question.evidence}
    return bool(named and by) and named.isdisjoint(by)


def _options(
    conversation: Conversation, question: LoCoMoQuestion, answer: str, count: int, rng: CounterRNG
) -> tuple[str, ...]:
    """The right answer, "not mentioned", the trap of category 5, and answers to other questions, shuffled.

    The others are answers of the same category where it has enough, so that a question of time has dates.
    """
    kind = (
        4 if question.category == 5 else question.category
    )  # an adversarial question looks like a simple one
    options = (
        [answer, UNKNOWN] if question.category != 5 else [UNKNOWN, question.adversarial_answer or answer]
    )
    same = [scored_gold(q.category, q.answer) for q in conversation.questions if q.category == kind]
    others = [
        scored_gold(q.category, q.answer) for q in conversation.questions if q.category not in (kind, 5)
    ]
    rng.shuffle(same)
    rng.shuffle(others)
    told: dict[str, str] = {}  # options that differ in more than case and articles
    for option in [*options, *same, *others]:
        if len(told) < count:
            told.setdefault(normalise(option), option)
    chosen = list(told.values())
    rng.shuffle(chosen)
    return tuple(chosen)


def _as_question(question: LoCoMoQuestion, id: str, time: str) -> Question:
    category = question.category
    meta: dict[str, Any] = {"category": category}
    if question.adversarial_answer:
        meta["adversarial_answer"] = question.adversarial_answer
    return Question(
        id=id,
        text=question.text,
        type=CATEGORIES[category],
        answer=UNKNOWN if category == 5 else scored_gold(category, question.answer),
        time=time,
        evidence=question.evidence,
        meta=meta,
    )
