"""Stable-Baselines3 on a text memory: the policy compares slots, and the committed study shows that it learns."""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("matplotlib")

from stable_baselines3 import PPO  # noqa: E402

from memgym.agents.slot_policy import NUM_OPS, SlotFeatures, SlotPolicy  # noqa: E402
from memgym.baselines import study_dialogue_slots as study  # noqa: E402
from memgym.baselines.reference import expected_file  # noqa: E402
from memgym.wrappers import SlotActions, TokenObservation  # noqa: E402
from memgym.wrappers.tokens import token_ids  # noqa: E402

COMMITTED = json.loads(expected_file(study.NAME).read_text())
SPACE: Any = study.make_env("train").observation_space


def observed(said: str, *slots: str) -> dict[str, Any]:
    """Token observations of a turn and of what six slots hold, a batch of one."""
    memory = [token_ids(text, study.TEXT_TOKENS, study.VOCAB_SIZE) for text in slots]
    return {
        "phase": torch.tensor([[1, 0, 0]]),
        "text": torch.tensor(token_ids(said, study.TEXT_TOKENS, study.VOCAB_SIZE))[None],
        "memory": torch.tensor(np.stack(memory))[None],
        "filled": torch.tensor([[bool(text) for text in slots]]),
    }


def features() -> SlotFeatures:
    torch.manual_seed(0)
    return SlotFeatures(SPACE)


def scores(network: SlotFeatures, observation: dict[str, Any]) -> Any:
    first = network.first_score
    return network(observation)[0, first : first + network.num_slots].detach()


HELD = ("Wkrz: I live in Graz.", "Wkrz: my qbop is a Kia", "Vtul: my qbop is red", "", "Vtul: Oslo", "")


def test_slots_that_change_places_change_their_scores_and_nothing_else() -> None:
    network, order = features(), [3, 1, 5, 0, 2, 4]
    one = observed("Wkrz my qbop is a Lada now", *HELD)
    two = observed("Wkrz my qbop is a Lada now", *(HELD[i] for i in order))
    assert torch.allclose(scores(network, one)[order], scores(network, two))
    rest = [i for i in range(network.features_dim) if not 19 <= i < 25]
    assert torch.allclose(network(one)[:, rest], network(two)[:, rest])
    told_apart = {round(score, 5) for score in scores(network, one).tolist()}
    assert len(told_apart) == 5  # the two empty ones are alike


def test_words_that_training_never_showed_are_matched() -> None:
    """A weight on shared words of the same speaker finds the slot; the control: without a shared word it does not."""
    network: Any = features()
    layers = (network.slot[0], network.slot[2], network.score)
    with torch.no_grad():
        for layer, unit in zip(layers, (2, 0, 0), strict=True):
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[0, unit] = 1.0
    assert int(scores(network, observed("Wkrz the qbop gone", *HELD)).argmax()) == 1
    assert int(scores(network, observed("Vtul the qbop gone", *HELD)).argmax()) == 2
    assert scores(network, observed("Wkrz the zzyx gone", *HELD)).max() == 0


def test_a_slot_is_chosen_by_its_score_before_training() -> None:
    policy: Any = SlotPolicy(SPACE, spaces.MultiDiscrete([NUM_OPS, study.NUM_SLOTS]), lambda _: 0.0)
    weight = policy.action_net.weight[NUM_OPS:].detach()
    first = policy.features_extractor.first_score
    assert weight[:, first : first + study.NUM_SLOTS].argmax(1).tolist() == list(range(study.NUM_SLOTS))
    assert weight.diagonal(first).min() > 0.5


@pytest.mark.parametrize(
    "action_space", [spaces.MultiDiscrete([3, 5]), spaces.MultiDiscrete([3, 6, 4]), spaces.Discrete(3)]
)
def test_other_actions_are_refused(action_space: spaces.Space) -> None:
    with pytest.raises(ValueError, match=r"SlotActions\(num_slots=N\)"):
        SlotPolicy(SPACE, action_space, lambda _: 0.0)


def test_another_network_is_refused() -> None:
    env = study.make_env("train")
    with pytest.raises(ValueError, match="net_arch"):
        PPO(SlotPolicy, env, policy_kwargs={"net_arch": [64]}, device="cpu")


def tiny() -> study.Config:
    return study.Config(total_steps=128, num_envs=2, rollout_steps=64, epochs=1)


def test_a_saved_model_acts_as_before(tmp_path: Path) -> None:
    model = study.train(tiny())
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    env = study.make_env("test")
    observation, _ = env.reset(seed=3)
    for _ in range(30):
        action, _ = model.predict(observation, deterministic=True)
        assert action.tolist() == loaded.predict(observation, deterministic=True)[0].tolist()
        observation, *_ = env.step(action)


def test_what_a_condition_hides_is_zero_and_the_rest_is_not() -> None:
    seen = {}
    for name, changes in study.CONDITIONS.items():
        env = study.make_env("test", hide=changes.get("hide", ()))
        env.reset(seed=0)
        observation = env.step(np.array([1, 0]))[0]
        seen[name] = {part for part in ("text", "memory", "filled") if observation[part].any()}
    assert seen == {"memory": {"text", "memory", "filled"}, "hidden": {"text"}}


@pytest.mark.slow
def test_the_study_keeps_finished_runs_and_refuses_those_of_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"SEEDS": (0,), "AGENTS": ("recency",), "EPISODES": 2, "CURVE_EPISODES": 2}.items():
        monkeypatch.setattr(study, name, value)
    study.run_study(tmp_path, ["memory"], tiny())
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    study.run_study(tmp_path, ["memory"], tiny())
    told = capsys.readouterr().out
    assert told.count("memory, seed 0") == told.count("memory, seed 1") == 1
    run = json.loads(study.run_file(tmp_path, "memory", 1).read_text())
    assert run["curve"]["steps"] == [0, 128]
    assert run["config"]["seed"] == 1
    with pytest.raises(ValueError, match="another configuration"):
        study.run_study(tmp_path, ["memory"], replace(tiny(), gamma=0.5))


def test_the_committed_study_is_of_the_present_settings() -> None:
    config = json.loads(json.dumps(asdict(study.Config())))
    assert COMMITTED["config"] == {key: config[key] for key in config if key not in ("seed", "hide")}
    assert COMMITTED["task"] == study.TASK
    assert COMMITTED["conditions"] == json.loads(json.dumps(study.CONDITIONS))
    assert COMMITTED["seeds"] == list(study.SEEDS) == [0, 1, 2, 3, 4]
    assert COMMITTED["command"] == study.COMMAND
    assert list(COMMITTED["agents"]) == list(study.AGENTS)
    assert study.plot(COMMITTED).startswith(b"\x89PNG")
    assert expected_file(study.NAME).with_suffix(".png").is_file()


def test_the_committed_study_shows_that_ppo_beats_recency_and_needs_what_it_sees() -> None:
    found: dict[str, list[float]] = {name: [] for name in study.CONDITIONS}
    for run in COMMITTED["runs"]:
        found[run["condition"]].append(run["eval"]["score"])
    recency = COMMITTED["agents"]["recency"]["score"]
    assert all(len(scores) == 5 for scores in found.values())
    assert min(found["memory"]) > recency + 0.05
    assert max(found["hidden"]) <= recency


@pytest.mark.slow
def test_agents_beside_the_study_score_what_is_committed() -> None:
    for name in ("recency", "closed-book"):
        assert study.play_agent(name, study.EPISODES) == COMMITTED["agents"][name]


@pytest.mark.slow
def test_the_example_trains_and_tells_both_scores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[1] / "examples" / "train_sb3_dialogue.py"
    spec = importlib.util.spec_from_file_location("train_sb3_dialogue", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert {**example.TASK, "forget_rate": 0.25, "questions_per_session": 4} == study.TASK
    monkeypatch.setattr(example, "CONVERSATIONS", 2)
    example.main(total_steps=1024)
    told = capsys.readouterr().out
    assert "recency  0." in told
    assert "PPO      0." in told


def test_the_view_of_the_study_is_that_of_the_wrappers() -> None:
    env: gym.Env = study.make_env("train")
    assert isinstance(env, TokenObservation)
    assert isinstance(env.env, SlotActions)
