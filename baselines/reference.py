"""Compare results with the committed reference results of the same suite.

    make quickstart
    python -m memgym.baselines.reference results/quickstart

prints one line for each agent and task, and exits with 1 where a score differs. The reference numbers lie in
`baselines/expected/`; a maintainer renews them with `--write`, after a run of the full suite. Results that are kept
without their actions (`memgym leaderboard keep`, those in `leaderboard/reference/`) do as well.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from memgym.core.result import find_bundles, read_bundle, write_atomically

__all__ = ["as_markdown", "as_table", "as_type_table", "compare", "expected_file", "main", "summary"]

EXPECTED = Path(__file__).parent / "expected"
COMMAND = "memgym evaluate --agents {agents} --suite {suite} --out results/{suite}"
# Trained networks compute in floating point, whose last bits differ between processors.
TOLERANCE = {"rl": 0.02}


def expected_file(suite: str) -> Path:
    """Where the reference results of a suite lie."""
    return EXPECTED / f"{suite}.json"


def summary(results: Path) -> dict[str, Any]:
    """What is kept of a folder of results: scores and bytes by agent and task, versions, command."""
    headers = [read_bundle(path, abridged=True).header for path in find_bundles(results)]
    suite = headers[0]["suite"]
    agents = {
        header["agent"]["name"]: {
            "kind": header["agent"]["kind"],
            "tasks": {
                task: {
                    "score": row["score"],
                    "memory_bytes": row["memory_bytes"],
                    "question_types": {name: t["score"] for name, t in row["question_types"].items()},
                }
                for task, row in header["summary"].items()
            },
        }
        for header in headers
    }
    return {
        "suite": suite,
        "protocol": headers[0]["protocol"],
        "command": COMMAND.format(agents=",".join(agents), suite=suite),
        "versions": headers[0]["versions"],
        "agents": agents,
    }


def compare(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """One line for each score that differs from the reference, or that the reference does not have."""
    differences = []
    for name, agent in found["agents"].items():
        reference = expected["agents"].get(name)
        if reference is None:
            differences.append(f"{name}: no reference result")
            continue
        for task, row in agent["tasks"].items():
            wanted = reference["tasks"].get(task, {}).get("score")
            if wanted is None or abs(row["score"] - wanted) > TOLERANCE.get(reference["kind"], 1e-9):
                differences.append(f"{name} on {task}: {row['score']} here, {wanted} in the reference")
    return differences


def as_table(reference: dict[str, Any]) -> str:
    """Reference results as a Markdown table: score and mean peak bytes of each agent on each task.

    What there is less of, agents or tasks, stands in the columns.
    """
    agents = reference["agents"]
    tasks = sorted({task for agent in agents.values() for task in agent["tasks"]}, key=_in_order)
    if len(agents) >= len(tasks):
        rows = [[f"`{name}`", *(_cell(reference, name, task) for task in tasks)] for name in agents]
        return as_markdown(["agent", *tasks], rows)
    rows = [[task, *(_cell(reference, name, task) for name in agents)] for task in tasks]
    return as_markdown(["task", *(f"`{name}`" for name in agents)], rows)


def _in_order(name: str) -> list[Any]:
    """Numbers by their size: 4k before 16k."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def as_type_table(reference: dict[str, Any], task: str) -> str:
    """Scores of one task by question type as a Markdown table, a row for each type and a column for each agent."""
    played = {
        name: agent["tasks"][task]["question_types"]
        for name, agent in reference["agents"].items()
        if task in agent["tasks"]
    }
    types = sorted({name for scores in played.values() for name in scores})
    rows = [
        [name, *(f"{scores[name]:.3f}" if name in scores else "–" for scores in played.values())]
        for name in types
    ]
    return as_markdown(["question type", *(f"`{name}`" for name in played)], rows)


def _cell(reference: dict[str, Any], agent: str, task: str) -> str:
    row = reference["agents"][agent]["tasks"].get(task)
    return f"{row['score']:.3f} ({row['memory_bytes']:,.0f} B)" if row else "–"


def as_markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


def main() -> int:
    """Compare, or write with ``--write``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of result bundles of one suite")
    parser.add_argument("--write", action="store_true", help="make these the reference results")
    parser.add_argument("--table", action="store_true", help="print the results as a Markdown table")
    parser.add_argument("--types", metavar="TASK", help="print a task's scores by question type likewise")
    options = parser.parse_args()
    found = summary(options.results)
    file = expected_file(found["suite"])
    if options.table:
        print(as_table(found))
        return 0
    if options.types:
        print(as_type_table(found, options.types))
        return 0
    if options.write:
        write_atomically(file, json.dumps(found, indent=1).encode() + b"\n")
        print(f"wrote {file}")
        return 0
    if not file.is_file():
        print(f"there are no reference results of suite {found['suite']!r}", file=sys.stderr)
        return 1
    differences = compare(found, json.loads(file.read_text()))
    for line in differences:
        print(line)
    if not differences:
        print(f"all scores of {len(found['agents'])} agents equal the reference results")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
