"""Stable-Baselines3 learns to manage a text memory: what to write, what to replace, what to erase.

::

    python examples/train_sb3_dialogue.py

Two people tell facts about themselves among small talk; every fact changes, some are to be forgotten. Six slots share
448 bytes. PPO sees integers and acts with integers; a fixed reader answers from what is in the slots. After 40,960
steps it answers more questions about unseen people than `recency`, which keeps the newest turns in as many bytes.
"""

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from memgym.agents import make_agent
from memgym.agents.slot_policy import SlotPolicy
from memgym.wrappers import SlotActions, TokenObservation

TASK = {"num_sessions": 5, "turns_per_session": 8, "num_facts": 6, "num_events": 0, "update_rate": 1.0}
TASK |= {"question_types": ["single-hop", "knowledge-update", "deletion"], "answer_format": "choice"}
TASK |= {"reader": "extractive", "memory_budget": 448, "view_bytes": 448}
SLOTS, CONVERSATIONS = 6, 50


def make_task(**kwargs) -> gym.Env:
    """The conversation as every agent sees it."""
    return gym.make("memgym/DialogueMemory-v0", disable_env_checker=True, **TASK, **kwargs)


def in_integers(env: gym.Env) -> gym.Env:
    """The same as arrays of word numbers, acted in with an operation and a slot."""
    return TokenObservation(SlotActions(env, SLOTS), memory_entries=SLOTS, vocab_size=8192)


def score(agent, env: gym.Env) -> float:
    """Share of questions answered rightly, over conversations of the test split."""
    scores = []
    for episode in range(CONVERSATIONS):
        observation, info = env.reset(seed=0, options={"episode": episode})
        state, start, over = None, True, False
        while not over:
            action, state = agent.predict(observation, state=state, episode_start=start, deterministic=True)
            observation, _, over, _, info = env.step(action)
            start = False
        scores.append(info["score"])
    return sum(scores) / len(scores)


def main(total_steps: int = 40_960) -> None:
    """Train, then score on people, words and sentences that training never showed."""
    torch.set_num_threads(1)
    # the reward for operations is for training only; what is scored are answers
    envs = make_vec_env(lambda: in_integers(make_task(op_reward=5.0)), n_envs=32, seed=0)
    model = PPO(
        SlotPolicy,
        envs,
        n_steps=32,
        batch_size=512,
        n_epochs=8,
        learning_rate=lambda left: 4e-3 * left,
        gamma=0.8,
        gae_lambda=0.9,
        ent_coef=0.01,
        seed=0,
        verbose=1,
    )
    model.learn(total_steps)
    print(f"recency  {score(make_agent('recency'), make_task(split='test')):.3f}")
    print(f"PPO      {score(model, in_integers(make_task(split='test'))):.3f}")


if __name__ == "__main__":
    main()
