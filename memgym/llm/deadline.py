"""Requests of httpx that end in time, whatever the server does.

httpx's own timeout is for each piece that arrives and begins anew with the next one: a server that sends its headers
one byte at a time, or "100 Continue" for ever, would never run into it.
"""

import threading
import time
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

__all__ = ["Deadline"]


class _Clock(threading.local):
    """When the request of this thread has to be over, by `time.monotonic`."""

    deadline = float("inf")

    def left(self, timeout: float | None) -> float:
        """Seconds that the next piece may take.

        Raises:
            httpcore.ReadTimeout: none are left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the request's time is over")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection that reads and writes until the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._clock.left(timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Makes such connections."""

    def __init__(self, inner: httpcore.NetworkBackend, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **named: Any
    ) -> _Stream:
        left = self._clock.left(timeout)
        return _Stream(self._inner.connect_tcp(host, port, left, *more, **named), self._clock)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class Deadline:
    """A bound on each request of a client, from its first byte to the last one of the answer.

    Args:
        client: whose requests; proxies stay as they are.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._clock = _Clock()
        for transport in {client._transport, *client._mounts.values()}:
            if transport is not None:  # httpx has no public way to exchange what connects
                pool = transport._pool  # type: ignore[attr-defined]
                pool._network_backend = _Backend(pool._network_backend, self._clock)

    def begin(self, seconds: float) -> None:
        """The next request of this thread has so many seconds."""
        self._clock.deadline = time.monotonic() + seconds
