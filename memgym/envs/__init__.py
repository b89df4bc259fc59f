"""The environments. Adding one: a file here and one line in `ENVIRONMENTS`."""

import gymnasium as gym

from memgym.registry import Registry

__all__ = ["ENVIRONMENTS", "VECTOR_ENVIRONMENTS", "register_envs"]

ENVIRONMENTS = Registry(
    "environment",
    {
        "memgym/EndlessTMaze-v0": "memgym.envs.t_maze:EndlessTMaze",
        "memgym/DialogueMemory-v0": "memgym.envs.dialogue:DialogueMemory",
        "memgym/LoCoMo-v0": "memgym.envs.locomo:LoCoMo",
    },
)
VECTOR_ENVIRONMENTS = Registry(
    "vector environment",
    {"memgym/EndlessTMaze-v0": "memgym.envs.t_maze_vector:EndlessTMazeVector"},
)


def register_envs() -> None:
    """Register every id with Gymnasium; nothing is imported until it is made."""
    for env_id, entry_point in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(
                id=env_id, entry_point=entry_point, vector_entry_point=VECTOR_ENVIRONMENTS.get(env_id)
            )
