"""Curves of a training for TensorBoard, which a run that goes on continues without saying anything twice."""

from pathlib import Path
from typing import Any

from memgym.errors import DependencyMissing

__all__ = ["Curves"]


class Curves:
    """Writes scalars, each phase of a training into a folder of its own.

    Where a run goes on from a checkpoint, the first thing that is written tells TensorBoard from which step on what
    an earlier process wrote does not count.

    Args:
        folder: of the event files.
        phase: of the training; the steps of phases have nothing to do with each other.

    Raises:
        DependencyMissing: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, phase: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise DependencyMissing.for_extra("tensorboard", "train", "Curves of a training") from None
        self._make, self._folder = SummaryWriter, folder / phase
        self._writer: Any = None

    def write(self, name: str, value: float, step: int) -> None:
        """Enter a value; a later call has no lower step."""
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=step)
        self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring all to the file: before a checkpoint that a process may be killed after."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
