"""What the page's scripts draw, as JSON-like values. Numbers are cut to what a pixel shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from .board import AgentResult, Board, Comparison, Estimate, Standing, Task
from .formats import bytes_text
from .per_task import CEILING, FLOOR

__all__ = ["chart_sets", "compare_data", "profile_sets", "sets_of", "task_chart"]

MAX_TASK_POINTS = 200  # of all tasks together; with more, the charts of tasks are on their own pages


def sets_of(board: Board) -> dict[str, str]:
    """The sets of tasks by key, with their titles; a single family is all there is."""
    families = {family: f"all {family} tasks" for family in board.families}
    return families if len(families) == 1 else {"overall": "all tasks", **families}


def standing_in(agent: AgentResult, key: str) -> Standing:
    """Of an agent in a set."""
    return agent.overall if key == "overall" else agent.families[key]


def chart_sets(board: Board, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Score against memory in each set that anybody played, then on each task where they are few."""
    charts = []
    for key, title in sets_of(board).items():
        points = [
            _point(agent, standing.score, standing.memory, standing.on_front, ids)
            for agent in board.agents
            if agent.name not in (FLOOR, CEILING)
            for standing in [standing_in(agent, key)]
            if standing.score and standing.memory is not None
        ]
        if points:
            charts.append({"id": key, "title": title, "floor": 0.0, "ceiling": 1.0, "points": points})
    tasks = [task_chart(board, task, ids) for task in board.tasks]
    if sum(len(chart["points"]) for chart in tasks) <= MAX_TASK_POINTS:
        charts += tasks
    return charts


def task_chart(board: Board, task: Task, ids: Mapping[str, str]) -> dict[str, Any]:
    """Score against memory on a task."""
    return {
        "id": ids[f"task {task.name}"],
        "title": task.title,
        "floor": task.floor,
        "ceiling": task.ceiling,
        "points": [
            _point(agent, result.score, result.memory_mean, result.on_front, ids)
            for agent in board.agents
            if task.name in agent.tasks and agent.name not in (FLOOR, CEILING)
            for result in [agent.tasks[task.name]]
        ],
    }


def _point(
    agent: AgentResult, score: Estimate, memory: float, on_front: bool, ids: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": agent.name,
        "card": ids[f"agent {agent.name}"],
        "kind": agent.card["kind"],
        "setting": agent.card["setting"],
        "score": round(score.mean, 4),
        "low": None if score.low is None else round(score.low, 4),
        "high": None if score.high is None else round(score.high, 4),
        "bytes": round(memory, 1),
        "memory": bytes_text(memory),
        "front": on_front,
    }


def profile_sets(board: Board) -> list[dict[str, Any]]:
    """Performance profiles in per mille, agents by score."""
    found = []
    for key, title in sets_of(board).items():
        agents = [
            (standing.score.mean, agent.name, standing.profile)
            for agent in board.agents
            if agent.name not in (FLOOR, CEILING)
            for standing in [standing_in(agent, key)]
            if standing.score
        ]
        agents.sort(key=lambda one: (-one[0], one[1]))
        curves = [
            {
                "name": name,
                **{
                    part: [round(1000 * level[i]) for level in profile[::2]]
                    for i, part in enumerate(("values", "low", "high"))
                },
            }
            for _, name, profile in agents
        ]
        if curves:
            found.append({"id": key, "title": title, "agents": curves})
    return found


def comparisons_of(board: Board) -> dict[str, Comparison]:
    """The comparisons that there are, by the title of their set."""
    each = {"overall": board.overall, **board.comparisons}
    return {title: found for key, title in sets_of(board).items() if (found := each[key])}


def compare_data(board: Board) -> dict[str, Any]:
    """All pairs of all sets."""
    by_name = {agent.name: agent for agent in board.agents}
    titles = {task.name: task.title for task in board.tasks}
    return {
        "sets": [
            {
                "id": str(i),
                "title": title,
                "agents": comparison.agents,
                "pairs": list(
                    zip(
                        comparison.difference,
                        comparison.error,
                        comparison.p_value,
                        comparison.p_holm,
                        (round(value, 3) for value in comparison.improvement),
                        strict=True,
                    )
                ),
                "scores": [
                    {"title": titles[task], "values": _scores(comparison.agents, by_name, task)}
                    for task in comparison.tasks
                ],
            }
            for i, (title, comparison) in enumerate(comparisons_of(board).items())
        ]
    }


def _scores(agents: Sequence[str], by_name: Mapping[str, AgentResult], task: str) -> list[float]:
    found = [by_name[agent].tasks[task].normalised for agent in agents]
    return [round(score.mean, 4) for score in found if score]
