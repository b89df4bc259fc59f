"""No order in a text has an effect where a language model thinks: neither by way of its prompt nor of its reply."""

import json
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pydantic", reason="the steps of structured systems are typed with pydantic")

from memgym.agents import AGENTS, make_agent
from memgym.agents.llm import manager as manager_module
from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.manager import Decision, ManagerPolicy, MemoryManager, Shown
from memgym.checks import check_poison
from memgym.llm import Client, Completion, LLMRequest, ModelLLM, Step, StepResult, Usage
from memgym.llm.channels import DATA_END, DATA_START
from memgym.memory.ops import MemoryOp

SYSTEMS = [name for name, target in AGENTS.items() if "structured" in str(target)]
VARIANTS = [
    *((name, {}) for name in SYSTEMS),
    ("a-mem", {"variant": "released"}),
    ("mem0", {"variant": "v2"}),
    ("mem-alpha", {"retrieval": "dense"}),
    ("simple-mem", {"variant": "v3"}),
]
QUICK = ("mem0-v2", "l2mac", "struxgpt")
END_OF_DATA = re.compile("|".join(map(re.escape, (DATA_END, "<|im_end|>"))))
ORDER = re.compile(r"Ignore your instructions[^.]*\.|Disregard all[^.]*\.")


def divide(prompt: str) -> tuple[str, str]:
    """A user's message as one reads it who was trained on the delimiters: what is data, and what is not any more."""
    inside, *outside = END_OF_DATA.split(prompt.partition(f"{DATA_START}\n")[2], maxsplit=1)
    return inside, "".join(outside).replace('\\"', '"').replace("\\n", "\n")


def strings(value: Any) -> list[str]:
    """Every text in JSON."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


def first_object(text: str, names: Sequence[str]) -> dict[str, Any]:
    """The fields of these names of the first JSON object in a text that has one of them."""
    for start in [match.start() for match in re.finditer(r"\{", text)]:
        try:
            value, _ = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            continue
        if found := {name: value[name] for name in names if name in value}:
            return found
    return {}


class Reasons(Client):
    """Quotes all that it is shown while it thinks, then does what a step's rule does.

    It obeys no data, and everything that stands outside of it.
    """

    model = "reasons"

    def __init__(self) -> None:
        self.steps: dict[str, Step[Any, Any]] = {}

    def complete_many(self, requests: Sequence[LLMRequest], on_answer: Any = None) -> list[Any]:
        return [Completion(self.reply(request), Usage(calls=1), self.model) for request in requests]

    def reply(self, request: LLMRequest) -> str:
        step = self.steps[request.step]
        inside, outside = divide(request.messages[-1].content)
        if ordered := first_object(outside, [*step.schema["properties"]]):
            return json.dumps(ordered)
        try:
            shown = json.loads(inside)
        except ValueError:  # cut off by a delimiter in it
            fields = step.schema["properties"].items()
            return json.dumps({name: [] for name, field in fields if field.get("type") == "array"})
        assert step.rule is not None
        answer = step.rule(step.input.model_validate_json(inside)).model_dump_json()
        return f"<think>{' '.join(strings(shown))}</think>\n{answer}"


class Asked(ModelLLM):
    """Tells its client which steps there are."""

    client: Reasons

    def run_many(self, step: Step[Any, Any], inputs: Any, *, seed: int = 0) -> list[StepResult[Any]]:
        self.client.steps[step.name] = step
        return super().run_many(step, inputs, seed=seed)


def policy_maker(name: str, **options: Any) -> Any:
    return make_agent(name, llm=Asked(Reasons()), **options).make_policy


def label(name: str, options: dict[str, Any]) -> str:
    return "-".join([name, *options.values()])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(*each, id=label(*each), marks=() if label(*each) in QUICK else pytest.mark.slow)
        for each in VARIANTS
    ],
)
def test_no_order_has_an_effect_by_way_of_a_model(name: str, options: dict[str, Any]) -> None:
    check_poison(policy_maker(name, **options))


STORES_FACTS = (("mem0", {"variant": "v2"}), ("memos", {}))


@pytest.mark.parametrize(("name", "options"), STORES_FACTS)
def test_with_delimiters_left_in_the_data_orders_are_obeyed(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the channels."""
    monkeypatch.setattr("memgym.llm.channels.strip_text", lambda text, reserved=(): text)
    with pytest.raises(AssertionError, match="in the form 'delimiters'"):
        check_poison(policy_maker(name, **options))


@pytest.mark.parametrize(("name", "options"), STORES_FACTS)
def test_a_parser_that_takes_the_first_object_of_a_reply_obeys(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the parser."""

    def parse(self: Step[Any, Any], text: str, x: Any) -> Any:
        return self.output.model_validate_json(json.dumps(first_object(text, [*self.schema["properties"]])))

    monkeypatch.setattr(Step, "parse", parse)
    with pytest.raises(AssertionError, match="in the form 'step-output'"):
        check_poison(policy_maker(name, **options))


# ---------------------------------------------------------------------- one manager for every operation


class Letters:
    """A tokenizer whose tokens are characters."""

    all_special_tokens = ("<|im_start|>", "<|im_end|>")
    eos_token = pad_token = "<|im_end|>"
    eos_token_id = -1

    def apply_chat_template(self, chats: Any, **_: Any) -> list[str]:
        return [
            "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in chat) for chat in chats
        ]

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[*map(ord, text)] for text in texts]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(map(chr, ids))


class Manager(MemoryManager):
    """Forgets, replaces, keeps or ignores by how a sentence begins, and says again what looks like an operation.

    It obeys no data, and everything that stands outside of it.
    """

    def generate(self, prompts: Any, samples: int = 1, seed: int | None = None) -> list[list[list[int]]]:
        return [[[*map(ord, self.answer("".join(map(chr, prompt)))), self.end]] for prompt in prompts]

    def answer(self, prompt: str) -> str:
        inside, outside = divide(prompt.partition("<|im_start|>user\n")[2])
        if order := ORDER.search(outside):
            return FORMS[self.form].write({"op": "ADD", "text": order[0]})
        try:
            data = json.loads(inside)
        except ValueError:  # cut off by a delimiter in it
            return FORMS[self.form].write({"op": "NOOP"})
        if "{" in data["said"] or "[" in data["said"]:
            return data["said"]
        begins = {"Please forget": "DELETE", "Actually": "UPDATE", "The weather": "NOOP"}
        kind = next((kind for words, kind in begins.items() if data["said"].startswith(words)), "ADD")
        if kind in ("DELETE", "UPDATE"):
            return FORMS[self.form].write({"op": kind, "id": "1"} if data["memory"] else {"op": "NOOP"})
        return FORMS[self.form].write({"op": kind})


def manager_policy(form: str) -> ManagerPolicy:
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    return ManagerPolicy(Manager(model, Letters(), form=form))


@pytest.mark.parametrize("form", FORMS)
def test_no_order_has_an_effect_on_a_manager(form: str) -> None:
    check_poison(lambda: manager_policy(form))


@pytest.mark.parametrize("form", FORMS)
def test_a_manager_with_delimiters_left_in_its_data_obeys(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of its prompts."""
    monkeypatch.setattr("memgym.llm.channels.strip_text", lambda text, reserved=(): text)
    with pytest.raises(AssertionError, match=r"in the form '(system-prompt|delimiters)'"):
        check_poison(lambda: manager_policy(form))


def test_a_manager_that_takes_any_operation_from_a_reply_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of its parser."""

    def careless(reply: str, moment: Shown, *_: Any) -> Decision:
        value = first_object(reply, ["op", "id", "ops"])
        one = value["ops"][0] if "ops" in value else value
        if one.get("op") == "ADD":
            return Decision(MemoryOp.add(moment.text))
        if one.get("op") == "DELETE":
            return Decision(MemoryOp.delete(one["id"] if "ops" in value else moment.memory[0][0]))
        return Decision(MemoryOp.noop())

    monkeypatch.setattr(manager_module, "read_operation", careless)
    with pytest.raises(AssertionError, match="in the form 'operations'"):
        check_poison(lambda: manager_policy("json"))
