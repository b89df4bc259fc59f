"""LongHorizonQA: documents of up to ten million words, read chunk by chunk, with questions about them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memgym.core.arguments import check_choice, check_integer, check_number
from memgym.envs.text import TextMemoryEnv
from memgym.memory import MemoryEntry, MemoryOp
from memgym.memory.lexical import stems
from memgym.memory.parts import MemoryParts
from memgym.stream import Item, Question
from memgym.worlds.long_qa import ABILITIES, CANARY_ABILITIES, LongQAConfig, LongQAWorld, shortest

__all__ = ["LongHorizonQA"]

MAX_WORDS = 10_000_000
MIN_CHUNK, MAX_CHUNK = 32, 65_536  # words; the longest chunk stays well below what an entry may hold
MAX_FACTS = MAX_ROUNDS = 24  # what the word lists give
MODES = ("multi-request", "multi-turn")
CANARY_WORDS = 65_536  # forty streams of a canary have to be read: a longer one asks the same
LEVELS = (
    ("num_facts", 1, MAX_FACTS),
    ("updates", 0, 24),
    ("hops", 2, 4),
    ("rule_features", 1, 2),
)
PRESETS: dict[str, dict[str, Any]] = {
    "easy": {
        "num_facts": 4,
        "updates": 1,
        "hops": 2,
        "num_classes": 4,
        "rule_features": 1,
        "distractor_rate": 0.05,
    },
    "medium": {
        "num_facts": 8,
        "updates": 2,
        "hops": 3,
        "num_classes": 8,
        "rule_features": 1,
        "distractor_rate": 0.1,
    },
    "hard": {
        "num_facts": 16,
        "updates": 4,
        "hops": 4,
        "num_classes": 8,
        "rule_features": 2,
        "distractor_rate": 0.2,
    },
}


class LongHorizonQA(TextMemoryEnv):
    """Read up to ten million words in chunks, keep what matters in a bounded memory, then answer.

    ## Description
    A document streams by in chunks of `chunk_words` words. Among sentences that say nothing stand statements:
    codes of places, notices that contradict each other, calls of ships, labelled examples, random strings. Some
    sentences look like statements and bear on no question. After the stream, or several times on the way, come
    questions. Nothing can be read twice, and a chunk does not say which of its sentences will be asked about.

    ## Memory Demand
    What is told does not depend on `num_words`: a longer stream tells the same statements in the same order,
    with more in between, and asks the same questions. The default tells about 170 statements, 8.8 kB in all, in 32
    chunks of 3 kB. The default budget holds most of the statements, or two of the chunks.

    ## Observation Space
    A `Dict`; see `memgym.envs.text`. `phase` (0 a chunk, 1 a question, 2 the end), `text`, `choices`, `memory` and
    `hits` (sequences of entries), `bytes_left`. `speaker` and `time` are empty.

    ## Action Space
    `Dict(ops=Sequence(op), answer=Text)`. An op is `Dict(kind, id, text, attrs)` with kinds 0 NOOP, 1 ADD,
    2 UPDATE, 3 DELETE, 4 SEARCH. `memgym.memory.as_action` builds one; `memgym.wrappers` has other views.

    With `core_bytes`, the bank has three parts, as Mem-alpha's: the attribute ``kind`` of every entry is
    ``"core"``, ``"episodic"`` or ``"semantic"``. Core is one entry of at most `core_bytes` bytes of text, which is
    always in view. What breaks these rules is refused with a reason (`memgym.memory.parts`).

    ## Rewards
    0 on chunks and searches. On a question: with choices 1 for the right option; open: token F1 with the answer.

    ## Starting State
    An empty bank and the first chunk. Statements, their places and wording, sentences in between and questions are
    drawn from the seed. A chunk is written from (seed, episode, its number) alone.

    ## Episode End
    Terminates after the last question. Never truncates.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_words` | int | 16384 | words of the stream, to 10,000,000; the least depends on what is told |
    | `chunk_words` | int | 512 | words of a chunk, 32 to 65,536; the last one may be shorter |
    | `abilities` | sequence of str | all five | what is told and asked; see Question Types |
    | `mode` | str | "multi-request" | "multi-request": each question stands alone; "multi-turn": they come \
in conversations, of which each turn leaves out what the turns before have said |
    | `num_rounds` | int | 1 | 1: all questions after the stream; n: after each n-th of it, 1 to 24 |
    | `num_questions` | int | 20 | questions of an episode, at most: nothing is asked twice |
    | `difficulty` | str | "medium" | "easy", "medium" or "hard": presets of the six arguments below |
    | `num_facts` | int or None | 4, 8, 16 | things told of each kind, 1 to 24 (most kinds come in fours) |
    | `updates` | int or None | 1, 2, 4 | notices that contradict the first on one thing, at most; 0 to 24 |
    | `hops` | int or None | 2, 3, 4 | longest chain of notices or variables, 2 to 4 |
    | `num_classes` | int or None | 4, 8, 8 | shelves of the hidden rule, 4 or 8 |
    | `rule_features` | int or None | 1, 1, 2 | features that decide together, 1 or 2 |
    | `distractor_rate` | float or None | 0.05, 0.1, 0.2 | look-alikes, as a share of words; 0 to 0.5 |
    | `answer_format` | str | "text" | "text" or "choice" |
    | `num_choices` | int | 4 | options with answer_format="choice", 2 or 4 |
    | `canary` | bool | False | nothing that is asked is ever told: no statement is in the stream, and questions \
are those that only chance answers then; with choices and mode="multi-request" |
    | `core_bytes` | int or None | None | a bank in three parts, and the most that its core may take |
    | `memory_budget` | int or None | 8192 | bytes that the bank may hold |
    | `view_bytes`, `max_searches`, `ops`, `reader`, `split`, `render_mode` | | | `TextMemoryEnv` |

    ## Question Types
    A type is `ability/kind`; `info["question_type"]` names it.

    | ability | kinds |
    | --- | --- |
    | `accurate-retrieval` | `single-key` one code among look-alikes; `multi-key` two in one answer |
    | `test-time-learning` | `unseen` class of a new thing by a rule that only its examples show |
    | `long-range-understanding` | `counting`; `ordering` which of some events came n-th; `key-points` of one \
charter, spread over the stream; `topics` of its parts and what follows on what |
    | `conflict-resolution` | `single-hop`, `multi-hop` over notices of which the newest holds, in any order of \
telling; older values count as `stale`; the rule opens the stream |
    | `string-retrieval` | `key-value`; `prefix-suffix` a string by both ends; `variable-tracking` |

    Conversations (mode="multi-turn") ask of one code, one relation, one record or one variable after the other, so
    that `multi-key`, `multi-hop` and `prefix-suffix` do not occur in them. `key-points` and `ordering` need most of
    the stream, and come in the last rounds.

    Evidence names statements, as ``c12/3``: the third one of chunk 12. An entry holds a statement where it has half
    of its words, however little it has of the chunk.

    ## Reference Scores
    The oracle scores 1. With choices, no rule that has not read the stream gets more than 1 in `num_choices`:
    the answer and the other options are drawn from the same values. Without choices, who has not read it can
    only pick among what a question lists (`ordering`: 1 in 4) or guess a small number; always abstaining scores 0.

    ## Source
    Ours. The abilities follow MemoryAgentBench (Hu et al., 2025), the modes and string tasks SCBench (Li et al.,
    2025), the three parts Mem-alpha (Wang et al., 2025). Differences: no language model writes the text, answers
    are known by construction, newer notices often come first, and the conflicts are about invented names.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        num_words: int = 16_384,
        chunk_words: int = 512,
        abilities: Sequence[str] = tuple(ABILITIES),
        mode: str = "multi-request",
        num_rounds: int = 1,
        num_questions: int = 20,
        difficulty: str = "medium",
        num_facts: int | None = None,
        updates: int | None = None,
        hops: int | None = None,
        num_classes: int | None = None,
        rule_features: int | None = None,
        distractor_rate: float | None = None,
        answer_format: str = "text",
        num_choices: int = 4,
        canary: bool = False,
        core_bytes: int | None = None,
        memory_budget: int | None = 8192,
        **kwargs: Any,
    ) -> None:
        check_choice("difficulty", difficulty, PRESETS)
        given = {
            "num_facts": num_facts,
            "updates": updates,
            "hops": hops,
            "num_classes": num_classes,
            "rule_features": rule_features,
            "distractor_rate": distractor_rate,
        }
        levels = PRESETS[difficulty] | {name: value for name, value in given.items() if value is not None}
        for name, low, high in LEVELS:
            check_integer(name, levels[name], low, high)
        check_choice("num_classes", levels["num_classes"], (4, 8))
        check_number("distractor_rate", levels["distractor_rate"], 0, 0.5)
        check_choice("mode", mode, MODES)
        check_choice("answer_format", answer_format, ("text", "choice"))
        check_integer("chunk_words", chunk_words, MIN_CHUNK, MAX_CHUNK)
        check_integer("num_rounds", num_rounds, 1, MAX_ROUNDS)
        check_integer("num_questions", num_questions, 1, 1000)
        check_choice("num_choices", num_choices, (2, 4))
        if core_bytes is not None:
            check_integer("core_bytes", core_bytes, 0, 1 << 20)
        chosen = _check_abilities(abilities)
        if canary and (
            answer_format == "text" or mode == "multi-turn" or not {*CANARY_ABILITIES} & {*chosen}
        ):
            raise ValueError(
                "canary=True needs answer_format='choice' and mode='multi-request', for chance to be known, and one "
                f"of {', '.join(CANARY_ABILITIES)} among abilities."
            )
        self.config = LongQAConfig(
            abilities=chosen,
            num_words=num_words,
            chunk_words=chunk_words,
            num_rounds=num_rounds,
            num_questions=num_questions,
            multi_turn=mode == "multi-turn",
            num_choices=num_choices if answer_format == "choice" else 0,
            canary=canary,
            **levels,
        )
        check_integer("num_words", num_words, shortest(self.config), MAX_WORDS)
        super().__init__(memory_budget=memory_budget, **kwargs)
        if core_bytes is not None and self.ops == "extended":
            raise ValueError("a bank in three parts (core_bytes) has core operations only: ops='core'.")
        self.core_bytes = core_bytes

    @classmethod
    def has_canary(cls, kwargs: Mapping[str, Any]) -> bool:
        """Where there are choices, each question stands alone, and the stream is not too long."""
        is_short = kwargs.get("num_words", 0) <= CANARY_WORDS
        return (
            is_short and kwargs.get("answer_format") == "choice" and kwargs.get("mode", MODES[0]) == MODES[0]
        )

    def canary_chance(self) -> float:
        """The best expected score in a canary for who reads the stream alone: one of the options."""
        return 1.0 / self.config.num_choices

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode with an empty bank."""
        self._parts = None if self.core_bytes is None else MemoryParts(self.core_bytes)
        return super().reset(seed=seed, options=options)

    def oracle_state(self) -> dict[str, Any]:
        """On a question its answer and evidence; on a chunk the statements in it that questions may be about."""
        if isinstance(self._now, Item):
            told = self._world.told(self._now.id)
            return {"statements": {id: statement.text for id, statement in told.items()}}
        return super().oracle_state()

    # ------------------------------------------------------------------ inside

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        return self._stream_from(key, episode, 0)

    def _stream_from(self, key: int, episode: int, start: int) -> Iterator[Item | Question]:
        self._world = LongQAWorld(key, self.split, self.config)
        return self._world.stream(start)

    def _told(self, item: Item) -> dict[str, frozenset[str]]:
        return {id: stems(statement.text) for id, statement in self._world.told(item.id).items()}

    def _pinned(self) -> list[MemoryEntry]:
        return [self.bank.get(self._parts.core)] if self._parts and self._parts.core else []

    def _write(self, op: MemoryOp) -> str:
        if self._parts is None:
            return super()._write(op)
        reason = self._parts.refusal(op, self.bank) or super()._write(op)
        if not reason:
            self._parts.applied(op, self.bank)
        return reason


def _check_abilities(abilities: Sequence[str]) -> tuple[str, ...]:
    known = ", ".join(ABILITIES)
    if isinstance(abilities, str) or not abilities:
        raise ValueError(f"abilities is a sequence of some of {known}, not {abilities!r}.")
    for name in abilities:
        if name not in ABILITIES:
            raise ValueError(f"abilities are some of {known}, not {name!r}.")
    return tuple(name for name in ABILITIES if name in abilities)  # in one order, whatever the caller's
