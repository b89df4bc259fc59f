"""MemoryPPO: proximal policy optimisation with any memory of `memgym.agents.nn` between seeing and acting."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from memgym.agents.nn.forgetting import EmbeddingForgetting
from memgym.agents.ppo.agent import MemoryAgent
from memgym.agents.ppo.blueprint import MAX_SEED, Blueprint
from memgym.agents.ppo.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from memgym.agents.ppo.collector import Collector, StepReport
from memgym.agents.ppo.curve import TrainingCurve
from memgym.agents.ppo.environments import env_id, make_vector_env, memory_actions_of
from memgym.agents.ppo.forgetting import InputForgetting
from memgym.agents.ppo.pretraining import Pretraining, pretrain_policy
from memgym.agents.ppo.privileged import PrivilegedTargets, TargetsOf, targets_of
from memgym.agents.ppo.resume import can_replay
from memgym.agents.ppo.rollout import Rollout
from memgym.agents.ppo.saved import (
    Mark,
    check_weights,
    mark_from_tensors,
    mark_to_tensors,
    restore_optimizer,
    restore_policy,
    training_tensors,
)
from memgym.agents.ppo.settings import PolicySize, Schedule, Settings, value_at
from memgym.agents.ppo.stochastic import find_device, thread_count
from memgym.agents.ppo.update import Updater
from memgym.agents.weights_io import WeightsInvalid
from memgym.core.arguments import check_integer

__all__ = ["MemoryPPO"]


class MemoryPPO(MemoryAgent):
    """Recurrent PPO over any memory cell, in the shape of Stable-Baselines3's algorithms.

    Rollouts keep the observations of T steps of all environments and the memory's state before the first; each epoch
    runs the whole sequences through the memory again, resets included, and learns by backpropagation through all T
    steps. Minibatches are over environments, never over time. After a truncation the value of the last observation
    stands for what would have followed; after a termination nothing does.

    The call of `learn` sets torch to `num_threads` threads, one unless told: the operations are small, and more
    threads wait for each other.

    Args:
        cell: name of the memory in each block, see `memgym.agents.nn.MODULES`, or ``"module:attr"``.
        env: a registered id, of which `n_envs` are made at once; a gymnasium VectorEnv in autoreset mode NEXT_STEP or
            SAME_STEP; or one gymnasium Env. Observations are Box, Discrete, MultiDiscrete, MultiBinary, or Dict and
            Tuple of these, actions Discrete or MultiDiscrete (`memgym.wrappers.MemoryActionsVector` among them).
        module_kwargs: arguments of the memory, e.g. ``{"hidden": 128}``.
        policy_kwargs: sizes of the rest, see `PolicySize`: ``size``, ``num_layers``, ``ffn_mult``.
        n_envs: environments to make from an id.
        env_kwargs: arguments for an id.
        n_steps: steps of each environment between two updates.
        n_epochs: passes over them in an update.
        n_minibatches: parts of the environments in a pass.
        learning_rate: a number, or a pair (first, last) for one that falls linearly over `learn`.
        gamma: discount.
        gae_lambda: of the advantage estimates.
        clip_range: of the probability ratio.
        ent_coef: weight of the entropy bonus; also a pair.
        vf_coef: weight of the value loss.
        max_grad_norm: longest gradient.
        aux_targets: True to have the network tell the hidden state of memgym's environments from its memory while it
            learns (`privileged_targets`), or a function from the vector environment to `PrivilegedTargets`. The card
            names these targets; acting does not use them.
        aux_coef: weight of that loss.
        forgetting: when the weights of the inputs are forgotten, see `memgym.agents.ppo.forgetting`; None for never.
        seed: of the network, the actions, the order of minibatches and the environments; None to draw one.
        device: where to compute.
        num_threads: of torch during `learn`.
        tensorboard_log: folder for TensorBoard.
        verbose: 1 to print the log of each update.
        name: of the agent; ``memory-ppo-CELL`` unless told.

    Raises:
        ValueError: an argument outside its range, or an environment that cannot be learned.
        UnknownName: no such memory.

    >>> model = MemoryPPO("gru", "memgym/EndlessTMaze-v0", n_envs=4, n_steps=8, seed=0)
    >>> model.learn(64).num_timesteps >= 64
    True
    """

    def __init__(
        self,
        cell: str,
        env: str | VectorEnv | gym.Env,
        *,
        module_kwargs: Mapping[str, Any] | None = None,
        policy_kwargs: Mapping[str, Any] | None = None,
        n_envs: int = 128,
        env_kwargs: Mapping[str, Any] | None = None,
        n_steps: int = 32,
        n_epochs: int = 4,
        n_minibatches: int = 4,
        learning_rate: Schedule = 1e-3,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float = 0.2,
        ent_coef: Schedule = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        aux_targets: bool | TargetsOf = False,
        aux_coef: float = 0.5,
        forgetting: EmbeddingForgetting | None = None,
        seed: int | None = None,
        device: str | torch.device = "cpu",
        num_threads: int = 1,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        name: str | None = None,
    ) -> None:
        check_integer("n_envs", n_envs, 1, 1 << 24)
        settings = Settings(
            n_steps=n_steps,
            n_epochs=n_epochs,
            n_minibatches=n_minibatches,
            learning_rate=learning_rate,
            gamma=gamma,
            gae_lambda=gae_lambda,
            clip_range=clip_range,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            aux_coef=aux_coef,
        )
        try:
            sizes = PolicySize(**(policy_kwargs or {}))
        except TypeError as error:
            raise ValueError(f"policy_kwargs are size, num_layers and ffn_mult: {error}.") from error
        envs = make_vector_env(env, n_envs, env_kwargs)
        targets, self._aux_targets = targets_of(envs, aux_targets), aux_targets
        blueprint = Blueprint(
            cell=cell,
            module_kwargs={} if module_kwargs is None else module_kwargs,
            sizes=sizes,
            settings=settings,
            observation_space=envs.single_observation_space,
            action_space=envs.single_action_space,
            aux_sizes={} if targets is None else dict(targets.sizes),
            memory_actions=memory_actions_of(envs),
            trained_on=env_id(envs),
            name=name or f"memory-ppo-{str(cell).replace(':', '.')}",
            seed=int(np.random.default_rng().integers(MAX_SEED)) if seed is None else seed,
            n_envs=envs.num_envs,
            forgetting=forgetting,
        )
        self._set_up(blueprint, envs, targets, device, num_threads, tensorboard_log, verbose)

    def _set_up(
        self,
        blueprint: Blueprint,
        env: VectorEnv | None,
        targets: PrivilegedTargets | None,
        device: str | torch.device,
        num_threads: int,
        tensorboard_log: str | None,
        verbose: int,
    ) -> None:
        check_integer("num_threads", num_threads, 1, 1024)
        super().__init__(blueprint, find_device(device))
        self.env = env
        self.num_threads, self.tensorboard_log, self.verbose = int(num_threads), tensorboard_log, verbose
        self.num_updates = 0
        self.logger: Any = None
        self._has_own_logger = False
        self._targets = targets
        self._updater = Updater(self.policy, self._actions, blueprint.settings, self.device)
        self._forgetting = InputForgetting.of(blueprint, self.policy.encoder)
        self._collector: Collector | None = None
        self._resume_from: Mark | None = None  # of a checkpoint, until the environments are brought there
        self._mark = self._make_mark()

    # ------------------------------------------------------------------ learning

    def pretrain(self, total_timesteps: int, *, learning_rate: float = 1e-3) -> Self:
        """Before `learn`: let encoder and memory learn to foresee what random actions make the environments show.

        The head stays fresh, and `learn` begins with the episodes and random numbers that it would begin with
        anyway. The card names it. See `memgym.agents.ppo.pretraining`.

        Args:
            total_timesteps: steps, resets included, in whole rollouts; each gives as many updates as in `learn`.
            learning_rate: peak of a cosine schedule.

        Raises:
            ValueError: there is no environment, it is of the test split, or training has begun already.
        """
        if self.env is None or self.num_updates or self._collector or self.pretraining:
            raise ValueError("pretraining comes once, first of all, in environments.")
        args = self.policy, self.env, self.blueprint, total_timesteps, learning_rate
        with thread_count(self.num_threads):
            self.pretraining = pretrain_policy(*args)
        return self

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int = 1,
        tb_log_name: str = "MemoryPPO",
        reset_num_timesteps: bool = False,
        progress_bar: bool = False,
        schedule_end: int | None = None,
    ) -> Self:
        """Learn for at least `total_timesteps` further environment steps, in whole rollouts.

        It goes on where the last call, or the checkpoint, ended: with constant schedules ``learn(a)``, saving,
        loading and ``learn(b)`` give the same weights as ``learn(a)`` and ``learn(b)`` without a break, and so they
        do where schedules change, given the same `schedule_end`.

        Args:
            total_timesteps: steps whose action was used; in autoreset mode NEXT_STEP the resets do not count.
            callback: a callback of Stable-Baselines3, a function, or a list of them. One that returns False ends the
                training after the update that is under way. Its locals hold ``actions``, ``rewards``, ``dones`` and
                ``infos`` (the vector environment's own dict).
            log_interval: updates between two lines of the log.
            tb_log_name: of the run in TensorBoard.
            reset_num_timesteps: count from zero, and begin new episodes.
            progress_bar: show one on a terminal.
            schedule_end: steps, from the first on, at which schedules end; by default the end of this call.

        Raises:
            ValueError: there is no environment: pass one to `load`, or call `set_env`.
            ObservationInvalid: an observation is not finite, or of another shape.
            RewardInvalid: a reward, an episode's end or a privileged target from which nothing can be learned.
            TrainingDiverged: the loss is not finite.
            WeightsInvalid: the environments are not those that the checkpoint was made with.
        """
        from memgym.agents.ppo.logs import Stopwatch, make_callback, make_logger, record

        check_integer("total_timesteps", total_timesteps, 1, 1 << 60)
        check_integer("log_interval", log_interval, 1, 1 << 60)
        if self.env is None:
            raise ValueError("there is no environment to learn in: pass env to load(), or call set_env().")
        with thread_count(self.num_threads), self._training_stream.active():
            collector = self._ready_collector(self.env, reset_num_timesteps)
            goal = self.num_timesteps + total_timesteps
            schedule_end = schedule_end or goal
            chain = make_callback(callback, self, goal, progress_bar)
            if not self._has_own_logger:
                is_new = reset_num_timesteps or self.num_updates == 0
                self.logger = make_logger(self.verbose, self.tensorboard_log, tb_log_name, is_new)
            go_on, stopwatch = True, Stopwatch(self.num_timesteps)

            def on_step(report: StepReport) -> None:
                nonlocal go_on
                self.num_timesteps += report.used
                if chain is not None:
                    chain.update_locals(report._asdict())
                    go_on &= chain.on_step() is not False

            if chain is not None:
                names = {"total_timesteps": goal, "tb_log_name": tb_log_name, "self": self}
                chain.on_training_start(names, globals())
            while go_on and self.num_timesteps < goal:
                if chain is not None:
                    chain.on_rollout_start()
                collector.collect(self._rollout, on_step)
                if chain is not None:
                    chain.on_rollout_end()
                measured = self._update(self.num_timesteps / schedule_end)
                record(self.logger, collector.recent, measured)
                if self.num_updates % log_interval == 0:
                    stopwatch.record(self.logger, self.num_timesteps)
                    self.logger.dump(step=self.num_timesteps)
            if chain is not None:
                chain.on_training_end()
        return self

    def _update(self, progress: float) -> dict[str, float]:
        settings = self.blueprint.settings
        learning_rate = value_at(settings.learning_rate, progress)
        ent_coef = value_at(settings.ent_coef, progress)
        measured = self._updater.update(self._rollout, learning_rate, ent_coef)
        self.num_updates += 1
        recent = [] if self._collector is None else self._collector.recent.returns
        self.training_curve = self.training_curve.add(self.num_updates, self.num_timesteps, recent)
        if self._forgetting is not None:
            self._forgetting.apply(self.num_updates, self._updater.optimizer)
        self._mark = self._make_mark()
        rates = {"learning_rate": learning_rate, "ent_coef": ent_coef}
        return measured | rates | {"n_updates": self.num_updates}

    def _make_mark(self) -> Mark:
        """What `save` writes: the end of the last update, from which a run can go on exactly."""
        position = None if self._collector is None else self._collector.position()
        stream = self._training_stream.position
        return Mark(self.num_timesteps, self.num_updates, self.training_curve, stream, position)

    def _ready_collector(self, env: VectorEnv, is_new: bool) -> Collector:
        """The collector, with the environments where training is to go on."""
        if self._collector is None:
            plan, settings = self.blueprint, self.blueprint.settings
            collector = Collector(
                env, self.policy, self._flattener, self._actions, self._targets, self.device
            )
            self._rollout = Rollout(
                settings.n_steps,
                env.num_envs,
                self._flattener.size,
                self._actions.num_logits,
                len(self._actions.sizes),
                collector.mode,
                {name: count for name, (count, _) in plan.aux_sizes.items()},
            )
            self._collector = collector
        collector, mark = self._collector, self._resume_from
        if is_new:
            self.num_timesteps, self.num_updates, self.training_curve = 0, 0, TrainingCurve()
            collector.start(self.blueprint.seed)
        elif mark is not None and mark.position is not None and can_replay(env):
            collector.go_to(mark.position)
        elif collector.rows is None:
            if mark is not None and mark.position is not None:
                gym.logger.warn(
                    "These environments cannot be brought back to the middle of an episode: they begin new ones, and "
                    "the run goes on otherwise than if it had not been interrupted."
                )
            collector.start((self.blueprint.seed + self.num_timesteps) % MAX_SEED)
        self._resume_from = None
        self._mark = self._make_mark()
        return collector

    # ------------------------------------------------------------------ what callbacks of Stable-Baselines3 ask for

    @property
    def n_envs(self) -> int:
        """Number of environments."""
        return self.blueprint.n_envs

    @property
    def ep_success_buffer(self) -> deque[bool]:
        """Successes of the last episodes."""
        return deque() if self._collector is None else self._collector.recent.successes

    def get_env(self) -> VectorEnv | None:
        """The environments."""
        return self.env

    def get_vec_normalize_env(self) -> None:
        """Nothing: observations are not normalised."""

    def set_logger(self, logger: Any) -> None:
        """Log with a logger of Stable-Baselines3."""
        self.logger, self._has_own_logger = logger, True

    def set_env(self, env: str | VectorEnv | gym.Env, env_kwargs: Mapping[str, Any] | None = None) -> None:
        """Go on learning in other environments with the same spaces, from new episodes on.

        Args:
            env: as in the constructor; of an id, as many are made as before.
            env_kwargs: arguments for an id.

        Raises:
            ValueError: other spaces or auxiliary targets, or another number of environments.
        """
        envs = make_vector_env(env, self.n_envs, env_kwargs)
        self.blueprint.check_env(envs, ValueError)
        targets = targets_of(envs, self._aux_targets, self.blueprint.aux_sizes, ValueError)
        self.env, self._targets, self._collector, self._resume_from = envs, targets, None, None
        self._mark = self._make_mark()  # the next episodes are those of these environments

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write ``path.safetensors`` and ``path.json``: weights, optimiser, random stream and where the environments
        stand. Both are data alone, and each file appears whole or not at all.

        A call in the middle of a rollout, as callbacks make, writes the weights with the end of the last rollout.

        Args:
            path: where; a suffix ``.json``, ``.safetensors`` or ``.zip`` is left out.
        """
        mark = self._resume_from or self._mark
        content, tensors = mark_to_tensors(mark)
        about: dict[str, Any] = {"card": self.card.to_dict(), "blueprint": self.blueprint.to_dict()}
        about |= {"training": content, "pretraining": self.pretraining and self.pretraining._asdict()}
        tensors |= training_tensors(self.policy, self._updater.optimizer)
        write_checkpoint(path, about, tensors)

    @classmethod
    def load(
        cls,
        path: str | Path,
        env: str | VectorEnv | gym.Env | None = None,
        *,
        cell: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        aux_targets: bool | TargetsOf | None = None,
        device: str | torch.device = "cpu",
        num_threads: int = 1,
        tensorboard_log: str | None = None,
        verbose: int = 0,
    ) -> Self:
        """Read what `save` wrote, to act or, with `env`, to go on learning.

        Args:
            path: as given to `save`.
            env: as in the constructor; of an id, as many are made as there were. None to act alone.
            cell: the memory that it must be. It has to be given where it is not a registered one: a file alone
                cannot make Python import a module.
            env_kwargs: arguments for an id.
            aux_targets: as in the constructor; by default the environment's `privileged_targets` where the run had
                auxiliary targets.
            device: where to compute.
            num_threads: of torch during `learn`.
            tensorboard_log: folder for TensorBoard.
            verbose: 1 to print the log of each update.

        Raises:
            WeightsInvalid: a file is missing, truncated, damaged, of another cell or network, or the environment has
                other spaces than those of the run.
        """
        checkpoint = read_checkpoint(path)
        blueprint = Blueprint.from_dict(checkpoint.content.get("blueprint"), cell)
        check_weights(blueprint, checkpoint.tensors)
        envs = None if env is None else make_vector_env(env, blueprint.n_envs, env_kwargs)
        wanted, targets = bool(blueprint.aux_sizes) if aux_targets is None else aux_targets, None
        if envs is not None:
            blueprint.check_env(envs, WeightsInvalid)
            targets = targets_of(envs, wanted, blueprint.aux_sizes, WeightsInvalid)
        model = cls.__new__(cls)
        model._set_up(blueprint, envs, targets, device, num_threads, tensorboard_log, verbose)
        model._aux_targets = wanted
        model._restore(checkpoint)
        return model

    def _restore(self, checkpoint: Checkpoint) -> None:
        tensors = checkpoint.tensors
        restore_policy(self.policy, tensors, self.blueprint.cell)
        restore_optimizer(self.policy, self._updater.optimizer, tensors)
        training = checkpoint.content.get("training")
        if not isinstance(training, dict):
            raise WeightsInvalid("'training' is missing from the checkpoint's JSON file.")
        mark = mark_from_tensors(training, tensors, self.policy, self.n_envs, self.device)
        self.num_timesteps, self.num_updates, self.training_curve = mark[:3]
        self._training_stream.position = mark.stream
        self._resume_from, self.files = mark, checkpoint.files
        self.pretraining = Pretraining.from_json(checkpoint.content.get("pretraining"))
