"""Committed curves over budgets as a table in Markdown, as RESULTS.md shows them.

    python -m memgym.baselines.budget_table budgets_locomo

The curves are those of ``baselines/expected/NAME.json``, which `memgym compare` wrote as ``curves.json``.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from memgym.baselines.reference import EXPECTED, as_markdown
from memgym.core.budgets import format_size

__all__ = ["as_table"]


def as_table(curves: dict[str, Any], task: str | None = None) -> str:
    """A row for each agent, those with the largest area over the budgets first: scores, and the bytes really used.

    Args:
        curves: of schema ``memgym-curves/1``.
        task: whose; by default the first.
    """
    panel = next(one for one in curves["panels"] if task in (None, one["task"]))
    sizes = [format_size(size) for size in curves["budgets"]]
    rows = []
    for curve in sorted(panel["curves"], key=lambda one: (-one["bank_auc"]["mean"], one["agent"])):
        points = curve["points"]
        scores = [f"{point['score']['mean']:.3f} ({point['memory_mean']:,.0f} B)" for point in points]
        areas = [f"{curve[area]['mean']:.3f}" for area in ("bank_auc", "auc")]
        calls = points[-1]["cost"]["calls"]
        rows.append([f"`{curve['agent']}`", *scores, *areas, "–" if calls is None else f"{calls:.1f}"])
    return as_markdown(["agent", *sizes, "area, equal banks", "area, all bytes", "calls/question"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(file.stem for file in EXPECTED.glob("budgets_*.json")))
    parser.add_argument("--task", help="of several; by default the first")
    given = parser.parse_args(arguments)
    print(as_table(json.loads((EXPECTED / f"{given.name}.json").read_text("utf-8")), given.task))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
