"""Progress of long commands: a bar on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress"]

PLAIN_EVERY_S = 15.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Give a function ``report(done, total, detail)`` that shows how far `what` has come."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=None, detail="")
            yield lambda done, total, detail: bar.update(task, completed=done, total=total, detail=detail)
        return
    last = 0.0

    def report(done: int, total: int, detail: str) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= PLAIN_EVERY_S:
            last = time.monotonic()
            console.print(f"{what}: {done} of {total}  {detail}".rstrip(), highlight=False, soft_wrap=True)

    yield report
