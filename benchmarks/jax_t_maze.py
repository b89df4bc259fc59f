"""The rules of Endless T-Maze written by hand in JAX, as a rival for `env_throughput.py`.

Fixed corridors, hidden junction, two cues, the paper's rewards, and a new episode in the step that ends the
old one: what ``memgym/EndlessTMaze-v0`` plays by default. Randomness is JAX's own, so the cues of an
episode differ from memgym's; `check_rules` holds the rest to the laws of the task.
"""

import functools
from typing import Any, NamedTuple

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

__all__ = ["Maze", "Step", "check_rules", "observe", "start", "step_batch", "step_keyed"]

FORWARD, LEFT = 0, 1


class Maze(NamedTuple):
    """State of one maze, or of N mazes with arrays of shape (N,)."""

    x: Any  # cells from the start of the corridor
    cue: Any  # the action that is right at the junction
    corridor: Any  # corridors passed
    t: Any  # steps of this episode


class Step(NamedTuple):
    """What a step hands out."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    success: Any


def start(keys: Any, shape: tuple[int, ...] = ()) -> Maze:
    """Mazes at the start of their first corridor, from one key."""
    zero = jnp.zeros(shape, jnp.int32)
    return Maze(zero, draw_cue(keys, shape), zero, zero)


def draw_cue(key: Any, shape: tuple[int, ...]) -> Any:
    return (jax.random.bits(key, shape, jnp.uint32) >> 31).astype(jnp.int32) + LEFT


def observe(maze: Maze, corridor_length: int) -> Any:
    """``[x / l, cue is left, cue is right]`` in the last dimension; the cue is seen at x = 0 alone."""
    at_start = maze.x == 0
    position = maze.x.astype(jnp.float32) / corridor_length
    left, right = at_start & (maze.cue == LEFT), at_start & (maze.cue != LEFT)
    return jnp.stack((position, left.astype(jnp.float32), right.astype(jnp.float32)), axis=-1)


def advance(maze: Maze, action: Any, new_cue: Any, corridors: int, length: int) -> tuple[Maze, Step]:
    """One step, elementwise: `new_cue` is shown where a corridor begins."""
    at_junction = maze.x == length
    right = at_junction & (action == maze.cue)
    wrong = at_junction & ~right
    t = maze.t + 1
    corridor = maze.corridor + right
    success = corridor == corridors
    terminated = wrong | success
    truncated = (t >= 6 * (length + 1) * corridors) & ~terminated
    ended = terminated | truncated
    enters = right | ended
    maze = Maze(
        x=jnp.where(enters, 0, maze.x + (~at_junction & (action == FORWARD))),
        cue=jnp.where(enters, new_cue, maze.cue),
        corridor=jnp.where(ended, 0, corridor),
        t=jnp.where(ended, 0, t),
    )
    reward = jnp.where(right, 1.0, jnp.where(wrong, -1.0, -0.01))
    return maze, Step(observe(maze, length), reward, terminated, truncated, success)


def step_batch(maze: Maze, key: Any, action: Any, corridors: int, length: int) -> tuple[Maze, Any, Step]:
    """One step of N mazes with a single call of the generator: the quickest way in JAX on a CPU."""
    key, now = jax.random.split(key)
    maze, step = advance(maze, action, draw_cue(now, maze.x.shape), corridors, length)
    return maze, key, step


def step_keyed(maze: Maze, key: Any, action: Any, corridors: int, length: int) -> tuple[Maze, Any, Step]:
    """One step of one maze with a key of its own, to be mapped over N mazes: the usual way in JAX."""
    key, now = jax.random.split(key)
    maze, step = advance(maze, action, draw_cue(now, ()), corridors, length)
    return maze, key, step


@functools.cache
def check_rules(corridors: int = 5, length: int = 10, num_envs: int = 64) -> None:
    """Play three known policies and hold what happens to the laws of the task.

    Raises:
        AssertionError: these are not the rules of Endless T-Maze.
    """

    def expect(fact: bool | Any, law: str) -> None:
        if not bool(jnp.all(fact)):
            raise AssertionError(f"JAX T-Maze: {law}")

    step = jax.jit(step_batch, static_argnums=(3, 4))
    keys = jax.random.split(jax.random.key(0), 2)
    fresh = start(keys[0], (num_envs,))

    # following the cue: every episode succeeds, after exactly n (l + 1) steps
    maze, key, seen = fresh, keys[1], observe(fresh, length)
    remembered = jnp.zeros(num_envs, jnp.int32)
    for t in range(1, corridors * (length + 1) + 1):
        shown = seen[:, 1:].sum(axis=1)
        expect(shown == (seen[:, 0] == 0), "one cue is shown at x = 0, and nowhere else")
        remembered = jnp.where(shown == 1, LEFT + seen[:, 2].astype(jnp.int32), remembered)
        action = jnp.where(seen[:, 0] == 1, remembered, FORWARD)
        maze, key, out = step(maze, key, action, corridors, length)
        seen = out.observation
        turned = t % (length + 1) == 0
        expect(out.reward == jnp.float32(1.0 if turned else -0.01), "+1 for the right turn, -0.01 to walk")
        expect(out.success == (t == corridors * (length + 1)), "following the cue succeeds at the end")
        expect(out.terminated == out.success, "success ends the episode, walking does not")
    expect(jnp.unique(maze.cue).size == 2, "cues differ between mazes")

    # the opposite turn: the first junction ends every episode
    maze, key = fresh, keys[1]
    for t in range(length + 1):
        action = jnp.where(maze.x == length, 3 - maze.cue, FORWARD)
        maze, key, out = step(maze, key, action, corridors, length)
        over = t == length
        expect((out.terminated == over) & ~out.success, "a wrong turn ends the episode in failure")
        expect(out.reward == jnp.float32(-1.0 if over else -0.01), "-1 for the wrong turn")

    # never walking: the time limit ends the episode, and nothing else does
    maze, key, limit = fresh, keys[1], 6 * (length + 1) * corridors
    for t in range(1, limit + 1):
        maze, key, out = step(maze, key, jnp.full(num_envs, LEFT), corridors, length)
        expect((out.truncated == (t == limit)) & ~out.terminated, "truncated after 6 (l + 1) n steps")
