"""Gymnasium spaces for text and for memory operations."""

from typing import Any

import numpy as np
from gymnasium import spaces

from memgym.memory.ops import CORE_KINDS, MAX_ID, MAX_TEXT, OpKind

__all__ = ["UnicodeText", "entry_space", "op_space"]


class UnicodeText(spaces.Text):
    """Any string up to `max_length` characters that can be encoded as UTF-8.

    Gymnasium's `Text` lists its alphabet; real conversations use all of Unicode, so membership here asks
    only for valid text. `sample` draws from Gymnasium's default alphabet.
    """

    def __init__(self, max_length: int = MAX_TEXT, *, seed: int | None = None) -> None:
        super().__init__(max_length=max_length, min_length=0, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string of at most `max_length` characters, without lone surrogates."""
        if not isinstance(x, str) or len(x) > self.max_length:
            return False
        try:
            x.encode()
        except UnicodeEncodeError:
            return False
        return True

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random string of at most 32 characters: long samples would only fill memories with noise."""
        if mask is None and probability is None:
            length = int(self.np_random.integers(0, min(self.max_length, 32) + 1))
            return "".join(self.np_random.choice(list(self.character_list), size=length))
        return super().sample(mask, probability)

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length


def op_space(extended: bool = False) -> spaces.Dict:
    """One memory operation: ``Dict(kind=Discrete, id=Text, text=Text, attrs=Text)``; `attrs` is JSON or empty.

    Args:
        extended: with the kinds for memories with structure, MERGE to ROLLBACK.
    """
    return spaces.Dict(
        kind=spaces.Discrete(len(OpKind) if extended else CORE_KINDS),
        id=UnicodeText(MAX_ID),
        text=UnicodeText(),
        attrs=UnicodeText(),
    )


def entry_space() -> spaces.Dict:
    """One memory entry as an agent sees it: ``Dict(id, text, attrs, score)``; `score` is 0 outside `hits`."""
    return spaces.Dict(
        id=UnicodeText(MAX_ID),
        text=UnicodeText(),
        attrs=UnicodeText(),
        score=spaces.Box(-np.inf, np.inf, (), np.float32),
    )
