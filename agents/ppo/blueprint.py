"""What a model is built from: all that its JSON file says besides the card."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from memgym.agents.nn.forgetting import EmbeddingForgetting
from memgym.agents.ppo.actions import Categoricals
from memgym.agents.ppo.observations import Flattener
from memgym.agents.ppo.policy import MemoryPolicy
from memgym.agents.ppo.settings import PolicySize, Settings
from memgym.agents.ppo.space_json import describe_space, is_same_space, read_space
from memgym.agents.weights_io import WeightsInvalid
from memgym.core.arguments import check_integer
from memgym.errors import MemgymError

__all__ = ["Blueprint"]

MAX_WIDTH = 1 << 16  # of anything that a file may ask to build
MAX_SEED = (1 << 31) - 1
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # what a result may be called by


@dataclass(frozen=True)
class Blueprint:
    """Arguments of a model, checked.

    Attributes:
        cell: name of the memory.
        module_kwargs: its arguments.
        sizes: of the network around it.
        settings: of PPO.
        observation_space: of one environment.
        action_space: of one environment.
        aux_sizes: of the auxiliary targets, see `PrivilegedTargets.sizes`.
        memory_actions: arguments of `MemoryActions`, where the environments had those.
        trained_on: the environments' id, or ``""``.
        name: of the agent.
        seed: of everything random.
        n_envs: number of environments.
        forgetting: when the weights of the inputs are forgotten; None for never.

    Raises:
        ValueError: an argument that a model or its file cannot have.
    """

    cell: str
    module_kwargs: Mapping[str, Any]
    sizes: PolicySize
    settings: Settings
    observation_space: spaces.Space
    action_space: spaces.Space
    aux_sizes: Mapping[str, tuple[int, int]]
    memory_actions: Mapping[str, Any] | None
    trained_on: str
    name: str
    seed: int
    n_envs: int
    forgetting: EmbeddingForgetting | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.forgetting, EmbeddingForgetting | None):
            raise ValueError(f"forgetting is an EmbeddingForgetting or None, not {self.forgetting!r}.")
        if not isinstance(self.cell, str):
            raise ValueError(f"cell is the name of a memory, not {self.cell!r}.")
        if not isinstance(self.name, str) or not re.fullmatch(NAME, self.name):
            raise ValueError(f"name is letters, digits, '.', '_' and '-', not {self.name!r}.")
        check_integer("seed", self.seed, 0, MAX_SEED)
        check_integer("n_envs", self.n_envs, 1, 1 << 24)
        for count, classes in self.aux_sizes.values():
            check_integer("integers of an auxiliary target", count, 1, MAX_WIDTH)
            check_integer("values of an auxiliary target", classes, 1, MAX_WIDTH)
        if not isinstance(self.module_kwargs, Mapping):
            raise ValueError(f"module_kwargs are arguments by name, not {self.module_kwargs!r}.")
        object.__setattr__(self, "module_kwargs", dict(self.module_kwargs))
        try:
            is_plain = json.loads(json.dumps(self.module_kwargs)) == self.module_kwargs
        except (TypeError, ValueError):
            is_plain = False
        if not is_plain:
            raise ValueError(
                f"module_kwargs are numbers, flags and texts, which a file can hold: {self.module_kwargs}"
            )

    def make_policy(self, device: torch.device) -> MemoryPolicy:
        """The network, with new weights from torch's global generator.

        Raises:
            ValueError: a space that the model cannot read or act in, or arguments that the memory does not take.
            UnknownName: no such memory.
        """
        obs_size = Flattener(self.observation_space).size
        num_logits = Categoricals(self.action_space).num_logits
        try:
            policy = MemoryPolicy(
                obs_size, num_logits, self.cell, self.module_kwargs, self.sizes, self.aux_sizes
            )
        except MemgymError:
            raise
        except (RuntimeError, TypeError, ArithmeticError, LookupError, AssertionError) as error:
            raise ValueError(
                f"no memory {self.cell!r} can be made with module_kwargs={dict(self.module_kwargs)}: {error}"
            ) from error
        return policy.to(device)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-like values."""
        return {
            "cell": self.cell,
            "module_kwargs": dict(self.module_kwargs),
            "policy_kwargs": asdict(self.sizes),
            "settings": self.settings.to_dict(),
            "observation_space": describe_space(self.observation_space),
            "action_space": describe_space(self.action_space),
            "aux_sizes": {name: list(size) for name, size in self.aux_sizes.items()},
            "memory_actions": None if self.memory_actions is None else dict(self.memory_actions),
            "trained_on": self.trained_on,
            "name": self.name,
            "seed": self.seed,
            "n_envs": self.n_envs,
            "forgetting": None if self.forgetting is None else asdict(self.forgetting),
        }

    def check_env(self, env: VectorEnv, error: type[Exception]) -> None:
        """Raise `error` where the environments have other spaces, or are not as many."""
        given = {
            "observations": (env.single_observation_space, self.observation_space),
            "actions": (env.single_action_space, self.action_space),
            "number of environments": (env.num_envs, self.n_envs),
        }
        for what, (this, that) in given.items():
            is_same = this == that if isinstance(this, int) else is_same_space(this, that)
            if not is_same:
                raise error(f"the model was made for other environments: {what} {that}, not {this}.")

    @classmethod
    def from_dict(cls, content: Any, cell: str | None = None) -> "Blueprint":
        """What `to_dict` gave, from a file of a stranger.

        Args:
            content: the JSON value.
            cell: the memory that it must be; needed where it is not a registered one, as a file alone cannot make
                Python import a module.

        Raises:
            WeightsInvalid: something is missing, of the wrong type, or larger than a model may be, or the memory is
                another.
        """
        blueprint = cls._from_dict(content)
        if cell is not None and blueprint.cell != cell:
            raise WeightsInvalid(f"the checkpoint is of the cell {blueprint.cell!r}, not {cell!r}.")
        if cell is None and ":" in blueprint.cell:
            raise WeightsInvalid(
                f"the checkpoint names {blueprint.cell!r}, which is not a registered memory: pass cell= to import it."
            )
        return blueprint

    @classmethod
    def _from_dict(cls, content: Any) -> "Blueprint":
        if not isinstance(content, Mapping):
            raise WeightsInvalid("'blueprint' is missing from the checkpoint's JSON file.")
        try:
            for name in ("cell", "trained_on", "name"):
                if not isinstance(content[name], str):
                    raise TypeError(f"{name!r} is not a text")
            if content["memory_actions"] is not None and set(content["memory_actions"]) != {
                "num_slots",
                "show",
                "content",
            }:
                raise ValueError("'memory_actions' are not those of MemoryActions")
            _check_sizes(content["module_kwargs"])
            forgetting = content.get("forgetting")  # files of earlier versions do not tell
            return cls(
                cell=content["cell"],
                module_kwargs=dict(content["module_kwargs"]),
                sizes=PolicySize(**content["policy_kwargs"]),
                settings=Settings.from_dict(content["settings"]),
                observation_space=read_space(content["observation_space"]),
                action_space=read_space(content["action_space"]),
                aux_sizes={str(name): (size[0], size[1]) for name, size in content["aux_sizes"].items()},
                memory_actions=content["memory_actions"],
                trained_on=content["trained_on"],
                name=content["name"],
                seed=content["seed"],
                n_envs=content["n_envs"],
                forgetting=None if forgetting is None else EmbeddingForgetting(**forgetting),
            )
        except WeightsInvalid:
            raise
        except KeyError as error:
            raise WeightsInvalid(f"{error.args[0]!r} is missing from the checkpoint's JSON file.") from error
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise WeightsInvalid(f"the checkpoint's JSON file cannot be used: {error}.") from error


def _check_sizes(value: Any) -> None:
    """A file cannot fill the memory with one large number."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _check_sizes(part)
    elif isinstance(value, int | float) and not -MAX_WIDTH <= value <= MAX_WIDTH:
        raise ValueError(f"{value} in 'module_kwargs' is beyond {MAX_WIDTH}")
