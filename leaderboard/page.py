"""The page: one HTML file with its own style, script and data, which works from a disk without a network."""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing

from .board import AgentResult, Board
from .exports import to_csv, to_json
from .formats import average_text, bytes_text, count_text, https_url, inline_json, plain, score_text
from .per_task import CEILING, FLOOR
from .totals import RATES

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup
except ImportError:
    raise DependencyMissing.for_extra("jinja2", "leaderboard", "The leaderboard's page") from None

__all__ = ["STATUSES", "render_page", "write_page"]

STATUSES = {
    "replayed": "Every action was replayed through the environments and gave the same numbers.",
    "claimed": "The result is well formed, but was not replayed when this page was built.",
}
RATE_TITLES = {
    "evidence_recall": ("Recall", "fraction of the evidence that the memory held when the question came"),
    "abstained": ("Abstained", "fraction of questions that the agent declined to answer"),
    "stale": ("Stale", "of the questions about what has changed, the fraction answered with an old value"),
    "leaked": (
        "Leaked",
        "of the questions about what was to be forgotten, the fraction whose answer repeats it",
    ),
}
TEMPLATES = files("memgym.leaderboard.templates")


def write_page(board: Board, out: Path, status: Mapping[str, str]) -> Path:
    """Write `index.html`, `results.csv` and `results.json` into `out`; the page last.

    Args:
        board: what to show.
        out: folder; made where it is missing.
        status: by agent name, a key of `STATUSES`.

    Returns:
        Path of the page.
    """
    write_atomically(out / "results.json", to_json(board, status).encode())
    write_atomically(out / "results.csv", to_csv(board, status).encode())
    write_atomically(out / "index.html", render_page(board, status).encode())
    return out / "index.html"


def render_page(board: Board, status: Mapping[str, str]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": score_text,
        "average": average_text,
        "bytes": bytes_text,
        "count": count_text,
        "plain": plain,
        "https": https_url,
        "bar": _bar_x,
        "heat": _heat_level,
        "compact": lambda value: plain(json.dumps(value, ensure_ascii=False, sort_keys=True), 2000),
    }
    style, scripts = _template("style.css"), [_template("chart.js"), _template("app.js")]
    return environment.get_template("index.html").render(
        board=board,
        status=status,
        status_titles=STATUSES,
        rate_titles=RATE_TITLES,
        rates={task.name: _rates_of(board, task.name) for task in board.tasks},
        by_score={task.name: _by_score(board, task.name) for task in board.tasks},
        has_errors={
            task.name: any(a.tasks[task.name].errors for a in board.agents if task.name in a.tasks)
            for task in board.tasks
        },
        ids=_ids(board),
        commands={agent.name: _command(agent) for agent in board.agents},
        absent=_absent(board),
        unscaled=[task.title for task in board.tasks if task.scale is None],
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=Markup(inline_json(_chart_data(board))),
        policy=_policy(style, scripts),
    )


def _absent(board: Board) -> dict[str, str]:
    """Tasks of the suite that no agent played, for example for want of a dataset, and why."""
    played = {task.name for task in board.tasks}
    return {
        task: reason
        for agent in board.agents
        for task, reason in sorted(agent.skipped.items())
        if task not in played
    }


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, scripts: list[str]) -> str:
    """The content security policy: this style and these scripts, and nothing from anywhere else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, *scripts)]
    style_hash, *script_hashes = (f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {' '.join(script_hashes)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _ids(board: Board) -> dict[str, str]:
    """An HTML id for each task and agent; numbered, because two names may differ in odd characters only."""
    tasks = {f"task {task.name}": f"task-{i}-{_slug(task.name)}" for i, task in enumerate(board.tasks, 1)}
    agents = {f"agent {agent.name}": f"agent-{_slug(agent.name)}" for agent in board.agents}
    if len(set(agents.values())) < len(agents):
        agents = {key: f"{value}-{i}" for i, (key, value) in enumerate(agents.items(), 1)}
    return tasks | agents


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _by_score(board: Board, task: str) -> list[AgentResult]:
    players = [agent for agent in board.agents if task in agent.tasks]
    return sorted(players, key=lambda agent: (-agent.tasks[task].score.mean, agent.name))


def _rates_of(board: Board, task: str) -> list[str]:
    """The rates that any agent has on a task, in the order of `RATES`."""
    return [r for r in RATES if any(r in a.tasks[task].rates for a in board.agents if task in a.tasks)]


def _command(agent: AgentResult) -> str:
    """How to run the agent again; a resized suite, ``"quickstart+episodes=2"``, becomes options."""
    suite, *resized = agent.suite.split("+")
    options = [word for part in resized for word in ("--" + part.partition("=")[0], part.partition("=")[2])]
    words = ["memgym", "evaluate", "--agent", agent.name, "--suite", suite, *options, "--out", "results"]
    return shlex.join(words)


def _bar_x(value: float) -> str:
    """Where a score from 0 to 1 stands in a bar of 52 pixels with margins of 4."""
    return f"{4 + 44 * min(max(value, 0.0), 1.0):.1f}".removesuffix(".0")


def _heat_level(value: float) -> int:
    """Class of a heat cell, 0 to 10."""
    return round(10 * min(max(value, 0.0), 1.0))


def _chart_data(board: Board) -> dict[str, Any]:
    """What the chart needs: for each task the scale, and a point for each agent that is not part of it."""
    ids = _ids(board)
    return {
        "tasks": [
            {
                "id": ids[f"task {task.name}"],
                "title": task.title,
                "floor": task.floor,
                "ceiling": task.ceiling,
                "points": [
                    {
                        "name": agent.name,
                        "card": ids[f"agent {agent.name}"],
                        "kind": agent.card["kind"],
                        "setting": agent.card["setting"],
                        "score": result.score.mean,
                        "low": result.score.low,
                        "high": result.score.high,
                        "bytes": result.memory_mean,
                        "memory": bytes_text(result.memory_mean),
                        "front": result.on_front,
                        "ranked": agent.is_ranked,
                    }
                    for agent in _by_score(board, task.name)
                    if agent.name not in (FLOOR, CEILING)
                    for result in [agent.tasks[task.name]]
                ],
            }
            for task in board.tasks
        ]
    }
