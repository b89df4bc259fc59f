"""Checkpoints of MemoryPPO: a run goes on bit for bit, and a bad file is a named error."""

import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402
from memgym.wrappers.memory_actions import MemoryActionsVector  # noqa: E402

SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
ROLLOUT = 6 * 8


def make_envs(mode: AutoresetMode = SAME, env_id: str = "memgym/EndlessTMaze-v0", **arguments: Any) -> Any:
    short = {"num_corridors": 2, "corridor_length": 2} if "TMaze" in env_id else {}
    return gym.make_vec(
        env_id, **{"num_envs": 6, "backend": "numpy", "autoreset_mode": mode, **short, **arguments}
    )


def make_slots(mode: AutoresetMode = SAME) -> Any:
    return MemoryActionsVector(make_envs(mode), num_slots=2)


def make_scalars(mode: AutoresetMode = SAME) -> Any:
    makers = [lambda: gym.make("memgym/EndlessTMaze-v0", num_corridors=1, corridor_length=2)] * 6
    return gym.vector.SyncVectorEnv(makers, autoreset_mode=mode)


def make_cubes(mode: AutoresetMode = SAME) -> Any:
    return make_envs(mode, "memgym/ColorCubes-v0")


def make_model(cell: str = "gru", env: Any = None, **arguments: Any) -> MemoryPPO:
    small = {"n_steps": 8, "n_epochs": 2, "n_minibatches": 2, "seed": 0, "policy_kwargs": {"size": 16}}
    return MemoryPPO(cell, make_envs() if env is None else env, **{**small, **arguments})


def everything(model: MemoryPPO) -> dict[str, torch.Tensor]:
    """Weights, and what the optimiser remembers."""
    names = {p: name for name, p in model.policy.named_parameters()}
    held = {
        f"{names[p]}/{key}": value
        for p, state in model._updater.optimizer.state.items()
        for key, value in state.items()
    }
    return {**model.policy.state_dict(), **held}


def assert_same(one: MemoryPPO, other: MemoryPPO) -> None:
    assert (one.num_timesteps, one.num_updates) == (other.num_timesteps, other.num_updates)
    left, right = everything(one), everything(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


# ---------------------------------------------------------------------- going on


CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "mlp": ("mlp", make_envs, {}),
    "lstm": ("lstm", make_envs, {}),
    "gtrxl": ("gtrxl", make_envs, {}),
    "shm-draws-at-random": ("shm", make_envs, {}),
    "s5-is-complex": ("s5", make_envs, {}),
    "bmojo-holds-bfloat16": ("bmojo", make_envs, {}),
    "engram-needs-ids": ("engram", make_envs, {}),
    "two-layers": ("gru", make_envs, {"policy_kwargs": {"size": 16, "num_layers": 2}}),
    "schedules": ("gru", make_envs, {"learning_rate": (1e-2, 1e-4), "ent_coef": (0.1, 0.0)}),
    "memory-actions": ("mlp", make_slots, {}),
    "auxiliary-targets": ("gru", make_cubes, {"aux_targets": True}),
    "scalar-environments": ("gru", make_scalars, {}),
}


@pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.name)
@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_from_its_file_bit_for_bit(case: str, mode: AutoresetMode, tmp_path: Path):
    cell, make, arguments = CASES[case]
    whole = make_model(cell, make(mode), **arguments).learn(3 * ROLLOUT)
    whole.save(tmp_path / "run")
    parts = MemoryPPO.load(tmp_path / "run", make(mode))
    assert_same(whole, parts)
    whole.learn(3 * ROLLOUT)
    parts.learn(3 * ROLLOUT)
    assert_same(whole, parts)
    assert whole._collector is not None
    assert parts._collector is not None
    assert whole._collector.recent == parts._collector.recent


def test_a_run_in_other_episodes_is_another_run(tmp_path: Path):
    """The negative control: without its environments' place, the same weights go another way."""
    whole = make_model().learn(3 * ROLLOUT)
    whole.save(tmp_path / "run")
    parts = MemoryPPO.load(tmp_path / "run")
    parts.set_env(make_envs())
    whole.learn(ROLLOUT)
    parts.learn(ROLLOUT)
    left, right = everything(whole), everything(parts)
    assert not torch.equal(left["encoder.weight"], right["encoder.weight"])


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.name)
def test_a_run_broken_off_in_a_rollout_goes_on_from_the_last_update(
    mode: AutoresetMode, error: type[BaseException], tmp_path: Path
):
    def interrupt(names: dict[str, Any], _: Any) -> None:
        if names["self"].num_timesteps > 3.5 * ROLLOUT:
            raise error

    whole, broken = make_model(env=make_envs(mode)), make_model(env=make_envs(mode))
    whole.learn(1).learn(1).learn(1)
    with pytest.raises(error):
        broken.learn(100 * ROLLOUT, interrupt)
    broken.save(tmp_path / "run")
    parts = MemoryPPO.load(tmp_path / "run", make_envs(mode))
    while whole.num_updates < parts.num_updates:
        whole.learn(1)
    assert_same(whole, parts)
    assert_same(whole.learn(2 * ROLLOUT), parts.learn(2 * ROLLOUT))
    broken.learn(ROLLOUT)
    assert broken.num_updates > 3


def test_a_file_written_in_the_middle_of_a_rollout_is_that_of_the_last_update(tmp_path: Path):
    def save(names: dict[str, Any], _: Any) -> None:
        names["self"].save(tmp_path / f"at{names['self'].num_timesteps}")

    whole = make_model().learn(2 * ROLLOUT, save)
    middle = MemoryPPO.load(tmp_path / f"at{ROLLOUT + 12}", make_envs())
    assert middle.num_timesteps == ROLLOUT
    assert_same(whole, middle.learn(ROLLOUT))


def test_loading_and_saving_again_loses_nothing(tmp_path: Path):
    whole = make_model().learn(2 * ROLLOUT)
    whole.save(tmp_path / "one")
    MemoryPPO.load(tmp_path / "one").save(tmp_path / "two")  # without environments
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert_same(whole.learn(ROLLOUT), MemoryPPO.load(tmp_path / "two", make_envs()).learn(ROLLOUT))


def test_a_file_after_set_env_begins_in_the_new_environments(tmp_path: Path):
    whole = make_model().learn(2 * ROLLOUT)
    whole.set_env(make_envs(num_corridors=3))
    whole.save(tmp_path / "run")
    parts = MemoryPPO.load(tmp_path / "run", make_envs(num_corridors=3))
    assert_same(whole.learn(ROLLOUT), parts.learn(ROLLOUT))


def test_other_environments_are_noticed_when_the_run_goes_on(tmp_path: Path):
    make_model().learn(2 * ROLLOUT).save(tmp_path / "run")
    model = MemoryPPO.load(tmp_path / "run", make_envs(corridor_length=7))
    with pytest.raises(WeightsInvalid, match="reset_num_timesteps=True"):
        model.learn(ROLLOUT)
    assert model.learn(ROLLOUT, reset_num_timesteps=True).num_timesteps == ROLLOUT


# ---------------------------------------------------------------------- what is in the files


def test_files_are_numbers_and_json_alone(tmp_path: Path):
    make_model("s5").learn(ROLLOUT).save(tmp_path / "deep" / "run.zip")
    files = sorted((tmp_path / "deep").iterdir())
    assert [file.name for file in files] == ["run.json", "run.safetensors"]
    content = json.loads(files[0].read_text())
    assert content["format"] == "memgym-ppo-1"
    assert content["card"]["training_steps"] == content["training"]["num_timesteps"] == ROLLOUT
    blob = files[1].read_bytes()
    header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    assert {"F32", "I64", "U8"} <= {
        entry["dtype"] for name, entry in header.items() if name != "__metadata__"
    }
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(blob)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stem = tmp_path_factory.mktemp("original") / "run"
    make_model().learn(2 * ROLLOUT).save(stem)
    return stem


@pytest.fixture
def copied(original: Path, tmp_path: Path) -> Path:
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"run{suffix}").write_bytes(original.with_suffix(suffix).read_bytes())
    return tmp_path / "run"


def test_a_failing_disk_leaves_the_old_files(copied: Path, monkeypatch: pytest.MonkeyPatch):
    model = MemoryPPO.load(copied, make_envs()).learn(ROLLOUT)
    write = Path.write_bytes

    def fail(self: Path, data: bytes) -> int:
        if ".json" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        model.save(copied)
    assert sorted(file.name for file in copied.parent.iterdir()) == ["run.json", "run.safetensors"]
    assert MemoryPPO.load(copied).num_updates == 2


def save_and_die(model: MemoryPPO, stem: Path, method: str, suffix: str) -> None:
    """The run is killed in a method of Path that comes to the file with this suffix."""
    whole = getattr(Path, method)

    def die(self: Path, argument: Any) -> Any:
        if suffix in self.name:
            raise KeyboardInterrupt
        return whole(self, argument)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, method, die)
        with pytest.raises(KeyboardInterrupt):
            model.save(stem)


def test_a_run_killed_between_its_two_files_is_read(copied: Path):
    model = MemoryPPO.load(copied, make_envs()).learn(ROLLOUT)
    save_and_die(model, copied, "replace", ".json")
    assert_same(model, MemoryPPO.load(copied, make_envs()))


@pytest.mark.parametrize("method", ["write_bytes", "replace"])
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_run_killed_twice_is_read(copied: Path, method: str, suffix: str):
    model = MemoryPPO.load(copied, make_envs()).learn(ROLLOUT)
    save_and_die(model, copied, "replace", ".json")
    further = MemoryPPO.load(copied, make_envs()).learn(ROLLOUT)
    save_and_die(further, copied, method, suffix)
    assert_same(model, MemoryPPO.load(copied, make_envs()))
    further.save(copied)
    assert sorted(file.name for file in copied.parent.iterdir()) == ["run.json", "run.safetensors"]
    assert_same(further, MemoryPPO.load(copied, make_envs()))
