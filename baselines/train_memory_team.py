"""Train a language model that manages a memory and one that answers from it, by turns, and keep both.

::

    python -m memgym.baselines.train_memory_team --out models/team
    python -m memgym.baselines.train_memory_team --out models/team --model Qwen/Qwen2.5-0.5B-Instruct --lora 16

The task and the training are those of the recipe `memory_team`, whose table `memgym train` makes; this keeps what
was trained.
An interrupted run goes on where it stopped when the same command is given again.
The card in the folder is an agent: ``memgym evaluate --agent models/team/team.json --suite dialogue``.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from memgym.agents.llm.saved import TEAM_CARD, save_team
from memgym.baselines.manager.team import TeamPlan, measure_team, train_team
from memgym.baselines.recipe import load_recipe
from memgym.core.evaluate import versions
from memgym.errors import MemgymError

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
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    begun = any(checkpoint.parent.glob(f"{checkpoint.name}*"))
    since = time.process_time()
    team, records = train_team(plan, env, seed, checkpoint)
    seconds = time.process_time() - since
    extra = {
        "recipe": RECIPE,
        "plan": vars(plan),
        "seed": seed,
        "cpu_seconds": None if begun else round(seconds, 1),
        "curves": {role: [record.curve() for record in some] for role, some in records.items()},
        "episodes": episodes,
        "measured": measure_team({**env, "split": "test"}, episodes, team),
        "versions": {**versions(), "torch": torch.__version__, "transformers": transformers.__version__},
    }
    model = plan.plan("manager").model
    assert team.manager is not None
    assert team.answerer is not None
    save_team(out, team.manager, team.answerer, "" if model == "tiny" else model, extra)
    for file in checkpoint.parent.glob(f"{checkpoint.name}*"):
        file.unlink()
    return extra


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save."""
    parser = argparse.ArgumentParser(
        prog="python -m memgym.baselines.train_memory_team",
        description="Train a language model that manages a memory and one that answers from it; save both.",
        epilog="examples:\n  python -m memgym.baselines.train_memory_team --out models/team\n"
        "  python -m memgym.baselines.train_memory_team --out models/team --model models/qwen --lora 16 "
        "--device cuda\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to be made")
    parser.add_argument("--model", default="tiny", help="'tiny' (default), a folder, or an id on the hub")
    parser.add_argument(
        "--lora", type=int, default=0, help="rank of adapters; 0 (default) trains the weights"
    )
    parser.add_argument("--device", default="cpu", help="where both run, e.g. cuda; default cpu")
    parser.add_argument("--rounds", type=int, help="turns of each; default those of the recipe")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument(
        "--episodes", type=int, default=60, help="test dialogues to measure it on; default 60"
    )
    given = parser.parse_args(arguments)
    if (given.out / TEAM_CARD).exists():
        parser.error(f"{given.out} is there already; remove it, or name another folder.")

    torch.set_num_threads(1)
    try:
        recipe = load_recipe(RECIPE).train
        model = {"model": given.model, "lora": given.lora, "device": given.device}
        plan = TeamPlan(
            "both",
            rounds=recipe["rounds"] if given.rounds is None else given.rounds,
            answerer={**recipe["answerer"], **model},
            manager={**recipe["manager"], **model},
        )
        print(train(plan, given.out, given.seed, given.episodes)["measured"])
    except (MemgymError, OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
