"""The command line, as a person uses it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from memgym.core.suites import SUITES
from memgym.envs import ENVIRONMENTS


def memgym(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memgym", *args],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"COLUMNS": "160", "NO_COLOR": "1"} | env,
    )


COMMANDS = [
    [],
    ["list"],
    ["play"],
    ["evaluate"],
    ["compare"],
    ["verify"],
    ["judge"],
    ["data"],
    ["leaderboard"],
    ["leaderboard", "build"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_itself(command: list[str]) -> None:
    out = memgym(*command, "--help")
    assert out.returncode == 0
    assert "Usage: memgym" in out.stdout
    if command not in ([], ["data"], ["leaderboard"]):
        assert "Examples:" in out.stdout


def test_list_names_everything() -> None:
    out = memgym("list").stdout
    for name in [*ENVIRONMENTS, *SUITES, "recency", "ppo-lstm", "locomo10"]:
        assert name in out
    only = memgym("list", "suites").stdout
    assert "quickstart" in only
    assert "recency" not in only


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "cakes"], "Known: envs, agents, memories, suites, datasets, recipes"),
        (["evaluate", "-a", "recensy", "-s", "dialogue", "-o", "x"], "Did you mean 'recency'"),
        (["evaluate", "-a", "random", "-s", "dialog", "-o", "x"], "Did you mean 'dialogue'"),
        (["verify", "nowhere"], "is not a folder of result bundles"),
        (["play", "EndlessTMaz-v0"], "Did you mean 'memgym/EndlessTMaze-v0'"),
        (["play", "EndlessTMaze-v0", "--arg", "corridors"], "--arg is NAME=VALUE"),
        (["data", "path", "locomo11"], "Did you mean 'locomo10'"),
    ],
)
def test_mistake_is_one_line_that_says_what_to_do(args: list[str], message: str) -> None:
    out = memgym(*args)
    assert out.returncode == 1
    assert message in out.stderr
    assert "Traceback" not in out.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "0"], "workers is an integer from 1"),
        (["--engine", "dask"], "engine is 'local' or 'ray'"),
        (["--address", "auto"], "choose engine 'ray'"),
    ],
)
def test_engine_that_is_none_is_a_usage_error(options: list[str], message: str) -> None:
    out = memgym("evaluate", "-a", "random", "-s", "dialogue", "-o", "x", *options)
    assert out.returncode == 2
    assert message in " ".join(out.stderr.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--episodes", "--seeds", "--budget"])
def test_number_below_one_is_a_usage_error(option: str) -> None:
    out = memgym("evaluate", "-a", "random", "-s", "dialogue", "-o", "x", option, "0")
    assert out.returncode == 2
    assert "at least 1" in out.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["EndlessTMaze-v0", "--arg", "foo=1"], "unexpected keyword argument 'foo'"),
        (["EndlessTMaze-v0", "--arg", "num_corridors=0"], "num_corridors"),
        (["EndlessTMaze-v0", "--seed", "-1"], "at least 0"),
    ],
)
def test_bad_argument_of_a_task_is_a_usage_error(args: list[str], message: str) -> None:
    out = memgym("play", *args)
    assert out.returncode == 2
    assert message in out.stderr
    assert "Traceback" not in out.stderr


def test_out_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = memgym("evaluate", "-a", "random", "-s", "retention", "-o", str(tmp_path / "file"))
    assert out.returncode == 2
    assert "is a file" in out.stderr


def test_evaluate_verify_and_build_work_hand_in_hand(tmp_path: Path) -> None:
    results, site = tmp_path / "results", tmp_path / "site"
    run = ["evaluate", "--agents", "random,oracle,first-cue", "-s", "retention", "--episodes", "3"]
    out = memgym(*run, "-o", str(results), "--workers", "1")
    assert out.returncode == 0, out.stderr
    assert "memgym verify" in out.stdout
    out = memgym("verify", str(results))
    assert out.returncode == 0
    assert out.stdout.count("verified") == 3
    out = memgym("leaderboard", "build", str(results), "--out", str(site))
    assert out.returncode == 0, out.stderr
    assert "first-cue" in (site / "index.html").read_text()
    assert f"file://{site.resolve()}/index.html" in out.stdout

    header = results / "random" / "submission.json"
    header.write_text(header.read_text().replace('"random"', '"randon"', 1))
    out = memgym("verify", str(results))
    assert out.returncode == 1
    assert "section 'agent' was changed" in out.stdout
    assert out.stdout.count("verified") == 2
    out = memgym("leaderboard", "build", str(results), "--out", str(tmp_path / "other"))
    assert out.returncode == 1
    assert "section 'agent' was changed" in out.stderr
    assert not (tmp_path / "other").exists()


def test_person_plays_a_dialogue_to_the_end() -> None:
    args = ["play", "DialogueMemory-v0", "--arg", "num_sessions=1", "--arg", "turns_per_session=2"]
    args += ["--arg", "num_facts=1", "--arg", "num_events=0", "--arg", "answer_format=choice"]
    out = memgym(*args, stdin="a\nwhat?\nu m1 something new\n" + "s something\n1\n" * 4)
    assert out.returncode == 0
    assert "MEMORY" in out.stdout
    assert "not understood" in out.stdout
    assert "something new" in out.stdout
    assert "The end. Return" in out.stdout


def test_person_walks_a_maze_and_may_quit() -> None:
    out = memgym("play", "EndlessTMaze-v0", stdin="f\n\nx\nl\nq\n")
    assert "You walk through 3 corridors" in out.stdout
    assert out.stdout.count("forward, left, right") == 2, "at the start, and where the key was not understood"
    assert "step 3/108" in out.stdout


@pytest.mark.parametrize("env_id", ["KeyValueRewriting-v0", "ColorCubes-v0"])
def test_who_plays_sees_no_more_than_an_agent_until_the_end(env_id: str) -> None:
    out = memgym("play", env_id, stdin="\n\nq\n").stdout
    env = gym.make(f"memgym/{env_id}")
    task: Any = env.unwrapped
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        assert task.describe(observation).split(". ")[-1] in " ".join(out.split())
        observation, *_ = env.step(0)
    drawn = gym.make(f"memgym/{env_id}", render_mode="ansi")
    drawn.reset(seed=0)
    drawn.step(0)
    assert str(drawn.render()).splitlines()[-1] not in out


@pytest.mark.parametrize(("env_id", "agent"), [("DialogueMemory-v0", "rules"), ("EndlessTMaze-v0", "oracle")])
def test_person_watches_an_agent(env_id: str, agent: str) -> None:
    out = memgym("play", env_id, "--agent", agent, "--delay", "0")
    assert out.returncode == 0, out.stderr
    assert "The end. Return" in out.stdout


def test_watching_an_agent_that_cannot_play_says_why() -> None:
    out = memgym("play", "EndlessTMaze-v0", "--agent", "rules")
    assert out.returncode == 1
    assert "plays text tasks only" in out.stderr


def test_example_agent_of_another_folder_is_evaluated_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEMGYM_DATA", "MEMGYM_CACHE"):  # without LoCoMo, which takes a minute
        monkeypatch.setenv(name, str(tmp_path / "none"))
    examples = Path(__file__).parents[1] / "examples"
    script = Path(sys.executable).parent / "memgym"
    results = tmp_path / "results"
    run = ["evaluate", "-a", "my_agent:make", "-s", "dialogue", "--episodes", "2", "-o", str(results)]
    for command in ([*run, "--workers", "2"], ["verify", str(results)]):
        out = subprocess.run(
            [str(script), *command], cwd=examples, capture_output=True, encoding="utf-8", check=False
        )
        assert out.returncode == 0, out.stderr
    assert (results / "my-agent" / "submission.json").is_file()
