"""A memory manager learns from the outcome, and from nothing else: with outcomes of other banks it learns nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")

from memgym.agents.llm.manager import ManagerPolicy  # noqa: E402
from memgym.agents.llm.saved import CARD, SHIPPED, grpo_manager  # noqa: E402
from memgym.baselines.manager import models  # noqa: E402
from memgym.baselines.manager import run as run_module  # noqa: E402
from memgym.baselines.manager.dialogues import Source  # noqa: E402
from memgym.baselines.manager.measure import Measured, measure_baselines, measure_manager  # noqa: E402
from memgym.baselines.manager.rollouts import Sample  # noqa: E402
from memgym.baselines.manager.run import TEST_SEED, train_manager  # noqa: E402
from memgym.baselines.manager.training import Plan  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.baselines.tiny_model import TinyPlan  # noqa: E402
from memgym.rng import CounterRNG  # noqa: E402

# two facts and what becomes of them, in five turns
ENV = {
    **load_recipe("memory_manager").env,
    "turns_per_session": 1,
    "num_facts": 2,
    "update_rate": 1.0,
    "forget_rate": 0.0,
    "question_types": ["single-hop", "knowledge-update"],
}
PLAN = Plan(
    "local",
    width=32,
    layers=1,
    demonstrations=60,
    warm_up_updates=80,
    warm_up_rate=0.01,
    rollouts=24,
    episodes=8,
    epochs=6,
)


def learned(plan: Plan) -> Measured:
    """What a manager does after a training, on names and wordings that it has not seen."""
    torch.set_num_threads(1)
    manager, _ = train_manager(plan, ENV, 0)
    source = Source({**ENV, "split": "test"})
    return measure_manager(source, [source.dialogue(9, episode) for episode in range(30)], manager)


def shuffled(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples with each other's outcomes."""
    outcomes = [sample.outcome for sample in samples]
    CounterRNG(len(samples)).shuffle(outcomes)
    return [replace(sample, outcome=outcome) for sample, outcome in zip(samples, outcomes, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan", [PLAN, replace(PLAN, learner="trl", rollouts=16, epochs=3)], ids=["memgym", "trl"]
)
def test_a_manager_learns_to_update_from_the_outcome_alone(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plan.learner == "trl":
        pytest.importorskip("trl", reason="needs trl: pip install 'memgym[train]'")
    monkeypatch.setattr(models, "TinyPlan", partial(TinyPlan, episodes=4, vocab_size=600))
    before = learned(replace(PLAN, credit="none"))
    assert before.accuracy < 0.4
    after = learned(plan)
    assert after.accuracy > 0.85
    assert before.right["changed fact"] < 0.2 < 0.85 < after.right["changed fact"]

    original = run_module.SAMPLED["local"]
    monkeypatch.setitem(run_module.SAMPLED, "local", lambda *given: shuffled(original(*given)))
    assert learned(plan).accuracy < 0.4, "the control: outcomes of other banks teach nothing"


@pytest.mark.slow
def test_the_shipped_manager_does_what_its_card_says() -> None:
    told = json.loads((SHIPPED / CARD).read_text())["extra"]
    source = Source({**load_recipe(told["recipe"]).env, "split": "test"})
    dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(told["episodes"])]
    agent, plan = grpo_manager(), told["plan"]
    turns = max(len(dialogue.turns) for dialogue in dialogues)
    assert agent.card.training_steps == plan["rollouts"] * plan["episodes"] * turns
    policy = agent.make_policy()
    assert isinstance(policy, ManagerPolicy)
    found = measure_manager(source, dialogues, policy.manager)
    assert found.to_dict() == told["measured"]
    assert found.accuracy > 0.9 > measure_baselines(source, dialogues)["rules"]
