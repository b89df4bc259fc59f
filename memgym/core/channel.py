"""Messages between two processes over one socket: four bytes of length, then the message, each with a deadline."""

import socket
import time

__all__ = ["Channel", "MessageTooLong"]

CHUNK = 1 << 16


class MessageTooLong(Exception):
    """The other side announced a message longer than it may send."""


class Channel:
    """One end of a connection. What a message holds is for its reader to judge.

    Args:
        connection: a connected stream socket, which is this object's from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._waiting = bytearray()  # received and not yet asked for

    def send(self, message: bytes, deadline: float | None = None) -> None:
        """Send a message.

        Args:
            message: at most 4 GiB.
            deadline: as of `time.monotonic`; None waits for ever.

        Raises:
            TimeoutError: the other side does not read.
            OSError: it is gone.
        """
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(len(message).to_bytes(4, "little") + message)

    def receive(self, limit: int, deadline: float | None = None) -> bytes:
        """The next message.

        Raises:
            MessageTooLong: it has more than `limit` bytes; nothing more can be read.
            TimeoutError: it is not all there in time.
            EOFError: the other side is gone.
            OSError: likewise.
        """
        waiting = self._waiting
        while True:
            if len(waiting) >= 4:
                size = int.from_bytes(waiting[:4], "little")
                if size > limit:
                    raise MessageTooLong(size)
                if len(waiting) >= 4 + size:
                    message = bytes(waiting[4 : 4 + size])
                    del waiting[: 4 + size]
                    return message
            self._socket.settimeout(_left(deadline))
            chunk = self._socket.recv(CHUNK)
            if not chunk:
                raise EOFError
            waiting += chunk

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _left(deadline: float | None) -> float | None:
    """Seconds to wait at most; never 0, which would mean not to wait at all."""
    return None if deadline is None else max(1e-3, deadline - time.monotonic())
