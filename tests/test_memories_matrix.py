"""Matrix memories and their relatives: each keeps the contract, and each has the mechanism that it names."""

import copy
from collections.abc import Callable
from math import log
from typing import Any, cast

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import nn  # noqa: E402

from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.delta_net import DeltaNet, GatedDeltaNet, LinearAttention  # noqa: E402
from memgym.agents.nn.ffm import FFM  # noqa: E402
from memgym.agents.nn.mom import MixtureOfMemories  # noqa: E402
from memgym.agents.nn.shm import SHM  # noqa: E402
from memgym.agents.nn.xlstm import MLSTM, SLSTM  # noqa: E402

MAKERS: dict[str, Callable[[], Any]] = {
    "linattn": lambda: LinearAttention(6, 10),
    "delta": lambda: DeltaNet(6, 10),
    "gdn": lambda: GatedDeltaNet(6, 10),
    "gdn without convolution": lambda: GatedDeltaNet(6, 10, heads=3, conv_width=1),
    "mom": lambda: MixtureOfMemories(6, 10),
    "mom, one of three": lambda: MixtureOfMemories(6, 10, memories=3, top_k=1),
    "mlstm": lambda: MLSTM(6, 10),
    "slstm": lambda: SLSTM(6, 10),
    "ffm": lambda: FFM(6, 10),
    "shm": lambda: SHM(6, 10),
    "shm with a counter": lambda: SHM(6, 10, theta="counter"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_keeps_the_contract(name: str) -> None:
    check_memory_module(MAKERS[name], seed=0)


@pytest.mark.parametrize("name", MAKERS)
def test_keeps_the_contract_in_double_precision(name: str) -> None:
    check_memory_module(lambda: MAKERS[name]().double(), atol=1e-10)


@pytest.mark.parametrize("name", MAKERS)
def test_learning_rates_of_their_own_belong_to_parameters(name: str) -> None:
    memory = MAKERS[name]()
    assert set(memory.lr_scales()) <= {parameter for parameter, _ in memory.named_parameters()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeltaNet(6, 10, heads=0), "heads"),
        (lambda: GatedDeltaNet(6, 10, head_size=0), "head_size"),
        (lambda: LinearAttention(6, 10, conv_width=0), "conv_width"),
        (lambda: MixtureOfMemories(6, 10, memories=2, top_k=3), "top_k"),
        (lambda: MixtureOfMemories(6, 10, balance=-1.0), "balance"),
        (lambda: MLSTM(6, 10, heads=0), "heads"),
        (lambda: SLSTM(6, 10, head_size=0), "head_size"),
        (lambda: FFM(6, 10, contexts=0), "contexts"),
        (lambda: SHM(6, 10, theta=cast("Any", "drawn")), "theta"),
    ],
)
def test_an_argument_outside_its_range_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------- linear attention, DeltaNet, Gated DeltaNet


def test_the_control_has_the_parameters_of_delta_net_one_for_one() -> None:
    shapes = [
        {name: p.shape for name, p in cls(6, 10).named_parameters()}
        for cls in (LinearAttention, DeltaNet, GatedDeltaNet)
    ]
    assert shapes[0] == shapes[1]
    assert shapes[1] == {name: shape for name, shape in shapes[2].items() if not name.startswith("decay")}


def write_by_hand(memory: Any) -> Any:
    """The store after k0 -> v0, k1 -> v1, k0 -> v2 with full write strength; keys and values are the input."""
    size = memory.head_size
    with torch.no_grad():
        memory.qkv.weight.copy_(torch.eye(2 * size)[[*range(size), *range(size), *range(size, 2 * size)]])
        memory.conv.weight.fill_(1.0)
        memory.beta.bias.fill_(50.0)
        memory.beta.weight.zero_()
    x = torch.zeros(3, 1, 2 * size)
    x[[0, 1, 2], 0, [0, 1, 0]] = 30.0  # far along one axis, so that silu leaves it an axis
    x[[0, 1, 2], 0, [4, 5, 6]] = 30.0
    return memory(x, memory.initial_state(1))[1]["s"][0, 0].detach() / 30.0


def test_delta_net_replaces_what_linear_attention_adds_up() -> None:
    arguments = {"heads": 1, "head_size": 4, "conv_width": 1}
    expected = torch.zeros(4, 4)
    expected[1, 1], expected[0, 2] = 1.0, 1.0
    torch.testing.assert_close(write_by_hand(DeltaNet(8, 10, **arguments)), expected)
    expected[0, 0] = 1.0  # the old value, still there
    torch.testing.assert_close(write_by_hand(LinearAttention(8, 10, **arguments)), expected)


def test_gated_delta_net_first_halves_what_it_holds_in_38_steps() -> None:
    memory: Any = GatedDeltaNet(6, 10)
    rate = nn.functional.softplus(memory.decay(torch.zeros(6)))
    torch.testing.assert_close(log(2) / rate, torch.full((2,), 38.2), atol=0.1, rtol=0.0)
    held = {"s": torch.ones(1, 2, 16, 16), "conv": torch.zeros(1, 3, 96)}

    def kept(memory: Any) -> float:
        state = held
        with torch.no_grad():
            for _ in range(38):
                state = memory.step(torch.zeros(1, 6), state)[1]
        return float(state["s"].mean())

    assert kept(memory) == pytest.approx(0.5, abs=0.01)
    assert kept(DeltaNet(6, 10)) == 1.0  # nothing was written, so nothing was erased


def test_an_input_of_zeros_has_moderate_gradients() -> None:
    memory: Any = GatedDeltaNet(6, 10)
    x = torch.zeros(5, 2, 6, requires_grad=True)
    memory(x, memory.initial_state(2))[0].sum().backward()
    assert all(float(p.grad.abs().max()) < 1e4 for p in memory.parameters())


# ---------------------------------------------------------------- Mixture-of-Memories


def make_routed(**arguments: Any) -> Any:
    """One of four stores a step, told by the largest of the first four inputs."""
    torch.manual_seed(0)
    memory = MixtureOfMemories(6, 10, **{"memories": 4, "top_k": 1, **arguments})
    with torch.no_grad():
        memory.router.weight.copy_(20.0 * torch.eye(4, 6))
    return memory


def group(store: int, steps: int) -> Any:
    x = torch.randn(steps, 2, 6, generator=torch.Generator().manual_seed(store))
    x[..., :4] = 0.0
    x[..., store] = 1.0
    return x


def changed_stores(memory: Any, x: Any) -> list[int]:
    with torch.no_grad():
        start = torch.randn(30, 2, 6, generator=torch.Generator().manual_seed(9))
        state = memory(start, memory.initial_state(2))[1]
        last = memory(x, state)[1]
    return [i for i in range(5) if not torch.equal(last["s"][:, i], state["s"][:, i])]


@pytest.mark.parametrize("store", [0, 1, 3])
def test_a_step_leaves_stores_that_it_is_not_routed_to_as_they_are_bit_for_bit(store: int) -> None:
    assert changed_stores(make_routed(), group(store, 20)) == [store, 4]  # 4 is the shared one
    # control: with all stores in use, none stays
    assert changed_stores(make_routed(top_k=4), group(store, 20)) == [0, 1, 2, 3, 4]


def test_stores_that_are_not_picked_are_not_read() -> None:
    memory = make_routed()
    state = memory.initial_state(2)
    x = group(0, 1)[0]

    def output(store: int) -> Any:
        changed = {**state, "s": state["s"].clone()}
        changed["s"][:, store] += 1.0
        return memory.step(x, changed)[0]

    plain = memory.step(x, state)[0]
    assert all(torch.equal(output(store), plain) for store in (1, 2, 3))
    assert not any(torch.equal(output(store), plain) for store in (0, 4))


def gdn_of_store(memory: Any, store: int) -> Any:
    """A Gated DeltaNet with the projections of one store."""
    size, stores = memory.head_size, memory.memories + 1
    rows = [*range(size)]
    rows += range(size * (1 + store), size * (2 + store))
    rows += range(size * (1 + stores + store), size * (2 + stores + store))
    gdn: Any = GatedDeltaNet(memory.d_in, memory.d_out, heads=1, head_size=size)
    with torch.no_grad():
        gdn.qkv.weight.copy_(memory.qkv.weight[rows])
        gdn.conv.weight.copy_(memory.conv.weight[:, rows])
        gdn.conv.bias.copy_(memory.conv.bias[rows])
        for mine, theirs in ((gdn.beta, memory.beta), (gdn.decay, memory.decay)):
            mine.weight.copy_(theirs.weight[store : store + 1])
            mine.bias.copy_(theirs.bias[store : store + 1])
        for mine, theirs in ((gdn.gate, memory.gate), (gdn.norm, memory.norm), (gdn.out, memory.out)):
            mine.load_state_dict(theirs.state_dict())
    return gdn


@torch.no_grad()
def test_with_all_stores_in_equal_use_it_is_a_sum_of_gated_delta_nets() -> None:
    torch.manual_seed(1)
    memory = MixtureOfMemories(6, 10, memories=3, top_k=3)
    memory.router.weight.zero_()
    x = torch.randn(25, 2, 6)
    y, last = memory(x, memory.initial_state(2))
    reads = []
    for store in range(4):
        gdn: Any = gdn_of_store(memory, store)
        held: list[Any] = []
        gdn.norm.register_forward_pre_hook(lambda _, inputs, held=held: held.append(inputs[0]))
        state = gdn(x, gdn.initial_state(2))[1]
        torch.testing.assert_close(state["s"][:, 0], last["s"][:, store])
        reads.append(held[0][..., 0, :])
    mixed = (reads[0] + reads[1] + reads[2]) / 3 + reads[3]
    expected = memory.out(memory.norm(mixed) * nn.functional.silu(memory.gate(x)))
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize(("top_k", "collapsed"), [(1, 4.0), (2, 2.0)])
def test_the_balance_loss_is_one_when_balanced_and_largest_when_collapsed(
    top_k: int, collapsed: float
) -> None:
    memory = make_routed(top_k=top_k, balance=1.0)
    even = torch.cat([group(store, 8) for store in range(4)])
    if top_k == 2:  # each input names two stores
        even[..., :4] += even[..., :4].roll(1, -1)
    memory(even, memory.initial_state(2))
    assert memory.aux_losses()["balance"].item() == pytest.approx(1.0, abs=1e-5)
    one = group(0, 20)
    if top_k == 2:
        one[..., 1] = 1.0
    memory(one, memory.initial_state(2))
    assert memory.aux_losses()["balance"].item() == pytest.approx(collapsed, abs=1e-5)


def test_the_balance_loss_spreads_what_the_router_had_collapsed() -> None:
    memory = make_routed(balance=1.0)
    with torch.no_grad():
        memory.router.weight.zero_()
        memory.router.weight[0] = 0.3
    optimizer = torch.optim.Adam(memory.router.parameters(), lr=0.01)
    x = torch.randn(16, 8, 6).abs()
    losses = []
    for _ in range(60):
        memory(x, memory.initial_state(8))
        loss = memory.aux_losses()["balance"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2.0
    assert losses[-1] < 1.1


def test_a_copy_made_in_training_does_not_take_the_graph_along() -> None:
    memory = MixtureOfMemories(6, 10)
    memory(torch.randn(4, 2, 6), memory.initial_state(2))
    assert memory.aux_losses()
    assert copy.deepcopy(memory).aux_losses() == {}


@torch.no_grad()
def test_a_tied_router_picks_the_lowest_numbers() -> None:
    memory = MixtureOfMemories(6, 10)
    memory.router.weight.zero_()
    assert memory.route(torch.randn(7, 6))[1].tolist() == [[True, True, False, False]] * 7
