"""What `env_throughput.py` measures: each function here makes an environment and a way to step it.

A runner steps its environment for about so many CPU seconds and says how many steps that were. Actions are
drawn beforehand, and starting the next episode counts as part of stepping. These functions run in the
worker processes, which import what they measure only then. The JAX ones are in `env_jax_runners.py`.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from memgym.envs import ENVIRONMENTS

__all__ = ["Runner", "bare_class", "copy_limit", "cue_follower", "runner", "scalar_env", "vector_env"]

Runner = Callable[[float], tuple[int, float]]
"""Takes the CPU seconds wanted; gives the environment steps done and the CPU seconds they took."""

SCALAR_CHUNK = 512  # steps between two looks at the clock, which costs a microsecond
VECTOR_CHUNK = 16


def runner(play: Callable[[], int], prepare: Callable[[], Any] = lambda: None) -> Runner:
    """Call `play`, which gives the steps it did, until the CPU time is used up; `prepare` is not timed."""

    def run(cpu_seconds: float) -> tuple[int, float]:
        steps, used = 0, 0.0
        while used < cpu_seconds:
            prepare()
            start = time.process_time()
            steps += play()
            used += time.process_time() - start
        return steps, used

    return run


_drawn: dict[tuple[str, int], list[Any]] = {}


def random_actions(space: gym.Space[Any], single: gym.Space[Any], num_envs: int, count: int) -> list[Any]:
    """Samples of `space`, shared between environments of equal spaces so that all fit into memory."""
    key = (f"{single} {num_envs}", count)
    if key not in _drawn:
        space.seed(0)
        _drawn[key] = [space.sample() for _ in range(count)]
    return _drawn[key]


# ---------------------------------------------------------------------- one environment


def bare_class(env_id: str, arguments: dict[str, Any]) -> Runner:
    """One environment of memgym, the class as it stands."""
    return step_scalar(ENVIRONMENTS.resolve(env_id)(**arguments))


def scalar_env(module: str, env_id: str, arguments: dict[str, Any]) -> Runner:
    """One environment as ``gym.make`` gives it, with its default wrappers; importing `module` registers it."""
    importlib.import_module(module)
    return step_scalar(gym.make(env_id, **arguments))


def step_scalar(env: gym.Env[Any, Any]) -> Runner:
    actions = random_actions(env.action_space, env.action_space, 1, SCALAR_CHUNK)
    env.reset(seed=0)
    step, reset = env.step, env.reset

    def play() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        return SCALAR_CHUNK

    return runner(play)


# ---------------------------------------------------------------------- many at once


def make_vector(
    module: str, env_id: str, num_envs: int, how: str, mode: str | None, arguments: dict[str, Any]
) -> gym.vector.VectorEnv:
    """What ``gym.make_vec`` gives; `how` is ``"sync"`` or ``"vector_entry_point"``."""
    importlib.import_module(module)
    given = dict(arguments)
    if mode is not None:
        given["autoreset_mode"] = AutoresetMode[mode]
    return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode=how, **given)


def vector_env(
    module: str, env_id: str, num_envs: int, how: str, mode: str | None, arguments: dict[str, Any]
) -> Runner:
    """A vector environment under random actions; `mode` None leaves the autoreset mode as it is."""
    env = make_vector(module, env_id, num_envs, how, mode, arguments)
    actions = random_actions(env.action_space, env.single_action_space, num_envs, VECTOR_CHUNK)
    env.reset(seed=0)
    return play_actions(env, actions)


def play_actions(
    env: gym.vector.VectorEnv, actions: list[Any], prepare: Callable[[], Any] = lambda: None
) -> Runner:
    step, steps = env.step, len(actions) * env.num_envs

    def play() -> int:
        for action in actions:
            step(action)
        return steps

    return runner(play, prepare)


def cue_follower(env_id: str, num_envs: int, arguments: dict[str, Any]) -> Runner:
    """Vector T-Maze with fixed corridors under the actions that follow the cue, recorded beforehand.

    The recording is one whole episode of every environment and the step that starts the next; the reset
    before each pass, which brings the very same episodes back, is not timed.
    """
    env = make_vector("memgym", env_id, num_envs, "vector_entry_point", "NEXT_STEP", arguments)
    observation, infos = env.reset(seed=0)
    remembered = np.zeros(num_envs, np.int64)
    actions = []
    for _ in range(arguments["num_corridors"] * (arguments["corridor_length"] + 1)):
        shown = observation[:, 1:3].any(axis=1)
        remembered = np.where(shown, 1 + (observation[:, 2] > 0), remembered)
        actions.append(np.where(observation[:, 0] == 1.0, remembered, 0))
        observation, _, _, _, infos = env.step(actions[-1])
    if not infos["success"].all():
        raise RuntimeError(f"{env_id}: following the cue did not succeed everywhere, so nothing is measured.")
    actions.append(np.zeros(num_envs, np.int64))
    return play_actions(env, actions, prepare=lambda: env.reset(seed=0))


def copy_limit(num_envs: int) -> Runner:
    """Nothing but filling what one T-Maze step hands out, once a step, by ``np.copyto``.

    Three float32 of observation, a float64 of reward and two flags, and the actions read as bytes.
    """
    n, flags = num_envs, [(num_envs, np.bool_)] * 2
    kinds: list[tuple[Any, Any]] = [((3, n), np.float32), (n, np.float64), *flags, (n, np.int8)]
    pairs = [(np.zeros(shape, kind), np.ones(shape, kind)) for shape, kind in kinds]

    def play() -> int:
        for _ in range(VECTOR_CHUNK):
            for target, source in pairs:
                np.copyto(target, source)
        return VECTOR_CHUNK * num_envs

    return runner(play)
