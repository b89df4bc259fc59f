"""Self-pretraining and forgetting: what changes, what does not, and what they are for."""

from typing import Any

import pytest

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402
from torch.nn import Module, Parameter  # noqa: E402
from torch.optim import Adam  # noqa: E402

from memgym.agents.nn import make_memory  # noqa: E402
from memgym.agents.nn.backbone import MemoryBackbone  # noqa: E402
from memgym.agents.nn.forgetting import EmbeddingForgetting, draw_embedding_  # noqa: E402
from memgym.agents.nn.pretraining import ObservedSequences, pretrain  # noqa: E402
from memgym.agents.sequence_model import SequenceModel  # noqa: E402
from memgym.envs.streams import SequenceBatches  # noqa: E402


def batches(seed: int = 0) -> SequenceBatches:
    return SequenceBatches(
        "memgym/KeyValueRewriting-v0", batch_size=16, seed=seed, backend="numpy", num_steps=16
    )


def net(inputs: Any = "ids") -> SequenceModel:
    return SequenceModel(batches().task, "gru", {"hidden": 8}, inputs=inputs, size=16)


def copies(module: Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


# ---------------------------------------------------------------------------- self-pretraining


@pytest.mark.parametrize("inputs", ["words", "ids"])
def test_pretraining_changes_encoder_and_memory_and_leaves_the_head_fresh(inputs: Any):
    model = net(inputs)
    before = copies(model)
    model.pretrain(batches(), 5)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    untouched = {name for name in before if name.startswith("head.")}
    assert untouched
    assert changed == set(before) - untouched


def test_pretraining_reads_no_label():
    class Blind:
        def batch(self, b: int) -> dict[str, Any]:
            batch = dict(batches().batch(b))
            batch["targets"] = batch["targets"] * 0 - 100
            return batch

    one, other = net(), net()
    one.pretrain(batches(), 3)
    other.pretrain(Blind(), 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def foresight(cycle: int, num_updates: int = 150, memory: str = "gru") -> float:
    """Loss after learning to foresee a stream that repeats itself after `cycle` steps, in units of its variance."""

    class Encoder(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward((x - 1000.0) / 50.0)

    size = 16
    torch.manual_seed(0)
    encoder = Encoder(3, size)
    backbone = MemoryBackbone(size, [make_memory(memory, size, size)])

    def sequences(u: int) -> ObservedSequences:
        generator = torch.Generator().manual_seed(u)
        x = torch.randn(cycle, 16, 3, generator=generator).repeat(24 // cycle, 1, 1)
        return ObservedSequences(1000.0 + 50.0 * x)

    return pretrain(encoder, backbone, sequences, num_updates=num_updates)[-10:].mean().item()


def test_numbers_of_any_scale_are_foreseen_where_the_past_tells_them():
    assert foresight(cycle=2) < 0.5
    assert foresight(cycle=24) > 0.9, "the control: noise that never repeats cannot be foreseen"
    assert foresight(cycle=2, memory="mlp") > 0.9, "nor a repetition without memory"


@pytest.mark.parametrize(("told", "low", "high"), [(True, 0.0, 0.05), (False, 0.2, 2.0)])
def test_the_first_observation_of_an_episode_is_not_to_be_foreseen(told: bool, low: float, high: float):
    """Each episode shows one number all along: only the next episode's is news."""
    torch.manual_seed(0)
    encoder, backbone = torch.nn.Linear(1, 8), MemoryBackbone(8, [make_memory("mlp", 8, 8)])

    def sequences(u: int) -> ObservedSequences:
        generator = torch.Generator().manual_seed(u)
        reset = torch.zeros(16, 32, dtype=torch.bool)
        reset[::4] = True
        x = torch.randn(4, 32, 1, generator=generator).repeat_interleave(4, 0)
        return ObservedSequences(x, reset if told else None)

    loss = pretrain(encoder, backbone, sequences, num_updates=150, learning_rate=1e-2)[-10:].mean().item()
    assert low <= loss <= high


# ---------------------------------------------------------------------------- forgetting


def trained(num_updates: int, forgetting: EmbeddingForgetting | None) -> tuple[Parameter, Parameter, Adam]:
    """An embedding and another parameter after so many steps of Adam, forgetting before each step."""
    embedding, other = Parameter(torch.empty(5, 4)), Parameter(torch.ones(4))
    draw_embedding_(embedding, seed=3)
    optimizer = torch.optim.Adam([embedding, other], lr=0.01)
    for steps in range(num_updates):
        if forgetting is not None:
            forgetting.apply(steps, [embedding], optimizer)
        optimizer.zero_grad()
        (embedding * other).square().sum().backward()
        optimizer.step()
    return embedding, other, optimizer


def test_forgetting_draws_the_embedding_anew_and_nothing_else():
    forgetting = EmbeddingForgetting(every=4)
    embedding, other, optimizer = trained(4, forgetting)
    plain, _, _ = trained(4, None)
    assert torch.equal(embedding, plain), "before step 4 nothing happens"
    before = embedding.detach().clone(), other.detach().clone(), optimizer.state[other]["exp_avg"].clone()
    assert forgetting.apply(4, [embedding], optimizer)
    assert not torch.isclose(embedding, before[0]).any()
    assert torch.equal(other, before[1])
    assert torch.equal(optimizer.state[other]["exp_avg"], before[2])
    assert optimizer.state[other]["step"] == 4


def test_forgetting_clears_adams_moments_so_that_the_next_step_is_a_first_step():
    forgetting = EmbeddingForgetting(every=4)
    embedding, other, optimizer = trained(4, forgetting)
    assert all(moment.abs().sum() > 0 for moment in optimizer.state[embedding].values())
    forgetting.apply(4, [embedding], optimizer)
    assert set(optimizer.state[embedding]) == {"step", "exp_avg", "exp_avg_sq"}
    assert all(moment.abs().sum() == 0 for moment in optimizer.state[embedding].values())
    before = embedding.detach().clone()
    optimizer.zero_grad()
    (embedding * other).square().sum().backward()
    optimizer.step()
    # Adam's first step has the size of the learning rate, whatever the gradient
    torch.testing.assert_close((embedding - before).abs(), torch.full((5, 4), 0.01), rtol=1e-3, atol=1e-5)


def test_active_forgetting_goes_on_and_temporary_forgetting_ends():
    active = [steps for steps in range(13) if EmbeddingForgetting(every=3).is_due(steps)]
    temporary = [steps for steps in range(13) if EmbeddingForgetting(every=3, until=7).is_due(steps)]
    assert active == [3, 6, 9, 12]
    assert temporary == [3, 6]


def test_what_is_drawn_depends_on_seed_step_and_embedding_and_on_nothing_else():
    def drawn(seed: int, steps: int) -> list[Parameter]:
        parameters = [Parameter(torch.zeros(200, 50)) for _ in range(2)]
        EmbeddingForgetting(every=1, std=0.02, seed=seed).apply(steps, parameters)
        return parameters

    one, two = drawn(0, 5)
    assert torch.equal(drawn(0, 5)[0], one)
    assert one.std().item() == pytest.approx(0.02, rel=0.05)
    for other in (two, drawn(1, 5)[0], drawn(0, 6)[0]):
        assert not torch.isclose(other, one, rtol=1e-6, atol=0).any()


def test_a_model_forgets_the_fields_that_it_is_told_to():
    plain, forgetful = net(), net()
    plain.fit(batches(), 4)
    keys = {"forgetting": EmbeddingForgetting(every=3), "forgotten_fields": [1]}
    forgetful.fit(batches(), 4, **keys)
    distance = [
        (a - b).abs().mean().item()
        for a, b in zip(plain.embeddings([0, 1, 2]), forgetful.embeddings([0, 1, 2]), strict=True)
    ]
    assert distance[1] > 0.5, "drawn anew before the last step"
    assert max(distance[0], distance[2]) < 0.1
    with pytest.raises(ValueError, match="go together"):
        net().fit(batches(), 1, forgetting=EmbeddingForgetting())
    with pytest.raises(ValueError, match="has embeddings"):
        net("words").fit(batches(), 1, **keys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"every": 0}, "every is an integer from 1"),
        ({"until": 0}, "until is an integer from 1"),
        ({"std": -1.0}, "std is a number from 0"),
    ],
)
def test_forgetting_refuses_bad_arguments(arguments: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        EmbeddingForgetting(**arguments)
