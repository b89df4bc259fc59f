"""PPO-LSTM: a recurrent policy of sb3-contrib, trained by `memgym.baselines.train_ppo_lstm`."""

from pathlib import Path
from typing import Any

import numpy as np

from memgym.errors import DependencyMissing

from .trained import TrainedAgent

__all__ = ["PPOLSTMAgent"]

WEIGHTS = Path(__file__).parent / "weights" / "ppo_lstm"


class PPOLSTMAgent(TrainedAgent):
    """Remembers in the hidden state of its LSTM.

    Args:
        weights: the common name of a ``.safetensors`` file and its ``.json`` card; the shipped ones where
            None.

    Raises:
        WeightsInvalid: the files are missing, damaged, or of another network.
        DependencyMissing: sb3-contrib is not installed.
    """

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
        except ImportError as error:
            raise DependencyMissing.for_extra("sb3-contrib", "agents", "PPOLSTMAgent") from error
        super().__init__(Path(weights or WEIGHTS), RecurrentActorCriticPolicy)

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
