"""mLSTM and sLSTM: their equations, whatever the stabiliser does."""

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import nn  # noqa: E402

from memgym.agents.nn.xlstm import MLSTM, SLSTM, mlstm_chunk, mlstm_step  # noqa: E402


def mlstm_inputs(seed: int = 0, steps: int = 40) -> tuple[Any, Any, Any, Any, Any]:
    """q, k, v, i and log_f, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(steps, 2, 2, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    i, f = (torch.randn(steps, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return q, k, v, i, nn.functional.logsigmoid(f + 1.0)


def mlstm_state() -> dict[str, Any]:
    zeros = torch.zeros(2, 2, 4, 4, dtype=torch.float64)
    return {"c": zeros, "n": zeros[..., 0], "m": zeros[..., 0, 0]}


def test_mlstm_equals_its_equations_without_a_stabiliser() -> None:
    inputs = mlstm_inputs()
    h, _ = mlstm_chunk(*inputs, mlstm_state())
    c, n = mlstm_state()["c"], mlstm_state()["n"]
    for t, (q, k, v, i, log_f) in enumerate(zip(*inputs, strict=True)):
        c = log_f.exp()[..., None, None] * c + i.exp()[..., None, None] * k[..., :, None] * v[..., None, :]
        n = log_f.exp()[..., None] * n + i.exp()[..., None] * k
        expected = (c.mT @ q[..., None])[..., 0] / (q * n).sum(-1).abs().clamp(min=1.0)[..., None]
        torch.testing.assert_close(h[t], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 16, 64])
def test_mlstm_in_chunks_of_any_size_equals_its_steps(chunk: int) -> None:
    inputs = mlstm_inputs(seed=1)
    reset = torch.rand(40, 2, generator=torch.Generator().manual_seed(2)) < 0.1
    h, last = mlstm_chunk(*inputs, mlstm_state(), reset, chunk=chunk)
    state = mlstm_state()
    for t, (q, k, v, i, log_f) in enumerate(zip(*inputs, strict=True)):
        state = {
            name: leaf.masked_fill(reset[t].view(-1, *[1] * (leaf.dim() - 1)), 0.0)
            for name, leaf in state.items()
        }
        out, state = mlstm_step(q, k, v, i, log_f, state)
        torch.testing.assert_close(h[t], out, rtol=1e-10, atol=1e-12)
    for name, leaf in state.items():
        torch.testing.assert_close(last[name], leaf, rtol=1e-10, atol=1e-12)


def test_mlstm_needs_no_gradient_through_its_stabiliser() -> None:
    def read(q: Any, k: Any, v: Any, i: Any, log_f: Any) -> Any:
        return mlstm_chunk(q, k, v, i, log_f, mlstm_state(), chunk=2)[0]

    inputs = [part.requires_grad_() for part in mlstm_inputs(seed=3, steps=5)]
    assert torch.autograd.gradcheck(read, inputs)


def test_mlstm_does_not_depend_on_how_its_state_is_scaled() -> None:
    inputs = mlstm_inputs(seed=4)
    _, state = mlstm_chunk(*inputs, mlstm_state())
    scaled = {"c": state["c"] * torch.e**-3, "n": state["n"] * torch.e**-3, "m": state["m"] + 3.0}
    h, _ = mlstm_chunk(*inputs, state)
    torch.testing.assert_close(mlstm_chunk(*inputs, scaled)[0], h)
    # control: a store that is scaled alone is another store
    assert not torch.allclose(mlstm_chunk(*inputs, {**state, "c": scaled["c"]})[0], h)


def test_a_constant_on_all_input_gates_of_mlstm_matters_only_through_the_floor() -> None:
    q, k, v, i, log_f = mlstm_inputs(seed=5)
    q, k = q.abs(), k.abs()  # a normaliser that grows past its floor of 1

    def read(added: float) -> Any:
        return mlstm_chunk(q, k, v, i + added, log_f, mlstm_state())[0]

    torch.testing.assert_close(read(12.0), read(9.0))
    assert not torch.allclose(read(-9.0), read(-12.0))


@pytest.mark.parametrize("extreme", [-200.0, 200.0])
def test_exponential_gates_neither_overflow_nor_divide_by_zero(extreme: float) -> None:
    for memory in (MLSTM(6, 10), SLSTM(6, 10)):
        bias = memory.input_gate.bias if isinstance(memory, MLSTM) else memory.feed.bias.view(4, 4, 16)[:, 0]
        with torch.no_grad():
            bias.fill_(extreme)
        x = torch.randn(40, 2, 6, requires_grad=True)
        y, state = memory(x, memory.initial_state(2))
        y.sum().backward()
        gradients = [x.grad, *(p.grad for p in memory.parameters())]
        assert all(bool(value.isfinite().all()) for value in [y, *state.values(), *gradients])


def outputs_with_earlier_input_changed(memory: Any) -> tuple[Any, Any]:
    x = torch.randn(12, 2, 6, generator=torch.Generator().manual_seed(6))
    other = x.clone()
    other[:8] += 1.0
    with torch.no_grad():
        return tuple(memory(row, memory.initial_state(2))[0][-1] for row in (x, other))


def test_mlstm_with_closed_forget_gates_has_no_memory() -> None:
    memory = MLSTM(6, 10)
    open_, changed = outputs_with_earlier_input_changed(memory)
    assert not torch.allclose(open_, changed)
    nn.init.constant_(memory.forget_gate.bias, -200.0)
    closed, changed = outputs_with_earlier_input_changed(memory)
    torch.testing.assert_close(closed, changed)


# ---------------------------------------------------------------- sLSTM


def test_slstm_equals_its_equations_without_a_stabiliser() -> None:
    torch.manual_seed(0)
    memory = SLSTM(6, 10, heads=2, head_size=3).double()
    x = torch.randn(15, 2, 6, dtype=torch.float64)
    y, _ = memory(x, memory.initial_state(2))
    c = n = h = torch.zeros(2, 2, 3, dtype=torch.float64)
    for t in range(15):
        gates = memory.feed(x[t]).view(2, 2, 12) + torch.einsum("bhk,hkg->bhg", h, memory.recur)
        i, f, z, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + i.exp() * z.tanh()
        n = torch.sigmoid(f) * n + i.exp()
        h = torch.sigmoid(o) * c / n
        torch.testing.assert_close(y[t], memory.out(h.flatten(1)), rtol=1e-10, atol=1e-10)


def test_the_first_step_of_slstm_ignores_its_input_and_forget_gates() -> None:
    torch.manual_seed(1)
    memory = SLSTM(6, 10)
    other = copy.deepcopy(memory)
    with torch.no_grad():
        other.feed.bias.view(4, 4, 16)[:, :2] += 2.0 * torch.randn(4, 2, 16)
        x, state, new = torch.randn(2, 6), memory.initial_state(2), torch.ones(2, dtype=torch.bool)
        first, held = memory.step(x, state)
        torch.testing.assert_close(first, other.step(x, state)[0])
        torch.testing.assert_close(held["n"], torch.ones_like(held["n"]))
        torch.testing.assert_close(first, other.step(x, held, new)[0])  # also after a reset
        assert not torch.allclose(memory.step(x, held)[0], other.step(x, held)[0])  # not later on


def test_heads_of_slstm_do_not_see_each_other() -> None:
    memory = SLSTM(6, 10)
    state = {name: leaf.requires_grad_() for name, leaf in memory.initial_state(1).items()}
    _, last = memory.step(torch.randn(1, 6), {**state, "n": state["n"] + 1.0})
    (grad,) = torch.autograd.grad(last["c"][0, 1].sum(), state["h"])
    assert [bool(head.any()) for head in grad[0]] == [False, True, False, False]
