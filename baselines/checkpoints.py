"""Files of a training under way, and the CPU seconds of one that may have been interrupted."""

import time
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import TypeVar

__all__ = ["checkpoint_files", "timed"]

Made = TypeVar("Made")


def checkpoint_files(checkpoint: Path) -> list[Path]:
    """What lies there of a training under way, whose files' names begin alike."""
    return list(checkpoint.parent.glob(f"{escape(checkpoint.name)}*"))


def timed(train: Callable[[], Made], checkpoint: Path) -> tuple[Made, float | None]:
    """What a training gives, and its CPU seconds; None where an interrupted one went on, whose first part is unknown.

    Args:
        train: the training.
        checkpoint: common beginning of the names of its files.
    """
    begun = bool(checkpoint_files(checkpoint))
    since = time.process_time()
    made = train()
    return made, None if begun else round(time.process_time() - since, 1)
