"""Files of MemoryPPO that are damaged, or of something else, are a named error."""

import hashlib
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from safetensors.torch import load, save  # noqa: E402

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.nn.recurrent import GRU  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402

ROLLOUT = 6 * 8


class MyCell(GRU):
    """Of somebody else's package."""


def make_envs(**arguments: Any) -> Any:
    short = {"num_corridors": 2, "corridor_length": 2, "backend": "numpy"}
    return gym.make_vec("memgym/EndlessTMaze-v0", **{"num_envs": 6, **short, **arguments})


def make_model(cell: str = "gru") -> MemoryPPO:
    return MemoryPPO(
        cell, make_envs(), n_steps=8, n_epochs=2, n_minibatches=2, seed=0, policy_kwargs={"size": 16}
    )


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


def edit(stem: Path, *path: str, value: Any) -> None:
    """Change one value of the JSON file."""
    file = stem.with_suffix(".json")
    content = json.loads(file.read_text())
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    file.write_text(json.dumps(content))


def rewrite(stem: Path, **tensors: Any) -> None:
    """Change tensors, with a digest that fits."""
    file = stem.with_suffix(".safetensors")
    held = {**load(file.read_bytes()), **tensors}
    blob = save({name: t for name, t in held.items() if t is not None})
    file.write_bytes(blob)
    edit(stem, "sha256", value=hashlib.sha256(blob).hexdigest())


def flip(stem: Path, suffix: str, at: float) -> None:
    file = stem.with_suffix(suffix)
    data = bytearray(file.read_bytes())
    data[int(at * len(data))] ^= 0xFF
    file.write_bytes(data)


def cut(stem: Path, suffix: str) -> None:
    file = stem.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:-9])


BOX = {"type": "Box", "shape": [3], "dtype": "float32", "low": [0.0], "high": [1.0]}
DAMAGE: dict[str, Any] = {
    "tensors truncated": lambda s: cut(s, ".safetensors"),
    "tensors empty": lambda s: s.with_suffix(".safetensors").write_bytes(b""),
    "tensors missing": lambda s: s.with_suffix(".safetensors").unlink(),
    "tensors a folder": lambda s: (
        s.with_suffix(".safetensors").unlink(),
        s.with_suffix(".safetensors").mkdir(),
    ),
    "first byte flipped": lambda s: flip(s, ".safetensors", 0.0),
    "middle byte flipped": lambda s: flip(s, ".safetensors", 0.5),
    "last byte flipped": lambda s: flip(s, ".safetensors", 0.99999),
    "json missing": lambda s: s.with_suffix(".json").unlink(),
    "json truncated": lambda s: cut(s, ".json"),
    "json byte flipped": lambda s: flip(s, ".json", 0.5),
    "json a list": lambda s: s.with_suffix(".json").write_text("[]"),
    "json deep": lambda s: s.with_suffix(".json").write_text("[" * 10**5),
    "other format": lambda s: edit(s, "format", value="memgym-ppo-99"),
    "no blueprint": lambda s: edit(s, "blueprint", value=None),
    "no training": lambda s: edit(s, "training", value=[]),
    "other cell": lambda s: edit(s, "blueprint", "cell", value="lstm"),
    "unknown cell": lambda s: edit(s, "blueprint", "cell", value="gruu"),
    "cell is code": lambda s: edit(s, "blueprint", "cell", value="os:system"),
    "cell a number": lambda s: edit(s, "blueprint", "cell", value=7),
    "name is a path": lambda s: edit(s, "blueprint", "name", value="../../up"),
    "wide": lambda s: edit(s, "blueprint", "policy_kwargs", "size", value=10**9),
    "wide within bounds": lambda s: edit(s, "blueprint", "policy_kwargs", "size", value=8192),
    "wide memory": lambda s: edit(s, "blueprint", "module_kwargs", value={"hidden": 10**12}),
    "wide memory within bounds": lambda s: edit(s, "blueprint", "module_kwargs", value={"hidden": 1 << 16}),
    "unknown argument": lambda s: edit(s, "blueprint", "module_kwargs", value={"path": "x"}),
    "unknown setting": lambda s: edit(s, "blueprint", "settings", "lr", value=1),
    "setting a text": lambda s: edit(s, "blueprint", "settings", "gamma", value="0.9"),
    "setting not a number": lambda s: edit(s, "blueprint", "settings", "gamma", value=float("nan")),
    "setting huge": lambda s: edit(s, "blueprint", "settings", "n_steps", value=10**30),
    "seed huge": lambda s: edit(s, "blueprint", "seed", value=10**30),
    "no environments": lambda s: edit(s, "blueprint", "n_envs", value=0),
    "other number of environments": lambda s: edit(s, "blueprint", "n_envs", value=7),
    "space huge": lambda s: edit(s, "blueprint", "observation_space", value={**BOX, "shape": [10**12]}),
    "space large": lambda s: edit(s, "blueprint", "observation_space", value={**BOX, "shape": [10**6]}),
    "space negative": lambda s: edit(s, "blueprint", "observation_space", value={**BOX, "shape": [-3]}),
    "space of another kind": lambda s: edit(s, "blueprint", "observation_space", value={"type": "Text"}),
    "space of objects": lambda s: edit(s, "blueprint", "observation_space", value={**BOX, "dtype": "object"}),
    "space deep": lambda s: edit(
        s,
        "blueprint",
        "observation_space",
        value=json.loads('{"type":"Tuple","parts":[' * 20 + "1" + "]}" * 20),
    ),
    "many actions": lambda s: edit(
        s, "blueprint", "action_space", value={"type": "Discrete", "n": 10**15, "start": 0}
    ),
    "steps a text": lambda s: edit(s, "training", "num_timesteps", value="9"),
    "steps negative": lambda s: edit(s, "training", "num_updates", value=-1),
    "environments' seed huge": lambda s: edit(s, "training", "env_seed", value=10**40),
    "weights missing": lambda s: rewrite(s, **{"policy/head.bias": None}),
    "weights of another shape": lambda s: rewrite(s, **{"policy/head.bias": torch.zeros(9)}),
    "optimiser of another shape": lambda s: rewrite(s, **{"adam/exp_avg/head.bias": torch.zeros(9)}),
    "optimiser of integers": lambda s: rewrite(
        s, **{"adam/exp_avg/head.bias": torch.zeros(4, dtype=torch.int64)}
    ),
    "optimiser in part": lambda s: rewrite(s, **{"adam/exp_avg_sq/head.bias": None}),
    "no random stream": lambda s: rewrite(s, **{"stream/0": None}),
    "random stream of floats": lambda s: rewrite(s, **{"stream/0": torch.zeros(5056)}),
    "random stream short": lambda s: rewrite(s, **{"stream/0": torch.zeros(7, dtype=torch.uint8)}),
    "memory of another shape": lambda s: rewrite(s, **{"env/state/0/h": torch.zeros(6, 3)}),
    "no memory": lambda s: rewrite(s, **{"env/state/0/h": None}),
    "actions missing": lambda s: rewrite(s, **{"env/actions": torch.zeros(0, 6, dtype=torch.int64)}),
    "actions of floats": lambda s: rewrite(s, **{"env/actions": torch.zeros(99, 6)}),
    "episodes negative": lambda s: rewrite(s, **{"env/episodes": -torch.ones(6, dtype=torch.int64)}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_a_named_error_and_leaves_nothing_behind(copied: Path, damage: str):
    DAMAGE[damage](copied)
    before = sorted(file.name for file in copied.parent.iterdir())
    with pytest.raises(WeightsInvalid) as caught:
        MemoryPPO.load(copied, make_envs())
    assert 20 < len(str(caught.value)) < 3000
    assert before == sorted(file.name for file in copied.parent.iterdir())


@pytest.mark.parametrize(
    "tensor",
    [torch.full((99, 6), 9), torch.full((99, 6), -1), torch.zeros((99, 6, 2), dtype=torch.int64)],
    ids=str,
)
def test_actions_that_no_environment_takes_are_named_when_the_run_goes_on(copied: Path, tensor: Any):
    rewrite(copied, **{"env/actions": tensor})
    model = MemoryPPO.load(copied, make_envs())
    with pytest.raises(WeightsInvalid, match="do not come to where the checkpoint left them"):
        model.learn(ROLLOUT)


@pytest.mark.parametrize("path", ["", ".", "/", "no/such/run", "run\0", "../run", "x" * 300])
def test_a_path_without_files_is_a_named_error(path: str):
    with pytest.raises(WeightsInvalid):
        MemoryPPO.load(path)


def test_another_cell_or_other_spaces_than_asked_for_are_named(copied: Path):
    with pytest.raises(WeightsInvalid, match="cell 'gru', not 'lstm'"):
        MemoryPPO.load(copied, cell="lstm")
    with pytest.raises(WeightsInvalid, match="observations"):
        MemoryPPO.load(copied, make_envs(junction_visible=True))


def test_a_cell_of_another_package_is_imported_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: Any):
    import sys
    import types

    package = types.ModuleType("their_cells")
    package.MyCell = MyCell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_cells", package)
    make_model("their_cells:MyCell").learn(ROLLOUT).save(tmp_path / "run")
    with pytest.raises(WeightsInvalid, match="pass cell="):
        MemoryPPO.load(tmp_path / "run")
    model = MemoryPPO.load(tmp_path / "run", cell="their_cells:MyCell")
    assert isinstance(model.policy.backbone.memories[0], MyCell)
    assert np.ndim(model.predict(np.zeros(3, np.float32))[0]) == 0
