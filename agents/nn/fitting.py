"""The loop behind supervised training: AdamW, a cosine schedule, clipped gradients, checkpoints to go on from."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule
from memgym.core.arguments import check_integer, check_number
from memgym.core.result import write_atomically
from memgym.errors import DependencyMissing
from memgym.rng import mix64

__all__ = ["loss_bar", "minimise", "parameter_groups"]

FORMAT = "memgym-training-1"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def parameter_groups(module: nn.Module, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimiser: matrices decay, vectors do not, and what `MemoryModule.lr_scales` names has a
    learning rate of its own and no decay.

    Args:
        module: whatever holds the parameters, memories anywhere inside it.
        learning_rate: of everything that asks for no other.
        weight_decay: of parameters with two or more axes.
    """
    scales: dict[str, float] = {}
    for prefix, part in module.named_modules():
        if isinstance(part, MemoryModule):
            for name, scale in part.lr_scales().items():
                scales.setdefault(f"{prefix}.{name}".lstrip("."), scale)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        decays = name not in scales and parameter.dim() > 1
        key = (learning_rate * scales.get(name, 1.0), weight_decay if decays else 0.0)
        groups.setdefault(key, []).append(parameter)
    return [{"params": group, "lr": lr, "weight_decay": decay} for (lr, decay), group in groups.items()]


def minimise(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    *,
    num_updates: int,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    seed: int = 0,
    before_update: Callable[[int, torch.optim.Optimizer], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    settings: Mapping[str, Any] | None = None,
    what: str = "training",
    progress_bar: bool = True,
) -> Tensor:
    """Train a module: AdamW with a learning rate that falls from its peak to zero along a cosine.

    A run is a function of its arguments: torch's random numbers are seeded for each update and left as they were
    in the end. With a `checkpoint` a run that was interrupted goes on where the file stands, and gives the same
    weights bit for bit as one that was not; a finished run's file gives its weights without training.

    Args:
        module: what is trained, in place.
        loss: the loss of update u (from 0 on) as a scalar; it depends on nothing but u and the module.
        num_updates: optimiser steps.
        learning_rate: peak of the schedule.
        weight_decay: see `parameter_groups`.
        clip: largest norm of the gradient of all parameters together.
        seed: of random numbers that the module draws itself.
        before_update: called with u and the optimiser before update u, e.g. to forget embeddings.
        checkpoint: a safetensors file, written beside its place and renamed; None for none.
        checkpoint_every: updates between two checkpoints.
        settings: what else makes this run what it is (JSON values); a file of other settings is refused.
        what: name of the progress bar.
        progress_bar: show it where stderr is a terminal.

    Returns:
        The loss of every update, float32, shape (num_updates,).

    Raises:
        FloatingPointError: the loss or its gradient is not finite any more; the message says since when.
        ValueError: an argument outside its range, or the checkpoint is of another run, or none.
    """
    check_integer("num_updates", num_updates, 1, 1 << 40)
    check_integer("checkpoint_every", checkpoint_every, 1, 1 << 40)
    check_number("learning_rate", learning_rate, 1e-12, 1e3)
    check_number("weight_decay", weight_decay, 0.0, 1e3)
    check_number("clip", clip, 1e-12, 1e12)
    optimizer = torch.optim.AdamW(parameter_groups(module, learning_rate, weight_decay))
    peaks = [group["lr"] for group in optimizer.param_groups]
    card = {
        "num_updates": num_updates,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "clip": clip,
        "seed": seed,
        "settings": dict(settings or {}),
    }
    losses = torch.zeros(num_updates)
    start = 0
    if checkpoint is not None and checkpoint.is_file():
        start = _load(checkpoint, card, module, optimizer, losses)
    parameters = list(module.parameters())
    with torch.random.fork_rng(devices=[]), loss_bar(what, num_updates, progress_bar) as show:
        for u in range(start, num_updates):
            torch.manual_seed(mix64(mix64(seed) + u) >> 1)
            factor = 0.5 * (1.0 + math.cos(math.pi * u / num_updates))
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            if before_update is not None:
                before_update(u, optimizer)
            optimizer.zero_grad(set_to_none=True)
            value = loss(u)
            losses[u] = value.detach()
            if not torch.isfinite(losses[u]):
                raise FloatingPointError(f"the loss of update {u} is {losses[u].item()}.")
            value.backward()
            norm = nn.utils.clip_grad_norm_(parameters, clip)
            if not torch.isfinite(norm):
                raise FloatingPointError(f"the gradient of update {u} is not finite.")
            optimizer.step()
            done = u + 1
            if checkpoint is not None and (done % checkpoint_every == 0 or done == num_updates):
                _save(checkpoint, card, done, module, optimizer, losses)
            show(done, losses[u].item())
    return losses


@contextmanager
def loss_bar(what: str, total: int, is_shown: bool = True) -> Iterator[Callable[[int, float], None]]:
    """A function that shows how far training has come; silent where stderr is not a terminal.

    Raises:
        DependencyMissing: rich is not installed.
    """
    if not is_shown or not sys.stderr.isatty():
        yield lambda done, loss: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError as error:
        raise DependencyMissing.for_extra("rich", "cli", "the progress bar") from error
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, loss: bar.update(task, completed=done, description=f"{what}, loss {loss:.3f}")


def _named_moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"adam/{name}/{key}": optimizer.state[parameter][key]
        for name, parameter in module.named_parameters()
        for key in MOMENTS
        if parameter in optimizer.state  # not before a first gradient
    }


def _save(
    path: Path,
    card: Mapping[str, Any],
    done: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Tensor,
) -> None:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "a checkpoint") from error
    weights = {f"model/{name}": tensor for name, tensor in module.state_dict().items()}
    tensors = {**weights, **_named_moments(module, optimizer), "losses": losses}
    # one file, so that one rename exchanges all of it: tensors, and the rest as JSON in the file's header
    header = {"format": FORMAT, "card": json.dumps(card, sort_keys=True), "done": str(done)}
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(copies, header))


def _load(
    path: Path, card: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer, losses: Tensor
) -> int:
    """Put a checkpoint into the module, the optimiser and the losses; the number of updates done."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "a checkpoint") from error
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is no checkpoint: {error}.") from error
    if header.get("format") != FORMAT or header.get("card") != json.dumps(card, sort_keys=True):
        raise ValueError(f"{path} is of another run: delete it, or choose another file.")
    weights = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} is of another network: {error}") from error
    losses.copy_(tensors["losses"])
    for name, parameter in module.named_parameters():
        moments = {key: tensors.get(f"adam/{name}/{key}") for key in MOMENTS}
        if moments["step"] is not None:
            optimizer.state[parameter] = {
                key: moment if key == "step" else moment.to(parameter.device)
                for key, moment in moments.items()
                if moment is not None
            }
    return int(header["done"])
