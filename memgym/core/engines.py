"""Engines: how work that is cut into independent pieces is done, here or on a cluster.

A piece is a call of a function that returns bytes, a pure function of its arguments. Whoever asked writes them, so a
piece's file appears whole or not at all, and nothing is shared with a worker but the call.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.synchronize import Semaphore
from typing import Any, Protocol

from memgym.core.arguments import check_choice, check_integer
from memgym.errors import MemgymError

__all__ = ["ENGINES", "RESUME", "Engine", "LocalEngine", "make_engine"]

ENGINES = ("local", "ray")
RESUME = "Give the same command again to resume."


class Engine(Protocol):
    """What does the pieces."""

    def run(
        self, work: Callable[..., bytes], pieces: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, bytes]]:
        """Call ``work(*piece)`` for each piece; yield its position and what it gave as soon as it is done.

        Pieces under way are given up where one raises an error, at Ctrl-C, and where the iterator is closed.

        Args:
            work: a function of a module, so that another process can import it.
            pieces: its arguments, which can be pickled; taken no faster than they are done.

        Raises:
            MemgymError: workers were killed. Whatever `work` raises is raised here.
        """
        ...


def make_engine(name: str = "local", workers: int | None = None, address: str | None = None) -> Engine:
    """An engine by name.

    Args:
        name: ``"local"`` for processes of this machine, ``"ray"`` for a Ray cluster.
        workers: pieces at a time; None for one a CPU core, of this machine or of the cluster.
        address: of a running cluster, ``"host:6379"`` or ``"auto"``; None starts one on this machine.

    Raises:
        ValueError: an unknown name, workers below 1, or an address without Ray.
        DependencyMissing: Ray is not installed.
    """
    check_choice("engine", name, ENGINES)
    if workers is not None:
        check_integer("workers", workers, 1, 1 << 16)
    if name == "ray":
        from memgym.core.ray_engine import RayEngine

        return RayEngine(address, workers)
    if address is not None:
        raise ValueError("an address is of a Ray cluster: choose engine 'ray' with it.")
    return LocalEngine(workers or os.cpu_count() or 1)


class LocalEngine:
    """Processes of this machine; with one worker, or a single piece, this process itself."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(
        self, work: Callable[..., bytes], pieces: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, bytes]]:
        """See `Engine`."""
        numbered = enumerate(pieces)
        first = list(islice(numbered, 2))
        numbered = chain(first, numbered)
        if self.workers == 1 or len(first) < 2:
            for i, piece in numbered:
                yield i, work(*piece)
            return
        context = multiprocessing.get_context("spawn")  # torch and fork do not mix
        stop = context.Semaphore(0)  # not an Event, whose `set` waits for ever for a worker that was killed
        with ProcessPoolExecutor(self.workers, context, _prepare_worker, (stop,)) as pool:
            under_way: dict[Future[bytes], int] = {}
            try:
                while True:
                    for i, piece in islice(numbered, 2 * self.workers - len(under_way)):
                        under_way[pool.submit(_call, work, piece)] = i
                    if not under_way:
                        return
                    for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                        yield under_way.pop(done), done.result()
            except BaseException as error:  # Ctrl-C and a closed iterator among them
                for _ in range(self.workers):
                    stop.release()
                pool.shutdown(cancel_futures=True)
                if isinstance(error, BrokenProcessPool):
                    raise MemgymError(f"a worker process was killed. {RESUME}") from None
                raise


_sending = threading.Lock()  # in a worker: held between the pieces, once there was one


def _call(work: Callable[..., bytes], piece: tuple[Any, ...]) -> bytes:
    """One piece, in a worker."""
    if _sending.locked():
        _sending.release()
    try:
        return work(*piece)
    finally:
        _sending.acquire()


def _prepare_worker(stop: Semaphore) -> None:
    """Ctrl-C reaches every process of a terminal, but workers end when their parent lets them, or with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_when_told, args=(stop,), daemon=True).start()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_when_told(stop: Semaphore) -> None:
    """Nobody collects the piece under way. A result is sent whole: the parent would wait for the rest of it."""
    stop.acquire()
    _sending.acquire()
    os._exit(1)


def _end_with_parent() -> None:
    """Where the parent was killed, nobody collects what a worker goes on with."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
