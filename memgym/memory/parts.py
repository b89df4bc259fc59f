"""A bank in three parts, as Mem-alpha has it (Wang et al., 2025): core, semantic and episodic."""

from memgym.memory.engine import MemoryEngine
from memgym.memory.ops import MemoryOp, OpKind

__all__ = ["KINDS", "MemoryParts"]

KINDS = ("core", "episodic", "semantic")


class MemoryParts:
    """Says which operations a bank in three parts does not allow, and remembers which entry is the core.

    Every entry has ``attrs["kind"]``, one of `KINDS`, and keeps it. Core is one entry of at most `core_bytes`
    bytes of text; there may be any number of the others.

    Differences from Mem-alpha: a core text that is too long is refused, not cut; an exact copy of an entry is
    allowed; core is deleted like the others, not cleared.

    Args:
        core_bytes: most bytes of the core's text in UTF-8.

    Attributes:
        core: id of the core entry, ``""`` where there is none.
    """

    def __init__(self, core_bytes: int) -> None:
        self.core_bytes = core_bytes
        self.core = ""

    def refusal(self, op: MemoryOp, bank: MemoryEngine) -> str:
        """Why an operation is not allowed; ``""`` where it is, or where the bank itself will refuse it."""
        if op.kind not in (OpKind.ADD, OpKind.UPDATE):
            return ""
        kind = op.attrs.get("kind", "")
        if op.kind is OpKind.UPDATE:
            if op.id not in bank:
                return ""
            held = bank.get(op.id).kind
            if kind not in ("", held):
                return f"the kind of {op.id} is {held!r} and stays so, not {str(kind)[:40]!r}"
            kind = held
        if kind not in KINDS:
            return f"attrs need a 'kind', one of {', '.join(KINDS)}, not {str(kind)[:40]!r}"
        if kind == "core":
            if op.kind is OpKind.ADD and self.core:
                return f"core is one entry, {self.core}: UPDATE it"
            size = len(op.text.encode())
            if size > self.core_bytes:
                return f"core has at most {self.core_bytes} B of text, not {size} B"
        return ""

    def applied(self, op: MemoryOp, bank: MemoryEngine) -> None:
        """Take note of an operation that was carried out."""
        if op.kind is OpKind.ADD and op.attrs.get("kind") == "core":
            self.core = next(reversed(bank.sizes))
        elif op.kind is OpKind.DELETE and op.id == self.core:
            self.core = ""
