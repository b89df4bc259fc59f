"""A Stable-Baselines3 policy for dialogues in slots: it compares what is said with what each slot holds.

A flat network has to learn for every slot anew that an update belongs where the same thing was said before, and it
knows no word that training did not have. This one looks at all slots with the same weights, and matches words by
being the same, whatever they are.
"""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from memgym.errors import DependencyMissing

try:
    from stable_baselines3.common.policies import MultiInputActorCriticPolicy
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
except ImportError as error:
    raise DependencyMissing.for_extra("stable-baselines3", "agents", "SlotPolicy") from error

__all__ = ["SlotFeatures", "SlotPolicy"]

NUM_PHASES, NUM_OPS = 3, 3
NET_ARCH = {"pi": [], "vf": [64]}  # scores of slots go straight to their logits
FIRST_WEIGHT = 0.5  # of a shared word, before training
SMALL = 0.02  # of a word's vector at first: what training never shows stays almost silent


class SlotFeatures(BaseFeaturesExtractor):
    """Features of a `TokenObservation` over `SlotActions`.

    For each slot: whether the same speaker said it, how much of what is said now it says too (a learned weight for
    each word), whether it is taken, and the bags of words of both. A network that all slots share makes a score of
    these, and the strongest of its units over the slots.

    The features are, in this order, the phase (3), the bag of words of what is said (`word_dim`), the slots' scores
    (one each), and the strongest units (`hidden`).

    Args:
        observation_space: of `TokenObservation`.
        word_dim: numbers of a word's vector.
        hidden: units of the slots' network.
    """

    def __init__(self, observation_space: spaces.Dict, word_dim: int = 16, hidden: int = 32) -> None:
        num_slots = observation_space["memory"].shape[0]  # type: ignore[index]
        super().__init__(observation_space, NUM_PHASES + word_dim + num_slots + hidden)
        text: Any = observation_space["text"]
        vocab_size = int(text.high.max()) + 1
        self.num_slots, self.first_score = num_slots, NUM_PHASES + word_dim
        self.vectors = nn.Embedding(vocab_size, word_dim, padding_idx=0)
        self.weights = nn.Embedding(vocab_size, 1, padding_idx=0)
        with torch.no_grad():
            self.vectors.weight.mul_(SMALL)
            self.weights.weight.fill_(FIRST_WEIGHT)
        layers = [nn.Linear(4 + 2 * word_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.slot = nn.Sequential(*layers)
        self.score = nn.Linear(hidden, 1)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Features, shape (B, features_dim)."""
        text, memory = observations["text"].long(), observations["memory"].long()  # (B, T), (B, S, T)
        filled = observations["filled"].float()  # (B, S)
        words = text[:, 1:]  # the first one is the speaker
        shared = (words[:, None, :, None] == memory[:, :, None, :]).any(-1) & (words > 0)[:, None]
        overlap = (shared * self.weights(words).squeeze(-1)[:, None]).sum(-1)  # (B, S)
        same = (text[:, :1] == memory[:, :, 0]) * filled
        said, held = self.vectors(text).sum(1), self.vectors(memory).sum(2)  # (B, D), (B, S, D)
        matched = torch.stack([overlap, same, same * overlap, filled], -1)
        units = self.slot(torch.cat([matched, held, said[:, None].expand_as(held)], -1))  # (B, S, H)
        scores = self.score(units).squeeze(-1)
        return torch.cat([observations["phase"].float(), said, scores, units.max(1).values], -1)


class SlotPolicy(MultiInputActorCriticPolicy):
    """Acts in `SlotActions` on what `TokenObservation` shows; the environment's reader answers.

    The operation and the slot are linear in `SlotFeatures`, the slot at first in its score alone::

        PPO(SlotPolicy, envs)

    Raises:
        ValueError: the actions are not an operation and a slot, the observation shows another number of slots, or
            another network is asked for.
    """

    def __init__(self, observation_space: Any, action_space: Any, lr_schedule: Any, **kwargs: Any) -> None:
        kwargs = {"net_arch": NET_ARCH, "features_extractor_class": SlotFeatures, **kwargs}
        if kwargs["net_arch"] != NET_ARCH or kwargs["features_extractor_class"] is not SlotFeatures:
            raise ValueError(f"SlotPolicy has SlotFeatures and net_arch {NET_ARCH}.")
        sizes = action_space.nvec.tolist() if isinstance(action_space, spaces.MultiDiscrete) else []
        shown = observation_space["memory"].shape[0] if "memory" in observation_space.spaces else 0
        if sizes != [NUM_OPS, shown]:
            raise ValueError(
                f"SlotPolicy acts in MultiDiscrete([{NUM_OPS}, slots]) with every slot in view, not in "
                f"{action_space} with {shown}: use SlotActions(num_slots=N) without num_choices, in "
                "TokenObservation(memory_entries=N)."
            )
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        features: Any = self.features_extractor
        weight: Any = self.action_net.weight
        with torch.no_grad():
            for slot in range(features.num_slots):  # a slot's logit begins as its score
                weight[NUM_OPS + slot, features.first_score + slot] += 1
