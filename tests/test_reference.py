"""Reference results: the documents show what is committed, and the committed numbers come out again."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memgym.agents import AGENTS
from memgym.baselines.reference import as_table, compare, expected_file, main, summary
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.suites import get_suite

ROOT = Path(__file__).parents[1]
SHOWN = {
    "quickstart": "README.md",
    "rewriting": "RESULTS.md",
    "dialogue": "RESULTS.md",
    "budgets": "RESULTS.md",
}
EXPECTED = json.loads(expected_file("quickstart").read_text())


@pytest.mark.parametrize(("suite", "document"), SHOWN.items())
def test_a_document_shows_the_committed_results(
    suite: str, document: str, shown: Callable[[str, str, str], str]
) -> None:
    assert shown(document, "reference", suite) == as_table(json.loads(expected_file(suite).read_text()))


def test_reference_of_the_rewriting_suite_covers_its_tasks() -> None:
    expected = json.loads(expected_file("rewriting").read_text())
    assert {task for a in expected["agents"].values() for task in a["tasks"]} == {
        task.name for task in get_suite("rewriting").tasks
    }


@pytest.mark.slow
def test_the_rewriting_suite_reproduces_its_reference_results(tmp_path: Path) -> None:
    expected = json.loads(expected_file("rewriting").read_text())
    run([plan(AgentSpec(name), get_suite("rewriting"), tmp_path / "r") for name in expected["agents"]])
    assert compare(summary(tmp_path / "r"), expected) == []


def test_the_quickstart_has_reference_results_on_each_of_its_tasks() -> None:
    assert set(EXPECTED["agents"]) <= set(AGENTS)
    assert {task for a in EXPECTED["agents"].values() for task in a["tasks"]} == {
        task.name for task in get_suite("quickstart").tasks
    }


def test_makefile_runs_the_agents_of_the_quickstart() -> None:
    listed = re.search(r"^AGENTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    assert set(listed[1].split(",")) == set(EXPECTED["agents"])


def test_committed_scores_come_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole suite for the quick agents, without the real conversations; the slow test plays all."""
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    names = ["random", "oracle", "first-cue", "rules", "recency"]
    run([plan(AgentSpec(name), get_suite("quickstart"), tmp_path / "r") for name in names])
    found = summary(tmp_path / "r")
    assert compare(found, EXPECTED) == []
    for name in names:  # the control: a changed score is noticed
        for row in found["agents"][name]["tasks"].values():
            row["score"] += 0.05
    assert len(compare(found, EXPECTED)) == sum(len(a["tasks"]) for a in found["agents"].values()) == 7


@pytest.mark.slow
def test_whole_quickstart_reproduces_its_reference_results(
    tmp_path: Path, locomo_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    command = [sys.executable, "-m", "memgym", "evaluate", "--agents", ",".join(EXPECTED["agents"])]
    subprocess.run(
        [*command, "--suite", "quickstart", "--out", str(results)], check=True, capture_output=True
    )
    monkeypatch.setattr(sys, "argv", ["reference", str(results)])
    assert main() == 0, capsys.readouterr().out
