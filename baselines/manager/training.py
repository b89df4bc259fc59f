"""How a language model learns to manage a memory, or to answer from one: a warm-up, then from the outcome."""

from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from memgym.agents.llm.chat import ChatModel
from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.lora import base_digest
from memgym.agents.nn.fitting import minimise
from memgym.agents.ppo.stochastic import find_device
from memgym.baselines.manager.curves import Curves
from memgym.baselines.manager.dialogues import Dialogue, Source
from memgym.baselines.manager.learn import GRPOLoss, PPOLoss, Sampler
from memgym.baselines.manager.network import Row, Trained, check_scores
from memgym.baselines.manager.rollouts import Sample
from memgym.baselines.manager.trl_learner import learn_by_trl
from memgym.baselines.manager.warm_up import draw_dialogue, imitation_loss
from memgym.core.arguments import check_choice, check_integer, check_number
from memgym.errors import DependencyMissing
from memgym.rng import CounterRNG

__all__ = ["CREDITS", "Plan", "Record", "rollout_dialogues", "train_model"]

CREDITS = ("untrained", "none", "clone", "trajectory", "local", "mem-alpha", "ppo")
LEARNERS = ("memgym", "trl")
OF_TRL = ("trajectory", "local")  # all their groups are as large
LEARNING = 1_000_000  # number of the first episode of the reinforcement; those before are the warm-up's
POINTS = 20  # of the learning curve


@dataclass(frozen=True)
class Plan:
    """A recipe's ``train`` table for this trainer.

    Args:
        credit: how operations get credit for the outcome: "local", "trajectory", "mem-alpha" (all GRPO, see
            `memgym.baselines.manager.rollouts`) or "ppo"; "none" stops after the warm-up, "clone" goes on imitating,
            now the oracle; "untrained" leaves the model as it is.
        model: "tiny" for a model made from nothing; otherwise a folder, or an id on the Hugging Face hub.
        device: where it runs.
        lora: rank of adapters that are trained in the place of the model's weights; 0 trains the weights.
        form: how operations are written, "json", "text" or "tools", those of Mem-alpha.
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
        learner: whose GRPO it is: "memgym", or "trl" for TRL's `GRPOTrainer`, which averages no weights.

    Raises:
        DependencyMissing: TRL is asked for and not installed.
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
    learner: str = "memgym"

    def __post_init__(self) -> None:
        check_choice("credit", self.credit, CREDITS)
        check_choice("form", self.form, FORMS)
        check_choice("learner", self.learner, LEARNERS)
        if self.learner == "trl" and self.credit not in OF_TRL:
            raise ValueError(f"TRL learns by credit {' or '.join(OF_TRL)}, not {self.credit}.")
        if self.learner == "trl" and find_spec("trl") is None:
            raise DependencyMissing.for_extra("trl", "train", "learner='trl'")
        check_integer("lora", self.lora, 0, 1 << 12)
        for name in ("demonstrations", "rollouts", "episodes", "epochs", "batch"):
            check_integer(name, getattr(self, name), 1, 1 << 20)
        check_integer("warm_up_updates", self.warm_up_updates, 0, 1 << 20)
        check_integer("group_size", self.group_size, 2, 1 << 10)
        check_number("averaged", self.averaged, 0.0, 1.0)
        find_device(self.device)

    @property
    def played(self) -> int:
        """Dialogues that are played to learn."""
        return 0 if self.credit in ("untrained", "none", "clone") else self.rollouts * self.episodes


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


def rollout_dialogues(source: Source, plan: Plan, seed: int, number: int) -> list[Dialogue]:
    """The dialogues of a rollout, by its number; no other rollout and no warm-up has one of them."""
    first = LEARNING + number * plan.episodes
    return [draw_dialogue(source, seed, first + i) for i in range(plan.episodes)]


def train_model(
    chat: ChatModel,
    plan: Plan,
    demonstrated: Callable[[bool], list[Row]],
    sample: Sampler,
    seed: int,
    settings: Mapping[str, Any],
    checkpoint: Path | None = None,
    curves: Path | None = None,
) -> Record:
    """Warm up, then learn; with a checkpoint, from where an interrupted run stopped.

    What learning comes to is the mean of the weights of its last updates (Izmailov et al. 2018, arXiv 1803.05407):
    the policy comes and goes with what the last rollouts happened to tell, and what it does with a wording that no
    training has, more so.

    Args:
        chat: whose model learns.
        plan: how.
        demonstrated: demonstrations to imitate, in the order of their length; those of a clone of the oracle, or of
            the limited teacher.
        sample: what the model does in each rollout.
        seed: of the order of demonstrations.
        settings: what a checkpoint has to agree with.
        checkpoint: common beginning of the names of its files.
        curves: folder for TensorBoard: the loss of each update, and what each rollout came to.

    Returns:
        What its rollouts came to.

    Raises:
        DependencyMissing: adapters without peft, or curves without TensorBoard.
        FloatingPointError: it diverges.
        ValueError: a model whose probabilities are not known here, see `check_scores`.
    """
    record = Record(plan.rollouts)
    if plan.credit == "untrained":
        return record
    check_scores(chat.model.eval(), chat.prompts_of([{"said": "Hello."}])[0], chat.end)
    trained: nn.Module = chat.model
    if plan.lora:  # its checkpoints hold the adapter alone
        trained = Trained(chat.model)
        settings = {**settings, "base": base_digest(chat.model)}

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
            "settings": dict(settings),
            "what": phase,
        }
        chat.model.train()
        with nullcontext() if curves is None else closing(Curves(curves, phase)) as log:
            minimise(module, loss if log is None else _logged(loss, log, played, plan.epochs), **how)
        chat.model.eval()

    def imitation(*, of_oracle: bool) -> Any:
        rows, rng = demonstrated(of_oracle), CounterRNG(seed).fork(3)
        return lambda u: imitation_loss(chat.model, rows, plan.batch, rng.fork(u))

    def rollout(number: int) -> list[Sample]:
        samples = sample(number)
        record.outcomes[number] = sum(one.outcome for one in samples) / len(samples)
        record.malformed[number] = sum(one.is_malformed for one in samples) / len(samples)
        return samples

    if plan.warm_up_updates:
        loss = imitation(of_oracle=False)
        fit(loss, trained, plan.warm_up_updates, plan.warm_up_rate, "warm-up", 50)
    if plan.credit == "none":
        return record
    if plan.learner == "trl":
        with nullcontext() if curves is None else closing(Curves(curves, "trl")) as log:
            played = learn_by_trl(
                chat,
                sample,
                rollouts=plan.rollouts,
                epochs=plan.epochs,
                group_size=plan.group_size,
                learning_rate=plan.learning_rate,
                seed=seed,
                settings=settings,
                folder=None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.trl"),
                curves=log,
            )
        record.outcomes[:], record.malformed[:] = torch.tensor(played).T
        chat.model.eval()
        return record
    average = AveragedModel(trained).requires_grad_(False)
    parts: dict[str, nn.Module] = {"policy": trained, "record": record, "average": average}
    every = plan.epochs
    if plan.credit == "clone":
        loss, every = imitation(of_oracle=True), 50
    elif plan.credit == "ppo":
        head = nn.Linear(chat.model.config.hidden_size, 1, device=plan.device)
        nn.init.zeros_(head.weight)  # it begins by foreseeing nothing, whatever torch has drawn
        nn.init.zeros_(head.bias)
        parts["value"] = head
        loss = PPOLoss(chat.model, head, rollout, plan.epochs)
    else:
        loss = GRPOLoss(chat.model, rollout, plan.epochs)
    updates = plan.rollouts * plan.epochs

    def before_update(u: int, optimizer: torch.optim.Optimizer) -> None:
        if u >= updates * (1 - plan.averaged):
            average.update_parameters(trained)

    played = None if plan.credit == "clone" else record
    fit(loss, nn.ModuleDict(parts), updates, plan.learning_rate, plan.credit, every, played, before_update)
    if average.n_averaged:
        trained.load_state_dict(average.module.state_dict())
    return record


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
