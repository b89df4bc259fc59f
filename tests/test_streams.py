"""Stream tasks: the scalar form, the vector form and the batches show the same episodes, byte by byte."""

import copy
import hashlib
import pickle
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import memgym  # noqa: F401 - registers the environments
from memgym.envs.key_value import KeyValueArguments, KeyValueRewriting
from memgym.envs.key_value.vector import KeyValueRewritingVector
from memgym.envs.streams import SequenceBatches, generate, keys_of

ENV_ID = "memgym/KeyValueRewriting-v0"
VARIANTS: list[dict[str, Any]] = [
    {},
    {"split": "test", "num_steps": 20},
    {"delay": 4, "num_keys": 3, "capacity": 2, "vocabulary": 2, "num_steps": 30},
    {"num_keys": 1, "capacity": 1, "absent_rate": 0.5, "delete_rate": 0.3, "num_steps": 15},
    {"num_keys": 40, "capacity": 40, "vocabulary": 100, "absent_rate": 0.0, "delete_rate": 0.0},
    {"num_steps": 2},
]
NUMBA = pytest.param("numba", marks=pytest.mark.skipif(not find_spec("numba"), reason="needs numba"))
BACKENDS = ["numpy", NUMBA]


def name(variant: Any) -> str:
    return "-".join(f"{key}={value}" for key, value in variant.items()) or "default"


def assert_same(left: Any, right: Any) -> None:
    """Equal values, types of arrays included."""
    if isinstance(right, dict):
        assert set(left) == set(right)
        for key in right:
            assert_same(left[key], right[key])
    elif isinstance(right, tuple | list) or (isinstance(right, np.ndarray) and right.dtype == object):
        for ours, theirs in zip(left, right, strict=True):
            assert_same(ours, theirs)
    elif isinstance(right, np.ndarray):
        assert left.dtype == right.dtype
        assert np.array_equal(left, right), (left, right)
    else:
        assert left == right


# ---------------------------------------------------------------------- one stream in every form


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_numpy_and_numba_make_the_same_streams(variant):
    pytest.importorskip("numba")
    task = KeyValueArguments(**variant)
    keys = keys_of(task, 3, 5, 1100)  # more than a block of the compiled loop
    for ours, theirs in zip(generate(task, keys), generate(task, keys, "numba"), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_vector_equals_scalar_bit_for_bit(variant, mode, backend):
    n, rng = 7, np.random.default_rng(0)
    ours = KeyValueRewritingVector(n, autoreset_mode=mode, backend=backend, **variant)
    theirs = SyncVectorEnv([lambda: KeyValueRewriting(**variant)] * n, autoreset_mode=mode)
    assert_same(ours.reset(seed=3), theirs.reset(seed=3))
    successes = 0
    for step in range(140):
        right: Any = [env.oracle_action() for env in theirs.envs]  # type: ignore[attr-defined]
        actions = np.where(rng.random(n) < 0.9, right, rng.integers(0, ours.single_action_space.n, n))
        got = ours.step(actions)
        assert_same(got, theirs.step(actions))
        successes += got[4].get("final_info", got[4])["success"].sum()
        ended = got[2] | got[3]
        if mode == AutoresetMode.DISABLED and (ended.any() or step == 5):
            options = {"reset_mask": ended | (np.arange(n) == step % n)}
            assert_same(ours.reset(options=options), theirs.reset(options=options))
    assert successes or variant.get("num_steps", 64) > 50  # else both were compared on failures alone


@pytest.mark.parametrize("num_envs", [1, 64, 1030])
def test_an_environment_plays_the_same_among_any_number(num_envs):
    alone = KeyValueRewriting(num_steps=6)
    envs = KeyValueRewritingVector(num_envs, num_steps=6)
    observation, _ = envs.reset(seed=100)
    np.testing.assert_array_equal(observation[-1], alone.reset(seed=100 + num_envs - 1)[0])
    for _ in range(6):
        observation, *_ = envs.step(np.full(num_envs, 2))
        np.testing.assert_array_equal(observation[-1], alone.step(2)[0])


@pytest.mark.parametrize("split", ["train", "test"])
def test_batches_are_the_episodes_that_the_environment_plays(split):
    batches = SequenceBatches(ENV_ID, batch_size=3, seed=9, num_batches=4, split=split, num_steps=12)
    env = KeyValueRewriting(split=split, num_steps=12)
    rows = [row for batch in batches for row in zip(*batch.values(), strict=True)]
    assert len(rows) == 12
    for episode, (tokens, targets, mask) in enumerate(rows):
        observation, _ = env.reset(seed=9, options={"episode": episode})
        for t in range(12):
            np.testing.assert_array_equal(observation, batches.task.observe(tokens[t]))
            answer = env.oracle_state()["answer"]
            assert (answer, answer >= 0) == (targets[t] if mask[t] else -1, mask[t])
            observation, *_ = env.step(0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_torch_loader_gives_each_episode_once(num_workers):
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    batches = SequenceBatches(ENV_ID, batch_size=4, num_batches=5, backend="numpy", num_steps=16)
    loader = DataLoader(batches.as_torch(), batch_size=None, num_workers=num_workers)
    loaded = [batch["tokens"] for batch in loader]
    assert all(tokens.dtype == torch.int64 for tokens in loaded)
    expected = {row.tobytes() for batch in batches for row in batch["tokens"]}
    assert len(expected) == 20
    assert sorted(expected) == sorted(row.numpy().tobytes() for tokens in loaded for row in tokens)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size is an integer from 1"),
        ({"num_batches": 0}, "num_batches is an integer from 1"),
        ({"seed": -1}, "seed is an integer from 0"),
    ],
)
def test_batches_refuse_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        SequenceBatches(ENV_ID, **arguments)


def test_batches_of_another_kind_of_task_are_refused():
    with pytest.raises(ValueError, match="id of a stream task"):
        SequenceBatches("memgym/EndlessTMaze-v0")


def play(env: KeyValueRewriting, seed: int, steps: int) -> str:
    """Digest of everything that random answers through several episodes see."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    for action in rng.integers(0, env.action_space.n, steps):  # type: ignore[attr-defined]
        digest.update(observation.tobytes() + repr(sorted(info.items())).encode())
        observation, reward, terminated, _, info = env.step(action)
        digest.update(np.float64(reward).tobytes() + bytes([terminated]))
        if terminated:
            observation, info = env.reset()
    return digest.hexdigest()


GOLDEN = {
    "default": "eb244f58c37719e9",
    "split=test-num_steps=20": "4071536be72138a7",
    "delay=4-num_keys=3-capacity=2-vocabulary=2-num_steps=30": "97d832102d52172d",
}


@pytest.mark.parametrize("variant", VARIANTS[:3], ids=name)
def test_the_bytes_of_v0_never_change(variant):
    assert GOLDEN[name(variant)] == play(KeyValueRewriting(**variant), seed=1, steps=500)[:16]


def test_a_new_process_sees_the_same_bytes():
    program = (
        "import numpy as np, hashlib\n"
        "from memgym.envs.key_value import KeyValueArguments\n"
        "from memgym.envs.streams import generate, keys_of\n"
        "task = KeyValueArguments()\n"
        "print(hashlib.sha256(generate(task, keys_of(task, 1, 2, 50)).tokens.tobytes()).hexdigest())"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    task = KeyValueArguments()
    assert (
        output.strip() == hashlib.sha256(generate(task, keys_of(task, 1, 2, 50)).tokens.tobytes()).hexdigest()
    )


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_made_within_an_episode_goes_on_alike(clone):
    env = KeyValueRewriting()
    env.reset(seed=3)
    for _ in range(20):
        env.step(1)
    twin = clone(env)
    for step in range(150):
        ours, theirs = env.step(step % 9), twin.step(step % 9)
        assert repr(ours) == repr(theirs)
        if ours[2]:
            assert repr(env.reset()) == repr(twin.reset())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_copied_vector_environment_goes_on_alike(backend):
    envs = KeyValueRewritingVector(5, num_steps=10, backend=backend)
    envs.reset(seed=3)
    for step in range(30):
        if step == 4:
            twin = copy.deepcopy(envs)
        got = envs.step(np.full(5, step % 9))
        if step >= 4:
            assert_same(twin.step(np.full(5, step % 9)), got)


def test_episodes_are_reached_directly_and_in_order_alike():
    env, other = KeyValueRewriting(num_steps=8), KeyValueRewriting(num_steps=8)
    env.reset(seed=4)
    for episode in range(1, 60):  # through several blocks of episodes made ahead
        env.reset()
        other.reset(seed=4, options={"episode": episode})
        assert env._tokens.tolist() == other._tokens.tolist()
    other.reset(seed=5)
    assert env.reset(seed=5)[0].tolist() == other.reset(seed=5)[0].tolist()
