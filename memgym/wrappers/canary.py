"""Canary: a task that shows nothing, to tell agents that look elsewhere."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

__all__ = ["Canary"]


class Canary(gym.ObservationWrapper, RecordConstructorArgs):
    """Every observation is zero, as if nothing had been shown; rewards, rules and the end of episodes stay.

    Whoever sees observations alone is at chance here. Whoever does better knows the episodes from elsewhere: from
    their seeds, from the environment's state, or from actions that were computed instead of played.

    Args:
        env: with observations that are a Box.

    Raises:
        ValueError: they are not.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)  # for env.spec
        gym.ObservationWrapper.__init__(self, env)
        if not isinstance(env.observation_space, spaces.Box):
            raise ValueError(
                f"Canary goes around a task whose observations are a Box, not {env.observation_space}."
            )

    def observation(self, observation: Any) -> Any:
        """Zeros of the same shape and dtype."""
        return np.zeros_like(observation)
