"""The board as files for other programs: a CSV line for each agent and task, and everything as JSON."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from memgym.core.protocol import tracks_of

from .board import SCHEMA, AgentResult, Board, Estimate, Standing, Task, TaskResult
from .formats import csv_cell
from .totals import RATES

__all__ = ["to_csv", "to_json"]


def to_json(board: Board, status: Mapping[str, str]) -> str:
    """Everything on the page; `status` says of each agent how far its result was checked."""
    agents = [
        {**_fields(agent), "status": status[agent.name], "tracks": _tracks(agent)} for agent in board.agents
    ]
    value = {"schema": SCHEMA, **_fields(board), "agents": agents}
    text = json.dumps(value, default=_fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text + "\n"


def _tracks(agent: AgentResult) -> tuple[str, ...]:
    return tracks_of(agent.card["kind"], agent.memory_max)


def _fields(value: Any) -> dict[str, Any]:
    """One level of a dataclass with slots; the encoder goes on from there."""
    return {name: getattr(value, name) for name in value.__slots__}


def to_csv(board: Board, status: Mapping[str, str]) -> str:
    """One line for each agent and task, in the order of the page."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    families = {task.family for task in board.tasks}
    for number, agent in enumerate(board.agents):
        overall = _standing("overall", agent.overall)
        of = {one: _standing("family", agent.families.get(one, Standing(0, 0))) for one in families}
        rows = [
            _row(agent, task, agent.tasks[task.name], status[agent.name], overall, of[task.family])
            for task in board.tasks
            if task.name in agent.tasks
        ]
        if number == 0:
            writer.writerow(rows[0])
        writer.writerows(map(csv_cell, row.values()) for row in rows)
    return out.getvalue()


def _row(
    agent: AgentResult,
    task: Task,
    result: TaskResult,
    status: str,
    overall: Mapping[str, Any],
    family: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "agent": agent.name,
        "kind": agent.card["kind"],
        "setting": agent.card["setting"],
        "privileged": agent.card["privileged"],
        "status": status,
        **overall,
        "family": task.family,
        **family,
        "task": task.name,
        "env_id": task.env_id,
        "rank": result.rank,
        **_columns("score", result.score),
        "iqm": result.iqm,
        **_columns("normalised", result.normalised),
        "success": result.success,
        "return": result.mean_return,
        "episodes": result.episodes,
        "errors": result.errors,
        "steps": result.steps,
        "memory_mean_bytes": result.memory_mean,
        "memory_max_bytes": result.memory_max,
        "on_front": result.on_front,
        "operations": sum(result.ops.values()),
        "refused": result.refused,
        "questions": result.questions,
        **{rate: result.rates.get(rate) for rate in RATES},
        "digest": agent.digest,
    }


def _standing(name: str, standing: Standing) -> dict[str, Any]:
    low, high = standing.rank or (None, None)
    return {
        f"{name}_place": standing.place,
        f"{name}_rank_low": low,
        f"{name}_rank_high": high,
        **_columns(f"{name}_score", standing.score),
        **_columns(f"{name}_iqm", standing.iqm),
        **_columns(f"{name}_optimality_gap", standing.optimality_gap),
        **_columns(f"{name}_budget_auc", standing.budget_auc),
        f"{name}_memory_bytes": standing.memory,
    }


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
