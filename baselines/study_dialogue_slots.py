"""Stable-Baselines3 learns what to write, replace and erase in a text memory of six slots.

::

    python -m memgym.baselines.study_dialogue_slots --out runs/dialogue_slots

Conversations of five sessions in which every fact changes, a quarter of them are to be forgotten, and more than half
of the turns are small talk; six facts have to be kept in 448 bytes. The same weak reader answers for every agent, so
scores differ by what is in the bank. PPO learns with a reward for operations (`op_reward`), which no reported score
counts; it trains on the train split and is judged on the test split, whose names, values, sentences and small talk
it has never seen, by its greedy policy.

Mean score over 200 conversations, seeds 0 to 4: 0.696, 0.683, 0.724, 0.696, 0.675; `rules` 0.628, `recency` 0.535,
`closed-book` 0.090. With the bank hidden the same training stays below `recency`: 0.512, 0.408, 0.514, 0.512, 0.417.
About a minute of CPU a run. What is left to learn: it erases too little. Of questions about what was to be forgotten
61 % are right, with `recency` all, since it forgets everything. Settings were chosen with seed 0 by conversations of
the train split, where it scores higher: there are no words that it has not seen.

Beside it: the same training with the bank hidden from the policy, and what memgym's agents score in the same episodes
under the same budget. Interrupt it and call it again, and it goes on with the next run.
"""

import io
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from memgym.agents import make_agent
from memgym.agents.sb3 import ProgressLine
from memgym.agents.slot_policy import SlotPolicy
from memgym.baselines.study import Planned, all_versions, run_file, run_missing, study_main
from memgym.core.result import write_atomically
from memgym.core.rollout import play_episode
from memgym.core.trace import Recorder
from memgym.errors import DependencyMissing
from memgym.wrappers import SlotActions, TokenObservation

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise DependencyMissing.for_extra("matplotlib", "plots", "the study's plot") from error

NAME = "dialogue_slots"
COMMAND = "python -m memgym.baselines.study_dialogue_slots --out runs/dialogue_slots"
ENV_ID = "memgym/DialogueMemory-v0"
TASK: Mapping[str, Any] = {
    "num_sessions": 5,
    "turns_per_session": 8,
    "num_facts": 6,
    "num_events": 0,
    "update_rate": 1.0,
    "forget_rate": 0.25,
    "questions_per_session": 4,
    "question_types": ["single-hop", "knowledge-update", "deletion"],
    "answer_format": "choice",
    "reader": "extractive",
    "memory_budget": 448,
    "view_bytes": 448,
}
NUM_SLOTS, TEXT_TOKENS, VOCAB_SIZE = 6, 16, 8192
SEEDS = (0, 1, 2, 3, 4)
CONDITIONS: dict[str, dict[str, Any]] = {"memory": {}, "hidden": {"hide": ("memory", "filled")}}
AGENTS = ("recency", "rules", "closed-book")
EPISODES = 200  # of the test split, for each reported score: 0 to 199 of seed 0
CURVE_EPISODES = 20
CURVE_SEED = 1_000_000
ROLLOUTS_PER_POINT = 8


@dataclass(frozen=True)
class Config:
    """What a run is made of."""

    total_steps: int = 40_960
    """Environment steps."""
    seed: int = 0
    """Of the network, of action sampling and, times 1,000, of the environments."""
    num_envs: int = 32
    """Environments at once."""
    rollout_steps: int = 32
    """Steps of each environment between two updates."""
    minibatches: int = 2
    """Per epoch."""
    epochs: int = 8
    """Per update."""
    learning_rate: float = 4e-3
    """At the start; it falls linearly to zero."""
    gamma: float = 0.8
    """Discount: what an operation is worth shows within few steps, in the reward for operations."""
    gae_lambda: float = 0.9
    """Generalised advantage estimation."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    op_reward: float = 5.0
    """Weight of the reward for operations; with 1, answers that were decided long before drown it."""
    hide: tuple[str, ...] = ()
    """Parts of the observation that the policy does not see."""


class Hidden(gym.ObservationWrapper):
    """Token observations with zeros in some parts.

    Args:
        env: with observations of arrays by name.
        parts: names of what is not to be seen.
    """

    def __init__(self, env: gym.Env, parts: Sequence[str]) -> None:
        super().__init__(env)
        self.parts = parts

    def observation(self, observation: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.int32]]:
        """Zeros in place of what is hidden."""
        return {**observation, **{name: np.zeros_like(observation[name]) for name in self.parts}}


def make_env(split: str, op_reward: float = 0.0, hide: Sequence[str] = ()) -> gym.Env:
    """The task as Stable-Baselines3 plays it."""
    env: gym.Env = gym.make(ENV_ID, disable_env_checker=True, split=split, op_reward=op_reward, **TASK)
    env = TokenObservation(
        SlotActions(env, NUM_SLOTS),
        text_tokens=TEXT_TOKENS,
        memory_entries=NUM_SLOTS,
        vocab_size=VOCAB_SIZE,
    )
    return Hidden(env, hide) if hide else env


def play_greedily(model: PPO, episodes: int, seed: int, hide: Sequence[str] = ()) -> dict[str, Any]:
    """Scores of the greedy policy on the test split: episodes 0, 1, ... of `seed`, all at once."""
    envs = [make_env("test", hide=hide) for _ in range(episodes)]
    now = [env.reset(seed=seed, options={"episode": i})[0] for i, env in enumerate(envs)]
    scores, by_type, bytes_ = np.zeros(episodes), defaultdict(list), np.zeros(episodes)
    playing = list(range(episodes))
    while playing:
        batch = {name: np.stack([now[i][name] for i in playing]) for name in now[0]}
        actions, _ = model.predict(batch, deterministic=True)
        over = []
        for i, action in zip(playing, actions, strict=True):
            now[i], _, terminated, _, info = envs[i].step(action)
            bytes_[i] = max(bytes_[i], info["memory_bytes"])
            if "question_type" in info:
                by_type[info["question_type"]].append(info["question_score"])
            if terminated:
                scores[i] = info["score"]
                over.append(i)
        playing = [i for i in playing if i not in over]
    return _told(scores, by_type, bytes_)


def play_agent(name: str, episodes: int) -> dict[str, Any]:
    """Scores of one of memgym's agents in the same episodes."""
    agent = make_agent(name)
    recorder = Recorder(gym.make(ENV_ID, disable_env_checker=True, split="test", **TASK))
    scores, by_type, bytes_ = [], defaultdict(list), []
    for i in range(episodes):
        episode = play_episode(agent, recorder, recorder, 0, i)
        scores.append(episode.score)
        bytes_.append(episode.bank_bytes)
        for question in episode.questions:
            by_type[question["type"]].append(question["score"])
    return _told(scores, by_type, bytes_)


def _told(scores: Any, by_type: Mapping[str, Sequence[float]], bytes_: Any) -> dict[str, Any]:
    return {
        "score": round(float(np.mean(scores)), 4),
        "memory_bytes": round(float(np.mean(bytes_)), 1),
        "question_types": {name: round(float(np.mean(by_type[name])), 4) for name in sorted(by_type)},
    }


class Curve(BaseCallback):
    """Greedy score before each eighth rollout, the first included, and at the end.

    Args:
        config: of the run.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.steps: list[int] = []
        self.scores: list[float] = []
        self._rollouts = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._rollouts % ROLLOUTS_PER_POINT == 0:
            self._add_point()
        self._rollouts += 1

    def _on_training_end(self) -> None:
        self._add_point()

    def _add_point(self) -> None:
        assert isinstance(self.model, PPO)
        played = play_greedily(self.model, CURVE_EPISODES, CURVE_SEED, self.config.hide)
        self.steps.append(self.num_timesteps)
        self.scores.append(played["score"])


def train(config: Config, callbacks: Sequence[BaseCallback] = ()) -> PPO:
    """Train one agent."""
    envs = DummyVecEnv(
        [lambda: make_env("train", config.op_reward, config.hide) for _ in range(config.num_envs)]
    )
    envs.seed(1000 * config.seed)
    model = PPO(
        SlotPolicy,
        envs,
        n_steps=config.rollout_steps,
        batch_size=config.num_envs * config.rollout_steps // config.minibatches,
        n_epochs=config.epochs,
        learning_rate=lambda left: config.learning_rate * left,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy,
        seed=config.seed,
        device="cpu",
    )
    return model.learn(config.total_steps, callback=[ProgressLine(config.total_steps), *callbacks])


def run_once(config: Config, episodes: int) -> dict[str, Any]:
    """Train one agent; tell its scores and its learning curve."""
    curve, start = Curve(config), time.process_time()
    model = train(config, [curve])
    return {
        "cpu_seconds": round(time.process_time() - start, 1),
        "eval": play_greedily(model, episodes, 0, config.hide),
        "curve": {"steps": curve.steps, "score": curve.scores},
    }


def run_study(out: Path, conditions: Sequence[str] = tuple(CONDITIONS), config: Config | None = None) -> None:
    """Run what `out` does not hold yet; one file a run, one for the agents.

    Raises:
        ValueError: `out` holds a run of another configuration or of other versions.
    """
    made_with, planned = all_versions(), []
    for condition, seed in product(conditions, SEEDS):
        mine = replace(config or Config(), seed=seed, **CONDITIONS[condition])
        made_by = {
            "config": json.loads(json.dumps(asdict(mine))),
            "task": dict(TASK),
            "versions": made_with,
        }
        planned.append(Planned(condition, seed, made_by, partial(run_once, mine, EPISODES)))
    run_missing(out, planned, lambda run: f"score {run['eval']['score']}")
    for name in AGENTS:
        if not (file := out / f"{name}.json").is_file():
            write_atomically(file, json.dumps(play_agent(name, EPISODES)).encode() + b"\n")


def summary(out: Path) -> dict[str, Any]:
    """All runs of a finished study, with what they have in common said once."""
    runs = [json.loads(run_file(out, name, seed).read_text()) for name in CONDITIONS for seed in SEEDS]
    config = {key: value for key, value in runs[0]["config"].items() if key not in ("seed", "hide")}
    return {
        "study": NAME,
        "command": COMMAND,
        "env_id": ENV_ID,
        "algorithm": "stable_baselines3.PPO, memgym.agents.slot_policy.SlotPolicy",
        "task": dict(TASK),
        "view": {"num_slots": NUM_SLOTS, "text_tokens": TEXT_TOKENS, "vocab_size": VOCAB_SIZE},
        "config": config,
        "conditions": CONDITIONS,
        "seeds": list(SEEDS),
        "episodes": f"{EPISODES} of the test split, greedy policy; the same for all",
        "curve": f"greedy policy on {CURVE_EPISODES} others of the test split",
        "cpu_seconds": "training with its curve, on one thread",
        "versions": runs[0]["versions"],
        "agents": {name: json.loads((out / f"{name}.json").read_text()) for name in AGENTS},
        "runs": [
            {key: value for key, value in run.items() if key not in ("config", "task", "versions")}
            for run in runs
        ],
    }


def plot(study: dict[str, Any]) -> bytes:
    """The learning curves as a PNG: a line for each seed, a colour for each condition, the agents as levels."""
    looks = {"hidden": ("#7A4FA3", "PPO, bank hidden"), "memory": ("#0072B2", "PPO")}
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for condition, (colour, label) in looks.items():
        for run in study["runs"]:
            if run["condition"] == condition:
                thousands = [steps / 1e3 for steps in run["curve"]["steps"]]
                axes.plot(thousands, run["curve"]["score"], color=colour, linewidth=1.2, label=label)
                label = None  # one entry of the legend for all seeds
    for name, agent in study["agents"].items():
        axes.axhline(agent["score"], color="black", linewidth=0.8, linestyle=":")
        axes.text(0.5, agent["score"] + 0.008, name, fontsize=8)
    axes.set_title(f"A text memory of {study['task']['memory_budget']} bytes, managed by PPO")
    axes.set_xlabel("environment steps (thousands)")
    axes.set_ylabel(f"greedy score, {CURVE_EPISODES} unseen conversations")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title=f"{len(study['seeds'])} seeds each", frameon=False, loc="lower right", reverse=True)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing; when all runs are there, write the summary and the plot beside them."""
    study_main(
        arguments,
        name=NAME,
        command=COMMAND,
        description=f"PPO on a text memory, five seeds, with its control; writes {NAME}.json and .png.",
        conditions=tuple(CONDITIONS),
        seeds=SEEDS,
        run=lambda out, conditions: run_study(out, conditions=conditions),
        summary=summary,
        plot=plot,
    )


if __name__ == "__main__":
    main()
