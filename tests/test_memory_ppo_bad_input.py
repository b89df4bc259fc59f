"""What MemoryPPO cannot use, it names: settings, spaces, and what environments return."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import memgym  # noqa: F401 - registers the environments

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.ppo import (  # noqa: E402
    ObservationInvalid,
    PrivilegedTargets,
    RewardInvalid,
    TrainingDiverged,
)
from memgym.errors import MemgymError, UnknownName  # noqa: E402

SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
MODES = pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.name)


class Clock(gym.Env):
    """Shows how many steps of the episode are over, which is truncated after `length`.

    Args:
        length: steps of an episode.
        spoil: changes what a step returns.
    """

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(-10.0, 100.0, (2,), np.float32)

    def __init__(self, length: int = 50, spoil: Any = None) -> None:
        self.length, self.spoil = length, spoil
        self.clock = self.total = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.clock = 0
        return self.look(), {}

    def look(self) -> Any:
        return np.array([self.clock, 1], np.float32)

    def step(self, action: Any) -> Any:
        self.clock += 1
        self.total += 1
        result = (self.look(), 1.0, False, self.clock == self.length, {})
        return result if self.spoil is None else self.spoil(self, result)


def make_clocks(mode: AutoresetMode, length: int = 50, spoil: Any = None, num_envs: int = 2) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: Clock(length, spoil)] * num_envs, autoreset_mode=mode)


def make_model(env: Any = None, cell: str = "gru", **arguments: Any) -> MemoryPPO:
    small = {"n_steps": 10, "n_epochs": 1, "n_minibatches": 1, "seed": 0, "policy_kwargs": {"size": 16}}
    return MemoryPPO(cell, make_clocks(SAME) if env is None else env, **{**small, **arguments})


def weights(model: MemoryPPO) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.policy.parameters()])


# ---------------------------------------------------------------------- bad settings


BAD = {
    "n_steps": (0, -1, 1.5, "8", None, True),
    "n_epochs": (0, 1.5),
    "n_minibatches": (0, "2"),
    "n_envs": (0, -3, 1.5),
    "learning_rate": (-1e-3, float("nan"), "1e-3", (1e-3,), (1e-3, -1), lambda progress: progress),
    "ent_coef": (-0.1, (0.1, float("inf"))),
    "gamma": (-0.1, 1.1, float("nan")),
    "gae_lambda": (2, None),
    "clip_range": (-1, float("nan")),
    "vf_coef": (-1,),
    "max_grad_norm": (-1, "x"),
    "aux_coef": (-1,),
    "seed": (-1, 1.5, "x", 1 << 40),
    "num_threads": (0, "many"),
    "name": ("../up", "a b", 5),
    "device": ("gpu", "cuda:99", 1.5),
    "policy_kwargs": (
        {"net_arch": [64]},
        {"size": 0},
        {"size": 10**9},
        {"num_layers": 0},
        {"ffn_mult": "x"},
        5,
    ),
    "module_kwargs": (
        {"hiden": 8},
        {"hidden": -1},
        {"hidden": "x"},
        {"hidden": 1.5},
        {"hidden": object()},
        5,
    ),
    "aux_targets": (5, "cue"),
    "forgetting": (5,),
}


@pytest.mark.parametrize(("argument", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_setting_is_named(argument: str, value: Any):
    words = {
        "policy_kwargs": "policy_kwargs|size|num_layers|ffn_mult",
        "module_kwargs": "hid|memory 'gru'|module",
    }
    with pytest.raises(ValueError, match=words.get(argument, argument)):
        make_model(**{argument: value})


@pytest.mark.parametrize(("cell", "near"), [("ltsm", "'lstm'"), ("memory", "Known: .*gtrxl")])
def test_an_unknown_memory_suggests_near_names(cell: str, near: str):
    with pytest.raises(UnknownName, match=near):
        make_model(cell=cell)


@pytest.mark.parametrize("cell", [5, None, "nothing.here:Cell", "torch:Nothing"])
def test_what_is_no_memory_is_named(cell: Any):
    with pytest.raises((ValueError, MemgymError), match=r"memory|module|Nothing"):
        make_model(cell=cell)


@pytest.mark.parametrize("steps", [0, -5, 1.5, "many"])
def test_total_timesteps_is_a_positive_integer(steps: Any):
    with pytest.raises(ValueError, match="total_timesteps"):
        make_model().learn(steps)


# ---------------------------------------------------------------------- environments


def spoil_from(step: int, change: Any) -> Any:
    return lambda clock, result: change(*result) if clock.total >= step else result


NAN_SEEN = spoil_from(14, lambda seen, *rest: (seen * np.nan, *rest))
INF_SEEN = spoil_from(14, lambda seen, *rest: (seen + np.inf, *rest))
NAN_REWARD = spoil_from(14, lambda seen, reward, *rest: (seen, np.nan, *rest))
INF_REWARD = spoil_from(14, lambda seen, reward, *rest: (seen, -np.inf, *rest))


@MODES
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (NAN_SEEN, ObservationInvalid, "environment [01], step 4"),
        (INF_SEEN, ObservationInvalid, "not finite"),
        (NAN_REWARD, RewardInvalid, "environment 0, step 3"),
        (INF_REWARD, RewardInvalid, "not finite"),
    ],
    ids=["nan-seen", "inf-seen", "nan-reward", "inf-reward"],
)
def test_numbers_that_are_not_finite_are_named_and_change_no_weight(
    mode: AutoresetMode, spoil: Any, error: type[Exception], words: str
):
    env = make_clocks(mode, 50, spoil)
    model = make_model(env).learn(20)
    before = weights(model)
    with pytest.raises(error, match=words):
        model.learn(20)
    assert torch.equal(before, weights(model))
    for one in env.envs:
        one.unwrapped.spoil = None
    assert model.learn(1).num_updates == 2, "training goes on with new episodes"
    assert weights(model).isfinite().all()


def test_a_last_observation_that_is_not_finite_is_named():
    def spoil(clock: Any, result: Any) -> Any:
        return (result[0] * np.nan, *result[1:]) if result[3] else result

    model = make_model(make_clocks(SAME, 4, spoil))
    with pytest.raises(ObservationInvalid, match="last observation"):
        model.learn(1)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda seen, reward, *rest: (seen[:, :1], reward, *rest), ObservationInvalid),
        (lambda seen, reward, *rest: (seen[:1], reward, *rest), ObservationInvalid),
        (lambda seen, reward, *rest: (np.array(["x"] * len(seen)), reward, *rest), ObservationInvalid),
        (lambda seen, reward, *rest: (seen, reward[:1], *rest), RewardInvalid),
        (lambda seen, reward, *rest: (seen, reward[:, None], *rest), RewardInvalid),
    ],
    ids=["narrow", "few", "text", "few-rewards", "deep-rewards"],
)
def test_a_batch_of_another_shape_is_named_and_new_episodes_follow(change: Any, error: type[Exception]):
    class Spoiled(gym.vector.VectorWrapper):
        calls = 0

        def step(self, actions: Any) -> Any:
            self.calls += 1
            result = self.env.step(actions)
            return change(*result) if self.calls == 7 else result

    model = make_model(Spoiled(make_clocks(SAME)))
    with pytest.raises(error):
        model.learn(1)
    model.learn(1)
    assert (model._rollout.rows[0, :, 0] == 0).all()
    assert model._rollout.reset[0].all()


class Wide(gym.vector.VectorEnv):
    """A vector environment of one's own in mode SAME_STEP, which returns lists; episodes are cut after 4 steps.

    Args:
        change: what a step returns.
    """

    def __init__(self, change: Any = None) -> None:
        self.num_envs, self.change, self.clock = 2, change, 0
        self.metadata = {"autoreset_mode": SAME}
        self.single_observation_space, self.single_action_space = Clock.observation_space, Clock.action_space
        self.observation_space = spaces.Box(-10.0, 100.0, (2, 2), np.float32)
        self.action_space = spaces.MultiDiscrete([2, 2])

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.clock = 0
        return np.zeros((2, 2), np.float32), {}

    def step(self, actions: Any) -> Any:
        self.clock += 1
        infos: dict[str, Any] = {"success": [True, False]}
        is_over = self.clock % 4 == 0
        if is_over:
            infos["final_obs"] = [[4, 1], [4, 1]]
        result = (np.zeros((2, 2)), [0.0, 1.0], [False, False], [is_over, is_over], infos)
        return result if self.change is None else self.change(*result)


def test_lists_will_do():
    model = make_model(Wide()).learn(1)
    assert model.num_timesteps == 20
    assert list(model.ep_success_buffer) == [True, False] * 2
    assert model._rollout.ended[2:].sum() == 4
    assert (model._rollout.final_values != 0).sum() == 4


def without_last(seen: Any, reward: Any, over: Any, timeout: Any, infos: Any) -> Any:
    infos.pop("final_obs", None)
    return seen, reward, over, timeout, infos


def with_last(value: Any) -> Any:
    return lambda *result: (*result[:4], {**result[4], "final_obs": value})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (without_last, ObservationInvalid, "SAME_STEP infos\\['final_obs'\\] holds the last observation"),
        (with_last(None), ObservationInvalid, "in step 3 of the rollout it does not"),
        (with_last([None, None]), ObservationInvalid, "final_obs"),
        (with_last([[1, 2]]), ObservationInvalid, "final_obs"),
        (with_last([[1], [2]]), ObservationInvalid, "final_obs"),
        (lambda s, r, over, *rest: (s, r, over[:1], *rest), RewardInvalid, "terminations have shape"),
        (lambda s, r, over, cut, i: (s, r, over, False, i), RewardInvalid, "truncations have shape"),
        (lambda s, r, *rest: (s, [[1.0], [1.0, 2.0]], *rest), RewardInvalid, "rewards are not numbers"),
        (lambda *result: (*result[:4], {**result[4], "success": True}), RewardInvalid, "success"),
    ],
    ids="no-last last-none last-nones few-last narrow-last few-ends one-end ragged-rewards one-success".split(),
)
def test_what_a_vector_environment_of_ones_own_leaves_out_is_named(
    change: Any, error: type[Exception], words: str
):
    model = make_model(Wide(change))
    with pytest.raises(error, match=words):
        model.learn(1)


ONE = {"clock": (1, 50)}
TARGETS: dict[str, tuple[Any, str]] = {
    "missing": ({}, r"are \['clock'\], and `read` gave \[\]"),
    "another": ({"hour": np.zeros((2, 1), int)}, r"`read` gave \['hour'\]"),
    "one more": ({"clock": np.zeros((2, 1), int), "hour": np.zeros((2, 1), int)}, "hour"),
    "no mapping": (np.zeros((2, 1), int), "ndarray"),
    "floats": ({"clock": np.full((2, 1), 1.9)}, r"'clock' is integers of shape \(2, 1\), .* float64"),
    "flat": ({"clock": np.zeros(2, int)}, r"int64\(2,\)"),
    "few": ({"clock": np.zeros((1, 1), int)}, r"int64\(1, 1\)"),
    "text": ({"clock": [["x"], ["y"]]}, "'clock' is integers"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets_that_are_not_as_declared_are_named(case: str):
    given, words = TARGETS[case]
    model = make_model(aux_targets=lambda env: PrivilegedTargets(ONE, lambda: given))
    with pytest.raises(RewardInvalid, match=words):
        model.learn(1)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.bool_])
def test_targets_are_integers_of_any_kind(kind: Any):
    targets = PrivilegedTargets(ONE, lambda: {"clock": np.ones((2, 1), kind)})
    assert (make_model(aux_targets=lambda env: targets).learn(1)._rollout.targets["clock"] == 1).all()


def test_a_function_that_gives_no_targets_is_named():
    with pytest.raises(ValueError, match="gives PrivilegedTargets, not dict"):
        make_model(aux_targets=lambda env: {"clock": (1, 50)})


def test_a_loss_that_is_not_finite_is_named():
    huge = spoil_from(1, lambda seen, reward, *rest: (seen, 1e30, *rest))
    with pytest.raises(TrainingDiverged, match="lower learning_rate or scale the rewards"):
        make_model(make_clocks(SAME, 50, huge)).learn(1)


@pytest.mark.parametrize(
    "space",
    [spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.Graph(spaces.Discrete(2), None)],
    ids=str,
)
def test_observations_without_a_fixed_size_are_named(space: spaces.Space):
    class Odd(Clock):
        observation_space: Any = space

        def look(self) -> Any:
            return space.sample()

    with pytest.raises(ValueError, match="MemoryPPO reads Box"):
        make_model(Odd(3))


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (2,)), spaces.MultiBinary(3), spaces.MultiDiscrete([[2], [3]])], ids=str
)
def test_actions_that_cannot_be_played_are_named(space: spaces.Space):
    class Odd(Clock):
        action_space: Any = space

    with pytest.raises(ValueError, match="MemoryPPO plays Discrete and one-dimensional MultiDiscrete"):
        make_model(Odd(3))


def test_environments_that_do_not_reset_themselves_are_named():
    with pytest.raises(ValueError, match="NEXT_STEP or SAME_STEP"):
        make_model(make_clocks(AutoresetMode.DISABLED))
    with pytest.raises(TypeError, match="env is an id"):
        make_model(5)
