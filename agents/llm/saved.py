"""A memory manager in a folder: its weights or its adapter as Hugging Face's libraries save them, and a card beside.

| in the folder | what |
| --- | --- |
| `manager.json` | the card: how the manager is asked, and how it was made |
| `model/` | weights and tokenizer of the whole model, of which an adapter is trained or not |
| `adapter/` | what peft saved, where an adapter is trained |

A model that has a name of its own, on the hub or as a folder, is not saved once more under an adapter: the card names
it. Nothing in the folder is a pickle.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from memgym.agents.llm.lora import base_weights, save_lora
from memgym.agents.llm.manager import MemoryManager, manager_agent
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.adapters import adapter_files
from memgym.agents.weights_io import WeightsInvalid
from memgym.core.lines import write_atomically

__all__ = ["CARD", "grpo_manager", "save_manager", "saved_manager"]

CARD, MODEL, ADAPTER = "manager.json", "model", "adapter"
FORMAT = "memgym-manager-1"
ASKED = {"instruction": str, "form": str, "max_new_tokens": int}
MAX_BYTES = 1 << 20
SHIPPED = Path(__file__).parents[1] / "weights" / "grpo_manager"
TURNS = 400 * 16 * 12  # rollouts, dialogues in each, turns in each


def grpo_manager() -> PolicyAgent:
    """A model of 212,000 parameters, made from nothing, that GRPO taught from the outcome alone to manage a memory.

    ``python -m memgym.baselines.train_memory_manager --out agents/weights/grpo_manager --seed 2`` made it.
    """
    manager, _, files = _loaded(SHIPPED, "cpu")
    agent = manager_agent(manager, {}, files)
    agent.card = replace(
        agent.card,
        name="grpo-manager",
        description="A tiny language model that GRPO taught from answers alone to add, update, delete or skip.",
        training_steps=TURNS,
        trained_on=("memgym/DialogueMemory-v0",),
    )
    return agent


def save_manager(folder: Path, manager: MemoryManager, base: str, extra: dict[str, Any]) -> None:
    """Save a manager; the card comes last, so that a folder with one is whole.

    Args:
        folder: where.
        manager: who.
        base: id or folder of the model that has an adapter; ``""`` for one that has no name.
        extra: what else the card tells, as JSON values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if manager.adapters is None or not base:
        manager.model.save_pretrained(folder / MODEL, state_dict=base_weights(manager.model))
        manager.tokenizer.save_pretrained(folder / MODEL)
    if manager.adapters is not None:
        save_lora(manager.adapters, folder / ADAPTER)
    card = {
        "format": FORMAT,
        **{name: getattr(manager, name) for name in ASKED},
        "base": base if manager.adapters is not None else "",
        "has_adapter": manager.adapters is not None,
        "extra": extra,
    }
    write_atomically(folder / CARD, (json.dumps(card, indent=2) + "\n").encode())


def saved_manager(folder: str, device: str = "cpu") -> PolicyAgent:
    """The agent that `save_manager` saved.

    Args:
        folder: where.
        device: where it runs.

    Raises:
        WeightsInvalid: there is no card, or it is none.
    """
    manager, base, files = _loaded(Path(folder), device)
    return manager_agent(manager, {"folder": folder, "base": base}, files)


def _loaded(folder: Path, device: str) -> tuple[MemoryManager, str, tuple[Path, ...]]:
    """The manager of a folder, the name of its model where that has one, and the files that it was made of."""
    file = folder / CARD
    if not file.is_file():
        raise WeightsInvalid(
            f"{folder} holds no {CARD}: name a folder of memgym.baselines.train_memory_manager."
        )
    if file.stat().st_size > MAX_BYTES:
        raise WeightsInvalid(f"{file} is larger than {MAX_BYTES} bytes: no card is.")
    try:
        card = json.loads(file.read_bytes())
        asked = {name: card[name] for name in ASKED}
        base, has_adapter = card["base"], card["has_adapter"]
        wrong = [name for name, kind in ASKED.items() if type(asked[name]) is not kind]
        if (
            card["format"] != FORMAT
            or wrong
            or not isinstance(base, str)
            or not isinstance(has_adapter, bool)
        ):
            raise ValueError(f"format {FORMAT!r} with {', '.join(ASKED)}, base and has_adapter")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise WeightsInvalid(f"{file} is no card of a manager ({error!r:.200}).") from None
    adapter = str(file.parent / ADAPTER) if has_adapter else None
    manager = MemoryManager.load(base or str(file.parent / MODEL), device, adapter, **asked)
    weights = sorted((file.parent / MODEL).glob("*.safetensors"))
    return manager, base, (file, *weights, *(adapter_files(adapter) if adapter else ()))
