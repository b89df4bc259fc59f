"""What a checkpoint holds of a training run, so that it goes on as if it had not been interrupted."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memgym.agents.ppo.blueprint import MAX_SEED, Blueprint
from memgym.agents.ppo.collector import Position, Recent
from memgym.agents.ppo.curve import TrainingCurve
from memgym.agents.ppo.policy import MemoryPolicy
from memgym.agents.ppo.resume import EpisodeLog
from memgym.agents.ppo.stochastic import RandomStream
from memgym.agents.weights_io import WeightsInvalid
from memgym.errors import MemgymError

__all__ = [
    "Mark",
    "check_weights",
    "mark_from_tensors",
    "mark_to_tensors",
    "restore_optimizer",
    "restore_policy",
    "training_tensors",
]

STATE = "env/state/"


class Mark(NamedTuple):
    """Where a run stands between two rollouts.

    Attributes:
        num_timesteps: environment steps so far.
        num_updates: updates so far.
        curve: how it went.
        stream: of the random numbers.
        position: of the environments; None before the first step.
    """

    num_timesteps: int
    num_updates: int
    curve: TrainingCurve
    stream: list[Tensor]
    position: Position | None


def training_tensors(policy: MemoryPolicy, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, and the optimiser's memory of each."""
    tensors = {f"policy/{name}": tensor for name, tensor in policy.state_dict().items()}
    for name, parameter in policy.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam/{key}/{name}"] = value
    return tensors


def restore_policy(policy: MemoryPolicy, tensors: Mapping[str, Tensor], cell: str) -> None:
    """Load the weights.

    Raises:
        WeightsInvalid: they are of another network.
    """
    weights = _weights(tensors)
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsInvalid(
            f"the weights are not those of a network with {cell!r} cells: {error}"
        ) from error


def check_weights(blueprint: Blueprint, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights of another network before one is built, so that no file can ask for more memory than it has.

    Raises:
        WeightsInvalid: names a part that differs.
    """
    try:
        with torch.device("meta"), RandomStream(0, torch.device("cpu")).active():
            wanted = blueprint.make_policy(torch.device("meta")).state_dict()
    except (MemgymError, ValueError) as error:
        raise WeightsInvalid(f"the network of the checkpoint cannot be built: {error}") from error
    weights = _weights(tensors)
    for name in (*wanted, *weights):
        given, needed = (
            None if part is None else tuple(part.shape) for part in (weights.get(name), wanted.get(name))
        )
        if given != needed:
            raise WeightsInvalid(
                f"the weights are of another network than one with {blueprint.cell!r} cells: {name!r} is of shape "
                f"{given}, not {needed}."
            )


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = "policy/"
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def restore_optimizer(
    policy: MemoryPolicy, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Load what the optimiser remembers of each parameter.

    Raises:
        WeightsInvalid: it is of other parameters.
    """
    for name, parameter in policy.named_parameters():
        held = {
            key: tensors[f"adam/{key}/{name}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"adam/{key}/{name}" in tensors
        }
        if not held:
            continue  # saved before the first update
        kinds = [(held[key].shape, held[key].dtype) for key in ("exp_avg", "exp_avg_sq") if key in held]
        of_step = (torch.Size(()), torch.float32)
        if (
            len(held) != 3
            or kinds != [(parameter.shape, parameter.dtype)] * 2
            or (held["step"].shape, held["step"].dtype) != of_step
        ):
            raise WeightsInvalid(f"the optimiser's state of {name!r} is not that of such a parameter.")
        optimizer.state[parameter] = {key: t.to(parameter.device).clone() for key, t in held.items()}


def mark_to_tensors(mark: Mark) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A mark as JSON-like values and tensors."""
    content: dict[str, Any] = {
        "num_timesteps": mark.num_timesteps,
        "num_updates": mark.num_updates,
        "curve": mark.curve.to_json(),
    }
    tensors = {f"stream/{i}": state for i, state in enumerate(mark.stream)}
    if (position := mark.position) is not None:
        content["env_seed"] = position.log.seed
        recent = {f"recent/{name}": values for name, values in position.recent._asdict().items()}
        arrays = {
            "rows": position.rows,
            "before": position.before,
            "returns": position.returns,
            "lengths": position.lengths,
            **position.log.to_arrays(),
        }
        tensors |= {f"env/{name}": torch.from_numpy(array) for name, array in arrays.items()}
        tensors |= {name: torch.tensor(list(values), dtype=torch.float64) for name, values in recent.items()}
        tensors |= {f"{STATE}{name}": leaf for name, leaf in position.state.items()}
    return content, tensors


def mark_from_tensors(
    content: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    policy: MemoryPolicy,
    num_envs: int,
    device: torch.device,
) -> Mark:
    """What `mark_to_tensors` gave.

    Raises:
        WeightsInvalid: something is missing, or of the wrong shape.
    """
    try:
        steps, updates = content["num_timesteps"], content["num_updates"]
        if type(steps) is not int or type(updates) is not int or min(steps, updates) < 0:
            raise ValueError("the steps so far are not told")
        stream = [tensors["stream/0"], *([tensors["stream/1"]] if "stream/1" in tensors else [])]
        if any(state.dtype != torch.uint8 or state.dim() != 1 for state in stream):
            raise ValueError("the random stream is not one")
        torch.Generator().set_state(stream[0])  # refuses what is none
        position = None
        if "env_seed" in content:
            position = _read_position(content["env_seed"], tensors, policy, num_envs, device)
        return Mark(steps, updates, TrainingCurve.from_json(content.get("curve")), stream, position)
    except KeyError as error:
        raise WeightsInvalid(f"{error.args[0]!r} is missing from the checkpoint.") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise WeightsInvalid(f"the checkpoint's training state cannot be used: {error}.") from error


def _read_position(
    seed: Any,
    tensors: Mapping[str, Tensor],
    policy: MemoryPolicy,
    n: int,
    device: torch.device,
) -> Position:
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ValueError("the environments' seed is not told")
    initial = policy.initial_state(1)
    state = {name: tensors[STATE + name].to(device) for name in initial}
    for name, leaf in state.items():
        if leaf.shape != (n, *initial[name].shape[1:]) or leaf.dtype != initial[name].dtype:
            raise ValueError(f"the memory's state {name!r} has another shape")
    shapes = {"rows": (n, policy.encoder.in_features), "before": (2, n), "returns": (n,), "lengths": (n,)}
    arrays = {name: tensors[f"env/{name}"].numpy() for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"'env/{name}' has another shape")
    log = EpisodeLog(n)
    parts = {name: tensors[f"env/{name}"] for name in ("episodes", "since", "actions")}
    if any(part.dtype != torch.int64 for part in parts.values()):
        raise ValueError("the episodes under way are not told in integers")
    log.from_arrays(seed, {name: part.numpy() for name, part in parts.items()})
    recent = Recent.empty(n)
    recent.returns.extend(tensors["recent/returns"].tolist())
    recent.lengths.extend(int(value) for value in tensors["recent/lengths"].tolist())
    recent.successes.extend(bool(value) for value in tensors["recent/successes"].tolist())
    return Position(
        arrays["rows"],
        arrays["before"].astype(np.bool_),
        state,
        log,
        arrays["returns"].astype(np.float64),
        arrays["lengths"].astype(np.int64),
        recent,
    )
