"""The throughput benchmark measures who is there, names who is not, and does its sums right."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memgym.envs import VECTOR_ENVIRONMENTS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # worker processes inherit it

env_contestants, env_report, env_runners, env_throughput = (
    importlib.import_module(name)
    for name in ("env_contestants", "env_report", "env_runners", "env_throughput")
)

T_MAZE = "memgym/EndlessTMaze-v0"
MAZE = partial(env_runners.bare_class, T_MAZE, {})
ABOUT = {"rounds": 2, "cpu_seconds": 0.01, "command": "this", "processor": "any", "versions": {}}


def contestant(name: str, prepare: Callable[[], Any] = MAZE, role: Any = "peer", **more: Any) -> Any:
    return env_contestants.Contestant(
        **{"name": name, "package": "one", "num_envs": 1, "prepare": prepare, "role": role, "group": 1} | more
    )


def synthetic(name: str, rates: list[float], role: str = "peer", num_envs: int = 1, **more: Any) -> Any:
    """A result whose rounds took two CPU seconds each."""
    who = contestant(name, role=role, num_envs=num_envs, group=num_envs, **more)
    steps, rounds = [int(2 * rate) for rate in rates], len(rates)
    return env_report.Result(who, steps=steps, cpu_s=[2.0] * rounds, position=list(range(rounds)))


def measure(*contestants: Any, rounds: int = 2) -> dict[str, Any]:
    results = env_throughput.measure(contestants, rounds, 0.005, lambda done, total, detail: None)
    return {result.contestant.name: result for result in results}


def test_command_writes_table_raw_rounds_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--only", "*EndlessTMaze, class", "--rounds", "2", "--cpu-seconds", "0.01"]
    assert env_throughput.main([*words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "env_throughput.md").read_text("utf-8") + "\n"
    assert "| memgym EndlessTMaze, class | " in printed
    assert "| gymnasium CartPole, gym.make | " in printed  # although nobody asked for it
    raw = json.loads((tmp_path / "env_throughput.json").read_text("utf-8"))
    assert [len(row["rounds"]) for row in raw["contestants"]] == [2, 2]
    assert all(r["steps"] > 0 and r["cpu_s"] >= 0.01 for c in raw["contestants"] for r in c["rounds"])
    assert raw["command"].endswith("--out " + str(tmp_path))
    assert (tmp_path / "env_throughput.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "env_throughput.svg").read_bytes()


def test_missing_peer_is_listed_as_not_installed() -> None:
    results = measure(contestant("here"), contestant("absent", needs=("no_such_peer",)))
    assert len(results["here"].steps) == 2
    assert results["absent"].note == "not installed (no_such_peer)"
    markdown = env_report.as_markdown(list(results.values()), ABOUT)
    assert "| absent | not installed (no_such_peer) | - |" in markdown


def test_failing_contestant_is_named_and_stops_nobody() -> None:
    results = measure(
        contestant("unknown", partial(env_runners.bare_class, "memgym/Unknown-v0", {})),
        contestant("crash", partial(os._exit, 3), package="two"),
        contestant("well"),
    )
    assert results["unknown"].note.startswith("failed: UnknownName: no environment named 'memgym/Unknown-v0'")
    assert results["crash"].note == "failed: its worker process 'two' died"
    assert results["well"].is_measured
    assert not results["unknown"].is_measured


def test_a_failure_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = contestant("bad", partial(env_runners.bare_class, "memgym/Unknown-v0", {}))
    monkeypatch.setattr(env_throughput, "all_contestants", lambda sizes: [bad])
    assert env_throughput.main(["--rounds", "1", "--cpu-seconds", "0.01"]) == 1
    assert "| bad | failed: UnknownName" in capsys.readouterr().out


def test_ratios_are_taken_round_by_round() -> None:
    base = synthetic("base", [100, 200, 400], "base")
    ours = synthetic("ours", [300, 400, 2000], "ours")
    assert env_report.ratio(ours, base) == env_report.Summary(
        3.0, 2.0, 5.0
    )  # of medians it would be 400 / 200
    assert env_report.ratio(base, base) == env_report.Summary(1.0, 1.0, 1.0)
    assert env_report.ratio(ours, None) is None
    assert env_report.ratio(ours, env_report.Result(base.contestant, note="not installed (x)")) is None


def test_table_compares_with_cartpole_and_ends_with_the_copy_limit() -> None:
    results = [
        synthetic("limit", [8e6, 8e6, 8e6], "limit", 64),
        synthetic("slow", [5e5, 5e5, 5e5], "ours", 64),
        env_report.Result(contestant("absent", num_envs=64, group=64), note="not installed (x)"),
        synthetic("CartPole", [1e6, 1e6, 1e6], "base", 64),
        synthetic("fast", [3e6, 2e6, 4e6], "ours", 64),
    ]
    rows = [line for line in env_report.as_markdown(results, ABOUT).splitlines() if line.startswith("| ")]
    names = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert names == ["contestant", "---", "fast", "CartPole", "slow", "absent", "limit"]
    row = rows[2].replace(env_report.NO_BREAK, " ")
    assert row == "| fast | 3.00 M (2.00 M - 4.00 M) | 3.00 (2.00 - 4.00) | 0.375 (0.250 - 0.500) |"


def test_table_against_peers_divides_by_each_peer() -> None:
    results = [
        synthetic("env, numba", [6e6, 9e6, 6e6], "ours", 4096, is_headline=True),
        synthetic("env, numpy", [2e6, 2e6, 2e6], "ours", 4096, is_headline=True),
        synthetic("peer", [1e3, 1e3, 2e3]),
        env_report.Result(contestant("absent"), note="not installed (x)"),
    ]
    markdown = env_report.as_markdown(results, ABOUT)
    assert "| peer | numba | numpy |" in markdown
    assert "| peer | 6,000 | 2,000 |" in markdown
    assert "| absent | not installed (x) | - |" in markdown


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.3])
def test_cost_exponent_is_the_power_of_the_size(exponent: float) -> None:
    sizes = [1024, 4096, 16384, 65536]
    rows = [synthetic("env", [1e9 * n / n**exponent] * 3, "ours", n) for n in sizes]
    assert env_report.cost_exponent(rows) == pytest.approx(exponent, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.01234, "0.0123"),
        (0.5, "0.500"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (99.97, "100"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_show_three_digits(value: float, shown: str) -> None:
    assert env_report.three_digits(value) == shown


def test_every_environment_runs_in_every_form() -> None:
    everyone = env_contestants.all_contestants((8,))
    assert len({who.key for who in everyone}) == len(everyone)
    ours = [who for who in everyone if who.role == "ours"]
    for env_id in VECTOR_ENVIRONMENTS:
        name = env_id.removesuffix("-v0").replace("/", " ")
        forms = {who.name.removeprefix(f"{name}, ") for who in ours if who.name.startswith(f"{name}, ")}
        vector = {
            f"{backend}, {mode}, copy={copy}"
            for backend in ("numpy", "numba")
            for mode in ("NEXT_STEP", "SAME_STEP")
            for copy in (True, False)
        }
        assert vector | {"class", "gym.make"} <= forms
    for who in ours:
        if not env_contestants.missing_modules(who) and who.backend != "numba":
            steps, cpu_s = who.prepare()(1e-4)
            assert steps > 0
            assert cpu_s > 0


def test_cue_follower_refuses_to_measure_failures() -> None:
    arguments = env_contestants.STUDY
    steps, _ = env_runners.cue_follower(T_MAZE, 4, arguments)(1e-4)
    assert steps % (4 * (5 * 11 + 1)) == 0  # whole episodes, and the step that starts the next
    with pytest.raises(RuntimeError, match="did not succeed everywhere"):
        env_runners.cue_follower(T_MAZE, 4, {**arguments, "length_mode": "uniform"})


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--cpu-seconds", "0"], ["--sizes", "1"]])
def test_bad_arguments_are_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        env_throughput.main(words)
    assert words[0] in capsys.readouterr().err.splitlines()[-1]


def test_only_that_matches_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert env_throughput.main(["--only", "nobody"]) == 2
    assert "'nobody'" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is a peer, not a dependency")
def test_jax_rules_keep_the_laws_and_a_leak_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = importlib.import_module("jax_t_maze")
    rules.check_rules(2, 3)
    observe = rules.observe

    def leak(maze: Any, length: int) -> Any:
        return observe(maze, length).at[..., 1].set(maze.cue == rules.LEFT)

    monkeypatch.setattr(rules, "observe", leak)
    with pytest.raises(AssertionError, match="one cue is shown at x = 0, and nowhere else"):
        rules.check_rules(2, 4)
