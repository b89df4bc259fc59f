"""Recurrent cells over sequences in which episodes begin: torch's LSTM kernel, and loops for GRU and RNN.

Autograd over a loop of T steps keeps some twenty nodes a step, and each slices, allocates and dispatches. Here a
loop is one autograd function: a step is a product of matrices and a few operations into buffers that exist already,
and what does not depend on the step before is done for all steps at once. Second derivatives are not defined.

``reset``, bool, shape (T, B), says where an episode begins: the state of before, if finite, counts as zero there.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["gru_sequence", "lstm_sequence", "rnn_sequence"]

Grads = tuple[Tensor | None, ...]
SHUT = -1e4  # sigmoid is exactly 0 there, and exactly 1 at its negative, whatever is added to it


def lstm_sequence(core: nn.LSTM, x: Tensor, h0: Tensor, c0: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
    """All outputs and the last cell of torch's LSTM, with a state of zero where an episode begins.

    torch's kernel knows no resets. But a step whose input, forget and output gates are shut leaves h = c = 0, so one
    goes in before each first observation. Environments with fewer of them get steps at the end that keep the cell.
    A mark for each of the two, as a further input, pulls the gates so far that their sigmoid is exactly 0 or 1, and
    its slope exactly 0: nothing finite leaks through a reset, neither values nor gradients.

    Args:
        core: one layer, with biases.
        x: inputs, shape (T, B, d_in).
        h0: output before the first step, shape (B, hidden).
        c0: cell before it, the same shape.
        reset: where an episode begins, shape (T, B).
    """
    steps, batch, d_in = x.shape
    hidden = h0.shape[-1]
    shift = reset.cumsum(0)
    longer = steps + int(shift[-1].max())
    row = torch.arange(longer, device=x.device)[:, None]
    place = ((row[:steps] + shift) * batch + torch.arange(batch, device=x.device)).flatten()
    is_over = row >= steps + shift[-1]
    marks = x.new_zeros(longer * batch, 2)
    marks[:, 0] = ~is_over.flatten()
    marks[place, 0] = 0.0
    marks[:, 1] = is_over.flatten()
    pulls = x.new_zeros(4, hidden, 2)  # of the gates i, f, g, o
    pulls[[0, 1, 3], :, 0] = SHUT
    pulls[0, :, 1], pulls[1, :, 1] = SHUT, -SHUT
    fed, *others = core.all_weights[0]
    weights = [torch.cat([fed, pulls.flatten(0, 1)], 1), *others]
    padded: Any = _Spread.apply(x.flatten(0, 1), place, marks)
    state = [h0[None], c0[None]]
    y, _, last_c = torch.lstm(
        padded.view(longer, batch, d_in + 2), state, weights, True, 1, 0.0, core.training, False, False
    )
    picked: Any = _Pick.apply(y.flatten(0, 1), place)
    return picked.view(steps, batch, hidden), last_c[0]


class _Spread(torch.autograd.Function):
    """Rows of `x` at their places in a longer tensor, with `marks` as further columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, place: Tensor, marks: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.columns = x.shape[1]
        spread = x.new_zeros(len(marks), x.shape[1] + marks.shape[1])
        spread[:, x.shape[1] :] = marks
        spread[:, : x.shape[1]].index_copy_(0, place, x)
        return spread

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Grads:  # pyright: ignore[reportIncompatibleMethodOverride]
        (place,) = ctx.saved_tensors
        return grads[0][:, : ctx.columns].index_select(0, place), None, None


class _Pick(torch.autograd.Function):
    """The rows at `place`, each of which is picked once: so the gradient is a copy and not a sum."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.shape = y.shape
        return y.index_select(0, place)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Grads:  # pyright: ignore[reportIncompatibleMethodOverride]
        (place,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.shape).index_copy_(0, place, grads[0]), None


def gru_sequence(
    x: Tensor, h0: Tensor, fed: Tensor, weight: Tensor, fed_bias: Tensor, bias: Tensor, reset: Tensor
) -> Tensor:
    """All outputs of h = (1 - z) n + z h, n = tanh(fed x + fed_bias + r (weight h + bias)); gates r, z, n.

    Args:
        x: inputs, shape (T, B, d_in).
        h0: output before the first step, shape (B, hidden).
        fed: of the inputs, shape (3 * hidden, d_in).
        weight: of the last output, shape (3 * hidden, hidden).
        fed_bias: beside `fed`, shape (3 * hidden,).
        bias: beside `weight`, the same shape.
        reset: where an episode begins, shape (T, B).
    """
    result: Any = _GRULoop.apply(x, h0, fed, weight, fed_bias, bias, reset)
    return result


def rnn_sequence(x: Tensor, h0: Tensor, fed: Tensor, weight: Tensor, bias: Tensor, reset: Tensor) -> Tensor:
    """All outputs of h = tanh(fed x + weight h + bias).

    Args:
        x: inputs, shape (T, B, d_in).
        h0: output before the first step, shape (B, hidden).
        fed: of the inputs, shape (hidden, d_in).
        weight: of the last output, shape (hidden, hidden).
        bias: shape (hidden,).
        reset: where an episode begins, shape (T, B).
    """
    result: Any = _RNNLoop.apply(x, h0, fed, weight, bias, reset)
    return result


def _project(x: Tensor, fed: Tensor, bias: Tensor) -> Tensor:
    """The inputs' share of the gates, in a buffer of our own."""
    return torch.addmm(bias, x.flatten(0, 1), fed.t()).unflatten(0, x.shape[:2])


def _keep_rows(reset: Tensor, like: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """1 where the state goes on and 0 where not, shape (T, B, 1), and its rows, None for those of ones alone."""
    keep = (~reset).to(like.dtype)[..., None]
    any_ = reset.any(1).tolist()
    return keep, [row if some else None for row, some in zip(keep.unbind(0), any_, strict=True)]


def _found(first: Tensor, rows: Tensor, keep: Tensor) -> Tensor:
    """What each step found: `first`, then all of `rows` but the last, zero where an episode begins."""
    return torch.cat([first[None], rows[:-1]]).mul_(keep)


def _pass_back(own: Tensor, later: Tensor, weight: Tensor, keep: Tensor | None, spare: Tensor) -> Tensor:
    """Gradient of an output: its own, and through the product with `weight` that of the step after it."""
    if keep is None:
        return torch.addmm(own, later, weight)
    torch.mm(later, weight, out=spare)
    return torch.addcmul(own, spare, keep)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """Gradient of a weight: from that of what it gave and what it was multiplied with, shapes (T, B, ...)."""
    return rows.flatten(0, 1).t() @ columns.flatten(0, 1)


class _GRULoop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h0: Tensor,
        fed: Tensor,
        weight: Tensor,
        fed_bias: Tensor,
        bias: Tensor,
        reset: Tensor,
    ) -> Tensor:
        hidden = h0.shape[-1]
        keep, starts = _keep_rows(reset, x)
        gates = _project(x, fed, fed_bias)
        recur = torch.empty_like(gates)
        y = torch.empty_like(gates[..., :hidden], memory_format=torch.contiguous_format)
        both, n = gates.split((2 * hidden, hidden), -1)
        recur_both, recur_n = recur.split((2 * hidden, hidden), -1)
        r, z = both.chunk(2, -1)
        transposed = weight.t()
        last = h0
        series = (recur, recur_both, recur_n, both, r, z, n, y)
        for start, *row in zip(starts, *(part.unbind(0) for part in series), strict=True):
            recur_t, recur_both_t, recur_n_t, both_t, r_t, z_t, n_t, h = row
            if start is not None:
                last = last * start
            torch.addmm(bias, last, transposed, out=recur_t)
            both_t.add_(recur_both_t).sigmoid_()
            n_t.addcmul_(r_t, recur_n_t).tanh_()
            last = torch.lerp(n_t, last, z_t, out=h)
        ctx.save_for_backward(x, h0, fed, weight, gates, recur, y, keep)
        ctx.starts = starts
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Grads:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, h0, fed, weight, gates, recur, y, keep = ctx.saved_tensors
        hidden = h0.shape[-1]
        r, z, n = gates.chunk(3, -1)
        found = _found(h0, y, keep)
        # what the gradient of h is multiplied by on its way to the gates, for all steps at once
        slopes = torch.empty_like(gates)
        of_r, of_z, of_n = slopes.chunk(3, -1)
        fed_n = torch.mul(1.0 - z, 1.0 - n * n)
        torch.mul(fed_n, r, out=of_n)
        torch.mul(of_n, recur[..., 2 * hidden :] * (1.0 - r), out=of_r)
        torch.mul(found - n, z * (1.0 - z), out=of_z)
        carried = torch.mul(z, keep).unbind(0)
        total = torch.empty_like(gates)
        of_all, to_all = (t.unflatten(-1, (3, -1)).unbind(0) for t in (slopes, total))
        rows = total.unbind(0)
        every = torch.empty_like(y)
        spare = torch.empty_like(h0)
        h = torch.zeros_like(h0)
        own, kept = grads[0].unbind(0), every.unbind(0)
        for t in range(len(y) - 1, -1, -1):
            h = torch.add(own[t], h, out=kept[t])
            torch.mul(of_all[t], h[:, None], out=to_all[t])
            h = _pass_back(h * carried[t], rows[t], weight, ctx.starts[t], spare)
        grad_weight, grad_bias = _outer(total, found), total.sum((0, 1))
        torch.mul(every, fed_n, out=total[..., 2 * hidden :])  # the inputs' share of n is not multiplied by r
        grad_x = total @ fed if ctx.needs_input_grad[0] else None
        return grad_x, h, _outer(total, x), grad_weight, total.sum((0, 1)), grad_bias, None


class _RNNLoop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h0: Tensor, fed: Tensor, weight: Tensor, bias: Tensor, reset: Tensor
    ) -> Tensor:
        keep, starts = _keep_rows(reset, x)
        y = _project(x, fed, bias)
        transposed = weight.t()
        last = h0
        for h, start in zip(y.unbind(0), starts, strict=True):
            if start is not None:
                last = last * start
            last = h.addmm_(last, transposed).tanh_()
        ctx.save_for_backward(x, h0, fed, weight, y, keep)
        ctx.starts = starts
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Grads:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, h0, fed, weight, y, keep = ctx.saved_tensors
        total = torch.mul(y, y).neg_().add_(1.0)  # the slope of tanh, then times the gradient
        rows = total.unbind(0)
        spare = torch.empty_like(h0)
        own = grads[0].unbind(0)
        h = own[-1]
        for t in range(len(y) - 1, -1, -1):
            rows[t].mul_(h)
            before = own[t - 1] if t else torch.zeros_like(h0)
            h = _pass_back(before, rows[t], weight, ctx.starts[t], spare)
        grad_x = total @ fed if ctx.needs_input_grad[0] else None
        return grad_x, h, _outer(total, x), _outer(total, _found(h0, y, keep)), total.sum((0, 1)), None
