"""PPO with a GRU on Endless T-Maze, in one file of plain torch: copy it and change what you like.

::

    python examples/cleanrl_style_ppo.py --total-steps 500000

The environment is `gym.make_vec`'s, with nothing around it. Two things to know when you write such a loop:

* With one corridor a policy without memory succeeds half the time, so a success rate of 0.5 is no success.
* In autoreset mode SAME_STEP the observation after the last step of an episode is the first of the next one:
  the network's state is cleared where `done` is set, and infos of the ended episode are in "final_info".

An episode cut off by the time limit counts as ended here, as in most single-file loops; agents that walk do not
meet it. With the defaults the success rate passes 0.95 within 200,000 steps, 15 CPU seconds.
"""

import argparse
import time

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.distributions import Categorical

import memgym  # noqa: F401 - registers the environments

GAMMA, GAE_LAMBDA, CLIP = 0.98, 0.95, 0.2
ENTROPY, VALUE, MAX_GRAD_NORM = 0.01, 0.5, 0.5
EPOCHS, MINIBATCHES = 4, 4


class RecurrentPolicy(nn.Module):
    """A GRU cell between an input layer and the two heads."""

    def __init__(self, obs_dim: int, num_actions: int, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh())
        self.cell = nn.GRUCell(hidden, hidden)
        self.actor = nn.Linear(hidden, num_actions)
        self.critic = nn.Linear(hidden, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)
        nn.init.zeros_(self.actor.bias)

    def forward(self, observations: Tensor, state: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (T, B, A), values (T, B) and the last state (B, H); `starts` (T, B) clears the state."""
        embedded, outputs = self.embed(observations), []
        for x, start in zip(embedded, starts, strict=True):
            state = self.cell(x, state * (1.0 - start)[:, None])
            outputs.append(state)
        y = torch.stack(outputs)
        return self.actor(y), self.critic(y).squeeze(-1), state


def advantages(
    rewards: Tensor, values: Tensor, starts: Tensor, last_value: Tensor, last_start: Tensor
) -> Tensor:
    """Generalised advantage estimation (Schulman et al., 2016), shape (T, B); `starts` marks new episodes."""
    result, running, next_value, next_start = torch.zeros_like(rewards), 0.0, last_value, last_start
    for t in reversed(range(len(rewards))):
        alive = 1.0 - next_start
        delta = rewards[t] + GAMMA * next_value * alive - values[t]
        running = delta + GAMMA * GAE_LAMBDA * alive * running
        result[t] = running
        next_value, next_start = values[t], starts[t]
    return result


def main(
    total_steps: int = 500_000,
    num_corridors: int = 1,
    num_envs: int = 256,
    rollout_steps: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    verbose: bool = False,
) -> list[tuple[int, float]]:
    """Train, and return the success curve: (steps so far, success rate of the episodes since the last point)."""
    torch.manual_seed(seed)
    envs = gym.make_vec(
        "memgym/EndlessTMaze-v0",
        num_envs=num_envs,
        num_corridors=num_corridors,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    obs_dim = gym.spaces.flatdim(envs.single_observation_space)
    num_actions = gym.spaces.flatdim(envs.single_action_space)
    policy = RecurrentPolicy(obs_dim, num_actions)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate, eps=1e-5)

    T, B = rollout_steps, num_envs
    observations = torch.zeros(T, B, obs_dim)
    actions, logprobs = torch.zeros(T, B, dtype=torch.int64), torch.zeros(T, B)
    rewards, values, starts = torch.zeros(T, B), torch.zeros(T, B), torch.zeros(T, B)

    observation = torch.from_numpy(envs.reset(seed=seed)[0])
    start, state = torch.ones(B), torch.zeros(B, policy.hidden)
    curve: list[tuple[int, float]] = []
    num_updates, begin = total_steps // (T * B), time.process_time()
    for update in range(num_updates):
        optimizer.param_groups[0]["lr"] = learning_rate * (1.0 - update / num_updates)
        first_state = state
        won = ended = 0
        for t in range(T):
            observations[t], starts[t] = observation, start
            with torch.no_grad():
                logits, value, state = policy(observation[None], state, start[None])
            choice = Categorical(logits=logits[0])
            actions[t] = choice.sample()
            logprobs[t], values[t] = choice.log_prob(actions[t]), value[0]
            next_observation, reward, terminated, truncated, infos = envs.step(actions[t].numpy())
            observation, rewards[t] = torch.from_numpy(next_observation), torch.from_numpy(reward)
            done = np.logical_or(terminated, truncated)
            start = torch.from_numpy(done).float()
            if done.any():
                ended += int(done.sum())
                won += int(infos["final_info"]["success"].sum())
        curve.append(((update + 1) * T * B, won / max(ended, 1)))
        if verbose:
            print(
                f"steps {curve[-1][0]:>8}  success {curve[-1][1]:.3f}  {time.process_time() - begin:.1f} CPU s"
            )

        with torch.no_grad():
            last_value = policy(observation[None], state, start[None])[1][0]
            advantage = advantages(rewards, values, starts, last_value, start)
            target = advantage + values
        for _ in range(EPOCHS):
            # a minibatch is some environments over the whole rollout, so that the GRU sees time in order
            for chosen in torch.randperm(B).chunk(MINIBATCHES):
                logits, value, _ = policy(observations[:, chosen], first_state[chosen], starts[:, chosen])
                choice = Categorical(logits=logits)
                ratio = (choice.log_prob(actions[:, chosen]) - logprobs[:, chosen]).exp()
                gain = advantage[:, chosen]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                policy_loss = -torch.min(gain * ratio, gain * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                value_loss = 0.5 * (value - target[:, chosen]).square().mean()
                loss = policy_loss + VALUE * value_loss - ENTROPY * choice.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), MAX_GRAD_NORM)
                optimizer.step()
    envs.close()
    return curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="PPO with a GRU on Endless T-Maze.")
    parser.add_argument("--total-steps", type=int, default=500_000)
    parser.add_argument("--num-corridors", type=int, default=1)
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)  # the network is small: more threads only wait for each other
    main(given.total_steps, given.num_corridors, given.num_envs, seed=given.seed, verbose=True)
