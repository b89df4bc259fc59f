"""What calls to language models cost: accounts for each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import Any

__all__ = ["Ledger", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Cost of one call or of many.

    Attributes:
        calls: requests that were made, answered or not, repairs included.
        prompt_tokens: as the model counted them.
        completion_tokens: likewise.
        retries: attempts after the first.
        failures: steps that ended without a valid output.
        seconds: spent waiting; not part of a comparison, since no two runs take the same time.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = field(default=0.0, compare=False)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def to_dict(self) -> dict[str, int]:
        """The numbers that a second run of the same thing gives again: all but the seconds."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "seconds"}


class Ledger:
    """Usage by step. Threads may share it.

    >>> ledger = Ledger()
    >>> ledger.add("answer", Usage(calls=1, completion_tokens=5))
    >>> ledger.total.completion_tokens
    5
    """

    def __init__(self) -> None:
        self._by_step: dict[str, Usage] = {}
        self._lock = Lock()

    def add(self, step: str, usage: Usage) -> None:
        """Enter what a call of `step` cost."""
        with self._lock:
            self._by_step[step] = self._by_step.get(step, Usage()) + usage

    @property
    def by_step(self) -> Mapping[str, Usage]:
        """Usage of each step so far."""
        return MappingProxyType(dict(self._by_step))

    @property
    def total(self) -> Usage:
        """Usage of all steps."""
        return sum(self._by_step.values(), Usage())

    def to_dict(self) -> dict[str, dict[str, int]]:
        """What can be reproduced of it, steps in order of their names; for cards and results."""
        return {step: usage.to_dict() for step, usage in sorted(self._by_step.items())}

    def __getstate__(self) -> dict[str, Any]:
        return {"_by_step": self._by_step}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())
