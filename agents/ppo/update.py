"""One update of PPO: several epochs over a rollout, in minibatches of whole sequences."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memgym.agents.ppo.actions import Categoricals
from memgym.agents.ppo.errors import TrainingDiverged
from memgym.agents.ppo.policy import MemoryPolicy
from memgym.agents.ppo.rollout import Rollout
from memgym.agents.ppo.settings import Settings

__all__ = ["Batch", "Updater", "ppo_loss"]


class Batch(NamedTuple):
    """What the loss of some environments' sequences is computed from, each of shape (T, B, ...).

    Attributes:
        choices: what was done.
        log_probs: of that, when it was done.
        advantages: not yet normalised.
        value_targets: what the values should have been.
        weight: of each row in every mean: the same for all actions that were used, 0 for the others.
        targets: auxiliary targets by name, -1 where there is none.
    """

    choices: Tensor
    log_probs: Tensor
    advantages: Tensor
    value_targets: Tensor
    weight: Tensor
    targets: Mapping[str, Tensor]


class Updater:
    """Optimises a policy on rollouts.

    Args:
        policy: to optimise.
        actions: of the policy.
        settings: of PPO.
        device: of the policy.

    Attributes:
        optimizer: Adam, with a group for each factor of the learning rate.
    """

    def __init__(
        self,
        policy: MemoryPolicy,
        actions: Categoricals,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.policy, self.actions = policy, actions
        self.settings, self.device = settings, device
        self._parameters = [p for p in policy.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(policy.parameter_groups(), eps=1e-5, fused=True)

    def update(self, rollout: Rollout, learning_rate: float, ent_coef: float) -> dict[str, float]:
        """Learn from a rollout; the means of what was measured in its last epoch, by name.

        Raises:
            TrainingDiverged: the loss or its gradient is not finite.
        """
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_scale"]
        whole, rows, reset = self._prepare(rollout)
        state = {name: leaf.to(self.device) for name, leaf in rollout.state.items()}
        sums: dict[str, list[Tensor]] = defaultdict(list)
        for epoch in range(settings.n_epochs):
            order = torch.randperm(rollout.num_envs).to(self.device)
            for chosen in order.tensor_split(min(settings.n_minibatches, rollout.num_envs)):
                part = {name: leaf.index_select(0, chosen) for name, leaf in state.items()}
                batch = _select(whole, chosen)
                output, stream = self.policy(
                    rows.index_select(1, chosen), part, reset.index_select(1, chosen)
                )
                loss, measured = ppo_loss(output, batch, self.actions, settings, ent_coef)
                loss = loss + self._auxiliary(stream, batch, measured)
                self.optimizer.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(self._parameters, settings.max_grad_norm)
                self.optimizer.step()
                if epoch == settings.n_epochs - 1:
                    for name, value in {**measured, "loss": loss, "grad_norm": norm}.items():
                        sums[name].append(value.detach())
        means = {name: float(torch.stack(values).mean()) for name, values in sums.items()}
        if not math.isfinite(means["loss"] + means["grad_norm"]):
            raise TrainingDiverged(
                f"the loss is {means['loss']}, its gradient {means['grad_norm']}, and the weights are lost: load the "
                "last checkpoint, and lower learning_rate or scale the rewards."
            )
        return {**means, "explained_variance": _explained(whole, rollout)}

    def _prepare(self, rollout: Rollout) -> tuple[Batch, Tensor, Tensor]:
        """What stays the same in all epochs, on the policy's device; observations and resets apart."""
        advantages, value_targets = rollout.advantages(self.settings.gamma, self.settings.gae_lambda)
        logits = rollout.outputs[:-1, :, : self.actions.num_logits]
        log_probs, _ = self.actions.evaluate(logits, rollout.choices)
        whole = Batch(
            rollout.choices.to(self.device),
            log_probs.to(self.device),
            advantages.to(self.device),
            value_targets.to(self.device),
            rollout.used.to(self.device, advantages.dtype),
            {name: values.to(self.device) for name, values in rollout.targets.items()},
        )
        return whole, rollout.rows[:-1].to(self.device), rollout.reset[:-1].to(self.device)

    def _auxiliary(self, stream: Tensor, batch: Batch, measured: dict[str, Tensor]) -> Tensor:
        """The memories' own losses, and those of telling the privileged targets from the stream."""
        total = stream.new_zeros(())
        for loss in self.policy.backbone.aux_losses().values():
            total = total + loss
        for name, logits in self.policy.tell(stream).items():
            loss, accuracy = _tell(logits, batch.targets[name], batch.weight)
            measured[f"aux_loss/{name}"], measured[f"aux_accuracy/{name}"] = loss, accuracy
            total = total + self.settings.aux_coef * loss
        return total


def ppo_loss(
    output: Tensor, batch: Batch, actions: Categoricals, settings: Settings, ent_coef: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate objective (Schulman et al. 2017, arXiv 1707.06347), negated, with values and entropy.

    Args:
        output: of the policy, the value in the last column, shape (T, B, num_logits + 1).
        batch: of the same sequences.
        actions: of the policy.
        settings: of PPO.
        ent_coef: weight of the entropy.

    Returns:
        The loss, and what it is made of, by name.
    """
    weight = batch.weight / batch.weight.sum().clamp_min(1.0)
    log_probs, entropies = actions.evaluate(output[..., :-1], batch.choices)
    centred = batch.advantages - (batch.advantages * weight).sum()
    advantages = centred / ((centred.square() * weight).sum().sqrt() + 1e-8)
    change = log_probs - batch.log_probs
    ratio = change.exp()
    clipped = ratio.clamp(1.0 - settings.clip_range, 1.0 + settings.clip_range)
    policy_loss = -(torch.minimum(ratio * advantages, clipped * advantages) * weight).sum()
    value_loss = ((output[..., -1] - batch.value_targets).square() * weight).sum()
    entropy = (entropies * weight).sum()
    loss = policy_loss + settings.vf_coef * value_loss - ent_coef * entropy
    with torch.no_grad():
        is_clipped = ((ratio - 1.0).abs() > settings.clip_range).to(weight.dtype)
        measured = {
            "policy_gradient_loss": policy_loss,
            "value_loss": value_loss,
            "entropy_loss": -entropy,
            "approx_kl": ((ratio - 1.0 - change) * weight).sum(),
            "clip_fraction": (is_clipped * weight).sum(),
        }
    return loss, measured


def _select(whole: Batch, chosen: Tensor) -> Batch:
    """Some environments' sequences."""
    return Batch(
        whole.choices.index_select(1, chosen),
        whole.log_probs.index_select(1, chosen),
        whole.advantages.index_select(1, chosen),
        whole.value_targets.index_select(1, chosen),
        whole.weight.index_select(1, chosen),
        {name: values.index_select(1, chosen) for name, values in whole.targets.items()},
    )


def _tell(logits: Tensor, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and accuracy over rows with weight and integers that are told.

    Args:
        logits: shape (T, B, count, classes).
        values: shape (T, B, count), -1 where there is nothing to tell.
        weight: shape (T, B).
    """
    counted = weight[..., None] * (values >= 0)
    share = counted / counted.sum().clamp_min(1.0)
    losses = functional.cross_entropy(logits.movedim(-1, 1), values, ignore_index=-1, reduction="none")
    with torch.no_grad():
        accuracy = ((logits.argmax(-1) == values) * share).sum()
    return (losses * share).sum(), accuracy


def _explained(whole: Batch, rollout: Rollout) -> float:
    """Share of the value targets' variance that the values explained when the rollout was made."""
    used = rollout.used
    targets = whole.value_targets.cpu()[used]
    errors = targets - rollout.outputs[:-1, :, -1][used]
    return float(1.0 - errors.var(correction=0) / targets.var(correction=0).clamp_min(1e-12))
