"""The episodes of a stream task as torch data, for training a sequence model."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from memgym.core.arguments import check_integer
from memgym.envs.streams.batches import SequenceBatches

__all__ = ["TorchBatches"]


class TorchBatches(IterableDataset[dict[str, torch.Tensor]]):
    """Batches as dicts of tensors, divided among the workers of a ``DataLoader``.

    A pass gives `num_batches` batches, the same each time, as of any data set. Episodes are made, not stored, so
    training need not see one twice: ``set_epoch(e)`` before pass e makes it one of new episodes (or leave
    `num_batches` out, and the one pass has no end).

    Args:
        batches: what to iterate over.
    """

    def __init__(self, batches: SequenceBatches) -> None:
        super().__init__()
        self.batches = batches
        # in shared memory, so that workers that stay from pass to pass see it change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass the batches from number ``epoch * num_batches`` on.

        Raises:
            ValueError: the batches have no end, so there is but one pass; or `epoch` is no integer from 0 on.
        """
        check_integer("epoch", epoch, 0, 1 << 40)
        if self.batches.num_batches is None:
            raise ValueError("set_epoch needs num_batches: without it the first pass has no end.")
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """The batches of this worker; all of them where there is but one process."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        before = int(self._epoch) * (self.batches.num_batches or 0)
        for b in self.batches.numbers(first, step):
            yield {name: torch.from_numpy(a) for name, a in self.batches.batch(before + b).items()}
