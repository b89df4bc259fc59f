"""One seat of a memory team as an ordinary Gymnasium environment, with somebody else in the other."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from memgym.core.arguments import check_choice
from memgym.multiagent.team import ANSWERER, MANAGER, SEATS, Team

__all__ = ["OneSeat"]

Partner = Callable[[Any], Any]
"""What the other seat does: its observation -> its action."""


class OneSeat(gym.Env[Any, Any]):
    """Play one seat of `memory_team_v0`; a partner plays the other within the same step.

    An episode is what the seat itself sees and does: a manager's steps are the items, an answerer's the questions.
    The reward of a step is all that the team earned until the seat's next turn. So two learners train each other
    by turns, each in an environment that any Gymnasium trainer takes::

        manager = OneSeat("manager", partner=lambda observation: 0, view="tokens")

    Args:
        seat: ``"manager"`` or ``"answerer"``.
        partner: acts for the other seat; may be replaced between episodes.
        team: arguments of `memory_team_v0`.

    Raises:
        ValueError: no such seat, or an argument that the team refuses.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 4}

    def __init__(self, seat: str, partner: Partner, *, render_mode: str | None = None, **team: Any) -> None:
        check_choice("seat", seat, SEATS)
        self.seat, self.partner = seat, partner
        self.render_mode = render_mode
        self.team = Team(render_mode=render_mode, **team)
        self.observation_space = self.team.observation_space
        self.action_space = self.team.action_spaces[seat]

    @property
    def other(self) -> str:
        """The partner's seat."""
        return ANSWERER if self.seat == MANAGER else MANAGER

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the partner plays until it is the seat's turn."""
        super().reset(seed=seed)
        info = self.team.reset(seed, options)
        _, over, later = self._let_partner_play(0.0, False)
        if over:
            raise ValueError(
                f"an episode without a turn of the {self.seat}: choose other arguments of the task."
            )
        return self.team.observe(self.seat), later or info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act; the partner plays until it is the seat's turn again."""
        reward, over, info = self.team.act(action)
        reward, over, later = self._let_partner_play(reward, over)
        return self.team.observe(self.seat), reward, over, False, later or info

    def _let_partner_play(self, reward: float, over: bool) -> tuple[float, bool, dict[str, Any]]:
        info: dict[str, Any] = {}
        while not over and self.team.turn == self.other:
            more, over, info = self.team.act(self.partner(self.team.observe(self.other)))
            reward += more
        return reward, over, info

    def render(self) -> str | None:
        """The transcript with the bank beside it."""
        return self.team.base.render()

    def close(self) -> None:
        """Close the task."""
        self.team.env.close()
