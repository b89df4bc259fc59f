"""MemLoRA: each step goes to its own adapter, whose bytes are memory; a teacher's recording is its training set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="MemLoRA's steps are typed with pydantic")

from memgym.agents import make_agent
from memgym.agents.structured.mem_lora import (
    STEPS,
    MemLoRAPolicy,
    distillation_examples,
    mem_lora,
    without_noops,
)
from memgym.agents.structured.steps_facts import Decision, DecisionInput, Decisions, Said
from memgym.agents.weights_io import WeightsInvalid
from memgym.errors import UnknownName
from memgym.llm import LLM, Cassette, LLMRefused, LLMRequest, ModelLLM, RulesLLM, StepRouter
from memgym.llm.channels import DATA_END, DATA_START
from memgym.llm.errors import CassetteCorrupt, LLMError
from memgym.llm.messages import Client, Completion, OnAnswer
from memgym.llm.usage import Usage
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

TOLD = ("I live in Oslo.", "I play the cello on Sundays.", "Actually, I live in Bergen now.")
QUESTION = "Where does Ines live?"


class Expert(LLM):
    """A toy adapter: it can do one step, and refuses every other."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step, self.rules = step, RulesLLM()

    def run_many(self, step: Any, inputs: Sequence[Any], *, seed: int = 0) -> list[Any]:
        if step.name != self.step:
            raise LLMRefused(f"the adapter of {self.step} was asked for {step.name}.")
        return self.rules.run_many(step, inputs, seed=seed)

    def describe(self, step: Any) -> dict[str, str]:
        return {"backend": "model", "model": self.step}


def routed(**swapped: str) -> StepRouter:
    return StepRouter({step: Expert(swapped.get(step, step)) for step in STEPS})


def told(llm: LLM, adapter_bytes: int = 0) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), MemLoRAPolicy(llm, HashingEmbedder(64), adapter_bytes))
    for text in TOLD:
        store.add(text, speaker="Ines")
    return store


def log(store: MemoryStore) -> list[tuple[str, str, str]]:
    return [(done.op.kind.name, done.id, done.op.text) for done in store.engine.log]


def test_every_step_is_done_by_its_own_adapter() -> None:
    store = told(routed())
    assert [kind for kind, _, _ in log(store)] == ["ADD", "ADD", "UPDATE"]
    assert store.read(QUESTION).answer == "Bergen"


@pytest.mark.parametrize(("one", "other"), [("extract_facts", "decide_ops"), ("decide_ops", "answer")])
def test_with_two_adapters_swapped_it_fails(one: str, other: str) -> None:
    """The control."""
    with pytest.raises(LLMRefused, match="was asked for"):
        told(routed(**{one: other, other: one}))


def test_usage_is_counted_step_by_step() -> None:
    llm = routed()
    told(llm).read(QUESTION)
    for step, expert in llm.routes.items():
        assert set(expert.rules.ledger.by_step) <= {step}  # type: ignore[attr-defined]
    assert llm.routes["extract_facts"].rules.ledger.total.calls == 3  # type: ignore[attr-defined]


def test_bytes_of_adapters_are_memory() -> None:
    small, large = (MemLoRAPolicy(RulesLLM(), HashingEmbedder(64), nbytes) for nbytes in (0, 5000))
    assert large.nbytes() - small.nbytes() == 5000


# ---------------------------------------------------------------------- distillation


class Teacher(Client):
    """Answers as the rules do, in a fence and after a thought; and knows a step that it gets wrong."""

    model = "teacher"

    def __init__(self) -> None:
        self.rules = RulesLLM()

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        answers: list[Completion | LLMError] = []
        for request in requests:
            step = STEPS[request.step]
            data = request.messages[1].content.removeprefix(DATA_START).removesuffix(DATA_END)
            output = self.rules.run(step, step.input.model_validate_json(data)).output
            if isinstance(output, Decisions):
                output = Decisions(operations=(*output.operations, Decision(event="NOOP")))
            text = f"<think>hm</think>\n```json\n{output.model_dump_json()}\n```"
            answers.append(Completion(text, Usage(calls=1), self.model))
        return answers


def test_recorded_steps_replay_to_the_same_operations(tmp_path: Path) -> None:
    file = tmp_path / "teacher.jsonl"
    first = told(ModelLLM(Cassette(file, Teacher())))
    again = told(ModelLLM(Cassette(file)))
    assert log(again) == log(first)
    assert again.engine.digest() == first.engine.digest()


def test_a_recording_is_a_training_set_without_reasoning_and_without_noops(tmp_path: Path) -> None:
    file = tmp_path / "teacher.jsonl"
    told(ModelLLM(Cassette(file, Teacher())))
    (first, *_, last) = distillation_examples(file, "decide_ops")
    assert [message["role"] for message in first["prompt"]] == ["system", "user"]
    made = Decisions.model_validate_json(last["completion"][0]["content"])
    assert [one.event for one in made.operations] == ["UPDATE"]
    assert len(list(distillation_examples(file, "extract_facts"))) == 3
    assert list(distillation_examples(file, "answer")) == []
    raw = [json.loads(line) for line in file.read_text().splitlines()]
    assert any("NOOP" in line["completion"]["text"] for line in raw), "the teacher did say it"


def test_an_answer_that_does_not_fit_teaches_nothing(tmp_path: Path) -> None:
    file = tmp_path / "teacher.jsonl"
    told(ModelLLM(Cassette(file, Teacher())))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line["step"] == "extract_facts":
            line["completion"]["text"] = "I would rather not."
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(distillation_examples(file, "extract_facts")) == []


def test_only_what_does_nothing_is_taken_out() -> None:
    noop, delete = Decision(event="NOOP", number=2), Decision(event="DELETE", number=1)
    assert without_noops(Decisions(operations=(noop, delete))).operations == (delete,)
    assert without_noops(Decisions(operations=(noop, noop))).operations == (noop,)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no step 'fuse'"):
        list(distillation_examples(tmp_path / "x", "fuse"))
    (tmp_path / "x").write_text('{"step": "answer"}\n')
    with pytest.raises(CassetteCorrupt, match="line 1"):
        list(distillation_examples(tmp_path / "x", "answer"))
    with pytest.raises(UnknownName, match="adapters are for the steps"):
        mem_lora("local:base", {"answer": "a"})
    folders = {step: str(tmp_path) for step in STEPS}
    with pytest.raises(UnknownName, match="model on this machine"):
        mem_lora("openai:big", folders)
    with pytest.raises(WeightsInvalid, match=r"no adapter_model\.safetensors"):
        mem_lora("local:base", folders)


# ---------------------------------------------------------------------- real adapters


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A random model, and a random adapter for each of three steps, as peft saves them."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
    peft = pytest.importorskip("peft", reason="needs peft: pip install 'memgym[train]'")
    from memgym.baselines.tiny_model import TinyPlan, save_tiny_model

    folder = tmp_path_factory.mktemp("adapters")
    save_tiny_model(folder / "base", TinyPlan(vocab_size=320, width=32, layers=1, episodes=1))
    from transformers import AutoModelForCausalLM

    folders = {}
    with torch.random.fork_rng():
        for i, step in enumerate(("extract_facts", "decide_ops", "answer")):
            torch.manual_seed(i)
            base = AutoModelForCausalLM.from_pretrained(folder / "base")
            config = peft.LoraConfig(r=2 + i, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
            peft.get_peft_model(base, config).save_pretrained(folder / step)
            folders[step] = str(folder / step)
    return str(folder / "base"), folders


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing:FutureWarning"
)  # peft asks transformers for it
def test_one_model_swaps_its_adapters(tiny: tuple[str, dict[str, str]]) -> None:
    """What a step gets is what its adapter alone would give, whatever was asked before."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, folders = tiny
    agent = mem_lora(f"local:{base}", folders)
    sizes = [(Path(folder) / "adapter_model.safetensors").stat().st_size for folder in folders.values()]
    assert agent.card.config["adapter_bytes"] == sum(sizes)
    assert agent.make_policy().nbytes() >= sum(sizes)
    assert len(agent.files) == 2 * len(folders)
    llm: Any = agent.make_policy().store.llm  # type: ignore[attr-defined]
    ids = torch.arange(5, 25)[None]

    def logits(step: str) -> Any:
        client = llm.routes[step].client
        client.local.network.set_adapter(client.adapter)
        with torch.no_grad():
            return client.local.network(ids).logits

    for step in ("extract_facts", "answer", "decide_ops", "extract_facts"):
        alone = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folders[step]).eval()
        with torch.no_grad():
            assert torch.equal(logits(step), alone(ids).logits)
    assert not torch.equal(logits("answer"), logits("decide_ops")), "the control: adapters differ"
    inputs = {
        "extract_facts": Said(text="I live in Oslo."),
        "decide_ops": DecisionInput(fact="I live in Oslo."),
    }
    for step, x in inputs.items():
        done = llm.run(STEPS[step], x)
        assert done.usage.calls == 2, "a random model's answer fits no step, and is sent back once"
        assert done.error
    assert {name: row["calls"] for name, row in llm.ledger.to_dict().items()} == {
        "extract_facts": 2,
        "decide_ops": 2,
    }


def test_without_adapters_the_card_says_so() -> None:
    card = make_agent("mem-lora").card
    assert card.config["adapter_bytes"] == 0
    assert set(card.extra["steps"]) == set(STEPS)
