"""Train a language model that manages a memory and one that answers from it, by turns, and keep both.

::

    python -m memgym.baselines.train_memory_team --out models/team
    python -m memgym.baselines.train_memory_team --out models/team --model Qwen/Qwen2.5-0.5B-Instruct --lora 16

The task and the training are those of the recipe `memory_team`, whose table `memgym train` makes; this keeps what
was trained. An interrupted run goes on where it stopped when the same command is given again.
The card in the folder is an agent: ``memgym evaluate --agent models/team/team.json --suite dialogue``.
"""

from pathlib import Path
from typing import Any

from memgym.agents.llm.saved import TEAM_CARD, save_team
from memgym.baselines.manager.script import base_name, run_script, script_parser, train_and_keep
from memgym.baselines.manager.team import Team, TeamPlan, measure_team, train_team
from memgym.baselines.manager.training import Record
from memgym.baselines.recipe_file import load_recipe

RECIPE = "memory_team"


def train(plan: TeamPlan, out: Path, seed: int = 0, episodes: int = 60) -> dict[str, Any]:
    """Train, measure and save a team.

    Args:
        plan: how; both learn, from the same model.
        out: the folder to be made.
        seed: of everything random.
        episodes: dialogues of the test split that it is measured on.

    Returns:
        What the card tells of the training.
    """
    env = load_recipe(RECIPE).env

    def tell(made: tuple[Team, dict[str, list[Record]]]) -> dict[str, Any]:
        team, records = made
        return {
            "recipe": RECIPE,
            "plan": vars(plan),
            "seed": seed,
            "curves": {role: [record.curve() for record in some] for role, some in records.items()},
            "episodes": episodes,
            "measured": measure_team({**env, "split": "test"}, episodes, team),
        }

    def save(made: tuple[Team, dict[str, list[Record]]], extra: dict[str, Any]) -> None:
        team, model = made[0], plan.plan("manager").model
        assert team.manager is not None
        assert team.answerer is not None
        save_team(out, team.manager, team.answerer, base_name(model), extra)

    return train_and_keep(out, lambda checkpoint: train_team(plan, env, seed, checkpoint), tell, save)


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save."""
    parser = script_parser(
        "train_memory_team",
        "Train a language model that manages a memory and one that answers from it; save both.",
        "team",
    )
    parser.add_argument("--rounds", type=int, help="turns of each; default those of the recipe")
    given = parser.parse_args(arguments)

    def kept() -> dict[str, Any]:
        recipe = load_recipe(RECIPE).train
        model = {"model": given.model, "lora": given.lora, "device": given.device}
        plan = TeamPlan(
            "manager first",
            rounds=recipe["rounds"] if given.rounds is None else given.rounds,
            answerer={**recipe["answerer"], **model},
            manager={**recipe["manager"], **model},
        )
        return train(plan, given.out, given.seed, given.episodes)

    run_script(parser, given, TEAM_CARD, kept)


if __name__ == "__main__":
    main()
