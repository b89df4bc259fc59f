"""The linear recurrence h[t] = a[t] h[t - 1] + b[t], which the gated and the state-space memories share."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memgym.core.arguments import check_choice

__all__ = ["linear_scan"]

SMALL = 2048  # numbers a step below which chunks beat the loop on a CPU: benchmarks/linear_scan.py
BLOCK = 32768  # numbers that stay in a core's cache, three times over


def linear_scan(
    a: Tensor,
    b: Tensor,
    h0: Tensor,
    reset: Tensor | None = None,
    impl: Literal["auto", "sequential", "chunked"] = "auto",
) -> Tensor:
    """All states of h[t] = a[t] h[t - 1] + b[t], with h[t - 1] taken as zero where an episode begins.

    On a CPU a loop inside one autograd function is fastest once a step has about two thousand numbers, because it
    reads each of them once. Fewer numbers a step, and GPUs, get chunks of about sqrt(T) steps side by side:
    2 sqrt(T) operations instead of T. Both keep a, h and h0 alone for the backward pass, and what
    stands before a reset, were it infinite or NaN, reaches neither values nor gradients after it.

    Args:
        a: factors, real or complex, as many axes as `b`, each as in `b` or 1; shape (1, 1, ...) serves all steps.
        b: inputs, shape (T, B, ...), T at least 1, of the dtype of `a`.
        h0: state before b[0], shape (B, ...), of the same dtype.
        reset: where an episode begins, bool, shape (T, B).
        impl: the implementation; both give the same numbers up to rounding.

    Returns:
        h[0] to h[T - 1], the shape of `b`. It can be differentiated once.

    Raises:
        ValueError: shapes or dtypes that do not fit.
    """
    check_choice("impl", impl, ("auto", "sequential", "chunked"))
    _check_inputs(a, b, h0, reset)
    if impl == "auto":
        is_large = b.device.type == "cpu" and b[0].numel() >= SMALL
        impl = "sequential" if is_large or len(b) < 4 else "chunked"
    result: Any = _LinearScan.apply(a, b, h0, reset, impl)
    return result


def _check_inputs(a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None) -> None:
    fits = b.dim() >= 2 and len(b) > 0 and h0.shape == b.shape[1:]
    fits = fits and a.dim() == b.dim() and all(n in (1, m) for n, m in zip(a.shape, b.shape, strict=True))
    if not fits:
        shapes = ", ".join(str(tuple(x.shape)) for x in (a, b, h0))
        raise ValueError(
            f"a, b and h0 have shapes (T or 1, B or 1, ...), (T, B, ...) and (B, ...), not {shapes}."
        )
    if not a.dtype == b.dtype == h0.dtype:
        raise ValueError(f"a, b and h0 have one dtype, not {a.dtype}, {b.dtype} and {h0.dtype}.")
    if reset is not None and (reset.shape != b.shape[:2] or reset.dtype != torch.bool):
        raise ValueError(
            f"reset is bool of shape {tuple(b.shape[:2])}, not {reset.dtype} of shape {tuple(reset.shape)}."
        )


class _LinearScan(torch.autograd.Function):
    """The gradient of a scan is a scan backwards in time: G[t] = g[t] + conj(a[t + 1]) G[t + 1]."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None, impl: str) -> Tensor:
        h = (_run_loop if impl == "sequential" else _run_chunks)(a, b, h0, reset)
        ctx.save_for_backward(a, h, h0, reset)
        ctx.impl = impl
        return h

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        a, h, h0, reset = ctx.saved_tensors
        run = _run_loop_back if ctx.impl == "sequential" else _run_chunks_back
        grad_a, grad_b = run(a, h, h0, reset, grads[0], ctx.needs_input_grad[0])
        grad_h0 = None
        if ctx.needs_input_grad[2]:
            grad_h0 = a[0].conj() * grad_b[0]
            if reset is not None:
                grad_h0 = grad_h0.masked_fill(_expand(reset[0], grad_h0), 0)
        return grad_a, grad_b, grad_h0, None, None


def _expand(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(*mask.shape, *[1] * (like.dim() - mask.dim()))


# ---------------------------------------------------------------------- step by step


def _rows(x: Tensor, steps: int) -> Sequence[Tensor]:
    return x.unbind(0) if len(x) == steps else x.unbind(0) * steps


def _starting(reset: Tensor | None, steps: int) -> Sequence[Tensor | None]:
    """Indices of the environments whose episode begins at each step, None for steps without any."""
    if reset is None:
        return [None] * steps
    counts = reset.sum(1).tolist()
    return [row if n else None for row, n in zip(reset.nonzero()[:, 1].split(counts), counts, strict=True)]


def _run_loop(a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None) -> Tensor:
    steps = len(b)
    h = torch.empty_like(b)
    last = h0
    for factor, row, start, out in zip(
        _rows(a, steps), b.unbind(0), _starting(reset, steps), h.unbind(0), strict=True
    ):
        torch.addcmul(row, factor, last, out=out)
        if start is not None:  # overwritten, as 0 times what is not finite is NaN
            out.index_copy_(0, start, row.index_select(0, start))
        last = out
    return h


def _run_loop_back(
    a: Tensor, h: Tensor, h0: Tensor, reset: Tensor | None, grad: Tensor, wants_a: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a and b; products for that of a are taken a few rows at a time, still in the cache."""
    steps = len(h)
    factors = _rows(a if len(a) == steps else a.conj().resolve_conj(), steps)
    starts = _starting(reset, steps)
    grad_b = torch.empty_like(h)  # dL/dh[t], later steps included
    is_full = a.shape == h.shape
    grad_a = (torch.empty_like(a) if is_full else torch.zeros_like(a)) if wants_a else None
    inputs, outs = grad.unbind(0), grad_b.unbind(0)
    outs[-1].copy_(inputs[-1])
    size = max(BLOCK // h0.numel(), 1)
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            factor = factors[t + 1].conj() if len(a) == steps else factors[t + 1]
            torch.addcmul(inputs[t], factor, outs[t + 1], out=outs[t])
            if (start := starts[t + 1]) is not None:
                outs[t].index_copy_(0, start, inputs[t].index_select(0, start))
        if grad_a is not None and t % size == 0:
            rows = slice(t, t + size)
            before = h[t - 1 : t + size - 1] if t else torch.cat([h0[None], h[: size - 1]])
            into = grad_a[rows] if len(a) == steps else grad_a
            product = torch.mul(grad_b[rows], before[: steps - t].conj(), out=into if is_full else None)
            if reset is not None:
                product[reset[rows]] = 0
            if not is_full:
                into += product.sum_to_size(into.shape)
    return grad_a, grad_b


# ---------------------------------------------------------------------- chunks side by side


def _run_chunks(a: Tensor, b: Tensor, h0: Tensor, reset: Tensor | None) -> Tensor:
    """About sqrt(T) chunks side by side, each from zero; then where each starts from, one after the other."""
    steps = len(b)
    size = int(steps**0.5)
    count = -(-steps // size)

    def split(x: Tensor) -> Tensor:  # (T, ...) to (count, size, ...)
        if padding := count * size - steps:
            x = torch.cat([x, x.new_zeros(padding, *x.shape[1:])])
        return x.reshape(count, size, *x.shape[1:])

    factors = [a] * size if len(a) == 1 else split(a).unbind(1)
    rows = split(b)
    local = torch.empty_like(rows)
    began = None if reset is None else split(reset)
    masks = [None] * size if began is None else _expand(began, local).unbind(1)
    last = torch.zeros_like(local[:, 0])
    decays: list[Tensor] = []  # what the start of a chunk is multiplied by
    for factor, row, mask, out in zip(factors, rows.unbind(1), masks, local.unbind(1), strict=True):
        torch.addcmul(row, factor, last, out=out)
        if mask is not None:  # chosen, as 0 times what is not finite is NaN
            torch.where(mask, row, out, out=out)
        decays.append(factor * decays[-1] if decays else factor)
        last = out

    has_begun = None if began is None else _expand(began.cummax(1).values, local)
    start, starts = h0, [h0]
    ends, end_decays = last.unbind(0), decays[-1].expand(count, *decays[-1].shape[1:]).unbind(0)
    for i in range(count - 1):
        carried = torch.addcmul(ends[i], end_decays[i], start)
        start = carried if has_begun is None else torch.where(has_begun[i, -1], ends[i], carried)
        starts.append(start)
    h = torch.addcmul(local, torch.stack(decays, 1), torch.stack(starts)[:, None])
    if has_begun is not None:
        h = torch.where(has_begun, local, h)
    return h.reshape(count * size, *b.shape[1:])[:steps]


def _run_chunks_back(
    a: Tensor, h: Tensor, h0: Tensor, reset: Tensor | None, grad: Tensor, wants_a: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of a and b: the same chunks, from the last step to the first."""
    # nothing comes after the last step: a factor of 0 there
    later_a = a if len(a) == 1 else torch.cat([a[1:], torch.zeros_like(a[:1])]).flip(0)
    later_reset = None if reset is None else torch.cat([reset[1:], reset[:1]]).flip(0)
    grad_b = _run_chunks(later_a.conj(), grad.flip(0), torch.zeros_like(h0), later_reset).flip(0)
    if not wants_a:
        return None, grad_b
    product = grad_b * torch.cat([h0[None], h[:-1]]).conj()
    if reset is not None:
        product = product.masked_fill(_expand(reset, product), 0)
    return product.sum_to_size(a.shape), grad_b
