"""Recipes of sequence models: what they train on, go on after a stop, choose by, and what was found with them."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="recipes train with torch")

from torch import Tensor  # noqa: E402

from memgym.baselines import run_sequence as runner  # noqa: E402
from memgym.baselines.figure import draw_recipe  # noqa: E402
from memgym.baselines.recipe import Recipe, RecipeInvalid  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.baselines.run_sequence import Mixture, Plan, measure, train_model  # noqa: E402
from memgym.baselines.summary import as_json, evaluation_names, recipe_runs, scores, selected, table  # noqa: E402
from memgym.baselines.train import result_file, train  # noqa: E402
from memgym.errors import ResultInvalid  # noqa: E402

NAME = "key_value"
TINY = """
title = "A tiny one"
trainer = "sequence"
seeds = [0, 1]
select = "train.learning_rate"

[env]
id = "memgym/KeyValueRewriting-v0"
num_steps = 16

[train]
num_updates = 6
batch_size = 4
size = 8
state_nbytes = 64

[grid]
"train.cell" = ["gru", "mlp"]
"train.learning_rate" = [0.001, 0.1]

[[settings]]
where = { "train.cell" = "mlp" }
"train.max_params" = 500

[[axes]]
name = "overwrite rate"
overwrite_rate = [0.0, 0.5]
query_rate = [0.8, 0.3]
delete_rate = 0.0

[[axes]]
name = "operations"
train = false
num_steps = [32]

[[axes]]
name = "unseen words"
train = false
split = ["test"]

[evaluate]
episodes = 8

[figure]
kind = "table"
line = "train.cell"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Recipe:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return load_recipe(str(path))


# ---------------------------------------------------------------------------- axes


def test_lists_of_an_axis_go_together_and_only_trained_ones_are_trained_on(tiny: Recipe) -> None:
    run = tiny.runs()[0]
    assert run.train["streams"] == [
        {"delete_rate": 0.0, "overwrite_rate": 0.0, "query_rate": 0.8},
        {"delete_rate": 0.0, "overwrite_rate": 0.5, "query_rate": 0.3},
    ]
    changed = [{k: v for k, v in env.items() if run.env.get(k) != v} for env in run.evaluations]
    assert changed == [*run.train["streams"], {"num_steps": 32}, {"split": "test"}]
    names = ["overwrite rate 0", "overwrite rate 0.5", "operations 32", "unseen words test"]
    assert evaluation_names(tiny) == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("query_rate = [0.8, 0.3]", "query_rate = [0.8]"), "lists of the same length"),
        (("num_steps = [32]", "num_steps = 32"), "lists of the same length"),
        (('name = "operations"\n', ""), "each of axes has a name"),
        (("train = false", "train = 0"), "true or false"),
        (('trainer = "sequence"', 'trainer = "ppo"'), "axes are of trainer 'sequence'"),
        (("episodes = 8", 'episodes = 8\n"env.delay" = [0]'), "stand for the lists under evaluate"),
        (('select = "train.learning_rate"', 'select = "train.size"'), "select is an entry of a grid"),
    ],
)
def test_bad_axes_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "bad.toml"
    assert change[0] in TINY
    path.write_text(TINY.replace(*change))
    with pytest.raises(RecipeInvalid, match=message):
        load_recipe(str(path))


@pytest.mark.parametrize(
    "figure", ['kind = "tabel"', 'kind = "table"', 'kind = "table"\nline = "env.delay"', 'x = "train.size"']
)
def test_a_figure_that_cannot_be_drawn_is_refused(tiny: Recipe, tmp_path: Path, figure: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(TINY.partition("[figure]")[0] + "[figure]\n" + figure)
    with pytest.raises(RecipeInvalid, match=r"figure|table has axes"):
        draw_recipe(load_recipe(str(path)), tmp_path, tmp_path / "f.png")


# ---------------------------------------------------------------------------- training


def test_the_mixture_is_of_every_trained_stream_and_of_no_other() -> None:
    run = load_recipe(NAME).runs()[0]
    mixture = Mixture(run.env, run.train["streams"], 2, seed=0)
    assert len(mixture.sources) == 13
    assert {source.task.split for source in mixture.sources} == {"train"}
    assert {source.task.num_steps for source in mixture.sources} == {64}
    alone = Mixture({**run.env, **run.train["streams"][3]}, [], 2, seed=0)
    assert (mixture.batch(16)["tokens"] == alone.batch(16)["tokens"]).all()


@pytest.mark.parametrize("name", ["overwrite rate", "delay"])
def test_streams_of_an_axis_differ_in_what_it_names(name: str) -> None:
    """Overwrites rise from next to none; no question comes sooner after a change than the delay says."""
    recipe = load_recipe(NAME)
    (axis,) = (axis for axis in recipe.axes if axis.name == name)
    for label, change in zip(axis.labels, axis.changes, strict=True):
        batch = Mixture({**recipe.env, **change}, [], 50, 0).batch(0)
        overwrites = early = 0
        for row, due in zip(batch["tokens"].tolist(), batch["mask"], strict=True):
            changed: dict[int, int] = {}
            for t, (operation, key, _) in enumerate(row):
                if operation == 1:
                    overwrites += key in changed
                    changed[key] = t
                elif due[t] and t < 63:  # the last question may have no other choice
                    early += key in changed and t - changed[key] <= int(change.get("delay", 0))
        assert early == 0
        if name == "overwrite rate":
            assert overwrites / (50 * 64) == pytest.approx(float(label), abs=0.05)


class Interrupt:
    """Batches that end with Ctrl-C at one call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.calls, original = 0, Mixture.batch

        def batch(mixture: Mixture, b: int) -> Any:
            self.calls += 1
            if self.calls == at:
                raise KeyboardInterrupt
            return original(mixture, b)

        monkeypatch.setattr(Mixture, "batch", batch)
        monkeypatch.setattr(runner, "CHECKPOINT_EVERY", 1)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pretrained": {"pretraining": 0.5},
    "forgetful": {"inputs": "ids", "forgetting": {"every": 2}, "key_fields": [1]},
}


@pytest.mark.parametrize(
    ("option", "stop"), [("plain", 5), ("pretrained", 3), ("pretrained", 6), ("forgetful", 5)]
)
def test_an_interrupted_run_ends_with_the_same_numbers(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, stop: int
) -> None:
    tiny.train.update(OPTIONS[option])
    only = {"cell": "gru", "learning_rate": "0.1"}
    (whole,) = train(tiny, tmp_path / "whole", seeds=[0], only=only)
    interrupt = Interrupt(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "cut", seeds=[0], only=only)
    (run,) = tiny.runs((0,), only)
    assert not result_file(tmp_path / "cut", run).is_file()
    before = interrupt.calls
    (cut,) = train(tiny, tmp_path / "cut", seeds=[0], only=only)
    # validation has two batches, one a stream; pretraining has a first look
    assert interrupt.calls - before <= 6 - (stop - 2) + 2 + 1, "it started again"
    first, second = json.loads(whole.read_text()), json.loads(cut.read_text())
    assert second.pop("cpu_seconds") is None, "of an interrupted run it is not known"
    assert first.pop("cpu_seconds") is not None
    assert first == second
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [cut.name]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_take_their_steps_from_the_same_number(
    tiny: Recipe, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    steps = 0

    class Counting(torch.optim.AdamW):
        def step(self, *arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            return super().step(*arguments, **options)

    monkeypatch.setattr(torch.optim, "AdamW", Counting)
    run = tiny.runs()[0]
    train_model(Plan(**run.train, **OPTIONS[option]), run)
    assert steps == 6


def test_options_reach_the_training(tiny: Recipe) -> None:
    """With each the weights become others; without any they are the same again."""
    run = tiny.runs()[0]

    def weights(**options: Any) -> list[Tensor]:
        return list(train_model(Plan(**run.train, **options), run)[0].parameters())

    def same(one: list[Tensor], other: list[Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    assert same(weights(), weights())
    assert not same(weights(), weights(pretraining=0.5))
    ids = {"inputs": "ids", "key_fields": [1]}
    assert same(weights(**ids), weights(**ids, forgetting={"every": 100})), "not due in six steps"
    assert not same(weights(**ids), weights(**ids, forgetting={"every": 2}))


def test_unseen_ids_are_freshly_drawn_and_the_model_stays_as_it_is(tiny: Recipe) -> None:
    run = tiny.runs()[0]
    plan = Plan(**run.train, **OPTIONS["forgetful"])
    model, _, _ = train_model(replace(plan, num_updates=60), run)
    before = [p.clone() for p in model.parameters()]
    unseen = measure(model, plan, run)[-1]
    assert unseen["env"]["split"] == "test"
    assert measure(model, plan, run)[-1] == unseen
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    ids_of_the_test_split = measure(model, replace(plan, key_fields=()), run)[-1]
    assert ids_of_the_test_split["score"] != unseen["score"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_run_draws_no_bar_of_its_own(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`memgym train` has one, and two would write over each other."""
    monkeypatch.setattr("sys.stderr", Terminal())
    tiny.train["pretraining"] = 0.5
    train(tiny, tmp_path, seeds=[0], only={"cell": "gru", "learning_rate": "0.1"})
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    run = tiny.runs()[0]
    model = runner.train_model(Plan(**run.train), run)[0]
    model.fit(Mixture(run.env, [], 2, 0), 2)
    assert "training" in sys.stderr.getvalue(), "the control"  # type: ignore[attr-defined]


def test_a_loss_that_is_not_finite_scores_nothing(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise FloatingPointError("the loss of update 3 is nan.")

    monkeypatch.setattr(runner.SequenceModel, "fit", fit)
    (file,) = train(tiny, tmp_path, seeds=[0], only={"cell": "gru", "learning_rate": "0.1"})
    found = json.loads(file.read_text())
    assert (found["failed"], found["validation"]) == ("the loss of update 3 is nan.", 0.0)
    assert {one["score"] for one in found["results"]} == {0.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gama": 1}, "gama"),
        ({"pretraining": 1.0}, "pretraining is a number"),
        ({"state_nbytes": 0}, "does not fit"),
        ({"inputs": "sounds"}, "inputs is"),
        ({"inputs": "ids", "forgetting": {"every": 2}}, "go together"),
    ],
)
def test_an_argument_that_nobody_takes_is_named(
    tiny: Recipe, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    tiny.train.update(changes)
    with pytest.raises(RecipeInvalid, match=words):
        train(tiny, tmp_path, seeds=[0], only={"cell": "gru", "learning_rate": "0.1"})


# ---------------------------------------------------------------------------- choosing and showing


def made_up(rate: float, seed: int, validation: float, test: float) -> dict[str, Any]:
    point = {"train.cell": "gru", "train.learning_rate": rate}
    return {"point": point, "seed": seed, "validation": validation, "results": [{"score": test}]}


def test_the_learning_rate_is_chosen_by_validation_alone(tiny: Recipe) -> None:
    runs = [made_up(0.1, 0, 0.5, 0.0), made_up(0.1, 1, 0.7, 0.0)]
    runs += [made_up(0.2, 0, 0.9, 1.0), made_up(0.2, 1, 0.1, 1.0)]
    assert selected(tiny, runs) == runs[:2]
    assert set(scores(tiny, runs)) == {("gru", 0.1)}
    assert selected(replace(tiny, select=""), runs) == runs, "the control: nothing is left out"


def test_learning_rates_are_compared_over_seeds_that_all_of_them_have(tiny: Recipe) -> None:
    runs = [made_up(0.1, 0, 0.5, 0.0), made_up(0.2, 0, 0.6, 0.0), made_up(0.1, 1, 0.9, 0.0)]
    assert selected(tiny, runs) == [runs[1]], "a seed that only one was tried with says nothing"
    assert selected(tiny, runs[1:]) == [], "nor is there anything to choose by without a common one"


def test_runs_make_a_table_a_figure_and_a_summary(tiny: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    train(tiny, out)
    rows = table(tiny, out)
    axes = ["overwrite rate 0 0.5", "operations 32", "unseen words test"]
    assert rows[0] == ["cell", "learning_rate", "seeds", *axes]
    assert [(row[0], row[2]) for row in rows[1:]] == [("gru", "2"), ("mlp", "2")]
    committed = tmp_path / "committed.json"
    committed.write_bytes(as_json(tiny, out))
    assert len(json.loads(committed.read_text())["runs"]) == 8, "those that were not chosen are kept as well"
    for source in (out, committed):
        draw_recipe(tiny, source, tmp_path / f"{source.name}.svg")
    assert table(tiny, committed) == rows
    assert as_json(tiny, committed) == committed.read_bytes()
    shown = [(tmp_path / f"{source.name}.svg").read_text() for source in (out, committed)]
    assert [text.count("<text") + text.count("<use") for text in shown] == [
        shown[0].count("<text") + shown[0].count("<use")
    ] * 2
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ResultInvalid, match="no committed results"):
        recipe_runs(tiny, tmp_path / "other.json")
