"""What can be told of a bank from outside: where its bytes are, and what its log says."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from memgym.errors import InvalidOperation
from memgym.memory.bank import Bank
from memgym.memory.entry import AppliedOp
from memgym.memory.operations import OPERATIONS, Caller, Refused
from memgym.memory.ops import OpKind, dump_attrs

__all__ = ["MemorySizes", "measure", "replay_log"]


@dataclass(frozen=True, slots=True)
class MemorySizes:
    """Where the bytes of an engine are.

    Attributes:
        active: entries that searches find.
        archived: archived and stale entries, their newest versions.
        history: older versions, as far as they say something else than the next one.
        edges: edges that are there.
        log: texts and attributes of the operations in the log.
        index: lexical and dense indices that are built; they can be built again from the rest.
    """

    active: int
    archived: int
    history: int
    edges: int
    log: int
    index: int


def measure(bank: Bank, index: int) -> MemorySizes:
    """Where the bytes of a bank are; takes a pass over everything.

    Args:
        bank: the bank.
        index: bytes of its indices.
    """
    archived = history = 0
    for versions in bank.versions.values():
        archived += 0 if versions[-1].is_found else versions[-1].nbytes
        for old, new in pairwise(versions):
            history += 0 if (old.text, old.attrs) == (new.text, new.attrs) else old.nbytes
    log = sum(len(done.op.text.encode()) + len(dump_attrs(done.op.attrs).encode()) for done in bank.log)
    return MemorySizes(bank.active_bytes, archived, history, bank.edges.nbytes, log, index)


def replay_log(log: Iterable[AppliedOp], budget_bytes: int | None, extended: bool) -> Bank:
    """The bank that a log tells of, operation by operation.

    Raises:
        InvalidOperation: no bank can have written this log.
    """
    bank = Bank(budget_bytes, extended)
    for done in log:
        _repeat(bank, done)
    for done in bank.log:
        if done.ok and done.reason and done.id in bank.versions:  # deleted by what was undone since
            bank.remove(done.id)
    bank.rollback(bank.seq)
    bank.changes.clear()
    return bank


def _repeat(bank: Bank, done: AppliedOp) -> None:
    """Carry out one operation of a log again; what it says of deleted text is empty, as the log is."""
    bank.seq += 1
    if done.ok:
        caller = Caller(done.provenance, done.step, done.scope, trusted=True)
        try:
            id = OPERATIONS[OpKind.parse(done.op.kind)](bank, done.op, caller)
            for dropped in done.dropped:
                bank.drop(*dropped)
        except (Refused, InvalidOperation, KeyError, AssertionError) as error:
            raise InvalidOperation(f"operation {done.seq} of the log cannot be repeated: {error}") from error
        if (id, bank.seq) != (done.id, done.seq):
            raise InvalidOperation(f"operation {done.seq} of the log gives {id!r}, not {done.id!r}")
        bank.note_parents(done)
    bank.record(done)
    bank.changes.clear()
