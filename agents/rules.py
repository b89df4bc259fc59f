"""A manager by rules: it skips what need not be kept, updates what changed and deletes what is to be forgotten.

No language model and no knowledge of any task's templates: only cue words and word overlap.
"""

import re
from dataclasses import dataclass

from memgym.agents.bm25 import as_entry, next_number, op_nbytes
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.envs.text import MAX_OPS
from memgym.memory import entry_nbytes
from memgym.memory.lexical import stems
from memgym.memory.ops import MemoryOp, load_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, Shown

__all__ = ["RulesPolicy", "rules"]

FORGET = re.compile(r"\b(forget|delete|erase)\b.*\b(my|where|what|which|who|when|the|about|that)\b", re.I)
CHANGE = re.compile(
    r"\b(now|no longer|instead|actually|any ?more|correct(ed|ion)|changed|switched|these days)\b", re.I
)
FIRST_PERSON = re.compile(r"\b(i|i'm|i've|my|me|mine|we|our|us)\b", re.I)
CUE_STEMS = stems(
    "please forget delete erase memory remember want could now longer instead actually correction corrected "
    "changed switched days new really like"
)
SHORT = 16  # words; a longer turn says more than one thing and is not taken as the update of one entry


@dataclass
class _Kept:
    """What the policy knows of an entry that it wrote."""

    nbytes: int
    worth: int  # entries with the least are evicted first, the oldest of those first


class RulesPolicy(MemoryPolicy):
    """Decides by cue words and word overlap with entries of the same speaker.

    It updates and deletes what a message is about, whoever wrote it, but evicts only entries of its own.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}  # oldest first
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """DELETE on a request to forget, UPDATE on a change, ADD on news, nothing on small talk; keep documents."""
        self._next_id = next_number(view, self._next_id)
        if view.bank is not None:  # others may have deleted or changed what it wrote
            self._kept = {
                id: _Kept(view.bank[id], kept.worth) for id, kept in self._kept.items() if id in view.bank
            }
        new, worth = as_entry(message), len(stems(message.text))
        if not message.speaker:  # a document tells facts, and asks for nothing
            return self._add(new, view, worth) if len(message.text.split()) >= 3 else []
        same = [entry for entry in view.entries if entry["text"].startswith(f"{message.speaker}: ")]
        if FORGET.search(message.text):
            return self._forget(message, same)
        if not self._says_something(message.text):
            return []
        if CHANGE.search(message.text) and len(message.text.split()) <= SHORT:
            old = self._about_the_same(message, same)
            if old is not None:
                return self._update(old, new, view)
        return self._add(new, view, worth)

    def nbytes(self) -> int:
        """A size and a worth for each entry."""
        return 8 + 16 * len(self._kept)

    def _forget(self, message: Message, same: list[Shown]) -> list[MemoryOp]:
        asked = stems(message.text) - CUE_STEMS
        overlaps = {entry["id"]: len(asked & stems(_said(entry))) for entry in same}
        most = max(overlaps.values(), default=0)
        gone = [id for id, overlap in overlaps.items() if most and overlap == most][:MAX_OPS]
        for id in gone:
            self._kept.pop(id, None)
        return [MemoryOp.delete(id) for id in gone]

    def _says_something(self, text: str) -> bool:
        """A turn about the speaker, or a long one: neither a mere question nor an acknowledgement."""
        words = len(text.split())
        return words > SHORT or (words >= 3 and bool(FIRST_PERSON.search(text)))

    def _about_the_same(self, message: Message, same: list[Shown]) -> Shown | None:
        """The short entry that shares most words with the change, the newest of equals."""
        told = stems(message.text) - CUE_STEMS
        best, most = None, 0
        for entry in same:
            said = _said(entry)
            overlap = len(told & (stems(said) - CUE_STEMS))
            if len(said.split()) <= SHORT and overlap and overlap >= most:
                best, most = entry, overlap
        return best

    def _update(self, old: Shown, new: MemoryOp, view: MemoryView) -> list[MemoryOp]:
        id = old["id"]
        attrs = load_attrs(old["attrs"]) | dict(new.attrs)
        size = op_nbytes(MemoryOp.add(new.text, **attrs), id)
        more = size - entry_nbytes(id, old["text"], old["attrs"])
        ops = self._evict(more, view.bytes_left, spare=id)
        if ops is None:
            return []
        if id in self._kept:
            self._kept[id].nbytes = size
        return [*ops, MemoryOp.update(id, new.text, **new.attrs)]

    def _add(self, new: MemoryOp, view: MemoryView, worth: int) -> list[MemoryOp]:
        id = f"m{self._next_id}"
        size = op_nbytes(new, id)
        ops = self._evict(size, view.bytes_left)
        if ops is None:
            return []
        self._kept[id] = _Kept(size, worth)
        self._next_id += 1
        return [*ops, new]

    def _evict(self, need: int, left: int, spare: str = "") -> list[MemoryOp] | None:
        """DELETE what is worth least until `need` bytes fit; None where one action cannot make room."""
        gone: list[str] = []
        if need > left:
            for id in sorted(self._kept.keys() - {spare}, key=self._rank)[: MAX_OPS - 1]:
                gone.append(id)
                left += self._kept[id].nbytes
                if need <= left:
                    break
        if need > left:
            return None
        for id in gone:
            del self._kept[id]
        return [MemoryOp.delete(id) for id in gone]

    def _rank(self, id: str) -> tuple[int, int]:
        return self._kept[id].worth, int(id[1:])


def _said(entry: Shown) -> str:
    return entry["text"].partition(": ")[2]


def rules() -> PolicyAgent:
    """Adds, updates and deletes by cue words and word overlap; evicts the least informative entry."""
    card = AgentCard(
        name="rules",
        kind="scripted",
        description="Adds, updates and deletes by cue words and word overlap; evicts what says least.",
        extra={"backend": "rules"},
    )
    return PolicyAgent(card, RulesPolicy)
