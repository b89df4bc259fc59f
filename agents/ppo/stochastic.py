"""A random stream of one's own inside torch's global one, and one thread for small networks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["RandomStream", "find_device", "thread_count"]


class RandomStream:
    """What torch draws inside ``with stream.active():`` depends on the stream alone, and leaves the global one as it
    was. So the same seed gives the same weights, whatever other code draws.

    Args:
        seed: of the stream.
        device: where numbers are drawn besides the CPU.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._is_active = False
        before = self._global()
        torch.default_generator.manual_seed(seed)
        if self._cuda is not None:
            with torch.cuda.device(self._cuda):
                torch.cuda.manual_seed(seed)
        self._kept = self._global()
        self._set(before)

    def _global(self) -> list[Tensor]:
        """State of torch's generators, the CPU's first."""
        cuda = [] if self._cuda is None else [torch.cuda.get_rng_state(self._cuda)]
        return [torch.get_rng_state(), *cuda]

    def _set(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        if self._cuda is not None and len(state) > 1:
            torch.cuda.set_rng_state(state[1], self._cuda)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream."""
        before = self._global()
        self._set(self._kept)
        self._is_active = True
        try:
            yield
        finally:
            self._is_active = False
            self._kept = self._global()
            self._set(before)

    @property
    def position(self) -> list[Tensor]:
        """Where the stream stands; setting it, while it is not active, goes on from there."""
        return self._global() if self._is_active else self._kept

    @position.setter
    def position(self, position: list[Tensor]) -> None:
        self._kept = position


def find_device(device: str | torch.device) -> torch.device:
    """A device by name.

    Raises:
        ValueError: there is none of that name here.
    """
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device is one that torch finds on this machine, not {device!r}: {error}"
        ) from error
    return found


@contextmanager
def thread_count(number: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
