"""What attention memories promise beyond the contract, each with the mechanism switched off as a control."""

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from memgym.agents.nn.attention import Band, Rotation, attend  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.cmr import CMR  # noqa: E402
from memgym.agents.nn.elastic_cache import ElasticTransformer, _Entries, merge  # noqa: E402
from memgym.agents.nn.gtrxl import GTrXL  # noqa: E402
from memgym.agents.nn.kv_cache import BFPTransformer, PrunedTransformer  # noqa: E402
from memgym.agents.nn.kv_codecs import BlockFloatCodec, PrunedCodec  # noqa: E402
from memgym.agents.nn.transformer import Transformer  # noqa: E402

CLASSES = [GTrXL, Transformer, PrunedTransformer, BFPTransformer, ElasticTransformer, CMR]
WINDOWED = [GTrXL, Transformer, PrunedTransformer, BFPTransformer]
F64 = torch.float64


def build(cls: type, d_in: int = 6, d_out: int = 10, seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return cls(d_in, d_out, **config)


def inputs(*shape: int, seed: int = 0, dtype: Any = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@torch.no_grad()
def outputs(module: Any, x: Tensor, reset: Tensor | None = None) -> Tensor:
    return module(x, module.initial_state(x.shape[1]), reset)[0]


@torch.no_grad()
def influence(module: Any, x: Tensor) -> Tensor:
    """Whether a change of x[0] changes y[t], bool, shape (T,)."""
    changed = torch.cat([x[:1] + 1.0, x[1:]])
    return (outputs(module, changed) != outputs(module, x)).any(-1).any(-1)


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


@pytest.mark.parametrize("cls", CLASSES)
def test_bytes_in_use_grow_to_the_capacity(cls: type) -> None:
    module = build(cls, window=4)
    state = module.initial_state(2)
    used = [module.state_nbytes_used(state)]
    reset = torch.tensor([False, True])
    with torch.no_grad():
        for x in inputs(200, 2, 6, dtype=torch.float32):
            state = module.step(x, state, reset)[1]
            used.append(module.state_nbytes_used(state))
    assert used[0][0] < used[1][0] <= used[-1][0] == module.state_nbytes()
    assert used[1][1] == used[-1][1], "an environment that begins anew each step holds one"


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


# ---------------------------------------------------------------------------- compressed caches


def test_caches_have_the_bytes_of_what_they_store() -> None:
    vectors, size, counter = 2 * 32 * 4, 16, 8  # keys and values, 32 steps, 4 heads
    assert build(Transformer).state_nbytes() == vectors * size * 4 + counter == 16392
    assert build(PrunedTransformer).state_nbytes() == vectors * (8 * 4 + 2) + counter == 8712
    assert build(PrunedTransformer, sparsity=0.7).state_nbytes() == vectors * (5 * 4 + 2) + counter
    assert build(BFPTransformer).state_nbytes() == vectors * (16 * 4 // 8 + 1) + counter == 2312
    assert build(BFPTransformer, bits=6).state_nbytes() == vectors * (16 * 6 // 8 + 1) + counter
    state = build(BFPTransformer).initial_state(1)
    assert {leaf.dtype for leaf in state.values()} == {torch.uint8, torch.int8, torch.int64}
    elastic = build(ElasticTransformer, window=4, anchors=8)
    assert elastic.state_nbytes() == 4 * (2 * 64 * 4 + 4) + 8 * (2 * 64 * 4 + 3 * 4) + counter


@pytest.mark.parametrize(
    ("cls", "lossless", "lossy"),
    [
        (PrunedTransformer, {"sparsity": 0}, {"sparsity": 0.5}),
        (BFPTransformer, {"bits": 24}, {"bits": 4}),
        (ElasticTransformer, {"window": 4, "anchors": 40}, {"window": 4, "anchors": 4}),
    ],
)
def test_a_cache_that_compresses_nothing_is_that_of_the_plain_transformer(
    cls: type, lossless: dict, lossy: dict
) -> None:
    plain = build(Transformer, window=44, layers=2)
    x = inputs(40, 3, 6, dtype=torch.float32)
    for config, same in ((lossless, True), (lossy, False)):
        module = cls(6, 10, layers=2, **{"window": 44, **config})
        module.load_state_dict(plain.state_dict())
        assert torch.allclose(outputs(module, x), outputs(plain, x), atol=1e-5) is same


@torch.no_grad()
def test_the_state_holds_what_the_codec_makes_of_the_keys() -> None:
    """A sequence reads what a step finds in the state: `approximate` equals `decode` of `encode`, to the bit."""
    x = inputs(50, 4, 16)
    x[0, 0] = 0.0
    for codec in (PrunedCodec(4, 16, 0.6), *(BlockFloatCodec(4, 16, bits, 24) for bits in range(2, 25))):
        stored = codec.encode(x, torch.float32)
        back = codec.decode(stored, torch.float32)
        assert torch.equal(back, codec.approximate(x, torch.float32))
        for name, leaf in codec.leaves(torch.float32).items():
            assert (stored[name].shape[1:], stored[name].dtype) == leaf


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@torch.no_grad()
def test_a_sequence_and_its_steps_round_alike_as_they_choose_in_double_precision(
    precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BFPTransformer, "choice_dtype", precision)
    module, x = build(BFPTransformer, bits=8, layers=3), inputs(60, 32, 6, dtype=torch.float32)
    state, rows = module.initial_state(32), []
    for row in x:
        y, state = module.step(row, state)
        rows.append(y)
    difference = (torch.stack(rows) - outputs(module, x)).abs().max()
    alike = float(difference) < 1e-5
    assert alike is (precision is torch.float64), "control: in float32 some numbers round to the other side"


@torch.no_grad()
def test_pruning_keeps_the_largest_numbers_and_zeroes_the_rest() -> None:
    codec, x = PrunedCodec(3, 10, 0.7), inputs(20, 3, 10, dtype=torch.float32)
    back = codec.decode(codec.encode(x, torch.float32), torch.float32)
    assert ((back != 0).sum(-1) == 3).all()
    assert torch.equal(back[back != 0], x[back != 0])
    smallest_kept = back.abs().masked_fill(back == 0, torch.inf).amin(-1, keepdim=True)
    assert (x.abs()[back == 0] <= smallest_kept.expand_as(x)[back == 0]).all()
    equal = torch.tensor([1.0, -2.0, 2.0, -2.0, 2.0, 0.0, 0, 0, 0, 0]).expand(1, 3, 10)
    assert codec.approximate(equal, torch.float32)[0, 0].tolist() == [0, -2, 2, -2, 0, 0, 0, 0, 0, 0]


@torch.no_grad()
def test_the_error_of_block_floating_point_is_bounded_by_the_exponent_of_the_block() -> None:
    x = inputs(500, 4, 16) * torch.tensor([1e-3, 1.0, 40.0, 1e4], dtype=F64)[:, None]
    for bits in (3, 4, 8):
        codec = BlockFloatCodec(4, 16, bits, 16)
        stored = codec.encode(x, torch.float32)
        error = (codec.decode(stored, torch.float32) - x).abs()
        largest = x.abs().amax(-1)
        exponent = stored["_exponents"].to(F64)
        assert torch.equal(exponent, largest.log2().floor() + 1)
        step = (2.0 ** (exponent - bits + 1))[..., None]
        below = x.abs() <= step * (2 ** (bits - 1) - 1)
        assert (error <= torch.where(below, 0.5, 1.0) * step).all()
        assert error.max() > 0.3 * step.max(), "control: it rounds"
    shared = BlockFloatCodec(4, 16, 8, 64).approximate(x, torch.float32)
    assert not shared[:, 0].any(), (
        "control: beside 10^7 times larger numbers in the block nothing is left of these"
    )


def test_gradients_pass_pruning_where_numbers_are_kept_and_rounding_everywhere() -> None:
    x = inputs(5, 4, 16, dtype=torch.float32).requires_grad_()
    pruned = PrunedCodec(4, 16, 0.5).approximate(x, torch.float32)
    (grad,) = torch.autograd.grad(pruned.sum(), x)
    assert torch.equal(grad, (pruned != 0).float())
    rounded = BlockFloatCodec(4, 16, 4, 16).approximate(x, torch.float32)
    (grad,) = torch.autograd.grad(rounded.sum(), x)
    assert torch.equal(grad, torch.ones_like(x))
    assert not torch.equal(rounded, x)


# ---------------------------------------------------------------------------- the elastic cache


def entries(mass: list[float], at: list[int], merged: list[int]) -> _Entries:
    return _Entries(torch.tensor([mass]), torch.tensor([at]).int(), torch.tensor([merged]).int())


def test_the_least_attended_entry_merges_into_the_nearest_anchor() -> None:
    weights, kept = merge(entries([5.0, 0.1, 4.0, 3.0], [0, 6, 9, 20], [1, 1, 3, 1]), torch.tensor([24]))
    assert kept.at.tolist() == [[0, 9, 20]]
    assert kept.merged.tolist() == [[1, 4, 1]]
    expected = torch.tensor([[1, 0, 0, 0], [0, 0.25, 0.75, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(weights[0], expected)
    # by the sum the second has the least; by the attention a step it is the oldest
    _, kept = merge(entries([2.0, 1.0, 3.0], [0, 90, 95], [1, 1, 1]), torch.tensor([99]))
    assert kept.at.tolist() == [[90, 95]]


def test_an_empty_slot_is_taken_before_anything_merges() -> None:
    weights, kept = merge(entries([0.0, 5.0, 0.0], [0, 3, 7], [0, 1, 1]), torch.tensor([9]))
    assert (kept.at.tolist(), kept.merged.tolist()) == ([[3, 7]], [[1, 1]])
    assert weights[0].tolist() == [[0, 1, 0], [0, 0, 1]]
    weights, kept = merge(entries([0.0, 5.0, 0.0], [0, 3, -2], [0, 1, 0]), torch.tensor([9]))
    assert (kept.at.tolist(), weights[0].tolist()) == ([[0, 3]], [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("attends", [True, False])
@torch.no_grad()
def test_a_step_that_draws_attention_stays_an_anchor(attends: bool) -> None:
    module = build(ElasticTransformer, 4, 4, heads=4, head_size=1, window=4, anchors=3)
    module.embed.weight.copy_(torch.eye(4))
    module.embed.bias.zero_()
    weight = module.layers[0].query_key_value.weight
    weight.zero_()
    weight[0:4, 0] = 3.0 if attends else 0.0  # queries: what all steps have
    weight[4:8, 2] = 3.0  # keys: what marks a step
    x = torch.tensor([1.0, -1.0, 0.0, 0.0]).repeat(40, 1, 1)
    x[9] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    _, state = module(x, module.initial_state(1))
    assert (9 in state["anchor_at"][0, 0].tolist()) is attends
    assert state["anchor_merged"].sum() == 36, "all steps before the window are in some anchor"


@torch.no_grad()
def test_a_single_anchor_is_the_mean_of_everything_before_the_window() -> None:
    module, plain = build(ElasticTransformer, window=4, anchors=1).double(), build(Transformer, window=40)
    x = inputs(30, 2, 6)
    plain.load_state_dict(module.state_dict())
    _, state = module(x, module.initial_state(2))
    _, whole = plain.double()(x, plain.initial_state(2))
    for i, part in enumerate("kv"):
        expected = whole[part][:, 0, 10:-4].mean(1)  # 40 slots, the last 30 in use, the last 4 unmerged
        torch.testing.assert_close(state["anchor_rows"][:, 0, 0, i], expected)


def test_an_elastic_cache_remembers_beyond_its_window_and_passes_gradients() -> None:
    x = inputs(30, 1, 6)
    assert influence(build(ElasticTransformer, window=4, anchors=2).double(), x)[29]
    assert not influence(build(ElasticTransformer, window=4, anchors=0).double(), x)[5:].any()
    for anchors, passes in ((2, True), (0, False)):
        module = build(ElasticTransformer, window=4, anchors=anchors).double()
        inner = x.clone().requires_grad_()
        module(inner, module.initial_state(1))[0][29].sum().backward()
        assert inner.grad is not None
        assert bool(inner.grad[0].any()) is passes


# ---------------------------------------------------------------------------- records of latent states


def test_without_records_cmr_is_the_base_stack() -> None:
    plain, x = build(Transformer, layers=2), inputs(40, 2, 6, dtype=torch.float32)
    bare, full = CMR(6, 10, records=0), CMR(6, 10)
    bare.load_state_dict(plain.state_dict())
    full.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(outputs(bare, x), outputs(plain, x))
    difference = (outputs(full, x) - outputs(plain, x)).abs().amax((1, 2))
    assert (difference[:8] < 1e-6).all(), "nothing is recorded before the first block ends"
    assert (difference[8:] > 1e-6).all()


@torch.no_grad()
def test_records_change_what_comes_after_and_each_layer_reads_its_own() -> None:
    module = build(CMR).double()
    seen: dict[int, Tensor] = {}
    for i, reweave in enumerate(module.reweaves):
        reweave.register_forward_hook(lambda _m, _a, out, i=i: seen.__setitem__(i, out))
    x = inputs(20, 2, 6)
    _, state = module(x, module.initial_state(2))

    def layers(records: Tensor) -> list[Tensor]:
        module.step(x[0], {**state, "records": records})
        return [seen[0], seen[1]]

    def changed_layers(layer: int) -> list[bool]:
        records = state["records"].clone()
        records[:, :, layer] += 1.0
        pairs = zip(layers(records), layers(state["records"]), strict=True)
        return [not torch.equal(a, b) for a, b in pairs]

    erased = zip(layers(state["records"] * 0), layers(state["records"]), strict=True)
    assert [not torch.equal(a, b) for a, b in erased] == [True, True]
    module.layer_mix.copy_(1e4 * torch.eye(2))
    assert changed_layers(1) == [False, True]
    assert changed_layers(0) == [True, True], "the layer above sees the changed stream"
    module.layer_mix.zero_()
    assert changed_layers(1) == [True, True], "control: an even mixture of layers"


@torch.no_grad()
def test_one_step_of_each_block_is_recorded_and_blocks_begin_with_the_episode() -> None:
    module, x = build(CMR), inputs(29, 2, 6, dtype=torch.float32)
    reset = torch.zeros(29, 2, dtype=torch.bool)
    reset[5, 1] = True
    _, state = module(x, module.initial_state(2), reset)
    live = state["records_relevance"] > 0
    assert live.sum(1).tolist() == [3, 3]  # 29 and 24 steps in blocks of 8
    assert [sorted((at[row] // 8).tolist()) for at, row in zip(state["records_at"], live, strict=True)] == [
        [0, 1, 2],
        [0, 1, 2],
    ]
    assert (state["best_relevance"][:, 0] > 0).tolist() == [True, False], "24 steps leave no block open"
    assert not state["records"][1][~live[1]].any()


@torch.no_grad()
def test_the_most_relevant_step_is_recorded_in_place_of_the_weakest_record() -> None:
    module = build(CMR, records=2, block=4).double()
    module.relevance.weight.mul_(20)  # so that the relevances differ
    x = inputs(24, 1, 6)
    relevances: list[Tensor] = []
    hook = module.relevance.register_forward_hook(
        lambda _m, _a, out: relevances.append(out.sigmoid()[..., 0])
    )
    _, state = module(x, module.initial_state(1))
    hook.remove()
    records: list[tuple[float, int]] = []
    for block, relevance in enumerate(torch.cat(relevances)[:, 0].view(6, 4).tolist()):
        newest = max(relevance)
        now = 4 * block + 4
        if len(records) == 2:
            records.remove(min(records, key=lambda r: r[0] * 0.99 ** (now - r[1])))
        records.append((newest, 4 * block + relevance.index(newest)))
    held = zip(state["records_relevance"][0].tolist(), state["records_at"][0].tolist(), strict=True)
    for mine, theirs in zip(
        sorted(records, key=lambda r: r[1]), sorted(held, key=lambda r: r[1]), strict=True
    ):
        assert mine[1] == theirs[1]
        assert math.isclose(mine[0], theirs[0])


def test_records_pass_gradients_through_their_relevance_alone() -> None:
    x = inputs(24, 1, 6)
    for relevance, passes in ((1.0, True), (0.0, False)):
        module = build(CMR, window=1, block=4).double()
        with torch.no_grad():
            module.relevance.weight.mul_(relevance)
        inner = x.clone().requires_grad_()
        module(inner, module.initial_state(1))[0][23].sum().backward()
        assert inner.grad is not None
        assert bool(inner.grad[:20].any()) is passes
    assert influence(module, x)[23], "values reach further than gradients"
