"""Reference players of the control tasks: they see observations only, and differ in what they remember.

- ``"belief"`` holds exactly what the observations tell: the ceiling without a look at the hidden state.
- ``"first-cue"`` keeps what it saw first and never rewrites it: retention alone.
- ``"cue-blind"`` remembers nothing of what it was shown: what a task yields without memory.

Adding a task: a file with its player here, and one line in `PLAYERS`. A player is made anew for every episode as
``Player(env, memory, seed)``; it reads ``env.arguments``, never the hidden state, and has `act` and `nbytes`.
"""

from pathlib import Path
from typing import Any, ClassVar, Protocol

import gymnasium as gym
import numpy as np

from memgym.core.agent import Agent, AgentCard
from memgym.registry import Registry

__all__ = ["PLAYERS", "Player", "ScriptedAgent", "belief", "cue_blind", "first_cue"]

PLAYERS = Registry(
    "scripted player",
    {
        "memgym/EndlessTMaze-v0": "memgym.agents.scripted.t_maze:TMazePlayer",
        "memgym/ColorCubes-v0": "memgym.agents.scripted.color_cubes:ColorCubesPlayer",
        "memgym/KeyValueRewriting-v0": "memgym.agents.scripted.key_value:KeyValuePlayer",
        "memgym/OrderRewriting-v0": "memgym.agents.scripted.order:OrderPlayer",
        "memgym/CountRewriting-v0": "memgym.agents.scripted.count:CountPlayer",
    },
)
DESCRIPTIONS = {
    "belief": "Exact belief from observations alone: the ceiling without a look at the hidden state.",
    "first-cue": "Keeps what it saw first for ever: retention without rewriting.",
    "cue-blind": "Remembers nothing of what it was shown: what the task yields without memory.",
}


class Player(Protocol):
    """What plays one episode."""

    def act(self, observation: Any) -> int:
        """The action; called once a step, in order."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of what it remembers of the episode."""
        ...


class ScriptedAgent(Agent):
    """Plays each task with that task's own player.

    Args:
        memory: ``"belief"``, ``"first-cue"`` or ``"cue-blind"``.
    """

    families: ClassVar[tuple[str, ...]] = ("control",)

    def __init__(self, memory: str) -> None:
        self.memory = memory
        self.card = AgentCard(name=memory, kind="reference", description=DESCRIPTIONS[memory])
        self.files = tuple(sorted(Path(__file__).parent.glob("*.py")))  # it behaves by these
        self._env: Any = None
        self._seed = 0

    def wrap(self, env: gym.Env) -> gym.Env:
        """Remember the environment whose arguments the player reads."""
        self._env = env.unwrapped
        return env

    def seed(self, seed: int) -> None:
        """For players that choose at random."""
        self._seed = seed

    def cannot_play(self, env: gym.Env) -> str:
        """Tasks without a player."""
        return "" if _env_id(env) in PLAYERS else "knows no rules for this task"

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The action, and the player as state."""
        if self._env is None:
            raise RuntimeError("call wrap(env) first, so that the agent knows which task it plays.")
        if state is None or episode_start:
            state = PLAYERS.resolve(_env_id(self._env))(self._env, self.memory, self._seed)
        return np.int64(state.act(observation)), state

    def memory_nbytes(self, state: Any) -> int:
        """Bytes of what the player remembers."""
        return 0 if state is None else state.nbytes


def _env_id(env: gym.Env) -> str:
    spec = env.unwrapped.spec
    return "" if spec is None else spec.id


def belief() -> ScriptedAgent:
    """Exact belief from observations alone: the ceiling without a look at the hidden state."""
    return ScriptedAgent("belief")


def first_cue() -> ScriptedAgent:
    """Keeps what it saw first for ever: retention without rewriting."""
    return ScriptedAgent("first-cue")


def cue_blind() -> ScriptedAgent:
    """Remembers nothing of what it was shown: what the task yields without memory."""
    return ScriptedAgent("cue-blind")
