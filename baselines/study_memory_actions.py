"""Does memory pay, and is it the memory? Plain PPO on a longer T-Maze with, without and with hidden slots.

::

    python -m memgym.baselines.study_memory_actions --out runs/study

Five corridors of ten steps, and five seeds of three conditions: one slot (`MemoryActions`), the same slot with
its content hidden (as many actions, nothing to remember with), and no wrapper at all. All start with a third
of their steps in corridors of three. It takes about 30 CPU minutes on one thread; interrupt it and call it
again, and it goes on with the next run. Greedy success on 1,000 episodes of the test split: 1.000 for every
seed with memory; without, at most 0.036, where chance is 0.5^5 = 0.031.

The curve is *greedy* success on 200 episodes of the test split, which are not among the 1,000 of the final
score, always in corridors of ten steps. It is the harder measure: with sampled actions an agent can wait at a
cue until it happens to write, where the greedy one waits for ever: success in training rises earlier, and the
greedy curves fall back to 0.04 or to 0 now and then before they stay at 1.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback

from memgym.agents.sb3 import success_rate
from memgym.baselines.study import Planned, all_versions, run_file, run_missing, study_main
from memgym.baselines.t_maze_training import ENV_ID
from memgym.baselines.train_ppo_memory import Config, make_envs, train
from memgym.errors import DependencyMissing

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise DependencyMissing.for_extra("matplotlib", "plots", "the study's plot") from error

NAME = "memory_actions_n5_l10"
COMMAND = "python -m memgym.baselines.study_memory_actions --out runs/study"
TASK = Config(num_corridors=5, corridor_length=10, total_steps=800_000, gamma=0.99, entropy=0.003)
# Why not the task from the start: of ten seeds (1.5 million steps, 256 environments, entropy 0.01) five failed.
# In three, too few cues were written and survived ten steps for PPO to learn from them; two passed with sampled
# actions alone.
STAGES = (replace(TASK, corridor_length=3, total_steps=400_000), TASK)
SEEDS = (0, 1, 2, 3, 4)
CONDITIONS: dict[str, dict[str, Any]] = {
    "memory": {},
    "hidden": {"show_memory": False},
    "no_wrapper": {"num_slots": 0},
}
CURVE_EPISODES = 200
CURVE_SEED = 1_000_000  # the final score plays seeds 0 to 999
ROLLOUTS_PER_POINT = 4


class GreedyCurve(BaseCallback):
    """Greedy success before each fourth rollout, the first included, and at the end of each stage.

    Args:
        envs: episodes to play, the same each time.
    """

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        super().__init__()
        self.envs = envs
        self.steps: list[int] = []
        self.success: list[float] = []
        self._steps_before = 0  # of the stages that are over
        self._rollouts = 0

    def _on_step(self) -> bool:
        return True

    def _on_training_start(self) -> None:
        self._rollouts = 0

    def _on_rollout_start(self) -> None:
        # a stage starts where the last one ended, which has its point
        if self._rollouts % ROLLOUTS_PER_POINT == 0 and (self._rollouts or not self.steps):
            self._add_point()
        self._rollouts += 1

    def _on_training_end(self) -> None:
        self._add_point()
        self._steps_before = self.steps[-1]

    def _add_point(self) -> None:
        self.steps.append(self._steps_before + self.num_timesteps)
        self.success.append(success_rate(self.model, self.envs, seed=CURVE_SEED))


def run_once(stages: Sequence[Config]) -> dict[str, Any]:
    """Train one agent stage by stage; tell its scores on the last one's task, and its learning curve there."""
    last = stages[-1]
    curve = GreedyCurve(make_envs(last, "test", CURVE_EPISODES, last.num_corridors))
    model, runs = None, []
    for stage in stages:
        model, run = train(stage, [curve], model)
        runs.append(run)
    return {
        "steps": curve.steps[-1],
        "cpu_seconds": round(sum(run["cpu_seconds"] for run in runs), 1),
        "eval": runs[-1]["eval"],
        "curve": {"steps": curve.steps, "success": curve.success},
    }


def run_study(
    out: Path,
    stages: Sequence[Config] = STAGES,
    seeds: Sequence[int] = SEEDS,
    conditions: Sequence[str] = tuple(CONDITIONS),
) -> None:
    """Run what `out` does not hold yet; one file a run.

    Raises:
        ValueError: `out` holds a run of another configuration or of other versions.
    """
    last, made_with = f"success_n{stages[-1].num_corridors}", all_versions()
    planned = []
    for condition, seed in product(conditions, seeds):
        mine = [replace(stage, seed=seed, **CONDITIONS[condition]) for stage in stages]
        made_by = {"stages": [asdict(stage) for stage in mine], "versions": made_with}
        planned.append(Planned(condition, seed, made_by, partial(run_once, mine)))
    run_missing(out, planned, lambda run: f"success {run['eval'][last]}")


def summary(out: Path, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """All runs of a finished study, with what they have in common said once."""
    runs = [json.loads(run_file(out, name, seed).read_text()) for name in CONDITIONS for seed in seeds]
    first = runs[0]
    common = ("stages", "versions")
    return {
        "study": NAME,
        "command": COMMAND,
        "env_id": ENV_ID,
        "algorithm": "stable_baselines3.PPO, MlpPolicy",
        "stages": first["stages"],
        "conditions": CONDITIONS,
        "seeds": list(seeds),
        "chance": 0.5**TASK.num_corridors,
        "curve": f"greedy success on {CURVE_EPISODES} episodes of the test split, not those of the final score",
        "cpu_seconds": "training with its curve, on one thread",
        "versions": first["versions"],
        "runs": [{key: value for key, value in run.items() if key not in common} for run in runs],
    }


def plot(study: dict[str, Any]) -> bytes:
    """The learning curves as a PNG: a line for each seed, a colour for each condition."""
    looks = {
        "no_wrapper": ("#E69F00", "no wrapper"),
        "hidden": ("#7A4FA3", "one slot, hidden"),
        "memory": ("#0072B2", "one slot"),
    }
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for condition, (colour, label) in looks.items():
        for run in study["runs"]:
            if run["condition"] == condition:
                millions = [steps / 1e6 for steps in run["curve"]["steps"]]
                axes.plot(millions, run["curve"]["success"], color=colour, linewidth=1.2, label=label)
                label = None  # one entry of the legend for all seeds
    switch = STAGES[0].total_steps / 1e6
    axes.axvline(switch, color="grey", linewidth=1)
    axes.text(
        switch - 0.01, 0.1, f"training in corridors of {STAGES[0].corridor_length}", color="grey", ha="right"
    )
    axes.text(switch + 0.01, 0.1, f"of {TASK.corridor_length}", color="grey")
    axes.axhline(study["chance"], color="black", linewidth=1, linestyle=":", label="chance, $0.5^5$")
    axes.set_title("Plain PPO with an MLP on Endless T-Maze, 5 corridors of 10 steps")
    axes.set_xlabel("environment steps (millions)")
    axes.set_ylabel(f"greedy success, {CURVE_EPISODES} unseen episodes")
    axes.set_xlim(left=0)
    axes.set_ylim(-0.02, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title=f"{len(study['seeds'])} seeds each", frameon=False, loc="center left", reverse=True)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing; when all runs are there, write the summary and the plot beside them."""
    study_main(
        arguments,
        name=NAME,
        command=COMMAND,
        description=f"Five seeds with memory, with hidden memory and without; writes {NAME}.json and .png.",
        conditions=tuple(CONDITIONS),
        seeds=SEEDS,
        run=lambda out, conditions: run_study(out, conditions=conditions),
        summary=summary,
        plot=plot,
    )


if __name__ == "__main__":
    main()
