"""An environment of any spaces that shows noise, for ``runpy.run_path``: a test file is no package."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces


class Noise(gym.Env):
    """Shows samples of a space, drawn by its own generator."""

    def __init__(self, seen: spaces.Space, actions: spaces.Space) -> None:
        self.observation_space, self.action_space = seen, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """An episode without end."""
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        """The next sample."""
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}
