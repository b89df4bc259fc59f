"""Weights of trained agents on disk: tensors in a safetensors file, everything else in a JSON card beside it.

Both are read as data. The card names the tensors file's digest, so a truncated or exchanged file is found
before a network is built from it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from memgym.core.agent import AgentCard
from memgym.errors import DependencyMissing, MemgymError

__all__ = ["PolicyWeights", "WeightsInvalid", "build_policy", "load_weights", "save_weights"]

FORMAT = "memgym-policy-1"
MAX_BYTES = 256 << 20
MAX_WIDTH = 8192
ACTIVATIONS = ("relu", "tanh")
CARD_FIELDS = ("name", "kind", "description", "parameters", "training_steps", "trained_on", "extra")


class WeightsInvalid(MemgymError, ValueError):
    """Weights or their card are missing, damaged, or of another network."""


class PolicyWeights(NamedTuple):
    """What `load_weights` read.

    Attributes:
        card: the agent card.
        policy_kwargs: sizes of the network.
        observation_space: what the network reads.
        action_space: what the network gives.
        settings: further values that the agent needs, e.g. the number of memory slots.
        tensors: the policy's parameters by name (torch tensors).
        files: the two files.
    """

    card: AgentCard
    policy_kwargs: dict[str, Any]
    observation_space: spaces.Box
    action_space: spaces.Discrete | spaces.MultiDiscrete
    settings: dict[str, Any]
    tensors: dict[str, Any]
    files: tuple[Path, Path]


def save_weights(
    path: Path,
    policy: Any,
    card: AgentCard,
    policy_kwargs: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write ``path.safetensors`` and ``path.json``, the card last, each beside its place and then renamed.

    Args:
        path: where, without a suffix.
        policy: a Stable-Baselines3 policy.
        card: of the agent; its `parameters` are counted here.
        policy_kwargs: the sizes from which `build_policy` makes the same network.
        settings: further values that the agent needs.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "saving weights") from error

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()}
    blob = save(tensors)
    described = {key: value for key, value in card.to_dict().items() if key in CARD_FIELDS}
    described["parameters"] = sum(tensor.numel() for tensor in tensors.values())
    content = {
        "format": FORMAT,
        **described,
        "policy_kwargs": dict(policy_kwargs),
        "observation_space": _describe_space(policy.observation_space),
        "action_space": _describe_space(policy.action_space),
        "settings": dict(settings or {}),
        "sha256": hashlib.sha256(blob).hexdigest(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, data in ((".safetensors", blob), (".json", (json.dumps(content, indent=2) + "\n").encode())):
        temporary = path.with_name(f"{path.name}{suffix}.part")
        temporary.write_bytes(data)
        temporary.replace(path.with_name(path.name + suffix))


def load_weights(path: Path) -> PolicyWeights:
    """Read what `save_weights` wrote.

    Args:
        path: the common name of both files, or either file.

    Raises:
        WeightsInvalid: a file is missing, too large, not what it should be, or not the card's.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise DependencyMissing.for_extra("safetensors", "agents", "loading weights") from error

    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    files = (stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors"))
    content = _read_card(files[0])
    blob = _read_bytes(files[1])
    if hashlib.sha256(blob).hexdigest() != content["sha256"]:
        raise WeightsInvalid(f"{stem.name}.safetensors is damaged, or not the one that its card names.")
    try:
        tensors = load(blob)
    except SafetensorError as error:
        raise WeightsInvalid(f"{stem.name}.safetensors is not a safetensors file: {error}.") from error
    fields = {key: content[key] for key in CARD_FIELDS}
    observation_space = _read_space(content["observation_space"])
    action_space = _read_space(content["action_space"])
    if not isinstance(observation_space, spaces.Box) or isinstance(action_space, spaces.Box):
        raise WeightsInvalid(f"{stem.name}.json: observations are a Box, actions Discrete or MultiDiscrete.")
    return PolicyWeights(
        card=AgentCard(**{**fields, "trained_on": tuple(fields["trained_on"])}),
        policy_kwargs=_check_sizes(content["policy_kwargs"]),
        observation_space=observation_space,
        action_space=action_space,
        settings=content["settings"],
        tensors=tensors,
        files=files,
    )


def build_policy(policy_class: Any, weights: PolicyWeights) -> Any:
    """A policy of `policy_class` (Stable-Baselines3's or sb3-contrib's) with these weights, ready to act.

    Raises:
        WeightsInvalid: the tensors are of another network.
    """
    from torch import nn

    kwargs = dict(weights.policy_kwargs)
    if "activation" in kwargs:
        kwargs["activation_fn"] = {"relu": nn.ReLU, "tanh": nn.Tanh}[kwargs.pop("activation")]
    try:
        # the learning rate is of no use for acting, but the constructor makes an optimiser
        policy = policy_class(weights.observation_space, weights.action_space, lambda _: 0.0, **kwargs)
        policy.load_state_dict(weights.tensors)
    except (RuntimeError, TypeError) as error:
        name = weights.card.name
        raise WeightsInvalid(f"the weights of {name!r} are of another network: {error}") from error
    policy.set_training_mode(False)
    return policy


def _read_bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise WeightsInvalid(f"{file.name} is larger than {MAX_BYTES} bytes.")
        return file.read_bytes()
    except OSError as error:
        raise WeightsInvalid(f"cannot read {file}: {error.strerror}.") from error


def _read_card(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_bytes(file))
    except WeightsInvalid:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightsInvalid(f"{file.name} is not JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsInvalid(f"{file.name} is not a {FORMAT} card.")
    types = dict.fromkeys(("name", "kind", "description", "sha256"), str)
    types |= dict.fromkeys(("extra", "policy_kwargs", "observation_space", "action_space", "settings"), dict)
    types |= {"parameters": int, "training_steps": int, "trained_on": list}
    for key, kind in types.items():
        if not isinstance(content.get(key), kind):
            raise WeightsInvalid(f"{file.name}: {key!r} is missing or not of type {kind.__name__}.")
    return content


def _check_sizes(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Only sizes and switches come from a card, within bounds: it cannot name code or fill memory."""

    def width(value: Any) -> bool:
        return type(value) is int and 1 <= value <= MAX_WIDTH

    checks = {
        "net_arch": lambda v: isinstance(v, list) and len(v) <= 8 and all(map(width, v)),
        "activation": lambda v: v in ACTIVATIONS,
        "lstm_hidden_size": width,
        "n_lstm_layers": lambda v: width(v) and v <= 8,
        "enable_critic_lstm": lambda v: isinstance(v, bool),
    }
    for name, value in kwargs.items():
        if name not in checks or not checks[name](value):
            raise WeightsInvalid(f"policy_kwargs: {name!r} = {value!r} is not a size that a policy can have.")
    return kwargs


def _describe_space(space: Any) -> dict[str, Any]:
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "low": space.low.tolist(),
            "high": space.high.tolist(),
            "dtype": np.dtype(space.dtype).name,
        }
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist()}
    raise ValueError(f"weights are saved for Box, Discrete and MultiDiscrete spaces, not {space}.")


def _read_space(content: dict[str, Any]) -> spaces.Box | spaces.Discrete | spaces.MultiDiscrete:
    try:
        if content["type"] == "Box":
            dtype = np.dtype(content["dtype"]).type
            return spaces.Box(np.array(content["low"], dtype), np.array(content["high"], dtype), dtype=dtype)
        if content["type"] == "Discrete":
            return spaces.Discrete(content["n"])
        return spaces.MultiDiscrete(content["nvec"])
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise WeightsInvalid(f"not the description of a space: {content!r}.") from error
