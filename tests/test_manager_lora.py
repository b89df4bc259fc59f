"""Managers with adapters: what trains, what is saved, what plays; operations as JSON and as text; curves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")
pytest.importorskip("peft", reason="needs peft: pip install 'memgym[train]'")

from memgym.agents import make_agent  # noqa: E402
from memgym.agents.llm.lora import base_weights, trained_weights  # noqa: E402
from memgym.agents.llm.manager import ManagerPolicy, MemoryManager, Shown, read_operation  # noqa: E402
from memgym.agents.llm.saved import save_model, saved_manager  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402
from memgym.baselines.manager import training  # noqa: E402
from memgym.baselines.manager.run import make_manager, train_manager  # noqa: E402
from memgym.baselines.manager.training import Plan  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.memory import MemoryOp, OpKind  # noqa: E402
from memgym.memory.policy import MemoryView, Message  # noqa: E402

ENV = load_recipe("memory_manager").env
SMALL = Plan(
    "local",
    lora=8,
    width=32,
    layers=1,
    demonstrations=8,
    warm_up_updates=20,
    warm_up_rate=0.02,
    rollouts=2,
    episodes=1,
    group_size=4,
    epochs=2,
    batch=8,
)
KEPT = Shown("Maya", "I live in Oslo.", (("m7", "Maya: I live in Rome."), ("m2", "Maya: I live well.")))
SAID = ("I live in Oslo.", "I live in Rome now.", "Please forget where I live.", "Nice weather.")

# peft asks transformers for it
pytestmark = [
    pytest.mark.usefixtures("small_tokenizer"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryManager, Path]:
    """A manager whose adapter has learned a little, and the folder of its curves."""
    torch.set_num_threads(1)
    curves = tmp_path_factory.mktemp("curves")
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'memgym[train]'")
    return train_manager(SMALL, ENV, 3, curves=curves)[0], curves


def written(policy: Any) -> list[list[MemoryOp]]:
    assert isinstance(policy, ManagerPolicy)
    return [policy.write(Message(text, "Maya"), MemoryView((), 1000)) for text in SAID]


# ------------------------------------------------------------------ adapters


def test_adapters_learn_and_nothing_else_does(trained: tuple[MemoryManager, Path]) -> None:
    before, after = make_manager(SMALL, 3).model, trained[0].model
    old, new = base_weights(before), base_weights(after)
    assert all(torch.equal(weights, new[name]) for name, weights in old.items())
    changed = [
        name
        for (name, a), (_, b) in zip(trained_weights(before), trained_weights(after), strict=True)
        if not torch.equal(a, b)
    ]
    assert changed == [name for name, _ in trained_weights(after)]
    assert all(".lora_" in name for name in changed)


def test_without_adapters_the_weights_do_learn() -> None:
    """The control."""
    plan = Plan(**{**vars(SMALL), "lora": 0, "credit": "none", "warm_up_updates": 1})
    old, new = make_manager(plan, 3).model.state_dict(), train_manager(plan, ENV, 3)[0].model.state_dict()
    assert not any(torch.equal(weights, new[name]) for name, weights in old.items() if "q_proj" in name)


@pytest.mark.parametrize("named", [False, True])
def test_a_saved_adapter_plays_as_it_was_trained(
    named: bool, trained: tuple[MemoryManager, Path], tmp_path: Path
) -> None:
    manager, base = trained[0], ""
    if named:  # a model that has a place of its own
        base = str(tmp_path / "base")
        untrained = make_manager(Plan(**{**vars(SMALL), "lora": 0}), 3)
        untrained.model.save_pretrained(base)
        untrained.tokenizer.save_pretrained(base)
    save_model(tmp_path / "kept", manager, base, {})
    names = {str(file.relative_to(tmp_path / "kept")) for file in (tmp_path / "kept").rglob("*.*")}
    assert {"manager.json", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"} <= names
    assert ("model/model.safetensors" in names) is not named
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    agent = saved_manager(str(tmp_path / "kept"))
    policy = agent.make_policy()
    assert isinstance(policy, ManagerPolicy)
    loaded = policy.manager
    prompts = manager.prompts([KEPT])
    ids = torch.tensor(prompts)
    with torch.no_grad():
        expected, bare = manager.model(ids).logits, make_manager(SMALL, 3).model(ids).logits
        assert torch.equal(loaded.model(ids).logits, expected)
        assert not torch.allclose(bare, expected, atol=0.1), (
            "the control: without the adapter it is another model"
        )
    decided = [one.op for one in manager.decide([Shown("Maya", text, ()) for text in SAID])]
    assert written(policy) == [[] if op.kind is OpKind.NOOP else [op] for op in decided]
    assert (tmp_path / "kept" / "manager.json") in agent.files
    assert sum(file.suffix == ".safetensors" for file in agent.files) == 2 - named


@pytest.mark.parametrize(
    "card", ["", "[]", '{"format": "memgym-manager-1"}', '{"format": 1, "base": 2}', "[" * 100_000]
)
def test_what_is_no_card_is_refused(card: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"no manager\.json"):
        saved_manager(str(tmp_path))
    (tmp_path / "manager.json").write_text(card)
    with pytest.raises(WeightsInvalid, match="no card of a model"):
        saved_manager(str(tmp_path))


def test_a_checkpoint_of_adapters_holds_no_model(tmp_path: Path) -> None:
    from safetensors import safe_open

    plan = Plan(**{**vars(SMALL), "credit": "none", "warm_up_updates": 1})
    train_manager(plan, ENV, 0, tmp_path / "run")
    with safe_open(tmp_path / "run.warm-up.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith("model/")]  # noqa: SIM118
    assert names
    assert all("lora_" in name for name in names)


def test_adapters_do_not_go_on_beside_another_model(tmp_path: Path) -> None:
    base = tmp_path / "base"
    untrained = make_manager(Plan("none", width=32, layers=1), 0)
    untrained.tokenizer.save_pretrained(base)
    untrained.model.save_pretrained(base)
    plan = Plan(**{**vars(SMALL), "credit": "none", "warm_up_updates": 1, "model": str(base)})
    train_manager(plan, ENV, 0, tmp_path / "run")
    train_manager(plan, ENV, 0, tmp_path / "run")
    make_manager(Plan("none", width=32, layers=1), 1).model.save_pretrained(base)
    with pytest.raises(ValueError, match="another run"):
        train_manager(plan, ENV, 0, tmp_path / "run")


# ------------------------------------------------------------------ operations as text


@pytest.fixture(scope="module", params=["json", "text", "tools"])
def writer(request: pytest.FixtureRequest) -> MemoryManager:
    return make_manager(Plan("none", form=request.param, width=32, layers=1), 0)


@pytest.mark.parametrize(
    "op",
    [
        MemoryOp.add("Maya: I live in Oslo."),
        MemoryOp.add("Maya: delete 1: 2 Oslos."),
        MemoryOp.update("m7", "Maya: I live in Oslo."),
        MemoryOp.update("m2", "Maya: moved: update 3."),
        MemoryOp.delete("m2"),
        MemoryOp.noop(),
    ],
)
def test_what_is_written_in_a_form_reads_as_what_was_meant(writer: MemoryManager, op: MemoryOp) -> None:
    if writer.form == "tools" and op.kind is OpKind.ADD:
        op = replace(op, attrs={"kind": "semantic"})
    assert writer.read(writer.reply(op, KEPT), KEPT) == (op, "")


@pytest.mark.parametrize(
    ("reply", "op"),
    [
        ("I would update entry 1 with it.", MemoryOp.update("m7", "Maya: I live in Oslo.")),
        ("DELETE 2", MemoryOp.delete("m2")),
        ("There is nothing to do", MemoryOp.noop()),
        ("add: Maya: Oslo.", MemoryOp.add("Maya: Oslo.")),
    ],
)
def test_text_may_say_it_in_its_own_words(reply: str, op: MemoryOp) -> None:
    assert read_operation(reply, KEPT, form="text") == (op, "")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Oslo",
        "Update it.",
        "Delete 3.",
        "Update 1 and delete 2.",
        "Update 1 or 2.",
        "Do not delete 1, add it.",
        "Do not delete 1.",
        "Don't add it.",
        "I would never update 1.",
        "Add 1.",
        "Delete 1: gone",
        "Add: <|im_start|>system",
    ],
)
def test_text_that_says_no_operation_or_several_is_a_noop(reply: str) -> None:
    decision = read_operation(reply, KEPT, form="text")
    assert decision.op == MemoryOp.noop()
    assert decision.malformed


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form is 'json', 'text' or 'tools', not 'xml'"):
        Plan("none", form="xml")


# ------------------------------------------------------------------ curves


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_curves_are_there_for_tensorboard(trained: tuple[MemoryManager, Path]) -> None:
    curves = trained[1]
    assert [step for step, _ in events(curves / "warm-up")["loss"]] == list(range(20))
    local = events(curves / "local")
    assert [step for step, _ in local["loss"]] == [0, 1, 2, 3]
    assert [step for step, _ in local["rollout/outcomes"]] == [0, 2]
    assert all(0 <= value <= 1 for _, value in local["rollout/outcomes"])
    assert set(local) == {"loss", "rollout/outcomes", "rollout/malformed"}


@pytest.mark.slow
def test_a_run_that_goes_on_says_nothing_twice(
    trained: tuple[MemoryManager, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after the third update, of which no checkpoint tells: that one is done and said once more."""
    original = training.GRPOLoss.__call__

    def failing(self: Any, u: int) -> Any:
        if u == 3:
            raise KeyboardInterrupt
        return original(self, u)

    monkeypatch.setattr(training.GRPOLoss, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        train_manager(SMALL, ENV, 3, tmp_path / "run", tmp_path / "curves")
    assert [step for step, _ in events(tmp_path / "curves" / "local")["loss"]] == [0, 1, 2]
    monkeypatch.setattr(training.GRPOLoss, "__call__", original)
    train_manager(SMALL, ENV, 3, tmp_path / "run", tmp_path / "curves")
    for phase in ("warm-up", "local"):
        assert events(tmp_path / "curves" / phase) == events(trained[1] / phase)


# ------------------------------------------------------------------ the script


@pytest.mark.slow
def test_the_script_trains_saves_and_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'memgym[train]'")
    from memgym.baselines import train_memory_manager as script

    assert script.recipe_plan("ppo").rollouts < script.recipe_plan("local").rollouts  # as the recipe says
    small = replace(SMALL, warm_up_updates=2, rollouts=1)
    monkeypatch.setattr(script, "recipe_plan", lambda credit, **given: replace(small, credit=credit, **given))
    out = tmp_path / "kept"
    given = ["--out", str(out), "--lora", "4", "--seed", "2", "--episodes", "2"]
    script.main([*given, "--tensorboard", str(tmp_path / "curves")])
    card = json.loads((out / "manager.json").read_text())
    assert card["extra"]["seed"] == 2
    assert card["extra"]["plan"]["lora"] == 4
    assert 0 <= card["extra"]["measured"]["accuracy"] <= 1
    assert not list(tmp_path.glob("**/*.checkpoint*"))
    assert len(events(tmp_path / "curves" / "warm-up")["loss"]) == 2
    assert saved_manager(str(out)).card.parameters > 0
    with pytest.raises(SystemExit):
        script.main(given)  # it is there already


@pytest.mark.slow
def test_a_saved_manager_is_evaluated_by_the_name_of_its_card(
    trained: tuple[MemoryManager, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = pytest.importorskip("typer.testing").CliRunner()
    from memgym.cli.main import app

    save_model(tmp_path / "kept", trained[0], "", {})
    card, out = str(tmp_path / "kept" / "manager.json"), str(tmp_path / "results")
    assert make_agent(card).card == saved_manager(str(tmp_path / "kept")).card
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))  # without the real conversations, which take longer
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = ["--episodes", "1", "--seeds", "1", "--workers", "1"]
    told = runner.invoke(app, ["evaluate", "-a", card, "-s", "quickstart", "-o", out, *small])
    assert told.exit_code == 0, told.output
    header = json.loads((tmp_path / "results" / "memory-manager" / "submission.json").read_text())
    assert list(header["summary"]) == ["dialogue-1k"]
    told = runner.invoke(app, ["verify", out])
    assert told.exit_code == 0, told.output


def test_the_script_refuses_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from memgym.baselines import train_memory_manager as script

    with pytest.raises(SystemExit):
        script.main(["--out", str(tmp_path / "kept"), "--model", str(tmp_path / "nothing")])
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
