"""Agents over budgets: sizes as people write them, areas worked by hand, and a command that resumes and draws."""

import csv
import json
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="the figure of budgets needs matplotlib (memgym[plots])")

from memgym.cli.main import app
from memgym.core.budgets import format_size, parse_budgets, parse_size, with_budget_only
from memgym.core.result import read_bundle
from memgym.core.suites import get_suite
from memgym.core.verify import verify
from memgym.errors import MemgymError, ResultInvalid, UnknownName
from memgym.leaderboard.budget_curves import area_weights, budget_curves
from memgym.leaderboard.budget_report import area_rows, draw_curves, point_rows

BUDGETS = (512, 2048, 8192)


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("4KiB", 4096),
        ("4 kib", 4096),
        ("1.5MiB", 3 << 19),
        ("64kB", 64_000),
        (" 2GiB ", 2 << 30),
        ("100B", 100),
    ],
)
def test_size_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "4K", "KiB", "-4KiB", "0", "4 Kibi", "1e3", "0.3B", "4096GiB", "4,5KiB", "٤"]
)
def test_text_that_is_no_size_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no size|whole number of bytes"):
        parse_size(text)


@given(st.integers(1, 1 << 40))
def test_a_size_is_read_as_it_was_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_budgets_are_different_sizes_from_the_smallest() -> None:
    assert parse_budgets("64KiB,4KiB, 16384") == (4096, 16384, 65536)
    with pytest.raises(ValueError, match="4KiB stands twice"):
        parse_budgets("4KiB,4096")
    with pytest.raises(ValueError, match="two budgets at least"):
        parse_budgets("4KiB")


# ---------------------------------------------------------------------- which tasks


def test_tasks_that_one_budget_makes_equal_are_played_once() -> None:
    kept, left_out = with_budget_only(get_suite("budgets"))
    assert [task.name for task in kept.tasks] == ["dialogue-medium-64k"], "the one with the largest view"
    assert set(left_out) == {"dialogue-medium-1k", "dialogue-medium-4k", "dialogue-medium-16k"}
    assert all("dialogue-medium-64k" in reason for reason in left_out.values())


def test_tasks_without_a_budget_are_left_out_and_named() -> None:
    kept, left_out = with_budget_only(get_suite("quickstart"))
    assert [task.name for task in kept.tasks] == ["dialogue-1k", "locomo-256k"]
    assert "no memory_budget" in left_out["t-maze-n3"]
    with pytest.raises(ValueError, match="no task of suite 'rewriting' has a budget"):
        with_budget_only(get_suite("rewriting"))
    with pytest.raises(UnknownName, match="has no task 'dialogue'"):
        with_budget_only(get_suite("dialogue"), ["dialogue"])


def test_longer_streams_are_different_tasks() -> None:
    """They share seeds, and still ask among different distractors."""
    kept, _ = with_budget_only(get_suite("longqa"), ["longqa-16k", "longqa-131k"])
    assert len(kept.tasks) == 2


# ---------------------------------------------------------------------- areas


def area(memory: list[float], scores: list[float], budgets: tuple[int, ...] = BUDGETS) -> float:
    return sum(w * s for w, s in zip(area_weights(memory, budgets), scores, strict=True))


def test_areas_worked_by_hand() -> None:
    """Over two octave pairs: (0.2 + 0.6) / 2 on the first, (0.6 + 1) / 2 on the second."""
    assert area([512, 2048, 8192], [0.2, 0.6, 1.0]) == pytest.approx(0.5 * 0.4 + 0.5 * 0.8)
    assert area([0, 0, 0], [0.5, 0.5, 0.5]) == pytest.approx(0.5), "a constant that takes nothing"
    assert area([9000, 9000, 9000], [1.0, 1.0, 1.0]) == 0.0, "more than the largest budget"
    assert area([512, 8192, 100_000], [0.4, 0.8, 1.0]) == pytest.approx(0.6)
    assert area([2048, 2048, 2048], [0.1, 0.2, 0.8]) == pytest.approx(0.5 * 0.8), "a step, at its best budget"


SCORES = st.lists(st.floats(0, 1), min_size=3, max_size=3)
MEMORY = st.lists(st.floats(0, 1 << 15), min_size=3, max_size=3)


@given(MEMORY, SCORES)
def test_an_area_is_from_0_to_1(memory: list[float], scores: list[float]) -> None:
    assert -1e-12 <= area(memory, scores) <= 1 + 1e-12


@given(MEMORY, SCORES, SCORES)
def test_an_area_grows_with_every_score(memory: list[float], scores: list[float], more: list[float]) -> None:
    better = [min(1.0, score + gain) for score, gain in zip(scores, more, strict=True)]
    assert area(memory, better) >= area(memory, scores) - 1e-12


@given(MEMORY, SCORES)
def test_an_area_does_not_depend_on_the_order_of_budgets(memory: list[float], scores: list[float]) -> None:
    rows = list(zip(memory, scores, BUDGETS, strict=True))
    areas = {
        area([m for m, _, _ in order], [s for _, s, _ in order], tuple(b for _, _, b in order))
        for order in permutations(rows)
    }
    assert max(areas) - min(areas) < 1e-12


def test_memory_in_bytes_that_no_budget_counts_gains_nothing() -> None:
    """The control: the same scores within the budgets have an area."""
    scores = [0.3, 0.6, 0.9]
    assert area([b + 4096 for b in BUDGETS], scores) < area(list(BUDGETS), scores)


# ---------------------------------------------------------------------- the command

AGENTS = ["recency", "rules", "closed-book", "random"]


def run(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["compare", *args], env={"COLUMNS": "160", "NO_COLOR": "1"})
    if done.exception is not None and not isinstance(done.exception, SystemExit | MemgymError):
        raise done.exception
    return done.exit_code, " ".join((done.output + str(done.exception or "")).replace("│", " ").split())


def options(out: Path, *more: str, agents: str = ",".join(AGENTS)) -> list[str]:
    given = [
        "--agents",
        agents,
        "--suite",
        "dialogue",
        "--tasks",
        "dialogue-1k",
        "--budgets",
        "8KiB,512,2KiB",
    ]
    return [*given, "--episodes", "3", "--workers", "1", "--out", str(out), *more]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "out"
    code, text = run(*options(out))
    assert code == 0, text
    return out


def folders(out: Path) -> dict[int, list[Path]]:
    return {parse_size(f.name): sorted(f.iterdir()) for f in out.iterdir() if f.is_dir()}


def test_results_are_verified_though_most_tasks_are_left_out(played: Path) -> None:
    for folder in (folder for of_size in folders(played).values() for folder in of_size):
        header = read_bundle(folder).header
        reasons = {row["task"]: row["reason"] for row in header["skipped"]}
        assert set(reasons) == {task.name for task in get_suite("dialogue").tasks} - {"dialogue-1k"}
        verify(folder)


def test_files_say_what_the_table_says(played: Path) -> None:
    curves = budget_curves(folders(played))
    found = json.loads((played / "curves.json").read_text())
    assert found["schema"] == "memgym-curves/1"
    assert found["budgets"] == list(BUDGETS)
    assert "--budgets 512B,2KiB,8KiB" in found["command"]
    assert str(played.parent) not in found["command"]
    (panel,) = found["panels"]
    lines = list(csv.DictReader((played / "curves.csv").read_text().splitlines()))
    rows = point_rows(curves)[1:]
    points = [(curve["agent"], point) for curve in panel["curves"] for point in curve["points"]]
    assert len(points) == len(rows) == len(lines) == len(AGENTS) * len(BUDGETS)
    for (agent, point), row, line in zip(points, rows, lines, strict=True):
        assert row[:3] == [agent, format_size(point["budget"]), f"{point['score']['mean']:.3f}"]
        assert row[4] == f"{point['memory_mean']:,.0f} B"
        assert float(line["score"]) == point["score"]["mean"]
        assert int(line["budget_bytes"]) == point["budget"]
        assert point["score"]["low"] <= point["score"]["mean"] <= point["score"]["high"]
    for curve, row in zip(panel["curves"], area_rows(curves)[1:], strict=True):
        memory = [point["memory_mean"] for point in curve["points"]]
        scores = [point["score"]["mean"] for point in curve["points"]]
        assert curve["auc"]["mean"] == pytest.approx(area(memory, scores), abs=1e-5)
        assert curve["bank_auc"]["mean"] == pytest.approx(area(list(BUDGETS), scores), abs=1e-5)
        assert row[1].startswith(f"{curve['auc']['mean']:.3f} [")


def test_figure_shows_the_numbers_of_the_table(played: Path) -> None:
    assert (played / "curves.png").read_bytes().startswith(b"\x89PNG")
    curves = budget_curves(folders(played))
    (axes,) = draw_curves(curves).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    for curve in curves.panels[0].curves:
        expected = sorted([point.memory_mean, point.score.mean] for point in curve.points)
        assert sorted(drawn[curve.agent]) == expected
    rings = [at for rings in axes.collections for at in np.asarray(rings.get_offsets()).tolist()]
    front = [[p.memory_mean, p.score.mean] for c in curves.panels[0].curves for p in c.points if p.on_front]
    assert sorted(rings) == sorted(front)


def test_what_is_marked_is_the_front_and_the_scale_takes_no_part(played: Path) -> None:
    curves = {curve.agent: curve.points for curve in budget_curves(folders(played)).panels[0].curves}
    assert not any(point.on_front for point in curves["random"])
    ranked = [point for agent in AGENTS[:3] for point in curves[agent]]
    for point in ranked:
        beaten = any(
            other.memory_mean <= point.memory_mean
            and other.score.mean >= point.score.mean
            and (other.memory_mean, other.score.mean) != (point.memory_mean, point.score.mean)
            for other in ranked
        )
        assert point.on_front == (not beaten)


def test_interrupted_comparison_goes_on_where_it_stopped(played: Path, tmp_path: Path) -> None:
    """One agent at one budget is missing: only that is played, and the files come out the same but for times."""
    copy = tmp_path / "out"
    shutil.copytree(played, copy)
    shutil.rmtree(copy / "2KiB" / "rules")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("submission.json")}
    code, text = run(*options(copy))
    assert code == 0, text
    assert {path for path in copy.rglob("submission.json") if path not in before} == {
        copy / "2KiB" / "rules" / "submission.json"
    }
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert scores_in(copy) == scores_in(played)


def scores_in(out: Path) -> list[tuple[str, str, str, str]]:
    lines = csv.DictReader((out / "curves.csv").read_text().splitlines())
    return [(line["agent"], line["budget_bytes"], line["score"], line["auc"]) for line in lines]


def test_other_numbers_in_the_same_folder_are_refused(played: Path) -> None:
    code, text = run(*options(played, "--seeds", "2"))
    assert code == 1
    assert "holds a result with another suite" in text


def test_the_order_of_budgets_and_agents_does_not_matter(played: Path) -> None:
    given = folders(played)
    backwards = {size: given[size][::-1] for size in sorted(given, reverse=True)}
    assert budget_curves(backwards) == budget_curves(given)


def test_agents_that_played_other_episodes_are_not_compared(played: Path, tmp_path: Path) -> None:
    code, text = run(*options(tmp_path / "out", agents="closed-book"), "--episodes", "2")
    assert code == 0, text
    mixed = {
        size: [*paths, tmp_path / "out" / format_size(size) / "closed-book"]
        for size, paths in folders(played).items()
    }
    with pytest.raises(ResultInvalid, match="has not one result at each of 3 budgets"):
        budget_curves(mixed)
    others = {
        size: [p for p in paths if p.name != "closed-book" or "compare" not in str(p)]
        for size, paths in mixed.items()
    }
    with pytest.raises(ResultInvalid, match="different tasks or episodes"):
        budget_curves(others)


def test_what_language_models_cost_is_counted_for_a_question(tmp_path: Path) -> None:
    code, text = run(*options(tmp_path / "out", "--episodes", "1", agents="tme,recency"))
    assert code == 0, text
    (panel,) = budget_curves(folders(tmp_path / "out")).panels
    costs = {curve.agent: [point.cost for point in curve.points] for curve in panel.curves}
    assert all(cost.calls is not None and cost.calls > 1 and cost.tokens == 0 for cost in costs["tme"])
    assert all(cost.calls is None and cost.tokens is None for cost in costs["recency"]), "it asks nobody"
    assert all(cost.cpu_s > 0 for of_agent in costs.values() for cost in of_agent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--budgets", "4K,8K"], "'4K' is no size"),
        (["--budgets", "4KiB"], "two budgets at least"),
        (["--suite", "rewriting", "--tasks", ""], "no task of suite 'rewriting' has a budget of memory"),
        (["--tasks", "cake"], "has no task 'cake'"),
        (["--episodes", "0"], "episodes is from 1 to 1000000, not 0"),
        (["--suite", "dialog"], "Did you mean 'dialogue'"),
    ],
)
def test_mistake_says_what_to_do(change: list[str], message: str, tmp_path: Path) -> None:
    code, text = run(*options(tmp_path / "out", *change))
    assert code != 0
    assert message in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        (",", "one agent at least"),
        ("belief", "agent 'belief' cannot play dialogue-1k"),
        ("recensy", "Did you mean 'recency'"),
    ],
)
def test_agent_that_cannot_be_compared_is_named(agents: str, message: str, tmp_path: Path) -> None:
    code, text = run(*options(tmp_path / "out", agents=agents))
    assert code != 0
    assert message in text
