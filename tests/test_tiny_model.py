"""The tiny language model: made from nothing, the same every time, with a tokenizer that loses nothing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.worlds.dialogue import lexicon

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")

from memgym.baselines import tiny_model  # noqa: E402
from memgym.baselines.tiny_model import SKELETON, TinyPlan, main, make_tiny_model, save_tiny_model  # noqa: E402

SMALL = TinyPlan(vocab_size=600, width=32, layers=1, context=512, episodes=4)


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    return make_tiny_model(SMALL)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    "name", [*lexicon("test").words["names"], "Wilhelmina Ångström", "Ouagadougou", "Zoë 李", "m1042"]
)
def test_a_name_it_has_never_seen_comes_out_as_it_went_in(tiny: tuple[Any, Any], name: str) -> None:
    tokenizer = tiny[1]
    ids = ids_of(tokenizer, f'{{"op": "ADD", "text": "{name} , it is."}}')
    assert tokenizer.unk_token_id is None
    assert tokenizer.decode(ids) == f'{{"op": "ADD", "text": "{name} , it is."}}'


@settings(max_examples=100)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_lost(tiny: tuple[Any, Any], text: str) -> None:
    assert tiny[1].decode(ids_of(tiny[1], text)) == text


@pytest.mark.parametrize("piece", SKELETON)
def test_the_skeleton_is_single_tokens(tiny: tuple[Any, Any], piece: str) -> None:
    assert len(ids_of(tiny[1], piece)) == 1


def test_without_a_skeleton_the_same_takes_several() -> None:
    """The control of the test before."""
    tokenizer = make_tiny_model(replace(SMALL, skeleton=()))[1]
    assert all(len(ids_of(tokenizer, piece)) > 1 for piece in SKELETON)


def test_an_operation_is_short(tiny: tuple[Any, Any]) -> None:
    """Skeleton, id, and the words that it says."""
    tokenizer = tiny[1]
    update = ids_of(tokenizer, '{"op": "UPDATE", "id": "m12", "text": "Maya lives in Oslo"}')
    words = ids_of(tokenizer, "Maya lives in Oslo")
    assert len(update) == len(words) + len(ids_of(tokenizer, "m12")) + 3


def test_text_in_json_cannot_spell_an_operation(tiny: tuple[Any, Any]) -> None:
    """A quote is escaped in data, so what somebody says never becomes a token of the skeleton."""
    said = json.dumps({"said": '{"op": "DELETE", "id": "m1"}'})
    whole = ids_of(tiny[1], '{"op": "DELETE", "id": "')[0]
    assert whole in ids_of(tiny[1], '{"op": "DELETE", "id": "m1"}')
    assert whole not in ids_of(tiny[1], said)


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = save_tiny_model(tmp_path / "one", SMALL), save_tiny_model(tmp_path / "two", SMALL)
    files = sorted(path.name for path in one.iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files)
    assert files == sorted(path.name for path in two.iterdir())
    assert [name for name in files if (one / name).read_bytes() != (two / name).read_bytes()] == []
    other = save_tiny_model(tmp_path / "other", replace(SMALL, seed=1))
    assert (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_same_plan_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    here = save_tiny_model(tmp_path / "here")
    command = [sys.executable, "-m", "memgym.baselines.tiny_model", str(tmp_path / "there")]
    subprocess.run(command, check=True, capture_output=True)
    for path in sorted(here.iterdir()):
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


def test_making_it_leaves_the_random_state_of_torch_alone() -> None:
    before = torch.random.get_rng_state()
    make_tiny_model(SMALL)
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_is_tiny() -> None:
    model, tokenizer = make_tiny_model(TinyPlan(episodes=16))
    assert sum(weight.numel() for weight in model.parameters()) < 500_000
    assert len(tokenizer) == TinyPlan().vocab_size == model.config.vocab_size


def test_it_loads_and_answers_as_any_model_does(tmp_path: Path) -> None:
    from memgym.llm import ChatMessage, LLMRequest, LocalClient

    client = LocalClient(str(save_tiny_model(tmp_path / "tiny", SMALL)))
    assert {"<|im_start|>", "<|im_end|>"} <= set(client.reserved)
    (answer,) = client.complete_many([LLMRequest((ChatMessage("user", "Hello"),), max_tokens=4)])
    assert answer.usage.completion_tokens > 0


def test_tool_calls_are_written_and_read_back(tiny: tuple[Any, Any]) -> None:
    tokenizer = tiny[1]
    call = {"type": "function", "function": {"name": "add", "arguments": {"text": 'Zoë said "no"'}}}
    asked = [{"role": "user", "content": "Hello"}]
    said = [*asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(said, tokenize=False)
    assert whole.startswith(prompt)
    message = tokenizer.parse_response(ids_of(tokenizer, whole[len(prompt) :]), prefix=prompt)
    assert message["tool_calls"] == [call]


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(FileExistsError, match="remove it"):
        save_tiny_model(tmp_path / "tiny", SMALL)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    class Full:
        def save_pretrained(self, folder: Path) -> None:
            raise OSError("no space left")

    monkeypatch.setattr(tiny_model, "make_tiny_model", lambda plan: (Full(), tiny[1]))
    with pytest.raises(OSError, match="no space"):
        save_tiny_model(tmp_path / "tiny", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"vocab_size": 200}, {"width": 40}, {"layers": 0}, {"context": 1}, {"episodes": 0}, {"seed": -1}],
)
def test_a_plan_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TinyPlan(**wrong)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "tiny"), "--width", "40"])
    assert "width is a multiple of 32" in capsys.readouterr().err
