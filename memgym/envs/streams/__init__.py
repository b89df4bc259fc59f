"""Stream tasks: what they share in their scalar and vector form, and batches of them for sequence models."""

from memgym.envs.streams.batches import SequenceBatches
from memgym.envs.streams.generate import Stream, generate, keys_of
from memgym.envs.streams.task import StreamTask

__all__ = ["SequenceBatches", "Stream", "StreamTask", "generate", "keys_of"]
