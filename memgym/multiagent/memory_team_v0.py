"""A memory team: one agent decides what is kept of a stream, another answers from what was kept.

    from memgym.multiagent import memory_team_v0

    env = memory_team_v0.env(num_sessions=2)
    env.reset(seed=0)
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        env.step(None if terminated or truncated else env.action_space(agent).sample())

Both are rewarded with the score of each answer, so the manager has to keep what the answerer will need. That is how
Memory-R1 (Yan et al. 2025, arXiv 2508.19828) splits its memory manager from its answer agent; here either side, or
both, may learn.

| agent | its turn | sees | acts |
| --- | --- | --- | --- |
| manager | items | the item, the bank | operations on the bank |
| answerer | questions | the question, the bank, what it searched for | SEARCH, and an answer |

The answerer never sees the stream, and cannot write: such operations are refused (``info["refused"]``). While it is
not its turn, an agent sees an empty observation in phase 2. In the parallel form both act in every step, and what the
one whose turn it isn't does is ignored.

Arguments: ``task`` (id of a text task, by default ``"memgym/DialogueMemory-v0"``), ``view`` (``"text"``, or
``"tokens"`` for fixed-size arrays of integers with slots and choice answers), ``num_slots``, ``num_choices``,
``render_mode``, and those of the task. Seeds are those of the task: the same seed and actions, the same episode.
"""

from typing import Any

from gymnasium.error import ResetNeeded

from memgym.errors import DependencyMissing
from memgym.multiagent.team import SEATS, Team

try:
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils import wrappers
except ImportError as error:
    raise DependencyMissing.for_extra("pettingzoo", "multiagent", "memory_team_v0") from error

__all__ = ["env", "parallel_env", "raw_env"]

NAME = "memory_team_v0"


def env(**kwargs: Any) -> AECEnv:
    """The environment in turns, with PettingZoo's checks of the order of calls."""
    return wrappers.OrderEnforcingWrapper(raw_env(**kwargs))


class _TeamEnv:
    """What both forms share."""

    def __init__(self, *, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.render_mode = render_mode
        self._team = Team(render_mode=render_mode, **kwargs)
        self.possible_agents = list(SEATS)
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        """The task's, or that of its view; the same for both."""
        return self._team.observation_space

    def action_space(self, agent: str) -> Any:
        """Of that agent."""
        return self._team.action_spaces[agent]

    def render(self) -> str | None:
        """The transcript with the bank beside it."""
        return self._team.base.render()

    def close(self) -> None:
        """Close the task."""
        self._team.env.close()


class raw_env(_TeamEnv, AECEnv):
    """The environment in turns (agent environment cycle); see the module."""

    metadata = {"name": NAME, "render_modes": ["ansi", "human"], "is_parallelizable": False, "render_fps": 4}

    def observe(self, agent: str) -> Any:
        """What an agent sees: nothing where it is not its turn."""
        return self._team.observe(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode; ``options={"episode": e}`` starts that one of the seed."""
        info = self._team.reset(seed, options)
        self.agents = list(SEATS)
        self.rewards = dict.fromkeys(SEATS, 0.0)
        self._cumulative_rewards = dict.fromkeys(SEATS, 0.0)
        self.terminations = dict.fromkeys(SEATS, False)
        self.truncations = dict.fromkeys(SEATS, False)
        self.infos = {seat: dict(info) for seat in SEATS}
        self.agent_selection = self._team.turn

    def step(self, action: Any) -> None:
        """The action of `agent_selection`; None where the episode is over for it."""
        seat = self.agent_selection
        if self.terminations[seat]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[seat] = 0.0
        reward, done, info = self._team.act(action)
        self.rewards = dict.fromkeys(SEATS, reward)
        self.infos = {each: dict(info) for each in SEATS}
        self.terminations = dict.fromkeys(SEATS, done)
        self._accumulate_rewards()
        if not done:
            self.agent_selection = self._team.turn
        if self.render_mode == "human":
            self.render()


class parallel_env(_TeamEnv, ParallelEnv):
    """The environment in which both act at once; see the module."""

    metadata = {"name": NAME, "render_modes": ["ansi", "human"], "render_fps": 4}

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; ``options={"episode": e}`` starts that one of the seed."""
        info = self._team.reset(seed, options)
        self.agents = list(SEATS)
        return self._observe(), {seat: dict(info) for seat in SEATS}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Both actions; that of the one whose turn it isn't is ignored.

        Raises:
            ResetNeeded: no episode is under way.
            ValueError: there is no action of the one whose turn it is.
        """
        if not self.agents:
            raise ResetNeeded("no episode is under way: call reset().")
        if self._team.turn not in actions:
            raise ValueError(f"it is the turn of {self._team.turn!r}, and actions have {sorted(actions)}.")
        reward, done, info = self._team.act(actions[self._team.turn])
        if done:
            self.agents = []
        return (
            self._observe(),
            dict.fromkeys(SEATS, reward),
            dict.fromkeys(SEATS, done),
            dict.fromkeys(SEATS, False),
            {seat: dict(info) for seat in SEATS},
        )

    def _observe(self) -> dict[str, Any]:
        return {seat: self._team.observe(seat) for seat in SEATS}
