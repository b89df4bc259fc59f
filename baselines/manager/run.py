"""One run of a recipe by a memory manager: a warm-up, then reinforcement from the outcome, then measures."""

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.lora import add_lora
from memgym.agents.llm.manager import MemoryManager, Shown
from memgym.agents.nn.fitting import minimise
from memgym.baselines.manager.curves import Curves
from memgym.baselines.manager.dialogues import Source
from memgym.baselines.manager.learn import GRPOLoss, PPOLoss, Sampler
from memgym.baselines.manager.measure import measure_baselines, measure_manager
from memgym.baselines.manager.network import Trained
from memgym.baselines.manager.rollouts import Sample, play, sample_local, sample_trajectories
from memgym.baselines.manager.warm_up import Teacher, demonstrations, draw_dialogue, imitation_loss
from memgym.baselines.recipe import RecipeInvalid, Run
from memgym.baselines.tiny_model import SKELETON, TinyPlan, make_tiny_model
from memgym.core.arguments import check_choice, check_integer, check_number
from memgym.core.evaluate import versions
from memgym.memory import MemoryOp
from memgym.rng import CounterRNG

__all__ = ["CREDITS", "Plan", "make_manager", "run_manager", "train_manager"]

CREDITS = ("none", "clone", "trajectory", "local", "ppo")
TEST_SEED = 2_000_000  # training has the run's own
LEARNING = 1_000_000  # number of the first episode of the reinforcement; those before are the warm-up's
POINTS = 20  # of the learning curve

TINY_INSTRUCTION = "Reply with one operation."
FRAME = (  # of the prompts and replies of a manager: a token each, beside `SKELETON`
    '{"op": "ADD"}',
    '{"speaker": "',
    '", "said": "',
    '"}]}',
    "system\n",
    "user\n",
    "assistant\n",
    TINY_INSTRUCTION,
)
SAMPLE = Shown("Maya", "I live in Oslo.", (("m1", "Maya: I live in Rome."),))
SHORTEST = (
    MemoryOp.add(SAMPLE.text),
    MemoryOp.update("m1", SAMPLE.text),
    MemoryOp.delete("m1"),
    MemoryOp.noop(),
)


@dataclass(frozen=True)
class Plan:
    """A recipe's ``train`` table for this trainer.

    Args:
        credit: how operations get credit for the outcome: "local", "trajectory" (both GRPO) or "ppo"; "none" stops
            after the warm-up, "clone" goes on imitating, now the oracle.
        model: "tiny" for a model made from nothing; otherwise a folder, or an id on the Hugging Face hub.
        device: where it runs.
        lora: rank of adapters that are trained in the place of the model's weights; 0 trains the weights.
        form: how operations are written, "json" or "text".
        width: of the tiny model.
        layers: of the tiny model.
        demonstrations: dialogues that the teacher plays.
        oracle: share of the teacher's operations that are the oracle's.
        warm_up_updates: optimiser steps of the warm-up; 0 for none.
        warm_up_rate: its peak learning rate.
        rollouts: how often the model plays.
        episodes: dialogues in a rollout.
        group_size: samples that are compared with each other.
        epochs: optimiser steps with each rollout.
        learning_rate: their peak.
        batch: demonstrations of one optimiser step.
        averaged: share of the optimiser steps, the last ones, whose weights are averaged in the end.

    Raises:
        ValueError: an argument outside its range.
    """

    credit: str
    model: str = "tiny"
    device: str = "cpu"
    lora: int = 0
    form: str = "json"
    width: int = 64
    layers: int = 3
    demonstrations: int = 250
    oracle: float = 0.0
    warm_up_updates: int = 150
    warm_up_rate: float = 3e-3
    rollouts: int = 400
    episodes: int = 16
    group_size: int = 8
    epochs: int = 4
    learning_rate: float = 1.5e-3
    batch: int = 32
    averaged: float = 0.25

    def __post_init__(self) -> None:
        check_choice("credit", self.credit, CREDITS)
        check_choice("form", self.form, FORMS)
        check_integer("lora", self.lora, 0, 1 << 12)
        for name in ("demonstrations", "rollouts", "episodes", "epochs", "batch"):
            check_integer(name, getattr(self, name), 1, 1 << 20)
        check_integer("warm_up_updates", self.warm_up_updates, 0, 1 << 20)
        check_integer("group_size", self.group_size, 2, 1 << 10)
        check_number("averaged", self.averaged, 0.0, 1.0)


class Record(nn.Module):
    """What the rollouts of a training came to; a module, so that checkpoints keep it."""

    outcomes: Tensor
    malformed: Tensor

    def __init__(self, rollouts: int) -> None:
        super().__init__()
        self.register_buffer("outcomes", torch.zeros(rollouts))
        self.register_buffer("malformed", torch.zeros(rollouts))

    def curve(self) -> dict[str, list[float]]:
        """Mean outcome and share of replies that could not be read, at most `POINTS` points."""
        parts = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
        split = {name: np.array_split(part, min(POINTS, len(part))) for name, part in parts.items()}
        return {name: [round(float(some.mean()), 4) for some in part] for name, part in split.items()}


def make_manager(plan: Plan, seed: int) -> MemoryManager:
    """A manager that has learned nothing yet, or what its model brings along."""
    if plan.model != "tiny":
        manager = MemoryManager.load(plan.model, plan.device, form=plan.form)
    else:
        skeleton = SKELETON + FRAME
        model, tokenizer = make_tiny_model(
            TinyPlan(width=plan.width, layers=plan.layers, skeleton=skeleton, seed=seed)
        )
        manager = MemoryManager(model.to(plan.device), tokenizer, TINY_INSTRUCTION, form=plan.form)
        # it writes what is said as it stands: a longer reply is none
        manager.max_new_tokens = max(len(manager.reply(op, SAMPLE)) for op in SHORTEST)
    if plan.lora:
        manager.adapters = add_lora(manager.model, plan.lora, seed)
    return manager


def train_manager(
    plan: Plan,
    env: Mapping[str, Any],
    seed: int,
    checkpoint: Path | None = None,
    curves: Path | None = None,
) -> tuple[MemoryManager, Record]:
    """Warm up, then learn; with a checkpoint, from where an interrupted run stopped.

    What learning comes to is the mean of the weights of its last updates (Izmailov et al. 2018, arXiv 1803.05407):
    the policy comes and goes with what the last rollouts happened to tell, and what it does with a wording that no
    training has, more so.

    Args:
        plan: how.
        env: id and arguments of the environment, see `Source`.
        seed: of the model, the dialogues and the sampling.
        checkpoint: common beginning of the names of its files.
        curves: folder for TensorBoard: the loss of each update, and what each rollout came to.

    Returns:
        The manager, and what its rollouts came to.

    Raises:
        DependencyMissing: adapters without peft, or curves without TensorBoard.
    """
    source, manager, record = Source(env), make_manager(plan, seed), Record(plan.rollouts)
    settings = {"env": dict(env), "plan": vars(plan)}
    trained: nn.Module = Trained(manager.model) if plan.lora else manager.model

    def fit(
        loss: Any,
        module: nn.Module,
        updates: int,
        rate: float,
        phase: str,
        every: int,
        played: Record | None = None,
        before_update: Any = None,
    ) -> None:
        file = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{phase}.safetensors")
        how = {
            "num_updates": updates,
            "learning_rate": rate,
            "seed": seed,
            "before_update": before_update,
            "checkpoint": file,
            "checkpoint_every": every,
            "settings": settings,
            "what": phase,
        }
        manager.model.train()
        with nullcontext() if curves is None else closing(Curves(curves, phase)) as log:
            minimise(module, loss if log is None else _logged(loss, log, played, plan.epochs), **how)
        manager.model.eval()

    def imitation(teacher: Teacher) -> Any:
        rows = demonstrations(manager, source, teacher, plan.demonstrations, seed)
        rng = CounterRNG(seed).fork(3)
        return lambda u: imitation_loss(manager.model, rows, plan.batch, rng.fork(u))

    if plan.warm_up_updates:
        loss = imitation(Teacher(oracle=plan.oracle))
        fit(loss, trained, plan.warm_up_updates, plan.warm_up_rate, "warm-up", 50)
    if plan.credit == "none":
        return manager, record
    average = AveragedModel(trained).requires_grad_(False)
    parts: dict[str, nn.Module] = {"policy": trained, "record": record, "average": average}
    every = plan.epochs
    if plan.credit == "clone":
        loss, every = imitation(Teacher(random=0.0, oracle=1.0)), 50
    elif plan.credit == "ppo":
        head = nn.Linear(manager.model.config.hidden_size, 1, device=plan.device)
        nn.init.zeros_(head.weight)  # it begins by foreseeing nothing, whatever torch has drawn
        nn.init.zeros_(head.bias)
        parts["value"] = head
        loss = PPOLoss(manager.model, head, _sampler(plan, source, manager, record, seed), plan.epochs)
    else:
        loss = GRPOLoss(manager.model, _sampler(plan, source, manager, record, seed), plan.epochs)
    updates = plan.rollouts * plan.epochs

    def before_update(u: int, optimizer: torch.optim.Optimizer) -> None:
        if u >= updates * (1 - plan.averaged):
            average.update_parameters(trained)

    played = None if plan.credit == "clone" else record
    fit(loss, nn.ModuleDict(parts), updates, plan.learning_rate, plan.credit, every, played, before_update)
    if average.n_averaged:
        trained.load_state_dict(average.module.state_dict())
    return manager, record


def _logged(loss: Any, log: Curves, record: Record | None, epochs: int) -> Any:
    """The same loss, entered into the curves, and what its rollout came to where one was made for it."""

    def logged(u: int) -> Tensor:
        value = loss(u)
        log.write("loss", float(value.detach()), u)
        if record is not None and u % epochs == 0:
            for name, found in record.named_buffers():
                log.write(f"rollout/{name}", float(found[u // epochs]), u)
        log.flush()
        return value

    return logged


def _sampler(plan: Plan, source: Source, manager: MemoryManager, record: Record, seed: int) -> Sampler:
    def sample(number: int) -> list[Sample]:
        first = LEARNING + number * plan.episodes
        dialogues = [draw_dialogue(source, seed, first + i) for i in range(plan.episodes)]
        drawn = (seed << 20) + number
        if plan.credit == "local":
            samples = sample_local(manager, source, dialogues, plan.group_size, drawn)
        elif plan.credit == "trajectory":
            samples = sample_trajectories(manager, source, dialogues, plan.group_size, drawn)
        else:  # as many plays as "trajectory" has
            samples = play(manager, source, dialogues * plan.group_size, 1, drawn)
        record.outcomes[number] = sum(one.outcome for one in samples) / len(samples)
        record.malformed[number] = sum(one.is_malformed for one in samples) / len(samples)
        return samples

    return sample


def run_manager(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds the arguments of `Plan`. Evaluations are greedy, of ``episodes`` dialogues that no training
    sees.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.

    Returns:
        Results by evaluation, each with its `Measured` and what the baselines score; the learning curve (of the
        rollouts, the mean outcome and the share of malformed replies), CPU seconds of training (None where it was
        interrupted), parameters, dialogues that were played to learn, versions.

    Raises:
        RecipeInvalid: an argument that the trainer, the model or the environment does not take.
    """
    torch.set_num_threads(1)
    begun = any(checkpoint.parent.glob(f"{checkpoint.name}*"))
    since = time.process_time()
    try:
        plan = Plan(**run.train)
        manager, record = train_manager(plan, run.env, run.seed, checkpoint)
        seconds = time.process_time() - since
        found = [_evaluate(env, run.episodes, manager) for env in run.evaluations]
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeInvalid(f"run {run.name}: {error}") from error
    return {
        "results": [
            {"env": env, "score": one["accuracy"]} for env, one in zip(run.evaluations, found, strict=True)
        ],
        "measured": found,
        "curve": record.curve(),
        "cpu_seconds": None if begun else round(seconds, 1),
        "params": sum(weights.numel() for weights in manager.model.parameters()),
        "state_nbytes": 0,  # all that it remembers is in the bank
        "env_steps": 0 if plan.credit in ("none", "clone") else plan.rollouts * plan.episodes,
        "versions": {**versions(), "torch": torch.__version__, "transformers": transformers.__version__},
    }


def _evaluate(env: dict[str, Any], episodes: int, manager: MemoryManager) -> dict[str, Any]:
    """What the manager does in an environment, and what each baseline scores there."""
    source = Source(env)
    dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(episodes)]
    found = measure_manager(source, dialogues, manager).to_dict()
    return {**found, "baselines": measure_baselines(source, dialogues)}
