"""What the committed runs of the recipe key_value show: what erasing is worth at equal bytes of state."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="memories need torch")

from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.reference import expected_file
from memgym.baselines.summary import committed_runs, evaluation_names, scores

NAME = "key_value"
RECIPE = load_recipe(NAME)


@pytest.fixture(scope="module")
def found() -> dict[str, np.ndarray]:
    """Scores by memory, shape (num_seeds, num_evaluations)."""
    runs = committed_runs(RECIPE)
    return {str(point[0]): values for point, values in scores(RECIPE, runs).items()}


def test_erasing_pays_where_values_are_overwritten(found: dict[str, np.ndarray]) -> None:
    """At equal bytes of state, and with the same projections, one for one."""
    runs = committed_runs(RECIPE)
    nbytes = {run["point"]["train.cell"]: run["state_nbytes"] for run in runs}
    names = evaluation_names(RECIPE)
    for name in ("delta", "gdn"):
        assert nbytes[name] == nbytes["linattn"]
        assert min(len(found[name]), len(found["linattn"])) >= 3
        for rate in ("0.2", "0.4", "0.6"):
            column = names.index(f"overwrite rate {rate}")
            assert found[name][:, column].min() > found["linattn"][:, column].max() + 0.1


def test_no_memory_is_larger_than_the_recipe_says_and_all_have_their_figure() -> None:
    runs = committed_runs(RECIPE)
    assert all(run["state_nbytes"] <= RECIPE.train["state_nbytes"] for run in runs)
    assert expected_file(NAME).with_suffix(".png").is_file()
