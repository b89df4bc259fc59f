"""What memories with a store promise: the contract of all three, and what B'MOJO says of its window and store."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor, nn  # noqa: E402

from memgym.agents.nn import bmojo  # noqa: E402
from memgym.agents.nn.backbone import MemoryBackbone  # noqa: E402
from memgym.agents.nn.bmojo import BMojo  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402
from memgym.agents.nn.engram import EngramMemory  # noqa: E402
from memgym.agents.nn.sparsey import Sparsey  # noqa: E402

F64 = torch.float64


def build(cls: type, d_in: int = 6, d_out: int = 10, seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return cls(d_in, d_out, **config)


def inputs(*shape: int, seed: int = 0, dtype: Any = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def flags(share: float, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


@torch.no_grad()
def outputs(module: Any, x: Tensor, reset: Tensor | None = None) -> Tensor:
    return module(x, module.initial_state(x.shape[1]), reset)[0]


# ---------------------------------------------------------------------------- the contract

CASES = [
    (BMojo, {}),
    (BMojo, {"window": 0, "store": 3}),
    (BMojo, {"window": 2, "store": 5}),
    (BMojo, {"window": 8, "store": 0}),
    (BMojo, {"window": 30, "store": 20, "age_bias": False}),
    (EngramMemory, {}),
    (EngramMemory, {"inner": "gru"}),
    (EngramMemory, {"ngram": 5, "rows": 50, "row_size": 3}),
    (Sparsey, {}),
    (Sparsey, {"features": 50, "modules": 7, "units": 8}),
]


@pytest.mark.parametrize(("cls", "config"), CASES)
def test_keeps_the_contract(cls: type, config: dict[str, Any]) -> None:
    check_memory_module(lambda: cls(6, 10, **config))


@pytest.mark.parametrize(("cls", "config"), CASES)
def test_keeps_the_contract_in_double_precision(cls: type, config: dict[str, Any]) -> None:
    check_memory_module(lambda: cls(6, 10, **config).double(), atol=1e-10)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (BMojo, {"window": -1}, "window is an integer from 0"),
        (BMojo, {"store": 1.5}, "store is an integer from 0"),
        (BMojo, {"age_bias": "yes"}, "age_bias is True or False"),
        (EngramMemory, {"ngram": 1}, "ngram is an integer from 2"),
        (EngramMemory, {"inner_config": {"hidden": 3}}, "inner_config is for an inner memory"),
        (EngramMemory, {"inner": "gru", "inner_config": {"size": 3}}, "size"),
        (Sparsey, {"units": 12}, "units is a multiple of 8"),
        (Sparsey, {"modules": 256}, "modules is an integer from 1 to 255"),
        (Sparsey, {"freeze_at": 1.1}, "freeze_at is a number from 0 to 1"),
    ],
)
def test_a_bad_argument_is_named(cls: type, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(6, 10, **config)


# ---------------------------------------------------------------------------- B'MOJO


def plain_bmojo(memory: BMojo, x: Tensor, reset: Tensor) -> Tensor:
    """The definition, one environment and one step after the other, with lists for window and store."""
    out = torch.empty(*x.shape[:2], memory.d_out, dtype=x.dtype)
    assert memory.slope is not None
    for b in range(x.shape[1]):
        seen: list[tuple[Tensor, float]] = []
        h = torch.zeros(memory.hidden, dtype=x.dtype)
        for t in range(len(x)):
            if reset[t, b]:
                seen, h = [], torch.zeros_like(h)
            row = x[t, b]
            before = [old for old, _ in seen[-4:]]
            guess = torch.stack(before).mean(0) if before else torch.zeros_like(row)
            seen.append((row, float((row - guess).square().mean().bfloat16())))
            z = torch.sigmoid(memory.gate(row))
            h = (1 - z) * h + z * memory.candidate(row)
            now = len(seen) - 1
            outside = [i for i in range(len(seen)) if now - i >= memory.window]
            surprising = sorted(outside, key=lambda i: (seen[i][1], i))
            stored = surprising[max(len(outside) - memory.store, 0) :]
            inside = [i for i in range(len(seen)) if now - i < memory.window]
            heads = (memory.heads, memory.head_size)
            q = memory.query(row).view(heads) / memory.head_size**0.5
            k, v = memory.fading_key_value(h).view(2, *heads)
            scores, values = [(q * k).sum(-1)], [v]
            for i in inside + stored:
                k, v = memory.key_value(seen[i][0]).view(2, *heads)
                bias = memory.bias[:, min(now - i, memory.window)]
                bias = bias - memory.slope * torch.log1p(torch.tensor(float(now - i), dtype=x.dtype))
                scores.append((q * k).sum(-1) + bias)
                values.append(v)
            weight = torch.stack(scores).softmax(0)[..., None]
            out[t, b] = memory.out((weight * torch.stack(values)).sum(0).flatten())
    return out


@pytest.mark.parametrize(("window", "store"), [(5, 4), (0, 3), (2, 0), (3, 1)])
@torch.no_grad()
def test_bmojo_in_chunks_is_its_definition(window: int, store: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmojo, "CHUNK", 11)
    memory = build(BMojo, window=window, store=store).double()
    nn.init.normal_(memory.bias, generator=torch.Generator().manual_seed(3))
    x, reset = inputs(40, 3, 6, dtype=F64), flags(0.06, 40, 3)
    reset[:, 1] = False
    torch.testing.assert_close(outputs(memory, x, reset), plain_bmojo(memory, x, reset), rtol=0, atol=1e-12)


class Noisy(BMojo):
    """The control: innovations that have nothing to do with the input."""

    def _innovation(self, rows: Tensor, segments: Tensor, steps: int) -> Tensor:
        return inputs(steps, rows.shape[1], seed=len(rows)).abs().bfloat16()


@pytest.mark.parametrize(("cls", "is_kept"), [(BMojo, True), (Noisy, False)])
@torch.no_grad()
def test_what_surprises_stays_stored_and_with_random_scores_it_does_not(cls: type, is_kept: bool) -> None:
    memory = build(cls, window=8, store=4)
    x = 1.0 + 0.02 * inputs(150, 32, 6)
    x[20] = -1.0
    state = memory(x, memory.initial_state(32))[1]
    found = (state["store"] == -1.0).all(-1).any(-1)
    assert found.float().mean() == 1.0 if is_kept else found.float().mean() < 0.3


@torch.no_grad()
def test_of_equally_surprising_inputs_bmojo_keeps_the_newest() -> None:
    memory = build(BMojo, window=4, store=3)
    state = memory(torch.ones(30, 1, 6), memory.initial_state(1))[1]
    # the first input was predicted to be zero; all others were predicted exactly
    assert state["store_age"].tolist() == [[6, 5, 30]]


@torch.no_grad()
def test_bmojo_without_window_and_store_is_its_recurrence() -> None:
    memory = build(BMojo, window=0, store=0)
    x = inputs(20, 3, 6)
    h, rows = torch.zeros(3, memory.hidden), []
    for row in x:
        z = torch.sigmoid(memory.gate(row))
        h = (1 - z) * h + z * memory.candidate(row)
        rows.append(memory.out(memory.fading_key_value(h)[:, memory.hidden :]))
    torch.testing.assert_close(outputs(memory, x), torch.stack(rows))


@pytest.mark.parametrize(("store", "reach"), [(0, 8), (2, 60)])
@torch.no_grad()
def test_without_its_store_bmojo_reaches_no_farther_than_the_window(store: int, reach: int) -> None:
    memory = build(BMojo, window=8, store=store)
    for layer in (memory.candidate.weight, memory.candidate.bias):
        nn.init.zeros_(layer)  # nothing in the fading state
    x = 0.02 * inputs(60, 4, 6)
    x[0] += 2.0
    changed = torch.cat([x[:1] + 1.0, x[1:]])
    influence = (outputs(memory, changed) != outputs(memory, x)).any(-1).all(-1)
    assert influence.nonzero()[:, 0].tolist() == list(range(reach))


@torch.no_grad()
def test_the_age_bias_prefers_the_newer_of_two_stored_versions() -> None:
    def read(slope: float) -> Tensor:
        memory = build(BMojo, 3, 1, heads=1, head_size=1, window=2, store=2)
        for parameter in memory.parameters():
            nn.init.zeros_(parameter)
        memory.key_value.weight[1, 0] = memory.out.weight[0, 0] = 1.0  # the value is the first number
        memory.bias.fill_(30.0)  # raw inputs, not the fading state
        memory.bias[:, :2] = -30.0
        assert memory.slope is not None
        memory.slope.fill_(slope)
        x = torch.zeros(50, 1, 3)
        x[5, 0, 0], x[30, 0, 0] = -1.0, 1.0  # one fact, then another version of it
        return outputs(memory, x)[-1, 0, 0]

    assert abs(float(read(0.0))) < 1e-4, "without a bias both versions count alike"
    assert read(8.0) > 0.95


def test_gradients_flow_into_what_was_stored() -> None:
    for store, flows in ((2, True), (0, False)):
        memory = build(BMojo, window=4, store=store)
        nn.init.zeros_(memory.fading_key_value.weight)
        x = 0.02 * inputs(150, 2, 6)
        x[3] += 2.0
        x.requires_grad_()
        memory(x, memory.initial_state(2))[0][-1].sum().backward()
        assert x.grad is not None
        assert bool(x.grad[3].any()) is flows


def cues(batch: int, generator: Any, keys: int = 8) -> tuple[Tensor, Tensor]:
    """Six cues (a key, one of 8 values) among 40 steps, then ten steps of nothing, then questions for keys."""
    tokens = torch.zeros(64, batch, dtype=torch.int64)
    answers = torch.full((64, batch), -1)
    key, value = torch.randint(keys, (2, 64, batch), generator=generator)
    when = torch.rand(40, batch, generator=generator).argsort(0) < 6
    tokens[:40] = torch.where(when, 1 + key[:40] * 8 + value[:40], 0)
    held = torch.full((batch, keys), -1)
    rows = torch.arange(batch)
    for t in range(40):
        held[rows[when[t]], key[t][when[t]]] = value[t][when[t]]
    for t in range(50, 64):
        asked = (torch.rand(batch, keys, generator=generator) * (held >= 0)).argmax(1)
        tokens[t], answers[t] = 1 + keys * 8 + asked, held[rows, asked]
    return tokens, answers


def accuracy_on_cues(store: int) -> float:
    memory = build(BMojo, 32, 32, head_size=8, window=8, store=store)
    net = MemoryBackbone(32, [memory])
    embed, head = nn.Embedding(73, 32), nn.Linear(32, 8)
    parameters = [*net.parameters(), *embed.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 3e-3)
    generator, right = torch.Generator().manual_seed(1), []
    for _ in range(250):
        tokens, answers = cues(64, generator)
        logits = head(net(embed(tokens), net.initial_state(64))[0])[50:]
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), answers[50:].flatten()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        right.append(float((logits.argmax(-1) == answers[50:]).float().mean()))
    return sum(right[-20:]) / 20


@pytest.mark.slow
def test_bmojo_learns_to_recall_rare_cues_from_its_store() -> None:
    assert accuracy_on_cues(store=8) > 0.75
    assert accuracy_on_cues(store=0) < 0.65
