"""How an agent was trained, as it declares it itself: a curve for its page."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .formats import count_text

__all__ = ["CURVE", "TrainingPlot", "training_plot"]

CURVE = "training_curve"  # in a card's `extra`: [environment steps, mean return] each
MAX_POINTS = 1000
WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 704, 12, 196


@dataclass(frozen=True)
class TrainingPlot:
    """A curve in the coordinates of a picture of `width` by `height`.

    Attributes:
        path: of the curve, as SVG writes it.
        x_ticks: where a number of steps stands, and how it is written.
        y_ticks: the same for returns.
        summary: the curve in words.
        left, right, top, bottom: edges of the area that the curve is drawn in.
    """

    path: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def training_plot(card: Mapping[str, Any]) -> TrainingPlot | None:
    """The training curve on a card; None where there is none that can be drawn."""
    points = _points(card["extra"].get(CURVE))
    if len(points) < 2:
        return None
    last = points[-1][0]
    returns = [value for _, value in points]
    low, high = min(returns), max(returns)
    if low == high:
        low, high = low - 0.5, high + 0.5

    def x(steps: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * steps / last, 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    path = "L".join(f"{x(steps)} {y(value)}" for steps, value in points)
    return TrainingPlot(
        path=f"M{path}",
        x_ticks=tuple((x(last * k / 4), count_text(round(last * k / 4))) for k in range(5)),
        y_ticks=tuple((y(v), f"{v:.3g}") for v in (low + (high - low) * k / 4 for k in range(5))),
        summary=(
            f"Mean return {points[0][1]:.3g} after {count_text(points[0][0])} steps, "
            f"{points[-1][1]:.3g} after {count_text(last)}."
        ),
    )


def _points(value: Any) -> list[tuple[int, float]]:
    """What a stranger's card declares, as far as it is a curve: none of it where a part is not."""
    if not isinstance(value, list) or len(value) > MAX_POINTS:
        return []
    points = []
    for point in value:
        if not isinstance(point, list) or len(point) != 2:
            return []
        steps, mean = point
        if type(steps) is not int or not 0 < steps < 2**53 or type(mean) not in (int, float):
            return []
        if not math.isfinite(mean) or abs(mean) > 1e300 or (points and steps <= points[-1][0]):
            return []
        points.append((steps, float(mean)))
    return points
