"""Reference results of the suite of budgets: the committed numbers cover it, add up, and come out again."""

import json
from pathlib import Path

import pytest

from memgym.agents import AGENTS
from memgym.baselines.reference import as_type_table, compare, expected_file, summary
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.suites import get_suite

EXPECTED = json.loads(expected_file("budgets").read_text())
BUDGETS = {task.name: task.kwargs["memory_budget"] for task in get_suite("budgets").tasks}


def scores(agent: str) -> list[float]:
    """From the smallest budget to the largest."""
    tasks = EXPECTED["agents"][agent]["tasks"]
    return [tasks[name]["score"] for name in sorted(BUDGETS, key=lambda name: BUDGETS[name])]


def test_each_agent_played_each_budget() -> None:
    assert set(EXPECTED["agents"]) <= set(AGENTS)
    for agent in EXPECTED["agents"].values():
        assert set(agent["tasks"]) == set(BUDGETS)


def test_more_bytes_help_who_fills_them_and_nobody_else() -> None:
    for agent in ("recency", "add-all-bm25"):
        assert scores(agent) == sorted(scores(agent))
        assert scores(agent)[-1] > scores(agent)[0] + 0.15
    for agent in ("oracle", "closed-book", "full-context"):  # one keeps it all outside of the bank
        assert len(set(scores(agent))) == 1
    assert scores("oracle")[0] == 1.0


def test_a_type_table_has_a_row_for_each_question_type() -> None:
    task = next(iter(BUDGETS))
    head, _, *rows = [line.strip("| ").split(" | ") for line in as_type_table(EXPECTED, task).splitlines()]
    column = head.index("`recency`")
    types = EXPECTED["agents"]["recency"]["tasks"][task]["question_types"]
    assert {row[0]: row[column] for row in rows} == {name: f"{score:.3f}" for name, score in types.items()}


@pytest.mark.slow
def test_committed_scores_come_out_again(tmp_path: Path) -> None:
    run([plan(AgentSpec(name), get_suite("budgets"), tmp_path / "r") for name in ("random", "full-context")])
    found = summary(tmp_path / "r")
    assert compare(found, EXPECTED) == []
    found["agents"]["random"]["tasks"]["dialogue-medium-1k"]["score"] += 0.01
    assert len(compare(found, EXPECTED)) == 1  # the control: a changed score is noticed
