"""Facts of several speakers in one bank: what a new one is compared with, and carrying out what is decided."""

from collections.abc import Container
from hashlib import md5

from memgym.agents.structured.ledger import Ledger, oldest_first
from memgym.agents.structured.steps_facts import Decision, KeptFact
from memgym.memory.policy import Message

__all__ = ["Digests", "FactLedger"]


class FactLedger(Ledger):
    """A ledger of facts, each held as "Speaker: fact" with its time and speaker; the oldest are evicted."""

    def candidates(self, fact: str, speaker: str, k: int) -> tuple[KeptFact, ...]:
        """The `k` nearest facts of the same speaker that are in view, without the speaker's name."""
        view = self.in_view
        same = [number for number in view if self.attrs(number).get("speaker", "") == speaker]
        prefix = f"{speaker}: " if speaker else ""
        return tuple(
            KeptFact(number=number, text=view[number]["text"].removeprefix(prefix))
            for number, _ in self.nearest(fact, k, among=same)
        )

    def carry_out(self, decision: Decision, message: Message) -> None:
        """Plan what was decided for a fact of `message`."""
        prefix = f"{message.speaker}: " if message.speaker else ""
        attrs = {"time": message.time} if message.time else {}
        text = prefix + decision.text
        if decision.event == "ADD":
            speaker = {"speaker": message.speaker} if message.speaker else {}
            self.add(text, {**attrs, **speaker}, index=decision.text, evict=oldest_first)
        elif decision.event == "UPDATE" and decision.number in self:
            self.update(decision.number, text, attrs, index=decision.text, evict=oldest_first)
        elif decision.event == "DELETE" and decision.number in self:
            self.delete(decision.number)


class Digests:
    """Tells whether a text is among those of a ledger's entries, whatever is in view: 16 bytes of each."""

    def __init__(self) -> None:
        self._by_number: dict[int, bytes] = {}

    def put(self, number: int, text: str) -> None:
        """What an entry says from now on."""
        self._by_number[number] = _digest(text)

    def keep(self, numbers: Container[int]) -> None:
        """Forget all other entries."""
        self._by_number = {number: digest for number, digest in self._by_number.items() if number in numbers}

    def __contains__(self, text: str) -> bool:
        return _digest(text) in self._by_number.values()

    def nbytes(self) -> int:
        """A number and a digest for each."""
        return 24 * len(self._by_number)


def _digest(text: str) -> bytes:
    return md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
