"""The episodes of a stream task as batches for sequence models: same generator, same bytes."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.core.arguments import check_integer
from memgym.envs.backend import resolve_backend
from memgym.envs.streams.generate import generate, keys_of
from memgym.envs.streams.task import StreamTask
from memgym.errors import DependencyMissing
from memgym.registry import load_object
from memgym.rng import MASK64

__all__ = ["IGNORED", "SequenceBatches"]

IGNORED = -100  # torch's cross_entropy leaves these targets out


class SequenceBatches:
    """Batches of whole episodes for training a sequence model, without an environment in the loop.

    Row i of batch b is episode ``b * batch_size + i`` of `seed`, exactly as the environment plays it. A batch is
    a dict of arrays:

    | key | dtype, shape | meaning |
    | --- | --- | --- |
    | `tokens` | int64, (batch_size, T, fields) | what is shown, one id a field, 0 for nothing |
    | `targets` | int64, (batch_size, T) | the right answer, an action; -100 where nothing is asked |
    | `mask` | bool, (batch_size, T) | where an answer is due |

    ``task.observe(tokens)`` gives the environment's observations instead of ids. `vocabulary_sizes` is what the
    embeddings need; the ids of the test split are among them.

    Args:
        env_id: id of a stream task, e.g. ``"memgym/KeyValueRewriting-v0"``.
        batch_size: episodes in a batch.
        seed: of the episodes.
        num_batches: after which iteration ends; None for no end.
        backend: ``"numpy"``, ``"numba"`` or ``"auto"``; the results are the same bit for bit.
        arguments: of the task, `split` among them.

    >>> import memgym
    >>> batches = SequenceBatches("memgym/KeyValueRewriting-v0", batch_size=2, num_batches=10, num_steps=16)
    >>> [(name, array.shape) for name, array in next(iter(batches)).items()]
    [('tokens', (2, 16, 3)), ('targets', (2, 16)), ('mask', (2, 16))]
    """

    def __init__(
        self,
        env_id: str,
        batch_size: int = 64,
        seed: int = 0,
        num_batches: int | None = None,
        backend: str = "auto",
        **arguments: Any,
    ) -> None:
        check_integer("batch_size", batch_size, 1, 1 << 20)
        check_integer("seed", seed, 0, MASK64)
        if num_batches is not None:
            check_integer("num_batches", num_batches, 1, 1 << 62)
        task = getattr(gym.make(env_id, disable_env_checker=True, **arguments).unwrapped, "arguments", None)
        if not isinstance(task, StreamTask):
            raise ValueError(f"env_id is the id of a stream task, e.g. KeyValueRewriting, not {env_id!r}.")
        self.task: StreamTask = task
        self.batch_size, self.seed, self.num_batches = int(batch_size), int(seed), num_batches
        self.backend = resolve_backend(backend)

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Number of ids of each field of a token, 0 included."""
        return tuple(len(table) for table in self.task.tables)

    def batch(self, b: int) -> dict[str, NDArray[Any]]:
        """Batch number `b`; it needs none before it."""
        keys = keys_of(self.task, self.seed, b * self.batch_size, self.batch_size)
        stream = generate(self.task, keys, self.backend)
        mask = stream.answers >= 0
        return {
            "tokens": stream.tokens.astype(np.int64),
            "targets": np.where(mask, stream.answers, IGNORED).astype(np.int64),
            "mask": mask,
        }

    def numbers(self, first: int = 0, step: int = 1) -> Iterator[int]:
        """The numbers of the batches: all of them, or every `step`-th from `first` on."""
        return iter(count(first, step) if self.num_batches is None else range(first, self.num_batches, step))

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """All batches in order."""
        return map(self.batch, self.numbers())

    def as_torch(self) -> Any:
        """The same as a ``torch.utils.data.IterableDataset`` of tensors.

        Use it with ``DataLoader(dataset, batch_size=None, num_workers=n)``: worker w makes the batches w, w + n,
        w + 2n, ..., so each is made once.

        Raises:
            DependencyMissing: torch is not installed.
        """
        try:
            torch_batches = load_object("memgym.agents.sequence_batches:TorchBatches")
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise DependencyMissing.for_extra("torch", "agents", "SequenceBatches.as_torch()") from None
        return torch_batches(self)
