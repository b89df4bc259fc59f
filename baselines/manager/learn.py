"""Learn from sampled operations: GRPO from groups, and PPO with a value head on the same model.

TRL has no PPO any more. Its `GRPOTrainer` can learn from the same samples (`memgym.baselines.manager.trl_learner`),
but runs a prompt once for each reply to it, and equal replies each by itself: for the many short ones here that takes
several times as long. So both losses are here, in plain sight.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from memgym.agents.llm.lora import trained_weights
from memgym.baselines.manager.network import Row, Scored, score_replies
from memgym.baselines.manager.rollouts import Sample

__all__ = [
    "DUAL_CLIP",
    "GRPOLoss",
    "PPOLoss",
    "Sampler",
    "clipped_loss",
    "gae",
    "group_advantages",
    "prompts_in_parts",
    "reading_loss",
]

Sampler = Callable[[int], list[Sample]]
"""(number of the rollout) -> what the model as it is now does, the same for the same number and weights."""

CLIP_LOW, CLIP_HIGH = (
    0.2,
    4.0,
)  # of the ratio of probabilities: what is rare may become frequent (DAPO, 2503.14476)
DUAL_CLIP = 3.0  # most that a token weighs that was bad and has got likelier (Ye et al. 2020, 1912.09729)
MOST_LOG_RATIO = 20.0  # keeps the loss of what was next to impossible when it was tried finite
GAE_LAMBDA = 0.95
VALUE_WEIGHT = 0.5
ENTROPY_WEIGHT = 0.02  # keeps operations alive that have not been worth something yet
READING_WEIGHT = 1.0  # keeps the model knowing the words, which operations alone let it forget
SMALL = 1e-6  # keeps a group of equal outcomes at advantage 0


def group_advantages(samples: Sequence[Sample]) -> list[float]:
    """How much better each sample came out than its group, in standard deviations; 0 where all came out the same.

    As in GRPO (Shao et al. 2024, arXiv 2402.03300): (outcome - mean) / standard deviation.
    """
    groups: dict[int, list[float]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample.outcome)
    advantages = []
    for sample in samples:
        outcomes = torch.tensor(groups[sample.group], dtype=torch.float64)
        if outcomes.min() == outcomes.max():
            advantages.append(0.0)
        else:
            spread = float(outcomes.std(correction=0)) + SMALL
            advantages.append((sample.outcome - float(outcomes.mean())) / spread)
    return advantages


def gae(values: Sequence[float], outcome: float) -> list[float]:
    """Generalised advantage estimates of the turns of one play, whose only reward is its outcome at the end.

    Args:
        values: foreseen outcome before each turn.
        outcome: what came.

    >>> gae([0.5], 1.0)
    [0.5]
    """
    advantages = [0.0] * len(values)
    following, ahead = outcome, 0.0
    for t in reversed(range(len(values))):
        ahead = following - values[t] + GAE_LAMBDA * ahead
        advantages[t], following = ahead, values[t]
    return advantages


def clipped_loss(logprobs: Tensor, before: Tensor, advantages: Tensor) -> Tensor:
    """PPO's clipped objective, bounded on both sides, for each token, shape (num_tokens,).

    The plain one has no bound where a bad operation has got likelier since it was sampled: a reply that was next to
    impossible may then be the whole gradient. The second clip (Ye et al. 2020, arXiv 1912.09729) is that bound.

    Args:
        logprobs: now.
        before: when they were sampled.
        advantages: of the operation that a token belongs to.
    """
    ratio = (logprobs - before).clamp(max=MOST_LOG_RATIO).exp()
    objective = torch.min(ratio * advantages, ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH) * advantages)
    return -torch.where(advantages < 0, torch.max(objective, DUAL_CLIP * advantages), objective)


def reading_loss(scored: Scored) -> Tensor:
    """Cross-entropy of what prompts say, in nats a token, as pretraining goes on beside PPO in InstructGPT.

    (Ouyang et al. 2022, arXiv 2203.02155, equation 2.) A model made from nothing that learns operations alone takes
    the words apart only as far as the dialogues at hand need it, and mistakes other ones.
    """
    return -scored.read.mean()


def prompts_in_parts(rows: Sequence[Row], parts: int) -> list[list[tuple[int, ...]]]:
    """The distinct prompts of rows, one part for each update with them; all of them where there are too few."""
    prompts = sorted(dict.fromkeys(tuple(row.prompt) for row in rows), key=len)
    return [prompts[part::parts] or prompts for part in range(parts)]


class GRPOLoss:
    """The clipped objective of GRPO, as a loss of update u; every `epochs` updates there is a new rollout.

    Samples of advantage 0 say nothing and are left out. Equal replies of one group are one row with the sum of
    their advantages. A reply's tokens are summed, not averaged: a short operation then weighs as much as a long one
    (Liu et al. 2025, arXiv 2503.20783). There is no term for the distance from where the training began; what keeps
    the model is `reading_loss`.

    Args:
        model: the policy.
        sampler: plays with it.
        epochs: updates with the same samples.
        advantages: of samples, in their order.
    """

    def __init__(
        self,
        model: Any,
        sampler: Sampler,
        epochs: int,
        advantages: Callable[[Sequence[Sample]], list[float]] = group_advantages,
    ) -> None:
        self.model, self.sampler, self.epochs, self.advantages = model, sampler, epochs, advantages
        self.samples: list[Sample] = []

    def __call__(self, u: int) -> Tensor:
        """The loss of update u; a run that was interrupted goes on at a multiple of `epochs`."""
        if u % self.epochs == 0:
            self.samples = self.sampler(u // self.epochs)
            weights: dict[tuple[Any, ...], float] = defaultdict(float)
            for sample, advantage in zip(self.samples, self.advantages(self.samples), strict=True):
                if advantage:
                    weights[sample.group, tuple(sample.row.prompt), tuple(sample.row.reply)] += advantage
            self.rows = [Row(prompt, reply) for _, prompt, reply in weights]
            self.weights = torch.tensor(list(weights.values()), device=self.model.device)
            self.prompts = prompts_in_parts(self.rows, self.epochs)
            self.before = None
        if not self.rows:  # all the same: nothing to learn, and no gradient
            return 0.0 * next(weights for _, weights in trained_weights(self.model)).sum()
        scored = score_replies(self.model, self.rows, self.prompts[u % self.epochs])
        if self.before is None:
            self.before = scored.logprobs.detach()
        loss = clipped_loss(scored.logprobs, self.before, self.weights[scored.row])
        learned = (loss - ENTROPY_WEIGHT * scored.entropy).sum() / len(self.rows)
        return learned + READING_WEIGHT * reading_loss(scored)


class PPOLoss:
    """PPO over the turns of plays, as a loss of update u; every `epochs` updates there is a new rollout.

    The clipped objective, with generalised advantage estimates from a value head on the prompt's last hidden state;
    and `reading_loss`.

    Args:
        model: the policy.
        value_head: (width -> 1).
        sampler: plays with it, one sample a turn.
        epochs: updates with the same samples.
    """

    def __init__(self, model: Any, value_head: nn.Linear, sampler: Sampler, epochs: int) -> None:
        self.model, self.value_head, self.sampler, self.epochs = model, value_head, sampler, epochs
        self.samples: list[Sample] = []

    def __call__(self, u: int) -> Tensor:
        """The loss of update u; a run that was interrupted goes on at a multiple of `epochs`."""
        if u % self.epochs == 0:
            self.samples = self.sampler(u // self.epochs)
            self.rows = [sample.row for sample in self.samples]
            self.prompts = prompts_in_parts(self.rows, self.epochs)
            self.before = None
        scored = score_replies(self.model, self.rows, self.prompts[u % self.epochs])
        values = self.value_head(scored.hidden)[:, 0]
        if self.before is None:
            self.before = scored.logprobs.detach()
            self._estimate(values.detach())
        policy = clipped_loss(scored.logprobs, self.before, self.advantages[scored.row])
        policy = (policy - ENTROPY_WEIGHT * scored.entropy).sum()
        value = nn.functional.mse_loss(values, self.returns)
        rest = VALUE_WEIGHT * value + READING_WEIGHT * reading_loss(scored)
        return policy / len(self.samples) + rest

    def _estimate(self, values: Tensor) -> None:
        """Advantages, normalised, and returns of all samples."""
        plays: dict[int, list[int]] = defaultdict(list)
        for i, sample in enumerate(self.samples):
            plays[sample.play].append(i)  # turn by turn
        advantages = torch.zeros_like(values)
        for turns in plays.values():
            outcome = min(self.samples[i].outcome for i in turns)  # 0 where a reply could not be read
            estimates = gae(values[turns].tolist(), outcome)
            advantages[turns] = torch.tensor(estimates, dtype=values.dtype, device=values.device)
        self.returns = advantages + values
        self.advantages = (advantages - advantages.mean()) / (advantages.std() + SMALL)
