"""What happened in an episode, and a running hash of everything that the environment said."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np

from memgym.errors import InvalidOperation
from memgym.memory.ops import OpKind

__all__ = ["Episode", "Recorder", "array_prefix", "kind_name", "metric_of", "numbers_of", "plain"]

_DOUBLE = struct.Struct("d").pack
NOT_METRICS = {"memory_bytes", "memory_ops", "refused", "score", "success"}
NUMBERS = (bool, int, float, np.number, np.bool_)
ENTRY, SCORE = {"attrs", "id", "score", "text"}, np.dtype(np.float32)  # of a memory in view
MAX_KEPT = 4096  # characters of an entry


@dataclass
class Episode:
    """One played episode, as raw numbers.

    Attributes:
        ret: sum of rewards.
        bank_bytes: most bytes that the environment's bank held.
        agent_bytes: most bytes that the agent itself remembered, as it says.
        ops: memory operations asked for, by kind.
        refused: operations that were refused.
        questions: one mapping a question: type, score, whether it is right, further metrics.
        hash: of every observation and reward in order (BLAKE2b, 128 bits).
        actions: what was done, in JSON-like values; enough to replay the episode.
        error: what the agent raised, where it did; the episode then counts as score 0.
    """

    seed: int
    episode: int
    ret: float = 0.0
    length: int = 0
    terminated: bool = False
    truncated: bool = False
    score: float = 0.0
    success: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    bank_bytes: int = 0
    agent_bytes: int = 0
    ops: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    questions: list[dict[str, Any]] = field(default_factory=list)
    hash: str = ""
    actions: list[Any] = field(default_factory=list)
    error: str | None = None


def plain(value: Any) -> Any:
    """`value` in JSON-like types: numpy scalars and arrays become numbers and lists."""
    if type(value) is int:  # the usual action of a control task, and of every replay
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return value


def metric_of(env: gym.Env) -> str:
    """The key of the score in the last `info`; ``"success"`` where the environment names none."""
    return getattr(env.unwrapped, "metric", "success")


class Recorder(gym.Wrapper):
    """Writes down what passes between an environment and whatever plays it.

    It goes directly around the environment, inside the agent's own views, so what it records replays without
    the agent.

    Args:
        env: the task.

    Attributes:
        metric: key of the score in the last `info`.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.metric = metric_of(env)
        self.record = Episode(0, 0)

    def start(self, seed: int, episode: int) -> tuple[Any, dict[str, Any]]:
        """Reset to one episode and begin its record."""
        return self.reset(seed=seed, options={"episode": episode})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset, with a fresh record."""
        self.record = Episode(seed or 0, (options or {}).get("episode", 0))
        self._hash = hashlib.blake2b(digest_size=16)
        observation, info = self.env.reset(seed=seed, options=options)
        _feed(self._hash, observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and write it down."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        record = self.record
        record.actions.append(plain(action))
        reward_number = float(reward)
        record.ret += reward_number
        record.length += 1
        record.terminated, record.truncated = bool(terminated), bool(truncated)
        _feed(self._hash, observation)
        self._hash.update(_DOUBLE(reward_number))
        if type(action) is not int:
            self._count_ops(action)
        self._count(info)
        if terminated or truncated:
            record.score = float(info[self.metric])
            record.success = bool(info["success"])
            record.metrics = numbers_of(info)
            record.hash = self._hash.hexdigest()
        return observation, reward, terminated, truncated, info

    def close_record(self) -> Episode:
        """The record so far; complete once the episode has ended."""
        self.record.hash = self._hash.hexdigest()
        return self.record

    def _count_ops(self, action: Any) -> None:
        if isinstance(action, Mapping):
            ops = self.record.ops
            for op in action.get("ops", ()):
                name = kind_name(op)
                ops[name] = ops.get(name, 0) + 1

    def _count(self, info: Mapping[str, Any]) -> None:
        record = self.record
        if "memory_bytes" in info:
            record.bank_bytes = max(record.bank_bytes, int(info["memory_bytes"]))
        if "refused" in info:
            record.refused += len(info["refused"])
        if "question_type" in info:
            row = {key: plain(value) for key, value in info.items() if key not in NOT_METRICS}
            row["type"], row["score"] = row.pop("question_type"), row.pop("question_score")
            record.questions.append(row)


def numbers_of(info: Mapping[str, Any]) -> dict[str, float]:
    """The diagnostics of a control task's last `info`, e.g. why it ended; those of questions stay with them."""
    if "question_type" in info:
        return {}
    return {
        key: float(value)
        for key, value in info.items()
        if key not in NOT_METRICS and isinstance(value, NUMBERS)
    }


def kind_name(op: Any) -> str:
    """The kind of a memory operation as an action has it; ``"MALFORMED"`` where it has none."""
    try:
        return OpKind.parse(op["kind"] if "kind" in op else op["op"]).name
    except (InvalidOperation, KeyError, TypeError):
        return "MALFORMED"


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a hash, with its type and size, so that different values never hash alike."""
    if type(value) is np.ndarray and not value.dtype.hasobject:
        digest.update(array_prefix(value.dtype, value.shape) + value.tobytes())
    elif isinstance(value, str):
        digest.update(_string(value))
    elif type(value) is dict and value.keys() == ENTRY and (around := _around_score(value)):
        digest.update(around[0] + value["score"].tobytes() + around[1])
    elif isinstance(value, Mapping):
        digest.update(b"d%d:" % len(value))
        for key in sorted(value):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, tuple | list):
        digest.update(b"t%d:" % len(value))
        for part in value:
            _feed(digest, part)
    else:
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError(f"an observation holds {type(value).__name__}, which has no fixed bytes to hash.")
        digest.update(array_prefix(array.dtype, array.shape) + array.tobytes())


def _around_score(entry: dict[str, Any]) -> tuple[bytes, bytes] | None:
    """What `_feed` adds of an entry of a memory before and after its score; None for what only looks like one.

    A memory shows much the same entries step after step, so theirs is kept.
    """
    attrs, id, score, text = entry["attrs"], entry["id"], entry["score"], entry["text"]
    if not type(attrs) is type(id) is type(text) is str or len(attrs) + len(text) > MAX_KEPT:
        return None
    if type(score) is not np.ndarray or score.dtype != SCORE or score.shape:
        return None
    return _kept_around_score(attrs, id, text)


@lru_cache(maxsize=1 << 12)
def _kept_around_score(attrs: str, id: str, text: str) -> tuple[bytes, bytes]:
    before = b"".join(map(_string, ("attrs", attrs, "id", id, "score")))
    return b"d4:" + before + array_prefix(SCORE, ()), _string("text") + _string(text)


def _string(text: str) -> bytes:
    data = text.encode()
    return b"s%d:%b" % (len(data), data)


@lru_cache(maxsize=256)
def array_prefix(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What is hashed before an array's bytes."""
    return f"a{dtype.str}{shape}:".encode()
