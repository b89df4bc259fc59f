"""Learning: the task needs memory, and what ships can use it."""

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch")
pytest.importorskip("sb3_contrib")

from stable_baselines3 import PPO  # noqa: E402

from memgym.agents.ppo_lstm import PPOLSTMAgent  # noqa: E402
from memgym.agents.ppo_memory import PPOMemoryAgent  # noqa: E402
from memgym.agents.sb3 import SB3VecEnv, success_rate  # noqa: E402
from memgym.baselines import train_ppo_lstm, train_ppo_memory  # noqa: E402
from memgym.baselines.reference import expected_file  # noqa: E402
from memgym.wrappers.memory_actions import MemoryActionsVector  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"
EPISODES = 500
# four standard deviations above the cue-blind line of three corridors, 0.5^3
CUE_BLIND = 0.125 + 4 * np.sqrt(0.125 * 0.875 / EPISODES)

COMMITTED_STUDY = json.loads(expected_file("memory_actions_n5_l10").read_text())


def unseen(num_corridors: int, **arguments: Any) -> gym.vector.VectorEnv:
    return gym.make_vec(
        ENV_ID,
        num_envs=EPISODES,
        num_corridors=num_corridors,
        split="test",
        autoreset_mode=AutoresetMode.SAME_STEP,
        **arguments,
    )


def load_example(name: str) -> Any:
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", [1, 3, 10])
def test_shipped_agents_solve_unseen_episodes_and_more_corridors(n):
    assert success_rate(PPOLSTMAgent().policy, unseen(n), seed=77) >= 0.95
    agent = PPOMemoryAgent()
    assert success_rate(agent.policy, MemoryActionsVector(unseen(n), agent.num_slots), seed=77) >= 0.95


def test_the_memory_agent_fails_when_it_cannot_see_its_memory():
    agent = PPOMemoryAgent()
    hidden = MemoryActionsVector(unseen(3), agent.num_slots, show=False)
    assert success_rate(agent.policy, hidden, seed=77) <= CUE_BLIND


def test_the_lstm_agent_fails_when_its_state_is_taken_away():
    policy = PPOLSTMAgent().policy

    class Amnesiac:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
        ):
            return policy.predict(observation, None, np.ones(len(observation), bool), deterministic)

    assert success_rate(Amnesiac(), unseen(3), seed=77) <= CUE_BLIND


def test_the_training_scripts_write_agents_that_load(tmp_path, capsys):
    for script, agent in ((train_ppo_lstm, PPOLSTMAgent), (train_ppo_memory, PPOMemoryAgent)):
        stem = tmp_path / script.__name__.rpartition(".")[2]
        script.main(["--out", str(stem), "--total-steps", "100", "--num-corridors", "1", "--seed", "3"])
        card = agent(stem).card
        assert card.training_steps >= 100
        assert card.extra["seed"] == 3
        assert "success_n10" in capsys.readouterr().out


@pytest.fixture
def study() -> Any:
    pytest.importorskip("matplotlib")
    from memgym.baselines import study_memory_actions

    return study_memory_actions


def tiny(study: Any) -> list[train_ppo_memory.Config]:
    small = {"num_envs": 8, "minibatches": 1, "rollout_steps": 32, "epochs": 1, "eval_episodes": 4}
    return [
        replace(stage, total_steps=5 * 8 * 32, num_corridors=1, corridor_length=length, **small)
        for stage, length in zip(study.STAGES, (1, 2), strict=True)
    ]


def test_the_committed_study_shows_that_ppo_uses_its_memory_and_needs_it():
    runs = {}
    for run in COMMITTED_STUDY["runs"]:
        assert run["eval"]["episodes"] == 1000
        runs.setdefault(run["condition"], {})[run["seed"]] = run["eval"]["success_n5"]
    assert set(runs) == {"memory", "hidden", "no_wrapper"}
    assert all(list(by_seed) == [0, 1, 2, 3, 4] for by_seed in runs.values())
    chance = 0.5**5
    assert COMMITTED_STUDY["chance"] == chance
    assert min(runs["memory"].values()) >= 0.95
    at_chance = chance + 5 * np.sqrt(chance * (1 - chance) / 1000)
    assert max([*runs["hidden"].values(), *runs["no_wrapper"].values()]) <= at_chance


def test_the_committed_study_is_of_the_present_settings(study):
    assert COMMITTED_STUDY["stages"] == [asdict(stage) for stage in study.STAGES]
    task = COMMITTED_STUDY["stages"][-1]
    assert (task["num_corridors"], task["corridor_length"]) == (5, 10)
    assert COMMITTED_STUDY["conditions"] == study.CONDITIONS
    assert COMMITTED_STUDY["seeds"] == list(study.SEEDS)
    assert COMMITTED_STUDY["command"] == study.COMMAND
    assert study.plot(COMMITTED_STUDY).startswith(b"\x89PNG")
    assert expected_file(study.NAME).with_suffix(".png").is_file()


def test_every_run_of_the_committed_study_took_the_same_steps_and_has_a_whole_curve(study):
    (steps,) = {run["steps"] for run in COMMITTED_STUDY["runs"]}
    assert steps >= sum(stage.total_steps for stage in study.STAGES)
    (curve,) = {tuple(run["curve"]["steps"]) for run in COMMITTED_STUDY["runs"]}
    assert (curve[0], curve[-1]) == (0, steps)
    assert list(curve) == sorted(set(curve))
    assert all(len(run["curve"]["success"]) == len(curve) for run in COMMITTED_STUDY["runs"])


def test_the_study_keeps_finished_runs_and_refuses_those_of_other_settings(study, tmp_path, capsys):
    stages = tiny(study)
    study.run_study(tmp_path, stages, seeds=(0,), conditions=["memory"])
    study.run_study(tmp_path, stages, seeds=(0, 1), conditions=["memory"])
    told = capsys.readouterr().out
    assert told.count("memory, seed 0") == 1
    assert told.count("memory, seed 1") == 1
    run = json.loads(study.run_file(tmp_path, "memory", 1).read_text())
    assert run["curve"]["steps"] == [
        0,
        1024,
        1280,
        2304,
        2560,
    ]  # the second stage goes on where the first ends
    assert [stage["seed"] for stage in run["stages"]] == [1, 1]
    other = [replace(stage, gamma=0.5) for stage in stages]
    with pytest.raises(ValueError, match="another configuration"):
        study.run_study(tmp_path, other, seeds=(0,), conditions=["memory"])


@pytest.mark.parametrize(
    ("condition", "observation", "actions"), [("memory", 7, 2), ("hidden", 7, 2), ("no_wrapper", 3, 1)]
)
def test_the_conditions_differ_in_the_memory_alone(study, condition, observation, actions):
    config = replace(tiny(study)[-1], **study.CONDITIONS[condition])
    envs = train_ppo_memory.make_envs(config, "test", 4, config.num_corridors)
    assert envs.single_observation_space.shape == (observation,)
    shape = (4, actions) if condition != "no_wrapper" else (4,)
    assert envs.action_space.shape == shape
    envs.reset(seed=0)
    write = np.tile([0, 1], (4, 1)) if condition != "no_wrapper" else np.zeros(4, np.int64)
    seen, *_ = envs.step(write)
    assert seen[:, 3:].any() == (condition == "memory")


def test_drawing_the_curve_does_not_change_the_agent(study):
    config = tiny(study)[-1]
    curve = study.GreedyCurve(train_ppo_memory.make_envs(config, "test", 4, config.num_corridors))
    plain, watched = train_ppo_memory.train(config)[0], train_ppo_memory.train(config, [curve])[0]
    other = train_ppo_memory.train(replace(config, seed=1))[0]

    def same(one: Any, two: Any) -> bool:
        weights = (one.policy.state_dict(), two.policy.state_dict())
        return all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])

    assert len(curve.steps) == 3
    assert same(plain, watched)
    assert not same(plain, other)


def test_a_second_stage_trains_the_same_agent_further(study):
    first, second = tiny(study)
    model, _ = train_ppo_memory.train(first)
    before = model.policy.action_net.weight.clone()
    again, _ = train_ppo_memory.train(second, model=model)
    assert again is model
    assert not torch.equal(before, model.policy.action_net.weight)
    envs = again.get_env()
    envs.reset()
    seen, *_ = envs.step(np.zeros((second.num_envs, 2), np.int64))
    assert (seen[:, 0] == 1 / second.corridor_length).all()


@pytest.mark.slow
def test_ppo_without_memory_stays_at_the_cue_blind_line():
    envs = SB3VecEnv(
        gym.make_vec(ENV_ID, num_envs=128, num_corridors=3, autoreset_mode=AutoresetMode.SAME_STEP)
    )
    envs.seed(0)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=64,
        batch_size=1024,
        n_epochs=6,
        learning_rate=2e-3,
        gamma=0.98,
        seed=0,
        device="cpu",
    )
    model.learn(700_000)
    assert success_rate(model, unseen(3), seed=0) <= CUE_BLIND


@pytest.mark.slow
def test_memory_actions_are_learned_from_scratch_and_only_where_memory_shows():
    found = []
    for seed in (0, 1):  # a second try: one seed in several may fail
        _, run = train_ppo_memory.train(train_ppo_memory.Config(seed=seed))
        found.append(run["eval"]["success_n3"])
        if found[-1] >= 0.9:
            break
    assert found[-1] >= 0.9, found
    _, blind = train_ppo_memory.train(
        train_ppo_memory.Config(seed=1, show_memory=False, total_steps=300_000, eval_episodes=EPISODES)
    )
    assert blind["eval"]["success_n3"] <= CUE_BLIND


@pytest.mark.slow
def test_the_single_file_example_learns_to_remember():
    curve = load_example("cleanrl_style_ppo").main(total_steps=250_000)
    assert curve[0][1] < 0.5, "before learning it is at most at chance"
    assert np.mean([success for _, success in curve[-5:]]) > 0.9
