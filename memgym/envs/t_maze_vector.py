"""Endless T-Maze, many at once: the rules of `t_maze` on arrays, equal to it bit for bit."""

from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from memgym.envs.t_maze import FORWARD, LEFT, LOW32, TMazeArguments
from memgym.rng import MASK64, draw_array, episode_keys, stream_id

__all__ = ["EndlessTMazeVector"]

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]
Flags = tuple[Mask, Mask, Mask] | NDArray[np.bool_]  # success, stale_error, forward_error
NOBODY: Index = np.zeros(0, np.intp)


class EndlessTMazeVector(gym.vector.VectorEnv[NDArray[np.float32], NDArray[np.integer], NDArray[Any]]):
    """`num_envs` Endless T-Mazes in numpy arrays; see `memgym.envs.t_maze.EndlessTMaze` for the task.

    Environment i after ``reset(seed=s)`` plays exactly what the scalar environment plays after
    ``reset(seed=s + i)``, whatever `num_envs`; its k-th automatic reset starts episode k of that seed.
    Observations, rewards, flags and infos are those of Gymnasium's ``SyncVectorEnv`` over scalar ones, in
    each autoreset mode. The observation array has shape (num_envs, 3 or 4) and is stored by column (Fortran
    order).

    Args:
        num_envs: number of environments.
        num_corridors: corridors to pass.
        corridor_length: steps from cue to junction, the most of them for ``"uniform"``.
        length_mode: ``"fixed"`` or ``"uniform"``.
        junction_visible: add the junction flag to the observation.
        reward: ``"paper"`` or ``"authors_2025"``.
        split: ``"train"`` or ``"test"``.
        autoreset_mode: when an environment that ended starts again, see Gymnasium's ``AutoresetMode``.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    family: ClassVar[str] = "control"
    metric: ClassVar[str] = "success"

    def __init__(
        self,
        num_envs: int = 1,
        num_corridors: int = 3,
        corridor_length: int = 5,
        length_mode: Literal["fixed", "uniform"] = "fixed",
        junction_visible: bool = False,
        reward: Literal["paper", "authors_2025"] = "paper",
        split: Literal["train", "test"] = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        self.arguments = TMazeArguments(
            num_corridors, corridor_length, length_mode, junction_visible, reward, split
        )
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs is an integer from 1 on, not {num_envs!r}.")
        if render_mode not in (None, "ansi", "rgb_array"):
            raise ValueError(f"render_mode is 'ansi', 'rgb_array' or None, not {render_mode!r}.")
        self.num_envs = n = int(num_envs)
        self.split = split
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.arguments.observation_space()
        self.single_action_space = gym.spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._rewards = self.arguments.rewards
        self._limit = self.arguments.limit
        self._stream = stream_id(self.arguments.stream)
        self._seeded = np.zeros(n, np.bool_)
        self._seed = np.zeros(n, np.uint64)
        self._episode = np.full(n, -1, np.int64)
        self._key = np.zeros(n, np.uint64)
        self._t = np.zeros(n, np.int32)
        self._corridor = np.zeros(n, np.int64)
        # float32 is exact for positions and saves a conversion in every observation
        self._x = np.zeros(n, np.float32)
        self._length = np.full(n, corridor_length, np.float32)
        self._cue = np.full(n, LEFT, np.int8)
        self._cue_is_right = np.zeros(n, np.bool_)
        self._last_cue = np.zeros(n, np.int8)
        self._ended = np.ones(n, np.bool_)
        self._was_reset = False

    @property
    def episode(self) -> NDArray[np.int64]:
        """Number of the current episode of each environment under its seed."""
        return self._episode.copy()

    # ------------------------------------------------------------------ starting episodes

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start episodes in all environments, or in those of ``options["reset_mask"]``.

        Args:
            seed: environment i gets `seed` + i, or its own entry of a list; None keeps the seed there is and
                starts its next episode.
            options: ``"reset_mask"`` (bool array, shape (num_envs,)) and ``"episode"``, an episode number.
        """
        options = dict(options or {})
        mask = self._reset_mask(options.pop("reset_mask", None))
        unknown = set(options) - {"episode"}
        if unknown:
            raise ValueError(f"unknown reset option {sorted(unknown)[0]!r}; there is 'episode'.")
        self._set_seeds(seed, mask)
        index = np.flatnonzero(mask)
        if "episode" in options:
            if int(options["episode"]) < 0:
                raise ValueError(f"episode is at least 0, not {options['episode']}.")
            self._episode[index] = int(options["episode"]) - 1
        self._start_corridors(NOBODY, index)
        self._ended[index] = False
        self._was_reset = bool(self._seeded.all())
        flags = np.zeros((3, self.num_envs), np.bool_)
        return self._observe().T, self._infos(flags, np.where(mask, self._corridor, 0), mask)

    def _reset_mask(self, mask: Any) -> Mask:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] is a numpy array of bool, not {mask!r}.")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] has shape ({self.num_envs},) and at least one True; got {mask!r}."
            )
        return mask

    def _set_seeds(self, seed: int | list[int | None] | None, mask: Mask) -> None:
        n = self.num_envs
        if seed is None:
            given: Mask = np.zeros(n, np.bool_)
            values = np.zeros(n, np.uint64)
        elif isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))  # refuses negative seeds in Gymnasium's words
            given = np.ones(n, np.bool_)
            values = np.arange(n, dtype=np.uint64) + np.uint64(int(seed) & MASK64)
        else:
            if len(seed) != n:
                raise ValueError(f"{len(seed)} seeds for {n} environments: give one for each.")
            if any(entry is not None and entry < 0 for entry in seed):
                raise gym.error.Error("Seeds are integers from 0 on.")
            given = np.array([entry is not None for entry in seed])
            values = np.array([(entry or 0) & MASK64 for entry in seed], np.uint64)
        fresh = mask & ~given & ~self._seeded
        if fresh.any():
            values = np.where(fresh, self.np_random.integers(0, MASK64, n, np.uint64, endpoint=True), values)
        chosen = mask & (given | fresh)
        self._seed[chosen] = values[chosen]
        self._episode[chosen] = -1
        self._seeded |= chosen

    def _start_corridors(self, entered: Index, restart: Index) -> None:
        """Put the environments of `entered` into their next corridor, and start those of `restart` anew.

        The cue is the top bit of one draw and the length comes from its low 32 bits, as in the scalar form.
        """
        self._last_cue[entered] = self._cue[entered]
        if restart.size:
            self._episode[restart] += 1
            episode = self._episode[restart].astype(np.uint64)
            self._key[restart] = episode_keys(self._seed[restart], episode, self._stream)
            self._corridor[restart] = 0
            self._last_cue[restart] = 0
            self._t[restart] = 0
        index = np.concatenate((entered, restart))
        bits = draw_array(self._key[index], self._corridor[index].astype(np.uint64))
        right = bits >> np.uint64(63)
        self._cue_is_right[index] = right
        self._cue[index] = right + np.uint64(LEFT)
        self._x[index] = 0.0
        if self.arguments.length_mode == "uniform":
            longest = np.uint64(self.arguments.corridor_length)
            self._length[index] = ((bits & np.uint64(LOW32)) * longest >> np.uint64(32)) + np.uint64(1)

    # ------------------------------------------------------------------ stepping

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """One step of every environment.

        Raises:
            ResetNeeded: not reset yet, or an environment that ended in mode DISABLED.
            ValueError: actions of the wrong shape or outside 0, 1, 2.
        """
        actions = self._check_actions(actions)
        # On booleans "a > b" is "a and not b" in one call.
        forward = actions == FORWARD
        at_junction = self._x == self._length
        restart = np.flatnonzero(self._ended)  # only NEXT_STEP leaves any
        if restart.size:
            at_junction = at_junction > self._ended
        right = at_junction & (actions == self._cue)
        wrong = at_junction > right
        self._x += forward > at_junction
        self._t += 1
        self._corridor += right
        success = right & (self._corridor == self.arguments.num_corridors)
        terminated = wrong | success
        stale_error = wrong & (actions == self._last_cue) > forward
        reward = self._reward(forward, right, wrong)
        self._start_corridors(np.flatnonzero(right > success), restart)
        reward[restart] = 0.0
        truncated = (self._t >= self._limit) > terminated
        np.logical_or(terminated, truncated, out=self._ended)
        observation = self._observe()
        flags = (success, stale_error, wrong & forward)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            infos = self._restart_now(observation, flags)
        else:
            infos = self._infos(flags, self._corridor.copy(), np.ones(self.num_envs, np.bool_))
        return observation.T, reward, terminated, truncated, infos

    def _reward(self, forward: Mask, right: Mask, wrong: Mask) -> NDArray[np.float64]:
        rewards = self._rewards
        if rewards.forward == rewards.useless:
            reward = np.full(self.num_envs, rewards.useless)
        else:
            reward = np.where(forward, rewards.forward, rewards.useless)
        np.copyto(reward, rewards.right, where=right)
        np.copyto(reward, rewards.wrong, where=wrong)
        return reward

    def _check_actions(self, actions: Any) -> NDArray[np.int8]:
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions are {self.num_envs} integers, not {actions.dtype}{actions.shape}.")
        # seen as unsigned, a negative number is a large one
        if actions.view(f"u{actions.itemsize}").max() > 2:
            raise ValueError("every action is 0 (forward), 1 (left) or 2 (right).")
        if not self._was_reset:
            raise gym.error.ResetNeeded("Call reset before step.")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise gym.error.ResetNeeded("An episode is over: reset it with options={'reset_mask': mask}.")
        return actions.astype(np.int8)  # the type of the cues: eight times less to compare

    def _restart_now(self, observation: NDArray[np.float32], flags: Flags) -> dict[str, Any]:
        """Mode SAME_STEP: start what ended, replace its observation, and keep the last one in the infos."""
        n, ended = self.num_envs, self._ended.copy()
        index = np.flatnonzero(ended)
        self._ended[:] = False
        if not index.size:
            return self._infos(flags, self._corridor.copy(), np.ones(n, np.bool_))
        final = np.full(n, None, dtype=object)
        final[index] = np.fromiter(observation.T[index], dtype=object, count=index.size)
        final_info = self._infos(flags, np.where(ended, self._corridor, 0), ended)
        self._start_corridors(NOBODY, index)
        observation[:, index] = 0.0
        right = self._cue_is_right[index]
        observation[1, index] = ~right
        observation[2, index] = right
        infos = self._infos(np.zeros((3, n), np.bool_), self._corridor.copy(), np.ones(n, np.bool_))
        return {
            "final_obs": final,
            "_final_obs": ended,
            "final_info": final_info,
            "_final_info": ended.copy(),
            **infos,
        }

    def _observe(self) -> NDArray[np.float32]:
        """The observations by column, shape (3 or 4, num_envs)."""
        observation = np.empty((self.arguments.observation_size, self.num_envs), np.float32)
        np.divide(self._x, np.float32(self.arguments.corridor_length), out=observation[0])
        at_start = self._x == 0.0
        np.greater(at_start, self._cue_is_right, out=observation[1])
        np.logical_and(at_start, self._cue_is_right, out=observation[2])
        if self.arguments.junction_visible:
            np.equal(self._x, self._length, out=observation[3])
        return observation

    def _infos(self, flags: Flags, corridor: NDArray[np.int64], mask: Mask) -> dict[str, Any]:
        success, stale_error, forward_error = flags
        return {
            "success": success,
            "_success": mask,
            "corridor": corridor,
            "_corridor": mask.copy(),
            "stale_error": stale_error,
            "_stale_error": mask.copy(),
            "forward_error": forward_error,
            "_forward_error": mask.copy(),
        }

    def render(self) -> tuple[Any, ...] | None:
        """One frame for each environment."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi'.")
            return None
        from memgym.envs.t_maze_render import TMazeView, draw_image, draw_text

        draw = draw_image if self.render_mode == "rgb_array" else draw_text
        return tuple(
            draw(
                TMazeView(
                    num_corridors=int(self.arguments.num_corridors),
                    longest=int(self.arguments.corridor_length),
                    corridor=int(self._corridor[i]),
                    position=int(self._x[i]),
                    length=int(self._length[i]),
                    cue=int(self._cue[i]),
                    step=int(self._t[i]),
                    limit=self._limit,
                    outcome="over" if self._ended[i] else "",
                )
            )
            for i in range(self.num_envs)
        )
