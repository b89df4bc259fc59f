"""The arguments of Key-Value Rewriting, checked, and what follows from them: rules, words, reference scores."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_integer, check_number
from memgym.core.env import check_split
from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import Index
from memgym.envs.key_value import rules
from memgym.envs.key_value.rules import DELETE, GET, SET, Rules
from memgym.envs.streams.generate import Stream, reference_stream
from memgym.envs.streams.task import (
    MAX_STEPS,
    Operations,
    Spelling,
    State,
    StreamTask,
    check_shares,
    make_thresholds,
    one_hot_table,
    word_table,
)

__all__ = ["KeyValueArguments"]

MAX_KEYS = MAX_VALUES = 1024  # ids and answers then fit 16 bits


@dataclass(frozen=True)
class KeyValueArguments(StreamTask):
    """The arguments that all forms of the task share; see `KeyValueRewriting` for what they mean.

    Raises:
        ValueError: an argument outside its range, or some that do not go together; the message names them.
    """

    num_steps: int = 64
    num_keys: int = 8
    capacity: int = 4
    vocabulary: int = 8
    query_rate: float = 0.4
    overwrite_rate: float = 0.25
    delete_rate: float = 0.1
    absent_rate: float = 0.2
    delay: int = 0
    split: Literal["train", "test"] = "train"

    name: ClassVar[str] = "KeyValueRewriting"

    def __post_init__(self) -> None:
        check_integer("num_steps", self.num_steps, 2, MAX_STEPS)
        check_integer("num_keys", self.num_keys, 1, MAX_KEYS)
        check_integer("capacity", self.capacity, 1, MAX_KEYS)
        check_integer("vocabulary", self.vocabulary, 2, MAX_VALUES)
        check_number(
            "query_rate", self.query_rate, 0.0, 0.9
        )  # with more there would be next to nothing to ask for
        for name in ("overwrite_rate", "delete_rate", "absent_rate"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        check_integer("delay", self.delay, 0, MAX_STEPS)
        check_split(self.split)
        if self.capacity > self.num_keys:
            raise ValueError(
                f"capacity is an integer from 1 to num_keys ({self.num_keys}), not {self.capacity}."
            )
        if self.delay > self.num_steps - 2:
            raise ValueError(
                f"delay is an integer from 0 to num_steps - 2 ({self.num_steps - 2}), not {self.delay}."
            )
        check_shares(self, "query_rate", "overwrite_rate", "delete_rate")

    # ------------------------------------------------------------------ the rules, as the base wants them

    @property
    def num_answers(self) -> int:
        """Answers besides "none"."""
        return int(self.vocabulary)

    @cached_property
    def rules(self) -> Rules:
        """The arguments as the generator needs them."""
        query, absent = float(self.query_rate), float(self.absent_rate)
        steps = (query * (1 - absent), query * absent, float(self.overwrite_rate), float(self.delete_rate))
        first, second, third, fourth = make_thresholds(steps)
        test = self.split == "test"
        return Rules(
            num_steps=int(self.num_steps),
            capacity=int(self.capacity),
            num_keys=int(self.num_keys),
            vocabulary=int(self.vocabulary),
            delay=int(self.delay),
            first_key=1 + test * int(self.num_keys),
            first_value=1 + test * 2 * int(self.vocabulary),
            thresholds=(first, second, third, fourth),
            empty_last=round(absent * (1 << 32)),
        )

    def make_tables(self) -> tuple[NDArray[np.float32], ...]:
        """Three numbers for the operation, a word for the key, and a word for the value."""
        return one_hot_table(GET), word_table(int(self.num_keys)), word_table(2 * int(self.vocabulary))

    def make_state(self, n: int) -> State:
        """Tables for `n` episodes."""
        return rules.make_state(n, int(self.num_keys))

    def begin(self, index: Index, state: State) -> None:
        """Empty tables for the episodes of `index`."""
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
        kernel = load_kernel("memgym.envs.key_value.kernel")
        kernel.operate(index, tuple(self.rules), key, t, state, tuple(out))

    # ------------------------------------------------------------------ names

    def key_name(self, token: int) -> str:
        """A key as text, e.g. ``"k3"``; those of the test split have the numbers from `num_keys` on."""
        return f"k{token - 1}"

    @property
    def values(self) -> Spelling:
        """How values are written."""
        return Spelling(int(self.vocabulary), "v")

    def tell(self, tokens: tuple[int, ...]) -> str:
        """An operation as text, e.g. ``"SET k3 = v7a"``; ``""`` for none."""
        operation, key, value = tokens
        if operation == SET:
            return f"SET {self.key_name(key)} = {self.values.name(value)}"
        return f"{'DELETE' if operation == DELETE else 'GET'} {self.key_name(key)}" if operation else ""

    @property
    def answer_names(self) -> tuple[str, ...]:
        """Answer 0, which is "none", and the values: ``"v0"``, ``"v1"``, ..."""
        return self.values.answer_names

    def replay(self, tokens: NDArray[np.integer]) -> dict[int, int]:
        """The table after these operations: the answer under each key's token."""
        table: dict[int, int] = {}
        for operation, key, value in tokens.tolist():
            if operation == SET:
                table[key] = self.values.answer_of(value)
            elif operation == DELETE:
                del table[key]
        return table

    def rows(self, memory: dict[int, int]) -> list[tuple[str, str]]:
        """The table as text, by key."""
        return [(self.key_name(key), self.answer_names[answer]) for key, answer in sorted(memory.items())]

    # ------------------------------------------------------------------ reference scores

    def reference_scores(self) -> dict[str, float]:
        """Expected accuracies, see `ControlEnv.reference_scores`.

        ``"random"`` is exact. The others are measured on the first episodes of seed 0: on 2^18 operations, which
        leaves a standard error below 0.005 with the default arguments.
        """
        none, value = self.constant_scores
        return {
            "random": 1 / (1 + self.num_answers),
            "cue-blind": max(none, value),
            "first-cue": self._first_values(reference_stream(self)),
        }

    @cached_property
    def constant_scores(self) -> tuple[float, float]:
        """Accuracy of "none" to every GET, and of any one value to every GET; measured as `reference_scores`.

        Nothing beats the better one without memory: all keys are alike, and so are all values.
        """
        answers = reference_stream(self).answers
        none = float(np.mean((answers == 0).sum(axis=1) / (answers >= 0).sum(axis=1)))
        return none, (1 - none) / self.num_answers

    def _first_values(self, stream: Stream) -> float:
        """Accuracy of whoever keeps the first value of each key for ever, and answers "none" before it."""
        episodes = np.arange(len(stream.answers))
        first = np.zeros((len(episodes), 1 + 2 * int(self.num_keys)), np.int16)
        right = np.zeros(len(episodes))
        for t in range(int(self.num_steps)):
            operation, key, value = stream.tokens[:, t].T
            new = episodes[(operation == SET) & (first[episodes, key] == 0)]
            first[new, key[new]] = self.values.answer_of(value[new])
            right += first[episodes, key] == stream.answers[:, t]
        return float(np.mean(right / (stream.answers >= 0).sum(axis=1)))
