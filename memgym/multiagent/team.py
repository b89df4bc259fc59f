"""Two seats at one text task: who sees what, and whose turn it is."""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from memgym.core.arguments import check_choice, check_integer
from memgym.envs.text import Phase, TextMemoryEnv
from memgym.errors import InvalidOperation
from memgym.memory import MemoryOp, OpKind
from memgym.wrappers import SlotActions, TokenObservation

__all__ = ["ANSWERER", "MANAGER", "SEATS", "Team"]

MANAGER, ANSWERER = SEATS = ("manager", "answerer")
NOT_YOURS = "only the manager writes"

View = Literal["text", "tokens"]


class Team:
    """A text task whose items go to a manager and whose questions go to an answerer.

    Args:
        task: id of a text task.
        view: ``"text"`` for the task's own observations and actions; ``"tokens"`` for arrays of integers, as
            `TokenObservation` and `SlotActions` make them, with choice answers.
        num_slots: slots of the bank in view ``"tokens"``.
        num_choices: options of a question in view ``"tokens"``.
        render_mode: None, ``"ansi"`` or ``"human"``.
        task_kwargs: arguments of the task.

    Raises:
        ValueError: an argument outside its range, a task that is no text task or that has a reader.
    """

    def __init__(
        self,
        task: str = "memgym/DialogueMemory-v0",
        *,
        view: View = "text",
        num_slots: int = 8,
        num_choices: int = 4,
        render_mode: str | None = None,
        **task_kwargs: Any,
    ) -> None:
        check_choice("view", view, ("text", "tokens"))
        check_integer("num_slots", num_slots, 1, 1 << 10)
        check_integer("num_choices", num_choices, 2, 1 << 10)
        if view == "tokens":
            task_kwargs = {"answer_format": "choice", "num_choices": num_choices, **task_kwargs}
        made = gym.make(task, render_mode=render_mode, disable_env_checker=True, **task_kwargs)
        base = made.unwrapped
        if not isinstance(base, TextMemoryEnv):
            raise ValueError(f"task is a text task, not {task}.")
        if base.reader is not None:
            raise ValueError("reader is None: the answerer answers.")
        self.base: TextMemoryEnv = base
        self.view, self.num_slots = view, num_slots
        self.action_spaces: dict[str, spaces.Space[Any]]
        if view == "text":
            self.env: gym.Env[Any, Any] = made
            self.action_spaces = dict.fromkeys(SEATS, made.action_space)
        else:
            slots = SlotActions(made, num_slots, num_choices)
            self.env = TokenObservation(slots, memory_entries=num_slots, num_choices=num_choices)
            self.action_spaces = {
                MANAGER: spaces.MultiDiscrete([3, num_slots]),
                ANSWERER: spaces.Discrete(num_choices),
            }
        self.observation_space = self.env.observation_space
        self._idle = self._make_idle()
        self._observation: Any = self._idle

    def _make_idle(self) -> Any:
        """What a seat sees while it is not its turn: nothing, in phase 2."""
        if self.view == "text":
            empty: tuple[Any, ...] = ()
            texts = dict.fromkeys(("text", "speaker", "time"), "")
            lists = dict.fromkeys(("choices", "memory", "hits"), empty)
            return {"phase": np.int64(Phase.END), **texts, **lists, "bytes_left": np.array(0, np.int64)}
        assert isinstance(self.observation_space, spaces.Dict)
        arrays = {
            name: np.zeros(space.shape or (), np.int32) for name, space in self.observation_space.items()
        }
        arrays["phase"][Phase.END] = 1
        return arrays

    @property
    def turn(self) -> str:
        """Whose turn it is."""
        return ANSWERER if self._phase == Phase.QUESTION else MANAGER

    @property
    def _phase(self) -> int:
        phase = self._observation["phase"]
        return int(phase if self.view == "text" else phase.argmax())

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """Start an episode: the first info. Options that are no task's are left to others."""
        known = {name: value for name, value in (options or {}).items() if name == "episode"}
        self._observation, info = self.env.reset(seed=seed, options=known or None)
        return info

    def observe(self, seat: str) -> Any:
        """What a seat sees: the task's observation on its turn, otherwise nothing."""
        return self._observation if seat == self.turn else self._idle

    def act(self, action: Any) -> tuple[float, bool, dict[str, Any]]:
        """The action of whose turn it is: the shared reward, whether the episode is over, and the info."""
        refused: list[dict[str, Any]] = []
        if self.view == "tokens":
            action = [*np.asarray(action).flat, 0] if self.turn == MANAGER else [0, 0, action]
        elif self.turn == ANSWERER:
            action, refused = _reading_only(action)
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        if refused:
            gone = {one["op"] for one in refused}
            places = [i for i in range(len(gone) + len(action["ops"])) if i not in gone]
            others = [{**one, "op": places[one["op"]]} for one in info["refused"]]
            info["refused"] = sorted([*others, *refused], key=lambda one: one["op"])
        return float(reward), terminated or truncated, info


def _reading_only(action: Any) -> tuple[Any, list[dict[str, Any]]]:
    """An answerer's action without what would write, and what was refused of it."""
    if not isinstance(action, dict) or not isinstance(action.get("ops"), list | tuple):
        return action, []  # the task says what is wrong with it
    kept, refused = [], []
    for i, raw in enumerate(action["ops"]):
        try:
            is_read = MemoryOp.parse(raw).kind in (OpKind.SEARCH, OpKind.NOOP)
        except InvalidOperation:
            is_read = True  # refused by the task with its reason
        if is_read:
            kept.append(raw)
        else:
            refused.append({"op": i, "reason": NOT_YOURS})
    return {**action, "ops": tuple(kept)}, refused
