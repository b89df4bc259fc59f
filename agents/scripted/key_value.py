"""Key-Value Rewriting played by rule: with an exact table, with first values kept for ever, or with no memory."""

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice
from memgym.envs.key_value import DELETE, GET, SET, KeyValueRewriting

__all__ = ["KeyValuePlayer"]

MEMORIES = ("belief", "first-cue", "cue-blind")
NONE = 0


class KeyValuePlayer:
    """Answers each GET from what it remembers of the operations before.

    Three memories:

    * ``"belief"``: the table as it is; the operations tell all of it.
    * ``"first-cue"``: the first value of every key, whatever happens to the key later.
    * ``"cue-blind"``: nothing. It gives the same answer to every GET, the one that is right more often under
      these arguments: "none", or one of the values, which are all alike.

    Args:
        env: the task; only its arguments are read.
        memory: which of the three.
        seed: for players that choose at random; this one does not.
    """

    def __init__(self, env: KeyValueRewriting, memory: str, seed: int = 0) -> None:
        check_choice("memory", memory, MEMORIES)
        self.arguments = arguments = env.arguments
        self.memory = memory
        self._table: dict[int, int] = {}  # the answer under each key's token
        self._guess = NONE
        if memory == "cue-blind":
            none, value = arguments.constant_scores
            self._guess = NONE if none >= value else 1

    @property
    def nbytes(self) -> int:
        """Two bytes for each key that it remembers, and two for the answer."""
        return 4 * len(self._table)

    def act(self, observation: NDArray[np.float32]) -> int:
        """The answer; "none" where nothing is asked."""
        operation, key, value = self.arguments.read(observation)
        if operation == GET:
            return self._guess if self.memory == "cue-blind" else self._table.get(key, NONE)
        if operation == SET and self.memory == "belief":
            self._table[key] = self.arguments.values.answer_of(value)
        elif operation == SET and self.memory == "first-cue":
            self._table.setdefault(key, self.arguments.values.answer_of(value))
        elif operation == DELETE and self.memory == "belief":
            self._table.pop(key)
        return NONE
