"""Recurrent PPO over any memory cell.

>>> from memgym.agents.ppo import MemoryPPO
>>> model = MemoryPPO("lstm", "memgym/EndlessTMaze-v0", n_envs=8, seed=0)
>>> model.card.extra["cell"]
'lstm'
"""

from typing import Any

from memgym.agents.ppo.errors import ObservationInvalid, RewardInvalid, TrainingDiverged
from memgym.agents.ppo.memory_ppo import MemoryPPO
from memgym.agents.ppo.privileged import PrivilegedTargets, privileged_targets

__all__ = [
    "MemoryPPO",
    "ObservationInvalid",
    "PrivilegedTargets",
    "RewardInvalid",
    "TrainingDiverged",
    "load_agent",
    "privileged_targets",
]


def load_agent(weights: str, **config: Any) -> MemoryPPO:
    """A trained agent from a checkpoint, for `make_agent("memgym.agents.ppo:load_agent", weights=...)`.

    Args:
        weights: as given to `MemoryPPO.save`.
        **config: see `MemoryPPO.load`.

    Raises:
        WeightsInvalid: the files are missing, damaged, or of another network.
    """
    return MemoryPPO.load(weights, **config)
