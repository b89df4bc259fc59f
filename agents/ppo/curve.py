"""How a training run went: the mean return of recent episodes over the steps, thinned to a few points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["TrainingCurve"]

MOST = 128  # points


@dataclass(frozen=True)
class TrainingCurve:
    """Points of a training run, evenly spaced in updates; when there are too many, every second one goes.

    The returns are those of the episodes that training plays, so with exploration, and not a score.

    Attributes:
        every: updates from one point to the next.
        points: (environment steps, mean return) each.
    """

    every: int = 1
    points: tuple[tuple[int, float], ...] = ()

    def add(self, num_updates: int, num_timesteps: int, returns: Sequence[float]) -> "TrainingCurve":
        """The curve after an update.

        >>> TrainingCurve().add(1, 512, [0.0, 1.0]).points
        ((512, 0.5),)
        """
        if not returns or num_updates % self.every:
            return self
        points = (*self.points, (num_timesteps, math.fsum(returns) / len(returns)))
        if len(points) <= MOST:
            return TrainingCurve(self.every, points)
        return TrainingCurve(2 * self.every, points[1::2])

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values."""
        return {"every": self.every, "points": [list(point) for point in self.points]}

    @classmethod
    def from_json(cls, value: Any) -> "TrainingCurve":
        """What `to_json` gave; an empty curve for a checkpoint of a time before there were any.

        Raises:
            ValueError: it is none.
        """
        if value is None:
            return cls()
        try:
            every, points = value["every"], tuple((steps, mean) for steps, mean in value["points"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("the training curve is not one") from None
        if type(every) is not int or every < 1 or len(points) > MOST:
            raise ValueError("the training curve is not one")
        if any(type(s) is not int or type(m) is not float or not math.isfinite(m) for s, m in points):
            raise ValueError("the training curve is not made of steps and returns")
        return cls(every, points)
