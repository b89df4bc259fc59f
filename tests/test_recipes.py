"""Recipes: what they list, how they train, what is made of their runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="recipes train with torch")

from memgym.agents.ppo import MemoryPPO
from memgym.agents.ppo.errors import TrainingDiverged
from memgym.agents.ppo.update import Updater
from memgym.baselines import run_ppo as runner
from memgym.baselines.figure import _draw_lines, _names, draw_recipe
from memgym.baselines.recipe import Recipe, RecipeInvalid
from memgym.baselines.recipe_file import load_recipe, recipe_names
from memgym.baselines.summary import as_json, committed_runs, recipe_runs, table
from memgym.baselines.train import read_runs, result_file, train
from memgym.cli.main import app
from memgym.errors import ResultInvalid

TINY = """
title = "A tiny one"
trainer = "ppo"
seeds = [0]

[env]
id = "memgym/EndlessTMaze-v0"
num_corridors = 1
corridor_length = 2

[train]
total_timesteps = 4096
n_envs = 16
n_steps = 8

[grid]
"train.cell" = ["mlp", "gru"]

[[settings]]
where = { "train.cell" = "gru" }
"train.module_kwargs.hidden" = 16

[evaluate]
episodes = 50
"env.num_corridors" = [1, 2]

[figure]
x = "evaluate.env.num_corridors"
line = "train.cell"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Recipe:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return load_recipe(str(path))


def test_a_run_under_way_is_passed_over(tiny: Recipe, tmp_path: Path) -> None:
    (done,) = train(tiny, tmp_path, only={"cell": "mlp"})
    open_run = tiny.runs(only={"cell": "gru"})[0]
    MemoryPPO("gru", "memgym/EndlessTMaze-v0", n_envs=2).save(tmp_path / f"{open_run.name}.checkpoint")
    assert [run["digest"] for run in read_runs(tmp_path)] == [json.loads(done.read_text())["digest"]]


def test_a_run_that_diverges_is_judged_by_the_last_weights_that_were_kept(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, calls = Updater.update, []

    def explode(self: Updater, *arguments: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 5:
            raise TrainingDiverged("the loss is inf")
        return update(self, *arguments)

    monkeypatch.setattr(Updater, "update", explode)
    (file,) = train(tiny, tmp_path, only={"cell": "gru"})
    found = json.loads(file.read_text())
    assert found["diverged"].endswith("the loss is inf")
    # four whole rollouts of 16 environments; the resets between episodes do not count
    assert found["env_steps"] == found["curve"]["steps"][-1] <= 4 * 16 * 8
    assert all(0 <= one["score"] <= 1 for one in found["results"])
    assert sorted(tmp_path.iterdir()) == sorted({file, tmp_path / "tiny.toml"})
    assert "diverged" in json.loads(as_json(tiny, tmp_path))["runs"][0]


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_list_different_runs(name: str) -> None:
    runs = load_recipe(name).runs()
    assert len({run.name for run in runs}) == len({run.digest for run in runs}) == len(runs) > 0


def test_a_grid_is_trained_in_every_combination_and_seed(tiny: Recipe) -> None:
    first, second = tiny.runs()
    assert (first.point, second.point) == ({"train.cell": "mlp"}, {"train.cell": "gru"})
    assert first.train == {"total_timesteps": 4096, "n_envs": 16, "n_steps": 8, "cell": "mlp"}
    assert second.train["module_kwargs"] == {"hidden": 16}
    assert [env["num_corridors"] for env in second.evaluations] == [1, 2]
    assert second.env["num_corridors"] == 1
    assert [run.seed for run in tiny.runs((3, 4), {"cell": "gru"})] == [3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title =", "titel ="), "unknown entry 'titel'"),
        (('trainer = "ppo"', 'trainer = "sgd"'), "trainer is 'ppo'"),
        (("seeds = [0]", "seeds = [-1]"), "seeds are different integers from 0 on"),
        (("seeds = [0]", "seeds = [1, 1]"), "seeds are different integers"),
        (("seeds = [0]", ""), "seeds is missing"),
        (('"train.cell" = ["mlp", "gru"]', '"cell" = ["mlp"]'), "grid holds lists named"),
        (("[env]", "[env"), "is no TOML"),
        (('id = "memgym/EndlessTMaze-v0"', ""), "env has an id"),
        (('["mlp", "gru"]', '["mlp", "gru", "mlp"]'), "values of 'train.cell' are different"),
        (('["mlp", "gru"]', '["mlp", { a = 1 }]'), "no tables"),
        (('"train.cell" = ["mlp"', '"env.id.x" = [1]\n"train.cell" = ["mlp"'), "reaches into 'id'"),
        (('"train.cell" = "gru" }', '"train.cel" = "gru" }'), "train.cel = 'gru', which is not in the grid"),
        (('"train.cell" = "gru" }', '"train.cell" = "gruu" }'), "'gruu', which is not in the grid"),
        (('"train.module_kwargs.hidden"', '"trian.module_kwargs.hidden"'), "not 'trian.module_kwargs"),
        (('"env.num_corridors" = [1, 2]', '"train.cell" = ["gru", "lstm"]'), "evaluate holds lists named"),
        (("episodes = 50", "episodes = 2.7"), "episodes is an integer from 1 on"),
        (("episodes = 50", "episodes = 0"), "episodes is an integer from 1 on"),
        (("n_steps = 8", "n_steps = 2026-01-01"), "not JSON serializable"),
        (("seeds = [0]", 'seeds = [0]\nselect = "train.cell"'), "select is .* of trainer 'sequence'"),
        (('x = "evaluate.env.num_corridors"', 'x = "env.num_corridors"'), "figure has no x = 'env.num_corr"),
        (('line = "train.cell"', 'lines = "train.cell"'), "figure has no lines"),
        (('line = "train.cell"', 'kind = "table"'), "a table has axes"),
        (('line = "train.cell"', ""), "names x and line"),
    ],
)
def test_a_bad_recipe_is_refused_by_its_entry(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(RecipeInvalid, match=message):
        load_recipe(str(path))


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(RecipeInvalid, match="t_maze_quick"):
        load_recipe("t_maze_quik")


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("train", "gama", 0.9, "gama"),
        ("train", "total_timesteps", -5, "total_timesteps"),
        ("env", "id", "memgym/EndlesTMaze-v0", "EndlesTMaze"),
        ("evaluate", "env.num_corridor", [1], "num_corridor"),
        ("evaluate", "env.id", ["memgym/ColorCubes-v0"], "num_corridors"),
        ("evaluate", "env.junction_visible", [False, True], "another single_observation_space"),
    ],
)
def test_what_nobody_takes_is_named_before_anything_is_learned(
    tiny: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    key: str,
    value: Any,
    message: str,
) -> None:
    monkeypatch.setattr(MemoryPPO, "learn", lambda *_, **__: pytest.fail("it learns"))
    getattr(tiny, table)[key] = value
    with pytest.raises(RecipeInvalid, match=message):
        train(tiny, tmp_path / "runs", only={"cell": "mlp"})


def test_only_what_the_grid_has_can_be_chosen(tiny: Recipe) -> None:
    assert [run.point["train.cell"] for run in tiny.runs(only={"cell": "gru,mlp"})] == ["mlp", "gru"]
    with pytest.raises(RecipeInvalid, match="no cell = 'lstmm'; there are mlp, gru"):
        tiny.runs(only={"cell": "gru,lstmm"})
    with pytest.raises(RecipeInvalid, match="different integers"):
        tiny.runs((1, 1))


def test_agents_are_judged_in_the_split_that_the_recipe_names(tiny: Recipe, tmp_path: Path) -> None:
    tiny.evaluate["env.split"] = ["test", "train"]
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "success_rate", lambda _, envs, __: made.append(envs.split) or 0.0)
        train(tiny, tmp_path, only={"cell": "mlp"})
    assert made == ["test", "train", "test", "train"]


def test_schedules_make_a_grid(tmp_path: Path) -> None:
    path, out = tmp_path / "rates.toml", tmp_path / "runs"
    rates = '"train.learning_rate" = [0.001, [0.001, 0.0]]\n[[settings]]'
    path.write_text(TINY.replace('["mlp", "gru"]', '["gru"]').replace("[[settings]]", rates))
    train(load_recipe(str(path)), out)
    recipe = load_recipe(str(path))
    assert [row[:2] for row in table(recipe, out)[1:]] == [["gru", "0.001"], ["gru", "(0.001, 0.0)"]]
    assert json.loads(as_json(recipe, out))["runs"][1]["point"]["train.learning_rate"] == [0.001, 0.0]
    draw_recipe(recipe, out, tmp_path / "figure.png")


def test_runs_make_a_table_a_figure_and_a_summary(tiny: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    train(tiny, out)
    assert table(tiny, out)[0] == ["cell", "seeds", "num_corridors=1", "num_corridors=2"]
    assert [row[:2] for row in table(tiny, out)[1:]] == [["mlp", "1"], ["gru", "1"]]
    draw_recipe(tiny, out, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RecipeInvalid, match=r"\.png"):
        draw_recipe(tiny, out, tmp_path / "figure.gif")
    summary = as_json(tiny, out)
    assert [len(run["results"]) for run in json.loads(summary)["runs"]] == [2, 2]
    next(out.glob("cell=gru*")).unlink()
    assert len(json.loads(as_json(tiny, out))["runs"]) == 1
    assert as_json(tiny, out, before=summary) == summary
    # changed settings make other runs: old results do not pass for them
    tiny.train["n_steps"] = 4
    with pytest.raises(ResultInvalid, match="as it is now"):
        recipe_runs(tiny, out)


def test_a_figure_has_a_line_for_each_seed_and_one_for_their_median() -> None:
    recipe = load_recipe("t_maze_shm")
    runs = committed_runs(recipe)
    panel = _draw_lines(recipe, runs, _names(recipe)).axes[0]
    by_label = {line.get_label(): list(line.get_ydata()) for line in panel.lines}
    point = {"env.num_corridors": 3, "env.length_mode": "fixed", "train.module_kwargs.theta": "counter"}
    seeds = [[one["score"] for one in run["results"]] for run in runs if run["point"] == point]
    assert len(seeds) == 3
    assert len({tuple(scores) for scores in seeds}) > 1
    assert len(panel.lines) == 2 * (3 + 1)
    assert all(scores in by_label.values() for scores in seeds)
    assert by_label["counter"] == [sorted(scores)[1] for scores in zip(*seeds, strict=True)]


@pytest.mark.parametrize(("name", "is_joined"), [("color_cubes_memories", False), ("t_maze_rules", True)])
def test_a_long_list_of_words_is_not_joined_by_lines(name: str, is_joined: bool) -> None:
    recipe = load_recipe(name)
    panels = _draw_lines(recipe, committed_runs(recipe), _names(recipe)).axes
    panel = panels[-1]  # which has the names below it
    assert {label.get_rotation() for label in panel.get_xticklabels()} == {0.0 if is_joined else 90.0}
    assert all((line.get_linestyle() != "None") == is_joined for line in panel.lines)


def test_finished_runs_are_not_trained_again(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs"
    train(tiny, out, only={"cell": "mlp"})
    monkeypatch.setattr(runner, "MemoryPPO", None)
    train(tiny, out, only={"cell": "mlp"})
    with pytest.raises(RecipeInvalid, match="not callable"):  # the other one would be
        train(tiny, out, only={"cell": "gru"})


@pytest.mark.parametrize(
    ("owner", "name"),
    [(runner._Progress, "_on_rollout_start"), (runner, "write_atomically"), (MemoryPPO, "save")],
    ids=["between updates", "before the notes", "before the checkpoint"],
)
def test_an_interrupted_run_ends_with_the_same_numbers(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    run = tiny.runs()[1]
    tiny.train["learning_rate"] = [1e-3, 0.0]
    (whole,) = train(tiny, tmp_path / "whole", only={"cell": "gru"})
    calls = 0

    def interrupt(self: Any, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        original(self, *arguments)

    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "cut", only={"cell": "gru"})
    monkeypatch.setattr(MemoryPPO, "__init__", lambda *_, **__: pytest.fail("it begins anew"))
    assert not result_file(tmp_path / "cut", run).is_file()
    assert list((tmp_path / "cut").glob("*.notes"))
    (cut,) = train(tiny, tmp_path / "cut", only={"cell": "gru"})
    assert calls > 20
    first, second = json.loads(whole.read_text()), json.loads(cut.read_text())
    for one in (first, second):
        del one["cpu_seconds"]
    assert first == second
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [cut.name]


def test_the_command_line_trains_shows_and_plots(tiny: Recipe, tmp_path: Path) -> None:
    recipe, out = str(tmp_path / "tiny.toml"), str(tmp_path / "runs")
    call = CliRunner().invoke
    given = ["train", "-r", recipe, "-o", out, "--only", "cell=mlp", "--workers", "1"]
    assert "open  cell=mlp_seed=0" in call(app, [*given, "--show"]).output
    result = call(app, given)
    assert result.exit_code == 0, result.output
    assert "done  cell=mlp_seed=0" in call(app, [*given, "--show"]).output
    assert call(app, ["plot", out, "-r", recipe, "-o", str(tmp_path / "f.svg")]).exit_code == 0
    assert "<svg" in (tmp_path / "f.svg").read_text()
    assert call(app, [*given, "--seeds", "a"]).exit_code == 2
