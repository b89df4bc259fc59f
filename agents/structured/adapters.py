"""One model with an adapter for each step, of which one is in use at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memgym.agents.weights_io import WeightsInvalid
from memgym.errors import DependencyMissing
from memgym.llm import LLM, LLMRequest, LocalClient, ModelLLM, StepRouter
from memgym.llm.errors import LLMError
from memgym.llm.messages import Client, Completion, OnAnswer

__all__ = [
    "AdapterClient",
    "adapter_files",
    "adapter_nbytes",
    "import_peft",
    "load_adapters",
    "with_adapters",
]

WEIGHTS = ("adapter_model.safetensors", "adapter_config.json")  # as peft saves them


class AdapterClient(Client):
    """A model on this machine, with one of its adapters put in before it answers.

    Args:
        local: the model, a `peft.PeftModel` inside, which other steps share.
        adapter: name of the adapter in it.
    """

    def __init__(self, local: LocalClient, adapter: str) -> None:
        self.local, self.adapter = local, adapter
        self.model, self.reserved = f"{local.model}+{adapter}", local.reserved

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """Swap the adapter in, and answer."""
        self.local.network.set_adapter(self.adapter)
        return self.local.complete_many(requests, on_answer)


def adapter_files(folder: str) -> tuple[Path, ...]:
    """The files of an adapter.

    Raises:
        WeightsInvalid: one is missing. Weights are safetensors; a pickle is not read.
    """
    files = tuple(Path(folder) / name for name in WEIGHTS)
    if missing := [file.name for file in files if not file.is_file()]:
        raise WeightsInvalid(
            f"{folder} is no adapter: it has no {missing[0]}. Save one by peft's save_pretrained."
        )
    return files


def adapter_nbytes(folders: Mapping[str, str]) -> int:
    """Bytes of the weights of all adapters; one that several steps share counts once."""
    return sum(adapter_files(folder)[0].stat().st_size for folder in sorted(set(folders.values())))


def load_adapters(base: str, folders: Mapping[str, str]) -> LLM:
    """One model, and a route for each step to its adapter; other steps are refused.

    Args:
        base: folder or id of the model, as `LocalClient` takes it.
        folders: of adapters that peft saved, by the name of the step.

    Raises:
        DependencyMissing: peft is not installed.
        WeightsInvalid: a folder holds no adapter in safetensors.
    """
    import_peft()
    for folder in folders.values():
        adapter_files(folder)
    local = LocalClient(base)
    local.network = with_adapters(local.network, folders).eval()
    return StepRouter({step: ModelLLM(AdapterClient(local, step), on_failure="fallback") for step in folders})


def with_adapters(network: Any, folders: Mapping[str, str]) -> Any:
    """Put adapters into a model; the `peft.PeftModel` around it, the first of them in use.

    Args:
        network: of transformers, changed in place.
        folders: where each was saved, by the name that it gets; see `adapter_files`.

    Raises:
        DependencyMissing: peft is not installed.
    """
    (name, folder), *others = folders.items()
    adapted = import_peft().PeftModel.from_pretrained(network, folder, adapter_name=name)
    for name, folder in others:
        adapted.load_adapter(folder, adapter_name=name)
    return adapted


def import_peft() -> Any:
    """The package.

    Raises:
        DependencyMissing: it is not installed.
    """
    try:
        import peft
    except ImportError:
        raise DependencyMissing.for_extra("peft", "train", "A model with adapters") from None
    return peft
