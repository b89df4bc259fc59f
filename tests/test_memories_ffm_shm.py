"""Fast and Forgetful Memory fades on a clock; Stable Hadamard Memory has a gain for every entry."""

from math import log, pi
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn.ffm import FFM  # noqa: E402
from memgym.agents.nn.shm import SHM, draw_rows, hadamard_scan  # noqa: E402


@torch.no_grad()
def test_an_impulse_in_ffm_decays_and_turns_at_the_rates_of_its_parameters() -> None:
    memory = FFM(6, 10).double()
    x = torch.zeros(60, 1, 6, dtype=torch.float64)
    x[0] = 1.0
    memory.write.bias.zero_()
    states = [memory(x[: k + 1], memory.initial_state(1))[1]["s"][0] for k in (0, 1, 20, 59)]
    for k, s in zip((0, 1, 20, 59), states, strict=True):
        ratio = s / states[0]
        expected = (-k * memory.alpha.abs()).exp()[:, None].expand(32, 4)
        torch.testing.assert_close(ratio.abs(), expected, rtol=1e-10, atol=0.0)
        turned = torch.polar(torch.ones(4, dtype=torch.float64), k * memory.omega)
        torch.testing.assert_close(ratio / ratio.abs(), turned.expand(32, 4), rtol=0.0, atol=1e-9)


@torch.no_grad()
def test_ffm_without_decay_and_frequency_is_a_sum_and_forgets_with_them() -> None:
    memory = FFM(6, 10).double()
    memory.omega.zero_()
    x = torch.randn(50, 2, 6, dtype=torch.float64)
    total = (memory.write(x) * torch.sigmoid(memory.write_gate(x))).sum(0)

    def error() -> float:
        s = memory(x, memory.initial_state(2))[1]["s"]
        return float((s - total[..., None]).abs().max() / total.abs().max())

    assert error() > 0.1
    memory.alpha.zero_()
    assert error() < 1e-4  # the slowest decay that is allowed, 1e-6 a step


def test_ffm_starts_from_the_published_rates_and_no_input_changes_them() -> None:
    memory = FFM(6, 10)
    assert memory.alpha[0].item() == pytest.approx(0.68)
    assert memory.alpha[-1].item() == pytest.approx(-log(0.01) / 1024)
    assert (2 * pi / memory.omega.detach()[[0, -1]]).tolist() == pytest.approx([1.0, 1024.0])
    with torch.no_grad():  # what was seen first fades alike whatever comes after
        kept = [
            memory.step(x, {"s": torch.ones(1, 32, 4, dtype=torch.complex64)})[1]["s"]
            - memory.step(x, memory.initial_state(1))[1]["s"]
            for x in (torch.zeros(1, 6), 5.0 * torch.randn(1, 6))
        ]
    torch.testing.assert_close(kept[0], kept[1])


# ---------------------------------------------------------------- Stable Hadamard Memory


def shm_inputs(*theta: int, steps: int = 9) -> list[Any]:
    """theta, c, k, v, q and a store, in double precision."""
    generator = torch.Generator().manual_seed(0)
    shapes = [theta, *[(steps, 2, 3)] * 4, (2, 3, 3)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("theta", [(1, 1, 3), (18, 2, 3)])
def test_the_hadamard_scan_has_the_gradients_of_finite_differences(theta: tuple[int, ...]) -> None:
    reset = torch.zeros(18, 2, dtype=torch.bool)
    reset[0, 0], reset[7, 1], reset[16, 0] = True, True, True  # 16 begins the second chunk
    inputs = shm_inputs(*theta, steps=18)

    def run(theta: Any, c: Any, k: Any, v: Any, q: Any, store: Any) -> Any:
        return hadamard_scan(theta, c, k, v, q, store, reset)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@torch.no_grad()
def test_shm_without_calibration_is_a_running_sum() -> None:
    theta, c, k, v, q, s = shm_inputs(1, 1, 3)
    total = s + (k[..., None] * v[..., None, :]).sum(0)
    torch.testing.assert_close(hadamard_scan(theta, torch.zeros_like(c), k, v, q, s)[1], total)
    assert not torch.allclose(hadamard_scan(theta, c, k, v, q, s)[1], total)


@torch.no_grad()
def test_shm_erases_the_entries_whose_gain_is_zero_and_no_others() -> None:
    memory = SHM(6, 10, size=3)
    memory.theta.copy_(torch.tensor([[0.0, 1000.0, 0.0]]))
    memory.calibration.weight.fill_(0.0)
    memory.calibration.weight[2, 0] = 1.0
    memory.value.weight.zero_()  # nothing is written
    x = torch.tensor([[-3.0, 1.0, 0.5, 0.5, 0.5, 0.5]])
    state = {"s": torch.ones(1, 3, 3)}
    left = memory.step(x, state)[1]["s"][0]
    expected = torch.ones(3, 3)
    expected[2, 1] = 0.0
    assert torch.equal(left, expected)
    doubled = memory.step(-x, state)[1]["s"][0]  # the opposite cue amplifies instead
    expected[2, 1] = 2.0
    assert torch.equal(doubled, expected)


@torch.no_grad()
def test_shm_with_a_counter_draws_another_row_at_each_step_and_the_same_in_each_episode() -> None:
    torch.manual_seed(0)
    memory = SHM(6, 10, theta="counter")
    fixed = SHM(6, 10)
    fixed.load_state_dict({**memory.state_dict(), "theta": memory.theta[:1]})
    x = torch.randn(10, 2, 6)
    y, _ = memory(x, memory.initial_state(2))
    assert not torch.allclose(y, fixed(x, fixed.initial_state(2))[0])
    reset = torch.zeros(20, 2, dtype=torch.bool)
    reset[10] = True
    twice, state = memory(torch.cat([x, x]), memory.initial_state(2), reset)
    torch.testing.assert_close(twice[10:], y)
    assert state["age"].tolist() == [[10], [10]]
    # with one row in the whole table, what is drawn does not matter
    memory.theta.copy_(fixed.theta.expand(128, -1))
    torch.testing.assert_close(memory(x, memory.initial_state(2))[0], fixed(x, fixed.initial_state(2))[0])


def test_drawn_rows_are_the_same_everywhere_and_even() -> None:
    assert draw_rows(torch.arange(8)).tolist() == [14, 107, 59, 83, 72, 65, 78, 41]
    counts = torch.bincount(draw_rows(torch.arange(128 * 100)), minlength=128)
    assert counts.min() > 60
    assert counts.max() < 140


def test_gains_of_shm_lie_between_zero_and_two() -> None:
    theta, c, k, v, q, _ = shm_inputs(1, 1, 3)
    ones = torch.ones(2, 3, 3, dtype=torch.float64)
    last = hadamard_scan(1e3 * theta, c[:1], 0.0 * k[:1], v[:1], q[:1], ones)[1]
    assert set(last.detach().round(decimals=6).unique().tolist()) <= {0.0, 2.0}
