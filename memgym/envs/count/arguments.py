"""The arguments of Count Rewriting, checked, and what follows from them: rules, words, reference scores."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_integer, check_number
from memgym.core.env import check_split
from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import Index
from memgym.envs.count import rules
from memgym.envs.count.rules import CLEAR, COME, GO, HOW_MANY, Rules
from memgym.envs.streams.generate import Stream, reference_stream
from memgym.envs.streams.task import (
    MAX_STEPS,
    Operations,
    State,
    StreamTask,
    check_shares,
    make_thresholds,
    one_hot_table,
    word_table,
)

__all__ = ["CountArguments"]

MAX_KINDS = MAX_COUNT = 1024  # ids and answers then fit 16 bits
VERBS = {COME: "COME", GO: "GO", CLEAR: "CLEAR", HOW_MANY: "HOW MANY"}


@dataclass(frozen=True)
class CountArguments(StreamTask):
    """The arguments that all forms of the task share; see `CountRewriting` for what they mean.

    Raises:
        ValueError: an argument outside its range, or some that do not go together; the message names them.
    """

    num_steps: int = 64
    num_kinds: int = 4
    max_count: int = 6
    query_rate: float = 0.4
    go_rate: float = 0.15
    clear_rate: float = 0.05
    split: Literal["train", "test"] = "train"

    name: ClassVar[str] = "CountRewriting"

    def __post_init__(self) -> None:
        check_integer("num_steps", self.num_steps, 2, MAX_STEPS)
        check_integer("num_kinds", self.num_kinds, 1, MAX_KINDS)
        check_integer("max_count", self.max_count, 1, MAX_COUNT)
        for name in ("query_rate", "go_rate", "clear_rate"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        check_split(self.split)
        check_shares(self, "query_rate", "go_rate", "clear_rate")

    # ------------------------------------------------------------------ the rules, as the base wants them

    @property
    def num_answers(self) -> int:
        """Answers besides "none"."""
        return int(self.max_count)

    @cached_property
    def rules(self) -> Rules:
        """The arguments as the generator needs them."""
        steps = (float(self.query_rate), float(self.go_rate), float(self.clear_rate))
        first, second, third = make_thresholds(steps)
        return Rules(
            num_steps=int(self.num_steps),
            num_kinds=int(self.num_kinds),
            max_count=int(self.max_count),
            first_kind=1 + (self.split == "test") * int(self.num_kinds),
            thresholds=(first, second, third),
        )

    def make_tables(self) -> tuple[NDArray[np.float32], ...]:
        """A number for each operation, and a word for the kind."""
        return one_hot_table(HOW_MANY), word_table(int(self.num_kinds))

    def make_state(self, n: int) -> State:
        """Counts for `n` episodes."""
        return rules.make_state(n, int(self.num_kinds))

    def begin(self, index: Index, state: State) -> None:
        """Counts of zero for the episodes of `index`."""
        rules.begin(index, state)

    def operate(
        self, index: Index, key: NDArray[np.uint64], t: NDArray[np.int32], state: State, out: Operations
    ) -> None:
        """The next operation, see `rules`."""
        rules.operate(self.rules, index, key, t, state, out)

    def operate_compiled(
        self, index: Index, key: NDArray[np.uint64], t: NDArray[np.int32], state: State, out: Operations
    ) -> None:
        """The same, compiled."""
        kernel = load_kernel("memgym.envs.count.kernel")
        kernel.operate(index, tuple(self.rules), key, t, state, tuple(out))

    # ------------------------------------------------------------------ names

    def kind_name(self, token: int) -> str:
        """A kind as text, e.g. ``"k3"``; those of the test split have the numbers from `num_kinds` on."""
        return f"k{token - 1}"

    def tell(self, tokens: tuple[int, ...]) -> str:
        """An operation as text, e.g. ``"HOW MANY k3"``; ``""`` for none."""
        operation, kind = tokens
        return f"{VERBS[operation]} {self.kind_name(kind)}" if operation else ""

    @property
    def answer_names(self) -> tuple[str, ...]:
        """Answer 0, which is "none", and the counts: ``"1"``, ``"2"``, ..."""
        return ("none", *(str(count) for count in range(1, 1 + int(self.max_count))))

    def replay(self, tokens: NDArray[np.integer]) -> dict[int, int]:
        """The counts after these operations, by the token of the kind; kinds of which nothing is there are left
        out.
        """
        counts: dict[int, int] = {}
        for operation, kind in tokens.tolist():
            if operation in (COME, GO):
                counts[kind] = counts.get(kind, 0) + (1 if operation == COME else -1)
            elif operation == CLEAR:
                counts[kind] = 0
        return {kind: count for kind, count in counts.items() if count}

    def rows(self, memory: dict[int, int]) -> list[tuple[str, str]]:
        """The counts as text, by kind."""
        return [(self.kind_name(kind), self.answer_names[count]) for kind, count in sorted(memory.items())]

    # ------------------------------------------------------------------ reference scores

    def reference_scores(self) -> dict[str, float]:
        """Expected accuracies, see `ControlEnv.reference_scores`.

        ``"random"`` is exact. The others are measured on the first episodes of seed 0: on 2^18 operations, which
        leaves a standard error below 0.005 with the default arguments.
        """
        return {
            "random": 1 / (1 + self.num_answers),
            "cue-blind": float(self.answer_shares.max()),
            "first-cue": self._first_counts(reference_stream(self)),
        }

    @cached_property
    def answer_shares(self) -> NDArray[np.float64]:
        """How often each answer is right, measured as `reference_scores` are; shape (1 + max_count,).

        All kinds are alike. So nothing beats, without memory, the most frequent answer.
        """
        stream = reference_stream(self)
        asked = stream.answers >= 0
        weight = np.broadcast_to(1 / asked.sum(axis=1, keepdims=True), asked.shape)
        shares = np.bincount(stream.answers[asked], weight[asked], 1 + self.num_answers)
        return shares / len(stream.answers)

    def _first_counts(self, stream: Stream) -> float:
        """Accuracy of whoever keeps the first count of each kind for ever, which is 1, and answers "none" before
        it.
        """
        episodes = np.arange(len(stream.answers))
        first = np.zeros((len(episodes), 1 + 2 * int(self.num_kinds)), np.bool_)
        right = np.zeros(len(episodes))
        for t in range(int(self.num_steps)):
            operation, kind = stream.tokens[:, t].T
            first[episodes, kind] |= operation == COME
            right += first[episodes, kind] == stream.answers[:, t]
        return float(np.mean(right / (stream.answers >= 0).sum(axis=1)))
