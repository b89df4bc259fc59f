"""A memory manager, an answerer or a team of both in a folder, as Hugging Face's libraries save models.

| in the folder | what |
| --- | --- |
| `manager.json`, `answerer.json` | the card: how the model is asked, and how it was made |
| `model/` | weights and tokenizer of the whole model, of which an adapter is trained or not |
| `adapter/` | what peft saved, where an adapter is trained |
| `team.json` | the card of a team, with a folder `manager/` and a folder `answerer/` beside it |

A model that has a name of its own, on the hub or as a folder, is not saved once more under an adapter: the card names
it. Nothing in the folder is a pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memgym.agents.llm.answerer import AnsweringPolicy, MemoryAnswerer
from memgym.agents.llm.chat import ChatModel
from memgym.agents.llm.lora import base_weights, save_lora
from memgym.agents.llm.manager import ManagerPolicy, MemoryManager, manager_agent
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.adapters import adapter_files
from memgym.agents.weights_io import WeightsInvalid
from memgym.core.agent import AgentCard
from memgym.core.lines import write_atomically

__all__ = ["CARD", "TEAM_CARD", "grpo_manager", "save_model", "save_team", "saved_manager", "saved_team"]


@dataclass(frozen=True)
class Kind:
    """What is saved: its class, the name and the format of its card, the attributes that this tells, by type, and
    the command that makes such folders.
    """

    chat: type[ChatModel]
    card: str
    format: str
    asked: Mapping[str, type]
    script: str


MANAGER = Kind(
    MemoryManager,
    "manager.json",
    "memgym-manager-1",
    {"instruction": str, "form": str, "max_new_tokens": int},
    "memgym.baselines.train_memory_manager",
)
TEAM_SCRIPT = "memgym.baselines.train_memory_team"
ANSWERER = Kind(
    MemoryAnswerer,
    "answerer.json",
    "memgym-answerer-1",
    {"instruction": str, "max_new_tokens": int},
    TEAM_SCRIPT,
)
CARD, TEAM_CARD = MANAGER.card, "team.json"
MODEL, ADAPTER = "model", "adapter"
TEAM_FORMAT = "memgym-team-1"
MAX_BYTES = 1 << 20
SHIPPED = Path(__file__).parents[1] / "weights" / "grpo_manager"
TURNS = 12  # of the dialogues that it learned from


def grpo_manager() -> PolicyAgent:
    """A model of 212,000 parameters, made from nothing, that GRPO taught from the outcome alone to manage a memory.

    ``python -m memgym.baselines.train_memory_manager --out agents/weights/grpo_manager --seed 1`` made it.
    """
    manager, _, files = _loaded(MANAGER, SHIPPED, "cpu")
    agent = manager_agent(manager, {}, files)
    plan = _read_card(SHIPPED / CARD, MANAGER.script)["extra"]["plan"]
    agent.card = replace(
        agent.card,
        name="grpo-manager",
        description="A tiny language model that GRPO taught from answers alone to add, update, delete or skip.",
        training_steps=plan["rollouts"] * plan["episodes"] * TURNS,
        trained_on=("memgym/DialogueMemory-v0",),
    )
    return agent


def save_model(folder: Path, chat: ChatModel, base: str, extra: dict[str, Any]) -> None:
    """Save a manager or an answerer; the card comes last, so that a folder with one is whole.

    Args:
        folder: where.
        chat: who.
        base: id or folder of the model that has an adapter; ``""`` for one that has no name.
        extra: what else the card tells, as JSON values.
    """
    kind = MANAGER if isinstance(chat, MemoryManager) else ANSWERER
    folder.mkdir(parents=True, exist_ok=True)
    if chat.adapters is None or not base:
        chat.model.save_pretrained(folder / MODEL, state_dict=base_weights(chat.model))
        chat.tokenizer.save_pretrained(folder / MODEL)
    if chat.adapters is not None:
        save_lora(chat.adapters, folder / ADAPTER)
    card = {
        "format": kind.format,
        **{name: getattr(chat, name) for name in kind.asked},
        "base": base if chat.adapters is not None else "",
        "has_adapter": chat.adapters is not None,
        "extra": extra,
    }
    _write_card(folder / kind.card, card)


def save_team(
    folder: Path,
    manager: MemoryManager,
    answerer: MemoryAnswerer,
    base: str,
    extra: dict[str, Any],
) -> None:
    """Save a team; its card comes last.

    Args:
        folder: where.
        manager: who manages the memory.
        answerer: who answers.
        base: of both, as in `save_model`.
        extra: what else the card tells, as JSON values.
    """
    save_model(folder / "manager", manager, base, {})
    save_model(folder / "answerer", answerer, base, {})
    _write_card(folder / TEAM_CARD, {"format": TEAM_FORMAT, "extra": extra})


def saved_manager(folder: str, device: str = "cpu") -> PolicyAgent:
    """The agent that `save_model` saved.

    Args:
        folder: where.
        device: where it runs.

    Raises:
        WeightsInvalid: there is no card, or it is none.
    """
    manager, base, files = _loaded(MANAGER, Path(folder), device)
    return manager_agent(manager, {"folder": folder, "base": base}, files)


def saved_team(folder: str, device: str = "cpu") -> PolicyAgent:
    """The agent that `save_team` saved: one model manages the memory, the other answers from it.

    Args:
        folder: where.
        device: where they run.

    Raises:
        WeightsInvalid: a card is missing, or is none.
    """
    card = Path(folder) / TEAM_CARD
    if _read_card(card, TEAM_SCRIPT).get("format") != TEAM_FORMAT:
        raise WeightsInvalid(f"{card} is no card of a team (format {TEAM_FORMAT!r}).")
    manager, base, files = _loaded(MANAGER, card.parent / "manager", device)
    answerer, other, more = _loaded(ANSWERER, card.parent / "answerer", device)
    agent = PolicyAgent(
        AgentCard(
            name="memory-team",
            kind="llm",
            description="A language model manages the memory, and another names the memories that it answers from.",
            url="https://arxiv.org/abs/2508.19828",
            parameters=sum(w.numel() for chat in (manager, answerer) for w in chat.model.parameters()),
            config={"folder": folder, "bases": [base, other]},
        ),
        lambda: AnsweringPolicy(answerer, ManagerPolicy(manager)),
        spent=lambda: (manager.ledger.total + answerer.ledger.total).to_dict(),
    )
    agent.files = (card, *files, *more)
    return agent


def _write_card(file: Path, card: dict[str, Any]) -> None:
    write_atomically(file, (json.dumps(card, indent=2) + "\n").encode())


def _read_card(file: Path, script: str) -> dict[str, Any]:
    """The JSON of a card.

    Raises:
        WeightsInvalid: there is none, or it is no JSON object.
    """
    if not file.is_file():
        raise WeightsInvalid(f"{file.parent} holds no {file.name}: name a folder of {script}.")
    if file.stat().st_size > MAX_BYTES:
        raise WeightsInvalid(f"{file} is larger than {MAX_BYTES} bytes: no card is.")
    try:
        card = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WeightsInvalid(f"{file} is no card of a model ({error!r:.200}).") from None
    if not isinstance(card, dict):
        raise WeightsInvalid(f"{file} is no card of a model (no JSON object).")
    return card


def _loaded(kind: Kind, folder: Path, device: str) -> tuple[Any, str, tuple[Path, ...]]:
    """The model of a folder, what that is based on where it has a name, and the files that it was made of."""
    file = folder / kind.card
    card = _read_card(file, kind.script)
    asked, base, has_adapter = {n: card.get(n) for n in kind.asked}, card.get("base"), card.get("has_adapter")
    if (
        card.get("format") != kind.format
        or any(type(asked[name]) is not wanted for name, wanted in kind.asked.items())
        or not isinstance(base, str)
        or not isinstance(has_adapter, bool)
    ):
        needed = f"format {kind.format!r} with {', '.join(kind.asked)}, base and has_adapter"
        raise WeightsInvalid(f"{file} is no card of a model ({needed}).")
    adapter = str(folder / ADAPTER) if has_adapter else None
    chat = kind.chat.load(base or str(folder / MODEL), device, adapter, **asked)
    weights = sorted((folder / MODEL).glob("*.safetensors"))
    return chat, base, (file, *weights, *(adapter_files(adapter) if adapter else ()))
