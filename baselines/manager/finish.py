"""What every training of a language model here ends in: what it was made with, a run's result."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers

from memgym.baselines.checkpoints import timed
from memgym.baselines.manager.dialogues import Source
from memgym.baselines.recipe import Run, run_named
from memgym.core.evaluate import versions

__all__ = ["made_with", "run_model"]

Made = TypeVar("Made")


def made_with() -> dict[str, str]:
    """Versions that a trained language model depends on."""
    return {**versions(), "torch": torch.__version__, "transformers": transformers.__version__}


def run_model(
    run: Run,
    checkpoint: Path,
    train: Callable[[], Made],
    measure: Callable[[Made, dict[str, Any]], dict[str, Any]],
    tell: Callable[[Made], Mapping[str, Any]],
) -> dict[str, Any]:
    """Train on one thread and evaluate: the result of a recipe's run.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.
        train: gives what was trained.
        measure: what that does in an environment, with its ``accuracy``.
        tell: learning curves, parameters, and dialogues that were played to learn.

    Raises:
        RecipeInvalid: an argument that the trainer, the model or the environment does not take.
    """
    torch.set_num_threads(1)
    with run_named(run):
        for env in run.evaluations:  # what it could not be judged in is refused before it learns
            Source(env)
        made, seconds = timed(train, checkpoint)
        found = [measure(made, env) for env in run.evaluations]
    return {
        "results": [
            {"env": env, "score": one["accuracy"]} for env, one in zip(run.evaluations, found, strict=True)
        ],
        "measured": found,
        "cpu_seconds": seconds,
        "state_nbytes": 0,  # all that it remembers is in the bank
        "versions": made_with(),
        **tell(made),
    }
