"""TextActions: one string in, for agents that speak."""

import json
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from memgym.errors import InvalidOperation
from memgym.memory.ops import MemoryOp, as_action
from memgym.spaces import UnicodeText

__all__ = ["TextActions", "parse_text_action"]

MAX_ACTION = 1 << 16  # characters
ANSWER = UnicodeText(MAX_ACTION)


class TextActions(gym.ActionWrapper, RecordConstructorArgs):
    """The action is one string of JSON, as a language model writes tool calls.

    Three forms are read: an object ``{"ops": [...], "answer": "..."}``, a list of operations, and a single
    operation. An operation is ``{"op": "ADD", "text": "..."}``, ``{"op": "UPDATE", "id": "m3", "text": "..."}``,
    ``{"op": "DELETE", "id": "m3"}``, ``{"op": "SEARCH", "text": "...", "attrs": {"k": 5}}`` or
    ``{"op": "NOOP"}``. Where the whole string is not JSON, its first fenced block is read. Anything else
    is a NOOP, counted in ``info["malformed"]`` with its reason in ``info["malformed_reason"]``.

    Args:
        env: a text task.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)  # for env.spec
        gym.ActionWrapper.__init__(self, env)
        self.action_space = UnicodeText(MAX_ACTION)
        self._malformed = 0
        self._reason = ""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, with the count of malformed actions at 0."""
        self._malformed, self._reason = 0, ""
        observation, info = self.env.reset(**kwargs)
        return observation, info | {"malformed": 0, "malformed_reason": ""}

    def step(self, action: str) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Read the string and step."""
        observation, reward, terminated, truncated, info = self.env.step(self.action(action))
        info |= {"malformed": self._malformed, "malformed_reason": self._reason}
        return observation, reward, terminated, truncated, info

    def action(self, action: str) -> dict[str, Any]:
        """The action that the string stands for; nothing at all where it cannot be read."""
        self._reason = ""
        try:
            return parse_text_action(action)
        except InvalidOperation as error:
            self._malformed += 1
            self._reason = str(error)
            return as_action()


def parse_text_action(text: str) -> dict[str, Any]:
    """Read one string as an action.

    Raises:
        InvalidOperation: not a string, too long, not JSON, or not one of the three forms.
    """
    if not isinstance(text, str) or len(text) > MAX_ACTION:
        raise InvalidOperation(f"an action is text of at most {MAX_ACTION} characters.")
    value = _read_json(text)
    answer: Any = ""
    if isinstance(value, dict) and ("op" in value or "kind" in value):
        value = [value]
    elif isinstance(value, dict):
        if not set(value) <= {"ops", "answer"}:
            raise InvalidOperation("expected {'ops': [...], 'answer': '...'}, a list of ops, or one op.")
        value, answer = value.get("ops", []), value.get("answer", "")
    if not isinstance(value, list) or not ANSWER.contains(answer):
        raise InvalidOperation("'ops' is a list and 'answer' is valid text.")
    return as_action([MemoryOp.parse(op) for op in value], answer)


def _read_json(text: str) -> Any:
    """The whole text as JSON, otherwise its first fenced block: JSON may well have backticks in it."""
    _, _, block = text.partition("```")
    for part in (text, block.partition("```")[0].strip().removeprefix("json")):
        try:
            return json.loads(part)
        except (ValueError, RecursionError):
            continue
    raise InvalidOperation(f"not JSON: {text.strip()[:60]!r}.")
