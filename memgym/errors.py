"""Every error that memgym raises on purpose.

::

    MemgymError
    ├── UnknownName          a name that no registry knows (also a KeyError)
    ├── DependencyMissing    an optional package is not installed (also an ImportError)
    ├── AgentFailed          an agent in a process of its own that cannot be made or asked
    ├── InvalidOperation     a memory operation or action that cannot be read (also a ValueError)
    ├── DatasetError
    │   ├── DatasetMissing   the file is not on this machine (also a FileNotFoundError)
    │   └── DatasetCorrupt   wrong checksum or schema; names the record (also a ValueError)
    ├── StoreError           the file of a persistent memory (memgym.memory.persistent):
    │                        StoreInvalid, StoreInUse, StoreWriteFailed
    ├── WeightsInvalid       trained weights that cannot be loaded (memgym.agents.weights_io)
    ├── PackageUnusable      an installed package that cannot be used as it is (memgym.agents.external.store)
    ├── LLMError             a language model gave no usable answer (memgym.llm.errors)
    │   ├── LLMUnavailable      no answer after all attempts
    │   ├── LLMRefused          the request itself is refused (also a ValueError)
    │   ├── LLMOutputInvalid    an answer that does not fit its step (also a ValueError)
    │   ├── LLMBudgetExceeded   the next request could cost more than is left
    │   ├── CassetteMiss        a request that a recording does not hold (also a KeyError)
    │   └── CassetteCorrupt     a recording that cannot be read (also a ValueError)
    └── ResultError
        ├── ResultInvalid    a result bundle that cannot be read (also a ValueError)
        ├── ResultMismatch   a result bundle that does not replay to its own numbers
        └── SubmissionRefused  a result that a leaderboard does not take

The command line prints the message of a ``MemgymError`` and exits with 1; it never shows a stack trace
for one.
"""

__all__ = [
    "AgentFailed",
    "DatasetCorrupt",
    "DatasetError",
    "DatasetMissing",
    "DependencyMissing",
    "InvalidOperation",
    "MemgymError",
    "ResultError",
    "ResultInvalid",
    "ResultMismatch",
    "SubmissionRefused",
    "UnknownName",
]


class MemgymError(Exception):
    """Base of all errors that memgym raises on purpose."""


class UnknownName(MemgymError, KeyError):
    """A name that no registry knows. The message suggests near matches."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0])


class DependencyMissing(MemgymError, ImportError):
    """An optional package is not installed. The message names the extra to install."""

    @classmethod
    def for_extra(cls, package: str, extra: str, purpose: str) -> "DependencyMissing":
        """The usual message: what needs which package, and the pip command that brings it."""
        return cls(f"{purpose} needs {package!r}. Install it with: pip install 'memgym[{extra}]'")


class AgentFailed(MemgymError):
    """An agent in a process of its own cannot be made, or asked about itself. The message says why."""


class InvalidOperation(MemgymError, ValueError):
    """A memory operation or action that cannot be read."""


class DatasetError(MemgymError):
    """Something is wrong with a dataset file."""


class DatasetMissing(DatasetError, FileNotFoundError):
    """The dataset file is not on this machine. The message says how to get it."""


class DatasetCorrupt(DatasetError, ValueError):
    """The dataset file has the wrong checksum or schema. The message names the record."""


class ResultError(MemgymError):
    """Something is wrong with a result bundle."""


class ResultInvalid(ResultError, ValueError):
    """A result bundle that cannot be read: missing file, wrong schema, wrong size."""


class ResultMismatch(ResultError):
    """A result bundle whose numbers are not what its own actions give."""


class SubmissionRefused(ResultError):
    """A result that a leaderboard does not take, with the reason."""
