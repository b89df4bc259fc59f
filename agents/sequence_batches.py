"""The episodes of a stream task as torch data, for training a sequence model."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from memgym.envs.streams.batches import SequenceBatches

__all__ = ["TorchBatches"]


class TorchBatches(IterableDataset[dict[str, torch.Tensor]]):
    """Batches as dicts of tensors, divided among the workers of a ``DataLoader``.

    Args:
        batches: what to iterate over.
    """

    def __init__(self, batches: SequenceBatches) -> None:
        super().__init__()
        self.batches = batches

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """The batches of this worker; all of them where there is but one process."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        for b in self.batches.numbers(first, step):
            yield {name: torch.from_numpy(array) for name, array in self.batches.batch(b).items()}
