"""One run of a recipe by a memory manager: a warm-up, then reinforcement from the outcome, then measures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memgym.agents.llm.manager import MemoryManager, Shown
from memgym.baselines.manager.dialogues import Source
from memgym.baselines.manager.finish import run_model
from memgym.baselines.manager.learn import Sampler
from memgym.baselines.manager.measure import measure_baselines, measure_manager
from memgym.baselines.manager.models import TINY_FRAME, make_chat
from memgym.baselines.manager.network import Row
from memgym.baselines.manager.rollouts import (
    Sample,
    play,
    sample_local,
    sample_mem_alpha,
    sample_trajectories,
)
from memgym.baselines.manager.training import Plan, Record, rollout_dialogues, train_model
from memgym.baselines.manager.warm_up import Teacher, demonstrations
from memgym.baselines.recipe import Run
from memgym.memory import MemoryOp

__all__ = ["TEST_SEED", "make_manager", "run_manager", "teach_manager", "train_manager"]

TEST_SEED = 2_000_000  # training has the run's own

TINY_INSTRUCTION = "Reply with one operation."
FORM_PIECES = {
    "tools": (
        '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic"}}',
        '{"name": "new_memory_insert", "arguments": {"memory_type": "episodic"}}',
        '{"name": "memory_update", "arguments": {"memory_type": "semantic", "memory_id": "',
        '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "',
        '"}}',
    )
}  # a token each in a model that writes so
FRAME = ('{"op": "ADD"}', '{"speaker": "', '", "said": "', *TINY_FRAME, TINY_INSTRUCTION)  # a token each
SAMPLED = {"local": sample_local, "trajectory": sample_trajectories, "mem-alpha": sample_mem_alpha}
SAMPLE = Shown("Maya", "I live in Oslo.", (("m1", "Maya: I live in Rome."),))
SHORTEST = (
    MemoryOp.add(SAMPLE.text),
    MemoryOp.update("m1", SAMPLE.text),
    MemoryOp.delete("m1"),
    MemoryOp.noop(),
)


def make_manager(plan: Plan, seed: int) -> MemoryManager:
    """A manager that has learned nothing yet, or what its model brings along."""
    pieces = FORM_PIECES.get(plan.form, ())
    manager = make_chat(MemoryManager, plan, seed, FRAME + pieces, TINY_INSTRUCTION, form=plan.form)
    if plan.model == "tiny":  # it writes what is said as it stands: a longer reply is none
        manager.max_new_tokens = max(len(manager.reply(op, SAMPLE)) for op in SHORTEST)
    return manager


def train_manager(
    plan: Plan,
    env: Mapping[str, Any],
    seed: int,
    checkpoint: Path | None = None,
    curves: Path | None = None,
) -> tuple[MemoryManager, Record]:
    """Make a manager and let it learn.

    Args:
        plan: how.
        env: id and arguments of the environment, see `Source`.
        seed: of the model, the dialogues and the sampling.
        checkpoint: common beginning of the names of its files.
        curves: folder for TensorBoard.

    Returns:
        The manager, and what its rollouts came to.
    """
    manager = make_manager(plan, seed)
    return manager, teach_manager(manager, plan, Source(env), env, seed, checkpoint=checkpoint, curves=curves)


def teach_manager(
    manager: MemoryManager,
    plan: Plan,
    source: Source,
    env: Mapping[str, Any],
    seed: int,
    *,
    first: int = 0,
    checkpoint: Path | None = None,
    curves: Path | None = None,
) -> Record:
    """Let a manager learn from what `source` and who answers there make of its banks (`train_model`).

    Args:
        manager: who learns.
        plan: how.
        source: of the dialogues.
        env: what that was made of.
        seed: of the dialogues and the sampling.
        first: number of the first rollout; no other training with the same seed has the same.
        checkpoint: common beginning of the names of its files.
        curves: folder for TensorBoard.
    """

    def demonstrated(of_oracle: bool) -> list[Row]:
        teacher = Teacher(random=0.0, oracle=1.0) if of_oracle else Teacher(oracle=plan.oracle)
        return demonstrations(manager, source, teacher, plan.demonstrations, seed)

    sample = _sampler(plan, source, manager, seed, first)
    settings = {"env": dict(env), "plan": vars(plan)}
    return train_model(manager, plan, demonstrated, sample, seed, settings, checkpoint, curves)


def _sampler(plan: Plan, source: Source, manager: MemoryManager, seed: int, first: int) -> Sampler:
    def sample(number: int) -> list[Sample]:
        dialogues = rollout_dialogues(source, plan, seed, first + number)
        drawn = (seed << 20) + first + number
        if plan.credit in SAMPLED:
            return SAMPLED[plan.credit](manager, source, dialogues, plan.group_size, drawn)
        # as many plays as "trajectory" has
        return play(manager, source, dialogues * plan.group_size, 1, drawn)

    return sample


def run_manager(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds the arguments of `Plan`. Evaluations are greedy, of ``episodes`` dialogues that no training
    sees.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.

    Returns:
        Results by evaluation, each with its `Measured` and what the baselines score; the learning curve (of the
        rollouts, the mean outcome and the share of malformed replies), CPU seconds of training (None where it was
        interrupted), parameters, dialogues that were played to learn, versions.

    Raises:
        RecipeInvalid: an argument that the trainer, the model or the environment does not take.
    """

    def train() -> tuple[Plan, MemoryManager, Record]:
        plan = Plan(**run.train)
        return plan, *train_manager(plan, run.env, run.seed, checkpoint)

    def tell(made: tuple[Plan, MemoryManager, Record]) -> dict[str, Any]:
        plan, manager, record = made
        return {
            "curve": record.curve(),
            "params": sum(weights.numel() for weights in manager.model.parameters()),
            "env_steps": plan.played,
        }

    return run_model(run, checkpoint, train, lambda made, env: _evaluate(env, run.episodes, made[1]), tell)


def _evaluate(env: dict[str, Any], episodes: int, manager: MemoryManager) -> dict[str, Any]:
    """What the manager does in an environment, and what each baseline scores there."""
    source = Source(env)
    dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(episodes)]
    found = measure_manager(source, dialogues, manager).to_dict()
    return {**found, "baselines": measure_baselines(source, dialogues)}
