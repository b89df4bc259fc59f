"""ControlText: a control task in words, so that a language model plays the very same episodes."""

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from memgym.envs.control import ControlEnv
from memgym.spaces import UnicodeText

__all__ = ["ControlText"]

MAX_TEXT = 1 << 14  # characters of an observation or a reply


class ControlText(gym.Wrapper, RecordConstructorArgs):
    """Observations are sentences and actions are names; rules, rewards and episodes stay as they are.

    The first observation of an episode begins with the rules and the names of the actions. An action is a
    reply whose last line is one of those names; case, quotes and a full stop do not matter. Any other reply
    counts as the first action and is counted in ``info["malformed"]``.

    >>> import gymnasium as gym, memgym
    >>> from memgym.wrappers import ControlText
    >>> env = ControlText(gym.make("memgym/EndlessTMaze-v0"))
    >>> env.reset(seed=0)[0].splitlines()[-1]
    'A corridor begins. A sign is lit: right.'
    >>> env.step("Forward")[0]
    'You are 1 cell into the corridor.'

    Args:
        env: a control task of memgym's.

    Raises:
        ValueError: another kind of environment.
    """

    def __init__(self, env: gym.Env) -> None:
        task = env.unwrapped
        if not isinstance(task, ControlEnv):
            raise ValueError(f"ControlText needs a control task of memgym's, not {task}.")
        RecordConstructorArgs.__init__(self)  # for env.spec
        gym.Wrapper.__init__(self, env)
        self.observation_space = UnicodeText(MAX_TEXT)
        self.action_space = UnicodeText(MAX_TEXT)
        self._task = task
        self._numbers = {name.casefold(): number for number, name in enumerate(task.action_names)}
        self._malformed = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; its first observation tells the rules."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._malformed = 0
        names = ", ".join(self._task.action_names)
        rules = f"{self._task.instructions()}\nAnswer each message with one action: {names}."
        return f"{rules}\n\n{self._task.describe(observation)}", {**info, "malformed": 0}

    def step(self, action: str) -> tuple[str, Any, bool, bool, dict[str, Any]]:
        """Do what the reply says."""
        observation, reward, terminated, truncated, info = self.env.step(self._number(action))
        info = {**info, "malformed": self._malformed}
        return self._task.describe(observation), reward, terminated, truncated, info

    def _number(self, reply: Any) -> int:
        lines = reply[:MAX_TEXT].strip().splitlines() if isinstance(reply, str) else []
        name = lines[-1].strip(" \t'\"`*.!").casefold() if lines else ""
        if name not in self._numbers:
            self._malformed += 1
            return 0
        return self._numbers[name]
