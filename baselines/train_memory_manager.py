"""Train one language model that manages a memory, and keep it: whole, or as adapters (LoRA) of a model of yours.

::

    python -m memgym.baselines.train_memory_manager --out models/manager
    python -m memgym.baselines.train_memory_manager --out models/manager --model Qwen/Qwen2.5-0.5B-Instruct --lora 16

The task and the training are those of the recipe `memory_manager`, whose table `memgym train` makes; this keeps the
model. An interrupted run goes on where it stopped when the same command is given again.
The card in the folder is an agent: ``memgym evaluate --agent models/manager/manager.json --suite dialogue``.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.saved import CARD, save_model
from memgym.baselines.manager.dialogues import Source
from memgym.baselines.manager.measure import measure_manager
from memgym.baselines.manager.run import TEST_SEED, train_manager
from memgym.baselines.manager.training import CREDITS, Plan
from memgym.baselines.recipe import load_recipe
from memgym.core.evaluate import versions
from memgym.errors import MemgymError

RECIPE = "memory_manager"


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
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    begun = any(checkpoint.parent.glob(f"{checkpoint.name}*"))
    since = time.process_time()
    manager, record = train_manager(plan, env, seed, checkpoint, tensorboard)
    seconds = time.process_time() - since
    source = Source({**env, "split": "test"})
    dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(episodes)]
    extra = {
        "recipe": RECIPE,
        "plan": vars(plan),
        "seed": seed,
        "cpu_seconds": None if begun else round(seconds, 1),
        "curve": record.curve(),
        "episodes": episodes,
        "measured": measure_manager(source, dialogues, manager).to_dict(),
        "versions": {**versions(), "torch": torch.__version__, "transformers": transformers.__version__},
    }
    save_model(out, manager, "" if plan.model == "tiny" else plan.model, extra)
    for file in checkpoint.parent.glob(f"{checkpoint.name}*"):
        file.unlink()
    return extra


def main(arguments: list[str] | None = None) -> None:
    """Train, print the scores, save."""
    parser = argparse.ArgumentParser(
        prog="python -m memgym.baselines.train_memory_manager",
        description="Train a language model that manages a memory; save its weights or its adapter, and a card.",
        epilog="examples:\n  python -m memgym.baselines.train_memory_manager --out models/manager\n"
        "  python -m memgym.baselines.train_memory_manager --out models/small --model models/qwen --lora 16 "
        "--device cuda\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to be made")
    parser.add_argument("--model", default="tiny", help="'tiny' (default), a folder, or an id on the hub")
    parser.add_argument(
        "--lora", type=int, default=0, help="rank of adapters; 0 (default) trains the weights"
    )
    parser.add_argument("--device", default="cpu", help="where it runs, e.g. cuda; default cpu")
    parser.add_argument("--form", choices=list(FORMS), default="json", help="of its replies; default json")
    parser.add_argument("--credit", choices=CREDITS, default="local", help="default local")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--tensorboard", type=Path, help="folder for TensorBoard; default none")
    parser.add_argument(
        "--episodes", type=int, default=60, help="test dialogues to measure it on; default 60"
    )
    given = parser.parse_args(arguments)
    if (given.out / CARD).exists():
        parser.error(f"{given.out} is there already; remove it, or name another folder.")

    torch.set_num_threads(1)
    try:
        plan = Plan(
            credit=given.credit, model=given.model, device=given.device, lora=given.lora, form=given.form
        )
        print(train(plan, given.out, given.seed, given.tensorboard, given.episodes)["measured"])
    except (MemgymError, OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
