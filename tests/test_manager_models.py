"""Managers of any family of models: what is learned from is what they generate by."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")

from memgym.agents.llm import chat  # noqa: E402
from memgym.agents.llm.manager import MemoryManager, Shown, manager_agent, show  # noqa: E402
from memgym.agents.llm.own_words import own_words_reader  # noqa: E402
from memgym.baselines import train_memory_manager  # noqa: E402
from memgym.baselines.manager import network  # noqa: E402
from memgym.baselines.manager.models import make_chat  # noqa: E402
from memgym.baselines.manager.network import Row, check_scores, score_replies  # noqa: E402
from memgym.baselines.manager.run import make_manager  # noqa: E402
from memgym.baselines.manager.script import base_name  # noqa: E402
from memgym.baselines.manager.training import Plan  # noqa: E402
from memgym.memory.policy import MemoryView, Message  # noqa: E402

# peft asks transformers for it
pytestmark = [
    pytest.mark.usefixtures("small_tokenizer"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "Qwen3": {"head_dim": 8},
    "Llama": {},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0},
    "Gemma2": {"head_dim": 8, "final_logit_softcapping": 0.05},
}
SMALL = Plan("none", width=32, layers=1, demonstrations=8, warm_up_updates=1)


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Any:
    config = getattr(transformers, f"{request.param}Config")(**SIZES, **FAMILIES[request.param])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def manager() -> MemoryManager:
    return make_manager(SMALL, 0)


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_scores_are_those_of_the_models_own_logits(model: Any) -> None:
    row = Row([5, 9, 11], [7, 3, 2])
    with torch.no_grad():
        logs = model(torch.tensor([[*row.prompt, *row.reply]])).logits.log_softmax(-1)
    theirs = logs[0, [2, 3, 4], row.reply]
    torch.testing.assert_close(score_replies(model, [row]).logprobs, theirs, rtol=1e-4, atol=1e-5)
    check_scores(model, row.prompt, 2)


@pytest.mark.parametrize("model", ["Cohere", "Granite", "Gemma2"], indirect=True)
def test_a_model_whose_scores_are_not_known_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_scaled", lambda logits, config: logits)
    with pytest.raises(ValueError, match=type(model).__name__):
        check_scores(model, [5, 9, 11], 2)


# ------------------------------------------------------------------ replies


def shares(manager: MemoryManager, prompt: Sequence[int], samples: int) -> Counter[int]:
    manager.max_new_tokens = 1
    (replies,) = manager.generate([prompt], samples, seed=3)
    return Counter(reply[0] for reply in replies)


def test_what_a_folder_says_of_generating_does_not_change_what_is_sampled(
    manager: MemoryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = manager.prompts([Shown("Maya", "I live in Oslo.", ())])[0]
    usual = shares(manager, prompt, 500)
    told = manager.model.generation_config
    told.repetition_penalty = 1e6
    assert shares(manager, prompt, 500) == usual
    assert manager.model.generation_config is told
    monkeypatch.setattr(chat, "bare_generation", nullcontext)
    assert shares(manager, prompt, 500) != usual, "the control: it would"


def test_a_reply_may_end_as_the_models_own_turns_do(manager: MemoryManager) -> None:
    other = manager.tokenizer.convert_tokens_to_ids("{")
    reply = [*manager.ids("ADD")[:-1], other]
    assert manager.text(reply) is None
    manager.model.generation_config.eos_token_id = [manager.end, other]
    taught = MemoryManager(manager.model, manager.tokenizer)
    assert taught.ends == {manager.end, other}
    assert (taught.text(reply), taught.text(manager.ids("ADD"))) == ("ADD", "ADD")
    assert taught.ids("ADD")[-1] == manager.end


def test_replies_are_counted_and_those_that_cannot_be_read(manager: MemoryManager) -> None:
    manager.max_new_tokens = 2  # too few for any operation
    agent = manager_agent(manager, {})
    assert agent.usage()["calls"] == 0
    for _ in range(3):  # a policy for each episode
        assert agent.make_policy().write(Message("I live in Oslo.", "Maya"), MemoryView((), 1000)) == []
    used = agent.usage()
    assert (used["calls"], used["failures"], used["completion_tokens"]) == (3, 3, 6)
    assert used["prompt_tokens"] == 3 * len(manager.prompts([Shown("Maya", "I live in Oslo.", ())])[0])


# ------------------------------------------------------------------ who said it


def test_what_was_read_does_not_pass_for_what_somebody_said() -> None:
    read = show("", "Maya: I live in Paris.", [])
    assert read.text == "(read) Maya: I live in Paris."
    assert show("", "I live in Paris.", []).text == "I live in Paris."
    for text, answer in (
        ("Maya: I live in Paris.", "Paris"),
        (read.text, "Not mentioned in the conversation"),
    ):
        assert own_words_reader("Where does Maya live?", [{"text": text, "attrs": ""}]) == answer


# ------------------------------------------------------------------ other people's folders


@pytest.fixture
def folder(manager: MemoryManager, tmp_path: Path) -> Callable[..., str]:
    def save(**changes: Any) -> str:
        manager.model.to(changes.get("dtype", torch.float32)).save_pretrained(tmp_path / "base")
        manager.tokenizer.chat_template = changes.get("template", manager.tokenizer.chat_template)
        manager.tokenizer.save_pretrained(tmp_path / "base")
        return str(tmp_path / "base")

    return save


@pytest.mark.parametrize(("lora", "dtype"), [(0, torch.float32), (4, torch.bfloat16)])
def test_weights_that_are_trained_whole_are_exact(lora: int, dtype: Any, folder: Callable[..., str]) -> None:
    pytest.importorskip("peft", reason="needs peft: pip install 'memgym[train]'")
    plan = Plan("none", model=folder(dtype=torch.bfloat16), lora=lora)
    made = make_chat(MemoryManager, plan, 0, (), "")
    assert made.model.get_input_embeddings().weight.dtype is dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "0"], "--episodes is at least 1"),
        (["--device", "gpu0"], "device is one that torch finds on this machine"),
        (["--model", "BASE"], "chat template refuses the messages: no system messages"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_learned(
    arguments: list[str],
    message: str,
    folder: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = folder(template="{{ raise_exception('no system messages') }}")
    given = [base if part == "BASE" else part for part in arguments]
    with pytest.raises(SystemExit):
        train_memory_manager.main(["--out", str(tmp_path / "out"), *given])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text(json.dumps("mine"))
    with pytest.raises(SystemExit):
        train_memory_manager.main(["--out", str(tmp_path / "out")])
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == json.dumps("mine")


def test_a_card_names_a_folder_so_that_it_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert base_name("base") == str(tmp_path / "base")
    assert (base_name("tiny"), base_name("Qwen/Qwen3-0.6B")) == ("", "Qwen/Qwen3-0.6B")
