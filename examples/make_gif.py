"""Write a GIF of a reference agent that plays a control task.

::

    python examples/make_gif.py memgym/EndlessTMaze-v0 examples/t_maze.gif
    python examples/make_gif.py memgym/ColorCubes-v0 examples/color_cubes.gif --set mode=extreme
    python examples/make_gif.py memgym/KeyValueRewriting-v0 examples/key_value.gif
    python examples/make_gif.py memgym/EndlessTMaze-v0 stale.gif --agent first-cue --seed 3 --set num_corridors=5

The first three wrote the files beside this one. Needs Pillow: ``pip install 'memgym[plots]'``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
from PIL import Image

import memgym  # noqa: F401 - registers the environments
from memgym.agents import make_agent

LAST_FRAME = 5  # times as long as the others


def play(env_id: str, agent_name: str, seed: int, max_frames: int, **kwargs: Any) -> list[Image.Image]:
    """The frames of one episode."""
    env = gym.make(env_id, render_mode="rgb_array", **kwargs)
    agent = make_agent(agent_name)
    if reason := agent.cannot_play(env):
        raise SystemExit(f"{agent_name} cannot play {env_id}: {reason}.")
    view = agent.wrap(env)
    agent.seed(seed)
    observation, _ = view.reset(seed=seed)
    frames, state, start = [env.render()], None, True
    while len(frames) < max_frames:
        action, state = agent.predict(observation, state, start)
        observation, _, terminated, truncated, _ = view.step(action)
        frames.append(env.render())
        start = False
        if terminated or truncated:
            break
    return [Image.fromarray(frame).quantize(colors=64) for frame in frames]


def argument(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; the value is read as JSON, and as text where that fails."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> None:
    """Play an episode and write it."""
    parser = argparse.ArgumentParser(description="A GIF of an agent that plays a control task.")
    parser.add_argument("env", help="id of the task, e.g. memgym/ColorCubes-v0")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--agent", default="belief", help="registered name, default belief")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--max-frames", type=int, default=200, help="default 200")
    parser.add_argument("--frame-ms", type=int, default=250, help="default 250")
    parser.add_argument(
        "--set",
        type=argument,
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the task",
    )
    given = parser.parse_args()
    first, *rest = play(given.env, given.agent, given.seed, given.max_frames, **dict(given.set))
    times = [given.frame_ms] * len(rest) + [given.frame_ms * LAST_FRAME]
    first.save(given.out, save_all=True, append_images=rest, duration=times, loop=0, optimize=True)
    print(f"{given.out}: {1 + len(rest)} frames, {given.out.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
