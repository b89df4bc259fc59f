"""Train Stable-Baselines3 on a Gymnasium vector environment, through one adapter."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from memgym.errors import DependencyMissing

try:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise DependencyMissing.for_extra("stable-baselines3", "agents", "SB3VecEnv") from error

__all__ = ["ProgressLine", "SB3VecEnv", "success_rate"]


class SB3VecEnv(VecEnv):
    """A `gymnasium.vector.VectorEnv` as Stable-Baselines3's `VecEnv`; no copy of the environment per process.

    The infos of an environment that ended hold ``terminal_observation``, ``TimeLimit.truncated``, ``episode``
    (return ``r``, length ``l``, seconds ``t``) and whatever the environment's ``final_info`` says of it, with
    ``is_success`` where that includes ``success``. All other infos are empty, which keeps thousands of
    environments cheap.

    Args:
        vector_env: a vector environment in autoreset mode SAME_STEP, the only one that Stable-Baselines3
            knows.

    Raises:
        ValueError: another autoreset mode.
    """

    def __init__(self, vector_env: VectorEnv) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"SB3VecEnv needs autoreset mode SAME_STEP, not {getattr(mode, 'name', mode)}. Make the "
                "environment with gym.make_vec(..., autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)."
            )
        self.vector_env = vector_env
        n = vector_env.num_envs
        super().__init__(n, vector_env.single_observation_space, vector_env.single_action_space)
        self._actions: NDArray[Any] | None = None
        self._return = np.zeros(n, np.float64)
        self._length = np.zeros(n, np.int64)
        self._infos: list[dict[str, Any]] = [{} for _ in range(n)]
        self._told: NDArray[np.intp] = np.zeros(0, np.intp)
        self._start = time.perf_counter()

    def reset(self) -> NDArray[Any]:
        """Start all environments; seeds come from `seed` and are used once."""
        if any(options for options in self._options):
            raise ValueError("SB3VecEnv passes no options for single environments.")
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        # Gymnasium's own signature says int, its implementations take a list as well
        observation, _ = self.vector_env.reset(seed=seeds)  # type: ignore[arg-type]
        self._reset_seeds()
        self._return[:] = 0.0
        self._length[:] = 0
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step, and describe the episodes that ended."""
        observation, reward, terminated, truncated, infos = self.vector_env.step(self._actions)
        self._return += reward
        self._length += 1
        ended = np.logical_or(terminated, truncated)
        for i in self._told:
            self._infos[i] = {}
        self._told = np.flatnonzero(ended)
        if self._told.size:
            self._describe(self._told, truncated & ~terminated, infos)
        return observation, reward.astype(np.float32), ended, list(self._infos)

    def _describe(self, index: NDArray[np.intp], timeout: NDArray[np.bool_], infos: dict[str, Any]) -> None:
        seconds = round(time.perf_counter() - self._start, 6)
        final = infos.get("final_info", {})
        known = {key: values for key, values in final.items() if not key.startswith("_")}
        for i in index:
            info = {key: values[i] for key, values in known.items() if final[f"_{key}"][i]}
            if "success" in info:
                info["is_success"] = bool(info["success"])
            info["terminal_observation"] = infos["final_obs"][i]
            info["TimeLimit.truncated"] = bool(timeout[i])
            info["episode"] = {"r": float(self._return[i]), "l": int(self._length[i]), "t": seconds}
            self._infos[i] = info
        self._return[index] = 0.0
        self._length[index] = 0

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector environment, once for each environment asked for."""
        value = getattr(self.vector_env, attr_name)
        return [value] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the vector environment; all environments share it."""
        self._refuse_subset(indices)
        setattr(self.vector_env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once; its result holds for every environment."""
        self._refuse_subset(indices)
        result = getattr(self.vector_env, method_name)(*args, **kwargs)
        return [result] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Whether the single environments are wrapped: there are none to wrap."""
        return [False] * len(self._chosen(indices))

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One frame for each environment."""
        frames: Any = self.vector_env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def _chosen(self, indices: Any) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)

    def _refuse_subset(self, indices: Any) -> None:
        if len(self._chosen(indices)) != self.num_envs:
            raise ValueError("the environments share one vector environment: leave `indices` out.")


class ProgressLine(BaseCallback):
    """A progress bar with the success rate of the last episodes; silent where stderr is not a terminal.

    Args:
        total: steps that training will take.
    """

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total
        self._bar: Any = None
        self._task: Any = None

    def _on_training_start(self) -> None:
        if not sys.stderr.isatty():
            return
        try:
            from rich.console import Console
            from rich.progress import Progress
        except ImportError as error:
            raise DependencyMissing.for_extra("rich", "cli", "the progress bar") from error
        self._bar = Progress(console=Console(stderr=True))
        self._task = self._bar.add_task("training", total=self.total)
        self._bar.start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self._bar is not None:
            solved = getattr(self.model, "ep_success_buffer", None)
            text = f"success {np.mean(solved):.2f}" if solved else "training"
            self._bar.update(self._task, completed=self.num_timesteps, description=text)

    def _on_training_end(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def success_rate(model: Any, vector_env: VectorEnv, seed: int) -> float:
    """Share of successes in the first episode of each environment, acting greedily.

    Args:
        model: anything with Stable-Baselines3's batched `predict`, recurrent or not.
        vector_env: in autoreset mode SAME_STEP, with `success` in its infos.
        seed: environment i plays episode 0 of `seed` + i.
    """
    n = vector_env.num_envs
    observation, _ = vector_env.reset(seed=seed)
    state, start = None, np.ones(n, np.bool_)
    over, success = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    while not over.all():
        action, state = model.predict(observation, state=state, episode_start=start, deterministic=True)
        observation, _, terminated, truncated, infos = vector_env.step(action)
        start = np.logical_or(terminated, truncated)
        if start.any():
            success |= start & ~over & infos["final_info"]["success"]
        over |= start
    return float(success.mean())
