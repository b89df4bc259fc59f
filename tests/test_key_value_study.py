"""The study of memories on Key-Value Rewriting: it goes on after a stop, chooses fairly, and shows what was found."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="the study trains sequence models")
pytest.importorskip("matplotlib", reason="the study draws a figure")

from memgym.baselines import key_value_training as training  # noqa: E402
from memgym.baselines import study_key_value as study  # noqa: E402
from memgym.baselines.key_value_training import QUICK, Mixture, batches_of, measure, train  # noqa: E402
from memgym.baselines.reference import expected_file  # noqa: E402

TINY = replace(QUICK, cell="gru", num_updates=6, batch_size=4, size=8, max_params=1000, eval_episodes=4)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch):
    """One thread, and reference scores measured on few operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    generate = importlib.import_module(
        "memgym.envs.streams.generate"
    )  # the package has a function of that name
    monkeypatch.setattr(generate, "REFERENCE_STEPS", 1 << 12)
    yield
    torch.set_num_threads(before)
    study.floors.cache_clear()


def run(out: Path, *words: str) -> dict[str, Any]:
    study.main(["--out", str(out), "--quick", "--updates", "2", *words])
    return json.loads((out / "key_value_study.json").read_text())


def test_a_study_runs_what_is_missing_and_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = run(tmp_path, "--cells", "gru", "rnn")
    assert capsys.readouterr().out.count(" of 2]") == 2
    (tmp_path / "rnn_scratch_lr0.001_seed0.json").unlink()
    again = run(tmp_path, "--cells", "gru", "rnn")
    assert capsys.readouterr().out.count(" of 2]") == 1
    for rows in (first["rows"], again["rows"]):
        for row in rows:
            del row["train_cpu_seconds"]
    assert again == first
    assert (tmp_path / "key_value_study.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*")), "no checkpoint is left"
    with pytest.raises(ValueError, match="another configuration"):
        run(tmp_path, "--cells", "gru", "rnn", "--updates", "3")


@pytest.mark.parametrize(
    ("variant", "stop"), [("scratch", 4), ("pretrained", 2), ("pretrained", 5), ("ids-active", 4)]
)
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, stop: int
):
    config = replace(TINY, variant=variant)
    whole = train(config)
    calls = 0

    def interrupted(self: Mixture, b: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop + 1:
            raise KeyboardInterrupt
        return batch(self, b)

    batch = Mixture.batch
    monkeypatch.setattr(Mixture, "batch", interrupted)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    resumed = train(config, tmp_path / "run")
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    # besides one a step, the batch that was interrupted, and the first look of pretraining, at most twice
    assert calls <= config.num_updates + 3, "it did not start again"


def test_pretraining_takes_its_steps_from_the_same_number():
    updates = []
    for variant in ("scratch", "pretrained"):
        count = 0

        class Counting(torch.optim.AdamW):
            def step(self, *arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                return super().step(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim, "AdamW", Counting)
            train(replace(TINY, variant=variant))
        updates.append(count)
    assert updates == [6, 6]


def test_the_mixture_is_of_every_trained_stream_and_of_no_other():
    mixture = Mixture(2, seed=0)
    settings = [s for axis in training.TRAINED.values() for s in axis.values()]
    assert len(mixture.sources) == len(settings) == 13
    assert {source.task.split for source in mixture.sources} == {"train"}
    assert {source.task.num_steps for source in mixture.sources} == {64}
    shown = [mixture.batch(b)["tokens"] for b in range(26)]
    expected = batches_of(settings[3], 2, 0).batch(16)["tokens"]
    assert (shown[16] == expected).all()


@pytest.mark.parametrize("axis", ["overwrite rate", "delay"])
def test_streams_of_an_axis_differ_in_what_it_names(axis: str):
    """Overwrites rise from next to none; no question comes sooner after a change than the delay says."""
    for name, setting in training.TRAINED[axis].items():
        batch = batches_of(setting, 50, 0).batch(0)
        overwrites = changes = early = 0
        for row, due in zip(batch["tokens"].tolist(), batch["mask"], strict=True):
            changed: dict[int, int] = {}
            for t, (operation, key, _) in enumerate(row):
                if operation == 1:
                    overwrites += key in changed
                    changes += 1
                    changed[key] = t
                elif due[t] and t < 63:  # the last question may have no other choice
                    early += key in changed and t - changed[key] <= int(setting.get("delay", 0))
        assert early == 0
        if axis == "overwrite rate":
            assert overwrites / (50 * 64) == pytest.approx(float(name), abs=0.05)


def test_unseen_ids_are_freshly_drawn_and_the_model_stays_as_it_is():
    model = train(replace(TINY, variant="ids"))
    before = [p.clone() for p in model.parameters()]
    seen = measure(model, TINY)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert set(seen["tokens"]) == {"unseen"}
    assert measure(model, TINY) == seen


def test_the_learning_rate_is_chosen_by_validation_alone(tmp_path: Path):
    runs = [replace(TINY, learning_rate=rate, seed=seed) for rate in (0.1, 0.2) for seed in (0, 1)]
    for config, validation, test in zip(runs, (0.5, 0.7, 0.9, 0.1), (0.0, 0.0, 1.0, 1.0), strict=True):
        kept = study.run_once(replace(config, num_updates=1))
        accuracy = {axis: dict.fromkeys(names, test) for axis, names in kept["accuracy"].items()}
        kept |= {"validation": validation, "accuracy": accuracy, "versions": {}}
        kept["config"] = {"cell": "gru", "variant": "scratch"}
        kept["config"] |= {"learning_rate": config.learning_rate, "seed": config.seed}
        (tmp_path / f"{config.key}.json").write_text(json.dumps(kept))
    (row,) = study.summary(tmp_path, runs, {}, "")["rows"]
    assert row["learning_rate"] == 0.1
    assert row["accuracy"]["tokens"]["unseen"] == [0.0, 0.0]
    assert row["validation_by_rate"] == {"0.1": [0.5, 0.7], "0.2": [0.9, 0.1]}


def test_what_does_not_fit_is_named_and_a_wrong_name_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = run(tmp_path, "--cells", "gru", "transformer", "--state-bytes", "64")
    assert set(found["left_out"]) == {"transformer"}
    assert "does not fit" in capsys.readouterr().out
    assert [row["state_nbytes"] for row in found["rows"]] == [64]
    with pytest.raises(SystemExit):
        run(tmp_path, "--cells", "grue")
    assert "Did you mean 'gru'" in capsys.readouterr().err


def test_committed_results_show_that_erasing_pays_where_values_are_overwritten():
    """At equal bytes of state, and with the same projections, one for one."""
    found = json.loads(expected_file(study.NAME).read_text())
    rows = {row["cell"]: row for row in found["rows"] if row["variant"] == "scratch"}
    plain = rows["linattn"]
    for name in ("delta", "gdn"):
        assert rows[name]["state_nbytes"] == plain["state_nbytes"]
        for rate in ("0.2", "0.4", "0.6"):
            gaps = [a["accuracy"]["overwrite rate"][rate] for a in (rows[name], plain)]
            assert min(gaps[0]) > max(gaps[1]) + 0.1
    assert expected_file(study.NAME).with_suffix(".png").is_file()


def test_committed_results_are_of_the_streams_that_the_study_makes():
    found = json.loads(expected_file(study.NAME).read_text())
    assert (found["stream"], found["trained_on"], found["never_trained_on"]) == (
        training.STREAM,
        training.TRAINED,
        training.BEYOND,
    )
    for row in found["rows"]:
        assert row["state_nbytes"] <= found["common"]["state_nbytes"]
        assert {axis: set(names) for axis, names in row["accuracy"].items()} == {
            axis: set(names) for axis, names in training.AXES.items()
        }
