"""Text tasks as a person reads them: the transcript on the left, the memory bank on the right."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from memgym.memory import MemoryEngine
from memgym.stream import Item, Question

__all__ = ["draw_text_task"]

LEFT, RIGHT, LINES = 64, 46, 24


def draw_text_task(
    transcript: Sequence[tuple[str, str]], now: Item | Question | None, bank: MemoryEngine
) -> str:
    """One frame: the last turns, the current one marked, beside the newest entries of the bank."""
    left: list[str] = []
    for i, (kind, text) in enumerate(transcript):
        current = now is not None and i == len(transcript) - 1
        mark = ("▶ " if current else "  ") + ("? " if kind == "question" else "")
        left += textwrap.wrap(text, LEFT, initial_indent=mark, subsequent_indent="    ") or [mark]
    if now is None:
        left.append("  (end of the episode)")
    budget = "no limit" if bank.budget_bytes is None else f"{bank.budget_bytes} B"
    right = [f"MEMORY  {len(bank)} entries, {bank.nbytes} B of {budget}", ""]
    for entry in reversed(bank.get_all()):
        right += textwrap.wrap(f"{entry.id}  {entry.text}", RIGHT, subsequent_indent="    ")
        if len(right) >= LINES:
            right[LINES - 1 :] = ["..."]
            break
    rows = zip_longest(left[-LINES:], right, fillvalue="")
    return "\n".join(f"{a:<{LEFT}} │ {b}".rstrip() for a, b in rows)
