"""Files of a training under way, and the CPU seconds of one that may have been interrupted."""

import shutil
import time
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import TypeVar

__all__ = ["remove_checkpoint", "timed"]

Made = TypeVar("Made")


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove what a training that is over went on from.

    Args:
        checkpoint: common beginning of the names of its files and folders.
    """
    for path in _lying(checkpoint):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _lying(checkpoint: Path) -> list[Path]:
    return list(checkpoint.parent.glob(f"{escape(checkpoint.name)}*"))


def timed(train: Callable[[], Made], checkpoint: Path) -> tuple[Made, float | None]:
    """What a training gives, and its CPU seconds; None where an interrupted one went on, whose first part is unknown.

    Args:
        train: the training.
        checkpoint: common beginning of the names of its files.
    """
    begun = bool(_lying(checkpoint))
    since = time.process_time()
    made = train()
    return made, None if begun else round(time.process_time() - since, 1)
