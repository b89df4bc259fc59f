"""The reference leaderboard: its results are whole, checked, small, and make the page; the numbers come out again."""

import copy
import json
from pathlib import Path

import pytest

from memgym.agents import AGENTS
from memgym.baselines.reference import compare, expected_file, summary
from memgym.cli.rerun import play_again
from memgym.core.evaluate import task_rows
from memgym.core.result import find_bundles, is_abridged, read_bundle
from memgym.core.suites import get_suite
from memgym.errors import SubmissionRefused
from memgym.leaderboard.build import build_site
from memgym.leaderboard.checked import read_checked
from memgym.leaderboard.page import RATE_TITLES
from memgym.leaderboard.submission import refuse_unless_same
from memgym.leaderboard.totals import RATES

BOARD = Path(__file__).parents[1] / "leaderboard" / "reference"
SUITES = sorted(path.name for path in BOARD.iterdir() if path.is_dir())
MAX_BYTES = 5 << 20  # of all of it, in git


def test_it_is_small_and_holds_no_actions() -> None:
    assert {"longqa", "poisoned", "retention", "rewriting"} <= set(SUITES)
    files = [path for path in BOARD.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    assert all(is_abridged(path) for path in find_bundles(BOARD))


@pytest.mark.parametrize("suite", SUITES)
def test_every_result_is_of_the_whole_suite_and_was_checked(suite: str) -> None:
    known = {task.name: task for task in get_suite(suite).tasks}
    headers = {}
    for folder in find_bundles(BOARD / suite):
        header = headers[folder.name] = read_bundle(folder, abridged=True).header
        assert header["suite"] == suite
        for row in header["tasks"]:
            if not known[row["name"]].missing():
                assert row == json.loads(task_rows([known[row["name"]]])[0].model_dump_json())
        rows = [*(row["name"] for row in header["tasks"]), *(row["task"] for row in header["skipped"])]
        assert sorted(rows) == sorted(known)
    assert {"oracle", "random"} <= set(headers) <= set(AGENTS)
    noted = read_checked(BOARD / suite)
    assert set(noted) == {header["digest"] for header in headers.values()}
    assert set(noted.values()) <= {"replayed", "rerun"}


@pytest.mark.parametrize("suite", SUITES)
def test_its_numbers_are_those_of_the_committed_summary(suite: str) -> None:
    expected, found = json.loads(expected_file(suite).read_text()), summary(BOARD / suite)
    assert compare(found, expected) == []
    changed = copy.deepcopy(found)
    next(iter(changed["agents"]["random"]["tasks"].values()))["score"] += 0.01
    assert len(compare(changed, expected)) == 1  # the control: another score is noticed


@pytest.mark.parametrize(
    "suite", [pytest.param(suite, marks=[] if suite == "retention" else pytest.mark.slow) for suite in SUITES]
)
def test_the_page_is_made_from_it(suite: str, tmp_path: Path) -> None:
    build_site(BOARD / suite, tmp_path)
    agents = json.loads((tmp_path / "results.json").read_text())["agents"]
    noted = read_checked(BOARD / suite)
    assert {agent["name"]: agent["status"] for agent in agents} == {
        agent["name"]: noted[agent["digest"]] for agent in agents
    }
    assert len(agents) == len(find_bundles(BOARD / suite))


def test_every_rate_that_a_result_may_have_has_a_heading() -> None:
    """A suite whose questions report one without would have no page."""
    assert set(RATE_TITLES) == set(RATES)


def test_an_agent_played_again_gives_the_committed_digests() -> None:
    play_again(read_bundle(BOARD / "retention" / "first-cue", abridged=True))
    with pytest.raises(SubmissionRefused, match="did something else"):  # the control: it is no other agent's
        refuse_unless_same(
            *(read_bundle(BOARD / "retention" / name, abridged=True) for name in ("first-cue", "cue-blind"))
        )
