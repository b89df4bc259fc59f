"""TokenObservation: text as fixed-size integer arrays, for agents that read numbers."""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

__all__ = ["TokenObservation", "token_ids"]

WORD = re.compile(r"\w+|[^\w\s]")
PHASES = np.eye(3, dtype=np.int32)
MAX_CACHED = 2048  # characters; a table of longer texts is not worth holding on to


@lru_cache(maxsize=1 << 16)
def _token_id(word: str, vocab_size: int) -> int:
    digest = blake2b(word.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % (vocab_size - 1)


def token_ids(text: str, length: int, vocab_size: int) -> NDArray[np.int32]:
    """Hashed word ids, shape (length,), int32: from 1 to vocab_size - 1, padded with 0.

    Words and punctuation marks, in lower case; no vocabulary file, and the same on every machine.
    """
    ids = [_token_id(word, vocab_size) for word in WORD.findall(text.lower())[:length]]
    out = np.zeros(length, np.int32)
    out[: len(ids)] = ids
    return out


@lru_cache(maxsize=1 << 12)  # a bank stays in view as it is for many steps, and small talk comes again
def _table(texts: tuple[str, ...], rows: int, length: int, vocab_size: int) -> NDArray[np.int32]:
    out = np.zeros((rows, length), np.int32)
    for i, text in enumerate(texts[:rows]):
        out[i] = token_ids(text, length, vocab_size)
    return out


class TokenObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Observations as a `Dict` of integer arrays of fixed size; what does not fit is cut, short texts are padded.

    | key | shape | meaning |
    | --- | --- | --- |
    | `phase` | (3,) | one-hot: item, question, end |
    | `text` | (text_tokens,) | the item or question, the speaker first |
    | `memory` | (memory_entries, text_tokens) | entries in view |
    | `hits` | (memory_entries, text_tokens) | results of the last search |
    | `choices` | (num_choices, choice_tokens) | options of a choice question |
    | `filled` | (memory_entries,) | 1 where `memory` has an entry |

    Args:
        env: a text task, or a view of one.
        text_tokens: tokens kept of a text.
        memory_entries: entries kept of the bank.
        num_choices: options kept; 0 leaves `choices` out.
        choice_tokens: tokens kept of an option.
        vocab_size: number of ids; words share one where their hashes collide.
    """

    def __init__(
        self,
        env: gym.Env,
        text_tokens: int = 16,
        memory_entries: int = 8,
        num_choices: int = 0,
        choice_tokens: int = 6,
        vocab_size: int = 4096,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            text_tokens=text_tokens,
            memory_entries=memory_entries,
            num_choices=num_choices,
            choice_tokens=choice_tokens,
            vocab_size=vocab_size,
        )  # for env.spec
        gym.ObservationWrapper.__init__(self, env)
        if min(text_tokens, memory_entries, choice_tokens) < 1 or vocab_size < 2 or num_choices < 0:
            raise ValueError("sizes are at least 1, vocab_size at least 2.")
        self.text_tokens, self.memory_entries = text_tokens, memory_entries
        self.num_choices, self.choice_tokens = num_choices, choice_tokens
        self.vocab_size = vocab_size

        def ids(*shape: int) -> spaces.Box:
            return spaces.Box(0, vocab_size - 1, shape, np.int32)

        parts: dict[str, spaces.Space] = {
            "phase": spaces.Box(0, 1, (3,), np.int32),
            "text": ids(text_tokens),
            "memory": ids(memory_entries, text_tokens),
            "hits": ids(memory_entries, text_tokens),
            "filled": spaces.Box(0, 1, (memory_entries,), np.int32),
        }
        if num_choices:
            parts["choices"] = ids(num_choices, choice_tokens)
        self.observation_space = spaces.Dict(parts)

    def observation(self, observation: dict[str, Any]) -> dict[str, NDArray[np.int32]]:
        """The arrays for one observation."""
        memory = observation["memory"][: self.memory_entries]
        filled = np.zeros(self.memory_entries, np.int32)
        filled[: len(memory)] = [bool(entry["id"]) for entry in memory]
        said = f"{observation['speaker']} {observation['text']}"
        arrays = {
            "phase": PHASES[observation["phase"]].copy(),
            "text": self._table([said], 1, self.text_tokens)[0],
            "memory": self._table([e["text"] for e in memory], self.memory_entries, self.text_tokens),
            "hits": self._table(
                [e["text"] for e in observation["hits"]], self.memory_entries, self.text_tokens
            ),
            "filled": filled,
        }
        if self.num_choices:
            arrays["choices"] = self._table(observation["choices"], self.num_choices, self.choice_tokens)
        return arrays

    def _table(self, texts: Iterable[str], rows: int, length: int) -> NDArray[np.int32]:
        given = tuple(texts)
        make = _table if sum(map(len, given)) <= MAX_CACHED else _table.__wrapped__
        return make(given, rows, length, self.vocab_size).copy()  # who gets it may write into it
