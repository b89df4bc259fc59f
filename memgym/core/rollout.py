"""The only episode loop."""

from hashlib import blake2b
from typing import Any

import gymnasium as gym

from memgym.core.trace import Episode, Recorder
from memgym.errors import InvalidOperation

__all__ = ["act_out", "agent_seed", "close_episode", "contains", "play_episode", "replay_episode", "void"]

MAX_STEPS = 10_000_000  # no registered task comes near; a third-party environment might never end


def play_episode(agent: Any, env: gym.Env, recorder: Recorder, seed: int, episode: int) -> Episode:
    """Let an agent play one episode in this process.

    Args:
        agent: see `act_out`.
        env: `recorder`, with the agent's own views around it.
        recorder: directly around the task.
        seed: of the episode's stream.
        episode: number in that stream.

    Returns:
        What happened; see `act_out` for what ends an episode early.
    """
    acted = act_out(agent, env, agent_seed(seed, episode), seed=seed, options={"episode": episode})
    return close_episode(recorder, *acted)


def act_out(agent: Any, env: gym.Env, own_seed: int, **reset: Any) -> tuple[int, str | None]:
    """Play one episode of an environment to its end.

    Args:
        agent: anything with Stable-Baselines3's `predict`; `memory_nbytes` and `seed` are used where it has
            them.
        env: the task, with the agent's own views around it.
        own_seed: for the agent's own random source.
        reset: arguments of the environment's `reset`.

    Returns:
        The most bytes that the agent remembered, as it says, and what it raised. An exception of the agent, or
        an action outside the space, ends the episode: it is a result, not a reason to stop or to try again. An
        exception of the environment passes through.
    """
    if callable(getattr(agent, "seed", None)):  # a Stable-Baselines3 model's is a number
        agent.seed(own_seed)
    observation, _ = env.reset(**reset)
    state, start, agent_bytes = None, True, 0
    for _ in range(MAX_STEPS):
        try:
            action, state = agent.predict(observation, state=state, episode_start=start, deterministic=True)
            agent_bytes = max(agent_bytes, _memory_nbytes(agent, state))
        except Exception as raised:
            return agent_bytes, f"{type(raised).__name__}: {raised}"
        try:
            observation, _, terminated, truncated, _ = env.step(action)
        except Exception as raised:
            if not isinstance(raised, InvalidOperation) and contains(env.action_space, action):
                raise
            return agent_bytes, f"action refused: {raised}"
        if terminated or truncated:
            break
        start = False
    return agent_bytes, None


def close_episode(recorder: Recorder, agent_bytes: int, error: str | None) -> Episode:
    """The record of an episode that was played; one with an error is scored 0."""
    record = recorder.close_record()
    record.agent_bytes = agent_bytes
    if error is not None:
        # a traceback may quote anything; what is written must be UTF-8
        void(record, error[:500].encode("utf-8", "backslashreplace").decode())
    return record


def void(record: Episode, error: str) -> None:
    """Score a failed episode: 0 in all, and 0 for each question that it had answered."""
    record.error, record.score, record.success = error, 0.0, False
    for question in record.questions:
        question["score"], question["is_correct"] = 0.0, False


def replay_episode(recorder: Recorder, seed: int, episode: int, actions: list[Any]) -> Episode:
    """Send recorded actions through the environment again and return what really happens.

    Actions left over after the end of the episode show as a `length` below their number.
    """
    recorder.start(seed, episode)
    for action in actions:
        _, _, terminated, truncated, _ = recorder.step(action)
        if terminated or truncated:
            break
    return recorder.close_record()


def contains(space: gym.Space, action: Any) -> bool:
    """Whether an action, which may be anything, is in a space."""
    try:
        return bool(space.contains(action))
    except Exception:  # some spaces raise on values far outside
        return False


def agent_seed(seed: int, episode: int) -> int:
    """What the random source of an agent starts from in an episode; it tells no one a seed that is not known."""
    if seed < 2**31:  # reserved, and known to everybody
        return (seed * 1_000_003 + episode) % 2**31
    return int.from_bytes(blake2b(f"{seed}/{episode}".encode(), digest_size=4).digest(), "little") >> 1


def _memory_nbytes(agent: Any, state: Any) -> int:
    count = getattr(agent, "memory_nbytes", None)
    return int(count(state)) if count is not None else 0
