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
from memgym.baselines.recipe import RecipeInvalid, Run
from memgym.core.arguments import check_number
from memgym.core.evaluate import versions
from memgym.core.result import write_atomically

__all__ = ["run_ppo"]

EVALUATION_SEED = 1_000_000
POINTS = 40  # of the learning curve, each also a checkpoint


def run_ppo(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds `cell`, `total_timesteps` and arguments of `MemoryPPO`; ``forgetting`` is a table of arguments of
    `EmbeddingForgetting`. ``pretraining`` is a share of the steps that self-pretraining takes (`MemoryPPO.pretrain`),
    in the environment that learning begins with. A list ``curriculum`` of tables with a `share` of the other steps
    and arguments of the environment comes before the environment itself, which gets the rest; all stages have the
    same spaces. Evaluations are greedy, on the first episodes of the test split.

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
    try:
        cell, total = str(settings.pop("cell")), int(settings.pop("total_timesteps"))
        foresight = _foresight_steps(settings.pop("pretraining", 0.0), total)
        total -= foresight
        stages = _stages(settings.pop("curriculum", []), total, run.env)
        if "forgetting" in settings:
            settings["forgetting"] = EmbeddingForgetting(**settings["forgetting"])
        progress = _Progress(checkpoint, total)
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
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeInvalid(f"run {run.name}: {error}") from error
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
    return _make_envs(env, episodes, split="test", autoreset_mode=AutoresetMode.SAME_STEP)


class _Progress(BaseCallback):
    """The learning curve of a run, and checkpoints of it."""

    def __init__(self, path: Path, total: int) -> None:
        super().__init__()
        self.path, self.total = path, total
        self.stage = 0
        self.curve: dict[str, list[float]] = {"steps": [], "success": []}
        self.cpu_seconds = 0.0
        self._since = time.process_time()
        self._successes = self._episodes = (
            0  # since the last point: a checkpoint, which stands at one, has none
        )

    def resume(self, stages: list[tuple[int, dict[str, Any]]]) -> MemoryPPO | None:
        """The model of an interrupted run, None where there is none or its files are not of one moment."""
        notes = self._notes
        if not notes.is_file():
            return None
        kept = json.loads(notes.read_text())
        env = stages[kept["stage"]][1]
        model = MemoryPPO.load(self.path, _make_envs(env, kept["n_envs"]))
        if model.num_timesteps != kept["steps"]:
            return None
        self.stage, self.curve, self.cpu_seconds = kept["stage"], kept["curve"], kept["cpu_seconds"]
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
        model.save(self.path)
        kept = {
            "stage": self.stage,
            "n_envs": model.n_envs,
            "steps": steps,
            "curve": self.curve,
            "cpu_seconds": self.cpu_seconds,
        }
        write_atomically(self._notes, json.dumps(kept).encode())

    def _on_training_end(self) -> None:
        self._add_point()

    def _add_point(self) -> None:
        now = time.process_time()
        self.cpu_seconds += now - self._since
        self._since = now
        self.curve["steps"].append(self.model.num_timesteps)
        self.curve["success"].append(round(self._successes / max(self._episodes, 1), 4))
        self._successes = self._episodes = 0
