"""What attention memories promise beyond the contract, each with the mechanism switched off as a control."""

import runpy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from memgym.agents.nn.attention import Band, Rotation, attend, first_argmin  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.cmr import CMR  # noqa: E402
from memgym.agents.nn.elastic_cache import ElasticTransformer  # noqa: E402
from memgym.agents.nn.gtrxl import GTrXL  # noqa: E402
from memgym.agents.nn.kv_cache import BFPTransformer, PrunedTransformer  # noqa: E402
from memgym.agents.nn.transformer import Transformer  # noqa: E402

CLASSES = [GTrXL, Transformer, PrunedTransformer, BFPTransformer, ElasticTransformer, CMR]
WINDOWED = [GTrXL, Transformer, PrunedTransformer, BFPTransformer]
F64 = torch.float64
PROBES = runpy.run_path(str(Path(__file__).with_name("memory_probes.py")))
build, inputs, outputs, influence = (PROBES[name] for name in ("build", "inputs", "outputs", "influence"))

# ---------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("cls", CLASSES)
def test_keeps_the_contract(cls: type) -> None:
    check_memory_module(lambda: cls(6, 10))


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (GTrXL, {"layers": 2, "window": 5}),
        (GTrXL, {"window": 65, "head_size": 3}),
        (Transformer, {"layers": 2, "window": 69, "head_size": 5}),
        (PrunedTransformer, {"layers": 2, "window": 5, "head_size": 9, "sparsity": 0.7}),
        (BFPTransformer, {"layers": 2, "window": 5, "bits": 5, "block": 24}),
        (ElasticTransformer, {"layers": 2, "window": 3, "anchors": 4}),
        (CMR, {"window": 3, "records": 2, "block": 3}),
    ],
)
def test_keeps_the_contract_in_other_sizes_and_in_double_precision(cls: type, config: dict) -> None:
    check_memory_module(lambda: cls(6, 10, **config).double(), atol=1e-10)


@pytest.mark.parametrize(
    ("cls", "config", "name"),
    [
        (GTrXL, {"heads": 0}, "heads"),
        (GTrXL, {"gate_bias": 1000}, "gate_bias"),
        (GTrXL, {"layers": 0}, "layers"),
        (Transformer, {"window": 0}, "window"),
        (Transformer, {"head_size": 1.5}, "head_size"),
        (PrunedTransformer, {"sparsity": 1.5}, "sparsity"),
        (BFPTransformer, {"bits": 1}, "bits"),
        (BFPTransformer, {"block": 0}, "block"),
        (ElasticTransformer, {"anchors": -1}, "anchors"),
        (CMR, {"layers": 1}, "layers"),
        (CMR, {"records": -1}, "records"),
    ],
)
def test_refuses_arguments_outside_their_range(cls: type, config: dict, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is "):
        cls(6, 10, **config)


# ---------------------------------------------------------------------------- the band


@pytest.mark.parametrize(
    ("steps", "window"), [(1, 3), (3, 3), (10, 3), (40, 7), (50, 64), (70, 64), (90, 65), (150, 130)]
)
def test_attention_in_blocks_equals_attention_with_a_mask_over_all_pairs(steps: int, window: int) -> None:
    q, k, v = inputs(3, steps, 2, 2, 4).unbind(0)
    before_k, before_v = inputs(2, window, 2, 2, 4, seed=1).unbind(0)
    step, before = torch.arange(steps)[:, None], torch.tensor([0, 5])
    age = torch.where(step < 6, before + step, step - 6)  # an episode begins at step 6
    band = Band(age, window)
    y = band.outputs(attend(band.queries(q), band.keys(before_k, k), band.keys(before_v, v), band.visible))

    rows_k, rows_v = torch.cat([before_k, k]), torch.cat([before_v, v])
    distance = torch.arange(steps)[:, None] + window - torch.arange(window + steps)
    for b in range(2):
        seen = (distance >= 0) & (distance <= window) & (distance <= age[:, b, None])
        scores = torch.einsum("thk,jhk->htj", q[:, b], rows_k[:, b]) / 2.0
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        torch.testing.assert_close(y[:, b], torch.einsum("htj,jhk->thk", weights, rows_v[:, b]))


def test_a_query_meets_a_number_of_keys_that_does_not_grow_with_the_sequence() -> None:
    short, long = (Band(torch.arange(n)[:, None], 128).visible for n in (300, 3000))
    assert short.shape[-1] == long.shape[-1] <= 2 * 128
    assert long.shape[0] * long.shape[2] < 3000 + 128


def test_the_first_of_equal_numbers_is_the_smallest_and_of_nan_there_is_none() -> None:
    x = torch.tensor([[2.0, 1.0, 1.0], [torch.inf] * 3, [0.0, torch.nan, 1.0]])
    assert first_argmin(x).tolist() == [1, 0, 2], "an index of the row in any case"


def test_scores_move_between_distances_and_keys() -> None:
    band = Band(torch.arange(9)[:, None], 4)
    by_distance = inputs(band.count, 1, band.size, band.back + 1)
    by_key = band.by_key(by_distance)
    assert torch.equal(band.by_distance(by_key), by_distance)
    for i in range(band.size):
        for j in range(band.back + band.size):
            d = i + band.back - j
            expected = (
                by_distance[..., i, band.back - d] if 0 <= d <= band.back else torch.zeros(band.count, 1)
            )
            assert torch.equal(by_key[..., i, j], expected.to(F64))


def test_turned_products_depend_on_the_distance_alone() -> None:
    q, k = inputs(2, 1, 1, 1, 8, dtype=torch.float32)

    def product(at: int, distance: int) -> Tensor:
        ages = torch.tensor([[at]]), torch.tensor([[at - distance]])
        turned = [Rotation(age, 8, torch.float32)(x) for age, x in zip(ages, (q, k), strict=True)]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product(3, 3), product(10_000_003, 3), atol=1e-5, rtol=0)
    assert abs(product(3, 3) - product(3, 1)) > 0.1


@pytest.mark.parametrize("cls", WINDOWED)
def test_what_is_further_back_than_the_window_has_no_influence(cls: type) -> None:
    x = inputs(20, 2, 6)
    seen = influence(build(cls, window=7).double(), x)
    assert seen[:8].all()
    assert not seen[8:].any()
    assert influence(build(cls, window=8).double(), x)[8], "control: one step more of window"


@pytest.mark.parametrize("cls", WINDOWED)
def test_layers_reach_their_number_times_the_window(cls: type) -> None:
    x = inputs(20, 1, 6)
    seen = influence(build(cls, window=4, layers=3).double(), x)
    assert seen[12]
    assert not seen[13:].any()
    assert not influence(build(cls, window=4, layers=2).double(), x)[9:].any(), "control: a layer less"


@pytest.mark.parametrize("cls", CLASSES)
def test_equal_histories_end_in_equal_states_whatever_came_before_the_episode(cls: type) -> None:
    module = build(cls, window=16).double()
    x = inputs(30, 2, 6)
    reset = torch.zeros(30, 2, dtype=torch.bool)
    reset[19] = True
    with torch.no_grad():
        _, after = module(x, module.initial_state(2), reset)
        _, fresh = module(x[19:], module.initial_state(2))
        _, control = module(x, module.initial_state(2))
    for name, leaf in after.items():
        torch.testing.assert_close(leaf, fresh[name])
    slots = "mem" if cls is GTrXL else next(name for name in after if name.startswith("k"))
    assert not after[slots][:, :, :5].any(), "11 steps leave 5 of 16 slots dead"
    assert control[slots][:, :, :5].any(), "control: without a reset they live"


def swapped(x: Tensor) -> Tensor:
    return torch.cat([x[:2], x[3:4], x[2:3], x[4:]])


def test_gtrxl_knows_the_order_by_its_positions_alone() -> None:
    module, x = build(GTrXL).double(), inputs(8, 2, 6)
    assert (outputs(module, swapped(x))[7] - outputs(module, x)[7]).abs().max() > 1e-6
    with torch.no_grad():
        module.layers[0].position.weight.zero_()
    torch.testing.assert_close(outputs(module, swapped(x))[7], outputs(module, x)[7])


def test_transformer_knows_the_order_by_its_rotation_alone() -> None:
    x = inputs(8, 2, 6)
    module = build(Transformer).double()
    assert (outputs(module, swapped(x))[7] - outputs(module, x)[7]).abs().max() > 1e-6
    unturned = build(Transformer, heads=64, head_size=1).double()  # nothing to turn in a single number
    torch.testing.assert_close(outputs(unturned, swapped(x))[7], outputs(unturned, x)[7])


# ---------------------------------------------------------------------------- GTrXL and the plain transformer


@torch.no_grad()
def test_gtrxl_computes_its_equations() -> None:
    module = build(GTrXL, heads=2, head_size=4, window=3).double()
    layer = module.layers[0]
    layer.content_bias.normal_()
    layer.position_bias.normal_()
    x = inputs(6, 1, 6)

    h = module.embed(x)[:, 0]
    rows = layer.attention_norm(h)
    half = torch.arange(4, dtype=F64)
    y = torch.empty_like(h)
    for i in range(6):
        heads = []
        for n in range(2):
            part = slice(4 * n, 4 * n + 4)
            q = layer.query(rows[i])[part]
            scores, values = [], []
            for j in range(max(0, i - 3), i + 1):
                k, v = (row[part] for row in layer.key_value(rows[j]).chunk(2))
                angle = (i - j) * 10000.0 ** (-half / 4)
                r = layer.position(torch.cat([angle.sin(), angle.cos()]))[part]
                u, w = layer.content_bias[n], layer.position_bias[n]
                scores.append(((q + u) @ k + (q + w) @ r) / 2.0)
                values.append(v)
            heads.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        y[i] = torch.relu(layer.out(torch.cat(heads)))

    def gate(gate: Any, x: Tensor, y: Tensor) -> Tensor:
        w_r, w_z, w_g = gate.from_y.weight.chunk(3)
        u_r, u_z = gate.from_x.weight.chunk(2)
        r = torch.sigmoid(y @ w_r.T + x @ u_r.T)
        z = torch.sigmoid(y @ w_z.T + x @ u_z.T - gate.bias)
        c = torch.tanh(y @ w_g.T + (r * x) @ gate.from_rx.weight.T)
        return (1 - z) * x + z * c

    y = gate(layer.attention_gate, h, y)
    norm, first, _, second, _ = layer.ffn
    y = gate(layer.ffn_gate, y, torch.relu(second(torch.relu(first(norm(y))))))
    torch.testing.assert_close(outputs(module, x)[:, 0], module.out(y))


@torch.no_grad()
def test_transformer_equals_dense_causal_attention_where_its_window_covers_the_sequence() -> None:
    module = build(Transformer, window=20).double()
    layer, x = module.layers[0], inputs(12, 1, 6)
    h = module.embed(x)[:, 0]
    q, k, v = layer.query_key_value(layer.attention_norm(h)).view(12, 3, 4, 16).permute(1, 2, 0, 3)
    angle = torch.arange(12, dtype=F64)[:, None] * 10000.0 ** (-torch.arange(8, dtype=F64) / 8)
    turn = torch.polar(torch.ones_like(angle), angle)
    q, k = (torch.complex(row[..., :8], row[..., 8:]) * turn for row in (q, k))
    q, k = (torch.cat([row.real, row.imag], -1) for row in (q, k))
    read = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    h = h + layer.out(read.transpose(0, 1).flatten(-2))
    h = h + layer.ffn_out(functional.gelu(layer.ffn_in(layer.ffn_norm(h))))
    expected = module.out(module.norm(h))
    torch.testing.assert_close(outputs(module, x)[:, 0], expected)
    short = build(Transformer, window=5).double()
    assert not torch.allclose(outputs(short, x)[:, 0], expected), "control: a window of 5"


@pytest.mark.parametrize(("bias", "is_identity"), [(50.0, True), (0.0, False)])
@torch.no_grad()
def test_a_large_gate_bias_makes_gtrxl_the_identity(bias: float, is_identity: bool) -> None:
    module = build(GTrXL, 64, 64, layers=3, gate_bias=bias)
    for layer in (module.embed, module.out):
        layer.weight.copy_(torch.eye(64))
        layer.bias.zero_()
    x = inputs(20, 2, 64, dtype=torch.float32)
    assert torch.allclose(outputs(module, x), x, atol=1e-6) is is_identity


def test_gtrxl_stops_gradients_at_its_cache_and_not_within_a_sequence() -> None:
    module, x = build(GTrXL, window=4), inputs(6, 1, 6, dtype=torch.float32).requires_grad_()
    state = {name: leaf.clone() for name, leaf in module.initial_state(1).items()}
    state["mem"] = torch.randn(state["mem"].shape, requires_grad=True)
    state["len"] += 4
    y, _ = module(x, state)
    y[3].sum().backward()
    assert state["mem"].grad is None
    assert x.grad is not None
    assert x.grad[1].abs().max() > 0
