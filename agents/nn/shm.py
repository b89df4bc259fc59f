"""Stable Hadamard Memory (Le et al. 2024, arXiv 2410.10132)."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.segments import ages, where_any
from memgym.core.arguments import check_choice, check_integer

__all__ = ["SHM", "hadamard_scan"]

ROWS = 128  # rows of theta that steps draw from
CHUNK = 16  # steps whose stores the backward pass computes anew, and holds, at a time


def hadamard_scan(
    theta: Tensor, c: Tensor, k: Tensor, v: Tensor, q: Tensor, s: Tensor, reset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """S[t] = S[t - 1] * (1 + tanh(c theta')) + k v', read as q' S[t]; the store is empty where an episode begins.

    Neither stores nor gains are kept for the backward pass, but for a store every 16 steps: it computes the others
    anew. Memory is T B (5 M + M^2 / 16) numbers rather than 3 T B M^2. Second derivatives are not defined.

    Args:
        theta: gain of each value's column, shape (T or 1, B or 1, M).
        c: gain of each key's row, shape (T, B, M).
        k: write keys, shape (T, B, M).
        v: values, shape (T, B, M).
        q: read keys, shape (T, B, M).
        s: the store before the sequence, keys by values, shape (B, M, M).
        reset: where an episode begins, bool, shape (T, B).

    Returns:
        What was read, shape (T, B, M), and the store after the sequence.
    """
    result: Any = _HadamardScan.apply(theta, c, k, v, q, s, reset)
    return result


def _gain(theta: Tensor, c: Tensor) -> Tensor:
    """1 + tanh(c theta'), as a sigmoid, which is six times faster on a CPU."""
    return 2.0 * torch.sigmoid(c[..., :, None] * (2.0 * theta)[..., None, :])


def _forget(s: Tensor, start: Tensor | None) -> Tensor:
    return s if start is None else s.masked_fill(start[:, None, None], 0.0)


class _HadamardScan(torch.autograd.Function):
    """A loop over time whose tensors stay in the processor's cache."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        theta, c, k, v, q, s, reset = inputs
        read = torch.empty_like(v)
        rows = _rows(theta, c, k, v, reset)
        marks = []
        for t, (row, q_t, out) in enumerate(zip(rows, q.unbind(0), read.unbind(0), strict=True)):
            if t % CHUNK == 0:
                marks.append(s)
            s = _advance(s, *row)[2]
            torch.bmm(q_t[:, None], s, out=out[:, None])
        ctx.save_for_backward(theta, c, k, v, q, reset, *marks)
        return read, s

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_read: Tensor, grad_last: Tensor
    ) -> tuple[Tensor | None, ...]:
        theta, c, k, v, q, reset, *marks = ctx.saved_tensors
        rows = _rows(theta, c, k, v, reset)
        inputs = list(zip(rows, q.unbind(0), grad_read.unbind(0), strict=True))
        grads = [torch.empty_like(c) for _ in range(5)]
        outputs = list(zip(*(grad.unbind(0) for grad in grads), strict=True))
        total = grad_last.clone()  # dL/dS[t], later steps included
        for i in reversed(range(len(marks))):
            first, stores, s = i * CHUNK, [], marks[i]
            for row, _, _ in inputs[first : first + CHUNK]:
                stores.append(_advance(s, *row))
                s = stores[-1][2]
            for t in reversed(range(first, first + len(stores))):
                (theta_t, c_t, k_t, v_t, start), q_t, grad_t = inputs[t]
                before, gain, after = stores.pop()
                d_theta, d_c, d_k, d_v, d_q = outputs[t]
                torch.sum(after * grad_t[:, None], -1, out=d_q)
                total.addcmul_(q_t[..., None], grad_t[:, None])
                torch.bmm(k_t[:, None], total, out=d_v[:, None])
                torch.sum(total * v_t[:, None], -1, out=d_k)
                inner = (2.0 - gain).mul_(gain).mul_(before).mul_(total)  # dL/d(c theta')
                torch.bmm(c_t[:, None], inner, out=d_theta[:, None])
                torch.sum(inner.mul_(theta_t[:, None]), -1, out=d_c)
                total = _forget(total.mul_(gain), start)
        d_theta, d_c, d_k, d_v, d_q = grads
        return d_theta.sum_to_size(theta.shape), d_c, d_k, d_v, d_q, total, None


def _rows(theta: Tensor, c: Tensor, k: Tensor, v: Tensor, reset: Tensor | None) -> list[Any]:
    """The arguments of `_advance` after the store, for each step."""
    thetas = theta.unbind(0) * (len(c) // len(theta))
    starts = [None] * len(c) if reset is None else where_any(reset)
    return list(zip(thetas, c.unbind(0), k.unbind(0), v.unbind(0), starts, strict=True))


def _advance(
    s: Tensor, theta: Tensor, c: Tensor, k: Tensor, v: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The store that a step finds, its gain, and the store that it leaves."""
    s, gain = _forget(s, start), _gain(theta, c)
    return s, gain, (s * gain).addcmul_(k[..., None], v[:, None])


class SHM(MemoryModule):
    """Stable Hadamard Memory: a matrix whose every entry has a gain of its own, from 0 to 2, set by the input.

    M = M * C + eta v k' with C = 1 + tanh(theta (W_c x)'), y = W_o(M q + W_s x); k and q are relu(W x) over their
    sum and eta = sigmoid(w x), for x after a layer norm. The paper draws theta from the rows of a table at every
    step, so that products of gains stay near 1 in expectation. Released code rounds the draw down to row 0.

    Gains up to 2 may compound: under inputs that hardly change, entries can grow without bound.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        size: length of a key and of a value; the store holds its square.
        theta: ``"fixed"`` for one row, as in the released code; ``"counter"`` for a row drawn anew at every step,
            by a hash of the step's number in its episode, which the state then holds.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix",
        erase="elementwise",
        parallel="loop",
        width="size",
        paper="Le et al. 2024, arXiv 2410.10132",
    )

    def __init__(
        self, d_in: int, d_out: int, *, size: int = 24, theta: Literal["fixed", "counter"] = "fixed"
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("size", size, 1, 1 << 16)
        check_choice("theta", theta, ("fixed", "counter"))
        self.size = size
        self.draws = theta == "counter"
        self.norm = nn.LayerNorm(d_in)
        self.key = nn.Linear(d_in, size, bias=False)
        self.query = nn.Linear(d_in, size, bias=False)
        self.value = nn.Linear(d_in, size, bias=False)
        self.strength = nn.Linear(d_in, 1)
        self.calibration = nn.Linear(d_in, size, bias=False)
        table = nn.init.xavier_uniform_(torch.empty(ROWS, size))
        self.theta = nn.Parameter(table if self.draws else table[:1].clone())
        self.skip = nn.Linear(d_in, size, bias=False)
        self.out = nn.Linear(size, d_out)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The store ``s``, keys by values; with ``theta="counter"`` also ``age``, the steps seen of the episode."""
        leaves = {"s": StateLeaf((self.size, self.size), self.float_dtype)}
        if self.draws:
            leaves["age"] = StateLeaf((1,), torch.int64)
        return leaves

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence."""
        last: State = {}
        theta = self.theta[None]
        if self.draws:
            starts = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device) if reset is None else reset
            age = ages(starts, state["age"][:, 0])
            theta, last["age"] = self.theta[draw_rows(age[:-1])], age[-1, :, None].clone()
        x = self.norm(x)
        read, last["s"] = hadamard_scan(theta, *self._arguments(x), state["s"], reset)
        return self.out(read + self.skip(x)), last

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        last: State = {}
        theta = self.theta
        if self.draws:
            theta, last["age"] = self.theta[draw_rows(state["age"][:, 0])], state["age"] + 1
        x = self.norm(x)
        c, k, v, q = self._arguments(x)
        last["s"] = state["s"] * _gain(theta, c) + k[..., None] * v[:, None]
        return self.out((q[:, None] @ last["s"])[:, 0] + self.skip(x)), last

    def _arguments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c, k, v and q of each input."""
        k, q = torch.relu(self.key(x)), torch.relu(self.query(x))
        k, q = (row / (1e-5 + row.sum(-1, keepdim=True)) for row in (k, q))
        return self.calibration(x), k, torch.sigmoid(self.strength(x)) * self.value(x), q


def draw_rows(age: Tensor) -> Tensor:
    """Rows of theta for steps of these ages: a hash (MurmurHash3's finaliser), the same on every machine.

    Args:
        age: steps since the episode began, int64.

    Returns:
        Numbers from 0 to 127, in the shape of `age`.
    """
    mask = 0xFFFFFFFF
    h = (age + 0x9E3779B9) & mask
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        # the low 32 bits of a product stay right when 64 overflow
        h = ((h ^ (h >> shift)) * factor) & mask
    return (h ^ (h >> 16)) % ROWS
