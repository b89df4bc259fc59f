"""Control tasks in words: the same episodes, played by replies."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import memgym  # noqa: F401 - registers the environments
from memgym.envs import VECTOR_ENVIRONMENTS
from memgym.wrappers import ControlText


@pytest.mark.parametrize("env_id", VECTOR_ENVIRONMENTS)
def test_an_episode_in_words_is_the_episode_in_numbers(env_id) -> None:
    words, numbers = ControlText(gym.make(env_id)), gym.make(env_id)
    task: Any = numbers.unwrapped
    text, _ = words.reset(seed=5)
    observation, _ = numbers.reset(seed=5)
    assert text.startswith(task.instructions())
    assert all(name in text for name in task.action_names)
    assert text.endswith(task.describe(observation))
    done = False
    while not done:
        action = task.oracle_action()
        text, *ours = words.step(task.action_names[action])
        observation, *theirs = numbers.step(action)
        assert text == task.describe(observation)
        assert ours[:3] == theirs[:3]
        assert ours[3] == {**theirs[3], "malformed": 0}
        done = theirs[1] or theirs[2]
    assert theirs[3][task.metric] == 1


@pytest.mark.parametrize(
    "reply", ["forward", "FORWARD", " 'Forward'. ", "I walk on.\n\n**forward**", "```\nforward```"]
)
def test_a_reply_ends_with_the_name_of_an_action(reply) -> None:
    env = ControlText(gym.make("memgym/EndlessTMaze-v0"))
    env.reset(seed=0)
    text, *_, info = env.step(reply)
    assert text == "You are 1 cell into the corridor."
    assert info["malformed"] == 0


@pytest.mark.parametrize("reply", ["", "forward or left", "7", None, "forward\nbecause I must", "\ud800"])
def test_any_other_reply_is_counted_and_taken_for_the_first_action(reply) -> None:
    env = ControlText(gym.make("memgym/EndlessTMaze-v0"))
    env.reset(seed=0)
    env.step(reply)
    assert env.step(reply)[-1]["malformed"] == 2
    assert env.reset(seed=0)[1]["malformed"] == 0


def test_a_specification_makes_the_wrapped_task_again() -> None:
    env = ControlText(gym.make("memgym/EndlessTMaze-v0", num_cues=3))
    assert env.spec is not None
    again = gym.make(env.spec)
    assert again.reset(seed=1)[0] == env.reset(seed=1)[0]
    assert env.observation_space.contains(again.reset(seed=2)[0])


def test_other_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="control task"):
        ControlText(gym.make("CartPole-v1"))


def test_a_player_that_reads_solves_the_maze() -> None:
    """Nothing but the words is used: the sign that was lit last, and where the corridor ends."""
    env = ControlText(gym.make("memgym/EndlessTMaze-v0", num_corridors=8))
    successes = []
    for episode in range(20):
        text, _ = env.reset(seed=0, options={"episode": episode})
        sign, done, info = "", False, {}
        while not done:
            line = text.splitlines()[-1]
            sign = line.split(": ")[1].rstrip(".") if "lit" in line else sign
            text, _, terminated, truncated, info = env.step(sign if "5 cells" in line else "forward")
            done = terminated or truncated
        successes.append(info["success"])
    assert np.mean(successes) == 1.0
