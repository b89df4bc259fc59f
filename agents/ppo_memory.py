"""PPO with memory actions: a policy without recurrence that remembers by writing into slots.

It is trained by `memgym.baselines.train_ppo_memory`.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym

from memgym.core.agent import Agent
from memgym.errors import DependencyMissing
from memgym.wrappers.memory_actions import MemoryActions, memory_action_space, memory_observation_space

from .trained import TrainedAgent
from .weights_io import WeightsInvalid

__all__ = ["PPOMemoryAgent"]

WEIGHTS = Path(__file__).parent / "weights" / "ppo_memory"


class PPOMemoryAgent(TrainedAgent):
    """Remembers in the slots of `memgym.wrappers.MemoryActions`, which `wrap` puts around a task.

    Args:
        weights: the common name of a ``.safetensors`` file and its ``.json`` card; the shipped ones where
            None.

    Raises:
        WeightsInvalid: the files are missing, damaged, or of another network.
        DependencyMissing: stable-baselines3 is not installed.
    """

    def __init__(self, weights: Path | None = None) -> None:
        try:
            from stable_baselines3.common.policies import ActorCriticPolicy
        except ImportError as error:
            raise DependencyMissing.for_extra("stable-baselines3", "agents", "PPOMemoryAgent") from error
        super().__init__(Path(weights or WEIGHTS), ActorCriticPolicy)
        num_slots, width = self.settings.get("num_slots"), self.observation_space.shape[0]
        # the wrapped observation is the inner one, a copy of it for each slot, and a flag for each slot
        if type(num_slots) is not int or not 1 <= num_slots < width:
            raise WeightsInvalid(f"settings: 'num_slots' = {num_slots!r} does not fit the observation space.")
        self.num_slots = num_slots
        self.obs_dim = (width - num_slots) // (1 + num_slots)

    def wrap(self, env: gym.Env) -> gym.Env:
        """Add the slots that this policy was trained with."""
        return MemoryActions(env, num_slots=self.num_slots)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The pair (action, memory operation) for one observation; there is no state beside the slots."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def memory_nbytes(self, state: Any) -> int:
        """Bytes of all slots, filled or not: they are this agent's own, not the task's."""
        return self.num_slots * self.obs_dim * self.observation_space.low.itemsize

    def cannot_play(self, env: gym.Env) -> str:
        """Another family of task, or one whose spaces with slots are not those it was trained on."""
        if reason := Agent.cannot_play(self, env):
            return reason
        try:
            observation_space = memory_observation_space(env.observation_space, self.num_slots)
            action_space = memory_action_space(env.action_space, self.num_slots)
        except ValueError as error:
            return str(error)
        return self._differs(observation_space, action_space)
