"""A bound on what calls to language models may cost."""

from threading import Lock
from typing import Any

from memgym.llm.errors import LLMBudgetExceeded

__all__ = ["LLMBudget", "guess_tokens"]

CHARS_PER_TOKEN = 3.0  # English has about 4


def guess_tokens(nchars: int) -> int:
    """A guess of the tokens of a text with `nchars` characters, rather too high than too low."""
    return int(nchars / CHARS_PER_TOKEN) + 16


class LLMBudget:
    """A bound on what one or more clients spend, in tokens, in money, or both. Threads may share it.

    Before a request is sent, the most that it can cost is set aside: its bound on the completion and a guess
    of its prompt. After it the true cost is entered; an attempt whose cost nobody knows, because it timed out or
    its answer was broken, is entered at what was set aside. So the bound holds up to the error of the guess for
    prompts that are under way. Copies, as in other processes, count by themselves.

    Args:
        max_tokens: of prompts and completions together.
        max_cost: in the currency of the clients' prices.

    Attributes:
        tokens: spent so far, or set aside.
        cost: likewise.
    """

    def __init__(self, max_tokens: int | None = None, max_cost: float | None = None) -> None:
        for name, value in (("max_tokens", max_tokens), ("max_cost", max_cost)):
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is at least 0 or None, not {value}.")
        self.max_tokens = max_tokens
        self.max_cost = max_cost
        self.tokens = 0
        self.cost = 0.0
        self._lock = Lock()

    def reserve(self, tokens: int, cost: float) -> None:
        """Set aside what a request can cost.

        Raises:
            LLMBudgetExceeded: more than is left.
        """
        with self._lock:
            if self.max_tokens is not None and self.tokens + tokens > self.max_tokens:
                left = f"{max(0, self.max_tokens - self.tokens)} of {self.max_tokens} tokens are left"
                raise LLMBudgetExceeded(f"a request may take {tokens} tokens and {left}; raise max_tokens.")
            if self.max_cost is not None and self.cost + cost > self.max_cost:
                left = f"{max(0.0, self.max_cost - self.cost):.6g} of {self.max_cost:g} is left"
                raise LLMBudgetExceeded(f"a request may cost {cost:.6g} and {left}; raise max_cost.")
            self.tokens += tokens
            self.cost += cost

    def settle(self, tokens: int, cost: float) -> None:
        """Correct what was set aside by the difference to what it came to."""
        with self._lock:
            self.tokens += tokens
            self.cost += cost

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())
