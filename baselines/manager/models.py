"""The models that learn: tiny ones made from nothing, or any of Hugging Face's, whole or with adapters."""

from typing import Any, TypeVar

from memgym.agents.llm.chat import ChatModel
from memgym.agents.llm.lora import add_lora
from memgym.baselines.manager.training import Plan
from memgym.baselines.tiny_model import SKELETON, TinyPlan, make_tiny_model

__all__ = ["TINY_FRAME", "make_chat"]

Chat = TypeVar("Chat", bound=ChatModel)

TINY_FRAME = ('"}]}', "system\n", "user\n", "assistant\n")
"""Of all prompts: a token each, beside `SKELETON`."""


def make_chat(
    kind: type[Chat], plan: Plan, seed: int, frame: tuple[str, ...], instruction: str, **options: Any
) -> Chat:
    """One that has learned nothing yet, or what its model brings along.

    Args:
        kind: what asks the model, and for what.
        plan: names the model, or how large a tiny one is.
        seed: of a tiny model's weights, and of adapters.
        frame: what is a token of a tiny model, beside `SKELETON`.
        instruction: of a tiny model; another one has that of its kind.
        options: further attributes.
    """
    if plan.model != "tiny":
        chat = kind.load(plan.model, plan.device, **options)
        if not plan.lora:  # in bfloat16 late updates, and the mean of the weights, would be rounded away
            chat.model.float()
    else:
        tiny = TinyPlan(width=plan.width, layers=plan.layers, skeleton=SKELETON + frame, seed=seed)
        model, tokenizer = make_tiny_model(tiny)
        chat = kind(model.to(plan.device), tokenizer, instruction, **options)
    if plan.lora:
        chat.adapters = add_lora(chat.model, plan.lora, seed)
    return chat
