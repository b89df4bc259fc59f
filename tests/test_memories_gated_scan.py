"""Scans whose factors the input sets: Mamba, minGRU, minLSTM and the MatMul-free gated recurrence."""

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn import mamba  # noqa: E402
from memgym.agents.nn.mamba import Mamba  # noqa: E402
from memgym.agents.nn.mingru import MinGRU, MinLSTM  # noqa: E402
from memgym.agents.nn.mlgru import MLGRU, TernaryLinear  # noqa: E402
from memgym.agents.nn.recurrent import GRU  # noqa: E402

functional = torch.nn.functional


def build(cls, d_in=6, d_out=10, *, seed=0, **config):
    torch.manual_seed(seed)
    return cls(d_in, d_out, **config).double()


def scramble(module, scale=0.3):
    """Move every parameter, so that nothing can rest on how it starts."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def sequence(steps=75, batch=4, d_in=6, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, d_in, generator=g, dtype=torch.float64)
    reset = torch.rand(steps, batch, generator=g) < 0.06
    reset[0, 0], reset[:, 1] = True, False
    return x, reset


def close(got, want, atol=1e-11):
    torch.testing.assert_close(got, want, atol=atol, rtol=0)


# ---------------------------------------------------------------------- mamba


def test_mamba_is_its_recurrence_written_out():
    m = scramble(build(Mamba, hidden=8, state=3))
    x, reset = sequence(20)
    h, taps, outputs = torch.zeros(4, 8, 3, dtype=torch.float64), [torch.zeros(4, 8).double()] * 3, []
    for t in range(20):
        first = reset[t, :, None]
        h = torch.where(first[..., None], torch.zeros_like(h), h)
        taps = [torch.where(first, torch.zeros_like(tap), tap) for tap in taps]
        u, z = (x[t] @ m.feed.weight.T).split(8, -1)
        taps.append(u)
        u = sum(weight * tap for weight, tap in zip(m.conv.weight, taps, strict=True)) + m.conv.bias
        u, taps = u * torch.sigmoid(u), taps[1:]
        low, b, c = (u @ m.select.weight.T).split([1, 3, 3], -1)
        dt = torch.log1p(torch.exp(low @ m.dt.weight.T + m.dt.bias))
        h = torch.exp(-dt[..., None] * m.log_a.exp()) * h + dt[..., None] * b[:, None] * u[..., None]
        y = (h * c[:, None]).sum(-1) + m.d * u
        outputs.append((y * z * torch.sigmoid(z)) @ m.out.weight.T)
    y, last = m(x, m.initial_state(4), reset)
    close(y, torch.stack(outputs))
    close(last["h"], h)


def test_mamba_freezes_where_its_step_size_is_zero():
    m = build(Mamba)
    x, _ = sequence(20)
    h = torch.randn(4, m.hidden, m.state, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = m.initial_state(4) | {"h": h}
    with torch.no_grad():
        assert not torch.allclose(m(x, state)[1]["h"], h, atol=1e-3)
        m.dt.bias.fill_(-1e4)
        assert torch.equal(m(x, state)[1]["h"], h)


def test_mamba_starts_with_the_time_scales_of_its_paper():
    m = build(Mamba)
    dt = functional.softplus(m.dt.bias)
    assert 0.001 <= dt.min() < 0.005
    assert 0.02 < dt.max() <= 0.1
    close(m.log_a.exp()[7], torch.arange(1.0, 17.0).double(), 1e-5)


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_mamba_in_parts_equals_mamba_at_once_gradients_included(monkeypatch, steps):
    m = scramble(build(Mamba, hidden=8, state=3), 0.1)
    x, reset = sequence(30)
    x.requires_grad_()

    def run():
        y, last = m(x, m.initial_state(4), reset)
        loss = y.square().sum() + last["h"].sum()
        return y, torch.autograd.grad(loss, [x, *m.parameters()])

    kept = []
    y, gradients = run()
    monkeypatch.setattr(mamba, "PART", steps * 4 * 8 * 3)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        other_y, other = run()
    close(other_y, y)
    for left, right in zip(other, gradients, strict=True):
        close(left, right)
    assert (max(kept) < 30 * 4 * 8 * 3) == (
        steps < 30
    )  # the states of all steps are kept only where one part does


def test_mamba_agrees_with_mambapy():
    oracle = pytest.importorskip("mambapy.mamba", reason="mambapy is a second opinion on Mamba")
    block = oracle.MambaBlock(oracle.MambaConfig(d_model=32, n_layers=1)).double()
    m = scramble(build(Mamba, 32, 32, hidden=64))
    with torch.no_grad():
        for mine, theirs in (
            (m.feed.weight, block.in_proj.weight),
            (m.conv.weight, block.conv1d.weight[:, 0].T),
            (m.conv.bias, block.conv1d.bias),
            (m.select.weight, block.x_proj.weight),
            (m.dt.weight, block.dt_proj.weight),
            (m.dt.bias, block.dt_proj.bias),
            (m.log_a, block.A_log),
            (m.d, block.D),
            (m.out.weight, block.out_proj.weight),
        ):
            theirs.copy_(mine)
        x, _ = sequence(40, d_in=32)
        close(
            m(x, m.initial_state(4))[0], block(x.transpose(0, 1)).transpose(0, 1), 1e-4
        )  # it takes log_a in single precision


# ---------------------------------------------------------------------- mingru, minlstm


def positive(x):
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


@pytest.mark.parametrize("cls", [MinGRU, MinLSTM])
def test_minimal_cells_are_their_recurrence_written_out(cls):
    m = scramble(build(cls, hidden=8))
    x, reset = sequence(20)
    h, outputs = torch.zeros(4, 8, dtype=torch.float64), []
    for t in range(20):
        h = torch.where(reset[t, :, None], torch.zeros_like(h), h)
        *gates, candidate = (x[t] @ m.feed.weight.T + m.feed.bias).split(8, -1)
        if cls is MinGRU:
            z = torch.sigmoid(gates[0])
            h = (1 - z) * h + z * positive(candidate)
        else:
            f, i = torch.sigmoid(gates[0]), torch.sigmoid(gates[1])
            h = f / (f + i) * h + i / (f + i) * positive(candidate)
        outputs.append(h @ m.out.weight.T + m.out.bias)
    y, last = m(x, m.initial_state(4), reset)
    close(y, torch.stack(outputs))
    close(last["h"], h)


@pytest.mark.parametrize(("cls", "expected"), [(MinGRU, True), (MinLSTM, True), (MLGRU, True), (GRU, False)])
def test_gates_do_not_see_the_state(cls, expected):
    """Then the next state is an affine function of this one; a GRU's is not."""
    m = scramble(build(cls))
    x, _ = sequence(3)
    h = torch.randn(4, m.hidden, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        zero, one, two = (m(x, {"h": k * h})[1]["h"] for k in (0, 1, 2))
    assert torch.allclose(two - one, one - zero, atol=1e-9) == expected


def test_minlstm_holds_its_state_where_both_gates_are_nearly_closed():
    """The quotient of two gates stays exact where each of them is zero in floating point."""
    m = build(MinLSTM).float()
    with torch.no_grad():
        m.feed.weight.zero_()
        m.feed.bias[: 2 * m.hidden] = -200.0
        keep, _ = m.gates(torch.zeros(1, 6))
        close(keep, torch.full_like(keep, 0.5))
        f = i = torch.sigmoid(m.feed.bias[:1])
        assert (f / (f + i)).isnan().all()


# ---------------------------------------------------------------------- mlgru


def test_ternary_weights_take_three_values_and_products_are_whole_numbers():
    torch.manual_seed(0)
    layer = TernaryLinear(48, 20)
    weight, scale = layer.ternary()
    assert weight.unique().tolist() == [-1, 0, 1]
    assert len(layer.weight.unique()) > 3
    close(scale, layer.weight.abs().mean())
    x = torch.randn(9, 48)
    codes, unit = layer.integers(x)
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() == 127
    products = layer(x) / (unit * scale)
    close(products, products.round(), 1e-3)
    plain = functional.linear(x, layer.weight) / (unit * scale)
    assert not torch.allclose(plain, plain.round(), atol=1e-3)


def test_ternary_layer_does_not_see_less_than_half_a_step():
    torch.manual_seed(0)
    layer = TernaryLinear(16, 20)
    x = torch.zeros(16)
    x[0], x[1] = 127.0, 40.2  # the largest sets the step: here one of about 1
    near, far = x.clone(), x.clone()
    near[1], far[1] = 40.4, 40.7
    codes = [layer.integers(row)[0] for row in (x, near, far)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])
    assert not torch.equal(functional.linear(x, layer.weight), functional.linear(near, layer.weight))


def test_ternary_layer_passes_gradients_straight_through_the_rounding():
    torch.manual_seed(0)
    layer = TernaryLinear(16, 20).double()
    x = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    out = torch.randn(9, 20, dtype=torch.float64)
    layer(x).backward(out)
    codes, unit = layer.integers(x.detach())
    weight, scale = layer.ternary()
    assert (layer.weight.abs() > scale).any()  # weights beyond the range learn as well
    close(layer.weight.grad, out.T @ (codes * unit))
    assert x.grad is not None
    normalised = functional.rms_norm(x, (16,), eps=1e-6)
    (expected,) = torch.autograd.grad(normalised, x, out @ (weight.detach() * scale))
    close(x.grad, expected)
    (plain,) = torch.autograd.grad((layer.weight / scale).round().sum(), layer.weight)
    assert not plain.any()  # rounding without the trick teaches nothing


def test_mlgru_is_its_recurrence_written_out():
    m = build(MLGRU, hidden=8)
    x, reset = sequence(20)

    def ternary(layer, rows):
        rows = rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        unit = rows.abs().amax(-1, keepdim=True) / 127
        scale = layer.weight.abs().mean()
        return ((rows / unit).round() * unit) @ ((layer.weight / scale).round().clamp(-1, 1) * scale).T

    h, outputs = torch.zeros(4, 8, dtype=torch.float64), []
    for t in range(20):
        h = torch.where(reset[t, :, None], torch.zeros_like(h), h)
        f, c = torch.sigmoid(ternary(m.forget, x[t])), ternary(m.candidate, x[t])
        h = f * h + (1 - f) * c * torch.sigmoid(c)
        outputs.append(ternary(m.out, h * torch.sigmoid(ternary(m.gate, x[t]))))
    y, last = m(x, m.initial_state(4), reset)
    close(y, torch.stack(outputs))
    close(last["h"], h)
