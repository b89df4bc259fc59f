"""A package's memory over the environment's bank: what it has stored is mirrored, what it finds is mapped back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from memgym.agents.external.model import PackageModel
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.core.agent import AgentCard
from memgym.errors import MemgymError
from memgym.llm import Client
from memgym.llm.channels import strip_text
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["Memory", "PackagePolicy", "PackageStore", "PackageUnusable", "external", "in_order"]

ID_NBYTES = 16  # of a package's id: a UUID
MIRRORED = (
    "Its memories are the environment's entries: under a budget the oldest are deleted from the package as well. "
    "Its prompts mix instructions and what is said; control tokens are taken out of the latter."
)


class PackageUnusable(MemgymError):
    """A package that is installed cannot be used as it is. The message says what to do."""


@dataclass(frozen=True)
class Memory:
    """What a package remembers as one thing.

    Attributes:
        text: its words.
        attrs: of the entry that mirrors it.
    """

    text: str
    attrs: Mapping[str, Any] = field(default_factory=dict)


class PackageStore(ABC):
    """A package's own memory, empty at first, for one episode.

    Ids are the package's, in any form: they stay inside it, and nothing depends on their order.
    """

    @abstractmethod
    def add(self, message: Message) -> None:
        """Let the package take in a message, by its own pipeline."""

    @abstractmethod
    def memories(self) -> Mapping[str, Memory]:
        """All that it remembers, by id, the oldest first."""

    @abstractmethod
    def search(self, question: Message) -> Sequence[str]:
        """Ids of what its own search finds, best first."""

    @abstractmethod
    def delete(self, id: str) -> None:
        """Delete a memory, by the package's own means."""

    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it keeps beside the texts of its memories: vectors, indices, logs."""


def in_order(known: Iterable[str], there: Collection[str]) -> list[str]:
    """The ids that are there: those known in their order, then all others, sorted."""
    first = [id for id in known if id in there]
    return [*first, *sorted({*there}.difference(first))]


class PackagePolicy(MemoryPolicy):
    """Plays a text task with a package's memory.

    After each message the package's store is compared with what the bank has of it. What is new, changed or gone
    becomes an ADD, UPDATE or DELETE. What does not fit the budget, the package forgets: it never finds what was not
    counted.

    Args:
        store: the package's.
        model: that the package asks.
    """

    def __init__(self, store: PackageStore, model: PackageModel) -> None:
        self.store, self.model = store, model
        self.ledger = Ledger()
        self._mirrored: dict[str, tuple[int, Memory]] = {}  # by the package's id: number of the entry
        self._store_nbytes = store.nbytes()

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """What has changed in the package's store."""
        self.ledger.begin(view)
        self._forget_the_evicted()
        try:
            self.store.add(self._plain(message))
        finally:
            self.model.check()
        self._mirror(self.store.memories())
        self._forget_the_evicted()
        self._store_nbytes = self.store.nbytes()
        return self.ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """The entries of what the package's own search finds."""
        found = self.store.search(self._plain(question))
        self.model.check()
        return ReadResult(
            self.ledger.fetch([self._mirrored[id][0] for id in found if id in self._mirrored], search)
        )

    def nbytes(self) -> int:
        """What the package keeps beside its texts, and which entry is which of its memories."""
        return self.ledger.nbytes() + ID_NBYTES * len(self._mirrored) + self._store_nbytes

    def _plain(self, message: Message) -> Message:
        return replace(message, text=strip_text(message.text, self.model.client.reserved))

    def _mirror(self, memories: Mapping[str, Memory]) -> None:
        ledger = self.ledger
        for id in [id for id in self._mirrored if id not in memories]:
            ledger.delete(self._mirrored[id][0])
        for id, memory in memories.items():
            number, before = self._mirrored.get(id, (None, None))
            if number is None:
                number = ledger.add(memory.text, memory.attrs, evict=oldest_first)
            elif memory == before or number not in ledger:
                continue
            elif not ledger.update(number, memory.text, memory.attrs, evict=oldest_first):
                ledger.delete(number)  # the old text would be untrue
            if number is None:
                self.store.delete(id)
            else:
                self._mirrored[id] = number, memory

    def _forget_the_evicted(self) -> None:
        """Delete from the package what the bank does not have any more."""
        gone = [id for id, (number, _) in self._mirrored.items() if number not in self.ledger]
        there = self.store.memories() if gone else {}
        for id in gone:
            if id in there:
                self.store.delete(id)
            del self._mirrored[id]


def external(
    name: str,
    make_store: Callable[[PackageModel], PackageStore],
    *,
    model: PackageModel,
    llm: str | Client,
    packages: Sequence[str],
    description: str,
    url: str,
    deviations: str,
    licence: str,
    extra: Mapping[str, Any],
    **switches: Any,
) -> PolicyAgent:
    """The agent of a package.

    Args:
        name: of the agent.
        make_store: makes an empty store for each episode.
        model: that the stores ask.
        llm: what `model` was made from.
        packages: whose versions the card says, as the package index names them.
        description: one sentence: how it remembers.
        url: of the package.
        deviations: from how the package is used elsewhere.
        licence: of the package.
        extra: more for the card.
        switches: further arguments that the agent was made with, for its card.
    """
    card = AgentCard(
        name=name,
        kind="llm",
        description=description,
        licence=licence,
        url=url,
        config={"llm": llm if isinstance(llm, str) else llm.model, **switches},
        extra={
            "packages": {package: version(package) for package in packages},
            "model": model.client.model,
            "deviations": f"{MIRRORED} {deviations}",
            **extra,
        },
    )
    return PolicyAgent(
        card,
        lambda: PackagePolicy(make_store(model), model),
        spent=lambda: model.ledger.total.to_dict(),
    )
