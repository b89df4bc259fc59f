"""TRL's `GRPOTrainer` learns from the samples of memory managers: what it is given, and how it goes on."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("trl", reason="needs trl: pip install 'memgym[train]'")

from memgym.agents.llm.lora import add_lora, base_weights  # noqa: E402
from memgym.agents.llm.manager import MemoryManager  # noqa: E402
from memgym.baselines.checkpoints import remove_checkpoint  # noqa: E402
from memgym.baselines.manager import models, trl_learner  # noqa: E402
from memgym.baselines.manager.dialogues import Bank  # noqa: E402
from memgym.baselines.manager.network import Row, score_replies  # noqa: E402
from memgym.baselines.manager.rollouts import Sample  # noqa: E402
from memgym.baselines.manager.run import SAMPLE, make_manager  # noqa: E402
from memgym.baselines.manager.training import Plan  # noqa: E402
from memgym.baselines.manager.trl_learner import learn_by_trl  # noqa: E402
from memgym.baselines.tiny_model import TinyPlan  # noqa: E402
from memgym.errors import DependencyMissing  # noqa: E402
from memgym.memory import MemoryOp  # noqa: E402

pytestmark = pytest.mark.slow

GROUP = 4
RATES = {"epochs": 2, "group_size": GROUP, "learning_rate": 3e-3, "seed": 0}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MemoryManager:
    torch.set_num_threads(1)
    monkeypatch.setattr(models, "TinyPlan", partial(TinyPlan, episodes=4, vocab_size=600))
    return make_manager(Plan("local", width=32, layers=1), 0)


class Sampler:
    """Half of each group leaves memory alone, half adds; groups as many as `counts` says, in turn.

    Args:
        manager: whose replies they are.
        worth: outcome of leaving memory alone, and of adding.
        counts: of groups in each rollout.
        stop: number of the rollout at which it is interrupted.
    """

    def __init__(
        self,
        manager: MemoryManager,
        worth: tuple[float, float] = (1.0, 0.0),
        counts: Sequence[int] = (3,),
        stop: int | None = None,
    ) -> None:
        [prompt] = manager.prompts([SAMPLE])
        ops = (MemoryOp.noop(), MemoryOp.add(SAMPLE.text))
        self.rows = [Row(prompt, manager.reply(op, SAMPLE)) for op in ops]
        self.manager, self.worth, self.counts, self.stop = manager, worth, counts, stop
        self.asked: list[int] = []

    def __call__(self, number: int) -> list[Sample]:
        self.asked.append(number)
        if number == self.stop:
            raise KeyboardInterrupt
        return [
            Sample(self.rows[i % 2], self.worth[i % 2], group, Bank(), 0, 0, is_malformed=False)
            for i in range(GROUP)  # the groups one after the other in the end
            for group in range(self.counts[number % len(self.counts)])
        ]

    def preference(self) -> float:
        """By how many nats the model would rather leave memory alone than add."""
        with torch.no_grad():
            noop, add = (float(score_replies(self.manager.model, [row]).logprobs.sum()) for row in self.rows)
        return noop - add


def weights(manager: MemoryManager) -> list[Any]:
    return [weight.detach().clone() for weight in manager.model.parameters()]


def same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_came_out_better_gets_likelier(manager: MemoryManager, sign: int) -> None:
    sampler = Sampler(manager, worth=(1.0, 0.0) if sign == 1 else (0.0, 1.0))
    before = sampler.preference()
    played = learn_by_trl(manager, sampler, rollouts=3, settings={}, **RATES)
    assert played == [(0.5, 0.0)] * 3
    assert sign * (sampler.preference() - before) > 1


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_adapters_learn_in_the_place_of_the_model(manager: MemoryManager) -> None:
    pytest.importorskip("peft", reason="needs peft: pip install 'memgym[train]'")
    manager.adapters = add_lora(manager.model, 4, seed=0)
    sampler = Sampler(manager)
    before, base = sampler.preference(), {n: w.clone() for n, w in base_weights(manager.model).items()}
    learn_by_trl(manager, sampler, rollouts=3, settings={}, **RATES)
    assert sampler.preference() > before
    assert all(torch.equal(weight, base[name]) for name, weight in base_weights(manager.model).items())


def test_what_came_out_the_same_teaches_nothing(manager: MemoryManager) -> None:
    before = weights(manager)
    learn_by_trl(manager, Sampler(manager, worth=(0.5, 0.5)), rollouts=2, settings={}, **RATES)
    assert same(before, weights(manager))


@pytest.mark.parametrize("counts", [(3, 2), (2, 3), (1, 4), (4, 1)])
def test_rollouts_of_other_lengths_teach_the_same(manager: MemoryManager, counts: tuple[int, ...]) -> None:
    sampler = Sampler(manager, counts=counts)
    before = sampler.preference()
    (outcome, _), *_ = learn_by_trl(manager, sampler, rollouts=2, settings={}, **RATES)
    assert outcome == 0.5
    assert sampler.preference() - before > 1


def test_groups_that_say_nothing_are_left_out_first_and_copies_say_nothing(manager: MemoryManager) -> None:
    told = [sample for sample in Sampler(manager, counts=(2,))(0) if sample.group == 0]
    silent = [replace(sample, outcome=0.25) for sample in told]
    as_many: Callable[..., Any] = trl_learner._as_many
    assert as_many([silent, told, silent], 1) == [told]
    assert as_many([silent, told], 2) == [told, silent]
    more = as_many([told], 3)
    assert more[0] == told
    assert all(len({sample.outcome for sample in group}) == 1 for group in more[1:])


def test_an_interrupted_training_ends_as_if_it_had_not_been(
    manager: MemoryManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trl_learner, "KEPT_EVERY", 1)
    begun = {name: weight.clone() for name, weight in manager.model.state_dict().items()}
    whole = learn_by_trl(manager, Sampler(manager), rollouts=4, settings={"a": 1}, **RATES)
    expected = weights(manager)

    manager.model.load_state_dict(begun)
    folder = tmp_path / "run.trl"
    with pytest.raises(KeyboardInterrupt):
        learn_by_trl(manager, Sampler(manager, stop=2), rollouts=4, settings={"a": 1}, folder=folder, **RATES)
    assert not same(expected, weights(manager))
    cut_off = folder / "checkpoint-99"  # by a kill while it was written
    cut_off.mkdir()
    again = Sampler(manager)
    assert learn_by_trl(manager, again, rollouts=4, settings={"a": 1}, folder=folder, **RATES) == whole
    assert again.asked == [0, 2, 3]  # the first to see how many there are
    assert same(expected, weights(manager))

    with pytest.raises(ValueError, match="of another run"):
        learn_by_trl(manager, Sampler(manager), rollouts=4, settings={"a": 2}, folder=folder, **RATES)
    remove_checkpoint(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_ends(manager: MemoryManager) -> None:
    with pytest.raises(FloatingPointError, match="of update 1 is"):
        learn_by_trl(manager, Sampler(manager), rollouts=2, settings={}, **{**RATES, "learning_rate": 1e38})


def test_groups_of_another_size_are_refused(manager: MemoryManager) -> None:
    with pytest.raises(ValueError, match="compares 3 samples"):
        learn_by_trl(manager, Sampler(manager), rollouts=2, settings={}, **{**RATES, "group_size": 3})


@pytest.mark.parametrize("credit", ["ppo", "clone", "none", "mem-alpha"])
def test_trl_has_no_other_ways_to_learn(credit: str) -> None:
    with pytest.raises(ValueError, match="TRL learns by"):
        Plan(credit, learner="trl")


def test_without_trl_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(DependencyMissing, match=r"memgym\[train\]"):
        Plan("local", learner="trl")
