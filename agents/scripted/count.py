"""Count Rewriting played by rule: with exact counts, with first counts kept for ever, or with no memory."""

import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_choice
from memgym.envs.count import CLEAR, COME, GO, HOW_MANY, CountRewriting

__all__ = ["CountPlayer"]

MEMORIES = ("belief", "first-cue", "cue-blind")
NONE = 0


class CountPlayer:
    """Answers each HOW MANY from what it remembers of the operations before.

    Three memories:

    * ``"belief"``: the counts as they are; the operations tell all of them.
    * ``"first-cue"``: the first count of every kind, which is 1, whatever comes and goes later.
    * ``"cue-blind"``: nothing. It gives the same answer to every HOW MANY, the one that is right most often.

    Args:
        env: the task; only its arguments are read.
        memory: which of the three.
        seed: for players that choose at random; this one does not.
    """

    def __init__(self, env: CountRewriting, memory: str, seed: int = 0) -> None:
        check_choice("memory", memory, MEMORIES)
        self.arguments = env.arguments
        self.memory = memory
        self._counts: dict[int, int] = {}  # by the token of the kind
        self._guess = int(env.arguments.answer_shares.argmax()) if memory == "cue-blind" else NONE

    @property
    def nbytes(self) -> int:
        """Two bytes for each kind that it remembers, and two for its count."""
        return 4 * len(self._counts)

    def act(self, observation: NDArray[np.float32]) -> int:
        """The answer; "none" where nothing is asked."""
        operation, kind = self.arguments.read(observation)
        count = self._counts.get(kind, 0)
        if operation == HOW_MANY:
            return self._guess if self.memory == "cue-blind" else count
        if self.memory == "first-cue" and operation == COME:
            self._counts[kind] = 1
        elif self.memory == "belief" and operation in (COME, GO):
            self._counts[kind] = count + (1 if operation == COME else -1)
        elif self.memory == "belief" and operation == CLEAR:
            self._counts[kind] = 0
        return NONE
