"""Real data: where it comes from, its licence and checksum, and how to read it.

Adding a dataset: a file here with an ``INFO`` and a loader, and one line in `DATASETS`; other packages add
theirs through the entry-point group ``memgym.datasets``. No data ships with memgym.
"""

from memgym.datasets.base import DatasetInfo
from memgym.errors import UnknownName
from memgym.registry import Registry

__all__ = ["DATASETS", "DatasetInfo", "get_dataset"]

DATASETS = Registry(
    "dataset",
    {
        "locomo10": "memgym.datasets.locomo:INFO",
        "babi_en_1k": "memgym.datasets.babi:INFO",
    },
    group="memgym.datasets",
)


def get_dataset(name: str) -> DatasetInfo:
    """The `DatasetInfo` of a registered name or a ``"module:attr"`` string.

    Raises:
        UnknownName: no such dataset; the message suggests near matches.
    """
    info = DATASETS.resolve(name)
    if not isinstance(info, DatasetInfo):
        raise UnknownName(f"{name!r} is a {type(info).__name__}, not a DatasetInfo.")
    return info
