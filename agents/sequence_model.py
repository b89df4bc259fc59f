"""Memories as sequence models: tokens in, an answer at every step, trained by cross-entropy where one is due."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.nn import make_memory
from memgym.agents.nn.backbone import MemoryBackbone
from memgym.agents.nn.fitting import minimise
from memgym.agents.nn.forgetting import EmbeddingForgetting, draw_embedding_
from memgym.agents.nn.module import State
from memgym.agents.nn.pretraining import ObservedSequences, pretrain
from memgym.core.arguments import check_choice, check_integer
from memgym.envs.streams.batches import IGNORED
from memgym.envs.streams.task import StreamTask

__all__ = ["Batches", "Inputs", "SequenceModel"]

Inputs = Literal["words", "ids"]
EVALUATION_STEPS = 256  # steps that go through the network at once, so that long sequences fit


class Batches(Protocol):
    """Where examples come from: `memgym.envs.streams.SequenceBatches`, or anything with this method."""

    def batch(self, b: int) -> Mapping[str, NDArray[Any]]:
        """Batch number `b`, a function of `b` alone.

        `tokens` (ids, shape (B, T, fields)) and `targets` (an answer, or -100 where none is due, shape (B, T)),
        and if episodes begin inside the sequences `reset` (bool, shape (B, T)).
        """
        ...


class _IdEncoder(nn.Module):
    """The sum of an embedding for each field of a token."""

    def __init__(self, sizes: Sequence[int], size: int, seed: int) -> None:
        super().__init__()
        self.embeddings = nn.ParameterList(nn.Parameter(torch.empty(n, size)) for n in sizes)
        for field, embedding in enumerate(self.embeddings):
            draw_embedding_(embedding, seed + field)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = zip(tokens.unbind(-1), self.embeddings, strict=True)
        return torch.stack([functional.embedding(ids, embedding) for ids, embedding in parts]).sum(0)


class _WordEncoder(nn.Module):
    """What an environment shows of a token, through two layers.

    One layer would not do: words are binary numbers, and no linear map makes many of them orthogonal, as memories
    that are addressed by a product want them.
    """

    def __init__(self, tables: Sequence[NDArray[np.float32]], size: int) -> None:
        super().__init__()
        self.num_tables = len(tables)
        for field, table in enumerate(tables):
            self.register_buffer(f"table{field}", torch.from_numpy(table), persistent=False)
        inputs = sum(table.shape[1] for table in tables)
        self.layers = nn.Sequential(nn.Linear(inputs, size), nn.GELU(), nn.Linear(size, size))

    def forward(self, tokens: Tensor) -> Tensor:
        tables = [self.get_buffer(f"table{field}") for field in range(self.num_tables)]
        parts = zip(tokens.unbind(-1), tables, strict=True)
        return self.layers(torch.cat([table[ids] for ids, table in parts], -1))


class SequenceModel(nn.Module):
    """A memory between an encoder of tokens and a head of answers.

    Which memory it is is all that differs between two models: encoder, blocks (`MemoryBackbone`), head and
    training are the same. `fit` trains it, `accuracy` tells how many answers are right.

    With ``inputs="words"`` it reads what the environment shows, so tokens that it has never seen still have a
    look; with ``"ids"`` every token has an embedding of its own, whose look says nothing until it is learned.

    Args:
        task: what `memgym.envs.streams.SequenceBatches` has as its `task`; or for sequences of another source the
            number of ids of each field of a token, with `num_answers` and ``inputs="ids"``.
        memory: name of a registered memory.
        config: its arguments, e.g. what `memgym.agents.nn.size.solve_size` gives.
        num_answers: classes of the head; of a task, it is known.
        inputs: ``"words"`` or ``"ids"``.
        size: width of the blocks.
        num_blocks: blocks, each with a memory of its own.
        seed: of the initial weights.

    Raises:
        ValueError: an argument outside its range, or arguments that do not go together.
        UnknownName: no such memory.

    >>> from memgym.envs.streams import SequenceBatches
    >>> import memgym
    >>> batches = SequenceBatches("memgym/KeyValueRewriting-v0", num_steps=16)
    >>> model = SequenceModel(batches.task, "gru", {"hidden": 32})
    >>> losses = model.fit(batches, num_updates=3)
    >>> 0 <= model.accuracy(batches, num_batches=2) <= 1
    True
    """

    def __init__(
        self,
        task: StreamTask | Sequence[int],
        memory: str,
        config: Mapping[str, Any] | None = None,
        *,
        num_answers: int | None = None,
        inputs: Inputs = "words",
        size: int = 64,
        num_blocks: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_choice("inputs", inputs, ("words", "ids"))
        check_integer("size", size, 1, 1 << 14)
        check_integer("num_blocks", num_blocks, 1, 64)
        check_integer("seed", seed, 0, (1 << 63) - 1)
        if isinstance(task, StreamTask):
            if num_answers is not None:
                raise ValueError("num_answers is the task's own: leave it out.")
            sizes, num_answers = [len(table) for table in task.tables], 1 + task.num_answers
        elif inputs == "words":
            raise ValueError('inputs is "ids" where there is no task that shows words.')
        else:
            sizes = list(task)
            check_integer("num_answers", num_answers, 1, 1 << 20)
        self.vocabulary_sizes, self.inputs, self.seed = tuple(sizes), inputs, seed
        # what a checkpoint must be of
        self.description = {
            "memory": memory,
            "config": dict(config or {}),
            "inputs": inputs,
            "size": size,
            "num_blocks": num_blocks,
            "vocabulary_sizes": sizes,
            "num_answers": int(num_answers or 0),
            "seed": seed,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if isinstance(task, StreamTask) and inputs == "words":
                self.encoder: nn.Module = _WordEncoder(task.tables, size)
            else:
                self.encoder = _IdEncoder(sizes, size, seed)
            memories = [make_memory(memory, size, size, **(config or {})) for _ in range(num_blocks)]
            self.backbone = MemoryBackbone(size, memories)
            self.head = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, int(num_answers or 0)))

    # ------------------------------------------------------------------ the network

    def initial_state(self, batch: int) -> State:
        """The memory's state before any token, for `batch` sequences."""
        return self.backbone.initial_state(batch)

    def forward(self, tokens: Tensor, state: State, reset: Tensor | None = None) -> tuple[Tensor, State]:
        """Scores of all answers at every step, and the state after the last.

        Args:
            tokens: ids, int64, shape (T, B, fields).
            state: what was remembered before.
            reset: where an episode begins, bool, shape (T, B); None for nowhere.
        """
        y, state = self.backbone(self.encoder(tokens), state, reset, ids=self._ids(tokens))
        return self.head(y), state

    def state_nbytes(self) -> int:
        """Bytes of memory for one sequence."""
        return self.backbone.state_nbytes()

    def embeddings(self, fields: Sequence[int]) -> list[nn.Parameter]:
        """The embeddings of some fields of a token.

        Raises:
            ValueError: the model reads words.
        """
        if not isinstance(self.encoder, _IdEncoder):
            raise ValueError('only a model with inputs="ids" has embeddings.')
        return [self.encoder.embeddings[field] for field in fields]

    def _ids(self, tokens: Tensor) -> Tensor | None:
        """One id for all fields of a token together, for memories that need ids."""
        if not self.backbone.needs_ids:
            return None
        ids = torch.zeros_like(tokens[..., 0])
        for field, size in enumerate(self.vocabulary_sizes):
            ids = ids * size + tokens[..., field]
        return ids

    # ------------------------------------------------------------------ training

    def pretrain(
        self,
        batches: Batches,
        num_updates: int,
        *,
        learning_rate: float = 3e-3,
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        progress_bar: bool = True,
    ) -> Tensor:
        """Learn to foresee the next token, without labels: encoder and memory change, the head does not.

        Args:
            batches: update u learns from batch u.
            num_updates: optimiser steps.
            learning_rate: peak of the cosine schedule.
            checkpoint: file to go on from, see `memgym.agents.nn.fitting.minimise`.
            checkpoint_every: updates between two checkpoints.
            progress_bar: show one where stderr is a terminal.

        Returns:
            The loss of every update.

        Raises:
            ValueError: an argument outside its range, sequences of the test split, or a checkpoint of another run.
        """
        _refuse_test_split(batches)

        def sequences(u: int) -> ObservedSequences:
            tokens, reset, _ = self._load(batches.batch(u))
            return ObservedSequences(tokens, reset, self._ids(tokens))

        return pretrain(
            self.encoder,
            self.backbone,
            sequences,
            num_updates=num_updates,
            vocabulary_sizes=self.vocabulary_sizes,
            learning_rate=learning_rate,
            seed=self.seed,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            progress_bar=progress_bar,
            settings=self.description,
        )

    def fit(
        self,
        batches: Batches,
        num_updates: int,
        *,
        learning_rate: float = 3e-3,
        forgetting: EmbeddingForgetting | None = None,
        forgotten_fields: Sequence[int] = (),
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        progress_bar: bool = True,
    ) -> Tensor:
        """Learn the answers, by cross-entropy where one is due.

        Args:
            batches: update u learns from batch u.
            num_updates: optimiser steps.
            learning_rate: peak of the cosine schedule.
            forgetting: when embeddings are drawn anew; None for never.
            forgotten_fields: fields of a token whose embeddings these are.
            checkpoint: file to go on from, see `memgym.agents.nn.fitting.minimise`.
            checkpoint_every: updates between two checkpoints.
            progress_bar: show one where stderr is a terminal.

        Returns:
            The loss of every update.

        Raises:
            FloatingPointError: the loss is not finite any more.
            ValueError: an argument outside its range, sequences of the test split, or a checkpoint of another run.
        """
        _refuse_test_split(batches)
        if (forgetting is None) != (not forgotten_fields):
            raise ValueError("forgetting and forgotten_fields go together.")
        forgotten = self.embeddings(forgotten_fields) if forgetting is not None else []

        def forget(u: int, optimizer: torch.optim.Optimizer) -> None:
            if forgetting is not None:
                forgetting.apply(u, forgotten, optimizer)

        def loss(u: int) -> Tensor:
            tokens, reset, targets = self._load(batches.batch(u))
            logits, _ = self(
                tokens, self.backbone.initial_state(tokens.shape[1], device=tokens.device), reset
            )
            error = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
            return sum(self.backbone.aux_losses().values(), start=error)

        return minimise(
            self,
            loss,
            num_updates=num_updates,
            learning_rate=learning_rate,
            seed=self.seed,
            before_update=forget,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            progress_bar=progress_bar,
            settings={**self.description, "forgetting": repr(forgetting), "fields": list(forgotten_fields)},
        )

    # ------------------------------------------------------------------ evaluation

    @torch.no_grad()
    def accuracy(self, batches: Batches, num_batches: int, *, first: int = 0) -> float:
        """Share of right answers among those that are due.

        Args:
            batches: where the questions come from.
            num_batches: batches to go through.
            first: number of the first one.
        """
        right = asked = 0
        for b in range(first, first + num_batches):
            tokens, reset, targets = self._load(batches.batch(b))
            state = self.backbone.initial_state(tokens.shape[1], device=tokens.device)
            for start in range(0, len(tokens), EVALUATION_STEPS):
                part = slice(start, start + EVALUATION_STEPS)
                logits, state = self(tokens[part], state, None if reset is None else reset[part])
                due = targets[part] != IGNORED
                right += int((logits.argmax(-1) == targets[part])[due].sum())
                asked += int(due.sum())
        return right / max(asked, 1)

    def _load(self, batch: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Tokens, resets and targets of a batch, time first, where the model is."""
        device = next(self.parameters()).device
        tokens, targets = (torch.from_numpy(batch[name]).to(device) for name in ("tokens", "targets"))
        reset = torch.from_numpy(batch["reset"]).to(device).transpose(0, 1) if "reset" in batch else None
        return tokens.transpose(0, 1), reset, targets.transpose(0, 1)


def _refuse_test_split(batches: Batches) -> None:
    if getattr(getattr(batches, "task", None), "split", "train") != "train":
        raise ValueError("batches are of the test split, which is there to be judged by, not to learn from.")
