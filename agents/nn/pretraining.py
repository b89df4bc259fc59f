"""Self-pretraining: before the task, learn to foresee the task's own observations."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.nn.backbone import MemoryBackbone
from memgym.agents.nn.fitting import minimise

__all__ = ["ObservedSequences", "pretrain"]


class ObservedSequences(NamedTuple):
    """What B environments showed in T steps, whatever was done in them.

    Attributes:
        observations: what the encoder takes; floats of shape (T, B, n), or ids, int64, shape (T, B, fields).
        reset: where an episode begins, bool, shape (T, B); None if each sequence is (part of) one episode.
        ids: for memories that need them, int64, shape (T, B).
    """

    observations: Tensor
    reset: Tensor | None = None
    ids: Tensor | None = None


class _Foresight(nn.Module):
    """An encoder and a backbone that are kept, and a head that is thrown away."""

    def __init__(
        self, encoder: nn.Module, backbone: MemoryBackbone, first: Tensor, sizes: Sequence[int] | None
    ) -> None:
        super().__init__()
        self.encoder, self.backbone, self.sizes = encoder, backbone, sizes
        self.head = nn.Linear(backbone.size, first.shape[-1] if sizes is None else sum(sizes))
        self.mean = self.std = torch.zeros(0)
        if sizes is None:  # numbers of any scale are foreseen in units of their own spread
            flat = first.flatten(0, -2)
            std = flat.std(0)
            # what has not changed yet has no scale, and must not count for all the rest when it does
            self.mean, self.std = flat.mean(0), torch.where(std < 1e-3, 1.0, std)

    def loss(self, sequences: ObservedSequences) -> Tensor:
        x, reset = sequences.observations, sequences.reset
        state = self.backbone.initial_state(x.shape[1], device=x.device)
        y, _ = self.backbone(self.encoder(x), state, reset, ids=sequences.ids)
        guess, target = self.head(y[:-1]), x[1:]
        if self.sizes is None:
            error = (guess - (target - self.mean) / self.std).square().mean(-1)
        else:
            parts = zip(guess.split(list(self.sizes), -1), target.unbind(-1), strict=True)
            error = sum(
                (functional.cross_entropy(part.movedim(-1, 1), ids, reduction="none") for part, ids in parts),
                start=torch.zeros((), device=x.device),
            )
        # the first observation of the next episode is not to be foreseen
        kept = torch.ones_like(error) if reset is None else (~reset[1:]).to(error.dtype)
        loss = (error * kept).sum() / kept.sum().clamp_min(1)
        return sum(self.backbone.aux_losses().values(), start=loss)


def pretrain(
    encoder: nn.Module,
    backbone: MemoryBackbone,
    sequences: Callable[[int], ObservedSequences],
    *,
    num_updates: int,
    vocabulary_sizes: Sequence[int] | None = None,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    settings: Mapping[str, Any] | None = None,
    progress_bar: bool = True,
) -> Tensor:
    """Train an encoder and a backbone to foresee the next observation, in place, before they learn the task.

    "Never Train from Scratch" (Amos et al. 2023, arXiv 2310.02980) finds that most of what sets sequence models
    apart from scratch goes away after this. The data are the task's own and carry no labels: observations of
    whatever policy, or training sequences. The head that foresees is made here and thrown away.

    A number is foreseen by squared error, in units of its spread in the first sequences; an id by cross-entropy.

    Args:
        encoder: from observations, shape (T, B, ...), to the backbone's inputs, shape (T, B, size).
        backbone: what comes after it.
        sequences: what update u (from 0 on) learns from; a function of u alone. Sequences start in the initial
            state.
        num_updates: optimiser steps.
        vocabulary_sizes: number of ids of each field, where observations are ids; None where they are numbers.
        learning_rate: peak of the cosine schedule.
        weight_decay: of matrices.
        seed: of the head, and of random numbers that the modules draw themselves.
        checkpoint: file to go on from, see `minimise`.
        checkpoint_every: updates between two checkpoints.
        settings: what else makes this run what it is, see `minimise`.
        progress_bar: show one where stderr is a terminal.

    Returns:
        The loss of every update, float32, shape (num_updates,).

    Raises:
        FloatingPointError: the loss is not finite any more.
        ValueError: an argument outside its range, or the checkpoint is of another run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        foresight = _Foresight(encoder, backbone, sequences(0).observations, vocabulary_sizes)
    return minimise(
        foresight.to(next(encoder.parameters()).device),
        lambda u: foresight.loss(sequences(u)),
        num_updates=num_updates,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        settings=settings,
        what="pretraining",
        progress_bar=progress_bar,
    )
