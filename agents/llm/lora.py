"""LoRA: adapters of low rank, trained in the place of a model's weights (Hu et al. 2021, arXiv 2106.09685)."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from memgym.agents.structured.adapters import adapter_files, import_peft, with_adapters
from memgym.core.arguments import check_integer

__all__ = ["add_lora", "base_digest", "base_weights", "load_lora", "save_lora", "trained_weights"]

SCALE = 2  # alpha over rank


def add_lora(model: Any, rank: int, seed: int) -> Any:
    """Put a new adapter into every linear layer of a model but the one that gives the logits, and freeze the rest.

    The new adapter changes nothing yet.

    Args:
        model: of transformers; it is changed in place.
        rank: of the adapters.
        seed: of the half of them that does not begin at zero.

    Returns:
        The `peft.PeftModel` around it.

    Raises:
        DependencyMissing: peft is not installed.
    """
    check_integer("rank", rank, 1, 1 << 12)
    peft = import_peft()
    import torch

    config = peft.LoraConfig(
        r=rank, lora_alpha=SCALE * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.get_peft_model(model, config)


def load_lora(model: Any, folder: str) -> Any:
    """Put an adapter that was saved into a model; the `peft.PeftModel` around it.

    Raises:
        DependencyMissing: peft is not installed.
        WeightsInvalid: the folder holds no adapter in safetensors.
    """
    adapter_files(folder)
    return with_adapters(model, {"default": folder})


def save_lora(adapters: Any, folder: Path) -> None:
    """Save the adapter of a `peft.PeftModel` as peft does: safetensors and a JSON file."""
    adapters.save_pretrained(str(folder), save_embedding_layers=False)


def trained_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and parameters that training changes: those of adapters where a model has some, else all."""
    return ((name, weights) for name, weights in model.named_parameters() if weights.requires_grad)


def base_weights(model: Any) -> dict[str, Any]:
    """The weights of a model by their names without adapters, and none of the adapters'."""
    return {
        name.replace(".base_layer.", "."): weights
        for name, weights in model.state_dict().items()
        if ".lora_" not in name
    }


def base_digest(model: Any) -> str:
    """SHA-256 of `base_weights`, to tell whether an adapter goes on beside the weights that it was begun with."""
    import torch

    digest = sha256()
    for name, weights in base_weights(model).items():
        digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
