"""The linear scan equals the recurrence written out, its gradients are right, and a reset lets nothing through."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the scan needs torch")

from memgym.agents.nn import scan  # noqa: E402
from memgym.agents.nn.scan import linear_scan  # noqa: E402

IMPLS = ["sequential", "chunked"]
DTYPES = [torch.float64, torch.complex128]
STEPS, BATCH, SIZE = 23, 3, 4
A_SHAPES = [
    (STEPS, BATCH, SIZE),
    (1, 1, SIZE),
    (STEPS, 1, SIZE),
    (1, BATCH, SIZE),
    (STEPS, BATCH, 1),
    (1, 1, 1),
]


def written_out(a, b, h0, reset):
    """The recurrence, one step after the other, by autograd."""
    h, states = h0, []
    for t, row in enumerate(b.unbind(0)):
        before = torch.zeros_like(h)
        before = h if reset is None else torch.where(reset[t].view(-1, *[1] * (h.dim() - 1)), before, h)
        h = a[t if len(a) > 1 else 0] * before + row
        states.append(h)
    return torch.stack(states)


def case(a_shape=(STEPS, BATCH, SIZE), dtype=torch.float64, steps=STEPS, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (steps, *a_shape[1:]) if a_shape[0] > 1 else a_shape
    a = torch.randn(shape, generator=g, dtype=dtype)
    a = a / a.abs().clamp(min=1.0)  # some decay, some only turn
    b = torch.randn(steps, BATCH, SIZE, generator=g, dtype=dtype)
    h0 = torch.randn(BATCH, SIZE, generator=g, dtype=dtype)
    reset = torch.rand(steps, BATCH, generator=g) < 0.15
    reset[0, 0], reset[:, 1] = True, False
    return (a.requires_grad_(), b.requires_grad_(), h0.requires_grad_()), reset


def gradients(h, inputs):
    """Gradients of a sum in which every number of `h` has another weight."""
    weights = torch.linspace(-1, 1, h.numel(), dtype=torch.float64).view(h.shape)
    value = (h * weights).sum()
    if h.is_complex():
        value = value.real + 0.3 * value.imag
    return torch.autograd.grad(value, inputs)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("a_shape", A_SHAPES)
@pytest.mark.parametrize("with_reset", [True, False])
def test_equals_the_recurrence_written_out_gradients_included(impl, dtype, a_shape, with_reset):
    inputs, reset = case(a_shape, dtype)
    reset = reset if with_reset else None
    expected = written_out(*inputs, reset)
    h = linear_scan(*inputs, reset, impl)
    torch.testing.assert_close(h, expected, atol=1e-12, rtol=0)
    for got, want in zip(gradients(h, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, want, atol=1e-11, rtol=0)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 16, 17])
def test_takes_any_number_of_steps(impl, steps):
    inputs, reset = case(steps=steps)
    expected = written_out(*inputs, reset)
    h = linear_scan(*inputs, reset, impl)
    torch.testing.assert_close(h, expected, atol=1e-12, rtol=0)
    for got, want in zip(gradients(h, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, want, atol=1e-11, rtol=0)


@pytest.mark.parametrize("block", [1, 2 * BATCH * SIZE, 5 * BATCH * SIZE])
@pytest.mark.parametrize("a_shape", A_SHAPES)
def test_size_of_the_blocks_of_the_backward_pass_changes_nothing(monkeypatch, block, a_shape):
    inputs, reset = case(a_shape, torch.complex128)
    expected = gradients(written_out(*inputs, reset), inputs)
    monkeypatch.setattr(scan, "BLOCK", block)
    got = gradients(linear_scan(*inputs, reset, "sequential"), inputs)
    for left, right in zip(got, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-11, rtol=0)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_agree_with_finite_differences(impl, dtype):
    for a_shape in ((6, BATCH, SIZE), (1, 1, SIZE)):
        (a, b, h0), reset = case(a_shape, dtype, steps=6)
        assert torch.autograd.gradcheck(lambda a, b, h0, r=reset: linear_scan(a, b, h0, r, impl), (a, b, h0))


@pytest.mark.parametrize("impl", IMPLS)
def test_states_may_have_any_number_of_axes_and_any_layout(impl):
    g = torch.Generator().manual_seed(1)
    b = torch.randn(BATCH, 9, 2, STEPS, generator=g, dtype=torch.float64).permute(3, 0, 2, 1).requires_grad_()
    a = torch.rand(STEPS, BATCH, 1, 9, generator=g, dtype=torch.float64).requires_grad_()
    h0 = torch.zeros(BATCH, 2, 9, dtype=torch.float64, requires_grad=True)
    reset = torch.rand(STEPS, BATCH, generator=g) < 0.2
    h, expected = linear_scan(a, b, h0, reset, impl), written_out(a, b, h0, reset)
    torch.testing.assert_close(h, expected, atol=1e-12, rtol=0)
    for got, want in zip(gradients(h, (a, b, h0)), gradients(expected, (a, b, h0)), strict=True):
        torch.testing.assert_close(got, want, atol=1e-11, rtol=0)


@pytest.mark.parametrize("impl", IMPLS)
def test_changing_the_result_in_place_is_refused_where_the_backward_pass_needs_it(impl):
    (a, b, h0), reset = case()
    with torch.no_grad():
        linear_scan(a, b, h0, reset, impl).mul_(2)
    h = linear_scan(a, b, h0, reset, impl)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation|view .* modified inplace"):
        h.mul_(2).sum().backward()


@pytest.mark.parametrize("impl", IMPLS)
def test_two_parts_equal_one_sequence(impl):
    (a, b, h0), reset = case()
    whole = linear_scan(a, b, h0, reset, impl)
    first = linear_scan(a[:10], b[:10], h0, reset[:10], impl)
    second = linear_scan(a[10:], b[10:], first[-1], reset[10:], impl)
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("at", [1, 4, 12, 22])  # within a chunk and at the start of one
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nothing_infinite_passes_a_reset(impl, at, bad):
    a, b, h0 = (x.detach() for x in case()[0])
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[at, 0] = True
    clean = linear_scan(a, b, torch.zeros_like(h0), reset, impl)[at:, 0]
    a[:at, 0], b[:at, 0], h0[0] = bad, bad, bad
    inputs = (a.requires_grad_(), b.requires_grad_(), h0.requires_grad_())

    h = linear_scan(*inputs, reset, impl)
    assert torch.equal(h[at:, 0], clean)
    grad_a, grad_b, _ = torch.autograd.grad(h[at:, 0].sum(), inputs)
    assert grad_a[at:, 0].isfinite().all()
    assert grad_b[at:, 0].isfinite().all()
    assert not grad_b[at - 1, 0].any()

    without = linear_scan(*inputs, torch.zeros_like(reset), impl)  # the same without a reset
    assert not without[at:, 0].isfinite().any()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("at", [1, 4, 12, 22])
def test_gradient_that_broke_after_a_reset_reaches_nothing_before(impl, at):
    (a, b, h0), _ = case()
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[at, 0] = True
    broken = torch.zeros(STEPS, BATCH, SIZE, dtype=torch.float64)
    broken[at:, 0] = torch.nan
    for start, reaches in ((reset, False), (torch.zeros_like(reset), True)):
        grad_a, grad_b, grad_h0 = torch.autograd.grad(linear_scan(a, b, h0, start, impl), (a, b, h0), broken)
        assert grad_a[:at, 0].any() == reaches
        assert grad_b[:at, 0].any() == reaches
        assert grad_h0[0].any() == reaches


@pytest.mark.parametrize("impl", IMPLS)
def test_environments_do_not_see_each_other(impl):
    (a, b, h0), reset = case()
    some = torch.tensor([2, 0])
    h = linear_scan(a[:, some], b[:, some], h0[some], reset[:, some], impl)
    assert torch.equal(h, linear_scan(a, b, h0, reset, impl)[:, some])


@pytest.mark.parametrize("size", [8, scan.SMALL])
def test_automatic_choice_equals_both(size):
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(12, 1, size, generator=g), torch.randn(12, 1, size, generator=g)
    chosen = linear_scan(a, b, torch.zeros(1, size))
    torch.testing.assert_close(linear_scan(a, b, torch.zeros(1, size), impl="sequential"), chosen)
    torch.testing.assert_close(linear_scan(a, b, torch.zeros(1, size), impl="chunked"), chosen)


@pytest.mark.parametrize("impl", IMPLS)
def test_keeps_factors_and_states_alone_for_the_backward_pass(impl):
    (a, b, h0), reset = case()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        h = linear_scan(a, b, h0, reset, impl)
    assert sum(x.numel() * x.itemsize for x in kept) == sum(x.numel() * x.itemsize for x in (a, h, h0, reset))


@pytest.mark.parametrize("impl", IMPLS)
def test_second_derivatives_are_refused(impl):
    (a, b, h0), _ = case()
    (grad,) = torch.autograd.grad(linear_scan(a, b, h0, impl=impl).square().sum(), b, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def bad_inputs():
    (a, b, h0), reset = case()
    a, b, h0 = a.detach(), b.detach(), h0.detach()
    return {
        "a of other length": (a[:5], b, h0, reset),
        "a of other size": (a[..., :3], b, h0, reset),
        "a without batch": (a[:, 0], b, h0, reset),
        "h0 of other batch": (a, b, h0[:2], reset),
        "no steps": (a[:0], b[:0], h0, reset[:0]),
        "complex a, real b": (a.to(torch.complex128), b, h0, reset),
        "h0 of lower precision": (a, b, h0.float(), reset),
        "reset of other length": (a, b, h0, reset[:-1]),
        "reset of numbers": (a, b, h0, reset.double()),
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_inputs_that_do_not_fit_are_refused_with_what_they_are(name):
    with pytest.raises(ValueError, match=r"shape|dtype|bool"):
        linear_scan(*bad_inputs()[name])


def test_unknown_implementation_is_refused():
    (a, b, h0), _ = case()
    unknown: Any = "parallel"
    with pytest.raises(ValueError, match="impl is 'auto', 'sequential' or 'chunked'"):
        linear_scan(a, b, h0, impl=unknown)
