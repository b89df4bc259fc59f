"""SlotActions: the bank as numbered slots, for agents that act with a few integers."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from memgym.envs.text import Phase, TextMemoryEnv
from memgym.errors import InvalidOperation
from memgym.memory import MemoryOp, as_action

__all__ = ["SlotActions"]

KEEP, WRITE, ERASE = range(3)
QUESTION = int(Phase.QUESTION)


class SlotActions(gym.Wrapper, RecordConstructorArgs):
    """`MultiDiscrete([op, slot])`: write the current item into a slot as it stands, erase a slot, or keep.

    With choice answers there is a third number, the index of the answer:
    `MultiDiscrete([op, slot, choice])`. Writing to a slot that is taken replaces its entry. A write that does
    not fit the budget is refused as everywhere (``info["refused"]``), and the slot keeps what it held.

    The observation's `memory` becomes a tuple of `num_slots` entries in slot order, an empty one where a slot
    is free; everything else stays.

    Args:
        env: a text task with `reader` set or choice answers; its whole bank must fit into `view_bytes`.
        num_slots: number of slots.
        num_choices: options of a choice question; 0 where a reader answers.

    Raises:
        ValueError: the environment's observations do not show its whole bank, or there is no way to answer.
    """

    def __init__(self, env: gym.Env, num_slots: int = 8, num_choices: int = 0) -> None:
        RecordConstructorArgs.__init__(self, num_slots=num_slots, num_choices=num_choices)  # for env.spec
        gym.Wrapper.__init__(self, env)
        task = env.unwrapped
        if not isinstance(task, TextMemoryEnv):
            raise ValueError(f"SlotActions goes around a text task, not around {type(task).__name__}.")
        if task.memory_budget is None or task.view_bytes < task.memory_budget:
            raise ValueError("SlotActions needs view_bytes >= memory_budget, so that every slot is in view.")
        if num_slots < 1 or num_choices < 0:
            raise ValueError("num_slots is at least 1 and num_choices at least 0.")
        if num_choices == 0 and task.reader is None:
            raise ValueError(
                "SlotActions needs num_choices (choice answers) or an environment with a reader."
            )
        self.num_slots, self.num_choices = num_slots, num_choices
        self._sizes = [3, num_slots, *([num_choices] if num_choices else [])]
        self.action_space = spaces.MultiDiscrete(self._sizes)
        self._ids: list[str] = [""] * num_slots
        self._now: dict[str, Any] = {}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, with all slots free."""
        self._ids = [""] * self.num_slots
        observation, info = self.env.reset(**kwargs)
        return self._in_slots(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Turn the integers into an operation or an answer, and step.

        Raises:
            InvalidOperation: not integers of the action space.
        """
        numbers = self._numbers(action)
        op, slot = numbers[0], numbers[1]
        if self._now["phase"] == QUESTION:
            choices = self._now["choices"]
            choice = numbers[2] if self.num_choices else 0
            given = as_action(answer=choices[choice] if choice < len(choices) else "")
        else:
            given = as_action(self._ops(op, slot))
        observation, reward, terminated, truncated, info = self.env.step(given)
        if given["ops"] and not info["refused"]:
            if op == ERASE:
                self._ids[slot] = ""
            elif not self._ids[slot]:
                self._ids[slot] = observation["memory"][-1][
                    "id"
                ]  # the whole bank is in view, the newest last
        return self._in_slots(observation), reward, terminated, truncated, info

    def _numbers(self, action: Any) -> list[int]:
        try:
            numbers = np.asarray(action)
        except ValueError:  # rows of several lengths
            numbers = np.array(None)
        if numbers.dtype.kind in "iu" and numbers.shape == (len(self._sizes),):
            values: list[int] = numbers.tolist()
            if all(0 <= value < size for value, size in zip(values, self._sizes, strict=True)):
                return values
        raise InvalidOperation(f"an action is one of {self.action_space}, not {str(action)[:60]}.")

    def _ops(self, op: int, slot: int) -> list[MemoryOp]:
        held = self._ids[slot]
        if op == ERASE and held:
            return [MemoryOp.delete(held)]
        if op == WRITE and self._now["text"]:
            speaker = f"{self._now['speaker']}: " if self._now["speaker"] else ""
            text, attrs = speaker + self._now["text"], {"time": self._now["time"]}
            return [MemoryOp.update(held, text, **attrs) if held else MemoryOp.add(text, **attrs)]
        return []

    def _in_slots(self, observation: dict[str, Any]) -> dict[str, Any]:
        shown = {entry["id"]: entry for entry in observation["memory"]}
        empty = {"id": "", "text": "", "attrs": "", "score": np.zeros((), np.float32)}
        self._now = observation
        return {**observation, "memory": tuple([shown.get(id, empty) for id in self._ids])}
