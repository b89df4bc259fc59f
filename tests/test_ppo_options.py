"""MemoryPPO's training options: self-pretraining, forgetting of inputs, schedules over stages, from recipes too."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")

from torch import Tensor  # noqa: E402

from memgym.agents.nn import list_memories  # noqa: E402
from memgym.agents.nn.forgetting import EmbeddingForgetting  # noqa: E402
from memgym.agents.ppo import MemoryPPO, ObservationInvalid, load_agent  # noqa: E402
from memgym.agents.ppo.forgetting import InputForgetting, discrete_columns  # noqa: E402
from memgym.agents.ppo.pretraining import _Rollouts  # noqa: E402
from memgym.agents.ppo.settings import Settings  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402
from memgym.baselines.recipe import RecipeInvalid  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.baselines.run_ppo import run_ppo  # noqa: E402

T_MAZE = "memgym/EndlessTMaze-v0"
SMALL: dict[str, Any] = {"n_envs": 8, "n_steps": 8, "policy_kwargs": {"size": 16}, "seed": 3}


class Numbers(VectorEnv):
    """Each episode of `length` steps shows its own number all along, as a class (Discrete) beside a Box.

    Actions change nothing, so a memory can foresee all but the first observation of an episode.
    """

    def __init__(self, num_envs: int = 8, length: int = 6, mode: Any = AutoresetMode.NEXT_STEP) -> None:
        self.num_envs, self.length = num_envs, length
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = spaces.Dict(
            {"box": spaces.Box(-1.0, 1.0, (3,), np.float32), "number": spaces.Discrete(5)}
        )
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.single_action_space = spaces.Discrete(2)
        self.action_space = spaces.MultiDiscrete([2] * num_envs)
        self.actions: list[Any] = []
        self.bad = False

    def _observe(self) -> dict[str, Any]:
        box = np.repeat(self.box[:, None], 3, 1).astype(np.float32)
        return {"box": box * (np.nan if self.bad else 1.0), "number": self.number.copy()}

    def _draw(self, where: Any) -> None:
        count = int(where.sum())
        self.number[where] = self.rng.integers(5, size=count)
        self.box[where] = self.rng.uniform(-1, 1, size=count)
        self.at[where] = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.rng = np.random.default_rng(seed)
        self.number, self.box = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs)
        self.at = np.zeros(self.num_envs, np.int64)
        self.over = np.zeros(self.num_envs, np.bool_)
        self._draw(np.ones(self.num_envs, np.bool_))
        self.at = np.arange(self.num_envs) % self.length  # they do not end together
        return self._observe(), {}

    def step(self, actions: Any) -> Any:
        self.actions.append(np.array(actions))
        next_step = self.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        self.at += 1
        if next_step:
            self._draw(self.over)
        self.over = self.at >= self.length
        if not next_step:
            self._draw(self.over)
        none = np.zeros(self.num_envs, np.bool_)
        return self._observe(), np.zeros(self.num_envs), self.over.copy(), none, {}


def weights(model: MemoryPPO) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.policy.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------------------- self-pretraining


def test_pretraining_changes_encoder_and_memory_and_leaves_the_head_fresh() -> None:
    model = MemoryPPO("gru", T_MAZE, **SMALL)
    before = weights(model)
    assert model.pretrain(100) is model
    changed = {name for name, p in weights(model).items() if not torch.equal(p, before[name])}
    fresh = {name for name in before if name.startswith("head.")}
    assert fresh
    assert changed == set(before) - fresh


@pytest.mark.parametrize("cell", list_memories())
def test_every_memory_can_be_pretrained_and_then_learn(cell: str) -> None:
    model = MemoryPPO(cell, T_MAZE, **{**SMALL, "n_steps": 4, "n_epochs": 1})
    model.pretrain(16).learn(16)
    assert all(bool(p.isfinite().all()) for p in model.policy.parameters())


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize(("told", "low", "high"), [(True, 0.0, 0.25), (False, 0.35, 3.0)])
def test_what_an_episode_repeats_is_foreseen_and_the_next_episode_is_not_asked_for(
    mode: AutoresetMode, told: bool, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control hides where episodes begin: then each one's first observation counts as a failure."""
    if not told:
        call = _Rollouts.__call__
        monkeypatch.setattr(_Rollouts, "__call__", lambda self, u: call(self, u)._replace(reset=None))
    model = MemoryPPO("mlp", Numbers(32, length=3, mode=mode), **SMALL)
    model.pretrain(6000, learning_rate=1e-2)
    assert model.pretraining is not None
    assert low <= model.pretraining.loss <= high


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_random_play_goes_on_from_rollout_to_rollout_and_marks_where_episodes_begin(
    mode: AutoresetMode,
) -> None:
    env = Numbers(mode=mode)
    model = MemoryPPO("gru", env, **{**SMALL, "n_minibatches": 1, "n_epochs": 1})
    rollouts = _Rollouts(env, model.policy, model.blueprint, parts=1, updates=1)
    for part in (rollouts(0), rollouts(1), rollouts(2)):
        assert part.reset is not None
        assert part.observations.shape == (9, 8, 8)
        # within an episode nothing changes; where one begins, the Box surely does
        changes = (part.observations[1:] != part.observations[:-1])[..., :3].all(-1)
        assert torch.equal(changes, part.reset[1:])
        assert part.reset[1:].any()
    played = np.array(env.actions)
    assert played.shape == (24, 8)
    assert 0.35 < played.mean() < 0.65


def test_learning_begins_as_it_would_anyway() -> None:
    """With the same weights before it, `learn` gives the same after it, whether pretraining came between or not."""
    plain, pretrained = (MemoryPPO("gru", T_MAZE, **SMALL) for _ in range(2))
    pretrained.pretrain(100)
    assert not same(weights(plain), weights(pretrained))
    pretrained.policy.load_state_dict(plain.policy.state_dict())
    plain.learn(200)
    pretrained.learn(200)
    assert same(weights(plain), weights(pretrained))


def test_pretraining_is_the_same_again_and_another_with_another_seed() -> None:
    one, other, third = (MemoryPPO("gru", T_MAZE, **{**SMALL, "seed": seed}) for seed in (3, 3, 4))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one.pretrain(100)
    assert torch.equal(torch.rand(1), expected), "torch's own numbers are left alone"
    torch.manual_seed(77)
    assert same(weights(one), weights(other.pretrain(100)))
    third.policy.load_state_dict(MemoryPPO("gru", T_MAZE, **SMALL).policy.state_dict())
    assert not same(weights(one), weights(third.pretrain(100)))


def test_pretraining_is_told_on_the_card_and_kept_in_checkpoints(tmp_path: Path) -> None:
    model = MemoryPPO("gru", T_MAZE, **SMALL)
    assert "self_pretraining" not in model.card.extra
    model.pretrain(100)
    told = model.card.extra["self_pretraining"]
    assert (told["updates"], model.card.training_steps) == (2 * 4 * 4, told["timesteps"])
    assert 100 <= told["timesteps"] <= 128
    model.save(tmp_path / "model")
    copy = MemoryPPO.load(tmp_path / "model", T_MAZE)
    assert copy.card == model.card
    assert load_agent(str(tmp_path / "model")).card.extra["self_pretraining"] == told
    model.learn(200)
    copy.learn(100)
    copy.save(tmp_path / "half")
    copy = MemoryPPO.load(tmp_path / "half", T_MAZE).learn(200 - copy.num_timesteps)
    assert same(weights(model), weights(copy))
    assert copy.card == model.card


def test_pretraining_comes_once_and_first_and_never_on_the_test_split(tmp_path: Path) -> None:
    learned = MemoryPPO("gru", T_MAZE, **SMALL).learn(10)
    pretrained = MemoryPPO("gru", T_MAZE, **SMALL).pretrain(10)
    pretrained.save(tmp_path / "model")
    for model in (learned, pretrained, MemoryPPO.load(tmp_path / "model")):
        with pytest.raises(ValueError, match="first of all"):
            model.pretrain(10)
    with pytest.raises(ValueError, match="test split"):
        MemoryPPO("gru", T_MAZE, env_kwargs={"split": "test"}, **SMALL).pretrain(10)
    single = gym.make(T_MAZE, split="test")
    with pytest.raises(ValueError, match="test split"):
        MemoryPPO("gru", single, **SMALL).pretrain(10)
    for arguments in ({"total_timesteps": 0}, {"total_timesteps": 10, "learning_rate": 0.0}):
        with pytest.raises(ValueError, match=list(arguments)[-1]):
            MemoryPPO("gru", T_MAZE, **SMALL).pretrain(**arguments)
    env = Numbers()
    env.bad = True
    with pytest.raises(ObservationInvalid, match="not finite"):
        MemoryPPO("gru", env, **SMALL).pretrain(10)


@pytest.mark.parametrize(
    "change",
    [{"timesteps": -1}, {"updates": "many"}, {"loss": None}, {"learning_rate": 1e9}, {"more": 1}, None],
)
def test_a_file_cannot_tell_of_pretraining_what_none_does(tmp_path: Path, change: Any) -> None:
    model = MemoryPPO("gru", T_MAZE, **SMALL)
    model.pretrain(10).save(tmp_path / "model")
    file = tmp_path / "model.json"
    content = json.loads(file.read_text())
    content["pretraining"] = [] if change is None else {**content["pretraining"], **change}
    file.write_text(json.dumps(content))
    with pytest.raises(WeightsInvalid, match="pretraining"):
        MemoryPPO.load(tmp_path / "model")


def test_what_changes_for_the_first_time_late_does_not_outweigh_all_else() -> None:
    """In units of a spread of zero it would be a catastrophe."""
    from memgym.agents.nn import make_memory
    from memgym.agents.nn.backbone import MemoryBackbone
    from memgym.agents.nn.pretraining import ObservedSequences, pretrain

    def sequences(u: int) -> ObservedSequences:
        x = torch.zeros(8, 4, 2)
        if u == 3:
            x[::2, :, 1] = 1.0
        return ObservedSequences(x)

    torch.manual_seed(0)
    backbone = MemoryBackbone(8, [make_memory("gru", 8, 8)])
    losses = pretrain(torch.nn.Linear(2, 8), backbone, sequences, num_updates=4)
    assert losses.max() < 10


# ---------------------------------------------------------------------------- forgetting


def forgetter(forgetting: EmbeddingForgetting, space: spaces.Space) -> tuple[InputForgetting, Any]:
    torch.manual_seed(0)
    encoder = torch.nn.Linear(spaces.flatdim(space), 16)
    return InputForgetting(forgetting, space, encoder, Settings(n_epochs=2, n_minibatches=2), 8), encoder


SPACE = spaces.Dict(
    {
        "a": spaces.Box(-1.0, 1.0, (3,)),
        "b": spaces.Discrete(4),
        "c": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0.0, 1.0, (2,)), spaces.MultiDiscrete([2, 3])]),
    }
)
DISCRETE = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1], dtype=torch.bool)


def test_columns_of_discrete_parts_are_known() -> None:
    assert discrete_columns(SPACE).tolist() == DISCRETE.tolist()


def test_embeddings_are_drawn_anew_and_numbers_are_turned() -> None:
    forgetting, encoder = forgetter(EmbeddingForgetting(every=4), SPACE)
    optimizer = torch.optim.Adam(encoder.parameters())
    encoder(torch.ones(2, 16)).sum().backward()
    optimizer.step()
    before, bias = encoder.weight.detach().clone(), encoder.bias.detach().clone()
    moments = optimizer.state[encoder.bias]["exp_avg"].clone()
    assert forgetting.apply(1, optimizer), "an update has 2 x 2 optimiser steps"
    after = encoder.weight.detach()
    assert not torch.isclose(after, before).any()
    old, new = before[:, ~DISCRETE], after[:, ~DISCRETE]
    torch.testing.assert_close(old @ old.T, new @ new.T)  # lengths and angles stay
    old, new = before[:, DISCRETE], after[:, DISCRETE]
    assert (old @ old.T - new @ new.T).abs().max() > 0.1, "of embeddings they do not"
    assert torch.equal(encoder.bias, bias)
    assert not optimizer.state[encoder.weight]["exp_avg"].any()
    assert not optimizer.state[encoder.weight]["exp_avg_sq"].any()
    assert torch.equal(optimizer.state[encoder.bias]["exp_avg"], moments)


def test_embeddings_are_drawn_on_the_scale_at_which_they_start() -> None:
    space = spaces.Discrete(48)
    start = MemoryPPO("gru", _DiscreteOnly(), policy_kwargs={"size": 64}, n_envs=1, seed=0).policy.encoder
    forgetting, _ = forgetter(EmbeddingForgetting(every=4), space)
    assert start.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    forgetting = InputForgetting(EmbeddingForgetting(every=4), space, start, Settings(), 8)
    before = start.weight.std().item()
    forgetting.apply(1, torch.optim.Adam(start.parameters()))
    assert start.weight.std().item() == pytest.approx(before, rel=0.05)


class _DiscreteOnly(gym.Env):
    observation_space = spaces.Discrete(48)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return 0, {}

    def step(self, action: Any) -> Any:
        return 0, 0.0, False, False, {}


def test_active_forgetting_goes_on_and_temporary_forgetting_ends() -> None:
    for until, expected in ((None, [3, 5, 8, 10]), (24, [3, 5])):
        forgetting, encoder = forgetter(EmbeddingForgetting(every=10, until=until), SPACE)
        optimizer = torch.optim.Adam(encoder.parameters())
        assert [u for u in range(1, 11) if forgetting.apply(u, optimizer)] == expected


def test_what_is_drawn_depends_on_seed_and_step_alone() -> None:
    def drawn(seed: int, update: int) -> Tensor:
        forgetting, encoder = forgetter(EmbeddingForgetting(every=4, seed=seed), SPACE)
        forgetting.apply(update, torch.optim.Adam(encoder.parameters()))
        return encoder.weight.detach()

    assert torch.equal(drawn(0, 1), drawn(0, 1))
    assert not torch.isclose(drawn(0, 1), drawn(1, 1)).any()
    assert not torch.isclose(drawn(0, 1), drawn(0, 2)).any()


def test_a_model_forgets_between_updates_and_says_so() -> None:
    """Until the first time it is the same model; off, it is the same to the end."""
    steps = 16 * 3  # the third update has the 48th step
    plain = MemoryPPO("gru", Numbers(), **SMALL)
    forgetful = MemoryPPO("gru", Numbers(), **SMALL, forgetting=EmbeddingForgetting(every=steps))
    never = MemoryPPO("gru", Numbers(), **SMALL, forgetting=EmbeddingForgetting(every=10**6))
    models = (plain, forgetful, never)
    for model in models:
        model.learn(40)
        model.learn(40)
        assert model.num_updates == 2
    assert same(weights(plain), weights(forgetful))
    for model in models:
        model.learn(40)
        assert model.num_updates == 3
    assert same(weights(plain), weights(never))
    changed = {n for n, p in weights(plain).items() if not torch.equal(p, weights(forgetful)[n])}
    assert changed == {"encoder.weight"}
    assert "forgetting" not in plain.card.extra
    assert forgetful.card.extra["forgetting"] == {"every": steps, "until": None, "std": 1.0, "seed": 0}


def test_a_forgetful_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    forgetting = EmbeddingForgetting(every=40, seed=5)
    whole, cut = (MemoryPPO("gru", T_MAZE, **SMALL, forgetting=forgetting) for _ in range(2))
    whole.learn(640)
    cut.learn(200)
    cut.save(tmp_path / "model")
    resumed = MemoryPPO.load(tmp_path / "model", T_MAZE)
    assert resumed.blueprint.forgetting == forgetting
    resumed.learn(640 - resumed.num_timesteps)
    assert same(weights(whole), weights(resumed))
    forgetless = MemoryPPO.load(tmp_path / "model", T_MAZE)
    forgetless._forgetting = None
    forgetless.learn(640 - forgetless.num_timesteps)
    assert not same(weights(whole), weights(forgetless)), "the control"


@pytest.mark.parametrize("value", [{"every": 0}, {"often": 3}, 5, "never"])
def test_forgetting_of_a_file_is_checked(tmp_path: Path, value: Any) -> None:
    MemoryPPO("gru", T_MAZE, **SMALL, forgetting=EmbeddingForgetting()).save(tmp_path / "model")
    file = tmp_path / "model.json"
    content = json.loads(file.read_text())
    content["blueprint"]["forgetting"] = value
    file.write_text(json.dumps(content))
    with pytest.raises(WeightsInvalid):
        MemoryPPO.load(tmp_path / "model")


def test_a_file_from_before_these_options_can_be_read(tmp_path: Path) -> None:
    MemoryPPO("gru", T_MAZE, **SMALL).save(tmp_path / "model")
    file = tmp_path / "model.json"
    content = json.loads(file.read_text())
    del content["blueprint"]["forgetting"], content["pretraining"]
    file.write_text(json.dumps(content))
    assert MemoryPPO.load(tmp_path / "model").pretraining is None


def test_forgetting_is_what_it_should_be() -> None:
    wrong: Any = {"every": 3}
    with pytest.raises(ValueError, match="forgetting is an EmbeddingForgetting"):
        MemoryPPO("gru", T_MAZE, **SMALL, forgetting=wrong)


# ---------------------------------------------------------------------------- curriculum


def test_targets_follow_the_environments_and_others_are_refused() -> None:
    cubes: dict[str, Any] = {**SMALL, "aux_targets": True}
    model = MemoryPPO("gru", "memgym/ColorCubes-v0", env_kwargs={"mode": "medium"}, **cubes)
    model.learn(40)
    model.set_env("memgym/ColorCubes-v0", {"mode": "extreme"})
    model.learn(40)
    assert model._targets is not None
    # what it reads now is the state of the new environments
    assert model.env is not None
    inner: Any = model.env.unwrapped
    before = model._targets.read()["cubes"].copy()
    inner.reset(seed=99)
    assert not np.array_equal(before, model._targets.read()["cubes"])
    with pytest.raises(ValueError, match="observations"):
        model.set_env("memgym/ColorCubes-v0", {"mode": "trivial"})
    maze = MemoryPPO("gru", T_MAZE, **cubes)
    with pytest.raises(ValueError, match="auxiliary targets"):
        maze.set_env(T_MAZE, {"rewriting": "reversal"})


def test_a_schedule_can_end_after_the_call() -> None:
    """Two calls with one schedule are one call, and without it the rate would reach its end twice."""
    given: dict[str, Any] = {**SMALL, "learning_rate": (1e-2, 0.0)}
    whole, parts, apart = (MemoryPPO("gru", Numbers(), **given) for _ in range(3))
    whole.learn(256)
    parts.learn(64, schedule_end=256)
    parts.learn(256 - parts.num_timesteps, schedule_end=256)
    apart.learn(64)
    apart.learn(256 - apart.num_timesteps)
    assert whole.num_timesteps == parts.num_timesteps == apart.num_timesteps
    assert same(weights(whole), weights(parts))
    assert not same(weights(whole), weights(apart))


RECIPE = """
title = "Options"
trainer = "ppo"
seeds = [0]

[env]
id = "memgym/{env}-v0"
{arguments}

[train]
cell = "gru"
total_timesteps = 2048
n_envs = 8
n_steps = 8
learning_rate = [1e-2, 0.0]
policy_kwargs = {{ size = 16 }}
{options}

[evaluate]
episodes = 20
"""
CURRICULA = {
    "ColorCubes": ('mode = "extreme"', '{ share = 0.5, mode = "medium" }'),
    "EndlessTMaze": (
        "num_corridors = 3",
        "{ share = 0.3, num_corridors = 1 }, { share = 0.3, num_corridors = 2 }",
    ),
}


def run_of(tmp_path: Path, env: str, arguments: str, options: str) -> Any:
    path = tmp_path / "options.toml"
    path.write_text(RECIPE.format(env=env, arguments=arguments, options=options))
    return load_recipe(str(path)).runs()[0]


class Watch:
    """Which arguments environments had at each update, and Ctrl-C at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Any] = []
        self.rates: list[float] = []
        self.stop = 0
        update = MemoryPPO._update

        def watched(model: Any, progress: float) -> Any:
            self.seen.append(model.env.unwrapped.arguments)
            if len(self.seen) == self.stop:
                raise KeyboardInterrupt
            measured = update(model, progress)
            self.rates.append(measured["learning_rate"])
            return measured

        monkeypatch.setattr(MemoryPPO, "_update", watched)


@pytest.mark.parametrize("env", CURRICULA)
def test_a_curriculum_goes_through_its_stages_with_one_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    arguments, stages = CURRICULA[env]
    run = run_of(tmp_path, env, arguments, f"curriculum = [{stages}]\naux_targets = true")
    watch = Watch(monkeypatch)
    whole = run_ppo(run, tmp_path / "whole")
    name = "mode" if env == "ColorCubes" else "num_corridors"
    values = [getattr(arguments, name) for arguments in watch.seen]
    changes = [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    assert changes == (["medium", "extreme"] if env == "ColorCubes" else [1, 2, 3])
    assert watch.rates == sorted(watch.rates, reverse=True)
    assert watch.rates[-1] == pytest.approx(0.0, abs=1e-6)
    for stop in (3, len(values) - 3):
        watch.seen, watch.stop = [], stop
        cut = tmp_path / f"cut{stop}"
        with pytest.raises(KeyboardInterrupt):
            run_ppo(run, cut)
        watch.seen, watch.stop = [], 0
        resumed = run_ppo(run, cut)
        assert len(watch.seen) < len(values)
        del resumed["cpu_seconds"]
        assert resumed == {key: value for key, value in whole.items() if key != "cpu_seconds"}


def test_options_reach_the_training_from_a_recipe(tmp_path: Path) -> None:
    numbers = count()

    def steps(options: str) -> tuple[int, Any]:
        result = run_ppo(run_of(tmp_path, "EndlessTMaze", "", options), tmp_path / f"run{next(numbers)}")
        return result["env_steps"], result["curve"]

    plain = steps("")
    pretrained = steps("pretraining = 0.5")
    assert pretrained[0] == pytest.approx(plain[0], rel=0.05), "its steps are of the same number"
    assert pretrained[1]["steps"][-1] == pytest.approx(plain[0] / 2, rel=0.1)
    assert steps("forgetting = { every = 32 }")[1] != plain[1]
    assert steps("forgetting = { every = 1_000_000 }") == plain
    for options, words in (
        ("pretraining = 1.0", "pretraining is a number"),
        ("forgetting = { often = 3 }", "often"),
        ('curriculum = [{ share = 1.2, mode = "medium" }]', "shares"),
    ):
        with pytest.raises(RecipeInvalid, match=words):
            steps(options)


def test_stages_of_other_spaces_are_refused(tmp_path: Path) -> None:
    options = 'curriculum = [{ share = 0.5, mode = "trivial" }]'
    with pytest.raises(RecipeInvalid, match="another single_observation_space"):
        run_ppo(run_of(tmp_path, "ColorCubes", 'mode = "extreme"', options), tmp_path / "run")


def test_settings_of_a_run_are_left_alone(tmp_path: Path) -> None:
    """A run's digest is of what it was made of, and is written after it."""
    run = run_of(tmp_path, "EndlessTMaze", "", "pretraining = 0.5\nforgetting = { every = 32 }")
    before = replace(run).digest
    run_ppo(run, tmp_path / "run")
    assert run.digest == before
