"""What MemoryPPO learns from: advantages at every kind of end, whole sequences, and nothing across a reset."""

import copy
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="MemoryPPO needs torch")
pytest.importorskip("stable_baselines3")

from memgym.agents import MemoryPPO  # noqa: E402
from memgym.agents.ppo import update as update_module  # noqa: E402
from memgym.agents.ppo.rollout import compute_advantages  # noqa: E402

SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
MODES = pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.name)
GAMMA, LAMBDA = 0.9, 0.8


class Clock(gym.Env):
    """Shows how many steps of the episode are over, and what ended the last one; the actions do not matter.

    Args:
        length: steps of an episode.
        end: "terminated", "truncated" or "both".
    """

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(-10.0, 100.0, (2,), np.float32)

    def __init__(self, length: int, end: str = "terminated") -> None:
        self.length, self.end, self.clock = length, end, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.clock = 0
        return self.look(), {}

    def look(self) -> Any:
        return np.array([self.clock, self.length], np.float32)

    def step(self, action: Any) -> Any:
        self.clock += 1
        is_over = self.clock == self.length
        flags = (is_over and self.end != "truncated", is_over and self.end != "terminated")
        return self.look(), float(self.clock), *flags, {}


class Plan(NamedTuple):
    """What one environment of a test is."""

    length: int
    end: str


PLANS = [
    Plan(3, "terminated"),
    Plan(3, "truncated"),
    Plan(4, "both"),
    Plan(5, "truncated"),
    Plan(99, "terminated"),
]


def make_clocks(mode: AutoresetMode, plans: Any = PLANS) -> SyncVectorEnv:
    return SyncVectorEnv([lambda plan=plan: Clock(*plan) for plan in plans], autoreset_mode=mode)


def make_model(env: Any, cell: str = "gru", **arguments: Any) -> MemoryPPO:
    small: dict[str, Any] = {"n_steps": 10, "n_epochs": 1, "n_minibatches": 1, "seed": 0}
    sizes = {"policy_kwargs": {"size": 16, "ffn_mult": 1}}
    model = MemoryPPO(cell, env, gamma=GAMMA, gae_lambda=LAMBDA, **{**small, **sizes, **arguments})
    model.policy.encoder.weight.data *= 0.1  # clocks are large numbers
    return model


def weights(model: MemoryPPO) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.policy.parameters()])


# ---------------------------------------------------------------------- advantages


def expected_advantages(policy: Any, plan: Plan, steps: int, mode: AutoresetMode) -> list[float | None]:
    """By hand: episode after episode, the memory empty before each; None where a step was a reset."""
    row: list[float | None] = []
    while len(row) < steps:
        state = policy.initial_state(1)
        values = []
        for clock in range(plan.length + 1):
            seen = torch.tensor([[float(clock), float(plan.length)]])
            output, state = policy.step(seen, state)
            values.append(float(output[0, -1]))
            if clock == steps - len(row):
                break  # the rollout ends here, and this value stands for what follows
        number = len(values) - 1
        following = 0.0
        episode: list[float | None] = []
        for k in reversed(range(number)):
            is_last = k + 1 == plan.length
            bootstrap = 0.0 if is_last and plan.end != "truncated" else values[k + 1]
            delta = (k + 1) + GAMMA * bootstrap - values[k]
            following = delta + (0.0 if is_last else GAMMA * LAMBDA * following)
            episode.insert(0, following)
        row += episode
        if mode is NEXT and number == plan.length:
            row.append(None)
    return row[:steps]


@MODES
@pytest.mark.parametrize("cell", ["gru", "gtrxl"])
def test_advantages_are_those_worked_out_episode_by_episode(mode: AutoresetMode, cell: str):
    model = make_model(make_clocks(mode), cell)
    policy = copy.deepcopy(model.policy)  # as it was when it acted
    model.learn(10)
    given, targets = model._rollout.advantages(GAMMA, LAMBDA)
    with torch.no_grad():
        wanted = [expected_advantages(policy, plan, 10, mode) for plan in PLANS]
    for i, row in enumerate(wanted):
        for t, value in enumerate(row):
            assert bool(model._rollout.used[t, i]) == (value is not None)
            if value is not None:
                assert float(given[t, i]) == pytest.approx(value, abs=1e-4)
                output = float(model._rollout.outputs[t, i, -1])
                assert float(targets[t, i]) == pytest.approx(value + output, abs=1e-4)


def test_a_truncation_is_worth_more_than_a_termination_by_the_value_that_follows():
    values = torch.tensor([[1.0], [2.0]])
    following = torch.tensor([[2.0], [5.0]])
    ended = torch.tensor([[False], [True]])
    stop, cut = (
        compute_advantages(torch.ones(2, 1), values, following, terminated, ended, 0.5, 0.5)[:, 0].tolist()
        for terminated in (ended, torch.zeros_like(ended))
    )
    # last step: 1 - 2 and 1 + 0.5 * 5 - 2; first: 1 + 0.5 * 2 - 1, and a quarter of the last
    assert stop == [1 - 0.25, -1.0]
    assert cut == [1 + 0.375, 1.5]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1))
def test_advantages_equal_a_plain_loop(seed: int, steps: int, envs: int, gamma: float, lam: float):
    rng = np.random.default_rng(seed)
    rewards, values, following = rng.normal(size=(3, steps, envs))
    ended = rng.random((steps, envs)) < 0.3
    terminated = ended & (rng.random((steps, envs)) < 0.5)
    wanted = np.zeros((steps, envs))
    for i in range(envs):
        carried = 0.0
        for t in reversed(range(steps)):
            future = 0.0 if terminated[t, i] else following[t, i]
            delta = rewards[t, i] + gamma * future - values[t, i]
            carried = delta if ended[t, i] else delta + gamma * lam * carried
            wanted[t, i] = carried
    arrays = (torch.from_numpy(a) for a in (rewards, values, following, terminated, ended))
    np.testing.assert_allclose(wanted, compute_advantages(*arrays, gamma, lam).numpy(), atol=1e-12)


@MODES
def test_a_rollout_goes_on_where_the_last_one_ended(mode: AutoresetMode):
    # with a learning rate of zero, two rollouts of 5 are one of 10
    parts, whole = (make_model(make_clocks(mode), n_steps=n, learning_rate=0.0) for n in (5, 10))
    first: list[Any] = []
    parts.learn(1).learn(1, callback=lambda names, _: first or first.append(parts._rollout.reset[0].clone()))
    whole.learn(1)
    assert torch.equal(parts._rollout.rows, whole._rollout.rows[5:])
    assert torch.equal(parts._rollout.reset, whole._rollout.reset[5:])
    assert torch.equal(parts._rollout.used, whole._rollout.used[5:])
    torch.testing.assert_close(parts._rollout.outputs[..., -1], whole._rollout.outputs[5:, :, -1])


@MODES
def test_first_observations_and_unused_actions_are_marked(mode: AutoresetMode):
    model = make_model(make_clocks(mode, [Plan(3, "terminated")])).learn(1)
    clocks = "0120120120 1" if mode is SAME else "0123012301 2"
    rollout = model._rollout
    assert clocks.replace(" ", "") == "".join(str(int(clock)) for clock in rollout.rows[:, 0, 0])
    assert [c == "0" for c in clocks.replace(" ", "")] == rollout.reset[:, 0].tolist()
    assert [c != "3" for c in clocks[:10]] == rollout.used[:, 0].tolist()


def test_both_modes_learn_the_same_where_no_episode_ends_inside():
    plans = [Plan(25, "terminated"), Plan(30, "truncated")]
    same, following = (
        make_model(make_clocks(mode, plans), n_epochs=3).learn(2 * 20) for mode in (SAME, NEXT)
    )
    assert torch.equal(weights(same), weights(following))


def test_both_modes_tell_the_same_of_the_same_episodes():
    kept = []
    for mode in (SAME, NEXT):
        rollout = make_model(make_clocks(mode)).learn(1)._rollout
        advantages, _ = rollout.advantages(GAMMA, LAMBDA)
        complete = [advantages[rollout.used[:, i], i][: plan.length] for i, plan in enumerate(PLANS[:4])]
        kept.append(torch.cat(complete))
    torch.testing.assert_close(*kept)


@MODES
def test_steps_that_were_resets_have_no_part_in_the_loss(mode: AutoresetMode):
    model = make_model(make_clocks(mode)).learn(1)
    rollout, updater = model._rollout, model._updater
    whole, rows, reset = updater._prepare(rollout)
    output, _ = model.policy(rows, rollout.state, reset)

    def loss(changed: Any) -> float:
        batch = whole._replace(
            advantages=torch.where(rollout.used | ~changed, whole.advantages, 1e3),
            value_targets=torch.where(rollout.used | ~changed, whole.value_targets, -1e3),
            choices=torch.where((rollout.used | ~changed)[..., None], whole.choices, 1 - whole.choices),
        )
        return float(update_module.ppo_loss(output, batch, model._actions, updater.settings, 0.1)[0].detach())

    everywhere = torch.ones_like(rollout.used)
    assert loss(~everywhere) == loss(everywhere)
    assert (mode is NEXT) == bool((~rollout.used).any())


# ---------------------------------------------------------------------- backpropagation through whole sequences


def gradient_at_the_start(cell: str, reset_at: int | None) -> float:
    """Of the last output, in the first observation."""
    model = make_model(make_clocks(SAME), cell)
    rows = torch.rand(12, 3, 2, requires_grad=True)
    reset = torch.zeros(12, 3, dtype=torch.bool)
    if reset_at is not None:
        reset[reset_at] = True
    output, _ = model.policy(rows, model.policy.initial_state(3), reset)
    output[-1].sum().backward()
    assert rows.grad is not None
    assert float(rows.grad[-1].abs().max()) > 0
    return float(rows.grad[0].abs().max())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "lru", "gtrxl", "gdn", "ffm"])
def test_the_gradient_of_the_last_step_reaches_the_first_unless_an_episode_began_between(cell: str):
    assert gradient_at_the_start(cell, None) > 0
    assert gradient_at_the_start(cell, 6) == 0
    assert gradient_at_the_start(cell, 11) == 0


def test_without_memory_no_gradient_reaches_the_first_step():
    assert gradient_at_the_start("mlp", None) == 0


def test_minibatches_are_environments_over_all_steps(monkeypatch: pytest.MonkeyPatch):
    model, seen = make_model(make_clocks(SAME), n_epochs=3, n_minibatches=2), []
    whole = type(model.policy).forward

    def spy(policy: Any, rows: Any, state: Any, reset: Any) -> Any:
        seen.append((tuple(rows.shape), sorted(rows[0, :, 1].tolist())))
        return whole(policy, rows, state, reset)

    monkeypatch.setattr(type(model.policy), "forward", spy)
    model.learn(1)
    assert [shape for shape, _ in seen] == [(10, 3, 2), (10, 2, 2)] * 3
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert sorted(plan.length for plan in PLANS) == sorted(first[1] + second[1])


@MODES
def test_a_wrong_reset_would_show_in_the_ratio(mode: AutoresetMode, monkeypatch: pytest.MonkeyPatch):
    """The negative control of the ratio that is 1 for every memory in the first minibatch."""

    def first_ratio(spoil: bool) -> float:
        largest: list[float] = []

        def spy(output: Any, batch: Any, actions: Any, *rest: Any) -> Any:
            log_probs, _ = actions.evaluate(output[..., :-1], batch.choices)
            largest.append(float(((log_probs - batch.log_probs).exp() - 1).detach().abs().max()))
            return original(output, batch, actions, *rest)

        model = make_model(make_clocks(mode), "lstm")
        model.policy.head.weight.data *= 100
        prepare = model._updater._prepare
        if spoil:
            model._updater._prepare = lambda rollout: (
                *prepare(rollout)[:2],
                torch.zeros_like(rollout.reset[:-1]),
            )
        original = update_module.ppo_loss
        with monkeypatch.context() as patch:
            patch.setattr(update_module, "ppo_loss", spy)
            model.learn(1)
        return largest[0]

    assert first_ratio(spoil=False) < 1e-5
    assert first_ratio(spoil=True) > 1e-3
