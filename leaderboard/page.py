"""The pages: an index, one for each agent and task, replays; static files that work from a disk without a network.

Every page holds its own style, scripts and data: from a disk a browser loads no module and fetches no file.
"""

import base64
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from memgym.core.protocol import RUNGS, TRACKS
from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing
from memgym.registry import load_object

from .board import AgentResult, Board, Comparison, Standing, Task
from .cells import CELLS
from .chart_data import (
    chart_sets,
    compare_data,
    comparisons_of,
    profile_sets,
    sets_of,
    standing_in,
    task_chart,
)
from .exports import to_csv, to_json
from .formats import (
    average_text,
    bytes_text,
    count_text,
    https_url,
    inline_json,
    plain,
    score_text,
    seconds_text,
)
from .replays import Replay
from .rows import Rows
from .totals import RATES
from .training import CURVE, training_plot

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup
except ImportError:
    raise DependencyMissing.for_extra("jinja2", "leaderboard", "The leaderboard's page") from None

__all__ = ["STATUSES", "render_pages", "write_page"]

STATUSES = dict(reversed(RUNGS.items()))  # the best first
RATE_TITLES = {
    "evidence_recall": ("Recall", "fraction of the evidence that the memory held when the question came"),
    "abstained": ("Abstained", "fraction of questions that the agent declined to answer"),
    "stale": ("Stale", "fraction of questions answered with a value that was right once and is not any more"),
    "leaked": ("Leaked", "fraction of questions whose answer repeats what was to be forgotten"),
    "attacked": ("Attacked", "fraction of questions answered with what a text of no authority told to store"),
}
FOLDERS = ("agents", "tasks", "replays")
TEMPLATES = files("memgym.leaderboard.templates")
Replays = Mapping[tuple[str, str], Replay]


def write_page(board: Board, out: Path, status: Mapping[str, str], replays: Replays | None = None) -> Path:
    """Write the site into `out`; its index last.

    Pages of an earlier build that this one does not have are removed from its folders `agents`, `tasks` and
    `replays`; other files are left alone.

    Args:
        board: what to show.
        out: folder; made where it is missing.
        status: by agent name, a key of `STATUSES`.
        replays: by agent and task.

    Returns:
        Path of the index.
    """
    pages = render_pages(board, status, replays)
    for folder in FOLDERS:
        for path in (out / folder).glob("*.html"):
            if path.relative_to(out).as_posix() not in pages:
                path.unlink()
        if (out / folder).is_dir() and not any((out / folder).iterdir()):
            shutil.rmtree(out / folder)
    write_atomically(out / "results.json", to_json(board, status).encode())
    write_atomically(out / "results.csv", to_csv(board, status).encode())
    for name, text in sorted(pages.items(), key=lambda page: page[0] == "index.html"):
        write_atomically(out / name, text.encode())
    return out / "index.html"


def render_pages(board: Board, status: Mapping[str, str], replays: Replays | None = None) -> dict[str, str]:
    """The pages as text, by their path."""
    replays = replays or {}
    ids = _ids(board)
    site = _Site(board, status, ids)
    watch = {(agent, task): f"{ids[f'agent {agent}']}--{ids[f'task {task}']}.html" for agent, task in replays}
    pages = {"index.html": site.index(), "compare.html": site.compare()}
    for task in board.tasks:
        pages[f"tasks/{ids[f'task {task.name}']}.html"] = site.task(task)
    by_name = {agent.name: agent for agent in board.agents}
    for agent in board.agents:
        mine = {task: path for (name, task), path in watch.items() if name == agent.name}
        pages[f"agents/{ids[f'agent {agent.name}']}.html"] = site.agent(agent, mine)
    tasks = {task.name: task for task in board.tasks}
    for (name, task), replay in replays.items():
        pages[f"replays/{watch[name, task]}"] = site.replay(by_name[name], tasks[task], replay)
    return pages


class _Site:
    """The templates, and what all of them show."""

    def __init__(self, board: Board, status: Mapping[str, str], ids: Mapping[str, str]) -> None:
        self.board, self.ids = board, ids
        self.style = _template("style.css")
        self.environment = Environment(
            loader=FunctionLoader(_template),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {
            "score": score_text,
            "average": average_text,
            "bytes": bytes_text,
            "count": count_text,
            "seconds": seconds_text,
            "plain": plain,
            "https": https_url,
            "p": lambda value: "< 0.0001" if value < 1e-4 else f"{value:.2g}",
            "compact": lambda value: plain(json.dumps(value, ensure_ascii=False, sort_keys=True), 2000),
        }
        self.environment.globals |= {
            **CELLS,
            "board": board,
            "status": status,
            "ids": ids,
            "status_titles": STATUSES,
            "rate_titles": RATE_TITLES,
            "tracks": TRACKS,
            "rows": Rows(board, status, STATUSES, ids),
            "style": Markup(self.style),
        }

    def index(self) -> str:
        """The overview."""
        board = self.board
        comparisons = comparisons_of(board)
        return self._render(
            "index.html",
            ("common.js", "chart.js", "profile.js", "app.js"),
            data={
                "root": "",
                "tasks": chart_sets(board, self.ids),
                "sets": profile_sets(board),
                "kinds": {agent.name: agent.card["kind"] for agent in board.agents},
            },
            root="",
            absent=_absent(board),
            unscaled=[task.title for task in board.tasks if task.scale is None and not task.is_judged],
            judged=[task.title for task in board.tasks if task.is_judged],
            gaps={title: found.gap for title, found in comparisons.items() if found.gap is not None},
            ranked=any(agent.overall.place for agent in board.agents),
            kinds=sorted({agent.card["kind"] for agent in board.agents}),
            columns=_columns(board),
            standing_of=_best_known,
            shown=_shown,
        )

    def compare(self) -> str:
        """Head to head."""
        scripts = ("common.js", "compare.js")
        return self._render(
            "compare.html",
            scripts,
            data=compare_data(self.board),
            root="",
            sets=comparisons_of(self.board),
            neighbours=_neighbours,
        )

    def task(self, task: Task) -> str:
        """All agents on a task."""
        players = [agent for agent in self.board.agents if task.name in agent.tasks]
        players.sort(key=lambda agent: (-agent.tasks[task.name].score.mean, agent.name))
        results = [agent.tasks[task.name] for agent in players]
        return self._render(
            "task.html",
            ("common.js", "chart.js", "task.js"),
            data={"root": "../", "tasks": [task_chart(self.board, task, self.ids)]},
            root="../",
            task=task,
            players=players,
            rates=[rate for rate in RATES if any(rate in result.rates for result in results)],
            has_errors=any(result.errors for result in results),
        )

    def agent(self, agent: AgentResult, replays: Mapping[str, str]) -> str:
        """An agent's card and everything that it did."""
        return self._render(
            "agent.html",
            ("common.js",),
            root="../",
            agent=agent,
            training=training_plot(agent.card),
            also={key: value for key, value in agent.card["extra"].items() if key != CURVE},
            sets={title: standing_in(agent, key) for key, title in sets_of(self.board).items()},
            command=_command(agent),
            replays=replays,
        )

    def replay(self, agent: AgentResult, task: Task, replay: Replay) -> str:
        """One episode, step by step."""
        scripts = ("common.js", "replay.js")
        return self._render("replay.html", scripts, root="../", agent=agent, task=task, episode=replay)

    def _render(self, template: str, names: Sequence[str], data: Any = None, **values: Any) -> str:
        scripts = [_template(name) for name in names]
        return self.environment.get_template(template).render(
            scripts=[Markup(script) for script in scripts],
            policy=_policy(self.style, scripts),
            data=Markup(inline_json(data)) if data else None,
            **values,
        )


def _columns(board: Board) -> list[tuple[str, str, bool]]:
    """Columns that can be chosen: key, label, and whether they are shown at first."""
    has_overall = any(agent.overall.score for agent in board.agents)
    return [
        ("overall", "Overall", has_overall),
        *((f"family-{family}", family.capitalize(), True) for family in board.families),
        ("iqm", "IQM", True),
        ("gap", "Optimality gap", False),
        ("auc", "Budget AUC", True),
        *((f"ability-{ability}", ability.capitalize(), False) for ability in board.abilities),
        ("memory", "Memory", True),
        ("parameters", "Parameters", False),
        ("kind", "Kind", True),
        ("setting", "Setting", True),
        ("checked", "Checked", True),
    ]


def _best_known(agent: AgentResult) -> Standing:
    """The standing on all tasks, or on the one family that the agent played."""
    if agent.overall.score:
        return agent.overall
    played = [standing for standing in agent.families.values() if standing.score]
    return played[0] if len(played) == 1 else agent.overall


def _shown(agent: AgentResult, task: Task) -> Any:
    result = agent.tasks.get(task.name)
    return None if result is None else result.normalised or result.score


def _neighbours(comparison: Comparison) -> list[tuple[str, str, int]]:
    """Each agent and the next, and where their pair stands."""
    n = len(comparison.agents)
    starts = [i * n - i * (i + 1) // 2 for i in range(n - 1)]
    return [(comparison.agents[i], comparison.agents[i + 1], start) for i, start in enumerate(starts)]


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


def _policy(style: str, scripts: Sequence[str]) -> str:
    """The content security policy: this style and these scripts, and nothing from anywhere else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, *scripts)]
    style_hash, *script_hashes = (f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {' '.join(script_hashes)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _ids(board: Board) -> dict[str, str]:
    """A name of a page for each task and agent; numbered where two differ in odd characters only."""
    tasks = {f"task {task.name}": f"{i}-{_slug(task.name)}" for i, task in enumerate(board.tasks, 1)}
    agents = {f"agent {agent.name}": _slug(agent.name) for agent in board.agents}
    if len(set(agents.values())) < len(agents):
        agents = {key: f"{value}-{i}" for i, (key, value) in enumerate(agents.items(), 1)}
    return tasks | agents


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "agent"


def _command(agent: AgentResult) -> str:
    """How to run the agent again: by name, or from wherever its file is, which a result does not say.

    A resized suite, ``"quickstart+episodes=2"``, becomes options.
    """
    name = agent.name if agent.name in load_object("memgym.agents:AGENTS") else f"path/to/{agent.name}"
    suite, *resized = agent.suite.split("+")
    options = [word for part in resized for word in ("--" + part.partition("=")[0], part.partition("=")[2])]
    words = ["memgym", "evaluate", "--agent", name, "--suite", suite, *options, "--out", "results"]
    return shlex.join(words)
