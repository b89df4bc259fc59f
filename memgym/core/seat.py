"""The process of an agent: it makes the agent, and lets it play an environment that is elsewhere.

Started by `memgym.core.isolation.Seat`, which is on the other end of the connection and says what may pass.
"""

import json
import os
import pickle
import socket
import threading
import time
from typing import Any

import gymnasium as gym

from memgym.core.channel import Channel
from memgym.core.players import AgentSpec, card_of, usage_of, why_not, wrapped
from memgym.core.rollout import act_out
from memgym.core.task_env import make_env
from memgym.core.trace import plain
from memgym.errors import InvalidOperation

__all__ = ["RemoteEnv", "main"]

NO_LIMIT = 1 << 32  # of what the environment's side sends
WATCH_SECONDS = 2.0


class RemoteEnv(gym.Wrapper):
    """The task that is played, seen from the agent's process.

    Spaces, arguments and rules are those of a blank copy of the task that stands in this process, and `unwrapped`
    is that copy: it was never reset, so it knows nothing of any episode. `reset` and `step` go to the real one.

    Args:
        blank: the copy.
        channel: to the real one.
    """

    def __init__(self, blank: gym.Env, channel: Channel) -> None:
        super().__init__(blank)
        self._channel = channel

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin the episode that is played, whatever seed or options are asked for.

        Raises:
            InvalidOperation: it has begun before.
        """
        return self._ask("reset", None)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Send an action, and return what comes back.

        Raises:
            InvalidOperation: the environment refuses the action, or the episode is over.
        """
        return self._ask("step", action)

    def _ask(self, kind: str, value: Any) -> Any:
        try:
            message = json.dumps([kind, plain(value)], ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidOperation(f"an action is made of numbers, texts, lists and dicts: {error}") from None
        self._channel.send(message)
        kind, seen = pickle.loads(self._channel.receive(NO_LIMIT))  # from memgym itself
        if kind == "refused":
            raise InvalidOperation(seen)
        return seen


def main(connection: int) -> None:
    """Do what the other side asks until it hangs up.

    Args:
        connection: number of an open socket.
    """
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    channel = Channel(socket.socket(fileno=connection))
    agent: Any = None
    view: Any = None
    blank: tuple[Any, gym.Env] | None = None  # the last task, and its copy
    while True:
        try:
            command, value = pickle.loads(channel.receive(NO_LIMIT))
        except (EOFError, OSError):
            return
        try:
            answer: Any = None
            if command == "make":
                spec = AgentSpec(*value)
                agent = spec.make()
                answer = card_of(agent, spec)
            elif command == "cannot play":
                answer = why_not(agent, value)
            elif command == "task":
                if blank is None or blank[0] != value:
                    blank = value, make_env(value)
                view = wrapped(agent, RemoteEnv(blank[1], channel))
            elif command == "episode":
                command, answer = "end", _play(agent, view, value)
            message = json.dumps([command, answer]).encode()
        except Exception as raised:
            message = json.dumps(["raised", _text(f"{type(raised).__name__}: {raised}")]).encode()
        channel.send(message)


def _play(agent: Any, view: gym.Env, own_seed: int) -> dict[str, Any]:
    """One episode; what the agent declares of it."""
    cpu, agent_bytes = time.process_time(), 0
    try:
        agent_bytes, error = act_out(agent, view, own_seed)
    except Exception as raised:  # of the agent's own views, or of its seed
        error = f"{type(raised).__name__}: {raised}"
    return {
        "agent_bytes": agent_bytes,
        "error": None if error is None else _text(error),
        "cpu_s": time.process_time() - cpu,
        "usage": dict(usage_of(agent)),
    }


def _text(error: str) -> str:
    """What an agent raised may quote anything; what is sent is UTF-8."""
    return error[:500].encode("utf-8", "backslashreplace").decode()


def _end_with_parent(parent: int) -> None:
    """A stuck agent does not outlive the run."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
