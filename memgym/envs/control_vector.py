"""What the control environments share in their vector form: seeds, restarts, autoreset modes, infos."""

from collections import defaultdict
from sys import getrefcount
from typing import Any, ClassVar, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from memgym.core.arguments import check_choice, check_flag, check_integer
from memgym.core.env import read_episode
from memgym.envs.backend import load_kernel, resolve_backend
from memgym.envs.control import render_view
from memgym.rng import MASK64, episode_keys, seed_keys, stream_id

__all__ = ["ControlVectorEnv", "Index", "Mask"]

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]
NOBODY: Index = np.zeros(0, np.intp)
MAX_ENVS = 1 << 24
INT64 = np.dtype(np.int64)


def _count_references(arrays: list[NDArray[Any]], k: int) -> int:
    return getrefcount(arrays[k])


def _measure_unheld() -> int | None:
    """What `_count_references` says of an array that only its list holds.

    It depends on the interpreter, so it is measured; None where holding an array does not show in it.
    """
    arrays = [np.zeros(1)]
    unheld = _count_references(arrays, 0)
    view = arrays[0][...]
    held = _count_references(arrays, 0)
    del view
    return unheld if held == unheld + 1 and _count_references(arrays, 0) == unheld else None


UNHELD = _measure_unheld()


class Copies:
    """Copies of one array, each of which is written again once nobody holds it any more.

    To whoever gets one it is a fresh array. But where large arrays come and go with every step, the system maps
    and unmaps their pages each time, which costs more than stepping the environments.
    """

    SPARE = 3  # what a training loop holds on to: this observation and the last

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def __reduce__(self) -> tuple[type["Copies"], tuple[()]]:
        return Copies, ()

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """A copy of `values`, which has the same shape and type in every call."""
        arrays = self._arrays
        for k in range(len(arrays)):
            if _count_references(arrays, k) == UNHELD:
                np.copyto(arrays[k], values)
                return arrays[k][
                    ...
                ]  # a view, which holds it, and whose shape and flags are the caller's own
        array = values.copy()
        if UNHELD is not None and len(arrays) < self.SPARE:
            arrays.append(array)
        return array[...]


class Arguments(Protocol):
    """What the base needs to know of an environment's checked arguments."""

    @property
    def split(self) -> str:
        """``"train"`` or ``"test"``."""
        ...

    @property
    def stream(self) -> str:
        """Name of the random stream, shared with the scalar form."""
        ...

    def observation_space(self) -> gym.Space[Any]:
        """A Box of one dimension."""
        ...

    def action_space(self) -> gym.spaces.Discrete:
        """From 0 on."""
        ...


class ControlVectorEnv(gym.vector.VectorEnv[NDArray[Any], NDArray[np.integer], NDArray[Any]]):
    """`num_envs` control environments as a struct of arrays, without a Python loop over environments.

    Environment i after ``reset(seed=s)`` plays exactly what the scalar environment plays after
    ``reset(seed=s + i)``, whatever `num_envs`; its k-th automatic reset starts episode k of that seed.
    Observations, rewards, flags and infos are those of Gymnasium's ``SyncVectorEnv`` over scalar ones, in
    each autoreset mode. Observations are stored by column (Fortran order).

    A subclass names its infos in `INFO`, makes its state in ``__init__`` and writes two methods, `_start` and
    `_advance`. Both write into the buffers ``_obs`` (one row a number of the observation, shape (size,
    num_envs)), ``_reward``, ``_terminated``, ``_truncated`` and ``_info[name]``.

    Args:
        arguments: checked arguments of the environment.
        num_envs: number of environments.
        autoreset_mode: when an environment that ended starts again, see Gymnasium's ``AutoresetMode``.
        render_mode: ``"ansi"`` or ``"rgb_array"``.
        copy: whether `step` and `reset` return fresh arrays. Without, they return the environment's own
            buffers, which the next step overwrites: don't write into them. With numba a step then allocates
            nothing of size `num_envs`, but for what SAME_STEP says of ended episodes.
        backend: ``"numpy"``, ``"numba"`` or ``"auto"``, which takes numba where it is installed. The results
            are the same bit for bit.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    family: ClassVar[str] = "control"
    metric: ClassVar[str] = "success"
    render_module: ClassVar[str]
    INFO: ClassVar[dict[str, type]]

    def __init__(
        self,
        arguments: Arguments,
        num_envs: int,
        autoreset_mode: AutoresetMode | str,
        render_mode: str | None,
        copy: bool,
        backend: str,
    ) -> None:
        check_integer("num_envs", num_envs, 1, MAX_ENVS)
        check_flag("copy", copy)
        if render_mode not in (None, "ansi", "rgb_array"):
            raise ValueError(f"render_mode is 'ansi', 'rgb_array' or None, not {render_mode!r}.")
        self.num_envs = n = int(num_envs)
        self._shape = (n,)
        self.split = arguments.split
        self.render_mode = render_mode
        check_choice(
            "autoreset_mode", autoreset_mode, (*AutoresetMode, *(mode.value for mode in AutoresetMode))
        )
        self.autoreset_mode = mode = AutoresetMode(autoreset_mode)
        self._next_step, self._same_step, self._disabled = (
            mode == one for one in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
        )
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.copy = copy
        self.backend = resolve_backend(backend)
        self.single_observation_space = arguments.observation_space()
        self.single_action_space = arguments.action_space()
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._num_actions = int(self.single_action_space.n)
        self._stream = stream_id(arguments.stream)
        self._seeded = np.zeros(n, np.bool_)
        self._was_reset = False
        self._base = np.zeros(n, np.uint64)  # of the keys of all episodes of a seed
        self._episode = np.full(n, -1, np.int64)
        self._key = np.zeros(n, np.uint64)
        self._ended = np.ones(n, np.bool_)
        self._flagged: Index = NOBODY  # whose flags stand from the last step
        shape: Any = self.single_observation_space.shape
        self._obs = np.zeros((shape[0], n), self.single_observation_space.dtype)
        self._reward = np.zeros(n, np.float64)
        # None of these is a view of another: a copy of the environment would lose the tie between them.
        self._terminated = np.zeros(n, np.bool_)
        self._truncated = np.zeros(n, np.bool_)
        self._info: dict[str, NDArray[Any]] = {name: np.zeros(n, kind) for name, kind in self.INFO.items()}
        self._copies: dict[str, Copies] = defaultdict(Copies)
        self._everywhere: Mask = np.ones(n, np.bool_)
        self._everywhere.flags.writeable = False
        self._info_masks = {f"_{name}": self._everywhere for name in self.INFO}
        self._given_infos: dict[str, NDArray[Any]] = {}  # both, where they are handed out as they are

    # ------------------------------------------------------------------ what a subclass writes

    def _start(self, index: Index) -> None:
        """Start the episodes whose keys stand in ``self._key[index]``: their state and observations.

        Their infos are zero already; rewards and flags are not to be touched. It is called once a step, after
        `_advance`, even where `index` is empty.
        """
        raise NotImplementedError

    def _advance(self, actions: NDArray[np.integer]) -> None:
        """One step of every environment: all of `_obs` and `_reward` as they are then; the flags and infos
        that change.

        On entry infos are as the last step left them, and flags are False. Only environments whose episode
        was over before still have theirs; they are advanced too, whatever comes of it: `_start` follows.
        """
        raise NotImplementedError

    def view(self, i: int) -> Any:
        """All that a picture of environment `i` shows."""
        raise NotImplementedError

    # ------------------------------------------------------------------ starting episodes

    @property
    def episode(self) -> NDArray[np.int64]:
        """Number of the current episode of each environment under its seed."""
        return self._episode.copy()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start episodes in all environments, or in those of ``options["reset_mask"]``.

        Args:
            seed: environment i gets `seed` + i, or its own entry of a list; None keeps the seed there is and
                starts its next episode.
            options: ``"reset_mask"`` (bool array, shape (num_envs,)) and ``"episode"``, an episode number, or
                an array of them, one for each environment.
        """
        options = dict(options or {})
        mask = self._reset_mask(options.pop("reset_mask", None))
        episode = self._read_episodes(options)
        self._set_seeds(seed, mask)
        index = np.flatnonzero(mask)
        if episode is not None:
            self._episode[index] = episode[index] - 1
        self._restart(index)
        self._ended[index] = self._terminated[index] = self._truncated[index] = False
        self._flagged = np.flatnonzero(self._terminated | self._truncated)
        self._was_reset = bool(self._seeded.all())
        infos: dict[str, Any] = {}
        for name, values in self._info.items():
            infos[name], infos[f"_{name}"] = np.where(mask, values, values.dtype.type(0)), mask.copy()
        return (self._obs.copy() if self.copy else self._obs).T, infos

    def _read_episodes(self, options: dict[str, Any]) -> NDArray[np.int64] | None:
        given = options.get("episode")
        if not isinstance(given, np.ndarray):
            episode = read_episode(options)
            return None if episode is None else np.full(self.num_envs, episode)
        if given.shape != self._shape or given.dtype.kind not in "iu":
            raise ValueError(f"options['episode'] is a number or {self.num_envs} of them, not {given!r}.")
        for episode in (given.min(), given.max()):
            read_episode({**options, "episode": episode})
        return given.astype(np.int64)

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
            if not isinstance(seed, list | tuple | np.ndarray) or len(seed) != n:
                raise ValueError(f"seed is an integer, or a list of {n} integers or None, not {seed!r}.")
            if not all(
                entry is None or (isinstance(entry, int | np.integer) and entry >= 0) for entry in seed
            ):
                raise gym.error.Error("Seeds are integers from 0 on, or None.")
            given = np.array([entry is not None for entry in seed])
            values = np.array([int(entry or 0) & MASK64 for entry in seed], np.uint64)
        fresh = mask & ~given & ~self._seeded
        if fresh.any():
            values = np.where(fresh, self.np_random.integers(0, MASK64, n, np.uint64, endpoint=True), values)
        chosen = mask & (given | fresh)
        self._base[chosen] = seed_keys(values[chosen], self._stream)
        self._episode[chosen] = -1
        self._seeded |= chosen

    def _restart(self, index: Index) -> None:
        """Start the next episode in the environments of `index`."""
        if self.backend == "numba":
            load_kernel("memgym.envs.compiled").begin_episodes(index, self._base, self._episode, self._key)
        elif index.size:
            self._episode[index] += 1
            self._key[index] = episode_keys(self._base[index], self._episode.view(np.uint64)[index])
        if index.size:
            for values in self._info.values():
                values[index] = 0
        self._start(index)

    # ------------------------------------------------------------------ stepping

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[NDArray[Any], NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """One step of every environment.

        Raises:
            ResetNeeded: not reset yet, or an environment that ended in mode DISABLED.
            ValueError: actions of the wrong shape, or outside the action space.
        """
        self._play(self._checked(actions))
        infos = self._restart_now() if self._same_step else self._infos()
        copies = self._copies
        if not self.copy:
            return self._obs.T, self._reward, self._terminated, self._truncated, infos
        return (
            copies["obs"].of(self._obs).T,
            copies["reward"].of(self._reward),
            copies["terminated"].of(self._terminated),
            copies["truncated"].of(self._truncated),
            infos,
        )

    def _play(self, actions: NDArray[np.integer]) -> None:
        """Step; in mode NEXT_STEP start those that ended in the step before. `_ended` is as it is then.

        Raises:
            ValueError: an action outside the action space.
        """
        self._check_range(actions)
        before = self._flagged
        restarts = before.size > 0 and self._next_step
        if not restarts:
            self._terminated[before] = self._truncated[before] = False
        self._advance(actions)
        if restarts:
            self._terminated[before] = self._truncated[before] = False
            self._reward[before] = 0.0
            self._restart(before)
        elif not self._same_step:
            self._restart(NOBODY)
        np.logical_or(self._terminated, self._truncated, out=self._ended)
        self._flagged = self._ended.nonzero()[0]

    def _checked(self, actions: Any) -> NDArray[np.integer]:
        actions = np.asarray(actions)
        kind = actions.dtype
        if kind is not INT64 and not kind.isnative:
            actions = actions.astype(kind.newbyteorder("="))
        if actions.shape != self._shape or kind.kind not in "iu":
            raise ValueError(f"actions are {self.num_envs} integers, not {actions.dtype}{actions.shape}.")
        if not self._was_reset:
            raise gym.error.ResetNeeded("Call reset before step.")
        if self._disabled and self._ended.any():
            raise gym.error.ResetNeeded("An episode is over: reset it with options={'reset_mask': mask}.")
        return actions

    def _check_range(self, actions: NDArray[np.integer]) -> None:
        if self.backend == "numba":
            inside = load_kernel("memgym.envs.compiled").all_below(actions, self._num_actions)
        else:  # seen as unsigned, a negative number is a large one
            inside = actions.view(f"u{actions.itemsize}").max() < self._num_actions
        if not inside:
            raise self._refusal()

    def _refusal(self) -> ValueError:
        return ValueError(f"every action is from 0 to {self._num_actions - 1}.")

    def _infos(self) -> dict[str, Any]:
        if self.copy:
            copies = self._copies
            return {name: copies[name].of(values) for name, values in self._info.items()} | self._info_masks
        if not self._given_infos:
            self._given_infos = self._info | self._info_masks
        return self._given_infos.copy()

    def _restart_now(self) -> dict[str, Any]:
        """Mode SAME_STEP: start what ended, and keep its last observation and info in the infos."""
        index = self._flagged
        if not index.size:
            self._restart(index)
            return self._infos()
        ended = self._ended.copy()
        final = np.empty(self.num_envs, dtype=object)
        final[index] = np.fromiter(self._obs[:, index].T.copy(), dtype=object, count=index.size)
        final_info: dict[str, Any] = {}
        for name, values in self._info.items():
            last = np.zeros(self.num_envs, values.dtype)
            last[index] = values[index]
            final_info[name], final_info[f"_{name}"] = last, ended
        self._restart(index)
        self._ended[:] = False
        return {
            "final_obs": final,
            "_final_obs": ended,
            "final_info": final_info,
            "_final_info": ended,
            **self._infos(),
        }

    def render(self) -> tuple[Any, ...] | None:
        """One frame for each environment."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi'.")
            return None
        return tuple(
            render_view(self.render_module, self.render_mode, self.view(i)) for i in range(self.num_envs)
        )
