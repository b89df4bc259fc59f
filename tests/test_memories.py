"""The contract of neural memories, over the registry."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402

from memgym.agents.nn import MODULES, make_memory  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.module import MemoryModule, State  # noqa: E402

NAMES = sorted(MODULES)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("cmr", {"window": 3, "records": 2, "block": 3}),
    ("engram", {"inner": "gru"}),
    ("gdn", {"heads": 3, "conv_width": 1}),
    ("mom", {"memories": 3, "top_k": 1}),
    ("shm", {"theta": "counter"}),
]
# gradients pass between the steps of one `forward`, and never into the cache that it was given
DETACHED = {"gtrxl", "transformer-bfp"}
STEPS, BATCH = 20, 4


def build(name: str, **config: Any) -> MemoryModule:
    torch.manual_seed(0)
    return make_memory(name, 6, 10, **config)


def inputs(memory: MemoryModule, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """A sequence of inputs, and ids for those that need them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(STEPS, BATCH, 6, generator=generator, dtype=memory.float_dtype)
    ids = torch.randint(0, 9, (STEPS, BATCH), generator=generator)
    return x, ids if memory.spec.needs_ids else None


def resets() -> Tensor:
    """At the first step of one environment, later in two others, never in the last."""
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[[0, 11, 12, 17], [0, 1, 2, 2]] = True
    return reset


@torch.no_grad()
def seen(memory: MemoryModule) -> State:
    """A state from which something has been seen."""
    x, ids = inputs(memory, seed=1)
    return memory(x, memory.initial_state(BATCH), ids=ids)[1]


def run_steps(
    memory: MemoryModule, x: Tensor, state: State, reset: Tensor, ids: Tensor | None
) -> tuple[Tensor, State]:
    """`forward` as a loop of `step`."""
    rows = []
    for t in range(len(x)):
        y, state = memory.step(x[t], state, reset[t], ids=None if ids is None else ids[t])
        rows.append(y)
    return torch.stack(rows), state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_keeps_the_contract(name: str, seed: int) -> None:
    check_memory_module(lambda: make_memory(name, 6, 10), seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_contract_in_double_precision(name: str) -> None:
    check_memory_module(lambda: make_memory(name, 6, 10).double(), atol=1e-10)


@pytest.mark.parametrize(("name", "config"), [(name, {}) for name in NAMES] + VARIANTS)
def test_forward_and_a_loop_of_step_have_the_same_gradients(name: str, config: dict[str, Any]) -> None:
    memory = build(name, **config).double()
    x, ids = inputs(memory)
    state = {n: leaf.clone() for n, leaf in seen(memory).items()}
    real = [leaf for leaf in state.values() if leaf.is_floating_point() or leaf.is_complex()]
    leaves = [leaf.requires_grad_() for leaf in (x, *real)] + list(memory.parameters())

    def gradients(y: Tensor, last: State) -> tuple[Tensor, ...]:
        ends = [leaf.abs().square().sum() for leaf in last.values() if leaf.requires_grad]
        return torch.autograd.grad(sum(ends, y.sin().sum()), leaves, materialize_grads=True)

    whole = gradients(*memory(x, state, resets(), ids=ids))
    stepped = gradients(*run_steps(memory, x, state, resets(), ids))
    same = all(torch.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in zip(whole, stepped, strict=True))
    assert same is (name not in DETACHED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reset", [None, resets()], ids=["one episode", "resets"])
def test_state_of_a_sequence_holds_no_more_memory_than_it_counts(name: str, reset: Tensor | None) -> None:
    memory = build(name)
    x, ids = inputs(memory)
    with torch.no_grad():
        _, state = memory(x, memory.initial_state(BATCH), reset, ids=ids)
    held = {n: leaf.untyped_storage().nbytes() for n, leaf in state.items()}
    assert held == {n: BATCH * leaf.nbytes for n, leaf in memory.state_spec().items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e38])
@torch.no_grad()
def test_what_is_not_finite_passes_no_reset_in_step(name: str, bad: float) -> None:
    memory = build(name)
    x, ids = inputs(memory)
    _, spoilt = run_steps(memory, torch.full_like(x, bad), memory.initial_state(BATCH), resets(), ids)
    ids_t = None if ids is None else ids[0]
    y, state = memory.step(x[0], spoilt, torch.ones(BATCH, dtype=torch.bool), ids=ids_t)
    fresh, expected = memory.step(x[0], memory.initial_state(BATCH), ids=ids_t)
    assert torch.equal(y, fresh)
    assert all(torch.equal(state[n], expected[n]) for n in expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_a_size_outside_its_range_is_refused_by_name(name: str, value: Any) -> None:
    width = MODULES.resolve(name).spec.width
    with pytest.raises(ValueError, match=f"^{width} is an integer from 1"):
        make_memory(name, 6, 10, **{width: value})
    with pytest.raises(ValueError, match=r"^d_in is an integer from 1"):
        make_memory(name, value, 10)
    with pytest.raises(ValueError, match=r"^d_out is an integer from 1"):
        make_memory(name, 6, value)
