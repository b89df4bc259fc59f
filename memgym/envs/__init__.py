"""The environments. Adding one: a file here and one line in `ENVIRONMENTS`."""

import gymnasium as gym

from memgym.registry import Registry

__all__ = ["ENVIRONMENTS", "VECTOR_ENVIRONMENTS", "register_envs"]

ENVIRONMENTS = Registry(
    "environment",
    {
        "memgym/EndlessTMaze-v0": "memgym.envs.t_maze:EndlessTMaze",
        "memgym/ColorCubes-v0": "memgym.envs.color_cubes:ColorCubes",
        "memgym/KeyValueRewriting-v0": "memgym.envs.key_value:KeyValueRewriting",
        "memgym/OrderRewriting-v0": "memgym.envs.order:OrderRewriting",
        "memgym/CountRewriting-v0": "memgym.envs.count:CountRewriting",
        "memgym/DialogueMemory-v0": "memgym.envs.dialogue:DialogueMemory",
        "memgym/PoisonedDialogue-v0": "memgym.envs.poisoned_dialogue:PoisonedDialogue",
        "memgym/TaskRevision-v0": "memgym.envs.task_revision:TaskRevision",
        "memgym/LongHorizonQA-v0": "memgym.envs.long_horizon_qa:LongHorizonQA",
        "memgym/LoCoMo-v0": "memgym.envs.locomo:LoCoMo",
        "memgym/LongMemEval-v0": "memgym.envs.longmemeval:LongMemEval",
        "memgym/MemoryAgentBench-v0": "memgym.envs.memory_agent_bench:MemoryAgentBench",
        "memgym/BAbI-v0": "memgym.envs.babi:BAbI",
        "memgym/BABILong-v0": "memgym.envs.babilong:BABILong",
    },
)
VECTOR_ENVIRONMENTS = Registry(
    "vector environment",
    {
        "memgym/EndlessTMaze-v0": "memgym.envs.t_maze.vector:EndlessTMazeVector",
        "memgym/ColorCubes-v0": "memgym.envs.color_cubes.vector:ColorCubesVector",
        "memgym/KeyValueRewriting-v0": "memgym.envs.key_value.vector:KeyValueRewritingVector",
        "memgym/OrderRewriting-v0": "memgym.envs.order.vector:OrderRewritingVector",
        "memgym/CountRewriting-v0": "memgym.envs.count.vector:CountRewritingVector",
    },
)


def register_envs() -> None:
    """Register every id with Gymnasium; nothing is imported until it is made."""
    for env_id, entry_point in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(
                id=env_id, entry_point=entry_point, vector_entry_point=VECTOR_ENVIRONMENTS.get(env_id)
            )
