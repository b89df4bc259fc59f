"""The environment that a task of a suite names."""

from typing import Any

import gymnasium as gym

from memgym.core.suites import Task
from memgym.wrappers.canary import Canary
from memgym.wrappers.normalise import make_peer, peer_of

__all__ = ["family_of", "make_env"]


def make_env(task: Task) -> gym.Env:
    """The environment of a task.

    Raises:
        DependencyMissing: it is another package's, which is not installed.
    """
    if peer := peer_of(task.env_id):
        return make_peer(peer, task.env_id, **task.kwargs)
    kwargs = {**task.kwargs, "canary": True} if task.canary and task.is_text else task.kwargs
    env = gym.make(task.env_id, disable_env_checker=True, **kwargs)
    return Canary(env) if task.canary and not task.is_text else env


def family_of(env: gym.Env) -> Any:
    """The task's family; an environment that names none counts as a control task."""
    return getattr(env.unwrapped, "family", "control")
