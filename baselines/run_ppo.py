"""One run of a recipe by MemoryPPO: train, evaluate greedily on unseen episodes, tell what it cost."""

import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.callbacks import BaseCallback

import memgym  # noqa: F401
from memgym.agents.nn.forgetting import EmbeddingForgetting
from memgym.agents.ppo import MemoryPPO
from memgym.agents.ppo.errors import TrainingDiverged
from memgym.agents.sb3 import success_rate
from memgym.baselines.recipe import RecipeInvalid, Run, run_named
from memgym.core.arguments import check_integer, check_number
from memgym.core.evaluate import versions
from memgym.core.result import write_atomically

__all__ = ["run_ppo"]

EVALUATION_SEED = 1_000_000
POINTS = 40  # of the learning curve, each also a checkpoint
OF_THE_MACHINE = ("device", "num_threads", "tensorboard_log", "verbose")  # arguments that no checkpoint holds


def run_ppo(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds `cell`, `total_timesteps` and arguments of `MemoryPPO`; ``forgetting`` is a table of arguments of
    `EmbeddingForgetting`. ``pretraining`` is a share of the steps that self-pretraining takes (`MemoryPPO.pretrain`),
    in the environment that learning begins with. A list ``curriculum`` of tables with a `share` of the other steps
    and arguments of the environment comes before the environment itself, which gets the rest; all stages have the
    same spaces. Evaluations are greedy, on the first episodes of the test split unless the recipe names another.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.

    Returns:
        Results by evaluation, the learning curve (environment steps, share of successes among the training episodes
        since the last point), how training diverged or None, CPU seconds of training, parameters, bytes of memory,
        environment steps, versions.

    Raises:
        RecipeInvalid: an argument that `MemoryPPO` or the environment does not take.
    """
    torch.set_num_threads(1)
    settings = dict(run.train)
    with run_named(run):
        cell, total = str(settings.pop("cell")), settings.pop("total_timesteps")
        check_integer("total_timesteps", total, 1, 1 << 60)
        foresight = _foresight_steps(settings.pop("pretraining", 0.0), total)
        total -= foresight
        stages = _stages(settings.pop("curriculum", []), total, run.env)
        _check_spaces([env for _, env in stages], run.evaluations)
        if "forgetting" in settings:
            settings["forgetting"] = EmbeddingForgetting(**settings["forgetting"])
        again = {name: settings[name] for name in OF_THE_MACHINE if name in settings}
        progress = _Progress(checkpoint, total, {"cell": cell, **again})
        num_envs = settings.pop("n_envs", 128)

        def fresh() -> MemoryPPO:
            return MemoryPPO(cell, _make_envs(stages[0][1], num_envs), seed=run.seed, **settings)

        model = progress.resume(stages)
        if model is None:
            model = fresh()
            if foresight:
                model.pretrain(foresight)
        diverged = _learn(model, stages, progress)
        if diverged:  # what is judged are the last weights that were kept
            model = progress.resume(stages) or fresh()
    content = {
        "results": [
            {"env": env, "score": success_rate(model, _make_test_envs(env, run.episodes), EVALUATION_SEED)}
            for env in run.evaluations
        ],
        "diverged": diverged,
        "curve": progress.curve,
        "cpu_seconds": round(progress.cpu_seconds, 1),
        "params": model.card.parameters,
        "state_nbytes": model.policy.backbone.state_nbytes(),
        "env_steps": model.card.training_steps,
        "versions": {**versions(), "torch": torch.__version__},
    }
    return content


def _check_spaces(learned: list[dict[str, Any]], judged: list[dict[str, Any]]) -> None:
    """Refuse an environment that cannot be made, or that the agent cannot play, before it has learned for hours."""
    made = [*(_make_envs(env, 1) for env in learned), *(_make_test_envs(env, 1) for env in judged)]
    for env, envs in zip((*learned, *judged), made, strict=True):
        for space in ("single_observation_space", "single_action_space"):
            if getattr(envs, space) != getattr(made[0], space):
                raise ValueError(f"{env} has another {space} than {learned[0]}.")


def _learn(model: MemoryPPO, stages: list[tuple[int, dict[str, Any]]], progress: "_Progress") -> str | None:
    """Learn what is left of all stages; how it diverged, which is a result too, or None."""
    total = stages[-1][0]
    try:
        for stage in range(progress.stage, len(stages)):
            end, env = stages[stage]
            if stage > progress.stage:
                model.set_env(_make_envs(env, model.n_envs))
            progress.stage = stage
            if end > model.num_timesteps:
                model.learn(end - model.num_timesteps, callback=progress, schedule_end=total)
    except TrainingDiverged as error:
        return f"after {model.num_timesteps} steps: {error}"
    return None


def _foresight_steps(share: Any, total: int) -> int:
    check_number("pretraining", share, 0.0, 0.99)
    return round(share * total)


def _stages(curriculum: list[Any], total: int, env: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The step at which each stage ends, and its environment."""
    stages, begun = [], 0.0
    for table in curriculum:
        changed = {**env, **table}
        begun += float(changed.pop("share"))
        if not 0 < begun < 1:
            raise ValueError(f"curriculum: shares are above 0 and together below 1, not {begun:g}")
        stages.append((round(begun * total), changed))
    return [*stages, (total, env)]


def _make_envs(env: dict[str, Any], num_envs: int, **changed: Any) -> VectorEnv:
    arguments = {"copy": False, **env, **changed}
    return gym.make_vec(arguments.pop("id"), num_envs=num_envs, **arguments)


def _make_test_envs(env: dict[str, Any], episodes: int) -> VectorEnv:
    return _make_envs({"split": "test", **env}, episodes, autoreset_mode=AutoresetMode.SAME_STEP)


class _Progress(BaseCallback):
    """The learning curve of a run, and checkpoints of it.

    Args:
        path: common beginning of their names.
        total: steps of the run.
        loading: arguments of `MemoryPPO.load`.
    """

    def __init__(self, path: Path, total: int, loading: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.total, self.loading = path, total, loading
        self._kept: list[dict[str, Any]] = []  # notes of the checkpoints
        self.stage = 0
        self.curve: dict[str, list[float]] = {"steps": [], "success": []}
        self.cpu_seconds = 0.0
        self._since = time.process_time()
        self._successes = self._episodes = (
            0  # since the last point: a checkpoint, which stands at one, has none
        )

    def resume(self, stages: list[tuple[int, dict[str, Any]]]) -> MemoryPPO | None:
        """The model of an interrupted run, None where there is none.

        Raises:
            RecipeInvalid: its files are damaged.
        """
        if not (self._notes.is_file() and self.path.with_name(f"{self.path.name}.safetensors").is_file()):
            return None
        try:
            steps = MemoryPPO.load(self.path, **self.loading).num_timesteps
            [kept] = (one for one in json.loads(self._notes.read_bytes()) if one["steps"] == steps)
            self.stage, self.curve, self.cpu_seconds = kept["stage"], kept["curve"], kept["cpu_seconds"]
            envs = _make_envs(stages[self.stage][1], kept["n_envs"])
            model = MemoryPPO.load(self.path, envs, **self.loading)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RecipeInvalid(f"{self.path}.* cannot be gone on from: {error!r}. Delete them.") from error
        self._kept = [kept]
        return model

    @property
    def _notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.notes")

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        self._episodes += np.count_nonzero(dones)
        self._successes += np.count_nonzero(dones & self.locals["infos"]["success"])
        return True

    def _on_rollout_start(self) -> None:
        steps = self.model.num_timesteps
        points = self.curve["steps"]
        if steps < (len(points) + 1) * self.total / POINTS or steps in points[-1:]:
            return
        self._add_point()
        model: Any = self.model
        kept = {
            "stage": self.stage,
            "n_envs": model.n_envs,
            "steps": steps,
            "curve": {name: list(values) for name, values in self.curve.items()},
            "cpu_seconds": self.cpu_seconds,
        }
        # a kill may come between the two: the checkpoint before this one has notes too
        self._kept = [*self._kept[-1:], kept]
        write_atomically(self._notes, json.dumps(self._kept).encode())
        model.save(self.path)

    def _on_training_end(self) -> None:
        self._add_point()

    def _add_point(self) -> None:
        now = time.process_time()
        self.cpu_seconds += now - self._since
        self._since = now
        self.curve["steps"].append(self.model.num_timesteps)
        self.curve["success"].append(round(self._successes / max(self._episodes, 1), 4))
        self._successes = self._episodes = 0
