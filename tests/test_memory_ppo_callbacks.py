"""Stable-Baselines3's callbacks, logger and progress bar work with MemoryPPO."""

import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from stable_baselines3.common import callbacks as sb3_callbacks  # noqa: E402
from stable_baselines3.common.logger import KVWriter, Logger  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.errors import DependencyMissing  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"
ROLLOUT = 4 * 8


def make_envs(num_envs: int = 4, **arguments: Any) -> gym.vector.VectorEnv:
    short = {"num_corridors": 1, "corridor_length": 2, "backend": "numpy"}
    return gym.make_vec(ENV_ID, num_envs=num_envs, **{**short, **arguments})


def make_model(cell: str = "gru", env: Any = None, **arguments: Any) -> MemoryPPO:
    small = {"n_steps": 8, "n_epochs": 2, "n_minibatches": 2, "seed": 0}
    sizes = {"policy_kwargs": {"size": 16, "ffn_mult": 1}}
    return MemoryPPO(cell, make_envs() if env is None else env, **{**small, **sizes, **arguments})


class Counter(sb3_callbacks.BaseCallback):
    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.seen: list[str] = []

    def _on_training_start(self) -> None:
        self.seen.append("start")

    def _on_rollout_start(self) -> None:
        self.seen.append("(")

    def _on_step(self) -> bool:
        self.seen.append(".")
        return self.n_calls != self.stop_at

    def _on_rollout_end(self) -> None:
        self.seen.append(")")

    def _on_training_end(self) -> None:
        self.seen.append("end")


def test_callbacks_are_called_in_stable_baselines_order():
    counter = Counter()
    make_model(env=make_envs(autoreset_mode=AutoresetMode.SAME_STEP)).learn(2 * ROLLOUT, counter)
    assert "".join(counter.seen) == "start" + 2 * "(........)" + "end"
    assert counter.num_timesteps == 2 * ROLLOUT


def quiet(names: dict[str, Any], _: Any) -> None:
    """Returns nothing, as functions do."""


class Silent(sb3_callbacks.BaseCallback):
    def _on_step(self) -> Any:
        """Returns nothing, as functions do."""


@pytest.mark.parametrize(
    "callback",
    [
        Counter(stop_at=3),
        lambda names, _: names["self"].num_timesteps < 10,
        [quiet, Counter(stop_at=3)],
        [Counter(stop_at=3), quiet],
        [Counter(stop_at=3), Silent()],
        [Silent(), Counter(stop_at=3)],
        lambda names, _: names["rewards"].sum() > 1e9,
        sb3_callbacks.StopTrainingOnMaxEpisodes(1),
        sb3_callbacks.EveryNTimesteps(10, Counter(stop_at=1)),
    ],
    ids=[
        "object",
        "function",
        "list",
        "list-before-function",
        "list-before-object",
        "list-after-object",
        "numpy",
        "sb3",
        "sb3-nested",
    ],
)
def test_a_callback_that_returns_false_ends_training_after_the_update(callback: Any):
    model = make_model().learn(100 * ROLLOUT, callback)
    assert model.num_updates == 1


@pytest.mark.parametrize("callback", [quiet, Silent(), [Silent(), quiet]], ids=["function", "object", "list"])
def test_a_callback_that_returns_nothing_does_not_end_training(callback: Any):
    assert make_model().learn(3 * ROLLOUT, callback).num_updates >= 3


def test_every_callback_is_called_after_one_said_false():
    last = Counter()
    make_model(env=make_envs(autoreset_mode=AutoresetMode.SAME_STEP)).learn(
        2 * ROLLOUT, [Counter(stop_at=1), last]
    )
    assert "".join(last.seen) == "start(........)end"


def test_checkpoints_and_evaluations_of_stable_baselines_work(tmp_path):
    def make_one() -> gym.Env:
        return gym.make(ENV_ID, num_corridors=1, corridor_length=2)

    folder = str(tmp_path)
    save = sb3_callbacks.CheckpointCallback(10, folder, name_prefix="lstm")
    evaluate = sb3_callbacks.EvalCallback(
        DummyVecEnv([make_one]),
        n_eval_episodes=2,
        eval_freq=8,
        best_model_save_path=folder,
        verbose=0,
        warn=False,
    )
    with pytest.warns(UserWarning, match="not of the same type"):  # DummyVecEnv and gymnasium's VectorEnv
        make_model("lstm", make_envs(autoreset_mode=AutoresetMode.SAME_STEP)).learn(
            2 * ROLLOUT, [save, evaluate]
        )
    assert -np.inf < evaluate.best_mean_reward < np.inf
    stems = {file.stem for file in tmp_path.glob("*.safetensors")}
    assert {"lstm_40_steps", "best_model"} <= stems
    for stem in stems:
        assert MemoryPPO.load(tmp_path / stem).card.extra["cell"] == "lstm"


class Memory(KVWriter):
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append({"step": step, **key_values})

    def close(self) -> None:
        pass


def test_the_log_tells_of_every_update():
    model, memory = make_model(env=make_envs(autoreset_mode=AutoresetMode.SAME_STEP)), Memory()
    model.set_logger(Logger(None, [memory]))
    model.learn(6 * ROLLOUT, log_interval=2)
    assert [row["step"] for row in memory.rows] == [2 * ROLLOUT, 4 * ROLLOUT, 6 * ROLLOUT]
    last = memory.rows[-1]
    for (
        name
    ) in "policy_gradient_loss value_loss entropy_loss approx_kl clip_fraction explained_variance".split():
        assert np.isfinite(last[f"train/{name}"])
    assert -1.2 < last["rollout/ep_rew_mean"] <= 1
    assert 1 <= last["rollout/ep_len_mean"] <= 18
    assert 0 <= last["rollout/success_rate"] <= 1


def test_verbose_prints_the_log(capsys: pytest.CaptureFixture[str]):
    make_model().learn(ROLLOUT)
    assert capsys.readouterr().out == ""
    make_model(verbose=1).learn(ROLLOUT)
    assert "explained_variance" in capsys.readouterr().out


def test_the_progress_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]):
    make_model().learn(ROLLOUT, progress_bar=True)
    assert capsys.readouterr().err == ""


def test_tensorboard_files_are_written_or_the_package_is_named(tmp_path):
    model = make_model(tensorboard_log=str(tmp_path))
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(DependencyMissing, match="pip install tensorboard"):
            model.learn(ROLLOUT)
        return
    model.learn(ROLLOUT, tb_log_name="run")
    model.learn(ROLLOUT, tb_log_name="run")
    make_model(tensorboard_log=str(tmp_path)).learn(ROLLOUT, tb_log_name="run")
    assert {"run_1", "run_2"} == {folder.name for folder in tmp_path.iterdir()}
    assert all(file.stat().st_size > 500 for file in tmp_path.rglob("events*"))


def test_what_is_no_callback_is_named():
    with pytest.raises(ValueError, match="callback is a callback, a function or a list"):
        make_model().learn(ROLLOUT, 5)
