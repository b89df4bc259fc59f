"""MemOS's container: entries of three kinds, each with a life, a chain of versions, and rules of who sees it."""

from collections.abc import Mapping
from typing import Any, Literal

from memgym.agents.structured.ledger import Ledger
from memgym.errors import InvalidOperation
from memgym.memory.embed import Embedder

__all__ = ["KINDS", "STATUSES", "MemCube"]

KINDS = ("plaintext", "activation", "parametric")
STATUSES = ("activated", "frozen", "archived", "expired")
FOUND = ("activated", "frozen")
VERSIONS = 4  # older texts of an entry that are kept

Status = Literal["activated", "frozen", "archived", "expired"]


class MemCube:
    """Plans what becomes of entries, between `begin` and `take` of its `ledger`.

    Attributes of an entry: ``kind`` (`KINDS`) and ``status`` (`STATUSES`); ``history``, older texts with their
    versions; ``merged``, numbers of the entries that it was made of; ``owner``, whose private entry it is; ``until``,
    its last day. The activation memory is the text of its entries, held here, so that reading them costs no search;
    a model may hold its keys and values instead.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.ledger = Ledger(embedder)
        self.activation: dict[int, str] = {}  # text by number, oldest first
        self.adapters: dict[int, int] = {}  # bytes by number

    def keep_up(self) -> None:
        """Drop what the ledger does not have any more."""
        self.activation = {number: text for number, text in self.activation.items() if number in self.ledger}
        self.adapters = {number: size for number, size in self.adapters.items() if number in self.ledger}

    def add(self, text: str, attrs: Mapping[str, Any], *, index: str) -> int | None:
        """Plan a plaintext entry: its number, None where it does not fit."""
        attrs = {"kind": "plaintext", "status": "activated", **attrs}
        return self.ledger.add(text, attrs, index=index, evict=self.order)

    def add_adapter(self, name: str, nbytes: int) -> int | None:
        """Plan a parametric entry, which stands for weights of so many bytes elsewhere; they count."""
        attrs = {"kind": "parametric", "status": "activated"}
        number = self.ledger.add(f"adapter {name}", attrs, evict=self.order)
        if number is not None:
            self.adapters[number] = nbytes
        return number

    def set_status(self, number: int, status: Status) -> bool:
        """Plan that an entry be frozen, archived, expired or active again; whether it could be."""
        done = self._set(number, {"status": status})
        if done and status not in FOUND:
            self.activation.pop(number, None)
        return done

    def update(self, number: int, text: str, *, index: str) -> bool:
        """Plan a new version of an entry; whether it fits.

        Raises:
            InvalidOperation: it is frozen.
        """
        attrs = self.ledger.attrs(number)
        if attrs["status"] == "frozen":
            raise InvalidOperation(f"m{number} is frozen: set its status to 'activated' first.")
        history = [*attrs.get("history", []), [self.version(number), self._text(number)]]
        if number in self.activation:
            self.activation[number] = text
        return self.ledger.update(
            number, text, {"history": history[-VERSIONS:]}, index=index, evict=self.order
        )

    def rollback(self, number: int, version: int, prefix: str = "") -> bool:
        """Plan that an entry say again what it said in a version, as a new version; whether it fits.

        Args:
            number: of the entry.
            version: from 1, one of the last few.
            prefix: of its text, which is no part of what its vector is made of.

        Raises:
            InvalidOperation: it is frozen, or has no such version.
        """
        older = dict(self.ledger.attrs(number).get("history", []))
        if version not in older:
            raise InvalidOperation(f"m{number} has no version {version} that is kept: {sorted(older)}.")
        return self.update(number, older[version], index=older[version].removeprefix(prefix))

    def version(self, number: int) -> int:
        """Number of an entry's version, from 1."""
        history = self.ledger.attrs(number).get("history", [])
        return history[-1][0] + 1 if history else 1

    def promote(self, number: int) -> bool:
        """Plan that a plaintext entry be held in activation memory."""
        if not self._set(number, {"kind": "activation"}):
            return False
        self.activation[number] = self._text(number)
        return True

    def demote(self, number: int) -> bool:
        """Plan that an entry of activation memory be plaintext again."""
        done = self._set(number, {"kind": "plaintext"})
        if done:
            del self.activation[number]
        return done

    def is_found(self, number: int, principal: str = "", day: str = "") -> bool:
        """Whether an entry is found by somebody on some day; ``""`` for everybody's rights, and for no day."""
        attrs = self.ledger.attrs(number)
        if attrs["status"] not in FOUND or attrs["kind"] == "parametric":
            return False
        owner, until = attrs.get("owner", ""), attrs.get("until", "")
        return (not owner or principal in ("", owner)) and not (until and day[:10] > until)

    def order(self, number: int) -> tuple[int, int]:
        """What is evicted first: what is not found any more, then by age, the frozen last."""
        status = self.ledger.attrs(number)["status"]
        return (2 if status == "frozen" else 1 if status in FOUND else 0), number

    def nbytes(self) -> int:
        """Ledger, activation memory and adapters."""
        held = sum(8 + len(text.encode()) for text in self.activation.values())
        return self.ledger.nbytes() + held + sum(8 + size for size in self.adapters.values())

    def _set(self, number: int, attrs: Mapping[str, Any]) -> bool:
        if number not in self.ledger.in_view:
            return False
        return self.ledger.update(number, self._text(number), attrs, index=None)

    def _text(self, number: int) -> str:
        return self.ledger.in_view[number]["text"]
