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
        "locomo_audit": "memgym.datasets.locomo_audit:INFO",
        "babi_en_1k": "memgym.datasets.babi:INFO",
        "longmemeval_s": "memgym.datasets.longmemeval:LONGMEMEVAL_S",
        "longmemeval_m": "memgym.datasets.longmemeval:LONGMEMEVAL_M",
        "longmemeval_oracle": "memgym.datasets.longmemeval:LONGMEMEVAL_ORACLE",
        "memoryagentbench_fc": "memgym.datasets.memoryagentbench:CONFLICT_RESOLUTION",
        "memoryagentbench_ar": "memgym.datasets.memoryagentbench:ACCURATE_RETRIEVAL",
        "memoryagentbench_ttl": "memgym.datasets.memoryagentbench:TEST_TIME_LEARNING",
        "memoryagentbench_lru": "memgym.datasets.memoryagentbench:LONG_RANGE_UNDERSTANDING",
        "memoryagentbench_movies": "memgym.datasets.memoryagentbench:MOVIES",
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
