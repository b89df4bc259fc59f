"""What Engram promises beyond the contract, and the ids that it hashes."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from memgym.agents.nn import make_memory  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.engram import EngramMemory  # noqa: E402
from memgym.agents.nn.observation_ids import ObservationIds, random_projection  # noqa: E402


def build(seed: int = 0, **config: Any) -> EngramMemory:
    torch.manual_seed(seed)
    return EngramMemory(6, 10, **config)


def inputs(*shape: int, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def integers(high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def flags(share: float, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


@torch.no_grad()
def outputs(module: Any, x: Tensor, reset: Tensor | None = None, ids: Tensor | None = None) -> Tensor:
    return module(x, module.initial_state(x.shape[1]), reset, ids=ids)[0]


def test_an_engram_keeps_the_contract_once_its_convolution_has_learned() -> None:
    def make() -> EngramMemory:
        memory = EngramMemory(6, 10)
        nn.init.normal_(memory.taps, generator=torch.Generator().manual_seed(1))
        return memory

    check_memory_module(make)


def test_hashes_are_the_same_on_every_platform() -> None:
    memory = build(rows=1000)
    tokens = torch.tensor([[0, 0, 1], [5, 6, 7], [3, 2**40, 2**45 + 1]])
    assert memory.rows_of(tokens).tolist() == [
        [870, 1669, 2756, 3157, 4305, 5447, 6422, 7597],
        [192, 1834, 2353, 3155, 4150, 5213, 7020, 7215],
        [261, 1749, 2848, 3550, 4317, 5217, 6236, 8071],
    ]


def test_equal_suffixes_share_their_rows_and_others_share_few() -> None:
    memory = build()
    suffixes = torch.cartesian_prod(*[torch.arange(1, 13)] * 3)
    rows = memory.rows_of(suffixes)
    assert torch.equal(rows[:144, :4], rows[144:288, :4]), "the last two ids are equal, the one before is not"
    assert torch.equal(rows, memory.rows_of(suffixes.clone()))
    assert len(torch.unique(rows[:, :4], dim=0)) == 144
    assert len(torch.unique(rows[:, 4:], dim=0)) == 12**3
    shared = (rows[:144, 4:] == rows[144:288, 4:]).float().mean()
    assert shared < 0.01, "longer suffixes differ"


def test_only_rows_that_were_looked_up_get_a_gradient() -> None:
    memory = build()
    ids = integers(5, 10, 3)
    memory(inputs(10, 3, 6), memory.initial_state(3), ids=ids)[0].square().sum().backward()
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.int64), ids + 1])
    looked_up = memory.rows_of(padded.unfold(0, 3, 1)).unique()
    assert memory.table.weight.grad is not None
    touched = memory.table.weight.grad.any(-1).nonzero()[:, 0]
    assert torch.equal(touched, looked_up)
    assert len(touched) < len(memory.table.weight) / 10


@torch.no_grad()
def test_ids_before_a_reset_do_not_influence_what_is_looked_up() -> None:
    memory = build()
    nn.init.normal_(memory.taps)
    x, ids, reset = inputs(12, 2, 6), integers(9, 12, 2), torch.zeros(12, 2, dtype=torch.bool)
    other = torch.cat([ids[:6] + 1, ids[6:]])
    assert (outputs(memory, x, reset, ids)[6:8] != outputs(memory, x, reset, other)[6:8]).all()
    reset[6] = True
    assert torch.equal(outputs(memory, x, reset, ids)[6:], outputs(memory, x, reset, other)[6:])


def test_a_lookup_costs_the_same_in_a_table_a_thousand_times_larger() -> None:
    small, large = build(rows=100), build(rows=100_000)
    flops = []
    for memory in (small, large):
        with FlopCounterMode(display=False) as counter:
            memory.step(inputs(1, 6), memory.initial_state(1), ids=integers(9, 1))
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1] > 0
    assert small.state_nbytes() == large.state_nbytes()
    assert large.table.num_embeddings > 800 * small.table.num_embeddings


@pytest.mark.parametrize(("inner", "remembers"), [(None, False), ("gru", True)])
@torch.no_grad()
def test_alone_an_engram_forgets_what_lies_beyond_its_ngrams_and_taps(
    inner: str | None, remembers: bool
) -> None:
    memory = build(inner=inner)
    reach = 2 + 3 * 3
    x, ids = inputs(30, 4, 6), integers(9, 30, 4)
    other = torch.cat([ids[:1] + 1, ids[1:]])

    def influence() -> list[bool]:
        return (outputs(memory, x, ids=ids) != outputs(memory, x, ids=other)).any(-1).any(-1).tolist()

    if inner is None:
        assert influence() == [True] * 3 + [False] * 27, "before the convolution has learned: the n-grams"
    nn.init.normal_(memory.taps)
    assert influence() == [True] * (reach + 1) + [remembers] * (29 - reach)


@torch.no_grad()
def test_an_engram_that_looks_nothing_up_is_its_inner_memory() -> None:
    memory = build(inner="gru", inner_config={"hidden": 7})
    gru = make_memory("gru", 6, 10, hidden=7)
    assert memory.inner is not None
    gru.load_state_dict(memory.inner.state_dict())
    x, ids, reset = inputs(20, 3, 6), integers(9, 20, 3), flags(0.1, 20, 3)
    assert not torch.allclose(outputs(memory, x, reset, ids), outputs(gru, x, reset), atol=1e-2)
    nn.init.zeros_(memory.value.weight)
    nn.init.zeros_(memory.value.bias)
    torch.testing.assert_close(outputs(memory, x, reset, ids), outputs(gru, x, reset))


def test_an_engram_passes_on_what_its_inner_memory_says() -> None:
    memory = build(inner="gru")
    assert set(memory.initial_state(1)) == {"ids", "conv", "inner/h"}
    assert memory.lr_scales() == {"table.weight": 5.0}
    assert set(memory.lr_scales()) < {name for name, _ in memory.named_parameters()}


def test_an_engram_without_ids_says_so() -> None:
    memory = build()
    with pytest.raises(ValueError, match="ids are needed"):
        memory.step(torch.zeros(1, 6), memory.initial_state(1))
    for dtype in (torch.float32, torch.int32):
        with pytest.raises(ValueError, match=f"int64, not {dtype}"):
            memory.step(torch.zeros(1, 6), memory.initial_state(1), ids=torch.zeros(1, dtype=dtype))


def test_observation_ids_are_the_same_on_every_platform() -> None:
    ids = ObservationIds(4)
    assert ids(torch.eye(4)).tolist() == [3173, 1287, 3795, 3582]
    assert ids(-torch.eye(4)).tolist() == [922, 2808, 300, 513], "the other side: all bits flipped"
    expected = torch.tensor([[-0.8808, 0.3141, 0.1235], [-2.4993, 2.9785, -0.7268]])
    torch.testing.assert_close(random_projection("ObservationIds", 2, 3), expected, rtol=0, atol=1e-4)


def test_near_observations_share_bits_in_proportion_to_their_angle() -> None:
    ids = ObservationIds(16)
    x, noise = inputs(2, 5, 400, 16)

    def shared_bits(angle: float) -> float:
        x_ = x / x.norm(dim=-1, keepdim=True)
        side = noise - (noise * x_).sum(-1, keepdim=True) * x_
        y = torch.cos(torch.tensor(angle)) * x_ + torch.sin(torch.tensor(angle)) * side / side.norm(
            dim=-1, keepdim=True
        )
        differing = ids(x_) ^ ids(y)
        return 1.0 - sum(float((differing >> bit & 1).float().mean()) for bit in range(12)) / 12

    for angle in (0.0, 0.3, 1.0, 2.0):
        assert shared_bits(angle) == pytest.approx(1.0 - angle / torch.pi, abs=0.02)


def test_observation_ids_keep_the_shape_and_learn_nothing() -> None:
    ids = ObservationIds(6, bits=5)
    out = ids(inputs(7, 3, 6))
    assert out.shape == (7, 3)
    assert out.dtype == torch.int64
    assert set(out.flatten().tolist()) <= set(range(32))
    assert not ids.state_dict()
