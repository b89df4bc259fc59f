"""Agents as the protocol meets them: by name, asked about themselves, and seated at a task.

Agents of memgym itself play in the process of the environment. Everybody else's, and whatever they import, run in
a process of their own (`memgym.core.isolation`).
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym

from memgym.core.agent import AgentCard
from memgym.core.isolation import Seat
from memgym.core.result import canonical_json
from memgym.core.rollout import play_episode
from memgym.core.suites import Task
from memgym.core.task_env import make_env
from memgym.core.trace import Episode, Recorder
from memgym.registry import load_object

__all__ = [
    "AgentSpec",
    "Player",
    "card_of",
    "dismiss",
    "introduced",
    "seated",
    "usage_of",
    "why_not",
    "wrapped",
]

OWN = "memgym."


@dataclass(frozen=True)
class AgentSpec:
    """How to make an agent: a registered name or ``"module:attr"``, and its arguments.

    Attributes:
        name: as `memgym.agents.make_agent` takes it.
        config: the arguments.
        isolated: whether it plays in a process of its own; None for all but memgym's own agents.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    isolated: bool | None = None

    def make(self) -> Any:
        """Build it in this process."""
        # agents are named, not imported: memgym's core knows none of them
        return load_object("memgym.agents:make_agent")(self.name, **self.config)

    @property
    def is_isolated(self) -> bool:
        """Whether it plays in a process of its own."""
        if self.isolated is not None:
            return self.isolated
        known = load_object("memgym.agents:AGENTS")
        if self.name not in known and ":" not in self.name:
            return False  # a file of weights, which memgym's own code reads as data, or nothing that there is
        return not known.get(self.name, self.name).startswith(OWN)


class Player(Protocol):
    """An agent that can be asked about itself and let play."""

    cpu_seconds: float
    """CPU time of the last episode outside this process."""

    def card(self) -> dict[str, Any]:
        """The agent's card, with the fingerprint of its code."""
        ...

    def cannot_play(self, task: Task) -> str:
        """Why it cannot play a task; empty where it can."""
        ...

    def usage(self) -> Mapping[str, int]:
        """What language models have cost it so far."""
        ...

    def play_episode(self, recorder: Recorder, seed: int, episode: int) -> Episode:
        """Let it play an episode of the task that it is seated at."""
        ...


class _Here:
    """An agent in this process."""

    def __init__(self, spec: AgentSpec) -> None:
        self.spec, self.agent = spec, spec.make()
        self.view: Any = None
        self.cpu_seconds = 0.0

    def card(self) -> dict[str, Any]:
        return card_of(self.agent, self.spec)

    def cannot_play(self, task: Task) -> str:
        return why_not(self.agent, task)

    def usage(self) -> Mapping[str, int]:
        return usage_of(self.agent)

    def play_episode(self, recorder: Recorder, seed: int, episode: int) -> Episode:
        return play_episode(self.agent, self.view, recorder, seed, episode)


_last: dict[bytes, _Here | Seat] = {}  # at most one: making an agent can take longer than playing


@contextmanager
def introduced(spec: AgentSpec) -> Iterator[Player]:
    """An agent that is asked about itself, made anew; it may be seated next."""
    player = Seat(spec.name, spec.config) if spec.is_isolated else _Here(spec)
    try:
        yield player
    except BaseException:
        if isinstance(player, Seat):
            player.close()
        raise
    _keep(_key(spec, player.card()), player)


def seated(spec: AgentSpec, card: Mapping[str, Any], task: Task, recorder: Recorder) -> Player:
    """An agent that plays a task."""
    key = _key(spec, card)
    if key not in _last:
        _keep(key, Seat(spec.name, spec.config) if spec.is_isolated else _Here(spec))
    player = _last[key]
    if isinstance(player, Seat):
        player.sit_down(task)
    else:
        player.view = wrapped(player.agent, recorder)
    return player


def _key(spec: AgentSpec, card: Mapping[str, Any]) -> bytes:
    return canonical_json([spec.name, dict(spec.config), spec.is_isolated, dict(card)])


def _keep(key: bytes, player: _Here | Seat) -> None:
    dismiss()
    _last[key] = player


def dismiss() -> None:
    """Let go of the agent that was kept, and end its process where it has one."""
    for player in _last.values():
        if isinstance(player, Seat):
            player.close()
    _last.clear()


def card_of(agent: Any, spec: AgentSpec) -> dict[str, Any]:
    """The agent's card; one for an agent that has none, such as a plain Stable-Baselines3 model."""
    card = getattr(agent, "card", None)
    if not isinstance(card, AgentCard):
        card = AgentCard(name=spec.name.replace(":", "."), kind="rl", description=type(agent).__name__)
    return {
        **card.to_dict(),
        "config": dict(spec.config),
        "extra": {**card.extra, "code_sha256": _fingerprint(agent, spec)},
    }


def why_not(agent: Any, task: Task) -> str:
    """Why an agent cannot play a task; ``""`` where it can, or does not say."""
    ask = getattr(agent, "cannot_play", None)
    if ask is None:
        return ""
    with closing(make_env(task)) as env:
        return ask(env)


def usage_of(agent: Any) -> Mapping[str, int]:
    """What language models have cost an agent since it was made; empty for one that does not say."""
    count: Callable[[], Mapping[str, int]] | None = getattr(agent, "usage", None)
    return {} if count is None else count()


def wrapped(agent: Any, env: gym.Env) -> gym.Env:
    """An environment with the agent's own views around it."""
    return agent.wrap(env) if hasattr(agent, "wrap") else env


def _fingerprint(agent: Any, spec: AgentSpec) -> str:
    """sha256 of the source files and weights that an agent behaves by, as far as they can be told.

    It is on the card, so that shards of an agent that was changed meanwhile are not mixed with new ones.
    """
    agents = load_object("memgym.agents:AGENTS")
    parts = [agents.resolve(spec.name), type(agent), getattr(agent, "make_policy", None)]
    files = {Path(path) for path in getattr(agent, "files", ())}
    for part in parts:
        try:
            source = inspect.getsourcefile(inspect.unwrap(part)) if part is not None else None
        except TypeError:  # built in, or made at run time
            continue
        files |= {Path(source)} if source else set()
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()
