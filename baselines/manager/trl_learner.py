"""Learn from sampled operations by TRL's own `GRPOTrainer`, from credit for whole plays or for single operations.

TRL would sample whole rollouts; here its ``rollout_func`` hands over what `memgym.baselines.manager.rollouts` has
sampled, each operation as a row with an outcome of its own, so that a group may begin from the same bank. The rest is
TRL's: there is no second clip, no entropy bonus and no reading of what the prompts say, as in
`memgym.baselines.manager.learn`, equal rows are not put together, and the last weights count.

Written for TRL 1.16, where ``rollout_func`` is experimental.
"""

import json
import math
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging

from memgym.agents.llm.chat import ChatModel
from memgym.agents.nn.fitting import loss_bar
from memgym.baselines.manager.curves import Curves
from memgym.baselines.manager.learn import CLIP_HIGH, CLIP_LOW, Sampler
from memgym.baselines.manager.rollouts import Sample
from memgym.core.result import write_atomically

__all__ = ["learn_by_trl"]

KEPT_EVERY = 10  # rollouts between two checkpoints
OUTCOME, MALFORMED = "rewards/outcome/mean", "rewards/malformed/mean"  # as TRL logs them, once a rollout


def learn_by_trl(
    chat: ChatModel,
    sample: Sampler,
    *,
    rollouts: int,
    epochs: int,
    group_size: int,
    learning_rate: float,
    seed: int,
    settings: Mapping[str, Any],
    folder: Path | None = None,
    curves: Curves | None = None,
) -> list[tuple[float, float]]:
    """Train the model of `chat` in place; with a folder, from where an interrupted run stopped.

    Args:
        chat: whose model learns.
        sample: what the model does in each rollout, in groups of `group_size` samples.
        rollouts: how many.
        epochs: optimiser steps with each.
        group_size: samples that are compared with each other.
        learning_rate: its peak; it falls to zero along a cosine.
        seed: of the order of rows.
        settings: what checkpoints have to agree with.
        folder: of checkpoints, written by TRL; None for none.
        curves: where to write the loss of each step, and what each rollout came to.

    Returns:
        For each rollout the mean outcome and the share of replies that could not be read.

    Raises:
        FloatingPointError: it diverges.
        ValueError: groups of another size; or checkpoints of another run.
    """
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    start = None if folder is None else _last_checkpoint(folder, settings)
    first = _groups(sample(0), group_size)
    together = min(len(first), max(chat.batch // group_size, 1))
    parts = math.ceil(len(first) / together)
    groups = parts * together
    played = {0: first} if start is None else {}  # a run that goes on asked only how many there are

    def rollout(prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        [number] = {int(prompt) for prompt in prompts}
        some = played.pop(number, None) or _groups(sample(number), group_size)
        samples = [one for group in _as_many(some, groups) for one in group]
        return {
            "prompt_ids": [list(one.row.prompt) for one in samples],
            "completion_ids": [list(one.row.reply) for one in samples],
            "logprobs": None,
            "worth": [one.outcome for one in samples],
            "unread": [float(one.is_malformed) for one in samples],
        }

    def outcome(completions: Any, worth: list[float | None], **_: Any) -> list[float | None]:
        return worth

    def malformed(completions: Any, unread: list[float | None], **_: Any) -> list[float | None]:
        return unread

    rows = [{"prompt": str(number)} for number in range(rollouts) for _ in range(groups)]
    with (
        tempfile.TemporaryDirectory() as scratch,
        torch.random.fork_rng(devices=[]),
        _quiet(),
        loss_bar("trl", rollouts * epochs) as show,
    ):
        arguments = GRPOConfig(
            output_dir=str(folder or scratch),
            max_steps=rollouts * epochs,
            num_iterations=epochs,
            num_generations=group_size,
            per_device_train_batch_size=together * group_size,
            gradient_accumulation_steps=parts,
            shuffle_dataset=False,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            epsilon=CLIP_LOW,
            epsilon_high=CLIP_HIGH,
            reward_weights=[1.0, 0.0],
            seed=seed,
            use_cpu=chat.model.device.type == "cpu",
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no" if folder is None else "steps",
            save_steps=KEPT_EVERY * epochs,
            save_total_limit=2,  # one may be cut off
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=chat.model if chat.adapters is None else chat.adapters,
            reward_funcs=[outcome, malformed],
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=chat.tokenizer,
            rollout_func=rollout,
            callbacks=[_Watch(show, curves)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=start)
    return [(line[OUTCOME], line[MALFORMED]) for line in trainer.state.log_history if OUTCOME in line]


def _groups(samples: Sequence[Sample], group_size: int) -> list[list[Sample]]:
    """Samples by group.

    Raises:
        ValueError: a group of another size.
    """
    groups: dict[int, list[Sample]] = defaultdict(list)
    for one in samples:
        groups[one.group].append(one)
    if any(len(group) != group_size for group in groups.values()):
        raise ValueError(f"TRL compares {group_size} samples at a time; not all groups have as many.")
    return list(groups.values())


def _as_many(groups: Sequence[list[Sample]], count: int) -> list[list[Sample]]:
    """As many groups as TRL takes each time, though not all dialogues are as long.

    Of too many, those are left out first that say nothing, as all of the group came out the same; to too few come
    copies that say nothing.
    """
    telling = sorted(groups, key=lambda group: len({one.outcome for one in group}) == 1)[:count]
    silent = ([replace(one, outcome=group[0].outcome) for one in group] for group in cycle(groups))
    return [*telling, *islice(silent, count - len(telling))]


def _last_checkpoint(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The last whole checkpoint of an interrupted run, if there is one.

    Raises:
        ValueError: they are of another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told, card = folder / "settings.json", json.dumps(settings, sort_keys=True)
    if not told.is_file():
        write_atomically(told, card.encode())
    elif told.read_text() != card:
        raise ValueError(f"{folder} is of another run: delete it, or choose another place.")
    for file in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:  # what is written last
            json.loads((file / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            continue
        return str(file)
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars of transformers beside our own, and nothing about what it will call otherwise one day."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rollout_func'")
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


class _Watch(TrainerCallback):
    """Ends a training that diverges, shows how far it has come, and writes curves."""

    def __init__(self, show: Callable[[int, float], None], curves: Curves | None) -> None:
        self.show, self.curves = show, curves

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the step that was done."""
        logs: dict[str, float] = kwargs["logs"]
        step = state.global_step - 1
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise FloatingPointError(f"the {name} of update {step} is {logs[name]}.")
        if "loss" not in logs:  # the summary in the end
            return
        self.show(step + 1, logs["loss"])
        if self.curves is None:
            return
        self.curves.write("loss", logs["loss"], step)
        if OUTCOME in logs:
            self.curves.write("rollout/outcomes", logs[OUTCOME], step)
            self.curves.write("rollout/malformed", logs[MALFORMED], step)
        self.curves.flush()
