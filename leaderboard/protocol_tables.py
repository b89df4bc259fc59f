"""The tables of `PROTOCOL.md`, made from the code that enforces them.

python -m memgym.leaderboard.protocol_tables leaderboard/PROTOCOL.md     # writes them into the document
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from memgym.core.isolation import MAX_MESSAGE, PUBLIC_INFO, STEP_SECONDS
from memgym.core.protocol import RUNGS, SETTINGS, TRACKS
from memgym.core.result import write_atomically
from memgym.core.suites import CANARY_EPISODES, PROTOCOL, SUITES, get_suite, reserved_seeds

__all__ = ["TABLES", "with_tables"]

MARK = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _tracks() -> str:
    return _table(["track", "who is in it"], [[track.title, track.rule] for track in TRACKS])


def _named(values: dict[str, str]) -> str:
    return _table(["name", "meaning"], [[f"`{name}`", text] for name, text in values.items()])


def _limits() -> str:
    rows = [
        ["protocol", f"`{PROTOCOL}`"],
        ["time for one action", f"{STEP_SECONDS:g} s"],
        ["size of one action", f"{MAX_MESSAGE >> 20} MiB of JSON"],
        ["what of `info` an agent's view gets", ", ".join(f"`{name}`" for name in PUBLIC_INFO)],
        ["episodes of a canary", str(CANARY_EPISODES)],
    ]
    return _table(["what", "value"], rows)


def _suites() -> str:
    parts = []
    for name in SUITES:
        suite = get_suite(name)
        rows = [
            [
                f"`{task.name}`",
                f"`{task.env_id}`",
                _arguments(dict(task.kwargs)),
                str(task.episodes),
                ", ".join(map(str, reserved_seeds(task))),
            ]
            for task in suite.tasks
        ]
        table = _table(["task", "environment", "arguments", "episodes a seed", "reserved seeds"], rows)
        parts.append(f"**`{name}`**: {suite.description}\n\n{table}")
    return "\n\n".join(parts)


def _arguments(kwargs: dict[str, Any]) -> str:
    return ", ".join(f"`{key}={json.dumps(value)}`" for key, value in kwargs.items()) or "–"


TABLES = {
    "limits": _limits,
    "tracks": _tracks,
    "settings": lambda: _named(SETTINGS),
    "rungs": lambda: _named(RUNGS),
    "suites": _suites,
}


def with_tables(text: str) -> str:
    """A document with the tables of today between its marks.

    Raises:
        KeyError: a mark names no table.
    """
    return MARK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def main() -> None:
    """Write the tables into a document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("document", type=Path)
    document = parser.parse_args().document
    write_atomically(document, with_tables(document.read_text("utf-8")).encode())


if __name__ == "__main__":
    main()
