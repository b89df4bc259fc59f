"""Spaces of every kind in a checkpoint: it can be loaded into its own environment."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.ppo.space_json import describe_space, is_same_space, read_space  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402

TAKES_DTYPE = "dtype" in spaces.Discrete.__init__.__code__.co_varnames  # gymnasium 1.2 does not

SPACES: list[Any] = [
    spaces.Box(-1, 1, (3,)),
    spaces.Box(0, 255, (2, 2, 3), np.uint8),
    spaces.Box(0, 1, ()),
    spaces.Box(0, 1, (2,), np.float64),
    spaces.Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 1], np.float32)),
    spaces.Discrete(3),
    spaces.Discrete(3, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 3], [3, 4]]),
    spaces.MultiDiscrete([2, 3], dtype=np.int32, start=[1, -1]),
    spaces.MultiBinary(4),
    spaces.MultiBinary((4,)),
    spaces.MultiBinary([2, 3]),
]
if TAKES_DTYPE:
    SPACES += [spaces.Discrete(3, dtype=kind, start=1) for kind in (np.int32, np.uint8)]
NESTED: list[Any] = [
    spaces.Dict(a=spaces.Tuple(SPACES), b=spaces.Dict(z=SPACES[0], y=spaces.MultiBinary(2))),
    spaces.Tuple([spaces.Dict(one=space) for space in SPACES]),
]
ACTIONS = [
    space
    for space in SPACES
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and len(space.shape or ()) < 2
]


NOISE = runpy.run_path(str(Path(__file__).with_name("noise_env.py")))["Noise"]


def assert_goes_on(seen: spaces.Space, actions: spaces.Space, stem: Path) -> None:
    """Learn, save, load, and learn again in the same environment."""

    def make() -> SyncVectorEnv:
        return SyncVectorEnv([lambda: NOISE(seen, actions)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)

    MemoryPPO("mlp", make(), n_steps=4, seed=0, policy_kwargs={"size": 8}).learn(1).save(stem)
    model = MemoryPPO.load(stem, make())
    with pytest.warns(UserWarning, match="begin new ones"):
        model.learn(1)
    assert model.num_updates == 2
    assert actions.contains(model.predict(seen.sample())[0])


@pytest.mark.parametrize("space", SPACES + NESTED, ids=str)
def test_a_space_comes_back_as_it_was(space: spaces.Space):
    found = read_space(json.loads(json.dumps(describe_space(space))))
    assert found == space
    assert is_same_space(found, space)
    assert str(found) == str(space)


@pytest.mark.parametrize("space", SPACES + NESTED, ids=str)
def test_observations_of_every_kind_go_on(space: spaces.Space, tmp_path: Path):
    assert_goes_on(space, spaces.Discrete(2), tmp_path / "run")


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_actions_of_every_kind_go_on(space: spaces.Space, tmp_path: Path):
    assert_goes_on(SPACES[0], space, tmp_path / "run")


@pytest.mark.parametrize("one", range(len(SPACES)))
def test_different_spaces_are_not_the_same(one: int):
    for other in range(len(SPACES)):
        both = {str(SPACES[one]), str(SPACES[other])}
        assert is_same_space(SPACES[one], SPACES[other]) == (
            one == other or both == {"MultiBinary(4)", "MultiBinary((4,))"}
        )
    parts: list[Any] = [SPACES[one], spaces.MultiBinary(5)]
    assert not is_same_space(spaces.Tuple(parts), spaces.Tuple(parts[:1]))
    assert not is_same_space(spaces.Tuple(parts), spaces.Tuple(parts[::-1]))
    assert not is_same_space(spaces.Dict(a=parts[0]), spaces.Dict(b=parts[0]))
    assert not is_same_space(spaces.Dict(a=parts[0]), spaces.Tuple(parts[:1]))


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        ({"type": "Discrete", "n": 3, "start": 1}, [spaces.Discrete(3, start=1)]),
        ({"type": "MultiBinary", "shape": [3]}, [spaces.MultiBinary(3), spaces.MultiBinary((3,))]),
        ({"type": "MultiBinary", "shape": [2, 3]}, [spaces.MultiBinary((2, 3))]),
    ],
    ids=str,
)
def test_files_of_earlier_versions_are_read(old: Any, wanted: list[spaces.Space]):
    for space in wanted:
        assert is_same_space(read_space(old), space)
        nested = {"type": "Dict", "parts": [["a", {"type": "Tuple", "parts": [old]}]]}
        assert is_same_space(read_space(nested), spaces.Dict(a=spaces.Tuple([space])))


@pytest.mark.parametrize("dtype", ["object", "float32", "U3", "nothing", 7, None, [1]])
def test_a_number_of_no_integer_type_is_a_named_error(dtype: Any):
    with pytest.raises(WeightsInvalid):
        read_space({"type": "Discrete", "n": 3, "start": 0, "dtype": dtype})
