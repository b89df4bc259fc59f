"""memgym: can an agent keep, change and use what it saw?

Importing memgym registers its environments with Gymnasium in the namespace ``memgym/``::

    import gymnasium as gym
    import memgym

    env = gym.make("memgym/EndlessTMaze-v0", num_corridors=5)
"""

from pathlib import Path

from memgym.envs import register_envs

__all__ = ["__version__"]

__version__ = "0.1.0"

# An installed memgym holds memgym.agents, memgym.baselines and memgym.leaderboard. In a checkout they stand
# beside this folder; with this line `import memgym.agents` works there without installing anything.
_checkout = Path(__file__).parents[1]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "agents" / "weights").is_dir():
    __path__.append(str(_checkout))

register_envs()
