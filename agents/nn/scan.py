"""The linear recurrence h[t] = a[t] h[t - 1] + b[t], which carries ten of the memories."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memgym.agents.nn.segments import where_any

__all__ = ["linear_scan"]

SMALL = (
    1024  # numbers a step below which the loop's overhead outweighs the chunks' extra work (measured, CPU)
)


def linear_scan(
    a: Tensor,
    b: Tensor,
    h0: Tensor,
    reset: Tensor | None = None,
    impl: Literal["auto", "sequential", "chunked"] = "auto",
) -> Tensor:
    """All states of h[t] = a[t] h[t - 1] + b[t], with h[t - 1] taken as zero where an episode begins.

    On a CPU a loop in one autograd function is faster than every parallel scan that we measured, 2.5 to 13 times
    with its gradient, because it reads each number once; it keeps a, h and h0 alone for the backward pass. Few
    numbers a step, and GPUs, get chunks of about sqrt(T) steps, which take 2 sqrt(T) operations.

    Args:
        a: factors, real or complex, as many axes as `b`, each as in `b` or 1; shape (1, 1, ...) serves all steps.
        b: inputs, shape (T, B, ...).
        h0: state before b[0], shape (B, ...).
        reset: where an episode begins, bool, shape (T, B).
        impl: the implementation; both give the same numbers up to rounding.

    Returns:
        h[0] to h[T - 1], the shape of `b`.

    Raises:
        ValueError: shapes that do not fit.
    """
    if a.dim() != b.dim() or h0.shape != b.shape[1:]:
        raise ValueError(
            f"a, b and h0 are (T or 1, ...), (T, B, ...) and (B, ...), not {a.shape}, {b.shape} and {h0.shape}."
        )
    if impl == "auto":
        is_large = b.device.type == "cpu" and b[0].numel() >= SMALL
        impl = "sequential" if is_large or len(b) < 4 else "chunked"
    if impl == "sequential":
        result: Any = _SequentialScan.apply(a, b, h0, reset)
        return result
    return _chunked_scan(a, b, h0, reset)


def _expand(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(*mask.shape, *[1] * (like.dim() - mask.dim()))


class _SequentialScan(torch.autograd.Function):
    """A loop over time; second derivatives are not defined."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None) -> Tensor:
        steps = len(b)
        factors = a.unbind(0) if len(a) == steps else a.unbind(0) * steps
        starts = [None] * steps if reset is None else where_any(reset)
        h = torch.empty_like(b)
        last = h0
        for t, (factor, row, out) in enumerate(zip(factors, b.unbind(0), h.unbind(0), strict=True)):
            if (start := starts[t]) is not None:
                last = last.masked_fill(_expand(start, last), 0)
            torch.addcmul(row, factor, last, out=out)
            last = out
        ctx.save_for_backward(a, h, h0, reset)
        return h

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        a, h, h0, reset = ctx.saved_tensors
        steps = len(h)
        conj = a.conj().resolve_conj()
        factors = conj.unbind(0) if len(a) == steps else conj.unbind(0) * steps
        starts = [None] * steps if reset is None else where_any(reset)
        total = grads[0].clone(
            memory_format=torch.contiguous_format
        )  # dL/dh[t], later steps included; also dL/db
        rows = total.unbind(0)
        for t in range(steps - 1, 0, -1):
            if (start := starts[t]) is not None:
                rows[t - 1].add_((factors[t] * rows[t]).masked_fill(_expand(start, rows[t]), 0))
            else:
                rows[t - 1].addcmul_(factors[t], rows[t])
        grad_a = grad_h0 = None
        if ctx.needs_input_grad[0]:
            before = torch.cat([h0[None], h[:-1]])
            if reset is not None:
                before = before.masked_fill(_expand(reset, before), 0)
            grad_a = (total * before.conj()).sum_to_size(a.shape)
        if ctx.needs_input_grad[2]:
            grad_h0 = factors[0] * rows[0]
            if (start := starts[0]) is not None:
                grad_h0 = grad_h0.masked_fill(_expand(start, grad_h0), 0)
        return grad_a, total, grad_h0, None


def _chunked_scan(a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None) -> Tensor:
    """sqrt(T) chunks side by side, then their ends one after the other."""
    steps = len(b)
    size = max(int(steps**0.5), 1)
    count = -(-steps // size)
    a = a.expand(b.shape)
    if reset is not None:
        a = a.masked_fill(_expand(reset, a), 0)
    if padding := count * size - steps:
        a = torch.cat([a, a.new_ones(padding, *a.shape[1:])])
        b = torch.cat([b, b.new_zeros(padding, *b.shape[1:])])
    in_chunk = (count, size, *b.shape[1:])
    factors, inputs = a.reshape(in_chunk).unbind(1), b.reshape(in_chunk).unbind(1)
    h, decay = [inputs[0]], [factors[0]]  # each chunk from a zero state, and what its start decays by
    for factor, row in zip(factors[1:], inputs[1:], strict=True):
        h.append(factor * h[-1] + row)
        decay.append(factor * decay[-1])
    ends, decays = h[-1].unbind(0), decay[-1].unbind(0)
    starts = [h0]
    for end, factor in zip(ends[:-1], decays[:-1], strict=True):
        starts.append(factor * starts[-1] + end)
    local, passed = torch.stack(h, 1), torch.stack(decay, 1)
    return (local + passed * torch.stack(starts)[:, None]).reshape(b.shape)[:steps]
