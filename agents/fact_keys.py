"""Last write wins by key: a manager of facts that reads "12. The capital of Peru is Lima." as (Peru, capital, Lima).

Its templates know the format of FactConsolidation, whose facts are sentences of 37 relations (from MQuAKE) with
serial numbers. So it shows what one operation, UPDATE on the right key, is worth there; it is no reader of
English.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from memgym.agents.bm25 import next_number, op_nbytes
from memgym.agents.fact_relations import RELATIONS, TEMPLATES
from memgym.agents.handles import handles_query, with_handle, without_handle
from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.envs.text import MAX_K, MAX_OPS
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["Fact", "FactKeysPolicy", "fact_keys", "parse_fact"]

LINE = re.compile(r"(?:(\d{1,9})\. )?(\S.*)")
MAX_HOPS = 4
MAX_NAME_WORDS = 16
MAX_FRONTIER = 24  # entities looked up in one search
WORD_SPAN = re.compile(r"\S+")
EDGES = " .,;:?!\"'“”()"


class Fact(NamedTuple):
    """A fact as (subject, relation, object); `relation` is a name in `RELATIONS`."""

    subject: str
    relation: str
    object: str


def parse_fact(sentence: str) -> Fact | None:
    """The fact that a sentence states in one of the known templates, None where it is in none.

    >>> parse_fact("The capital of Peru is Lima.")
    Fact(subject='Peru', relation='capital', object='Lima')
    """
    plain = sentence.strip().removesuffix(".")
    for relation, template in TEMPLATES:
        if match := template.fullmatch(plain):
            return Fact(match["s"].strip(), relation, match["o"].strip())
    return None


class FactKeysPolicy(MemoryPolicy):
    """One entry a key (subject, relation): ADD at first, UPDATE when a newer fact has the same key.

    An entry's handle is made from its subject, so that one search finds all that is known of a subject and nothing
    else. A question is answered by walking from the subject that it names, one
    search a hop, along relations that its words call for. What fits no template is stored as it is; what does not
    fit the budget, or is beyond the operations of one action, is left out.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[int, int]] = {}  # hash of the key -> (number of its entry, serial)
        self._subjects: set[int] = set()
        self._next_id = 1

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """ADD or UPDATE for each line."""
        self._next_id = next_number(view, self._next_id)
        ops: list[MemoryOp] = []
        left = view.bytes_left
        for line in message.text.splitlines():
            found = LINE.fullmatch(line.strip())
            if found and len(ops) < MAX_OPS:
                op, need = self._write(found[2], int(found[1] or 0), left)
                if op is not None:
                    ops.append(op)
                    left -= need
        return ops

    def read(self, question: Message, search: Search) -> ReadResult:
        """Walk from the subject named in the question; without one, the ten nearest entries."""
        asked = question.text.lower()
        paths = [
            _Path(at, "", asked.replace(at, " ", 1)) for at in map(str.lower, self._named(question.text))
        ]
        if not paths:
            return ReadResult(search(question.text, 10))
        best: _Path | None = None
        hits = []
        for _ in range(MAX_HOPS):
            frontier = dict.fromkeys(path.at for path in paths)
            hits = search(handles_query(map(_hash, [*frontier][:MAX_FRONTIER])), MAX_K)
            facts = [fact for hit in hits if (fact := parse_fact(without_handle(hit)["text"]))]
            paths = [
                longer
                for path in paths
                for fact in facts
                if fact.subject.lower() == path.at and (longer := path.extend(fact)) is not None
            ]
            for path in paths:
                if best is None or path.score > best.score:
                    best = path
            paths = [path for path in paths if _hash(path.at) in self._subjects]
            if not paths:
                break
        return ReadResult(hits, answer=best.answer if best else None)

    def nbytes(self) -> int:
        """A hash, a number and a serial for each key, and a hash for each subject."""
        return 8 + 24 * len(self._entries) + 8 * len(self._subjects)

    def _write(self, sentence: str, serial: int, left: int) -> tuple[MemoryOp | None, int]:
        """The operation for one sentence and the bytes that it takes; None where there is nothing to do."""
        fact = parse_fact(sentence)
        if fact is None:
            op, key = MemoryOp.add(sentence), None
        else:
            subject = _hash(fact.subject.lower())
            op, key = (
                MemoryOp.add(with_handle(sentence, subject)),
                _hash(f"{fact.subject.lower()}|{fact.relation}"),
            )
            if key in self._entries:
                number, newest = self._entries[key]
                if serial < newest:
                    return None, 0
                # of the old text nothing is known here, so the room for the whole of the new one must be free
                if op_nbytes(op, f"m{number}") > left:
                    return None, 0
                self._entries[key] = (number, serial)
                return MemoryOp.update(f"m{number}", op.text), len(op.text.encode())
            self._subjects.add(subject)
        need = op_nbytes(op, f"m{self._next_id}")
        if need > left:
            return None, 0
        if key is not None:
            self._entries[key] = (self._next_id, serial)
        self._next_id += 1
        return op, need

    def _named(self, question: str) -> list[str]:
        """Known subjects that the question names, the longest first; none that is part of another."""
        words = [match.span() for match in WORD_SPAN.finditer(question)]
        taken: list[tuple[int, int]] = []
        found = []
        for size in range(min(MAX_NAME_WORDS, len(words)), 0, -1):
            for i in range(len(words) - size + 1):
                start, end = words[i][0], words[i + size - 1][1]
                if any(start < b and a < end for a, b in taken):
                    continue
                for name in _trimmed(question[start:end]):
                    if _hash(name.lower()) in self._subjects:
                        found.append(name)
                        taken.append((start, end))
                        break
        return found


class _Path(NamedTuple):
    """A walk from a subject: where it has come to, and what it has left of the question."""

    at: str  # lower case
    answer: str
    asked: str
    score: float = 0.0

    def extend(self, fact: Fact) -> "_Path | None":
        """One hop further, None where nothing in the question calls for it. Each cue counts once."""
        relation = RELATIONS[fact.relation]
        cue = next((found for pattern in relation.cues if (found := pattern.search(self.asked))), None)
        if cue is None:
            return None
        rest = f"{self.asked[: cue.start()]} {self.asked[cue.end() :]}"
        return _Path(fact.object.lower(), fact.object, rest, self.score + relation.weight)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest())


def _trimmed(name: str) -> Iterator[str]:
    """A name as it stands, without the marks around it, and without a possessive."""
    yield name
    bare = name.strip(EDGES)
    yield bare
    yield name.rstrip(EDGES)
    for mark in ("'s", "’s", "'", "’"):
        if bare.endswith(mark):
            yield bare.removesuffix(mark)


def fact_keys() -> PolicyAgent:
    """Keeps one entry for each (subject, relation), the newest; walks from fact to fact."""
    card = AgentCard(
        name="fact-keys",
        kind="scripted",
        description="Updates one entry a key (subject, relation) and walks relations; its templates know the format.",
        extra={"backend": "rules", "knows": "the sentence templates of FactConsolidation"},
    )
    return PolicyAgent(card, FactKeysPolicy)
