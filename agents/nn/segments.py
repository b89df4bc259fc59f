"""Where episodes begin inside a sequence, and what follows from it."""

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

__all__ = ["ages", "resets_from_dones", "segment_ids", "where_any"]


def resets_from_dones(done: Tensor, mode: AutoresetMode, previous: Tensor | None = None) -> Tensor:
    """Which observations are the first of an episode, from the flags of a vector environment.

    Let x[t] be the observation before step t, and done[t] (terminated or truncated) what step t returned. With
    ``SAME_STEP`` x[t + 1] is already the next episode's first observation. With ``NEXT_STEP`` x[t + 1] is the
    last observation of the old episode (step t + 1 ignores its action: leave that row out of the loss) and
    x[t + 2] the first of the new one.

    Args:
        done: flags of steps 0 to T - 1, bool, shape (T, B).
        mode: the environment's autoreset mode; ``DISABLED`` counts as ``SAME_STEP``, as its caller resets.
        previous: flags of the two steps before, bool, shape (2, B), the older first; None at the start, where
            x[0] is the first observation of an episode.

    Returns:
        Bool, shape (T, B), for x[0] to x[T - 1].

    >>> done = torch.tensor([[False], [True], [False], [False]])
    >>> resets_from_dones(done, AutoresetMode.SAME_STEP)[:, 0].tolist()
    [True, False, True, False]
    >>> resets_from_dones(done, AutoresetMode.NEXT_STEP)[:, 0].tolist()
    [True, False, False, True]
    """
    delay = 2 if mode is AutoresetMode.NEXT_STEP else 1
    if previous is None:
        before = torch.zeros((2, done.shape[1]), dtype=torch.bool, device=done.device)
        before[2 - delay] = True
    else:
        before = previous
    return torch.cat([before[2 - delay :], done])[: len(done)]


def segment_ids(reset: Tensor | None, x: Tensor) -> Tensor:
    """Number of resets up to each step, int64, shape (T, B): 0 belongs to the episode that the state comes from."""
    if reset is None:
        return torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
    return reset.to(torch.int64).cumsum(0)


def ages(reset: Tensor | None, before: Tensor) -> Tensor:
    """Steps consumed in its episode before each x[t], int64, shape (T + 1, B); the last row is for x[T].

    Args:
        reset: where an episode begins, bool, shape (T, B).
        before: steps consumed before x[0], int64, shape (B,).

    Raises:
        ValueError: `reset` is None; its shape tells T.
    """
    if reset is None:
        raise ValueError("ages needs `reset`, whose shape tells T: pass zeros where no episode begins.")
    steps = torch.arange(len(reset) + 1, device=reset.device)[:, None]
    starts = torch.where(reset, steps[:-1], torch.full_like(steps[:-1], -1)).cummax(0).values
    carried = before[None] + steps
    last = torch.cat([starts, starts[-1:]])
    return torch.where(last >= 0, steps - last, carried)


def where_any(reset: Tensor) -> list[Tensor | None]:
    """The rows of `reset`, None for those without a reset."""
    return [row if any_ else None for row, any_ in zip(reset.unbind(0), reset.any(1).tolist(), strict=True)]
