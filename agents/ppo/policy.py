"""The network: encoder, blocks with memories, and a head for actions and value."""

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from memgym.agents.nn import make_memory
from memgym.agents.nn.backbone import MemoryBackbone
from memgym.agents.nn.module import State
from memgym.agents.nn.observation_ids import ObservationIds
from memgym.agents.ppo.encoder import make_encoder
from memgym.agents.ppo.settings import PolicySize

__all__ = ["MemoryPolicy"]


class MemoryPolicy(nn.Module):
    """Actor and critic on one stream: an encoder, blocks with memories, one linear head.

    Args:
        obs_size: numbers in an observation.
        num_logits: columns of all action choices.
        cell: name of the memory in each block.
        module_kwargs: its arguments.
        sizes: of the rest.
        aux_sizes: how many integers each auxiliary target has, and how many values they can take; the head that
            tells them is of use in training alone.
    """

    def __init__(
        self,
        obs_size: int,
        num_logits: int,
        cell: str,
        module_kwargs: Mapping[str, Any],
        sizes: PolicySize,
        aux_sizes: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__()
        size = int(sizes.size)
        self.num_logits = num_logits
        self.encoder = make_encoder(obs_size, sizes)
        memories = [make_memory(cell, size, size, **module_kwargs) for _ in range(int(sizes.num_layers))]
        self.backbone = MemoryBackbone(size, memories, ffn_mult=int(sizes.ffn_mult))
        self.head = nn.Linear(size, num_logits + 1)
        self.aux_sizes = dict(aux_sizes)
        self.aux_head = nn.Linear(size, sum(map(prod, aux_sizes.values()))) if aux_sizes else None
        self.ids = ObservationIds(obs_size) if self.backbone.needs_ids else None
        if isinstance(self.encoder, nn.Linear):
            nn.init.orthogonal_(self.encoder.weight, 2.0**0.5)
            nn.init.zeros_(self.encoder.bias)
        with torch.no_grad():  # nearly uniform actions at first
            nn.init.orthogonal_(self.head.weight[:num_logits], 0.01)
            nn.init.orthogonal_(self.head.weight[num_logits:], 1.0)
        nn.init.zeros_(self.head.bias)

    def initial_state(self, batch: int, device: torch.device | None = None) -> State:
        """The state before any observation."""
        return self.backbone.initial_state(batch, device=device)

    def step(self, rows: Tensor, state: State, reset: Tensor | None = None) -> tuple[Tensor, State]:
        """Logits with the value in the last column, shape (B, num_logits + 1), for observations (B, obs_size)."""
        ids = None if self.ids is None else self.ids(rows)
        x, state = self.backbone.step(self.encoder(rows), state, reset, ids=ids)
        return self.head(x), state

    def forward(self, rows: Tensor, state: State, reset: Tensor) -> tuple[Tensor, Tensor]:
        """The same for sequences, shape (T, B, num_logits + 1), and the stream under the head."""
        ids = None if self.ids is None else self.ids(rows)
        x, _ = self.backbone(self.encoder(rows), state, reset, ids=ids)
        return self.head(x), x

    def tell(self, stream: Tensor) -> dict[str, Tensor]:
        """Logits of the auxiliary targets, shape (..., count, classes) by name."""
        if self.aux_head is None:
            return {}
        parts = self.aux_head(stream).split([prod(size) for size in self.aux_sizes.values()], -1)
        return {
            name: part.unflatten(-1, size)
            for (name, size), part in zip(self.aux_sizes.items(), parts, strict=True)
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters for the optimiser, by the factor of their learning rate."""
        scales = {f"backbone.{name}": scale for name, scale in self.backbone.lr_scales().items()}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(scales.get(name, 1.0), []).append(parameter)
        return [{"params": group, "lr_scale": scale} for scale, group in groups.items()]
