"""What the committed runs on Color Cubes show: the modes in which every published agent scored 0.00 are solved."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="memories need torch")

from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.summary import committed_runs, scores


def seeds(name: str, **point: object) -> np.ndarray:
    """Scores at one point of a recipe's grid, shape (num_seeds, num_evaluations)."""
    recipe = load_recipe(name)
    found = scores(recipe, committed_runs(recipe))
    names = [key.rpartition(".")[2] for key in recipe.grid]
    (values,) = (
        values for at, values in found.items() if point.items() <= dict(zip(names, at, strict=True)).items()
    )
    return values


@pytest.mark.parametrize(
    ("name", "point", "least"),
    [
        ("color_cubes_trivial", {"cell": "lstm", "wrong_reward": 0.0}, 0.99),
        ("color_cubes_memories", {"cell": "slots", "mode": "medium"}, 0.98),  # reward alone, as it comes
        ("color_cubes_memories", {"cell": "gru", "mode": "medium"}, 0.98),
        ("color_cubes", {"cell": "lstm", "mode": "medium", "wrong_reward": 0.0}, 0.98),
        ("color_cubes_penalty", {"cell": "lstm", "mode": "medium"}, 0.98),
        ("color_cubes", {"cell": "slots", "mode": "extreme", "wrong_reward": 0.0}, 0.95),
        ("color_cubes_penalty", {"cell": "slots", "mode": "extreme"}, 0.95),
        ("color_cubes_reward", {"cell": "tracker", "grid_size": 5, "wrong_reward": 0.0}, 0.90),
        ("color_cubes_general", {"cell": "multiplicative-lstm"}, 0.80),  # no idea of a list of cubes
        ("color_cubes_large", {"cell": "tracker"}, 0.90),
    ],
)
def test_the_median_of_five_seeds_solves(name: str, point: dict[str, object], least: float) -> None:
    found = seeds(name, **point)
    assert len(found) == 5
    assert np.median(found[:, 0]) >= least


def test_twenty_targets_are_found_by_who_was_trained_with_five() -> None:
    assert np.median(seeds("color_cubes_large", cell="tracker")[:, 1]) >= 0.90


def test_without_a_memory_nothing_is_solved() -> None:
    """The control."""
    assert seeds("color_cubes_trivial", cell="mlp", wrong_reward=0.0).max() < 0.2
    assert seeds("color_cubes_memories", cell="mlp", mode="medium").max() == 0.0
    assert seeds("color_cubes_extreme", cell="mlp")[:, 1:].max() < 0.02


def test_a_wrong_cube_that_costs_from_the_first_step_on_keeps_an_agent_at_zero() -> None:
    assert seeds("color_cubes", cell="lstm", mode="medium", wrong_reward=-1.0)[:, 0].max() == 0.0
