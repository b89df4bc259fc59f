"""memgym: can an agent keep, change and use what it saw?

Importing memgym registers its environments with Gymnasium in the namespace ``memgym/``::

    import gymnasium as gym
    import memgym

    env = gym.make("memgym/EndlessTMaze-v0", num_corridors=5)
"""

from importlib.util import find_spec
from pathlib import Path

from memgym.envs import register_envs
from memgym.version import VERSION

__all__ = ["__version__"]

__version__ = VERSION

# An installed memgym holds memgym.agents, memgym.baselines and memgym.leaderboard. In a checkout they stand
# beside this folder; through these links they can be imported there without installing anything.
_links = Path(__file__).parents[1] / ".typings" / "memgym"
if _links.is_dir() and find_spec("memgym.agents") is None:
    __path__.append(str(_links))

register_envs()
