"""Committed curves over budgets: what they cover, that their numbers hang together, and that they come out again."""

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="results are checked with pydantic (memgym[cli])")

from memgym.agents import AGENTS
from memgym.baselines.budget_table import as_table, main
from memgym.baselines.reference import EXPECTED
from memgym.core.budgets import format_size
from memgym.core.shards import AgentSpec, Shard, run_shard
from memgym.core.suites import get_suite, reserved_seeds
from memgym.leaderboard.budget_curves import area_weights

ROOT = Path(__file__).parents[1]
FILES = sorted(EXPECTED.glob("budgets_*.json"))
NAMES = [file.stem for file in FILES]


def content(name: str) -> dict[str, Any]:
    return json.loads((EXPECTED / f"{name}.json").read_text())


def options(name: str) -> dict[str, str]:
    words = shlex.split(content(name)["command"])
    assert words[:2] == ["memgym", "compare"]
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_there_are_curves() -> None:
    assert "budgets_dialogue" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_command_figure_and_agents_belong_together(name: str) -> None:
    found, given = content(name), options(name)
    assert (EXPECTED / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert set(given["--agents"].split(",")) == set(found["agents"]) <= set(AGENTS)
    assert {curve["agent"] for panel in found["panels"] for curve in panel["curves"]} == set(found["agents"])
    assert {"recency", "closed-book", "full-context", "random", "oracle"} <= set(found["agents"])
    steps = {agent: row["steps"] for agent, row in found["agents"].items()}
    assert set(steps.values()) <= {"", "rules"}, "no language model was asked"


@pytest.mark.parametrize("name", NAMES)
def test_areas_follow_from_the_points(name: str) -> None:
    found = content(name)
    for panel in found["panels"]:
        for curve in panel["curves"]:
            points = curve["points"]
            assert [point["budget"] for point in points] == found["budgets"]
            assert all(point["errors"] == 0 for point in points)
            scores = [point["score"]["mean"] for point in points]
            for area, at in (("auc", "memory_mean"), ("bank_auc", "budget")):
                weights = area_weights([point[at] for point in points], found["budgets"])
                total = sum(w * s for w, s in zip(weights, scores, strict=True))
                assert curve[area]["mean"] == pytest.approx(total, abs=2e-6)


def shown_tables(document: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- curves:(\w+) -->\n(.*?)\n<!-- /curves -->", document, re.DOTALL))


def test_a_document_shows_the_committed_curves() -> None:
    shown = shown_tables((ROOT / "RESULTS.md").read_text())
    assert shown
    assert set(shown) <= set(NAMES)
    for name, table in shown.items():
        assert table == as_table(content(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_every_number_of_its_curves(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    found, printed = content(name), capsys.readouterr().out
    head, _, *rows = [line.strip("| ").split(" | ") for line in printed.splitlines()]
    assert head[1 : 1 + len(found["budgets"])] == [format_size(size) for size in found["budgets"]]
    curves = {curve["agent"]: curve for curve in found["panels"][0]["curves"]}
    assert sorted(curves) == sorted(row[0].strip("`") for row in rows)
    for agent, *cells in rows:
        curve = curves[agent.strip("`")]
        for cell, point in zip(cells, curve["points"], strict=False):
            assert cell == f"{point['score']['mean']:.3f} ({round(point['memory_mean']):,} B)"
        assert cells[len(curve["points"])] == f"{curve['bank_auc']['mean']:.3f}"
    areas = [float(row[-3]) for row in rows]
    assert areas == sorted(areas, reverse=True)
    changed = json.loads(json.dumps(found))
    changed["panels"][0]["curves"][0]["points"][0]["score"]["mean"] += 0.01
    assert as_table(changed) != as_table(found), "the control"
    block = f"<!-- curves:{name} -->\n{as_table(changed)}\n<!-- /curves -->"
    assert shown_tables(block) == {name: as_table(changed)}


@pytest.mark.slow
def test_committed_scores_of_a_budget_come_out_again() -> None:
    found, given = content("budgets_dialogue"), options("budgets_dialogue")
    budget = found["budgets"][0]
    suite = get_suite(given["--suite"]).resized(int(given["--episodes"]), budget=budget)
    (task,) = (task for task in suite.tasks if task.name == given["--tasks"])
    (panel,) = found["panels"]
    expected = {curve["agent"]: curve["points"][0] for curve in panel["curves"]}
    shard = Shard(AgentSpec("recency"), {}, task, reserved_seeds(task)[0], 0, task.episodes)
    rows = json.loads(gzip.decompress(run_shard(shard)))["rows"]
    score = sum(row["score"] for row in rows) / len(rows)
    memory = sum(row["bank_bytes"] + row["agent_bytes"] for row in rows) / len(rows)
    assert score == pytest.approx(expected["recency"]["score"]["mean"], abs=1e-6)
    assert memory == pytest.approx(expected["recency"]["memory_mean"], abs=1e-5)
    assert score != pytest.approx(expected["rules"]["score"]["mean"], abs=0.01), "the control"
