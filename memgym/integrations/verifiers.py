"""A text task as an environment of `verifiers <https://github.com/PrimeIntellect-ai/verifiers>`_.

    pip install 'memgym[verifiers]'
    vf-eval memgym-verifiers -m MODEL -n 20 --env.taskset.env-id memgym/DialogueMemory-v0

Task i of the taskset is the episode with seed `first_seed` + i; there is no last one. Each message says what is said
or asked next and shows the memory; the model replies with operations as JSON. The reward is the mean score of the
episode's questions; ``malformed`` counts replies that could not be read. Arguments of the task are JSON:
``--env.taskset.arguments '{"reader": "extractive"}'``.

The context grows by every turn, so with ``reader=None`` a model may answer from what it has seen instead of from
what it has kept. A reader answers from the bank alone; then only what was kept counts.

Written for verifiers 0.4, which finds this module by the name ``memgym-verifiers``.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from memgym.errors import DependencyMissing
from memgym.integrations.text_play import INSTRUCTION, TextPlay

try:
    import verifiers.v1 as vf  # pyright: ignore[reportMissingImports] - no part of the development extra
except ImportError as error:
    raise DependencyMissing.for_extra("verifiers", "verifiers", "this integration") from error

__all__ = ["MemoryEnvironment", "MemoryTaskset"]


class MemoryTasksetConfig(vf.TasksetConfig):
    """Which task, as ``--env.taskset.*``."""

    env_id: str = "memgym/DialogueMemory-v0"
    """A text task of memgym's."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task."""
    first_seed: int = Field(0, ge=0)
    """Seed of the first episode."""


class MemoryTaskData(vf.TaskData):
    """An episode."""

    env_id: str
    arguments: dict[str, Any]
    seed: int


class MemoryTask(vf.Task[MemoryTaskData, vf.State, vf.TaskConfig]):
    """An episode as a task."""


class MemoryTaskset(vf.Taskset[MemoryTask, MemoryTasksetConfig]):
    """The episodes of a text task, one for each seed."""

    INFINITE = True

    def load(self) -> Iterator[MemoryTask]:
        """All seeds, from the first."""
        config, seed = self.config, self.config.first_seed
        while True:
            data = MemoryTaskData(
                name=f"{config.env_id}#{seed}",
                system_prompt=INSTRUCTION,
                env_id=config.env_id,
                arguments=config.arguments,
                seed=seed,
            )
            yield MemoryTask(data, config.task)
            seed += 1


class MemoryEnvironmentConfig(vf.EnvConfig):
    """The one seat: ``--env.manager.*``."""

    manager: vf.AgentConfig = vf.AgentConfig()


class MemoryEnvironment(vf.Env[MemoryEnvironmentConfig]):
    """Plays an episode with the manager as the one who replies."""

    async def run(self, task: Any, agents: Any) -> None:
        """One episode; ends with its score as the trace's reward."""
        play = TextPlay(task.data.env_id, **{"max_searches": 0, **task.data.arguments})
        message: str | None = play.start(task.data.seed)
        async with agents.manager.interaction(task) as interaction:
            while message is not None:
                segment = await interaction.turn(message)
                if segment.terminated:
                    break
                message = play.reply(segment.last_reply)
        interaction.trace.record_reward("score", play.finish())
        interaction.trace.record_metric("malformed", float(play.malformed))
