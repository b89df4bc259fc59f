"""The runners of `env_throughput.py` that need JAX: gymnax, and the T-Maze rules of `jax_t_maze`.

JAX gets its best case: whole stretches of steps are one compiled `scan`, and, but for the form that says so,
nobody receives the observations, which are only folded into a number so that they are computed.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import jax_t_maze
from env_runners import Runner, runner

__all__ = ["gymnax_env", "t_maze"]

SCAN_STEPS = 64
NUM_CORRIDORS, CORRIDOR_LENGTH = 5, 10


def scanned(
    advance: Callable[[Any, Any], tuple[Any, Any]], carry: Any, actions: Any, keep: bool = False
) -> Runner:
    """Step by a compiled scan over `actions` (steps, num_envs); `advance` gives the carry and its output.

    The outputs are kept, as a rollout would, or folded into one number a step.
    """

    @jax.jit
    def stretch(carry: Any, actions: Any) -> tuple[Any, Any]:
        def one(carry: Any, action: Any) -> tuple[Any, Any]:
            carry, out = advance(carry, action)
            return carry, out if keep else sum(jnp.sum(leaf) for leaf in jax.tree.leaves(out))

        return jax.lax.scan(one, carry, actions)

    box = [carry]

    def play() -> int:
        box[0], outputs = stretch(box[0], actions)
        jax.block_until_ready(outputs)
        return actions.size

    return runner(play)


def gymnax_env(name: str, num_envs: int) -> Runner:
    """An environment of gymnax under jit, vmap and scan."""
    import gymnax  # pyright: ignore[reportMissingImports]

    env, params = gymnax.make(name)
    keys = jax.random.split(jax.random.key(0), num_envs)
    _, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    step = jax.vmap(env.step, in_axes=(0, 0, 0, None))

    def advance(carry: Any, action: Any) -> tuple[Any, Any]:
        state, key = carry
        key, now = jax.random.split(key)
        observation, state, *rest = step(jax.random.split(now, num_envs), state, action, params)
        return (state, key), (observation, rest[:-1])  # without the info

    size = (SCAN_STEPS, num_envs)
    actions = jax.random.randint(jax.random.key(1), size, 0, env.num_actions)
    return scanned(advance, (state, jax.random.key(2)), actions)


def t_maze(form: str, num_envs: int) -> Runner:
    """Our rules in JAX.

    Args:
        form: ``"batched"`` (one call of the generator a step, scanned), ``"kept"`` (the same, and every
            observation, reward and flag is stored), ``"keyed"`` (a key for each environment, vmapped and
            scanned) or ``"called"`` (batched, each step called from Python).
        num_envs: number of mazes.
    """
    jax_t_maze.check_rules(NUM_CORRIDORS, CORRIDOR_LENGTH)
    rules = {"corridors": NUM_CORRIDORS, "length": CORRIDOR_LENGTH}
    actions = jax.random.randint(jax.random.key(1), (SCAN_STEPS, num_envs), 0, 3)
    maze = jax_t_maze.start(jax.random.key(0), (num_envs,))
    key = jax.random.key(2)
    step = functools.partial(jax_t_maze.step_batch, **rules)
    if form == "keyed":
        key = jax.random.split(key, num_envs)
        step = jax.vmap(functools.partial(jax_t_maze.step_keyed, **rules))
    if form == "called":
        return called(jax.jit(step), (maze, key), list(actions))

    def advance(carry: Any, action: Any) -> tuple[Any, Any]:
        maze, key, out = step(*carry, action)
        return (maze, key), out

    return scanned(advance, (maze, key), actions, keep=form == "kept")


def called(step: Callable[..., Any], carry: Any, actions: list[Any]) -> Runner:
    box = [carry]

    def play() -> int:
        maze, key = box[0]
        for action in actions:
            maze, key, out = step(maze, key, action)
            out.observation.block_until_ready()
        box[0] = maze, key
        return len(actions) * actions[0].size

    return runner(play)
