"""Curves over budgets as a table, as JSON and CSV for other programs, and as a figure."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.core.budgets import format_size
from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing

from .board import Estimate
from .budget_curves import BudgetCurves, Curve, Panel, Point
from .formats import bytes_text, csv_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SCHEMA", "area_rows", "draw_curves", "point_rows", "to_csv", "to_json", "write_report"]

SCHEMA = "memgym-curves/1"
COLUMNS = 3  # panels side by side, at most
MARKS = "osD^vPX*"
STYLES = ("-", "--", ":", "-.")
DASH = "–"


def write_report(curves: BudgetCurves, out: Path, made_by: Mapping[str, Any]) -> list[Path]:
    """Write ``curves.json``, ``curves.csv`` and ``curves.png`` into a folder, and return their paths.

    Args:
        curves: of `budget_curves`.
        out: the folder.
        made_by: what else the JSON says: the command, and what was left out.

    Raises:
        DependencyMissing: matplotlib is not installed; the other two files are written.
    """
    data = {"json": to_json(curves, made_by).encode(), "csv": to_csv(curves).encode()}
    for ending, content in data.items():
        write_atomically(out / f"curves.{ending}", content)
    image = io.BytesIO()
    draw_curves(curves).savefig(image, format="png", metadata={"Software": None})
    write_atomically(out / "curves.png", image.getvalue())
    return [out / f"curves.{ending}" for ending in (*data, "png")]


def point_rows(curves: BudgetCurves) -> list[list[str]]:
    """The first panel as rows of text, the header first: a row for each agent and budget."""
    head = ["agent", "budget", "score", "95 %", "bytes used", "largest"]
    rows = [[*head, "calls/question", "tokens/question", "CPU ms/question", "front"]]
    for curve in curves.panels[0].curves:
        for point in curve.points:
            rows.append(
                [
                    curve.agent,
                    format_size(point.budget),
                    f"{point.score.mean:.3f}",
                    _ends(point.score),
                    f"{point.memory_mean:,.0f} B",
                    f"{point.memory_max:,} B",
                    _number(point.cost.calls),
                    _number(point.cost.tokens),
                    f"{1000 * point.cost.cpu_s:.1f}",
                    "*" if point.on_front else "",
                ]
            )
    return rows


def area_rows(curves: BudgetCurves) -> list[list[str]]:
    """All panels as rows of text, the header first: areas over bytes used, then over budgets of the bank."""
    rows = [["agent"]]
    for panel in curves.panels:
        rows[0] += [f"{panel.task or 'mean'}: AUC (bytes used)", "AUC (budget)"]
    found = [{curve.agent: curve for curve in panel.curves} for panel in curves.panels]
    for curve in curves.panels[0].curves:
        areas = [area for of in found for area in (of[curve.agent].auc, of[curve.agent].bank_auc)]
        rows.append([curve.agent, *(f"{area.mean:.3f} {_ends(area)}" for area in areas)])
    return rows


def _ends(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return DASH
    return f"[{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:,.1f}"


def to_json(curves: BudgetCurves, made_by: Mapping[str, Any]) -> str:
    """All panels, points and intervals, an agent's points on lines of their own."""
    agents = {
        name: {"kind": card["kind"], "setting": card["setting"], "steps": _backends(card)}
        for name, card in curves.cards.items()
    }
    head = {
        "schema": SCHEMA,
        **made_by,
        "protocol": curves.protocol,
        "versions": dict(curves.versions),
        "budgets": list(curves.budgets),
        "tasks": [dict(task) for task in curves.tasks],
        "agents": agents,
    }
    panels = []
    for panel in curves.panels:
        lines = ",\n".join("   " + _line(asdict(curve)) for curve in panel.curves)
        panels.append(f'  {{"task": {json.dumps(panel.task)}, "curves": [\n{lines}\n  ]}}')
    body = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False)
    return body.removesuffix("\n}") + ',\n "panels": [\n' + ",\n".join(panels) + "\n ]\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _backends(card: Mapping[str, Any]) -> str:
    """Who carried out the steps of an agent that has some: ``"rules"``, ``"model"``, or both with a plus."""
    steps = card["extra"].get("steps", {})
    return "+".join(sorted({step["backend"] for step in steps.values()}))


def to_csv(curves: BudgetCurves) -> str:
    """One line for each task, agent and budget; the mean over tasks has the empty name."""
    rows = [
        _csv_row(panel, curve, point)
        for panel in curves.panels
        for curve in panel.curves
        for point in curve.points
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _csv_row(panel: Panel, curve: Curve, point: Point) -> dict[str, Any]:
    return {
        "task": panel.task,
        "agent": curve.agent,
        "budget_bytes": point.budget,
        "score": point.score.mean,
        "score_low": point.score.low,
        "score_high": point.score.high,
        "memory_mean_bytes": point.memory_mean,
        "memory_max_bytes": point.memory_max,
        "questions": point.questions,
        "errors": point.errors,
        "calls_per_question": point.cost.calls,
        "tokens_per_question": point.cost.tokens,
        "cpu_s_per_question": point.cost.cpu_s,
        "on_front": point.on_front,
        "front_probability": point.front_probability,
        "auc": curve.auc.mean,
        "auc_low": curve.auc.low,
        "auc_high": curve.auc.high,
        "bank_auc": curve.bank_auc.mean,
        "bank_auc_low": curve.bank_auc.low,
        "bank_auc_high": curve.bank_auc.high,
    }


def draw_curves(curves: BudgetCurves) -> "Figure":
    """A panel for the mean over tasks and for each task; a line for each agent, over the bytes that it used.

    Points on the Pareto front have a ring. Grey lines mark the budgets. The legend is in the order of the areas of
    the first panel.

    Raises:
        DependencyMissing: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyMissing.for_extra("matplotlib", "plots", "the figure of budgets") from error
    panels = curves.panels
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.2 + 4.4 * columns, max(0.8 + 3.4 * rows, 1.0 + 0.21 * len(panels[0].curves)))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    looks = {
        curve.agent: {
            "color": colours[i % 10],
            "linestyle": STYLES[i // 10 % len(STYLES)],
            "marker": MARKS[i % len(MARKS)],
        }
        for i, curve in enumerate(panels[0].curves)
    }
    for panel, axes in zip(panels, grid.flat, strict=False):
        _draw_panel(axes, panel, curves, looks)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    handles, _ = grid.flat[0].get_legend_handles_labels()
    labels = [f"{curve.agent}  {curve.auc.mean:.3f}" for curve in panels[0].curves]
    figure.legend(
        handles, labels, title="agent, area", loc="outside right upper", frameon=False, fontsize="small"
    )
    figure.supxlabel("bytes of memory used, bank and agent together (mean of peaks)", fontsize=10)
    figure.supylabel("score", fontsize=10)
    return figure


def _draw_panel(
    axes: "Axes", panel: Panel, curves: BudgetCurves, looks: Mapping[str, Mapping[str, Any]]
) -> None:
    axes.set_xscale("symlog", base=2, linthresh=64)  # whoever remembers nothing stands at 0
    for budget in curves.budgets:
        axes.axvline(budget, color="0.85", linewidth=0.8, zorder=0)
    of_agent = {curve.agent: curve for curve in panel.curves}
    for agent, look in looks.items():  # in the order of the legend
        points = sorted(of_agent[agent].points, key=lambda point: (point.memory_mean, point.budget))
        x, y = [point.memory_mean for point in points], [point.score.mean for point in points]
        axes.plot(x, y, markersize=3.5, linewidth=1.1, label=agent, **look)
        for point in points:
            if point.score.low is not None and point.score.high is not None:
                ends = [point.score.low, point.score.high]
                axes.plot([point.memory_mean] * 2, ends, color=look["color"], linewidth=0.7, alpha=0.45)
        front = [(point.memory_mean, point.score.mean) for point in points if point.on_front]
        if front:
            axes.scatter(
                *zip(*front, strict=True), s=70, facecolors="none", edgecolors="black", linewidths=0.8
            )
    axes.set_title(panel.task or "mean over tasks", fontsize=10)
    ticks = [0, *(1 << power for power in range(8, 41, 4) if 1 << power <= 2 * _most(panel))]
    axes.set_xticks(ticks, [bytes_text(tick).replace(".0", "") for tick in ticks], fontsize=8)
    axes.set_xticks([], minor=True)
    axes.set_xlim(-16, 1.5 * max(_most(panel), max(curves.budgets)))
    axes.set_ylim(-0.03, 1.03)
    axes.spines[["top", "right"]].set_visible(False)


def _most(panel: Panel) -> float:
    return max(point.memory_mean for curve in panel.curves for point in curve.points)
