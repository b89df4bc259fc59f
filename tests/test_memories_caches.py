"""What transformers with compressed, merging and recording caches promise, each with the mechanism switched off."""

import math
import runpy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402

from memgym.agents.nn.cmr import CMR  # noqa: E402
from memgym.agents.nn.elastic_cache import ElasticTransformer, _Entries, merge  # noqa: E402
from memgym.agents.nn.kv_cache import BFPTransformer, PrunedTransformer  # noqa: E402
from memgym.agents.nn.kv_codecs import BlockFloatCodec, PrunedCodec  # noqa: E402
from memgym.agents.nn.transformer import Transformer  # noqa: E402

F64 = torch.float64
PROBES = runpy.run_path(str(Path(__file__).with_name("memory_probes.py")))
build, inputs, outputs, influence = (PROBES[name] for name in ("build", "inputs", "outputs", "influence"))

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
