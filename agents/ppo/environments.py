"""The environments to train in: made from an id, or taken as they are; and what a card says of them."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector

__all__ = ["env_id", "is_test_split", "make_vector_env", "memory_actions_of"]

KNOWN_MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)


def make_vector_env(
    env: str | VectorEnv | gym.Env, n_envs: int, env_kwargs: Mapping[str, Any] | None
) -> VectorEnv:
    """A vector environment to train in.

    Args:
        env: a registered id; a vector environment, which is taken as it is; or a single environment, which becomes
            a vector of one.
        n_envs: number of environments to make from an id.
        env_kwargs: arguments for an id.

    Raises:
        TypeError: something else, or arguments for an environment that exists already.
        ValueError: an autoreset mode in which the last observation of an episode is not told.
    """
    if isinstance(env, str):
        env = gym.make_vec(env, num_envs=n_envs, **(env_kwargs or {}))
    elif env_kwargs:
        raise TypeError("env_kwargs are for an environment's id; this environment exists already.")
    if isinstance(env, gym.Env):
        single = env
        env = SyncVectorEnv([lambda: single])
    if not isinstance(env, VectorEnv):
        raise TypeError(f"env is an id, a gymnasium Env or a gymnasium VectorEnv, not {type(env).__name__}.")
    mode = env.metadata.get("autoreset_mode")
    if mode not in KNOWN_MODES:
        raise ValueError(
            f"MemoryPPO needs autoreset mode NEXT_STEP or SAME_STEP in env.metadata['autoreset_mode'], not {mode}."
        )
    return env


def _layers(env: VectorEnv) -> list[Any]:
    """The environment and all that is wrapped inside it, scalar wrappers of the first one included."""
    layers: list[Any] = [env]
    while isinstance(layers[-1], VectorWrapper | gym.Wrapper | SyncVectorEnv):
        last = layers[-1]
        layers.append(last.envs[0] if isinstance(last, SyncVectorEnv) else last.env)
    return layers


def env_id(env: VectorEnv) -> str:
    """The registered id; ``""`` where there is none."""
    for layer in _layers(env):
        if (spec := getattr(layer, "spec", None)) is not None:
            return spec.id
    return ""


def memory_actions_of(env: VectorEnv) -> dict[str, Any] | None:
    """How memory actions were added to an environment, as arguments of `MemoryActions`; None where they were not."""
    for layer in _layers(env):
        if isinstance(layer, MemoryActionsVector | MemoryActions):
            return {"num_slots": layer.num_slots, "show": layer.show, "content": layer.content}
    return None


def is_test_split(env: VectorEnv) -> bool:
    """Whether an environment says of itself that it is there to be judged by."""
    return any(
        "test" in (getattr(layer, "split", None), getattr(getattr(layer, "arguments", None), "split", None))
        for layer in _layers(env)
    )
