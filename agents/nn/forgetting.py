"""Forgetting embeddings while training, so that a network learns to use tokens that it has never seen."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memgym.core.arguments import check_integer, check_number
from memgym.rng import mix64

__all__ = ["EmbeddingForgetting", "draw_embedding_"]

STD = 1.0  # of an embedding at first


def draw_embedding_(embedding: Tensor, seed: int, std: float = STD) -> None:
    """Fill an embedding with independent normal numbers, the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(mix64(seed) >> 1)
    with torch.no_grad():
        embedding.copy_(torch.randn(embedding.shape, generator=generator, dtype=embedding.dtype) * std)


@dataclass(frozen=True)
class EmbeddingForgetting:
    """Draw embeddings anew every so many optimiser steps, and clear what Adam remembers of them.

    A network whose tokens lose their meaning again and again cannot keep knowledge of single tokens in its
    weights, and so learns to use what the sequence says of them: *active* forgetting. *Temporary* forgetting
    stops after a while, so that later training may put knowledge of tokens into the weights as well. From "Dual
    Process Learning" (Anand et al. 2024, arXiv 2406.00053), which draws N(0, 0.02) as BERT does; here the default
    is the scale at which embeddings start, as it also fits where only some of the inputs are forgotten.

    What happens before a step is a function of the step's number and the seed, so nothing of it is in a checkpoint.

    Args:
        every: optimiser steps between two drawings.
        until: last step before which it may happen: *temporary*; None for no end: *active*.
        std: standard deviation of what is drawn, in units of that with which embeddings start.
        seed: of the drawings.

    Raises:
        ValueError: an argument outside its range.
    """

    every: int = 1000
    until: int | None = None
    std: float = STD
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("every", self.every, 1, 1 << 40)
        if self.until is not None:
            check_integer("until", self.until, 1, 1 << 40)
        check_number("std", self.std, 0.0, 1e3)
        check_integer("seed", self.seed, 0, (1 << 63) - 1)

    def is_due(self, steps: int) -> bool:
        """Whether embeddings are drawn after so many optimiser steps.

        >>> [steps for steps in range(100) if EmbeddingForgetting(every=10, until=30).is_due(steps)]
        [10, 20, 30]
        """
        return steps > 0 and steps % self.every == 0 and (self.until is None or steps <= self.until)

    def apply(
        self, steps: int, embeddings: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer | None = None
    ) -> bool:
        """Forget `embeddings` if that is due. Call it before each optimiser step.

        Args:
            steps: optimiser steps so far.
            embeddings: what is drawn anew, or any parameter that only says what tokens look like.
            optimizer: Adam or a relative, whose moments of these parameters are cleared.

        Returns:
            Whether it was due.
        """
        if not self.is_due(steps):
            return False
        for i, embedding in enumerate(embeddings):
            draw_embedding_(embedding, mix64(self.seed) + mix64(steps) + i, self.std)
            # the moments, and the step count: with it Adam's correction of the first steps starts again
            for moment in (optimizer.state.get(embedding, {}) if optimizer is not None else {}).values():
                moment.zero_()
        return True
