"""The picture of `env_throughput.py`: a dot for each median, a whisker from the least to the greatest round."""

import io
from collections.abc import Sequence
from typing import Any

from env_report import Result, in_order, show_rate, summarise

__all__ = ["draw"]

COLOURS = {
    "memgym": "#1f5fbf",
    "memgym, numba": "#0a8f6a",
    "peer": "#b8552f",
    "CartPole": "#2b2b2b",
    "copy limit": "#8a8a8a",
}
ROW_INCHES, HEAD_INCHES, WIDTH_INCHES = 0.235, 1.0, 10.0


def kind(result: Result) -> str:
    """Entry of `COLOURS`."""
    who = result.contestant
    if who.role == "ours":
        return "memgym, numba" if who.backend == "numba" else "memgym"
    return {"base": "CartPole", "limit": "copy limit"}.get(who.role, "peer")


def panels(results: Sequence[Result]) -> list[list[Result]]:
    """Measured results, fastest first: scalar ones, then those of 4,096 environments or the nearest size."""
    shown = [r for r in results if r.is_measured and r.contestant.autoreset != "SAME_STEP"]
    sizes = {r.contestant.group for r in shown} - {1}
    chosen = [1, *sorted(sizes, key=lambda size: abs(size - 4096))[:1]]
    groups = [in_order(r for r in shown if r.contestant.group == group) for group in chosen]
    return [group for group in groups if group]


def draw(results: Sequence[Result], form: str) -> bytes:
    """A picture file.

    Args:
        results: of one run.
        form: ``"png"`` or ``"svg"``.
    """
    from matplotlib.figure import Figure

    groups = panels(results)
    if not groups:
        raise ValueError("results: nothing was measured, so there is nothing to draw.")
    heights = [HEAD_INCHES + ROW_INCHES * len(group) for group in groups]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    for axes, group in zip(
        figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0], groups, strict=True
    ):
        draw_panel(axes, group)
    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {}
    figure.savefig(buffer, format=form, dpi=140, metadata=metadata)
    return buffer.getvalue()


def draw_panel(axes: Any, group: Sequence[Result]) -> None:
    """One row a contestant."""
    for row, result in enumerate(group):
        rate, colour = summarise(result.rates), COLOURS[kind(result)]
        axes.plot([rate.low, rate.high], [row, row], color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(rate.median, row, "o", color=colour, markersize=5.5)
        axes.annotate(
            show_rate(rate.median),
            (rate.high, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=colour,
        )
    axes.set_yticks(range(len(group)), [result.contestant.name for result in group], fontsize=7.5)
    for label, result in zip(axes.get_yticklabels(), group, strict=True):
        label.set_color(COLOURS[kind(result)])
    axes.set_ylim(len(group) - 0.4, -0.6)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.12)  # room for the numbers
    axes.grid(axis="x", which="major", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    size = group[0].contestant.group
    what = "One environment" if size == 1 else f"{size:,} environments at once"
    axes.set_title(what, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("environment steps per CPU second, one thread (median; line: least to greatest round)")
    axes.xaxis.label.set_size(8)
