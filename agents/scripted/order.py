"""Order Rewriting played by rule: with the list as it is, with the first list kept for ever, or with no memory."""

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice
from memgym.envs.order import APPEND, AT, FRONT, REMOVE, OrderRewriting

__all__ = ["OrderPlayer"]

MEMORIES = ("belief", "first-cue", "cue-blind")
NONE, ANY_ITEM = 0, 1


class OrderPlayer:
    """Answers each AT from what it remembers of the operations before.

    Three memories:

    * ``"belief"``: the list as it is; the operations tell all of it.
    * ``"first-cue"``: the first `capacity` different items in the order of their arrival, whatever is edited later.
    * ``"cue-blind"``: nothing. For each place it always gives the same answer: "none" where that is right more
      often than any one item, else an item.

    Args:
        env: the task; only its arguments are read.
        memory: which of the three.
        seed: for players that choose at random; this one does not.
    """

    def __init__(self, env: OrderRewriting, memory: str, seed: int = 0) -> None:
        check_choice("memory", memory, MEMORIES)
        self.arguments = env.arguments
        self.memory = memory
        self._items: list[int] = []  # as answers
        if memory == "cue-blind":
            none, held = env.arguments.questions
            self._guesses = np.where(none * env.arguments.num_answers >= held, NONE, ANY_ITEM).tolist()

    @property
    def nbytes(self) -> int:
        """Two bytes for each item that it remembers."""
        return 2 * len(self._items)

    def act(self, observation: NDArray[np.float32]) -> int:
        """The answer; "none" where nothing is asked."""
        operation, place, item = self.arguments.read(observation)
        if operation == AT:
            if self.memory == "cue-blind":
                return self._guesses[place]
            return self._items[place - 1] if place <= len(self._items) else NONE
        answer = self.arguments.items.answer_of(item)
        if self.memory == "belief":
            self._edit(operation, answer)
        elif self.memory == "first-cue" and operation == APPEND and answer not in self._items:
            self._items = [*self._items, answer][: int(self.arguments.capacity)]
        return NONE

    def _edit(self, operation: int, answer: int) -> None:
        if operation in (REMOVE, FRONT):
            self._items.remove(answer)
        if operation == APPEND:
            self._items.append(answer)
        elif operation == FRONT:
            self._items.insert(0, answer)
