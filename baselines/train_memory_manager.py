"""Train one language model that manages a memory, and keep it: whole, or as adapters (LoRA) of a model of yours.

::

    python -m memgym.baselines.train_memory_manager --out models/manager
    python -m memgym.baselines.train_memory_manager --out models/manager --model Qwen/Qwen2.5-0.5B-Instruct --lora 16

The task and the training are those of the recipe `memory_manager` without demonstrations, whose table `memgym train`
makes; this keeps the model. An interrupted run goes on where it stopped when the same command is given again.
The card in the folder is an agent: ``memgym evaluate --agent models/manager/manager.json --suite dialogue``.
"""

from pathlib import Path
from typing import Any

from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.manager import MemoryManager
from memgym.agents.llm.saved import CARD, save_model
from memgym.baselines.manager.dialogues import Source
from memgym.baselines.manager.measure import measure_manager
from memgym.baselines.manager.run import TEST_SEED, train_manager
from memgym.baselines.manager.script import base_name, run_script, script_parser, train_and_keep
from memgym.baselines.manager.training import CREDITS, LEARNERS, Plan, Record
from memgym.baselines.recipe_file import load_recipe

RECIPE = "memory_manager"


def recipe_plan(credit: str, **given: Any) -> Plan:
    """How the recipe's row of this credit learns, with other settings where some are given."""
    [run] = load_recipe(RECIPE).runs((0,), {"credit": credit, "oracle": "0.0"})
    return Plan(**{**run.train, **given})


def train(
    plan: Plan, out: Path, seed: int = 0, tensorboard: Path | None = None, episodes: int = 60
) -> dict[str, Any]:
    """Train, measure and save a manager.

    Args:
        plan: how.
        out: the folder to be made.
        seed: of everything random.
        tensorboard: folder for curves.
        episodes: dialogues of the test split that it is measured on.

    Returns:
        What the card tells of the training.
    """
    env = load_recipe(RECIPE).env

    def tell(made: tuple[MemoryManager, Record]) -> dict[str, Any]:
        manager, record = made
        source = Source({**env, "split": "test"})
        dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(episodes)]
        return {
            "recipe": RECIPE,
            "plan": vars(plan),
            "seed": seed,
            "curve": record.curve(),
            "episodes": episodes,
            "measured": measure_manager(source, dialogues, manager).to_dict(),
        }

    return train_and_keep(
        out,
        lambda checkpoint: train_manager(plan, env, seed, checkpoint, tensorboard),
        tell,
        lambda made, extra: save_model(out, made[0], base_name(plan.model), extra),
    )


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save."""
    parser = script_parser(
        "train_memory_manager",
        "Train a language model that manages a memory; save its weights or its adapter, and a card.",
        "manager",
    )
    parser.add_argument(
        "--form", choices=list(FORMS), help="of its replies; default tools for mem-alpha, else json"
    )
    parser.add_argument("--credit", choices=CREDITS, default="local", help="default local")
    parser.add_argument(
        "--learner",
        choices=LEARNERS,
        default="memgym",
        help="whose GRPO: trl for TRL's GRPOTrainer; default memgym",
    )
    parser.add_argument("--tensorboard", type=Path, help="folder for TensorBoard; default none")
    given = parser.parse_args(arguments)

    def kept() -> dict[str, Any]:
        plan = recipe_plan(
            given.credit,
            model=given.model,
            device=given.device,
            lora=given.lora,
            learner=given.learner,
            **({} if given.form is None else {"form": given.form}),
        )
        return train(plan, given.out, given.seed, given.tensorboard, given.episodes)

    run_script(parser, given, CARD, kept)


if __name__ == "__main__":
    main()
