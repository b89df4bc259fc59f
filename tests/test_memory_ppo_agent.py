"""A trained MemoryPPO is an agent of memgym's own protocol, with or without memory slots and auxiliary targets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO, make_agent  # noqa: E402
from memgym.agents.ppo import ObservationInvalid, PrivilegedTargets, RewardInvalid  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402
from memgym.checks import check_agent  # noqa: E402
from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"


def make_envs(num_envs: int = 8, env_id: str = ENV_ID, **arguments: Any) -> Any:
    return gym.make_vec(env_id, num_envs=num_envs, backend="numpy", **arguments)


def make_model(cell: str = "gru", env: Any = None, **arguments: Any) -> MemoryPPO:
    small = {"n_steps": 16, "n_epochs": 2, "n_minibatches": 2, "seed": 0, "policy_kwargs": {"size": 16}}
    return MemoryPPO(cell, make_envs() if env is None else env, **{**small, **arguments})


# ---------------------------------------------------------------------- the protocol


@pytest.mark.parametrize("cell", ["mlp", "lstm", "gtrxl", "bmojo", "shm"])
def test_keeps_the_protocol_of_agents(cell: str):
    check_agent(make_model(cell).learn(256), ENV_ID)


def test_the_card_tells_what_it_is():
    card = make_model("lstm", module_kwargs={"hidden": 8}, name="mine").learn(256).card
    assert (card.name, card.kind, card.privileged) == ("mine", "rl", False)
    assert card.training_steps >= 256
    assert card.trained_on == (ENV_ID,)
    assert tuple(card.extra[name] for name in ("cell", "module_kwargs", "seed")) == ("lstm", {"hidden": 8}, 0)
    json.dumps(card.to_dict())


def test_memory_is_counted_by_environment():
    model = make_model("lstm", module_kwargs={"hidden": 8})
    _, one = model.predict(np.zeros(3, np.float32))
    _, five = model.predict(np.zeros((5, 3), np.float32))
    assert tuple(map(model.memory_nbytes, (None, one, five))) == (0, 2 * 8 * 4, 5 * 2 * 8 * 4)


def test_what_it_cannot_play_it_declines_with_the_reason():
    model = make_model()
    assert model.cannot_play(gym.make(ENV_ID, num_corridors=50)) == ""
    assert "observations" in model.cannot_play(gym.make(ENV_ID, junction_visible=True))
    assert "control" in model.cannot_play(gym.make("memgym/DialogueMemory-v0"))


@pytest.mark.parametrize(
    "observation",
    [
        np.zeros(4),
        np.zeros((2, 4)),
        np.zeros((0, 3)),
        "text",
        None,
        [np.nan, 0, 0],
        [[0, 0, 0], [0, np.inf, 0]],
        [1e300] * 3,
    ],
    ids=str,
)
def test_an_observation_that_it_cannot_read_is_named(observation: Any):
    with pytest.raises(ObservationInvalid):
        make_model().predict(observation)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {**state, "more": np.zeros((2, 1))},
        lambda state: {},
        lambda state: tuple(state.values()),
        lambda state: {name: part[:1] for name, part in state.items()},
        lambda state: {name: part[:, :3] for name, part in state.items()},
        lambda state: {name: part.astype(object) for name, part in state.items()},
    ],
    ids=["more", "empty", "tuple", "fewer", "narrow", "objects"],
)
def test_a_state_of_another_agent_is_named(change: Any):
    model, batch = make_model(), np.zeros((2, 3), np.float32)
    _, state = model.predict(batch)
    with pytest.raises(ObservationInvalid, match="state"):
        model.predict(batch, change(state))


def test_flags_for_another_number_of_environments_are_named():
    with pytest.raises(ObservationInvalid, match="3 flags for 2"):
        make_model().predict(np.zeros((2, 3), np.float32), episode_start=np.ones(3, bool))


# ---------------------------------------------------------------------- from the command line


def run_memgym(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memgym", *args]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def test_a_file_is_evaluated_by_its_name_and_replays(tmp_path: Path):
    pytest.importorskip("typer")
    make_model("lstm").learn(256).save(tmp_path / "lstm")
    out = str(tmp_path / "results")
    small = ["--episodes", "2", "--seeds", "1", "--workers", "1"]
    agent = str(tmp_path / "lstm.safetensors")
    told = run_memgym("evaluate", "--agent", agent, "--suite", "quickstart", "--out", out, *small)
    assert told.returncode == 0, told.stdout + told.stderr
    header = json.loads((tmp_path / "results" / "memory-ppo-lstm" / "submission.json").read_text())
    assert header["agent"]["extra"]["cell"] == "lstm"
    assert "t-maze-n3" in header["summary"]
    assert run_memgym("verify", out).returncode == 0


def test_a_bad_file_on_the_command_line_is_one_line_and_no_stack_trace(tmp_path: Path):
    pytest.importorskip("typer")
    make_model().save(tmp_path / "bad")
    file = tmp_path / "bad.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    told = run_memgym("evaluate", "-a", str(file), "-s", "rewriting", "-o", str(tmp_path / "results"))
    assert told.returncode == 1
    assert "truncated or damaged" in " ".join((told.stdout + told.stderr).split())
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "results").exists()


def test_make_agent_takes_the_name_of_a_file(tmp_path: Path):
    make_model("lstm").learn(128).save(tmp_path / "lstm")
    agent = make_agent(str(tmp_path / "lstm.safetensors"))
    assert agent.card.extra["cell"] == "lstm"
    assert {"lstm.json", "lstm.safetensors"} == {file.name for file in agent.files}
    with pytest.raises(WeightsInvalid, match="cannot read"):
        make_agent("nowhere/lstm.safetensors")


# ---------------------------------------------------------------------- memory slots


@pytest.mark.parametrize(("content", "slot_bytes"), [("observation", 2 * 3 * 4), ("bit", 1)])
def test_memory_slots_come_with_the_agent_and_are_counted(content: Any, slot_bytes: int, tmp_path: Path):
    model = make_model("lstm", MemoryActionsVector(make_envs(), num_slots=2, content=content))
    model.learn(256).save(tmp_path / "slots")
    agent = MemoryPPO.load(tmp_path / "slots")
    env = agent.wrap(gym.make(ENV_ID))
    assert isinstance(env, MemoryActions)
    assert (model.observation_space, model.action_space) == (env.observation_space, env.action_space)
    _, state = agent.predict(env.reset(seed=0)[0])
    assert agent.policy.backbone.state_nbytes() + slot_bytes == agent.memory_nbytes(state)
    assert {"num_slots": 2, "show": True, "content": content} == agent.card.extra["memory_actions"]
    assert agent.cannot_play(gym.make(ENV_ID)) == ""
    check_agent(agent, ENV_ID)


def test_an_agent_without_slots_leaves_the_environment_as_it_is():
    env = gym.make(ENV_ID)
    assert env is make_model().wrap(env)


# ---------------------------------------------------------------------- privileged targets


def told_accuracy(model: MemoryPPO, steps: int) -> float:
    model.learn(steps, log_interval=1 << 30)  # so that the log keeps what it was told last
    values = [v for name, v in model.logger.name_to_value.items() if name.startswith("train/aux_accuracy/")]
    return float(np.mean(values))


@pytest.mark.slow
def test_the_hidden_state_is_learned_from_memory_alone():
    def train(cell: str, coef: float) -> float:
        return told_accuracy(
            make_model(cell, make_envs(32), aux_targets=True, aux_coef=coef, n_epochs=4), 12_000
        )

    assert train("gru", 1.0) > 0.9
    assert train("mlp", 1.0) < 0.75, "where the cue is out of sight, nothing but a memory tells it"
    assert train("gru", 0.0) < 0.75


@pytest.mark.parametrize(
    ("env_id", "names"),
    [
        (ENV_ID, ["cue"]),
        ("memgym/ColorCubes-v0", ["cubes", "target"]),
        ("memgym/KeyValueRewriting-v0", ["memory", "answer"]),
        ("memgym/OrderRewriting-v0", ["memory", "answer"]),
        ("memgym/CountRewriting-v0", ["memory", "answer"]),
    ],
)
def test_targets_stand_on_the_card_and_not_in_the_network_that_acts(env_id: str, names: list[str]):
    model, plain = (
        make_model(env=make_envs(env_id=env_id), aux_targets=True),
        make_model(env=make_envs(env_id=env_id)),
    )
    model.learn(128)
    assert names == model.card.extra["privileged_training_targets"]
    assert "privileged_training_targets" not in plain.card.extra
    assert plain.card.parameters == model.card.parameters
    batch, _ = make_envs(env_id=env_id).reset(seed=3)
    before = model.predict(batch)[0]
    model.policy.aux_head.weight.data.fill_(float("nan"))
    np.testing.assert_array_equal(before, model.predict(batch)[0])


def test_the_cells_of_the_cubes_are_those_of_the_scalar_environments():
    from memgym.agents.ppo import privileged_targets

    envs = make_envs(4, "memgym/ColorCubes-v0")
    targets = privileged_targets(envs)
    envs.reset(seed=5)
    for i in range(4):
        one = gym.make("memgym/ColorCubes-v0").unwrapped
        one.reset(seed=5 + i)
        hidden: Any = one.oracle_state()  # type: ignore[attr-defined]
        told = targets.read()
        assert [x + 5 * y for x, y in hidden["cubes"]] == told["cubes"][i].tolist()
        assert [hidden["target"]] == told["target"][i].tolist()


def test_targets_of_another_environment_are_refused(tmp_path: Path):
    make_model(env=make_envs(), aux_targets=True).learn(128).save(tmp_path / "run")
    with pytest.raises(ValueError, match="privileged targets are known for memgym's vector environments"):
        make_model(env=gym.make_vec("CartPole-v1", num_envs=2), aux_targets=True)
    with pytest.raises(WeightsInvalid, match="auxiliary targets"):
        MemoryPPO.load(tmp_path / "run", make_envs(), aux_targets=False)


def test_targets_of_ones_own_are_read_and_checked():
    def targets(value: int) -> Any:
        read = lambda: {"x": np.full((8, 1), value)}  # noqa: E731
        return lambda env: PrivilegedTargets({"x": (1, 3)}, read)

    model = make_model(aux_targets=targets(2))
    assert told_accuracy(model, 2000) == pytest.approx(1.0)
    for value in (3, -2):
        with pytest.raises(RewardInvalid, match="privileged target 'x' is out of range"):
            make_model(aux_targets=targets(value)).learn(128)
