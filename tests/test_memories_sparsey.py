"""What the Sparsey-like memory promises beyond the contract, each with the mechanism switched off as a control."""

from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from memgym.agents.nn.sparsey import Sparsey  # noqa: E402


def build(d_in: int = 32, d_out: int = 8, seed: int = 0, **config: Any) -> Sparsey:
    torch.manual_seed(seed)
    return Sparsey(d_in, d_out, **config)


def inputs(*shape: int, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def flags(share: float, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


@torch.no_grad()
def show(memory: Sparsey, patterns: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Show each pattern once; the state, and the code of each right after it was shown."""
    state, codes = memory.initial_state(patterns.shape[1]), []
    for x in patterns:
        state = memory.step(x, state)[1]
        codes.append(memory.retrieve(x, state).code)
    return state, codes


def one_hot_features(memory: Sparsey, x: Tensor) -> Tensor:
    """The active features of x, from the definition: the largest projections."""
    scores = x @ memory.projection
    return torch.zeros_like(scores).scatter(-1, scores.topk(memory.active, -1).indices, 1.0)


@pytest.mark.parametrize("config", [{}, {"features": 256, "modules": 24}])
def test_forty_patterns_shown_once_are_recalled(config: dict[str, Any]) -> None:
    memory = build(**config)
    patterns = inputs(40, 8, 32)
    state, codes = show(memory, patterns)
    unknown = memory.retrieve(inputs(8, 32, seed=9), state)
    for x, code in zip(patterns, codes, strict=True):
        found = memory.retrieve(x, state)
        assert found.familiarity.min() == 1.0
        assert (found.code == code).float().mean() > 0.95
        largest = found.features.topk(memory.active, -1).indices
        assert one_hot_features(memory, x).gather(-1, largest).mean() > 0.98
    assert unknown.familiarity.max() < 0.9


def test_nothing_is_recalled_where_nothing_may_be_written() -> None:
    memory = build(freeze_at=0.0)
    patterns = inputs(5, 4, 32)
    state, _ = show(memory, patterns)
    found = memory.retrieve(patterns[0], state)
    assert found.familiarity.max() == 0.0
    assert not found.features.any()
    assert not state["weights"].any()


def test_a_noisy_cue_recalls_the_pattern_it_came_from() -> None:
    memory = build(features=256, modules=24)
    patterns = inputs(30, 16, 32)
    state, _ = show(memory, patterns)
    in_cue, recalled = [], []
    for i, x in enumerate(patterns):
        cue = x + 0.5 * inputs(16, 32, seed=i + 1)
        truth = one_hot_features(memory, x)
        in_cue.append(float((one_hot_features(memory, cue) * truth).sum(-1).mean() / memory.active))
        largest = memory.retrieve(cue, state).features.topk(memory.active, -1).indices
        recalled.append(float(truth.gather(-1, largest).mean()))
    assert sum(in_cue) / 30 < 0.75
    assert sum(recalled) / 30 > 0.95


def code_overlaps(memory: Sparsey) -> list[float]:
    """Overlap of the code of x with that of inputs less and less like it, each learned right after x."""
    x, noise = inputs(2, 300, 32)
    state, (code,) = show(memory, x[None])
    overlaps = []
    for share in (1.0, 0.97, 0.93, 0.85, 0.7):
        other = share * x + (1 - share**2) ** 0.5 * noise
        following = memory.step(other, state)[1]
        overlaps.append(float((memory.retrieve(other, following).code == code).float().mean()))
    return overlaps


@torch.no_grad()
def test_similar_inputs_get_similar_codes_and_without_the_gain_they_do_not() -> None:
    memory = build()
    overlaps = code_overlaps(memory)
    assert overlaps[0] == 1.0
    assert all(more > less + 0.05 for more, less in pairwise(overlaps))
    memory.affinity.zero_()
    same, *others = code_overlaps(memory)
    assert same == 1.0, "what is fully familiar keeps its code"
    assert max(others) - min(others) < 0.05


def test_a_frozen_memory_keeps_the_early_patterns_and_a_full_one_confuses_them() -> None:
    patterns = inputs(200, 4, 32)

    def recalled_early(freeze_at: float) -> float:
        memory = build(freeze_at=freeze_at)
        state, _ = show(memory, patterns)
        hits = []
        for i, x in enumerate(patterns[:20]):
            cue = x + 0.4 * inputs(4, 32, seed=i + 1)
            largest = memory.retrieve(cue, state).features.topk(memory.active, -1).indices
            hits.append(float(one_hot_features(memory, x).gather(-1, largest).mean()))
        return sum(hits) / len(hits)

    assert recalled_early(0.25) > 0.85
    assert recalled_early(1.0) < 0.4


@torch.no_grad()
def test_sparsey_writes_what_its_definition_says() -> None:
    memory = build(8, 4, features=64, modules=5, units=8)
    x, reset = inputs(60, 3, 8), flags(0.05, 60, 3)
    state, weights = memory.initial_state(3), torch.zeros(3, 64, 5, 8)
    for t in range(60):
        weights[reset[t]] = 0.0
        active = one_hot_features(memory, x[t])
        match = torch.einsum("bf,bfqk->bqk", active, weights) / memory.active
        familiarity = match.amax(-1).mean(-1)
        assert torch.allclose(
            memory.retrieve(x[t], memory.mask_state(state, reset[t])).familiarity, familiarity
        )
        state = memory.step(x[t], state, reset[t])[1]
        new = state["weights"].view(3, 64, 5, 8).float()
        added = new - weights
        assert added.min() >= 0.0
        assert not (added * (1 - active[..., None, None])).any(), "only weights of active features"
        assert (torch.einsum("bf,bfqk->bqk", active, new) == memory.active).any(-1).all(), "one unit a module"
        assert (added.sum(1) > 0).sum(-1).max() <= 1, "and no other"
        assert not added[familiarity >= 0.999].any()
        assert torch.equal(state["on"][:, 0], new.sum((1, 2, 3)).long())
        weights = new
    assert torch.equal(memory(x, memory.initial_state(3), reset)[1]["weights"], state["weights"])


def test_nothing_is_learned_through_what_sparsey_wrote() -> None:
    memory = build(6, 10)
    x = inputs(10, 2, 6).requires_grad_()
    memory(x, memory.initial_state(2))[0][-1].sum().backward()
    assert x.grad is not None
    assert x.grad[-1].any()
    assert not x.grad[:-1].any()


def test_sparsey_draws_from_input_and_step_and_not_from_a_global_generator() -> None:
    memory = build(6, 10)
    x, before = inputs(20, 2, 6), torch.get_rng_state()
    first = memory(x, memory.initial_state(2))[0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(memory(x, memory.initial_state(2))[0], first)
    draws = memory._draw(memory._encode(inputs(2000, 1, 6)), torch.arange(2000)[:, None])[:, 0]
    assert 0.0 <= float(draws.min()) < 0.01 < 0.99 < float(draws.max()) < 1.0
    assert float(draws.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(torch.corrcoef(draws.T).triu(1).abs().max()) < 0.1


def test_codes_of_unrelated_patterns_are_unrelated_though_they_come_at_the_same_step() -> None:
    memory = build()
    _, (first, again) = show(memory, inputs(1, 400, 32).expand(2, -1, -1))
    _, (other,) = show(memory, inputs(1, 400, 32, seed=1))
    assert (first == again).all(), "what is familiar keeps its code"
    assert float((first == other).float().mean()) == pytest.approx(1 / memory.units, abs=0.01)


@pytest.mark.parametrize(("freeze_at", "is_frozen"), [(0.05, True), (1.0, False)])
@torch.no_grad()
def test_what_a_frozen_memory_says_does_not_depend_on_the_step(freeze_at: float, is_frozen: bool) -> None:
    memory = build(freeze_at=freeze_at)
    state, _ = show(memory, inputs(20, 64, 32))
    assert bool((state["on"] >= memory.capacity).all()) is is_frozen
    x = inputs(64, 32, seed=1)
    assert memory.retrieve(x, state).familiarity.max() < 0.999
    later = {**state, "age": state["age"] + 7}
    assert torch.equal(memory.step(x, state)[0], memory.step(x, later)[0]) is is_frozen


class Count(TorchDispatchMode):
    """Counts operations, each with the shapes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((str(func), [tuple(arg.shape) for arg in args if isinstance(arg, Tensor)]))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_a_step_is_the_same_work_however_much_is_stored() -> None:
    memory = build()
    full, _ = show(memory, inputs(60, 2, 32))
    calls = []
    for state in (memory.initial_state(2), full):
        with Count() as count:
            memory.step(inputs(2, 32), state)
        calls.append(count.calls)
    assert calls[0] == calls[1]
