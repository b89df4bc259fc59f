"""Checks that every environment and every agent passes; memgym's own tests and yours call the same.

>>> from memgym.checks import check_env
>>> check_env("memgym/EndlessTMaze-v0", num_corridors=2)
"""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memgym.core.agent import AgentCard
from memgym.core.env import MemoryEnv
from memgym.core.rollout import play_episode, replay_episode
from memgym.core.trace import Episode, Recorder
from memgym.memory.laws import check_engine, check_policy
from memgym.memory.poison import check_poison
from memgym.registry import load_object

__all__ = [
    "check_agent",
    "check_engine",
    "check_env",
    "check_poison",
    "check_policy",
    "check_vector_env",
    "play_by_name",
]


def check_env(env_id: str, **kwargs: Any) -> None:
    """Check that an environment keeps memgym's promises, beyond Gymnasium's own checker.

    It is deterministic (same seed and actions, same bytes), episodes are reached directly and in order alike,
    it survives pickling, the oracle reaches at least 0.99 of the best score and beats random.

    Args:
        env_id: registered with Gymnasium.
        kwargs: its arguments.

    Raises:
        AssertionError: names the promise that is broken.
    """
    env = gym.make(env_id, disable_env_checker=True, **kwargs)
    gymnasium_check_env(env.unwrapped, skip_render_check=True)
    task = env.unwrapped
    assert isinstance(task, MemoryEnv), f"{env_id} is no MemoryEnv"
    assert task.family in ("control", "text"), f"family is 'control' or 'text', not {task.family!r}"
    first = play_by_name("random", env_id, episodes=3, **kwargs)
    again = play_by_name("random", env_id, episodes=3, **kwargs)
    assert [e.hash for e in first] == [e.hash for e in again], "the same seed gives other bytes"
    recorder = Recorder(env)
    for one in first:
        alone = replay_episode(recorder, one.seed, one.episode, one.actions)
        assert alone.hash == one.hash, f"episode {one.episode} depends on the episodes before it"
    _check_pickling(env)
    oracle = play_by_name("oracle", env_id, episodes=3, **kwargs)
    best, floor = _mean_score(oracle), _mean_score(first)
    assert best >= 0.99, f"the oracle scores {best:.3f}"
    assert best > floor, f"random scores {floor:.3f}, the oracle {best:.3f}"
    env.close()


def check_agent(agent: Any, env_id: str, **kwargs: Any) -> None:
    """Check that an agent keeps the protocol on an environment: two runs alike, memory counted, card complete.

    Args:
        agent: the agent.
        env_id: an environment that it can play.
        kwargs: arguments of the environment.

    Raises:
        AssertionError: names what is wrong.
    """
    assert isinstance(getattr(agent, "card", None), AgentCard), (
        "an agent has a card (memgym.core.agent.AgentCard)"
    )
    assert agent.card.name, "the card has a name"
    assert agent.card.description, "the card has a description"
    runs = [_play(agent, env_id, 2, kwargs) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert one.error is None, f"the agent raised {one.error}"
        assert one.actions == other.actions, "the same episode is played in two ways"
        assert one.agent_bytes >= 0, "memory_nbytes is at least 0"


def check_vector_env(
    env_id: str,
    autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    num_envs: int = 64,
    steps: int = 500,
    seed: int = 0,
    follow: float = 0.5,
    vector_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> int:
    """Check that the native vector form gives exactly what Gymnasium's ``SyncVectorEnv`` over scalar ones does.

    Observations, rewards, flags and infos are compared in every step, types included.

    Args:
        env_id: a control task of memgym's, with both forms.
        autoreset_mode: of both.
        num_envs: environment i plays seed `seed` + i.
        steps: steps taken.
        seed: the first seed; it decides the actions as well.
        follow: how often the oracle's action is taken instead of a random one, so that episodes get far.
        vector_kwargs: arguments of the vector form alone, e.g. ``{"backend": "numba"}``.
        kwargs: arguments of the task.

    Returns:
        The number of episodes that ended, so that a caller sees that there were some.

    Raises:
        AssertionError: names the step and what differs in it.
    """
    ours = gym.make_vec(
        env_id, num_envs=num_envs, autoreset_mode=autoreset_mode, **(vector_kwargs or {}), **kwargs
    )
    makers = [lambda: gym.make(env_id, disable_env_checker=True, **kwargs).unwrapped] * num_envs
    theirs = SyncVectorEnv(makers, autoreset_mode=autoreset_mode)
    assert ours.single_observation_space == theirs.single_observation_space, "other observation space"
    assert ours.single_action_space == theirs.single_action_space, "other action space"
    rng = np.random.default_rng(seed)
    space: Any = ours.single_action_space
    episodes = 0
    assert_same(ours.reset(seed=seed), theirs.reset(seed=seed), "reset")
    for step in range(steps):
        actions = rng.integers(0, space.n, num_envs)
        for i in (rng.random(num_envs) < follow).nonzero()[0]:
            task: Any = theirs.envs[i]
            actions[i] = task.oracle_action()
        given, wanted = ours.step(actions), theirs.step(actions)
        assert_same(given, wanted, f"step {step}")
        ended = wanted[2] | wanted[3]
        episodes += int(ended.sum())
        if autoreset_mode == AutoresetMode.DISABLED and ended.any():
            chosen = {"reset_mask": ended}
            assert_same(ours.reset(options=chosen), theirs.reset(options=chosen), f"reset after step {step}")
    ours.close()
    theirs.close()
    return episodes


def assert_same(given: Any, wanted: Any, where: str) -> None:
    """Check that what two environments gave is equal: values, and of arrays types and bits as well.

    Args:
        given: of one.
        wanted: of the other.
        where: said in front of what differs.

    Raises:
        AssertionError: names what differs.
    """
    if isinstance(wanted, dict):
        assert set(given) == set(wanted), f"{where}: keys {sorted(given)} instead of {sorted(wanted)}"
        for key in wanted:
            assert_same(given[key], wanted[key], f"{where}, {key!r}")
    elif isinstance(wanted, tuple):
        names = ("observation", "reward", "terminated", "truncated", "infos")
        names = names if len(wanted) == len(names) else ("observation", "infos")
        for name, ours, theirs in zip(names, given, wanted, strict=True):
            assert_same(ours, theirs, f"{where}, {name}")
    elif isinstance(wanted, np.ndarray):
        assert given.dtype == wanted.dtype, f"{where}: {given.dtype} instead of {wanted.dtype}"
        assert given.shape == wanted.shape, f"{where}: shape {given.shape} instead of {wanted.shape}"
        if wanted.dtype == object:
            for i, (ours, theirs) in enumerate(zip(given, wanted, strict=True)):
                assert_same(ours, theirs, f"{where}, environment {i}")
        else:
            differ = np.argwhere(given != wanted)
            assert not differ.size, f"{where}, at {differ[0]}: {given} instead of {wanted}"
            assert given.tobytes() == wanted.tobytes(), f"{where}: equal values of other bits"
    else:
        assert given == wanted, f"{where}: {given!r} instead of {wanted!r}"


def play_by_name(agent: str, env_id: str, episodes: int, **kwargs: Any) -> list[Episode]:
    """Episodes 0 to `episodes` - 1 of seed 0, played by a reference agent."""
    return _play(load_object("memgym.agents:make_agent")(agent), env_id, episodes, kwargs)


def _play(agent: Any, env_id: str, episodes: int, kwargs: dict[str, Any]) -> list[Episode]:
    env = gym.make(env_id, disable_env_checker=True, **kwargs)
    recorder = Recorder(env)
    view = agent.wrap(recorder) if hasattr(agent, "wrap") else recorder
    played = [play_episode(agent, view, recorder, 0, episode) for episode in range(episodes)]
    env.close()
    return played


def _mean_score(episodes: list[Episode]) -> float:
    return sum(episode.score for episode in episodes) / len(episodes)


def _check_pickling(env: gym.Env) -> None:
    """A copy made in the middle of an episode goes on as the original does."""
    env.reset(seed=1)
    space = env.action_space
    space.seed(1)
    actions = [space.sample() for _ in range(20)]
    for action in actions[:5]:
        if env.step(action)[2]:
            env.reset(seed=2)
    copy = pickle.loads(pickle.dumps(env.unwrapped))
    for action in actions[5:]:
        ours, theirs = env.unwrapped.step(action), copy.step(action)
        assert repr(ours) == repr(theirs), "a pickled copy goes on differently"
        if ours[2] or ours[3]:
            break
