"""Acting in the environments: fills rollouts one after the other, without a break between them."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from memgym.agents.nn.module import State
from memgym.agents.ppo.actions import Categoricals
from memgym.agents.ppo.errors import ObservationInvalid, RewardInvalid
from memgym.agents.ppo.observations import Flattener
from memgym.agents.ppo.policy import MemoryPolicy
from memgym.agents.ppo.privileged import PrivilegedTargets
from memgym.agents.ppo.resume import EpisodeLog, replay
from memgym.agents.ppo.rollout import Rollout
from memgym.agents.weights_io import WeightsInvalid

__all__ = ["Collector", "Position", "Recent", "StepReport"]

WINDOW = 100  # finished episodes that the logged means are at least over


class Recent(NamedTuple):
    """The last finished episodes: returns, lengths, and successes where the environment tells them."""

    returns: deque[float]
    lengths: deque[int]
    successes: deque[bool]

    @classmethod
    def empty(cls, num_envs: int) -> "Recent":
        """None finished yet.

        The window is several times the number of environments: failures end early, and those that act well end
        together, so that a smaller window would hold nothing but successes.
        """
        size = max(WINDOW, 8 * num_envs)
        return cls(deque(maxlen=size), deque(maxlen=size), deque(maxlen=size))

    def copy(self) -> "Recent":
        """The episodes as they are now."""
        return Recent(self.returns.copy(), self.lengths.copy(), self.successes.copy())


class Position(NamedTuple):
    """Where a collector stands between two rollouts; its attributes are the collector's."""

    rows: NDArray[np.float32]
    before: NDArray[np.bool_]
    state: State
    log: EpisodeLog
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    recent: Recent


class StepReport(NamedTuple):
    """One step of all environments, for callbacks; `used` counts the actions that were."""

    actions: NDArray[Any]
    rewards: NDArray[Any]
    dones: NDArray[np.bool_]
    infos: dict[str, Any]
    used: int


class Collector:
    """Plays the environments with a policy.

    Args:
        env: in autoreset mode NEXT_STEP or SAME_STEP.
        policy: acts.
        flattener: of the observations.
        actions: of the policy.
        targets: privileged targets, where an auxiliary loss wants them.
        device: of the policy.

    Attributes:
        rows: the present observation; None before `start`, and where a step was broken off.
        state: of the memory before it.
        before: whether the last two steps ended an episode, bool, shape (2, B).
        log: from which the environments can be brought back.
        recent: finished episodes.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: MemoryPolicy,
        flattener: Flattener,
        actions: Categoricals,
        targets: PrivilegedTargets | None,
        device: torch.device,
    ) -> None:
        self.env, self.policy, self.flattener, self.actions = env, policy, flattener, actions
        self.targets, self.device = targets, device
        self.mode: AutoresetMode = env.metadata["autoreset_mode"]
        n = env.num_envs
        self.rows: NDArray[np.float32] | None = None
        self.state: State = {}
        self.before: NDArray[np.bool_] = np.zeros((2, n), np.bool_)
        self.log = EpisodeLog(n)
        self.returns: NDArray[np.float64] = np.zeros(n)  # of the episodes under way, as are the lengths
        self.lengths: NDArray[np.int64] = np.zeros(n, np.int64)
        self.recent = Recent.empty(n)

    def start(self, seed: int) -> None:
        """Begin episode 0 of `seed` + i in environment i."""
        n = self.env.num_envs
        observation, _ = self.env.reset(seed=seed)
        self.rows = self.flattener.rows(observation, n).copy()
        self.state = self.policy.initial_state(n, self.device)
        # as if an episode had just ended: what is seen now is a first observation
        self.before = np.zeros((2, n), np.bool_)
        self.before[0 if self.mode is AutoresetMode.NEXT_STEP else 1] = True
        self.log.start(seed)
        self.returns[:], self.lengths[:] = 0.0, 0

    def position(self) -> Position | None:
        """Where it stands, to be left alone by what follows; None before `start`."""
        if self.rows is None:
            return None
        return Position(
            self.rows.copy(),
            self.before.copy(),
            self.state,  # never changed in place
            self.log.copy(),
            self.returns.copy(),
            self.lengths.copy(),
            self.recent.copy(),
        )

    def go_to(self, position: Position) -> None:
        """Bring the environments, and all else, to a position.

        Raises:
            WeightsInvalid: the environments are not those of the position: they show something else there.
        """
        self.rows = None
        problem = "they are of another kind, or have other arguments"
        try:
            rows = self.flattener.rows(replay(self.env, position.log), self.env.num_envs)
        except (ValueError, TypeError, LookupError, OverflowError, AssertionError, gym.error.Error) as error:
            rows, problem = None, str(error)
        if rows is None or not np.array_equal(rows, position.rows):
            raise WeightsInvalid(
                f"the environments do not come to where the checkpoint left them: {problem}. Pass "
                "reset_num_timesteps=True to learn() to train in these from new episodes on."
            )
        self.rows, self.before, self.state, self.log = rows.copy(), *position[1:3], position.log.copy()
        self.returns, self.lengths = position.returns.copy(), position.lengths.copy()
        self.recent = position.recent.copy()

    @torch.no_grad()
    def collect(self, rollout: Rollout, on_step: Callable[[StepReport], None]) -> None:
        """Fill `rollout`, and go on where the last one ended.

        Args:
            rollout: for as many environments.
            on_step: called after every step.

        Raises:
            ObservationInvalid: an observation of another shape, or not finite, or a last one that is missing.
            RewardInvalid: rewards or ends of another shape, rewards that are not finite, or privileged targets of
                other names, shapes or types than declared, or outside their range.
        """
        assert self.rows is not None
        num_logits, step, n = self.actions.num_logits, self.policy.step, rollout.num_envs
        rollout.begin(self.before.copy(), self.state)
        noise = self.actions.gumbel_noise(rollout.steps, n, device=self.device).unbind(0)
        inputs, reset, outputs = rollout.rows.unbind(0), rollout.reset.unbind(0), rollout.outputs.unbind(0)
        rows, ended, choices = rollout.rows.numpy(), rollout.ended.numpy(), rollout.choices.numpy()
        starts = rollout.reset.numpy()
        rewards, terminated = rollout.rewards.numpy(), rollout.terminated.numpy()
        for t in range(rollout.steps):
            rows[t] = self.rows
            self._read_targets(rollout, t)
            start = reset[t].to(self.device) if starts[t].any() else None
            output, state = step(inputs[t].to(self.device), self.state, start)
            outputs[t].copy_(output)
            choices[t] = self.actions.mode(output[:, :num_logits] + noise[t]).cpu().numpy()
            actions = self.actions.to_env(choices[t])
            self.rows = None  # until all is known of the step: whatever breaks it off, new episodes begin
            observation, reward, over, timeout, infos = self.env.step(actions)
            reward, over = _column("rewards", reward, n), _column("terminations", over, n, np.bool_)
            timeout = _column("truncations", timeout, n, np.bool_)
            rewards[t], terminated[t] = reward, over
            done = np.logical_or(over, timeout, out=ended[t + 2])
            if self.mode is not AutoresetMode.NEXT_STEP and (cut := timeout & ~over).any():
                self._value_final(rollout, t, np.flatnonzero(cut), infos, state)
            self.log.append(actions, ended[t + 1] if self.mode is AutoresetMode.NEXT_STEP else done)
            used = self._count(reward, done, ended[t + 1], infos)
            self.rows = self.flattener.rows(observation, n)
            self.state, self.before = state, ended[t + 1 : t + 3]
            on_step(StepReport(actions, reward, done.copy(), infos, used))
        rows[-1] = self.rows
        self.rows, self.before = rows[-1].copy(), self.before.copy()
        outputs[-1].copy_(step(inputs[-1].to(self.device), self.state, reset[-1].to(self.device))[0])
        self._check(rollout)

    def _read_targets(self, rollout: Rollout, t: int) -> None:
        if self.targets is None:
            return
        given = self.targets.read()
        if not isinstance(given, Mapping) or given.keys() != rollout.targets.keys():
            names = list(given) if isinstance(given, Mapping) else type(given).__name__
            raise RewardInvalid(f"privileged targets are {list(rollout.targets)}, and `read` gave {names}.")
        for name, kept in rollout.targets.items():
            values = np.asarray(given[name])
            if values.dtype.kind not in "biu" or values.shape != kept.shape[1:]:
                raise RewardInvalid(
                    f"privileged target {name!r} is integers of shape {tuple(kept.shape[1:])}, and `read` gave "
                    f"{values.dtype}{values.shape}."
                )
            kept.numpy()[t] = values

    def _value_final(
        self, rollout: Rollout, t: int, index: NDArray[np.intp], infos: dict[str, Any], state: State
    ) -> None:
        """Mode SAME_STEP: the values of the last observations of truncated episodes, which only the infos hold."""
        space = self.env.single_observation_space
        last = create_empty_array(space, len(index))
        try:
            last = concatenate(space, [infos["final_obs"][i] for i in index], last)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ObservationInvalid(
                "in autoreset mode SAME_STEP infos['final_obs'] holds the last observation of each episode that "
                f"ended; in step {t} of the rollout it does not: {type(error).__name__}: {error}."
            ) from error
        rows = self.flattener.rows(last, len(index))
        if not np.isfinite(rows).all():
            raise ObservationInvalid(f"a last observation is not finite, in step {t} of the rollout.")
        chosen = torch.from_numpy(index)
        some = {name: leaf[chosen.to(self.device)] for name, leaf in state.items()}
        values = self.policy.step(torch.from_numpy(rows).to(self.device), some)[0][:, -1]
        rollout.final_values[t, chosen] = values.cpu()

    def _count(
        self, reward: Any, ended: NDArray[np.bool_], ended_before: NDArray[np.bool_], infos: dict[str, Any]
    ) -> int:
        """Keep the statistics of episodes; the number of actions that were used."""
        used = len(ended)
        self.returns += reward
        self.lengths += 1
        if self.mode is AutoresetMode.NEXT_STEP:
            self.lengths -= ended_before
            used -= int(ended_before.sum())
        index = np.flatnonzero(ended)
        if index.size:
            infos = infos if self.mode is AutoresetMode.NEXT_STEP else infos.get("final_info", infos)
            self.recent.returns.extend(self.returns[index].tolist())
            self.recent.lengths.extend(self.lengths[index].tolist())
            if "success" in infos:
                successes = _column("infos['success']", infos["success"], len(ended))
                self.recent.successes.extend(successes[index].tolist())
            self.returns[index], self.lengths[index] = 0.0, 0
        return used

    def _check(self, rollout: Rollout) -> None:
        """Refuse what cannot be learned from; the environments then start anew."""
        problem: Exception | None = None
        if not rollout.rows.isfinite().all():
            where = _first(~rollout.rows.isfinite().all(-1))
            problem = ObservationInvalid(f"an observation is not finite (NaN or infinite), {where}.")
        elif not rollout.rewards.isfinite().all():
            problem = RewardInvalid(f"a reward is not finite, {_first(~rollout.rewards.isfinite())}.")
        elif self.targets is not None:
            for name, values in rollout.targets.items():
                wrong = ((values < -1) | (values >= self.targets.sizes[name][1])).any(-1)
                if wrong.any():
                    problem = RewardInvalid(f"privileged target {name!r} is out of range, {_first(wrong)}.")
        if problem is not None:
            self.rows = None
            raise problem


def _column(what: str, values: Any, count: int, dtype: Any = None) -> NDArray[Any]:
    """What a step gave for each environment, as an array.

    Raises:
        RewardInvalid: it is not as many.
    """
    try:
        column = np.asarray(values, dtype)
    except (TypeError, ValueError) as error:  # rows of several lengths among them
        raise RewardInvalid(f"{what} are not numbers: {error}.") from error
    if column.shape != (count,):
        raise RewardInvalid(f"{what} have shape {column.shape}, not {(count,)}.")
    return column


def _first(where: torch.Tensor) -> str:
    step, env = where.nonzero()[0].tolist()
    return f"first in environment {env}, step {step} of the rollout"
