"""The only episode loop."""

from typing import Any

import gymnasium as gym

from memgym.core.trace import Episode, Recorder
from memgym.errors import InvalidOperation

__all__ = ["play_episode", "replay_episode", "void"]

MAX_STEPS = 10_000_000  # no registered task comes near; a third-party environment might never end


def play_episode(agent: Any, env: gym.Env, recorder: Recorder, seed: int, episode: int) -> Episode:
    """Let an agent play one episode.

    Args:
        agent: anything with Stable-Baselines3's `predict`; `memory_nbytes` and `seed` are used where it has
            them.
        env: `recorder`, with the agent's own views around it.
        recorder: directly around the task.
        seed: of the episode's stream.
        episode: number in that stream.

    Returns:
        What happened. An exception of the agent, or an action outside the space, ends the episode with
        `error` set and everything scored 0: it is a result, not a reason to stop or to try again. An
        exception of the environment passes through.
    """
    if callable(getattr(agent, "seed", None)):  # a Stable-Baselines3 model's is a number
        agent.seed(_agent_seed(seed, episode))
    observation, _ = env.reset(seed=seed, options={"episode": episode})
    state, start, done, agent_bytes = None, True, False, 0
    error: str | None = None
    while not done and recorder.record.length < MAX_STEPS:
        try:
            action, state = agent.predict(observation, state=state, episode_start=start, deterministic=True)
            agent_bytes = max(agent_bytes, _memory_nbytes(agent, state))
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            break
        try:
            observation, _, terminated, truncated, _ = env.step(action)
        except Exception as raised:
            if not isinstance(raised, InvalidOperation) and _contains(env.action_space, action):
                raise
            error = f"action refused: {raised}"
            break
        start, done = False, terminated or truncated
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


def _contains(space: gym.Space, action: Any) -> bool:
    try:
        return bool(space.contains(action))
    except Exception:  # some spaces raise on values far outside
        return False


def _agent_seed(seed: int, episode: int) -> int:
    return (seed * 1_000_003 + episode) % 2**31


def _memory_nbytes(agent: Any, state: Any) -> int:
    count = getattr(agent, "memory_nbytes", None)
    return int(count(state)) if count is not None else 0
