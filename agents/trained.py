"""What agents with trained Stable-Baselines3 weights share."""

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym

from memgym.core.agent import Agent

from .weights_io import build_policy, load_weights

__all__ = ["TrainedAgent"]


class TrainedAgent(Agent):
    """An agent whose policy was trained on one pair of spaces, and plays on no other.

    Args:
        weights: the common name of a ``.safetensors`` file and its ``.json`` card.
        policy_class: of Stable-Baselines3 or sb3-contrib.

    Raises:
        WeightsInvalid: the files are missing, damaged, or of another network.
    """

    families: ClassVar[tuple[str, ...]] = ("control",)

    def __init__(self, weights: Path, policy_class: Any) -> None:
        loaded = load_weights(weights)
        self.card = loaded.card
        self.files = loaded.files
        self.settings = loaded.settings
        self.observation_space = loaded.observation_space
        self.action_space = loaded.action_space
        self.policy = build_policy(policy_class, loaded)

    def cannot_play(self, env: gym.Env) -> str:
        """Another family of task, or other spaces than those it was trained on."""
        return super().cannot_play(env) or self._differs(env.observation_space, env.action_space)

    def _differs(self, observation_space: gym.Space, action_space: gym.Space) -> str:
        if observation_space != self.observation_space:
            return f"was trained on observations {self.observation_space}, not {observation_space}"
        if action_space != self.action_space:
            return f"was trained on actions {self.action_space}, not {action_space}"
        return ""
