"""The one block in which memories are compared, and stacks of it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, State

__all__ = ["MemoryBackbone"]


class _Block(nn.Module):
    """x += P(memory(LN x)), then x += FFN(LN x)."""

    def __init__(self, size: int, memory: MemoryModule, ffn_mult: int) -> None:
        super().__init__()
        self.memory_norm = nn.LayerNorm(size)
        self.memory = memory
        self.project = nn.Linear(memory.d_out, size)
        self.ffn = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, ffn_mult * size), nn.GELU(), nn.Linear(ffn_mult * size, size)
        )

    def mix(self, x: Tensor, y: Tensor) -> Tensor:
        """The block's output from its input and the memory's output."""
        x = x + self.project(y)
        return x + self.ffn(x)


class MemoryBackbone(nn.Module):
    """A stack of blocks, each with a memory: x += P(memory(LN x)), x += FFN(LN x).

    Every memory sees the same block, so that a comparison is one of memories. The state is that of all memories in
    one flat dict, ``"0/h"``, ``"1/h"``, ...

    Args:
        size: width D of the stream, the ``d_in`` of every memory.
        memories: one for each block, from below.
        ffn_mult: hidden width of the feed-forward layers, as a multiple of `size`.

    Raises:
        ValueError: a memory with another ``d_in``, or none at all.
    """

    def __init__(self, size: int, memories: Sequence[MemoryModule], *, ffn_mult: int = 2) -> None:
        super().__init__()
        if not memories or any(memory.d_in != size for memory in memories):
            raise ValueError(f"memories are one or more with d_in {size}, not {[m.d_in for m in memories]}.")
        self.size = size
        self.blocks = nn.ModuleList(_Block(size, memory, ffn_mult) for memory in memories)

    @property
    def memories(self) -> list[MemoryModule]:
        """The memory of each block, from below."""
        return [block.memory for block in self._blocks()]

    def _blocks(self) -> Iterator[_Block]:
        for block in self.blocks:
            assert isinstance(block, _Block)
            yield block

    @property
    def needs_ids(self) -> bool:
        """Whether any memory needs `ids`."""
        return any(memory.spec.needs_ids for memory in self.memories)

    def initial_state(self, batch: int, *, device: torch.device | str | None = None) -> State:
        """The state before any input, for `batch` environments."""
        return _join([memory.initial_state(batch, device=device) for memory in self.memories])

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """A sequence, shape (T, B, size), to one of the same shape; see `MemoryModule.forward`."""
        states = []
        for i, block in enumerate(self._blocks()):
            y, last = block.memory(block.memory_norm(x), _part(state, i), reset, ids=ids)
            x = block.mix(x, y)
            states.append(last)
        return x, _join(states)

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """One input, shape (B, size), to one of the same shape; see `MemoryModule.step`."""
        states = []
        for i, block in enumerate(self._blocks()):
            y, last = block.memory.step(block.memory_norm(x), _part(state, i), reset, ids=ids)
            x = block.mix(x, y)
            states.append(last)
        return x, _join(states)

    def state_nbytes(self) -> int:
        """Bytes of memory for one environment, all memories together."""
        return sum(memory.state_nbytes() for memory in self.memories)

    def aux_losses(self) -> dict[str, Tensor]:
        """Losses of the last `forward` to be added to the objective."""
        losses = (m.aux_losses().items() for m in self.memories)
        return {f"{i}/{name}": loss for i, items in enumerate(losses) for name, loss in items}

    def lr_scales(self) -> dict[str, float]:
        """Parameters that want a learning rate of their own, as a factor, by name; they get no weight decay."""
        scales = (memory.lr_scales().items() for memory in self.memories)
        return {f"blocks.{i}.memory.{name}": s for i, items in enumerate(scales) for name, s in items}


def _join(states: Sequence[State]) -> State:
    return {f"{i}/{name}": leaf for i, state in enumerate(states) for name, leaf in state.items()}


def _part(state: State, i: int) -> State:
    prefix = f"{i}/"
    return {name.removeprefix(prefix): leaf for name, leaf in state.items() if name.startswith(prefix)}
