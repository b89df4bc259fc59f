"""Memories against their equations, written out for one environment and one step at a time."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402

from memgym.agents.nn import make_memory  # noqa: E402

functional = torch.nn.functional
STEPS, BATCH, SIZE = 25, 3, 6
Held = Any  # what the episode so far has left, None at its start


def build(name: str, **config: Any) -> Any:
    """A memory, every parameter of which has moved, so that nothing can rest on how it starts."""
    torch.manual_seed(0)
    memory = make_memory(name, SIZE, 10, **config).double()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return memory


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


# ---------------------------------------------------------------------- cells


def rnn(m: Any, x: Tensor, h: Held) -> tuple[Tensor, Held]:
    w, u, b, b_h = m.core.all_weights[0]
    h = torch.tanh(w @ x + b + u @ (zeros(m.hidden) if h is None else h) + b_h)
    return m.out(h), h


def gru(m: Any, x: Tensor, h: Held) -> tuple[Tensor, Held]:
    w, u, b, b_h = m.core.all_weights[0]
    h = zeros(m.hidden) if h is None else h
    r, z, n = (w @ x + b).chunk(3)
    r_h, z_h, n_h = (u @ h + b_h).chunk(3)
    r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
    h = (1 - z) * torch.tanh(n + r * n_h) + z * h
    return m.out(h), h


def lstm(m: Any, x: Tensor, held: Held) -> tuple[Tensor, Held]:
    w, u, b, b_h = m.core.all_weights[0]
    h, c = held or (zeros(m.hidden), zeros(m.hidden))
    i, f, g, o = (w @ x + b + u @ h + b_h).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return m.out(h), (h, c)


def multiplicative_lstm(m: Any, x: Tensor, held: Held) -> tuple[Tensor, Held]:
    h, c = held or (zeros(m.hidden), zeros(m.hidden))
    chosen, *gates = m.fed(x).chunk(5)
    seen = chosen * (m.recurrent.weight @ h)
    i, f, g, o = (gate + u @ seen for gate, u in zip(gates, m.gates.weight.chunk(4), strict=True))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return m.out(h), (h, c)


# ---------------------------------------------------------------------- matrices


def ffm(m: Any, x: Tensor, s: Held) -> tuple[Tensor, Held]:
    gamma = torch.exp(-m.alpha.abs()[:, None] + 1j * m.omega)
    written = m.write(x) * torch.sigmoid(m.write_gate(x))
    s = (0 if s is None else gamma * s) + written[:, None].expand(-1, m.contexts).to(gamma.dtype)
    real, imaginary = m.read.weight.view(m.d_out, -1, 2).unbind(-1)
    z = real @ s.real.flatten() + imaginary @ s.imag.flatten() + m.read.bias
    z = (z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt()
    g = torch.sigmoid(m.skip_gate(x))
    return z * g + m.skip(x) * (1 - g), s


def shm(m: Any, x: Tensor, store: Held) -> tuple[Tensor, Held]:
    x = m.norm(x)
    k, q = torch.relu(m.key(x)), torch.relu(m.query(x))
    k, q = k / (1e-5 + k.sum()), q / (1e-5 + q.sum())
    gain = 1 + torch.tanh(torch.outer(m.theta[0], m.calibration(x)))
    written = torch.outer(torch.sigmoid(m.strength(x)) * m.value(x), k)
    store = (0 if store is None else gain * store) + written
    return m.out(store @ q + m.skip(x)), store


def delta(m: Any, x: Tensor, held: Held) -> tuple[Tensor, Held]:
    """All three: linear attention does not erase, and the gated delta rule alone decays."""
    sizes = (m.heads, m.head_size)
    s, taps = held or (zeros(*sizes, m.head_size), [zeros(3 * m.heads * m.head_size)] * 3)
    taps = [*taps, m.qkv(x)]
    rows = silu(sum(w * tap for w, tap in zip(m.conv.weight, taps, strict=True)) + m.conv.bias)
    q, k, v = rows.view(3, *sizes)
    q, k = (row / (row.square().sum(-1, keepdim=True) + 1e-6).sqrt() for row in (q, k))
    if m.decays:
        s = torch.exp(-functional.softplus(m.decay(x)))[:, None, None] * s
    if m.erases:
        v = v - torch.einsum("hk,hkv->hv", k, s)
    s = s + torch.sigmoid(m.beta(x))[:, None, None] * torch.einsum("hk,hv->hkv", k, v)
    read = m.norm(torch.einsum("hk,hkv->hv", q, s)).flatten()
    return m.out(read * silu(m.gate(x))), (s, taps[1:])


def mlstm(m: Any, x: Tensor, held: Held) -> tuple[Tensor, Held]:
    q, k, v = m.qkv(x).view(3, m.heads, m.head_size)
    k = k / m.head_size**0.5
    f, i = torch.sigmoid(m.forget_gate(x))[:, None], torch.exp(m.input_gate(x))[:, None]
    c, n = held or (zeros(m.heads, m.head_size, m.head_size), zeros(m.heads, m.head_size))
    c = f[..., None] * c + torch.einsum("hk,hv->hkv", i * k, v)
    n = f * n + i * k
    h = torch.einsum("hk,hkv->hv", q, c) / (q * n).sum(-1, keepdim=True).abs().clamp(min=1.0)
    return m.out(m.norm(h).flatten() * torch.sigmoid(m.gate(x))), (c, n)


# ---------------------------------------------------------------------- slots and look-up


def slots(m: Any, x: Tensor, s: Held) -> tuple[Tensor, Held]:
    s = zeros(m.slots, m.item) if s is None else s
    h = functional.gelu(m.feed[0](x))
    given = x[SIZE - m.given * m.item :].view(m.given, m.item)
    offers = torch.cat([given, m.offer(h).view(-1, m.item)])
    held, new = (m.key(rows) for rows in (s, offers))
    held, new = (rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-3) for rows in (held, new))
    shares = torch.exp(m.address(h).view(m.slots, m.slots) + m.likeness * (held @ new.T - 1))
    for _ in range(m.rounds):
        shares = shares / shares.sum(1, keepdim=True)
        shares = shares / shares.sum(0, keepdim=True)
    offered = shares / shares.sum(1, keepdim=True) @ offers
    hidden = m.gate_items(torch.cat([s, offered], 1)) + m.gate_input(h) + m.gate_slot
    g = torch.sigmoid(m.gate_out(functional.gelu(hidden)))
    s = (1 - g) * s + g * offered
    scores = m.attend[2](functional.gelu(m.attend[0](torch.cat([h, s.flatten()])))).view(m.heads, m.slots)
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    return m.out(torch.cat([h, s.flatten(), (weights @ s).flatten()])), s


def engram(m: Any, x: Tensor, held: Held, new: Tensor) -> tuple[Tensor, Held]:
    def norm(row: Tensor) -> Tensor:
        return row / (row.square().mean() + 1e-6).sqrt()

    ids, rows = held or ([0] * (m.ngram - 1), [zeros(SIZE)] * (3 * m.ngram))
    ids = [*ids, int(new) + 1]
    found = m.table(m.rows_of(torch.tensor(ids))).flatten()
    match = (norm(m.key(found)) * norm(x) * m.scale).sum() / SIZE**0.5
    v = torch.sigmoid(match.sign() * match.abs().clamp(min=1e-6).sqrt()) * m.value(found)
    rows = [*rows, norm(v)]
    conv = sum(tap * row for tap, row in zip(m.taps, rows[:: m.ngram], strict=True))
    return m.out(x + v + silu(conv)), (ids[1:], rows[1:])


CASES: list[tuple[str, dict[str, Any], Callable[..., tuple[Tensor, Held]]]] = [
    ("rnn", {"hidden": 5}, rnn),
    ("gru", {"hidden": 5}, gru),
    ("lstm", {"hidden": 5}, lstm),
    ("multiplicative-lstm", {"hidden": 5}, multiplicative_lstm),
    ("ffm", {"size": 5, "contexts": 3}, ffm),
    ("shm", {"size": 5}, shm),
    ("linattn", {"heads": 2, "head_size": 3}, delta),
    ("delta", {"heads": 2, "head_size": 3}, delta),
    ("gdn", {"heads": 2, "head_size": 3}, delta),
    ("mlstm", {"heads": 2, "head_size": 3}, mlstm),
    ("slots", {"slots": 3, "item": 2, "given": 1}, slots),
    ("engram", {"rows": 20, "row_size": 3}, engram),
]


@pytest.mark.parametrize(("name", "config", "equations"), CASES)
@torch.no_grad()
def test_a_memory_is_its_equations_written_out(
    name: str, config: dict[str, Any], equations: Callable[..., tuple[Tensor, Held]]
) -> None:
    memory = build(name, **config)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, BATCH, SIZE, generator=generator, dtype=torch.float64)
    reset = torch.rand(STEPS, BATCH, generator=generator) < 0.06
    reset[9, 0], reset[:, 1] = True, False
    ids = torch.randint(0, 9, (STEPS, BATCH), generator=generator) if memory.spec.needs_ids else None
    y, _ = memory(x, memory.initial_state(BATCH), reset, ids=ids)
    for b in range(BATCH):
        held = None
        for t in range(STEPS):
            more = () if ids is None else (ids[t, b],)
            expected, held = equations(memory, x[t, b], None if reset[t, b] else held, *more)
            torch.testing.assert_close(y[t, b], expected, rtol=0, atol=1e-10)


# ---------------------------------------------------------------------- how they start, and a gate of CMR


def test_an_lstm_starts_with_a_forget_bias_of_two_and_an_input_bias_of_zero() -> None:
    biases = sum(make_memory("lstm", 6, 10, hidden=5).core.all_weights[0][2:])
    assert torch.equal(biases[:10], torch.tensor([0.0, 2.0]).repeat_interleave(5))


@torch.no_grad()
def test_cmr_adds_what_it_reads_through_a_gate_that_is_nearly_shut_at_first() -> None:
    memory: Any = make_memory("cmr", 6, 10, heads=2, head_size=3)
    assert all((reweave.gate.bias == -2.0).all() for reweave in memory.reweaves)
    reweave = build("cmr", heads=2, head_size=3).reweaves[0]
    h, records = torch.randn(6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    relevance = torch.tensor([0.9, 0.0, 0.3, 0.5], dtype=torch.float64)
    k, v = reweave.key_value(records).chunk(2, 1)
    weights = relevance * torch.exp(k @ reweave.query(h) / 6**0.5)  # the prior is a factor, and 0 of none
    r = weights / weights.sum() @ v
    expected = h + torch.sigmoid(reweave.gate(torch.cat([h, r]))) * r
    torch.testing.assert_close(reweave(h[None, None], records[None], relevance[None])[0, 0], expected)
