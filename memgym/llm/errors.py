"""What can go wrong between memgym and a language model; the tree stands in `memgym.errors`."""

from memgym.errors import MemgymError
from memgym.llm.usage import Usage

__all__ = [
    "CassetteCorrupt",
    "CassetteMiss",
    "LLMBudgetExceeded",
    "LLMError",
    "LLMOutputInvalid",
    "LLMRefused",
    "LLMUnavailable",
]


class LLMError(MemgymError):
    """A language model gave no usable answer.

    Attributes:
        usage: what the attempts cost, as far as it is known.
    """

    usage: Usage = Usage()


class LLMUnavailable(LLMError):
    """No answer after all attempts: not reachable, too slow, overloaded, or not speaking the protocol."""


class LLMRefused(LLMError, ValueError):
    """The server refuses the request itself: wrong key, model or arguments. Another attempt would not help."""


class LLMOutputInvalid(LLMError, ValueError):
    """The answer does not fit the schema of its step, nor did the repaired one."""


class LLMBudgetExceeded(LLMError):
    """The next request could cost more than is left. It was not sent."""


class CassetteMiss(LLMError, KeyError):
    """A request that the cassette does not hold, where nothing may be asked."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0])


class CassetteCorrupt(LLMError, ValueError):
    """A cassette that cannot be read. The message names the line."""
