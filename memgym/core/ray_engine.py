"""Pieces of work on a Ray cluster, of this machine or of many."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from memgym.core.engines import RESUME
from memgym.errors import DependencyMissing, MemgymError
from memgym.version import VERSION

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise DependencyMissing.for_extra("ray", "ray", "engine 'ray'") from error

__all__ = ["RayEngine"]

ATTEMPTS = 8  # of a piece whose worker or node was killed


class RayEngine:
    """A Ray cluster. Pieces whose worker or node dies are done again elsewhere.

    All nodes need the same version of memgym, and where datasets are asked for, the datasets. Results come back to
    this process, so nodes need no common file system.

    Args:
        address: of a running cluster; None starts one on this machine, and stops it afterwards.
        workers: pieces at a time, one CPU each; None for as many as the cluster has CPUs.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self.address, self.workers = address, workers

    def run(
        self, work: Callable[..., bytes], pieces: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, bytes]]:
        """See `memgym.core.engines.Engine`.

        Raises:
            MemgymError: no cluster at the address, one without this memgym, or workers killed again and again.
        """
        with self._cluster() as at_a_time:
            call = ray.remote(num_cpus=1, max_retries=ATTEMPTS)(_call)
            todo, under_way = iter(enumerate(pieces)), {}
            while True:
                while len(under_way) < at_a_time and (more := next(todo, None)) is not None:
                    under_way[call.remote(VERSION, work, more[1])] = more[0]
                if not under_way:
                    return
                (done, *_), _ = ray.wait(list(under_way))
                try:
                    data = ray.get(done)
                except RayTaskError as error:
                    raise error.cause from None
                except RayError as error:
                    raise MemgymError(
                        f"workers of the Ray cluster were killed {ATTEMPTS + 1} times over one piece "
                        f"({type(error).__name__}). {RESUME}"
                    ) from error
                yield under_way.pop(done), data

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[int]:
        """Connect; how many pieces run at a time."""
        try:
            _knock(self.address)
            ray.init(
                address=self.address or "local",
                num_cpus=self.workers if self.address is None else None,
                include_dashboard=None if self.address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise MemgymError(f"no Ray cluster at {self.address!r}: {str(error)[:200]}") from error
        try:
            cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
            yield min(self.workers or cpus, cpus)
        finally:
            ray.shutdown()


def _knock(address: str | None) -> None:
    """Whether somebody is there: where nobody is, Ray ends the whole process.

    Raises:
        OSError: nobody is.
        ValueError: not an address.
    """
    host, colon, port = (address or "auto").rpartition(":")
    if colon and "/" not in host:  # auto and ray://host:port are left to Ray
        socket.create_connection((host, int(port)), timeout=10).close()


def _call(version: str, work: Callable[..., bytes], piece: tuple[Any, ...]) -> bytes:
    """One piece, on a node."""
    if version != VERSION:
        raise MemgymError(f"a node of the Ray cluster has memgym {VERSION}, this is {version}.")
    return work(*piece)
