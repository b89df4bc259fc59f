"""Stable-Baselines3's callbacks and logger, as they are: what works there works here."""

import time
from typing import Any

import numpy as np

from memgym.agents.ppo.collector import Recent
from memgym.errors import DependencyMissing

try:
    from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.utils import configure_logger
except ImportError as error:
    raise DependencyMissing.for_extra("stable-baselines3", "agents", "learning with MemoryPPO") from error

__all__ = ["Stopwatch", "make_callback", "make_logger", "record"]


def make_callback(callback: Any, model: Any, total_timesteps: int, progress_bar: bool) -> BaseCallback | None:
    """What the user gave (a callback, a function, or a list of callbacks) as one callback; None for nothing.

    Args:
        callback: of the user, or None.
        model: that learns.
        total_timesteps: of this training, for the progress bar.
        progress_bar: whether to show one; it stays silent where stderr is not a terminal.

    Raises:
        ValueError: something that is no callback.
    """
    parts = list(callback) if isinstance(callback, list | tuple) else [] if callback is None else [callback]
    for part in parts:
        if not isinstance(part, BaseCallback) and not callable(part):
            raise ValueError(f"callback is a callback, a function or a list of these, not {part!r}.")
    if progress_bar:
        from memgym.agents.sb3 import ProgressLine

        parts.append(ProgressLine(total_timesteps))
    if not parts:
        return None
    chain = _Chain([part if isinstance(part, BaseCallback) else ConvertCallback(part) for part in parts])
    chain.init_callback(model)
    return chain


class _Chain(CallbackList):
    """Goes on unless one of its callbacks says False.

    One that returns nothing neither ends the training nor, as in the base class, hides another's wish to.
    """

    def _on_step(self) -> bool:
        said = [callback.on_step() for callback in self.callbacks]  # of each, whatever the first ones say
        return not any(isinstance(one, bool | np.bool_) and not one for one in said)


def make_logger(verbose: int, tensorboard_log: str | None, name: str, is_new: bool) -> Logger:
    """Stable-Baselines3's logger: to stdout where `verbose`, to TensorBoard where a folder is given.

    Raises:
        DependencyMissing: TensorBoard is not installed.
    """
    try:
        return configure_logger(verbose, tensorboard_log, name, is_new)
    except ImportError as error:
        raise DependencyMissing(
            "tensorboard_log needs 'tensorboard'. Install it with: pip install tensorboard"
        ) from error


class Stopwatch:
    """Steps a second since it was made.

    Args:
        num_timesteps: steps done by then.
    """

    def __init__(self, num_timesteps: int) -> None:
        self._start, self._before = time.perf_counter(), num_timesteps

    def record(self, logger: Logger, num_timesteps: int) -> None:
        """Write time and speed to the logger."""
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        logger.record("time/fps", int((num_timesteps - self._before) / elapsed))
        logger.record("time/time_elapsed", int(elapsed), exclude="tensorboard")
        logger.record("time/total_timesteps", num_timesteps, exclude="tensorboard")


def record(logger: Logger, recent: Recent, measured: dict[str, float]) -> None:
    """Write an update's measurements and the last episodes' means to the logger."""
    if recent.returns:
        logger.record("rollout/ep_rew_mean", float(np.mean(recent.returns)))
        logger.record("rollout/ep_len_mean", float(np.mean(recent.lengths)))
    if recent.successes:
        logger.record("rollout/success_rate", float(np.mean(recent.successes)))
    for name, value in measured.items():
        logger.record(f"train/{name}", value)
