"""What a stream task is: a table that operations change and questions ask about, for many episodes at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.envs.control_vector import Index

__all__ = [
    "MAX_STEPS",
    "Operations",
    "Spelling",
    "State",
    "StreamTask",
    "check_shares",
    "make_operations",
    "make_thresholds",
    "one_hot_table",
    "word_table",
]

State = tuple[NDArray[Any], ...]
MAX_STEPS = 10_000  # operations in an episode


class Operations(NamedTuple):
    """The operation that each of n episodes shows now, as arrays.

    Attributes:
        tokens: what is shown, one id a field, 0 for nothing; int16, shape (num_fields, n).
        answer: the right answer, from 0 on; -1 where nothing is asked; int16, shape (n,).
        stale: the value that the last overwrite or deletion took from what is asked, as an answer; -1 where
            there is none; int16, shape (n,).
        overwrites: whether a value takes the place of another; bool, shape (n,).
    """

    tokens: NDArray[np.int16]
    answer: NDArray[np.int16]
    stale: NDArray[np.int16]
    overwrites: NDArray[np.bool_]


def make_operations(num_fields: int, n: int) -> Operations:
    """Room for one operation of each of `n` episodes."""
    return Operations(
        np.zeros((num_fields, n), np.int16),
        np.full(n, -1, np.int16),
        np.full(n, -1, np.int16),
        np.zeros(n, np.bool_),
    )


class StreamTask(ABC):
    """The checked arguments of a stream task, and its rules: base of a frozen dataclass.

    The stream does not depend on what the agent answers, so an episode is a pure function of its key. It is
    made one operation at a time, for n episodes together. A task says what it remembers of each (`make_state`,
    `begin`) and what comes next (`operate`, and the same compiled by numba in `operate_compiled`, bit for bit).
    The scalar form, the vector form and the batches for sequence models all run on these.

    Answer 0 is "none": what was asked for is not there. `operate` writes no answer and zero tokens from
    operation `num_steps` on.

    Attributes:
        name: of the scalar class, which names the random stream.
        num_steps: operations in an episode.
        num_answers: answers besides "none".
    """

    name: ClassVar[str]
    num_steps: int
    split: Literal["train", "test"]

    # ------------------------------------------------------------------ what a task writes

    @property
    @abstractmethod
    def num_answers(self) -> int:
        """Answers besides "none"."""

    @abstractmethod
    def make_tables(self) -> tuple[NDArray[np.float32], ...]:
        """How tokens show in an observation: one table a field, with a row of numbers for each id.

        The row of id 0 is zero.
        """

    @abstractmethod
    def make_state(self, n: int) -> State:
        """Room for what `n` episodes remember, each array with n as its first axis."""

    @abstractmethod
    def begin(self, index: Index, state: State) -> None:
        """Empty the state of the episodes of `index`."""

    @abstractmethod
    def operate(
        self,
        index: Index,
        key: NDArray[np.uint64],
        t: NDArray[np.int32],
        state: State,
        out: Operations,
    ) -> None:
        """Carry out operation ``t[i]`` of the episodes i of `index` (all different, in rising order) in `state`,
        and write it into `out`. `key` holds the key of every episode, not only of these.
        """

    @abstractmethod
    def operate_compiled(
        self,
        index: Index,
        key: NDArray[np.uint64],
        t: NDArray[np.int32],
        state: State,
        out: Operations,
    ) -> None:
        """`operate`, compiled by numba."""

    @property
    @abstractmethod
    def answer_names(self) -> tuple[str, ...]:
        """Every answer as text, "none" first."""

    @abstractmethod
    def tell(self, tokens: tuple[int, ...]) -> str:
        """An operation as text; ``""`` where nothing happens."""

    @abstractmethod
    def replay(self, tokens: NDArray[np.integer]) -> dict[int, int]:
        """What a memory without fault holds after these operations, shape (t, num_fields)."""

    @abstractmethod
    def rows(self, memory: dict[int, int]) -> list[tuple[str, str]]:
        """That as text, for pictures and oracles."""

    @abstractmethod
    def reference_scores(self) -> dict[str, float]:
        """Expected accuracies, see `ControlEnv.reference_scores`."""

    # ------------------------------------------------------------------ what follows from it

    @property
    def stream(self) -> str:
        """Name of the random stream; all forms of a task share it."""
        return f"{self.name}/{self.split}"

    @cached_property
    def tables(self) -> tuple[NDArray[np.float32], ...]:
        """`make_tables`, made once."""
        return self.make_tables()

    @cached_property
    def _ids(self) -> tuple[dict[bytes, int], ...]:
        return tuple({row.tobytes(): i for i, row in enumerate(table)} for table in self.tables)

    def observation_space(self) -> gym.Space[NDArray[np.float32]]:
        """A Box with one part for each field of a token."""
        low = np.concatenate([table.min(axis=0) for table in self.tables])
        high = np.concatenate([table.max(axis=0) for table in self.tables])
        space: Any = gym.spaces.Box(low, high, dtype=np.float32)
        return space

    def action_space(self) -> gym.spaces.Discrete:
        """Answer 0, which is "none", and all others."""
        return gym.spaces.Discrete(1 + self.num_answers)

    def observe(self, tokens: NDArray[np.integer]) -> NDArray[np.float32]:
        """The observations of tokens: shape (..., num_fields) to (..., size)."""
        parts = [table[tokens[..., field]] for field, table in enumerate(self.tables)]
        return np.concatenate(parts, axis=-1)

    def read(self, observation: NDArray[np.float32]) -> tuple[int, ...]:
        """The tokens of one observation; the inverse of `observe`.

        Raises:
            ValueError: nothing that a stream shows.
        """
        row = np.asarray(observation, np.float32) + np.float32(0)  # makes -0 a 0
        start, tokens = 0, []
        for table, ids in zip(self.tables, self._ids, strict=True):
            stop = start + table.shape[1]
            if (token := ids.get(row[start:stop].tobytes())) is None:
                raise ValueError(f"{row[start:stop]} is nothing that {self.name} shows.")
            tokens.append(token)
            start = stop
        return tuple(tokens)


def one_hot_table(size: int) -> NDArray[np.float32]:
    """One number for each of the ids 1 to `size`."""
    return np.eye(size + 1, size, k=-1, dtype=np.float32)


def word_table(size: int) -> NDArray[np.float32]:
    """Two words of binary digits (-1 and 1) for each number below `size`: ids 1 to `size` are the words of the
    train split, ids `size` + 1 to 2 `size` those of the test split.

    A word has the digits of its number, and after them its last digit once more: as it is in the train split,
    inverted in the test split. So no word is in both, while every digit takes both values in both.

    >>> word_table(2)
    array([[ 0.,  0.],
           [-1., -1.],
           [ 1.,  1.],
           [-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    length = max((size - 1).bit_length(), 1)
    table = np.zeros((1 + 2 * size, length + 1), np.float32)
    for number in range(size):
        digits = [1.0 if number >> place & 1 else -1.0 for place in reversed(range(length))]
        table[1 + number] = [*digits, digits[-1]]
        table[1 + size + number] = [*digits, -digits[-1]]
    return table


def check_shares(task: StreamTask, *names: str) -> None:
    """Refuse rates of operations that are more than all of them together.

    Raises:
        ValueError: names the arguments.
    """
    shares = sum(float(getattr(task, name)) for name in names)
    if shares > 1 + 1e-9:
        raise ValueError(f"{' + '.join(names)} is at most 1, not {shares:g}.")


def make_thresholds(shares: Sequence[float]) -> tuple[int, ...]:
    """Bounds between the outcomes of a draw of 32 bits, of which each of the first has its share."""
    return tuple(round(min(sum(shares[: i + 1]), 1.0) * (1 << 32)) for i in range(len(shares)))


class Spelling(NamedTuple):
    """`size` things that are each written in two words, as tokens of a `word_table` of 2 `size`: thing j has the
    words of the numbers 2j and 2j + 1, in the train split and in the test split.

    Attributes:
        size: number of things.
        prefix: of their names.
    """

    size: int
    prefix: str

    def answer_of(self, token: Any) -> Any:
        """The answer that a token stands for, j + 1 for thing j; also for arrays of tokens."""
        return 1 + (token - 1) % (2 * self.size) // 2

    def name(self, token: int) -> str:
        """A token as text, e.g. ``"v7a"``: the thing, and which of its words it is."""
        split, number = divmod(token - 1, 2 * self.size)
        return f"{self.prefix}{number // 2}{self.letters(split == 1)[number % 2]}"

    @staticmethod
    def letters(test: bool) -> str:
        """The two letters that mark the words of a split."""
        return "cd" if test else "ab"

    @property
    def answer_names(self) -> tuple[str, ...]:
        """Answer 0, which is "none", and the things: ``"v0"``, ``"v1"``, ..."""
        return ("none", *(f"{self.prefix}{i}" for i in range(self.size)))
