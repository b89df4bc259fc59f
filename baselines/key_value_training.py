"""One run of the study of memories on Key-Value Rewriting: what it is made of, how it trains and is measured."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memgym.agents.nn.forgetting import EmbeddingForgetting, draw_embedding_
from memgym.agents.nn.size import solve_size
from memgym.agents.sequence_model import SequenceModel
from memgym.envs.streams import SequenceBatches

__all__ = [
    "AXES",
    "BEYOND",
    "ENV_ID",
    "QUICK",
    "STREAM",
    "TRAINED",
    "VALIDATION_SEED",
    "VARIANTS",
    "Config",
    "Mixture",
    "batches_of",
    "measure",
    "memory_config",
    "train",
]

ENV_ID = "memgym/KeyValueRewriting-v0"
KEY_FIELD = 1  # of a token: operation, key, value
VALIDATION_SEED, TEST_SEED = 1_000_000, 2_000_000  # training has the run's own

STREAM = {"num_steps": 64, "num_keys": 16, "vocabulary": 8, "capacity": 4}
STREAM |= {"query_rate": 0.5, "overwrite_rate": 0.25, "delete_rate": 0.05}
# Overwrites take the place of GETs, so that the table grows as fast in all of these streams.
OVERWRITES = {
    f"{rate:g}": {
        "capacity": 8,
        "delete_rate": 0.0,
        "overwrite_rate": rate,
        "query_rate": round(0.9 - rate, 1),
    }
    for rate in (0.0, 0.2, 0.4, 0.6)
}
# A key that was never set has rested for ever, and would be all that a long delay lets a GET ask for.
RESTED = {"capacity": 8, "query_rate": 0.7, "overwrite_rate": 0.15, "delete_rate": 0.0, "absent_rate": 0.0}
TRAINED: dict[str, dict[str, dict[str, Any]]] = {
    "keys": {f"{n}": {"capacity": n} for n in (1, 2, 4, 8, 16)},
    "overwrite rate": OVERWRITES,
    "delay": {f"{n}": {**RESTED, "delay": n} for n in (0, 8, 16, 32)},
}
# Never trained on.
BEYOND: dict[str, dict[str, dict[str, Any]]] = {
    "operations": {f"{n}": {"num_steps": n} for n in (128, 256, 512, 1024)},
    "tokens": {"unseen": {"split": "test"}},
}
AXES = {**TRAINED, **BEYOND}
CHECKPOINT_EVERY = 100  # optimiser steps
VARIANTS = ("scratch", "pretrained", "ids", "ids-active", "ids-temporary")
# One store instead of several smaller ones holds most keys for its bytes; a short window leaves a step some bytes.
CONFIGS: dict[str, dict[str, Any]] = {
    **{name: {"heads": 1} for name in ("linattn", "delta", "gdn", "mlstm")},
    **{name: {"window": 16} for name in ("gtrxl", "transformer")},
    "bmojo": {"window": 4, "store": 4},
}


@dataclass(frozen=True)
class Config:
    """What a run is made of."""

    cell: str = "gdn"
    variant: str = "scratch"
    learning_rate: float = 2e-3
    seed: int = 0
    num_updates: int = 4000
    batch_size: int = 32
    size: int = 64
    """Width of the block."""
    state_nbytes: int = 4096
    """Most bytes of state."""
    max_params: int = 500_000
    """Most parameters of the memory: vectors of that many bytes would have millions."""
    eval_episodes: int = 512
    """Of 64 operations, or as many operations in longer episodes."""

    @property
    def key(self) -> str:
        """Name of the run's file."""
        return f"{self.cell}_{self.variant}_lr{self.learning_rate:g}_seed{self.seed}"


QUICK = Config(num_updates=60, batch_size=16, size=32, max_params=20_000, eval_episodes=64)


class Mixture:
    """Batches of all the streams that are trained on, in turn; no two share an episode's random numbers."""

    def __init__(self, batch_size: int, seed: int) -> None:
        settings = [setting for axis in TRAINED.values() for setting in axis.values()]
        self.sources = [batches_of(setting, batch_size, seed) for setting in settings]
        self.task = self.sources[0].task

    def batch(self, b: int) -> dict[str, np.ndarray[Any, Any]]:
        """Batch number `b`."""
        return self.sources[b % len(self.sources)].batch(b)


def batches_of(setting: dict[str, Any], batch_size: int, seed: int) -> SequenceBatches:
    """Batches of one kind of stream."""
    return SequenceBatches(ENV_ID, batch_size=batch_size, seed=seed, **{**STREAM, **setting})


def memory_config(config: Config) -> dict[str, Any]:
    """Arguments of the memory: the largest width within the limits.

    Raises:
        ValueError: its smallest width is too large.
    """
    fixed = CONFIGS.get(config.cell, {})
    limits = {"params": config.max_params, "state_nbytes": config.state_nbytes}
    return solve_size(config.cell, config.size, config.size, **limits, **fixed)


def train(config: Config, checkpoint: Path | None = None) -> SequenceModel:
    """Train one model; with a checkpoint, from where an interrupted run stopped.

    Args:
        config: the run.
        checkpoint: common beginning of the names of its files.
    """
    mixture = Mixture(config.batch_size, config.seed)
    inputs = "ids" if config.variant.startswith("ids") else "words"
    model = SequenceModel(
        mixture.task,
        config.cell,
        memory_config(config),
        inputs=inputs,
        size=config.size,
        seed=config.seed,
    )
    options = {"learning_rate": config.learning_rate, "checkpoint_every": CHECKPOINT_EVERY}
    forgetting, updates = None, config.num_updates
    if config.variant == "pretrained":
        updates -= updates // 2
        model.pretrain(mixture, config.num_updates // 2, checkpoint=_file(checkpoint, "foresight"), **options)
    elif config.variant in ("ids-active", "ids-temporary"):
        until = updates // 2 if config.variant == "ids-temporary" else None
        forgetting = EmbeddingForgetting(max(updates // 11, 1), until, seed=config.seed)
    model.fit(
        mixture,
        updates,
        forgetting=forgetting,
        forgotten_fields=[KEY_FIELD] if forgetting is not None else [],
        checkpoint=_file(checkpoint, "answers"),
        **options,
    )
    return model


def _file(checkpoint: Path | None, phase: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{phase}.safetensors")


def measure(model: SequenceModel, config: Config) -> dict[str, dict[str, float]]:
    """Accuracy on every kind of stream, on episodes that were not trained on."""
    found: dict[str, dict[str, float]] = {}
    for axis, settings in AXES.items():
        found[axis] = {}
        for name, setting in settings.items():
            judged = model
            if axis == "tokens" and model.inputs == "ids":
                # the words of the test split say nothing here, and no network could know its values' embeddings
                judged, setting = copy.deepcopy(model), {}
                draw_embedding_(judged.embeddings([KEY_FIELD])[0], TEST_SEED)
            steps = setting.get("num_steps", STREAM["num_steps"])
            episodes = max(config.eval_episodes * STREAM["num_steps"] // steps, 1)
            accuracy = judged.accuracy(batches_of(setting, episodes, TEST_SEED), 1)
            found[axis][name] = round(accuracy, 4)
    return found
