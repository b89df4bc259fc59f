"""Memories as sequence models: what they read, how they train, go on after a stop, and are judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="sequence models need torch")

from memgym.agents.nn.fitting import minimise, parameter_groups  # noqa: E402
from memgym.agents.nn.forgetting import EmbeddingForgetting  # noqa: E402
from memgym.agents.nn.recurrent import GRU  # noqa: E402
from memgym.agents.sequence_model import EVALUATION_STEPS, SequenceModel  # noqa: E402
from memgym.envs.streams import SequenceBatches  # noqa: E402

ENV_ID = "memgym/KeyValueRewriting-v0"
SMALL = {"num_steps": 16, "num_keys": 4, "capacity": 2, "vocabulary": 2}


def batches(**arguments: Any) -> SequenceBatches:
    return SequenceBatches(ENV_ID, **{"batch_size": 16, "backend": "numpy", **SMALL, **arguments})


def model(memory: str = "gru", inputs: Any = "words", config: Any = None, **arguments: Any) -> SequenceModel:
    return SequenceModel(batches().task, memory, config, inputs=inputs, size=16, **arguments)


def same_weights(one: SequenceModel, other: SequenceModel) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Stops:
    """Batches that are interrupted at one update, as by Ctrl-C."""

    def __init__(self, of: SequenceBatches, at: int) -> None:
        self.of, self.at, self.task = of, at, of.task

    def batch(self, b: int) -> Mapping[str, Any]:
        if b == self.at:
            raise KeyboardInterrupt
        return self.of.batch(b)


# ---------------------------------------------------------------------------- the network


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = model(seed=1)
    one.fit(batches(), 2)
    assert torch.equal(torch.rand(1), expected)
    torch.manual_seed(77)
    other = model(seed=1)
    other.fit(batches(), 2)
    assert same_weights(one, other)
    assert not same_weights(one, model(seed=2))


def test_a_memory_without_resets_and_one_with_them_answer_alike_for_two_episodes_in_one_row():
    net = model()
    first, second = (torch.from_numpy(batches().batch(b)["tokens"]).transpose(0, 1) for b in range(2))
    reset = torch.zeros(32, 16, dtype=torch.bool)
    reset[16] = True
    with torch.no_grad():
        alone, _ = net(second, net.initial_state(16))
        joined, _ = net(torch.cat([first, second]), net.initial_state(16), reset)
        leaking, _ = net(torch.cat([first, second]), net.initial_state(16))
    torch.testing.assert_close(joined[16:], alone)
    assert (leaking[16:] - alone).abs().max() > 1e-3


def test_words_reach_a_word_model_as_the_environment_shows_them():
    net, task = model(), batches(split="test").task
    tokens = batches(split="test").batch(0)["tokens"]
    seen = []
    net.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))  # type: ignore[union-attr, operator]
    net.encoder(torch.from_numpy(tokens))
    np.testing.assert_array_equal(seen[0], task.observe(tokens))


def test_blocks_share_the_bytes_of_state():
    assert model("gru", config={"hidden": 8}).state_nbytes() == 32
    assert model("gru", config={"hidden": 8}, num_blocks=3).state_nbytes() == 96


@pytest.mark.parametrize(
    ("task", "arguments", "words"),
    [
        ((5, 5), {"num_answers": 4}, 'inputs is "ids" where there is no task'),
        ((5, 5), {"inputs": "ids"}, "num_answers is an integer"),
        (None, {"num_answers": 4}, "the task's own"),
        (None, {"inputs": "sounds"}, "inputs is 'words' or 'ids'"),
        (None, {"size": 0}, "size is an integer from 1"),
        (None, {"config": {"hidde": 3}}, "hidde"),
    ],
)
def test_arguments_that_do_not_go_together_are_named(task, arguments, words):
    with pytest.raises(ValueError, match=words):
        SequenceModel(task or batches().task, "gru", **arguments)


# ---------------------------------------------------------------------------- training


def test_only_answers_that_are_due_are_learned_from():
    class Altered:
        def __init__(self, where: str) -> None:
            self.where = where

        def batch(self, b: int) -> dict[str, Any]:
            batch = dict(batches().batch(b))
            due = batch["mask"]
            if self.where == "due":
                batch["targets"] = np.where(due, 1 - np.minimum(batch["targets"], 1), batch["targets"])
            else:
                batch["mask"] = np.zeros_like(due)  # not read: the targets say what is due
            return batch

    plain, masked, wrong = model(), model(), model()
    plain.fit(batches(), 2)
    masked.fit(Altered("elsewhere"), 2)
    wrong.fit(Altered("due"), 2)
    assert same_weights(plain, masked)
    assert not same_weights(plain, wrong)


def test_training_on_the_test_split_is_refused_and_judging_by_it_is_not():
    net = model()
    for train in (net.fit, net.pretrain):
        with pytest.raises(ValueError, match="test split"):
            train(batches(split="test"), 1)
    assert 0 <= net.accuracy(batches(split="test"), 1) <= 1


def test_a_memory_learns_to_answer_and_a_control_without_memory_does_not():
    accuracy = {}
    for name in ("gru", "mlp"):
        net = model(name)
        losses = net.fit(batches(batch_size=32), 150, learning_rate=1e-2)
        assert losses[-10:].mean() < losses[:10].mean()
        accuracy[name] = net.accuracy(batches(seed=10**6, batch_size=200), 1)
    floor = max(batches().task.constant_scores)  # type: ignore[attr-defined]
    assert accuracy["mlp"] < floor + 0.05
    assert accuracy["gru"] > floor + 0.2


@pytest.mark.parametrize("inputs", ["words", "ids"])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, inputs: Any):
    options: dict[str, Any] = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_every": 3}
    if inputs == "ids":
        options |= {"forgetting": EmbeddingForgetting(every=4), "forgotten_fields": [1]}
    whole, stopped, resumed = (model(inputs=inputs) for _ in range(3))
    without_file = {**options, "checkpoint": None}
    losses = whole.fit(batches(), 10, **without_file)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Stops(batches(), 8), 10, **options)
    # what is left was made before the stop: the file says six updates, and other batches would be noticed
    assert torch.equal(resumed.fit(batches(), 10, **options), losses)
    assert same_weights(whole, resumed)
    assert not same_weights(whole, stopped)
    finished = model(inputs=inputs)
    assert torch.equal(finished.fit(Stops(batches(), 9), 10, **options), losses), "nothing is left to train"
    assert same_weights(whole, finished)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_without_adams_moments_would_not_give_the_same_weights(tmp_path: Path):
    """The control: going on from the weights alone is another run."""
    whole, stopped, resumed = model(), model(), model()
    whole.fit(batches(), 6)
    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Stops(batches(), 3), 6, checkpoint=file, checkpoint_every=3)
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, "pt") as opened:
        header = opened.metadata()
        kept = {name: opened.get_tensor(name) for name in opened.keys() if "adam/" not in name}  # noqa: SIM118
    save_file(kept, file, header)
    resumed.fit(batches(), 6, checkpoint=file, checkpoint_every=3)
    assert not same_weights(whole, resumed)


def test_a_checkpoint_of_another_run_or_none_is_refused(tmp_path: Path):
    file = tmp_path / "run.safetensors"
    model().fit(batches(), 2, checkpoint=file)
    for net, options in [(model(), {"learning_rate": 1e-3}), (model(seed=3), {}), (model("rnn"), {})]:
        with pytest.raises(ValueError, match="of another run"):
            net.fit(batches(), 2, checkpoint=file, **options)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="is no checkpoint"):
        model().fit(batches(), 2, checkpoint=file)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_number():
    net = torch.nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="loss of update 3"):
        minimise(net, lambda u: net(torch.ones(1)).sum() / (u != 3), num_updates=9)


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_weights_are_lost():
    net = torch.nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="gradient of update 3"):
        minimise(net, lambda u: (net(torch.ones(1)).sum() * (u != 3)).abs().sqrt(), num_updates=9)
    assert all(torch.isfinite(weights).all() for weights in net.parameters())


def test_parameters_with_a_learning_rate_of_their_own_get_it_wherever_they_lie():
    class Slow(GRU):
        def lr_scales(self) -> dict[str, float]:
            return {"core.weight_ih_l0": 0.1}

    module = torch.nn.ModuleDict({"inside": torch.nn.Sequential(Slow(3, 3, hidden=2))})
    groups = {(g["lr"], g["weight_decay"]): g["params"] for g in parameter_groups(module, 1.0, 0.5)}
    slow = module["inside"][0]  # type: ignore[index]
    assert [p is slow.core.weight_ih_l0 for p in groups[0.1, 0.0]] == [True]
    assert {p.dim() for p in groups[1.0, 0.5]} == {2}
    assert {p.dim() for p in groups[1.0, 0.0]} == {1}
    assert sum(len(group) for group in groups.values()) == len(list(module.parameters()))


# ---------------------------------------------------------------------------- evaluation


def test_accuracy_counts_answers_that_are_due_and_no_others():
    net = model()
    batch = batches().batch(0)
    tokens = torch.from_numpy(batch["tokens"]).transpose(0, 1)
    with torch.no_grad():
        answers = net(tokens, net.initial_state(16))[0].argmax(-1).T.numpy()
    expected = (answers == batch["targets"])[batch["mask"]].mean()
    assert net.accuracy(batches(), 1) == pytest.approx(expected)


def test_accuracy_of_long_sequences_is_that_of_one_pass():
    long = batches(num_steps=2 * EVALUATION_STEPS + 10, batch_size=4)
    net, batch = model(), long.batch(0)
    tokens = torch.from_numpy(batch["tokens"]).transpose(0, 1)
    with torch.no_grad():
        answers = net(tokens, net.initial_state(4))[0].argmax(-1).T.numpy()
    assert net.accuracy(long, 1) == pytest.approx((answers == batch["targets"])[batch["mask"]].mean())


# ---------------------------------------------------------------------------- torch's loader


@pytest.mark.parametrize("workers", [{"num_workers": 0}, {"num_workers": 2, "persistent_workers": True}])
def test_epochs_are_of_new_episodes_where_that_is_wanted(workers: dict[str, Any]):
    from torch.utils.data import DataLoader

    data = batches(num_batches=3).as_torch()
    loader = DataLoader(data, batch_size=None, **workers)

    def episodes() -> set[bytes]:
        return {row.numpy().tobytes() for batch in loader for row in batch["tokens"]}

    first = episodes()
    assert episodes() == first, "a pass is the same each time"
    data.set_epoch(1)
    second = episodes()
    expected = {row.tobytes() for b in range(3, 6) for row in batches().batch(b)["tokens"]}
    assert second == expected
    assert second != first
    data.set_epoch(0)
    assert episodes() == first


def test_batches_without_end_have_but_one_epoch():
    with pytest.raises(ValueError, match="set_epoch needs num_batches"):
        batches().as_torch().set_epoch(1)
