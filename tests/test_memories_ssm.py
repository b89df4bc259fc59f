"""State-space memories, and what they share with gated scans: each has the mechanism that its name claims."""

import math

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn import lti  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.complex_maps import as_complex, as_pairs, read_real, write_complex  # noqa: E402
from memgym.agents.nn.hippo import legs  # noqa: E402
from memgym.agents.nn.lru import LRU  # noqa: E402
from memgym.agents.nn.mamba import Mamba  # noqa: E402
from memgym.agents.nn.mingru import MinGRU, MinLSTM  # noqa: E402
from memgym.agents.nn.mlgru import MLGRU  # noqa: E402
from memgym.agents.nn.s4 import S4  # noqa: E402
from memgym.agents.nn.s4d import S4D  # noqa: E402
from memgym.agents.nn.s5 import S5  # noqa: E402
from memgym.agents.nn.scan import linear_scan  # noqa: E402

FIXED = [LRU, S4, S4D, S5]
GATED = [Mamba, MinGRU, MinLSTM, MLGRU]
LENGTHS = [1, 2, 3, 7, 8, 50, 64]
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


# ---------------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("cls", FIXED + GATED)
def test_keeps_the_contract_of_memories(cls):
    check_memory_module(lambda: cls(6, 10), seed=2)
    check_memory_module(lambda: cls(6, 10).double(), atol=1e-10)


@pytest.mark.parametrize("cls", FIXED + GATED)
def test_what_is_left_of_a_state_depends_on_the_input_only_where_the_input_gates_it(cls):
    """A difference between two states fades on a clock in one family and as the input says in the other."""
    module = scramble(build(cls))
    x, _ = sequence(12)
    zero = module.initial_state(4)
    state = {name: torch.randn_like(leaf) for name, leaf in zero.items()}

    def left(inputs):
        with torch.no_grad():
            return module(inputs, state)[1]["h"] - module(inputs, zero)[1]["h"]

    difference = float((left(x) - left(x.roll(1, -1))).abs().max())
    assert difference < 1e-9 if cls in FIXED else difference > 1e-3


def test_more_blocks_than_states_are_refused():
    with pytest.raises(ValueError, match="blocks is an integer from 1 to 4"):
        S5(6, 10, state=4, blocks=5)


@pytest.mark.parametrize("cls", FIXED)
def test_time_scales_learn_slowly_and_the_readout_does_not(cls):
    module = build(cls)
    scales = module.lr_scales()
    assert set(scales) < {name for name, _ in module.named_parameters()}
    assert set(scales.values()) == {0.1}
    assert not {"c", "d"} & set(scales)


@pytest.mark.parametrize("cls", [Mamba, MLGRU])
def test_parameters_that_decay_would_harm_are_named(cls):
    module = build(cls)
    assert set(module.lr_scales()) <= {name for name, _ in module.named_parameters()}
    assert set(module.lr_scales().values()) == {1.0}


def test_complex_weights_act_as_complex_numbers_do():
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 3, generator=g, dtype=torch.complex128)
    x = torch.randn(7, 3, generator=g, dtype=torch.float64)
    h = torch.randn(7, 3, generator=g, dtype=torch.complex128)
    close(write_complex(x, weight), x.to(h.dtype) @ weight.T)
    close(read_real(h, weight), (h @ weight.T).real)
    close(as_complex(as_pairs(h)), h)
    close(as_pairs(h.conj()), torch.view_as_real(h.conj().resolve_conj()).flatten(-2))


# ---------------------------------------------------------------------- lru


def test_lru_is_its_recurrence_written_out():
    m = scramble(build(LRU, hidden=8))
    x, reset = sequence(20)
    rate = torch.exp(-m.nu.exp() + 1j * m.theta.exp())
    b, c = torch.complex(*m.b.unbind(-1)), torch.complex(*m.c.unbind(-1))
    h, outputs = torch.zeros(4, 8, dtype=torch.complex128), []
    for t in range(20):
        h = torch.where(reset[t, :, None], torch.zeros_like(h), h)
        h = rate * h + m.log_gamma.exp() * (x[t].to(b.dtype) @ b.T)
        outputs.append((h @ c.T).real + x[t] @ m.d.weight.T + m.d.bias)
    y, last = m(x, m.initial_state(4), reset)
    close(y, torch.stack(outputs))
    close(last["h"], h)


def test_lru_starts_in_its_ring_and_stays_in_the_unit_disc_whatever_is_learned():
    m = build(LRU, hidden=500)
    radius, phase = m.eigenvalues().abs(), m.eigenvalues().angle()
    assert radius.min() >= 0.9
    assert radius.max() <= 0.999
    assert phase.min() >= 0
    assert phase.max() <= math.pi / 10
    scramble(m, 10.0)
    assert (m.eigenvalues().abs() <= 1).all()
    assert m.nu.exp().max() > 1  # where a radius of exp(nu) would have left the disc


def test_lru_keeps_white_noise_at_one_size_because_of_gamma():
    m = build(LRU, d_in=16, hidden=64)
    noise = torch.randn(3000, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    @torch.no_grad()
    def power():
        h = linear_scan(m.eigenvalues()[None, None], m.write(noise), m.initial_state(16)["h"])
        return float(h[-200:].abs().square().mean())

    assert 0.8 < power() < 1.25
    with torch.no_grad():
        m.log_gamma.zero_()
    assert power() > 5


# ---------------------------------------------------------------------- s4d, s4, s5


def dense(m):
    """A channel system of S4 or S4D as plain N x N matrices, discretised by solving: A, B and C."""
    conjugate = lambda x: torch.cat([x, x.conj()], -1)  # noqa: E731
    poles = conjugate(torch.complex(-m.log_rate.exp(), m.frequency))
    a = torch.diag_embed(poles)
    dt = m.log_dt.exp()[:, None, None].to(a.dtype)
    c = conjugate(as_complex(m.c))[:, None]
    if isinstance(m, S4D):
        step = torch.linalg.matrix_exp(dt * a)
        return step, torch.linalg.solve(a, (step - torch.eye(a.shape[-1])).sum(-1, keepdim=True)), c
    p, b = conjugate(as_complex(m.p))[..., None], conjugate(as_complex(m.b))[..., None]
    a = a - p @ p.mH
    eye = torch.eye(a.shape[-1], dtype=a.dtype)
    left = eye - dt / 2 * a
    return torch.linalg.solve(left, eye + dt / 2 * a), torch.linalg.solve(left, dt * b), c


def dense_kernel(m, length):
    """C A^l B for l from 0 to `length` - 1."""
    a, b, c = dense(m)
    rows = []
    for _ in range(length):
        rows.append((c @ b)[:, 0, 0].real)
        b = a @ b
    return torch.stack(rows, -1)


def impulse_response(m, length):
    """What the recurrence puts out after a single 1."""
    h, rows = torch.zeros(m.d_in, m.state, dtype=torch.complex128), []
    for t in range(length):
        h = m.advance(h, torch.full((m.d_in,), float(t == 0), dtype=torch.float64))
        rows.append(m.read_out(h))
    return torch.stack(rows, -1)


@pytest.mark.parametrize("cls", [S4, S4D])
@pytest.mark.parametrize("length", LENGTHS)
def test_kernel_recurrence_and_powers_of_the_dense_system_agree(cls, length):
    with torch.no_grad():
        m = scramble(build(cls, 5, state=4))
        kernel = m.unroll(length).kernel
        close(kernel, dense_kernel(m, length))
        close(impulse_response(m, length), kernel)
        if length > 1:  # and it is this system's kernel, not the one that all start from
            assert not torch.allclose(kernel, build(cls, 5, state=4).unroll(length).kernel, atol=1e-3)


def test_s4_needs_its_low_rank_part():
    with torch.no_grad():
        m = scramble(build(S4, 5, state=4))
        kernel = m.unroll(50).kernel
        m.p.zero_()
        close(m.unroll(50).kernel, dense_kernel(m, 50))
        assert not torch.allclose(m.unroll(50).kernel, kernel, atol=1e-3)


def test_s4_kernel_is_accurate_in_single_precision():
    with torch.no_grad():
        m = build(S4, 32, state=16)
        exact = m.unroll(64).kernel
        close(m.float().unroll(64).kernel.double(), exact, 5e-6)


@pytest.mark.parametrize("size", [2, 16, 64])
def test_hippo_is_diagonal_plus_low_rank(size):
    n = torch.arange(size, dtype=torch.float64)
    scale = (2 * n + 1).sqrt()
    hippo = -(scale[:, None] * scale).tril(-1) - torch.diag(n + 1)
    start = legs(size)
    p = start.p[:, None]
    basis = torch.cat([start.basis, start.basis.conj()], 1)
    poles, p, b = (torch.cat([x, x.conj()]) for x in (start.eigenvalues, p, start.b))
    rebuilt = basis @ (torch.diag(poles) - p @ p.mH) @ basis.mH
    close(rebuilt, hippo.to(rebuilt.dtype), 1e-10 * size)
    close(basis @ b, scale.to(b.dtype))
    assert not torch.allclose((basis @ torch.diag(poles) @ basis.mH).real, hippo, atol=0.1)


@pytest.mark.parametrize("cls", [S4, S4D])
@pytest.mark.parametrize("block", [1, 8, 32, 75, 100])
def test_convolution_equals_the_recurrence_across_resets_and_blocks(monkeypatch, cls, block):
    m = scramble(build(cls))
    x, reset = sequence()
    state = m(x[:5], m.initial_state(4))[1]
    h, states, outputs = state, [], []
    for t in range(len(x)):
        y, h = m.step(x[t], h, reset[t])
        outputs.append(y)
        states.append(h["h"])
    monkeypatch.setattr(lti, "BLOCK", block)
    y, last = m(x, state, reset)
    close(y, torch.stack(outputs))
    close(last["h"], states[-1])
    assert not torch.allclose(m(x, state)[0], y, atol=1e-3)


def test_s4d_is_a_scan_with_the_same_factors_at_all_steps():
    m = scramble(build(S4D))
    x, reset = sequence()
    poles = torch.complex(-m.log_rate.exp(), m.frequency)
    factor = (m.log_dt.exp()[:, None] * poles).exp()
    h = linear_scan(factor[None, None], (factor - 1) / poles * x[..., None], m.initial_state(4)["h"], reset)
    y = 2 * (as_complex(m.c) * h).sum(-1).real + m.d * x
    close(m(x, m.initial_state(4), reset)[0], m.out(y))


def test_s4d_starts_with_linear_frequencies_and_s4_and_s5_with_those_of_hippo():
    with torch.no_grad():
        close(build(S4D, state=5).frequency[2].float(), torch.pi * torch.arange(5.0), 1e-5)
        frequencies = legs(10).eigenvalues.imag
        close(build(S4, state=5).frequency[2], frequencies, 1e-5)
        close(build(S5, state=5).frequency, frequencies, 1e-5)
        close(build(S5, state=10, blocks=2).frequency, frequencies.repeat(2), 1e-5)


@pytest.mark.parametrize("cls", [S4, S4D])
def test_channels_meet_in_the_output_layer_alone(cls):
    """A system for each channel: the state of one does not see the input of another."""
    m = build(cls)
    x, _ = sequence(10)
    changed = x.clone()
    changed[3, :, 2] += 1
    with torch.no_grad():
        (y, state), (other_y, other) = m(x, m.initial_state(4)), m(changed, m.initial_state(4))
    differs = (state["h"] - other["h"]).abs().amax((0, 2)) > 0
    assert differs.tolist() == [channel == 2 for channel in range(6)]
    assert ((y - other_y)[-1].abs() > 0).all()


def test_s5_is_its_recurrence_written_out():
    m = scramble(build(S5, state=7, blocks=3))
    x, reset = sequence(20)
    poles = torch.complex(-m.log_rate.exp(), m.frequency)
    b, c = torch.complex(*m.b.unbind(-1)), torch.complex(*m.c.unbind(-1))
    factor = torch.exp(m.log_dt.exp() * poles)
    h, outputs = torch.zeros(4, 7, dtype=torch.complex128), []
    for t in range(20):
        h = torch.where(reset[t, :, None], torch.zeros_like(h), h)
        h = factor * h + (factor - 1) / poles * (x[t].to(b.dtype) @ b.T)
        y = functional.gelu(2 * (h @ c.T).real + m.d * x[t]) @ m.out[1].weight.T + m.out[1].bias
        outputs.append(y[:, :10] * torch.sigmoid(y[:, 10:]))
    y, last = m(x, m.initial_state(4), reset)
    close(y, torch.stack(outputs))
    close(last["h"], h)
