"""MemLoRA distilled: each adapter knows its own step, and the policy they carry plays."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")
pytest.importorskip("peft", reason="needs peft: pip install 'memgym[train]'")

from memgym.agents.structured.mem_lora import STEPS, MemLoRAPolicy  # noqa: E402
from memgym.agents.structured.steps_facts import Decision, Decisions, Facts  # noqa: E402
from memgym.baselines import distil_mem_lora as script  # noqa: E402
from memgym.baselines.distil_mem_lora import (  # noqa: E402
    TAUGHT,
    Compared,
    Plan,
    _claim,
    agreement,
    play,
    record,
)
from memgym.baselines.manager.dialogues import Dialogue, Source  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.llm import LLM, Cassette, ModelLLM, RulesLLM  # noqa: E402
from memgym.llm.steps import StepResult  # noqa: E402
from memgym.llm.usage import Usage  # noqa: E402

# peft asks transformers for it
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    source = Source({**load_recipe("memory_manager").env, "split": "test"})
    return [source.dialogue(0, episode) for episode in range(4)]


class Pupil(LLM):
    """Answers as the rules do, but for one step."""

    def __init__(self, step: str = "", answer: Any = None) -> None:
        super().__init__()
        self.step, self.answer, self.rules = step, answer, RulesLLM()

    def run_many(self, step: Any, inputs: Any, *, seed: int = 0) -> list[Any]:
        right = self.rules.run_many(step, inputs, seed=seed)
        if step.name == self.step:
            return [StepResult(self.answer, Usage(calls=1)) for _ in right]
        return right

    def describe(self, step: Any) -> dict[str, str]:
        return {"backend": "model"}


def test_who_does_as_the_teacher_agrees_in_everything(dialogues: list[Dialogue]) -> None:
    assert agreement(Pupil(), dialogues) == {
        "steps": dict.fromkeys(sorted(TAUGHT), 1.0),
        "turns": 1.0,
        "answers": 1.0,
    }


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("extract_facts", Facts(facts=())),
        ("decide_ops", Decisions(operations=(Decision(event="NOOP"),))),
    ],
)
def test_who_fails_one_step_is_found_out(step: str, answer: Any, dialogues: list[Dialogue]) -> None:
    found = agreement(Pupil(step, answer), dialogues)
    assert found["steps"][step] < 1
    assert {name for name, share in found["steps"].items() if share == 1} == {*TAUGHT} - {step}
    assert found["turns"] < 1


def test_what_does_nothing_is_like_nothing() -> None:
    noop = Pupil("decide_ops", Decisions(operations=(Decision(event="NOOP", number=4),)))
    compared = Compared(Pupil("decide_ops", Decisions(operations=())), noop)
    step: Any = STEPS["decide_ops"]
    compared.run(step, step.input(fact="I live in Oslo."))
    assert compared.same["decide_ops"] == 1


def test_a_recording_of_the_rules_replays_what_they_did(dialogues: list[Dialogue], tmp_path: Path) -> None:
    file = tmp_path / "teacher.jsonl"
    record(file, dialogues)
    size = file.stat().st_size
    record(file, dialogues)
    assert file.stat().st_size == size, "nothing is recorded twice"
    for dialogue in dialogues:
        assert play(ModelLLM(Cassette(file)), dialogue) == play(RulesLLM(), dialogue)


@pytest.mark.slow
def test_a_folder_of_another_plan_is_refused(tmp_path: Path) -> None:
    _claim(tmp_path / "out", Plan(rank=2, seed=5))
    _claim(tmp_path / "out", Plan(rank=2, seed=5))
    with pytest.raises(ValueError, match="was begun with rank 2, seed 5"):
        _claim(tmp_path / "out", Plan(rank=8, seed=6))


def test_each_adapter_does_its_own_step_best_and_all_of_them_play(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    plan = Plan(rank=8, dialogues=20, base_updates=30, updates=40, batch=16, width=32, layers=2)
    real, compare = script.teach, script.agreement

    def interrupted(plan: Plan, base: str, step: str, folder: Path, file: Path) -> None:
        if step == "decide_ops":
            raise KeyboardInterrupt
        real(plan, base, step, folder, file)

    def briefly(pupil: LLM, some: Any) -> dict[str, Any]:
        """Such a short training makes long answers that say nothing."""
        return compare(pupil, [Dialogue(one.turns[:1], one.asked[:1], ()) for one in some])

    monkeypatch.setattr(script, "agreement", briefly)
    monkeypatch.setattr(script, "teach", interrupted)
    with pytest.raises(KeyboardInterrupt):
        script.distil(plan, tmp_path, episodes=1)
    kept = (tmp_path / "extract_facts" / "adapter_model.safetensors").read_bytes()
    monkeypatch.setattr(script, "teach", real)
    found = script.distil(plan, tmp_path, episodes=1)
    assert found["cpu_seconds"] is None, "of the second part alone it would be too few"
    assert (tmp_path / "extract_facts" / "adapter_model.safetensors").read_bytes() == kept
    for step in TAUGHT:
        others = [found["nats"][step][name] for name in ("no adapter", *TAUGHT) if name != step]
        assert found["nats"][step][step] < min(others) - 0.05, found["nats"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"base", *TAUGHT}
    assert not list(tmp_path.glob("*.checkpoint*"))
    policy = script.distilled_agent(tmp_path, str(tmp_path / "base")).make_policy()
    assert isinstance(policy, MemLoRAPolicy)
    briefly(policy.reader.llm, dialogues[:1])
    asked = policy.reader.llm.ledger.by_step
    assert asked["extract_facts"].calls
    assert asked["answer"].calls
    assert set(found["agreement"]["steps"]) <= set(TAUGHT)
