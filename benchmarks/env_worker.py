"""Processes that stay: each steps the contestants of one package when it is told to.

So that one library's threads, caches and garbage do not disturb another's, and JAX can be held to a single
thread. CPU time is taken inside the worker.
"""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["ContestantFailed", "Worker"]

# Read by numpy, numba, XLA (NPROC: size of its thread pools) and SDL when they are imported.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class ContestantFailed(Exception):
    """A contestant could not be made or stepped."""


class Worker:
    """A process with runners in it; use it as a context manager.

    Args:
        name: of the process.
    """

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), name=name, daemon=True)
        with environment(ENVIRONMENT):
            self._process.start()
        theirs.close()  # so that the end of the process ends our reading

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def prepare(self, key: str, prepare: Any) -> None:
        """Make the runner of `key` by calling `prepare` in the process.

        Raises:
            ContestantFailed: it raised, or took the process down.
        """
        self._ask(key, prepare)

    def run(self, key: str, cpu_seconds: float) -> tuple[int, float]:
        """Steps done and CPU seconds used.

        Raises:
            ContestantFailed: as for `prepare`.
        """
        return self._ask(key, cpu_seconds)

    def _ask(self, key: str, what: Any) -> Any:
        try:
            self._pipe.send((key, what))
            good, answer = self._pipe.recv()
        except (EOFError, OSError):
            raise ContestantFailed(f"its worker process {self._process.name!r} died") from None
        if not good:
            raise ContestantFailed(answer)
        return answer


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(pipe: Connection) -> None:
    """The process: ``(key, function)`` makes a runner, ``(key, seconds)`` runs it, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    warnings.simplefilter("ignore")  # Gymnasium's remarks on peers
    os.dup2(2, 1)  # what libraries print does not belong into the report
    runners: dict[str, Any] = {}
    with suppress(EOFError, BrokenPipeError):  # the parent left
        while True:
            key, what = pipe.recv()
            try:
                if callable(what):
                    runners[key] = what()
                    answer = None
                else:
                    answer = runners[key](what)
            except Exception as error:
                pipe.send((False, f"{type(error).__name__}: {error}"))
            else:
                pipe.send((True, answer))
