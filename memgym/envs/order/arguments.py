"""The arguments of Order Rewriting, checked, and what follows from them: rules, words, reference scores."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_integer, check_number
from memgym.core.env import check_split
from memgym.envs.backend import load_kernel
from memgym.envs.control_vector import Index
from memgym.envs.order import rules
from memgym.envs.order.rules import APPEND, AT, FRONT, REMOVE, Rules
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

__all__ = ["OrderArguments"]

MAX_ITEMS = 1024  # ids and answers then fit 16 bits
MAX_CAPACITY = 64  # places are seen as one number each
VERBS = {APPEND: "APPEND", REMOVE: "REMOVE", FRONT: "FRONT"}


@dataclass(frozen=True)
class OrderArguments(StreamTask):
    """The arguments that all forms of the task share; see `OrderRewriting` for what they mean.

    Raises:
        ValueError: an argument outside its range, or some that do not go together; the message names them.
    """

    num_steps: int = 64
    num_items: int = 8
    capacity: int = 6
    query_rate: float = 0.4
    move_rate: float = 0.2
    remove_rate: float = 0.15
    absent_rate: float = 0.2
    split: Literal["train", "test"] = "train"

    name: ClassVar[str] = "OrderRewriting"

    def __post_init__(self) -> None:
        check_integer("num_steps", self.num_steps, 2, MAX_STEPS)
        check_integer("num_items", self.num_items, 2, MAX_ITEMS)
        check_integer("capacity", self.capacity, 2, min(MAX_CAPACITY, int(self.num_items)))
        for name in ("query_rate", "move_rate", "remove_rate", "absent_rate"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        check_split(self.split)
        check_shares(self, "query_rate", "move_rate", "remove_rate")

    # ------------------------------------------------------------------ the rules, as the base wants them

    @property
    def num_answers(self) -> int:
        """Answers besides "none"."""
        return int(self.num_items)

    @cached_property
    def rules(self) -> Rules:
        """The arguments as the generator needs them."""
        query, absent = float(self.query_rate), float(self.absent_rate)
        steps = (query * (1 - absent), query * absent, float(self.move_rate), float(self.remove_rate))
        first, second, third, fourth = make_thresholds(steps)
        return Rules(
            num_steps=int(self.num_steps),
            num_items=int(self.num_items),
            capacity=int(self.capacity),
            first_item=1 + (self.split == "test") * 2 * int(self.num_items),
            thresholds=(first, second, third, fourth),
            beyond_last=round(absent * (1 << 32)),
        )

    def make_tables(self) -> tuple[NDArray[np.float32], ...]:
        """A number for each operation, a number for each place, and a word for the item."""
        return one_hot_table(AT), one_hot_table(int(self.capacity)), word_table(2 * int(self.num_items))

    def make_state(self, n: int) -> State:
        """Lists for `n` episodes."""
        return rules.make_state(n, int(self.num_items), int(self.capacity))

    def begin(self, index: Index, state: State) -> None:
        """Empty lists for the episodes of `index`."""
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
        items, taken, live = state
        kernel = load_kernel("memgym.envs.order.kernel")
        kernel.operate(index, tuple(self.rules), key, t, (items.T, taken.T, live), tuple(out))

    # ------------------------------------------------------------------ names

    @property
    def items(self) -> Spelling:
        """How items are written."""
        return Spelling(int(self.num_items), "x")

    def tell(self, tokens: tuple[int, ...]) -> str:
        """An operation as text, e.g. ``"REMOVE x3a"`` or ``"AT 2"``; ``""`` for none."""
        operation, place, item = tokens
        if operation == AT:
            return f"AT {place}"
        return f"{VERBS[operation]} {self.items.name(item)}" if operation else ""

    @property
    def answer_names(self) -> tuple[str, ...]:
        """Answer 0, which is "none", and the items: ``"x0"``, ``"x1"``, ..."""
        return self.items.answer_names

    def replay(self, tokens: NDArray[np.integer]) -> dict[int, int]:
        """The list after these operations: the answer at each place, from place 1 on."""
        items: list[int] = []
        for operation, _, token in tokens.tolist():
            if operation in (REMOVE, FRONT):
                items.remove(self.items.answer_of(token))
            if operation in (APPEND, FRONT):
                items.insert(0 if operation == FRONT else len(items), self.items.answer_of(token))
        return dict(enumerate(items, start=1))

    def rows(self, memory: dict[int, int]) -> list[tuple[str, str]]:
        """The list as text, numbered and in order."""
        wide = len(str(len(memory)))
        return [(f"{place:>{wide}}.", self.answer_names[answer]) for place, answer in sorted(memory.items())]

    # ------------------------------------------------------------------ reference scores

    def reference_scores(self) -> dict[str, float]:
        """Expected accuracies, see `ControlEnv.reference_scores`.

        ``"random"`` is exact. The others are measured on the first episodes of seed 0: on 2^18 operations, which
        leaves a standard error below 0.005 with the default arguments.
        """
        none, held = self.questions
        return {
            "random": 1 / (1 + self.num_answers),
            "cue-blind": float(np.maximum(none, held / self.num_answers).sum()),
            "first-cue": self._first_list(reference_stream(self)),
        }

    @cached_property
    def questions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is asked: the share of the questions for each place whose answer is "none", and the share of the
        others, measured as `reference_scores` are; shape (1 + capacity,), place 0 unused.

        All items are alike. So nothing beats, without memory, "none" for the places where the first share
        exceeds the part of the second that falls to one item, and any one item for the rest.
        """
        stream = reference_stream(self)
        weight = 1 / ((stream.answers >= 0).sum(axis=1, keepdims=True) * np.ones(stream.answers.shape[1]))
        shares = []
        for chosen in (stream.answers == 0, stream.answers > 0):
            places = stream.tokens[:, :, 1][chosen]
            shares.append(np.bincount(places, weight[chosen], 1 + int(self.capacity)) / len(stream.answers))
        return shares[0], shares[1]

    def _first_list(self, stream: Stream) -> float:
        """Accuracy of whoever keeps the first `capacity` different items in the order of their arrival, for ever."""
        episodes, capacity = np.arange(len(stream.answers)), int(self.capacity)
        kept = np.zeros((len(episodes), 1 + capacity), np.int16)
        count, right = np.zeros(len(episodes), np.intp), np.zeros(len(episodes))
        for t in range(int(self.num_steps)):
            operation, place, token = stream.tokens[:, t].T
            item = self.items.answer_of(token)
            new = (operation == APPEND) & (count < capacity) & (kept != item[:, None]).all(axis=1)
            count += new
            kept[episodes[new], count[new]] = item[new]
            right += kept[episodes, place] == stream.answers[:, t]
        return float(np.mean(right / (stream.answers >= 0).sum(axis=1)))
