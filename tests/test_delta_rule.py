"""The chunked delta rule: equal to its steps, and rewriting what its keys say and nothing else."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn.delta_rule import gated_delta_chunk, gated_delta_step  # noqa: E402

STEPS, BATCH, HEADS, SIZE = 70, 3, 2, 5
SMALL = (6, 2, 1, 3)
Inputs = tuple[Any, Any, Any, Any, Any]
RULES = [(erase, decays) for erase in (True, False) for decays in (True, False)]


def make_inputs(
    seed: int = 0, *, shape: tuple[int, int, int, int] = (STEPS, BATCH, HEADS, SIZE), decays: bool = True
) -> tuple[Inputs, Any, Any]:
    """(q, k, v, log_alpha, beta), a store that holds something, and resets, one of them in mid-chunk."""
    steps, batch, heads, size = shape
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    q, k = (
        torch.nn.functional.normalize(draw(steps, batch, heads, size), dim=-1).requires_grad_()
        for _ in range(2)
    )
    v = draw(steps, batch, heads, size).requires_grad_()
    log_alpha = (-draw(steps, batch, heads).square() / 4).requires_grad_() if decays else None
    beta = torch.sigmoid(draw(steps, batch, heads)).requires_grad_()
    store = draw(batch, heads, size, size).requires_grad_()
    reset = torch.rand(steps, batch, generator=generator) < 0.08
    reset[0, 0], reset[:, 1], reset[steps // 2, -1] = True, False, True
    return (q, k, v, log_alpha, beta), store, reset


def run_steps(inputs: Inputs, store: Any, reset: Any, *, erase: bool = True) -> tuple[Any, Any]:
    outputs = []
    for t in range(len(inputs[0])):
        if reset is not None:
            store = store.masked_fill(reset[t][:, None, None, None], 0.0)
        q, k, v, log_alpha, beta = inputs
        decay = None if log_alpha is None else log_alpha[t]
        out, store = gated_delta_step(q[t], k[t], v[t], decay, beta[t], store, erase=erase)
        outputs.append(out)
    return torch.stack(outputs), store


@pytest.mark.parametrize("chunk", [1, 16, 64])
@pytest.mark.parametrize(("erase", "decays"), RULES)
@pytest.mark.parametrize("with_resets", [True, False])
def test_chunks_of_any_size_equal_the_steps(chunk: int, erase: bool, decays: bool, with_resets: bool) -> None:
    inputs, store, reset = make_inputs(decays=decays)
    reset = reset if with_resets else None
    out, last = gated_delta_chunk(*inputs, store, reset, erase=erase, chunk=chunk)
    expected, expected_last = run_steps(inputs, store, reset, erase=erase)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, expected_last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("erase", "decays"), RULES)
def test_gradients_of_chunks_equal_those_of_the_steps(erase: bool, decays: bool) -> None:
    inputs, store, reset = make_inputs(seed=1, decays=decays)
    leaves = [part for part in (*inputs, store) if part is not None]

    def gradients(run: Any) -> Any:
        out, last = run(inputs, store, reset, erase=erase)
        return torch.autograd.grad(out.sin().sum() + last.square().sum(), leaves)

    def run_chunks(inputs: Inputs, store: Any, reset: Any, *, erase: bool) -> tuple[Any, Any]:
        return gated_delta_chunk(*inputs, store, reset, erase=erase)

    in_chunks = gradients(run_chunks)
    for left, right in zip(in_chunks, gradients(run_steps), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("erase", "decays"), RULES)
def test_gradients_equal_finite_differences(erase: bool, decays: bool) -> None:
    inputs, store, reset = make_inputs(seed=2, shape=SMALL, decays=decays)
    leaves = [part for part in (*inputs, store) if part is not None]

    def run(*parts: Any) -> Any:
        q, k, v, *alpha, beta, s = parts
        return gated_delta_chunk(q, k, v, alpha[0] if alpha else None, beta, s, reset, erase=erase, chunk=4)

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("chunk", [1, 16, 64])
def test_gradients_before_a_reset_are_exactly_zero(chunk: int) -> None:
    inputs, store, _ = make_inputs(seed=3)
    at = 37  # inside a chunk of 16 and of 64
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[at] = True

    def earlier(reset: Any) -> list[float]:
        out, last = gated_delta_chunk(*inputs, store, reset, chunk=chunk)
        grads = torch.autograd.grad(out[at:].sin().sum() + last.sum(), [*inputs, store])
        return [float(grad[:at].abs().max()) for grad in grads[:5]] + [float(grads[5].abs().max())]

    assert earlier(reset) == [0.0] * 6
    # without the reset they are not, except for the read keys, which leave nothing behind
    assert all(grad > 0.0 for grad in earlier(None)[1:])


def test_the_backward_pass_does_not_index_chunk_by_chunk() -> None:
    def count_selects(steps: int) -> int:
        inputs, store, reset = make_inputs(shape=(steps, 2, 1, 3))
        out, last = gated_delta_chunk(*inputs, store, reset)
        seen, todo, count = set(), [(out.sum() + last.sum()).grad_fn], 0
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            count += type(node).__name__.startswith("Select")
            todo.extend(parent for parent, _ in node.next_functions)
        return count

    assert count_selects(16) == count_selects(160)


@pytest.mark.parametrize("chunk", [1, 16])
@pytest.mark.parametrize("erase", [True, False])
def test_closed_gates_change_nothing_bit_for_bit(chunk: int, erase: bool) -> None:
    inputs, store, _ = make_inputs(seed=4)
    q, k, v, log_alpha, beta = inputs
    zero = torch.zeros_like(beta)
    _, last = gated_delta_chunk(q, k, v, zero, zero, store, erase=erase, chunk=chunk)
    assert torch.equal(last, store)
    _, decayed = gated_delta_chunk(q, k, v, log_alpha, zero, store, erase=erase, chunk=chunk)
    torch.testing.assert_close(decayed, log_alpha.sum(0).exp()[..., None, None] * store)
    _, written = gated_delta_chunk(q, k, v, zero, beta, store, erase=erase, chunk=chunk)
    assert not torch.equal(written, store)


def rewrite(erase: bool, alpha: float, in_chunks: bool) -> tuple[Any, Any, Any, Any]:
    """Write k0 -> old, k1 -> other, k0 -> new with orthonormal keys; what k0 and k1 read, then `old` and so on."""
    generator = torch.Generator().manual_seed(5)
    size = 8
    values = torch.nn.functional.normalize(torch.randn(3, size, generator=generator), dim=-1)
    basis = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
    old, other, new = values
    k = basis[[0, 1, 0]].view(3, 1, 1, size)
    v = torch.stack([old, other, new]).view(3, 1, 1, size)
    log_alpha, beta = torch.full((3, 1, 1), alpha).log(), torch.ones(3, 1, 1)
    store = torch.zeros(1, 1, size, size)
    if in_chunks:
        _, store = gated_delta_chunk(k, k, v, log_alpha, beta, store, erase=erase)
    else:
        _, store = run_steps((k, k, v, log_alpha, beta), store, None, erase=erase)
    return store[0, 0].T @ basis[0], store[0, 0].T @ basis[1], values, store


@pytest.mark.parametrize("in_chunks", [True, False])
class TestRewritingOneOfTwoKeys:
    """One value is written, another beside it, then the first anew, without any training."""

    def test_linear_attention_adds_the_new_value_to_the_old(self, in_chunks: bool) -> None:
        rewritten, kept, (old, other, new), _ = rewrite(erase=False, alpha=1.0, in_chunks=in_chunks)
        torch.testing.assert_close(rewritten, old + new)
        torch.testing.assert_close(kept, other)

    def test_a_scalar_decay_erases_everything_alike(self, in_chunks: bool) -> None:
        rewritten, kept, (old, other, new), _ = rewrite(erase=False, alpha=0.5, in_chunks=in_chunks)
        torch.testing.assert_close(rewritten, new + 0.25 * old)
        torch.testing.assert_close(kept, 0.5 * other)

    def test_the_delta_rule_replaces_the_one_and_keeps_the_other(self, in_chunks: bool) -> None:
        rewritten, kept, (_, other, new), _ = rewrite(erase=True, alpha=1.0, in_chunks=in_chunks)
        torch.testing.assert_close(rewritten, new)
        torch.testing.assert_close(kept, other)


def test_keys_that_are_not_orthogonal_interfere() -> None:
    size = 4
    k = torch.eye(size)[:2].clone()
    k[1] = torch.nn.functional.normalize(k[0] + k[1], dim=-1)
    k = k.view(2, 1, 1, size)
    v = torch.eye(size)[2:].view(2, 1, 1, size)
    _, store = run_steps((k, k, v, None, torch.ones(2, 1, 1)), torch.zeros(1, 1, size, size), None)
    found = store[0, 0].T @ k[0, 0, 0]
    assert (found - v[0, 0, 0]).norm() > 0.3
