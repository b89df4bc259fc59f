"""Work that is cut into independent pieces, each a function that writes its own file: here, or in processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from memgym.errors import MemgymError

__all__ = ["run_pieces"]


def run_pieces(work: Callable[..., Any], pieces: Sequence[tuple[Any, ...]], workers: int) -> Iterator[int]:
    """Call ``work(*piece)`` for each piece and yield its position as soon as it is done.

    Args:
        work: a function of a module, so that another process can import it.
        pieces: its arguments, which can be pickled.
        workers: processes; with 1, or a single piece, the work is done in this one.

    Raises:
        MemgymError: a process was killed. Whatever `work` raises is raised here.
    """
    if workers == 1 or len(pieces) < 2:
        for i, piece in enumerate(pieces):
            work(*piece)
            yield i
        return
    context = multiprocessing.get_context("spawn")  # torch and fork do not mix
    with ProcessPoolExecutor(
        min(workers, len(pieces)), mp_context=context, initializer=_prepare_worker
    ) as pool:
        futures = {pool.submit(work, *piece): i for i, piece in enumerate(pieces)}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool:
            raise MemgymError("a worker process was killed. Give the same command again to resume.") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare_worker() -> None:
    """Ctrl-C reaches every process of a terminal: workers finish their piece, and end with their parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Where the parent was killed, nobody collects what a worker goes on with; finished pieces are kept."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
