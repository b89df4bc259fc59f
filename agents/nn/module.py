"""What a neural memory is: one interface for recurrent, attention, state-space and slot memories."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memgym.agents.nn.segments import where_any
from memgym.core.arguments import check_integer

__all__ = [
    "Erase",
    "Family",
    "FedLoopModule",
    "MemoryModule",
    "MemorySpec",
    "Parallel",
    "State",
    "StateLeaf",
]

State = dict[str, Tensor]
"""What a memory holds: a flat dict of tensors, the batch first in each. No nesting, no Python numbers, no None."""

Family = Literal["control", "rnn", "ssm", "matrix", "attention", "slots", "lookup", "hebbian"]
Erase = Literal["none", "fixed_decay", "input_decay", "keyed", "evict", "elementwise"]
Parallel = Literal["scan", "chunk", "quadratic", "loop"]


@dataclass(frozen=True)
class MemorySpec:
    """What a memory claims of itself, for tables and for choosing among memories.

    Attributes:
        family: the kind of store.
        erase: how something leaves the store: ``"none"``, by decay that the input does not set
            (``"fixed_decay"``) or sets (``"input_decay"``), by address (``"keyed"``), by eviction (``"evict"``),
            or unit by unit (``"elementwise"``).
        parallel: how `forward` covers the time axis.
        width: the one constructor argument that scales the size; what `solve_size` searches.
        paper: the source, e.g. ``"Cho et al. 2014, arXiv 1406.1078"``.
        needs_ids: whether `forward` and `step` need `ids`.
        is_stateless: whether it is a control without memory.
        grad_through_writes: whether what was written passes gradients to what wrote it.
    """

    family: Family
    erase: Erase
    parallel: Parallel
    width: str
    paper: str
    needs_ids: bool = False
    is_stateless: bool = False
    grad_through_writes: bool = True


class StateLeaf(NamedTuple):
    """One tensor of a state: its shape without the batch, and its dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes for one environment."""
        return prod(self.shape) * self.dtype.itemsize


class MemoryModule(nn.Module, ABC):
    """A memory over a sequence: T steps of B environments at once, or one step.

    Time comes first: ``x`` has shape (T, B, d_in), ``reset`` has shape (T, B) and dtype bool. ``reset[t, b]``
    says that ``x[t, b]`` is the first observation of an episode: the state of environment b becomes the initial
    one *before* x[t, b] is consumed (`memgym.agents.nn.segments.resets_from_dones` derives it from the flags of
    a vector environment).

    `forward` and a loop of `step` give the same outputs and final states; neither changes the state it is given.
    As long as numbers stay finite, nothing passes a reset; NaN and infinity pass none in `step`, but may in
    `forward`, where a memory multiplies by zero what it does not see.
    `memgym.agents.nn.checks.check_memory_module` tests this and the other promises.

    Args:
        d_in: size of an input.
        d_out: size of an output.

    Raises:
        ValueError: a size outside its range.
    """

    spec: ClassVar[MemorySpec]

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        check_integer("d_in", d_in, 1, 1 << 24)
        check_integer("d_out", d_out, 1, 1 << 24)
        self.d_in = d_in
        self.d_out = d_out

    # ------------------------------------------------------------------ what a memory writes

    @abstractmethod
    def state_spec(self) -> dict[str, StateLeaf]:
        """Name, shape (without the batch) and dtype of every leaf of the state."""

    @abstractmethod
    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence.

        Args:
            x: inputs, shape (T, B, d_in).
            state: what was remembered before ``x[0]``.
            reset: where an episode begins, bool, shape (T, B); None for nowhere.
            ids: what was observed as integers, int64, shape (T, B); only where ``spec.needs_ids``.

        Returns:
            Outputs of shape (T, B, d_out) and the state after ``x[-1]``, in memory of its own: no view of a sequence.
        """

    @abstractmethod
    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input: `forward` without the time axis, as acting does it."""

    def fill_state(self, state: State) -> State:
        """Turn zeros into the initial state; zeros are the initial state unless a memory says otherwise."""
        return state

    def lr_scales(self) -> dict[str, float]:
        """Parameters that want a learning rate of their own, as a factor, by name; they get no weight decay."""
        return {}

    def aux_losses(self) -> dict[str, Tensor]:
        """Losses of the last `forward` to be added to the objective, each already weighted."""
        return {}

    # ------------------------------------------------------------------ what follows from it

    @property
    def float_dtype(self) -> torch.dtype:
        """Dtype of the parameters, and so of real-valued leaves."""
        return next((p.dtype for p in self.parameters()), torch.get_default_dtype())

    @property
    def complex_dtype(self) -> torch.dtype:
        """The complex dtype of the same precision."""
        return self.float_dtype.to_complex()

    def initial_state(self, batch: int, *, device: torch.device | str | None = None) -> State:
        """The state before any input, for `batch` environments, on the parameters' device unless told."""
        if device is None:
            device = next((p.device for p in self.parameters()), None)
        zeros = {
            name: torch.zeros((batch, *leaf.shape), dtype=leaf.dtype, device=device)
            for name, leaf in self.state_spec().items()
        }
        return self.fill_state(zeros)

    def mask_state(self, state: State, reset: Tensor | None) -> State:
        """The state, but initial where `reset` (bool, shape (B,)) says so."""
        if reset is None or not state:
            return state
        initial = self.initial_state(reset.shape[0], device=reset.device)
        return {
            name: torch.where(reset.view(-1, *[1] * (leaf.dim() - 1)), initial[name], leaf)
            for name, leaf in state.items()
        }

    def state_at_start(self, state: State, reset: Tensor | None) -> State:
        """The state before the first step of a sequence whose `reset` is of shape (T, B)."""
        return self.mask_state(state, reset[0]) if reset is not None and reset[0].any() else state

    def state_nbytes(self) -> int:
        """Bytes of memory for one environment: every leaf at its full size, buffers and counters included."""
        return sum(leaf.nbytes for leaf in self.state_spec().values())


class FedLoopModule(MemoryModule):
    """A memory whose gates see its last output ``h``: the inputs' share is one product, the rest a loop."""

    @abstractmethod
    def _feed(self, x: Tensor) -> Tensor:
        """The share of the gates that inputs of shape (..., d_in) have."""

    @abstractmethod
    def _advance(self, fed: Tensor, state: State) -> State:
        """The state after one input, from its share."""

    @abstractmethod
    def _read(self, h: Tensor) -> Tensor:
        """What outputs ``h`` come to, shape (..., d_out)."""

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, step by step; the inputs' share of the gates is one product."""
        resets = [None] * len(x) if reset is None else where_any(reset)
        outputs = []
        # unbind once: indexing in the loop would make the backward pass quadratic in T
        for fed, reset_t in zip(self._feed(x).unbind(0), resets, strict=True):
            state = self._advance(fed, self.mask_state(state, reset_t))
            outputs.append(state["h"])
        return self._read(torch.stack(outputs)), state

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self._advance(self._feed(x), self.mask_state(state, reset))
        return self._read(state["h"]), state
