"""How a training run went: kept by MemoryPPO, told on the agent's card, drawn on its page."""

import json
import runpy
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import memgym  # noqa: F401 - registers the environments
from memgym.leaderboard.page import render_pages
from memgym.leaderboard.training import training_plot

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.ppo.curve import MOST, TrainingCurve  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402

SYNTHETIC = runpy.run_path(str(Path(__file__).with_name("synthetic_board.py")))
ROLLOUT = 6 * 8


def learn(updates: int) -> MemoryPPO:
    envs = gym.make_vec("memgym/EndlessTMaze-v0", num_envs=6, num_corridors=1, corridor_length=1)
    model = MemoryPPO("gru", envs, n_steps=8, n_epochs=1, n_minibatches=2, seed=0, policy_kwargs={"size": 8})
    return model.learn(updates * ROLLOUT)


@given(st.integers(1, 6 * MOST))
def test_a_curve_stays_small_and_evenly_spaced(updates: int) -> None:
    curve = TrainingCurve()
    for number in range(1, updates + 1):
        curve = curve.add(number, 100 * number, [float(number)])
    assert min(updates, MOST // 2) <= len(curve.points) <= MOST
    assert [steps for steps, _ in curve.points] == [
        100 * curve.every * (i + 1) for i in range(len(curve.points))
    ]
    assert updates - curve.points[-1][0] // 100 < curve.every
    assert TrainingCurve.from_json(json.loads(json.dumps(curve.to_json()))) == curve


def test_training_keeps_its_curve_and_the_card_tells_it() -> None:
    model = learn(5)
    assert len(model.training_curve.points) == model.num_updates >= 5
    steps, returns = zip(*model.training_curve.points, strict=True)
    assert steps[-1] == model.num_timesteps
    recent = model._collector.recent.returns
    assert returns[-1] == pytest.approx(sum(recent) / len(recent))
    assert model.card.extra["training_curve"] == [list(point) for point in model.training_curve.points]


def test_a_run_that_goes_on_has_the_curve_of_one_that_never_stopped(tmp_path: Path) -> None:
    first = learn(3)
    first.save(tmp_path / "run")
    envs = gym.make_vec("memgym/EndlessTMaze-v0", num_envs=6, num_corridors=1, corridor_length=1)
    model = MemoryPPO.load(tmp_path / "run", env=envs)
    assert model.training_curve == first.training_curve
    model.learn(2 * ROLLOUT, reset_num_timesteps=False)
    points = model.training_curve.points
    assert len(points) == model.num_updates > first.num_updates
    assert points == learn(10).training_curve.points[: len(points)]
    model.learn(1, reset_num_timesteps=True)
    assert len(model.training_curve.points) == model.num_updates == 1


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"every": 0, "points": []},
        {"every": 1, "points": [[1]]},
        {"every": 1, "points": [[1, "0.5"]]},
        {"every": 1, "points": [[1.5, 0.5]]},
        {"every": 1, "points": [[1, float("inf")]]},
        {"every": 1, "points": [[1, 0.5]] * (MOST + 1)},
    ],
)
def test_a_damaged_curve_is_a_named_error(tmp_path: Path, value: Any) -> None:
    learn(1).save(tmp_path / "run")
    file = tmp_path / "run.json"
    content = json.loads(file.read_text())
    content["training"]["curve"] = value
    file.write_text(json.dumps(content))
    with pytest.raises(WeightsInvalid):
        MemoryPPO.load(tmp_path / "run")


def test_a_checkpoint_from_before_curves_has_none(tmp_path: Path) -> None:
    learn(1).save(tmp_path / "run")
    file = tmp_path / "run.json"
    content = json.loads(file.read_text())
    del content["training"]["curve"]
    file.write_text(json.dumps(content))
    assert MemoryPPO.load(tmp_path / "run").training_curve == TrainingCurve()


# ---------------------------------------------------------------------- on the agent's page


def page_of(curve: Any) -> str:
    extra = {} if curve is None else {"training_curve": curve}
    episodes = [SYNTHETIC["make_episode"]("dialogue", i, 0.5) for i in (0, 1)]
    bundle = SYNTHETIC["make_bundle"]("trained", episodes=episodes, extra=extra)
    return render_pages(SYNTHETIC["aggregate"]([bundle]), {"trained": "replayed"})["agents/trained.html"]


def test_the_page_draws_the_curve_and_does_not_print_its_numbers() -> None:
    page = page_of([[100, -1.0], [200, 0.0], [400, 1.0]])
    assert 'd="M218.0 196.0L380.0 104.0L704.0 12.0"' in page
    assert "Mean return -1 after 100 steps, 1 after 400." in page
    assert "training_curve" not in page


@pytest.mark.parametrize(
    "curve",
    [
        None,
        "<svg onload=alert(1)>",
        [[1, 0.0]],
        [[2, 0.0], [1, 1.0]],
        [[1, 0.0], [2, "<b>"]],
        [[1, 0.0], [True, 1.0]],
        [[1, 0.0], [2, 1e308]],
        [[1, 0.0], [2]],
        [[k + 1, 0.0] for k in range(1001)],
    ],
)
def test_what_is_no_curve_is_not_drawn(curve: Any) -> None:
    assert training_plot({"extra": {} if curve is None else {"training_curve": curve}}) is None
    assert '<figure class="training">' not in page_of(curve)
