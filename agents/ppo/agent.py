"""Acting with a trained policy: one observation or a batch, numpy in and out."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from memgym.agents.nn.module import State
from memgym.agents.ppo.actions import Categoricals
from memgym.agents.ppo.blueprint import Blueprint
from memgym.agents.ppo.curve import TrainingCurve
from memgym.agents.ppo.errors import ObservationInvalid
from memgym.agents.ppo.observations import Flattener
from memgym.agents.ppo.pretraining import Pretraining
from memgym.agents.ppo.stochastic import RandomStream
from memgym.core.agent import Agent, AgentCard
from memgym.wrappers.memory_actions import MemoryActions, memory_action_space, memory_observation_space

__all__ = ["MemoryAgent"]

NumpyState = dict[str, NDArray[Any]]


class MemoryAgent(Agent):
    """A policy with a memory, as an agent: what `MemoryPPO` is when it does not learn.

    Args:
        blueprint: what it is built from.
        device: where it computes.

    Raises:
        ValueError: a space or an argument that the policy cannot have.
    """

    families: ClassVar[tuple[str, ...]] = ("control",)

    def __init__(self, blueprint: Blueprint, device: torch.device) -> None:
        self.blueprint = blueprint
        self.device = device
        self.observation_space = blueprint.observation_space
        self.action_space = blueprint.action_space
        self.num_timesteps = 0
        self.training_curve = TrainingCurve()
        self.pretraining: Pretraining | None = None
        self.files: tuple[Path, ...] = ()
        self._flattener = Flattener(blueprint.observation_space)
        self._actions = Categoricals(blueprint.action_space)
        self._training_stream = RandomStream(blueprint.seed, device)
        with self._training_stream.active():
            self.policy = blueprint.make_policy(device)
        self.seed(0)

    @property
    def card(self) -> AgentCard:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What a result says of this agent; the auxiliary targets that it was trained with are named there."""
        plan = self.blueprint
        slots = plan.memory_actions
        memory = f"the state of {plan.cell!r} cells" + (" and in memory slots" if slots else "")
        extra: dict[str, Any] = {
            "algorithm": "MemoryPPO",
            "cell": plan.cell,
            "module_kwargs": dict(plan.module_kwargs),
            "policy_kwargs": plan.to_dict()["policy_kwargs"],
            "settings": plan.settings.to_dict(),
            "seed": plan.seed,
            "n_envs": plan.n_envs,
        }
        if self.training_curve.points:
            extra["training_curve"] = [list(point) for point in self.training_curve.points]
        if plan.aux_sizes:
            extra["privileged_training_targets"] = list(plan.aux_sizes)
        if slots:
            extra["memory_actions"] = dict(slots)
        if plan.forgetting is not None:
            extra["forgetting"] = asdict(plan.forgetting)
        if self.pretraining is not None:
            extra["self_pretraining"] = self.pretraining._asdict()
        return AgentCard(
            name=plan.name,
            kind="rl",
            description=f"Remembers in {memory}; trained by PPO.",
            parameters=sum(
                p.numel() for name, p in self.policy.named_parameters() if not name.startswith("aux_head.")
            ),
            training_steps=self.num_timesteps + (self.pretraining.timesteps if self.pretraining else 0),
            trained_on=(plan.trained_on,) if plan.trained_on else (),
            extra=extra,
        )

    # ------------------------------------------------------------------ acting

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Return the action for one observation, or the actions for a batch, and the state to pass with the next.

        Args:
            observation: of the observation space, or a batch of them with one more axis in front.
            state: what the last call returned; None on the first.
            episode_start: whether an episode begins with the observation: a bool, or one for each of the batch.
            deterministic: whether to take the likeliest action rather than a sample.

        Raises:
            ObservationInvalid: the observation is of another shape or not finite, or the state or the flags are of
                another agent or another number of environments.
        """
        count = self._flattener.count(observation)
        n = 1 if count is None else count
        rows = self._flattener.rows(_batched(observation) if count is None else observation, n)
        if not np.isfinite(rows).all():
            raise ObservationInvalid("the observation is not finite: it holds NaN or infinity.")
        held = self.policy.initial_state(n, self.device) if state is None else self._read_state(state, n)
        reset = None
        if episode_start is not None:
            flags = np.asarray(episode_start, np.bool_).reshape(-1)
            if len(flags) not in (1, n):
                raise ObservationInvalid(f"episode_start has {len(flags)} flags for {n} observations.")
            if state is not None and flags.any():
                reset = torch.from_numpy(np.array(np.broadcast_to(flags, n))).to(self.device)
        with torch.inference_mode(), self._acting_stream.active():
            inputs = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
            output, held = self.policy.step(inputs, held, reset)
            logits = output[:, : self._actions.num_logits]
            if not deterministic:
                logits = logits + self._actions.gumbel_noise(n, device=self.device)
            choices = self._actions.mode(logits).cpu().numpy()
        actions = self._actions.to_env(choices)
        return actions[0] if count is None else actions, {name: _array(leaf) for name, leaf in held.items()}

    def _read_state(self, state: Any, n: int) -> State:
        spec = self.policy.backbone.initial_state(1)
        if not isinstance(state, Mapping) or set(state) != set(spec):
            raise ObservationInvalid(
                "the state is not one that this agent returned: its parts have other names."
            )
        tensors = {}
        for name, leaf in spec.items():
            part, like = np.asarray(state[name]), _array(leaf)
            if part.shape != (n, *like.shape[1:]) or part.dtype != like.dtype:
                raise ObservationInvalid(
                    f"part {name!r} of the state is {part.dtype}{part.shape}, not {like.dtype}{(n, *like.shape[1:])}."
                )
            tensors[name] = torch.tensor(part).view(leaf.dtype).to(self.device)
        return tensors

    def seed(self, seed: int) -> None:
        """Start the random stream of actions that are sampled."""
        self._acting_stream = RandomStream(seed, self.device)

    def memory_nbytes(self, state: Any) -> int:
        """Bytes of the memories' state and of memory slots, all environments of a batch together."""
        if state is None:
            return 0
        batch = len(next(iter(state.values()))) if state else 1
        return sum(part.nbytes for part in state.values()) + batch * self._slots_nbytes()

    def _slots_nbytes(self) -> int:
        slots = self.blueprint.memory_actions
        if slots is None:
            return 0
        num_slots = slots["num_slots"]
        if slots["content"] == "bit":
            return (num_slots + 7) // 8
        # the wrapped observation is the inner one, a copy of it for each slot, and a flag for each slot
        space = self.observation_space
        assert isinstance(space, spaces.Box)
        return num_slots * ((space.shape[0] - num_slots) // (1 + num_slots)) * space.low.itemsize

    # ------------------------------------------------------------------ playing tasks

    def wrap(self, env: gym.Env) -> gym.Env:
        """Add the memory slots that this policy was trained with, where it was."""
        slots = self.blueprint.memory_actions
        return env if slots is None else MemoryActions(env, **slots)

    def cannot_play(self, env: gym.Env) -> str:
        """Another family of task, or other spaces than those it was trained on."""
        if reason := super().cannot_play(env):
            return reason
        given: tuple[spaces.Space, spaces.Space] = env.observation_space, env.action_space
        if (slots := self.blueprint.memory_actions) is not None:
            try:
                given = (
                    memory_observation_space(given[0], slots["num_slots"], slots["content"]),
                    memory_action_space(given[1], slots["num_slots"]),
                )
            except ValueError as error:
                return str(error)
        if given[0] != self.observation_space:
            return f"was trained on observations {self.observation_space}, not {given[0]}"
        if given[1] != self.action_space:
            return f"was trained on actions {self.action_space}, not {given[1]}"
        return ""


def _array(leaf: Tensor) -> NDArray[Any]:
    """A part of a state for numpy, which has no bfloat16: it gets the bits."""
    leaf = leaf.cpu()
    return (leaf.view(torch.int16) if leaf.dtype == torch.bfloat16 else leaf).numpy()


def _batched(observation: Any) -> Any:
    """One observation as a batch of one."""
    if isinstance(observation, Mapping):
        return {key: _batched(part) for key, part in observation.items()}
    if isinstance(observation, tuple):
        return tuple(_batched(part) for part in observation)
    return np.asarray(observation)[None]
