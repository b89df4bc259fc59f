"""Agents in processes of their own: what a protocol run lets a third party's agent see and touch.

The environment, its recorder and the results stay in the process that runs the shard. The agent's code is imported
and run in another one (`memgym.core.seat`), and between the two pass

- to the agent: its name and arguments, the task's id and arguments, a seed for its own random source, and then
  observation, reward, terminated, truncated and the `PUBLIC_INFO` of each step;
- from the agent: actions, as JSON, in the very form in which a trace keeps them; and at the end of an episode what
  it declares of its memory. Nothing that it sends is unpickled, evaluated or imported.

So an agent cannot read the hidden state, change the task or its scoring, play an episode twice, or stop the
run: what it does to its own process ends its own episode, with an error that the result names. It is no sandbox
of the operating system: such a process has its user's rights to files and network.
"""

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from memgym.core.agent import AgentCard
from memgym.core.channel import Channel, MessageTooLong
from memgym.core.env import MemoryEnv
from memgym.core.lines import MAX_LINE_BYTES, parse_json
from memgym.core.rollout import MAX_STEPS, agent_seed, close_episode, contains
from memgym.core.suites import Task
from memgym.core.trace import Episode, Recorder
from memgym.errors import AgentFailed, InvalidOperation

__all__ = ["PUBLIC_INFO", "Seat"]

PUBLIC_INFO = ("memory_bytes", "memory_ops", "refused")  # of the agent's own bank; never how it scored
STEP_SECONDS = 600.0  # for one action; a language model may think for minutes
START_SECONDS = 600.0  # to import the agent and load its weights
MAX_MESSAGE = 1 << 20  # bytes of one action
MAX_TRACE = MAX_LINE_BYTES - MAX_MESSAGE  # bytes of all actions of an episode: they have to fit in a line
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from memgym.core.seat import main
main(int(sys.argv[1]))
"""


class _Lost(Exception):
    """The agent's process is gone, silent, or no longer to be understood. The message is the episode's error."""


class Seat:
    """An agent in a process of its own, which is started when it is needed, and again after it has failed.

    Args:
        name: of the agent, as `memgym.agents.make_agent` takes it.
        config: its arguments.
        step_seconds: how long it may take for one action.
    """

    def __init__(self, name: str, config: Mapping[str, Any], step_seconds: float = STEP_SECONDS) -> None:
        self.name, self.config, self.step_seconds = name, dict(config), step_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._task: Task | None = None
        self._seated = False  # whether the process knows the task
        self._card: dict[str, Any] = {}
        self._used: dict[str, int] = {}  # by this process
        self._used_before: dict[str, int] = {}  # by those before it
        self.cpu_seconds = 0.0
        """CPU time that the agent declares for its last episode."""

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the agent's process, and those that it has started."""
        process, channel = self._process, self._channel
        self._process, self._channel, self._seated = None, None, False
        self._used_before, self._used = self.usage(), {}
        if channel is not None:
            channel.close()
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # ------------------------------------------------------------------ what it says of itself

    def card(self) -> dict[str, Any]:
        """The agent's card with all fields, and the fingerprint of its code.

        Raises:
            AgentFailed: it cannot be made; says what it raised.
        """
        try:
            self._start()
        except _Lost as lost:
            raise AgentFailed(f"agent {self.name!r} cannot be made: {lost}") from None
        return self._card

    def cannot_play(self, task: Task) -> str:
        """Why the agent cannot play a task, in its own words; ``""`` where it can.

        Raises:
            AgentFailed: it cannot be made, or fails when asked.
        """
        self.card()
        try:
            return str(self._ask("cannot play", _shown(task)))[:500]
        except _Lost as lost:
            raise AgentFailed(
                f"agent {self.name!r} cannot say whether it plays {task.name!r}: {lost}"
            ) from None

    def usage(self) -> dict[str, int]:
        """What language models have cost it since it was made, as it declares; see `memgym.core.agent.Agent`."""
        names = sorted(self._used | self._used_before)
        return {name: self._used.get(name, 0) + self._used_before.get(name, 0) for name in names}

    # ------------------------------------------------------------------ playing

    def sit_down(self, task: Task) -> None:
        """Name the task that the next episodes are of."""
        self._task, self._seated = _shown(task), False

    def play_episode(self, recorder: Recorder, seed: int, episode: int) -> Episode:
        """Let the agent play one episode; as `memgym.core.rollout.play_episode`, to the same bytes.

        Returns:
            What happened. Whatever the agent's process does wrong ends the episode with an error, and the next one
            is played by a new process.
        """
        first = recorder.start(seed, episode)
        self.cpu_seconds, agent_bytes = 0.0, 0
        try:
            self._start()
            if not self._seated:
                self._ask("task", self._task)
                self._seated = True
            agent_bytes, error = self._serve(recorder, first, agent_seed(seed, episode))
        except _Lost as lost:
            error = str(lost)
            self.close()
        except BaseException:
            self.close()  # in the middle of an episode it cannot be talked to about the next
            raise
        return close_episode(recorder, agent_bytes, error)

    def _serve(self, recorder: Recorder, first: tuple[Any, Any], own_seed: int) -> tuple[int, str | None]:
        """Answer what the agent asks of the environment, until it is done with the episode."""
        self._send("episode", own_seed)
        begun = over = False
        size = 0
        deadline = time.monotonic() + self.step_seconds
        while True:
            data = self._receive(deadline)
            kind, value = self._read(data)
            if kind == "end":
                return self._close(value, begun and over)
            if kind == "step" and begun and not over and recorder.record.length < MAX_STEPS:
                size += len(data)
                try:
                    if size > MAX_TRACE:
                        raise InvalidOperation(f"the episode's actions have more than {MAX_TRACE} bytes.")
                    observation, reward, terminated, truncated, info = _step(recorder, value)
                except InvalidOperation as refused:
                    self._send("refused", str(refused)[:500])
                    continue  # on the same deadline
                over = bool(terminated or truncated)
                self._send("seen", (observation, reward, terminated, truncated, _public(info)))
            elif kind == "reset" and not begun:
                begun = True
                self._send("seen", (first[0], _public(first[1])))
            elif kind in ("step", "reset"):
                self._send("refused", "an episode is reset once, then played to its end, and only once.")
                continue
            else:
                raise _Lost(f"AgentProtocol: it sent {kind!r} where an action was due")
            deadline = time.monotonic() + self.step_seconds

    def _close(self, value: Any, complete: bool) -> tuple[int, str | None]:
        """What the agent declares at the end of an episode, as far as it can be."""
        shape = {"agent_bytes": int, "cpu_s": float, "usage": dict}
        if not isinstance(value, dict) or value.keys() != {*shape, "error"}:
            raise _Lost("AgentProtocol: it did not end the episode as agreed")
        if any(type(value[name]) is not kind for name, kind in shape.items()):
            raise _Lost("AgentProtocol: it ended the episode with values of other types than agreed")
        agent_bytes, error = value["agent_bytes"], value["error"]
        if not 0 <= agent_bytes < 2**53:
            raise _Lost(f"AgentMemory: it declares {agent_bytes} bytes of memory")
        self.cpu_seconds = max(0.0, value["cpu_s"])
        for name, count in value["usage"].items():
            if type(count) is int and 0 <= count < 2**53:
                self._used[name] = max(count, self._used.get(name, 0))
        if error is None and not complete:
            raise _Lost("AgentStopped: it left the episode before the environment ended it")
        return agent_bytes, None if error is None else str(error)

    # ------------------------------------------------------------------ its process

    def _start(self) -> None:
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that all of it can be ended
            )
        self._channel = Channel(ours)
        try:
            self._card = _card_of(self._ask("make", (self.name, self.config)))
        except _Lost:
            self.close()
            raise

    def _ask(self, command: str, value: Any) -> Any:
        """Send a command that is answered with one message."""
        self._send(command, value)
        kind, answer = self._read(self._receive(time.monotonic() + START_SECONDS))
        if kind == "raised":
            raise _Lost(str(answer)[:500])
        if kind != command:
            raise _Lost(f"AgentProtocol: it answered {kind!r} to {command!r}")
        return answer

    def _send(self, kind: str, value: Any) -> None:
        assert self._channel is not None
        try:
            deadline = time.monotonic() + self.step_seconds
            self._channel.send(pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL), deadline)
        except TimeoutError:
            raise _Lost("AgentTimeout: it does not read what the environment sends") from None
        except OSError:
            raise self._died() from None

    def _receive(self, deadline: float) -> bytes:
        assert self._channel is not None
        try:
            return self._channel.receive(MAX_MESSAGE, deadline)
        except TimeoutError:
            raise _Lost(f"AgentTimeout: no action within {self.step_seconds:g} s") from None
        except MessageTooLong as error:
            raise _Lost(f"action refused: {error} bytes; an action has at most {MAX_MESSAGE}") from None
        except (EOFError, OSError):
            raise self._died() from None

    def _read(self, data: bytes) -> tuple[Any, Any]:
        try:
            kind, value = parse_json(data)
        except (ValueError, TypeError, RecursionError) as error:
            # what cannot be in a trace cannot be played
            raise _Lost(f"action refused: it cannot be written as JSON: {error}") from None
        return kind, value

    def _died(self) -> _Lost:
        assert self._process is not None
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return _Lost("AgentDied: the agent's process has hung up")
        return _Lost(f"AgentDied: the agent's process ended with {_exit(code)}")


def _step(recorder: Recorder, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
    """Apply an action that is one.

    Raises:
        InvalidOperation: it is not in the action space; nothing was applied.
    """
    # memgym's own environments check an action before anything else, and text tasks refuse single operations
    if not isinstance(recorder.unwrapped, MemoryEnv) and not contains(recorder.action_space, action):
        raise InvalidOperation(f"{str(action)[:60]} is not in {recorder.action_space}.")
    try:
        return recorder.step(action)
    except InvalidOperation:
        raise
    except Exception as error:
        if contains(recorder.action_space, action):
            raise
        raise InvalidOperation(str(error)) from None


def _shown(task: Task) -> Task:
    """What an agent is told of a task: its environment and arguments, as they are without beacon and canaries."""
    return Task("", "", task.env_id, task.kwargs)


def _public(info: Mapping[str, Any]) -> dict[str, Any]:
    return {name: info[name] for name in PUBLIC_INFO if name in info}


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _card_of(value: Any) -> dict[str, Any]:
    """The card that an agent's process sent, in the form of a card."""
    known = {field.name for field in fields(AgentCard)}
    if not isinstance(value, dict) or set(value) != known:
        raise _Lost("AgentProtocol: its card does not have the fields of an AgentCard")
    if not isinstance(value["name"], str) or not isinstance(value["extra"], dict):
        raise _Lost("AgentProtocol: its card has no name or no extra")
    return value
