"""PPO-LSTM: a recurrent policy of sb3-contrib, trained by `memgym.baselines.train_ppo_lstm`."""

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from memgym.core.agent import Agent
from memgym.errors import DependencyMissing

from .weights_io import build_policy, load_weights

__all__ = ["PPOLSTMAgent"]

WEIGHTS = Path(__file__).parent / "weights" / "ppo_lstm"


class PPOLSTMAgent(Agent):
    """Remembers in the hidden state of its LSTM.

    Args:
        weights: the common name of a ``.safetensors`` file and its ``.json`` card; the shipped ones where
            None.

    Raises:
        WeightsInvalid: the files are missing, damaged, or of another network.
        DependencyMissing: sb3-contrib is not installed.
    """

    families: ClassVar[tuple[str, ...]] = ("control",)

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
        except ImportError as error:
            raise DependencyMissing.for_extra("sb3-contrib", "agents", "PPOLSTMAgent") from error
        stem = Path(weights) if weights is not None else WEIGHTS
        loaded = load_weights(stem)
        self.files = (stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors"))
        self.card = loaded.card
        self.observation_space = loaded.observation_space
        self.action_space = loaded.action_space
        self.policy = build_policy(RecurrentActorCriticPolicy, loaded)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The action for one observation, and the LSTM's (hidden, cell) state."""
        start = None if episode_start is None else np.asarray(episode_start, dtype=np.bool_).reshape(1)
        return self.policy.predict(observation, state, start, deterministic)

    def memory_nbytes(self, state: Any) -> int:
        """Bytes of the actor's hidden and cell state.

        The critic's LSTM exists in training only: acting neither runs it nor carries its state.
        """
        return 0 if state is None else sum(part.nbytes for part in state)

    def cannot_play(self, env: gym.Env) -> str:
        """Another family of task, or other spaces than those it was trained on."""
        if reason := super().cannot_play(env):
            return reason
        if env.observation_space != self.observation_space:
            return f"was trained on observations {self.observation_space}, not {env.observation_space}"
        if env.action_space != self.action_space:
            return f"was trained on actions {self.action_space}, not {env.action_space}"
        return ""
