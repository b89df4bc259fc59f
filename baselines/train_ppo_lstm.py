"""Train the reference agent "ppo-lstm": sb3-contrib's RecurrentPPO on Endless T-Maze.

::

    python -m memgym.baselines.train_ppo_lstm --out runs/ppo_lstm

It takes about 230 CPU seconds on one thread. Success rate of the greedy policy on 1,000 episodes of the test
split: 1.000 with one, three and ten corridors, where three are trained; without memory it is 0.125 with three.
"""

from dataclasses import dataclass
from typing import Any

from sb3_contrib import RecurrentPPO

from memgym.agents.sb3 import SB3VecEnv
from memgym.baselines.t_maze_training import TMazeConfig, learn_and_score, make_mazes, training_main


@dataclass(frozen=True, kw_only=True)
class Config(TMazeConfig):
    """What a run is made of; a rollout is five corridors' walk, and the LSTM's two state vectors are the memory."""

    total_steps: int = 700_000
    rollout_steps: int = 32
    minibatches: int = 4
    epochs: int = 5
    hidden: int = 48

    def policy_kwargs(self) -> dict[str, Any]:
        """Of the policy: an LSTM for the actor and one for the critic, and no layers behind."""
        return {"net_arch": [], "lstm_hidden_size": self.hidden}


def train(config: Config) -> tuple[RecurrentPPO, dict[str, Any]]:
    """Train one agent.

    Returns:
        The model, and what the card tells of the run: CPU seconds and the scores on the test split.
    """
    envs = SB3VecEnv(make_mazes(config, "train", config.num_envs, config.num_corridors))
    envs.seed(config.seed)
    model = RecurrentPPO(
        "MlpLstmPolicy", envs, policy_kwargs=config.policy_kwargs(), **config.ppo_arguments()
    )
    return model, learn_and_score(model, config, make_mazes)


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save the weights."""
    training_main(
        arguments,
        module="memgym.baselines.train_ppo_lstm",
        name="ppo-lstm",
        description="Remembers in an LSTM's hidden state; PPO on Endless T-Maze with three corridors.",
        default=Config(),
        train=train,
        policy_kwargs=Config().policy_kwargs(),
        settings={},
    )


if __name__ == "__main__":
    main()
