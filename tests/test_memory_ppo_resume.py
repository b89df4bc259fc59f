"""Which environments MemoryPPO brings back to the middle of an episode, and which begin new ones."""

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.weights_io import WeightsInvalid  # noqa: E402
from memgym.core.env import MemoryEnv  # noqa: E402
from memgym.wrappers import Normalised  # noqa: E402

SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
MODES = pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.name)
ROLLOUT = 2 * 6
LENGTH = 10


class Guess(gym.Env):
    """A cue that is never shown decides the rewards: what is seen is the same in every episode."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0.0, 20.0, (1,), np.float32)
    clock = cue = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.clock, self.cue = 0, int(self.np_random.integers(2))
        return self.look(), {}

    def look(self) -> Any:
        return np.array([self.clock], np.float32)

    def step(self, action: Any) -> Any:
        self.clock += 1
        return self.look(), float(action == self.cue), self.clock == LENGTH, False, {}


class Counting(Guess):
    """Counts its episodes, as many do; no seed leads back to one."""

    def __init__(self) -> None:
        self.episode = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episode += 1
        return super().reset(seed=seed)


class CountingVector(gym.vector.VectorWrapper):
    """A vector environment of one's own that counts."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.episode = np.zeros(2, np.int64)

    @property
    def unwrapped(self) -> Any:
        return self


class Theirs(MemoryEnv[Any, Any]):
    """A task of another package, under memgym's protocol."""

    family: ClassVar[str] = "control"
    metric: ClassVar[str] = "score"
    action_space, observation_space = Guess.action_space, Guess.observation_space
    clock = cue = 0
    look, step = Guess.look, Guess.step

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.clock, self.cue = 0, self._begin(seed, options) & 1
        return self.look(), {}


def make_normalised() -> gym.Env:
    return Normalised(Guess(), lambda ret, info: ret / LENGTH)


def make_wrapped() -> gym.Env:
    return gym.wrappers.RecordEpisodeStatistics(Theirs())


def make_envs(make: Any, mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv([make] * 2, autoreset_mode=mode)


def make_model(env: Any) -> MemoryPPO:
    small = {"n_steps": 6, "n_epochs": 1, "n_minibatches": 1, "seed": 0, "policy_kwargs": {"size": 16}}
    return MemoryPPO("gru", env, **small)


def cues(env: Any) -> list[int]:
    return [one.unwrapped.env.cue if "Norm" in str(one) else one.unwrapped.cue for one in env.envs]


@MODES
@pytest.mark.parametrize(
    "make", [Theirs, make_wrapped, make_normalised], ids=["theirs", "wrapped", "normalised"]
)
def test_tasks_under_the_protocol_go_on_in_the_middle_of_an_episode(
    make: Any, mode: AutoresetMode, tmp_path: Path
):
    envs, others = make_envs(make, mode), make_envs(make, mode)
    whole = make_model(envs).learn(3 * ROLLOUT)
    whole.save(tmp_path / "run")
    parts = MemoryPPO.load(tmp_path / "run", others)
    parts._ready_collector(others, False)
    assert cues(envs) == cues(others)
    whole.learn(2 * ROLLOUT)
    parts.learn(2 * ROLLOUT)
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


@MODES
@pytest.mark.parametrize("case", ["none", "counting", "counting-vector"])
def test_environments_of_ones_own_begin_new_episodes_and_say_so(
    case: str, mode: AutoresetMode, tmp_path: Path
):
    def make() -> Any:
        envs = make_envs(Counting if case == "counting" else Guess, mode)
        return CountingVector(envs) if case == "counting-vector" else envs

    make_model(make()).learn(3 * ROLLOUT).save(tmp_path / "run")
    model = MemoryPPO.load(tmp_path / "run", make())
    begun = model.num_timesteps
    with pytest.warns(UserWarning, match="begin new ones"):
        model.learn(1)
    assert model._collector is not None
    assert model._collector.log.seed == begun, "the seed is none of those before"
    assert model._rollout.reset[0].all()
    assert model.num_updates > 3


def test_another_number_of_environments_is_named(tmp_path: Path):
    make_model(make_envs(Guess, SAME)).learn(1).save(tmp_path / "run")
    with pytest.raises(WeightsInvalid, match="number of environments"):
        MemoryPPO.load(tmp_path / "run", SyncVectorEnv([Guess] * 3, autoreset_mode=SAME))
