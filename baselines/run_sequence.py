"""One run of a recipe by SequenceModel: train on a mixture of streams, tell where it answers and where it breaks."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import memgym  # noqa: F401
from memgym.agents.nn.forgetting import EmbeddingForgetting, draw_embedding_
from memgym.agents.nn.size import solve_size
from memgym.agents.sequence_model import Inputs, SequenceModel
from memgym.baselines.checkpoints import timed
from memgym.baselines.recipe import Run, run_named
from memgym.core.arguments import check_number
from memgym.core.evaluate import versions
from memgym.envs.streams import SequenceBatches

__all__ = ["Mixture", "Plan", "measure", "run_sequence", "train_model"]

VALIDATION_SEED, TEST_SEED = 1_000_000, 2_000_000  # training has the run's own
CHECKPOINT_EVERY = 100  # optimiser steps
POINTS = 40  # of the learning curve


@dataclass(frozen=True)
class Plan:
    """A recipe's ``train`` table for this trainer.

    Args:
        cell: name of a registered memory.
        learning_rate: peak of the schedule.
        num_updates: optimiser steps, those of self-pretraining among them.
        batch_size: episodes in a batch.
        size: width of the block.
        num_blocks: blocks, each with a memory.
        module_kwargs: arguments of the memory.
        state_nbytes: most bytes of state of all memories together; the memory then gets the greatest width within.
        max_params: most parameters of a memory, likewise.
        inputs: ``"words"`` or ``"ids"``, see `SequenceModel`.
        pretraining: share of the updates that are spent on foreseeing the next operation.
        forgetting: arguments of `EmbeddingForgetting`; None for never.
        key_fields: with ids, the fields of a token that are forgotten, and drawn anew to ask for unseen ones.
        streams: environments that are trained on in turn, as changes of the recipe's; none for that one alone.

    Raises:
        ValueError: an argument outside its range.
    """

    cell: str
    learning_rate: float
    num_updates: int
    batch_size: int = 32
    size: int = 64
    num_blocks: int = 1
    module_kwargs: Mapping[str, Any] = field(default_factory=dict)
    state_nbytes: int | None = None
    max_params: int | None = None
    inputs: Inputs = "words"
    pretraining: float = 0.0
    forgetting: Mapping[str, Any] | None = None
    key_fields: Sequence[int] = ()
    streams: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        check_number("pretraining", self.pretraining, 0.0, 0.99)

    def memory_config(self) -> dict[str, Any]:
        """Arguments of the memory: as given, or the largest width within the limits.

        Raises:
            ValueError: its smallest width is too large.
        """
        if self.state_nbytes is None and self.max_params is None:
            return dict(self.module_kwargs)
        nbytes = None if self.state_nbytes is None else self.state_nbytes // self.num_blocks
        limits = {"params": self.max_params, "state_nbytes": nbytes}
        return solve_size(self.cell, self.size, self.size, **limits, **self.module_kwargs)


class Mixture:
    """Batches of several streams in turn; no two share an episode's random numbers.

    Args:
        env: id and arguments of the environment.
        streams: changes of its arguments, each a stream; none for the environment as it is.
        batch_size: episodes in a batch.
        seed: of the episodes.
    """

    def __init__(
        self, env: Mapping[str, Any], streams: Sequence[Mapping[str, Any]], batch_size: int, seed: int
    ) -> None:
        self.sources = [_batches({**env, **stream}, batch_size, seed) for stream in streams or [{}]]
        self.task = self.sources[0].task

    def batch(self, b: int) -> dict[str, NDArray[Any]]:
        """Batch number `b`."""
        return self.sources[b % len(self.sources)].batch(b)


def _batches(env: Mapping[str, Any], batch_size: int, seed: int) -> SequenceBatches:
    arguments = dict(env)
    return SequenceBatches(arguments.pop("id"), batch_size=batch_size, seed=seed, **arguments)


def run_sequence(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds the arguments of `Plan`. Evaluations are of episodes that no training sees; ``episodes`` counts
    those of the recipe's own length, of longer ones there are fewer. A further mixture like that of the training is
    there to choose by: its accuracy is ``validation``. A loss that is not finite is a result too: it scores nothing.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.

    Returns:
        Results by evaluation, each with what one answer to everything scores; the validation score, the learning
        curve (updates, mean loss since the last point), CPU seconds of training (None where it was interrupted),
        parameters, bytes of memory, steps read, the memory's arguments and how it erases, versions.

    Raises:
        RecipeInvalid: an argument that the trainer, the memory or the environment does not take.
    """
    torch.set_num_threads(1)
    with run_named(run):
        plan = Plan(**run.train)
        for env in run.evaluations:  # what it could not be judged in is refused before it learns
            _batches(env, 1, TEST_SEED)
        (model, losses, failed), seconds = timed(lambda: train_model(plan, run, checkpoint), checkpoint)
        mixture = Mixture(run.env, plan.streams, max(run.episodes // 4, 1), VALIDATION_SEED)
        validation = 0.0 if failed else model.accuracy(mixture, len(mixture.sources))
        results = measure(model, plan, run, failed=bool(failed))
    memory = model.backbone.memories[0]
    content = {
        "results": results,
        "validation": round(validation, 4),
        "curve": _curve(losses),
        "cpu_seconds": seconds,
        "params": sum(p.numel() for p in model.parameters()),
        "state_nbytes": model.state_nbytes(),
        "env_steps": plan.num_updates * plan.batch_size * mixture.task.num_steps,
        "memory": model.description["config"],
        "erase": memory.spec.erase,
        "versions": {**versions(), "torch": torch.__version__},
        **({"failed": failed} if failed else {}),
    }
    return content


def train_model(plan: Plan, run: Run, checkpoint: Path | None = None) -> tuple[SequenceModel, Tensor, str]:
    """Train one model; with a checkpoint, from where an interrupted run stopped.

    Args:
        plan: how.
        run: on which streams, from which seed.
        checkpoint: common beginning of the names of its files.

    Returns:
        The model, the loss of every update that was made for the answers, and why it failed, ``""`` if it did not.
    """
    mixture = Mixture(run.env, plan.streams, plan.batch_size, run.seed)
    model = SequenceModel(
        mixture.task,
        plan.cell,
        plan.memory_config(),
        inputs=plan.inputs,
        size=plan.size,
        num_blocks=plan.num_blocks,
        seed=run.seed,
    )
    options: dict[str, Any] = {
        "learning_rate": plan.learning_rate,
        "checkpoint_every": CHECKPOINT_EVERY,
        "progress_bar": False,  # `memgym train` has one for all runs
    }
    foresight, answers = (None, None) if checkpoint is None else _files(checkpoint)
    first = round(plan.pretraining * plan.num_updates)
    forgetting = None if plan.forgetting is None else EmbeddingForgetting(**plan.forgetting)
    try:
        if first:
            model.pretrain(mixture, first, checkpoint=foresight, **options)
        losses = model.fit(
            mixture,
            plan.num_updates - first,
            forgetting=forgetting,
            forgotten_fields=plan.key_fields if forgetting is not None else (),
            checkpoint=answers,
            **options,
        )
    except FloatingPointError as error:
        return model, torch.zeros(0), str(error)
    return model, losses, ""


def measure(model: SequenceModel, plan: Plan, run: Run, *, failed: bool = False) -> list[dict[str, Any]]:
    """Accuracy in every evaluation of a run, on episodes that were not trained on; nothing where training failed."""
    results = []
    for env in run.evaluations:
        judged, shown = model, dict(env)
        if model.inputs == "ids" and plan.key_fields and env.get("split") == "test":
            # no network could know the answers' ids of the test split: keys that look new stand for it
            judged, shown["split"] = copy.deepcopy(model), "train"
            for embedding in judged.embeddings(plan.key_fields):
                draw_embedding_(embedding, TEST_SEED)
        source = _batches(shown, 1, TEST_SEED)
        usual = _batches(run.env, 1, TEST_SEED).task.num_steps
        episodes = max(run.episodes * usual // source.task.num_steps, 1)
        score = 0.0 if failed else judged.accuracy(_batches(shown, episodes, TEST_SEED), 1)
        floor = _no_memory(json.dumps(shown, sort_keys=True))
        results.append({"env": env, "score": round(score, 4), "no_memory": floor})
    return results


@cache
def _no_memory(env: str) -> float:
    """Best accuracy without memory: one answer to everything."""
    task: Any = _batches(json.loads(env), 1, 0).task
    return round(float(max(task.constant_scores)), 4)


def _curve(losses: Tensor) -> dict[str, list[float]]:
    parts = np.array_split(losses.numpy(), min(POINTS, len(losses))) if len(losses) else []
    ends = np.cumsum([len(part) for part in parts])
    return {"updates": ends.tolist(), "loss": [round(float(part.mean()), 4) for part in parts]}


def _files(checkpoint: Path) -> tuple[Path, Path]:
    """Checkpoints of the two phases."""
    first, second = (
        checkpoint.with_name(f"{checkpoint.name}.{phase}.safetensors") for phase in ("foresight", "answers")
    )
    return first, second
