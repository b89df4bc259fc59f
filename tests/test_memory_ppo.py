"""MemoryPPO has the shape of Stable-Baselines3's algorithms, takes every memory, and names what it refuses."""

import runpy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")


from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.nn import MODULES  # noqa: E402
from memgym.agents.ppo import update as update_module  # noqa: E402

ENV_ID = "memgym/EndlessTMaze-v0"
ROLLOUT = 4 * 8

NOISE = runpy.run_path(str(Path(__file__).with_name("noise_env.py")))["Noise"]


def make_envs(num_envs: int = 4, **arguments: Any) -> gym.vector.VectorEnv:
    short = {"num_corridors": 1, "corridor_length": 2, "backend": "numpy"}
    return gym.make_vec(ENV_ID, num_envs=num_envs, **{**short, **arguments})


def make_model(cell: str = "gru", env: Any = None, **arguments: Any) -> MemoryPPO:
    small = {"n_steps": 8, "n_epochs": 2, "n_minibatches": 2, "seed": 0}
    sizes = {"policy_kwargs": {"size": 16, "ffn_mult": 1}}
    return MemoryPPO(cell, make_envs() if env is None else env, **{**small, **sizes, **arguments})


def weights(model: MemoryPPO) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.policy.parameters()])


# ---------------------------------------------------------------------- learn and predict


def test_learn_returns_the_model_and_counts_whole_rollouts():
    model = make_model(env=make_envs(autoreset_mode=AutoresetMode.SAME_STEP))
    assert model is model.learn(ROLLOUT + 1)
    assert (model.num_timesteps, model.num_updates) == (2 * ROLLOUT, 2)
    model.learn(1)
    assert model.num_timesteps == 3 * ROLLOUT
    model.learn(1, reset_num_timesteps=True)
    assert model.num_timesteps == ROLLOUT


def test_resets_of_mode_next_step_are_no_steps():
    steps: list[Any] = []
    model = make_model(env=make_envs(autoreset_mode=AutoresetMode.NEXT_STEP))
    model.learn(10 * ROLLOUT, callback=lambda names, _: steps.append(names["dones"]))
    # each end but one in the very last step was followed by a step that was a reset
    ends = np.array(steps)[:-1].sum()
    assert ends > 10
    assert len(steps) * 4 - ends == model.num_timesteps


@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_takes_one_observation_or_a_batch(deterministic: bool):
    model = make_model()
    batch, _ = make_envs(5).reset(seed=0)
    actions, state = model.predict(batch, deterministic=deterministic)
    assert actions.shape == (5,)
    assert all(len(part) == 5 for part in state.values())
    action, state = model.predict(batch[0], deterministic=deterministic)
    assert model.action_space.contains(action)
    assert all(len(part) == 1 for part in state.values())


def test_a_batch_is_played_as_each_alone():
    model = make_model()
    model.policy.head.weight.data *= 100  # differences that decide
    rng = np.random.default_rng(0)
    steps = rng.random((6, 3, 3), np.float32)
    state: Any = None
    alone: list[Any] = [None, None, None]
    for t, batch in enumerate(steps):
        starts = np.array([t == 3, False, t == 4])
        actions, state = model.predict(batch, state, starts)
        for i in range(3):
            action, alone[i] = model.predict(batch[i], alone[i], starts[i])
            assert action == actions[i]
            for name, part in alone[i].items():
                np.testing.assert_allclose(part[0], state[name][i], atol=1e-6)


def test_the_state_carries_the_memory_and_episode_start_empties_it():
    model, (batch, _) = make_model(), make_envs().reset(seed=0)
    _, fresh = model.predict(batch)
    _, old = model.predict(batch, fresh)
    _, again = model.predict(batch, old, episode_start=np.array([True, False, True, True]))
    for name in fresh:
        np.testing.assert_allclose(fresh[name][[0, 2, 3]], again[name][[0, 2, 3]], atol=1e-6)
        assert not np.allclose(fresh[name][1], again[name][1])


def test_sampling_follows_the_agents_own_seed():
    model, batch = make_model(), np.zeros((64, 3), np.float32)

    def sample(seed: int) -> Any:
        model.seed(seed)
        return model.predict(batch, deterministic=False)[0]

    assert np.array_equal(sample(1), sample(1))
    assert not np.array_equal(sample(1), sample(2))


@pytest.mark.parametrize("cell", sorted(MODULES))
def test_every_memory_learns_from_what_it_did_and_plays(cell: str, monkeypatch: pytest.MonkeyPatch):
    ratios: list[torch.Tensor] = []

    def spy(output: Any, batch: Any, actions: Any, *rest: Any) -> Any:
        log_probs, _ = actions.evaluate(output[..., :-1], batch.choices)
        ratios.append((log_probs - batch.log_probs).exp().detach()[batch.weight > 0])
        return ppo_loss(output, batch, actions, *rest)

    ppo_loss = update_module.ppo_loss
    monkeypatch.setattr(update_module, "ppo_loss", spy)
    model = make_model(cell)
    before = weights(model)
    model.learn(4 * ROLLOUT)
    after = weights(model)
    assert after.isfinite().all()
    assert not torch.equal(before, after)
    # the whole sequence, run again with the weights that acted, tells what was done as likely as it was then
    for first in ratios[:: len(ratios) // model.num_updates]:
        torch.testing.assert_close(first, torch.ones_like(first), atol=1e-5, rtol=0)
    assert max(float((ratio - 1).abs().max()) for ratio in ratios) > 1e-5
    _, state = model.predict(np.zeros(3, np.float32))
    assert model.policy.backbone.state_nbytes() == model.memory_nbytes(state)
    assert sum(p.numel() for p in model.policy.parameters()) == model.card.parameters


def test_policy_kwargs_set_the_sizes():
    model = make_model(
        policy_kwargs={"size": 24, "num_layers": 2, "ffn_mult": 3}, module_kwargs={"hidden": 5}
    )
    assert (model.policy.backbone.size, len(model.policy.backbone.memories)) == (24, 2)
    assert model.policy.backbone.state_nbytes() == 2 * 5 * 4
    assert model.card.extra["policy_kwargs"] == {
        "size": 24,
        "num_layers": 2,
        "ffn_mult": 3,
        "entities": None,
        "scatter": None,
    }


@pytest.mark.parametrize("kind", ["id", "one", "vector", "wrapped"])
def test_an_id_an_environment_or_a_vector_environment_will_do(kind: str):
    env: Any = ENV_ID
    if kind != "id":
        env = gym.make(ENV_ID)
    if kind == "vector":
        env = gym.vector.SyncVectorEnv([lambda: gym.make(ENV_ID)])
    if kind == "wrapped":
        env = gym.wrappers.vector.RecordEpisodeStatistics(make_envs())
    model = make_model("mlp", env, **({"n_envs": 2} if kind == "id" else {}))
    assert model.learn(8).num_timesteps >= 8
    assert model.card.trained_on == (ENV_ID,)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)])),
    ],
    ids=lambda space: type(space).__name__,
)
@pytest.mark.parametrize("actions", [spaces.Discrete(2, start=1), spaces.MultiDiscrete([2, 3])], ids=str)
def test_observations_of_any_fixed_size_are_read(space: spaces.Space, actions: spaces.Space):
    model = make_model("mlp", NOISE(space, actions)).learn(8)
    assert actions.contains(model.predict(space.sample())[0])


# ---------------------------------------------------------------------- seeds


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    trained = [weights(make_model("shm", seed=seed).learn(3 * ROLLOUT)) for seed in (1, 1, 2)]
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_training_neither_uses_nor_moves_global_random_generators():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the old global generator is what must not move
    first = make_model("shm").learn(2 * ROLLOUT)
    drawn = (torch.rand(3).tolist(), np.random.rand(3).tolist())  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist()) == drawn  # noqa: NPY002
    assert torch.equal(weights(first), weights(make_model("shm").learn(2 * ROLLOUT)))


def test_without_a_seed_one_is_drawn_and_told():
    seeds = {make_model(seed=None).card.extra["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_evaluating_in_a_callback_changes_nothing():
    batch = np.zeros((3, 3), np.float32)
    plain, watched = make_model().learn(2 * ROLLOUT), make_model()
    watched.learn(2 * ROLLOUT, lambda names, _: bool(watched.predict(batch, deterministic=False)))
    assert torch.equal(weights(plain), weights(watched))


def test_learning_leaves_the_number_of_threads_as_it_was():
    torch.set_num_threads(2)
    inside: list[int] = []
    make_model(num_threads=1).learn(ROLLOUT, lambda names, _: inside.append(torch.get_num_threads()))
    assert ({1}, 2) == (set(inside), torch.get_num_threads())
