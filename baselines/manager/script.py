"""What the scripts that train a language model and keep it have in common."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from memgym.baselines.checkpoints import remove_checkpoint, timed
from memgym.baselines.command_line import module_parser
from memgym.baselines.manager.finish import made_with
from memgym.errors import MemgymError

__all__ = ["base_name", "run_script", "script_parser", "train_and_keep"]

Made = TypeVar("Made")


def script_parser(name: str, description: str, what: str) -> argparse.ArgumentParser:
    """A command line with the arguments of all of them.

    Args:
        name: of the module in `memgym.baselines`.
        description: what it does.
        what: is made, in the examples.
    """
    parser = module_parser(
        f"memgym.baselines.{name}",
        description,
        f"--out models/{what}",
        "--out models/small --model models/qwen --lora 16 --device cuda",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to be made")
    parser.add_argument("--model", default="tiny", help="'tiny' (default), a folder, or an id on the hub")
    parser.add_argument(
        "--lora", type=int, default=0, help="rank of adapters; 0 (default) trains the weights"
    )
    parser.add_argument("--device", default="cpu", help="where it runs, e.g. cuda; default cpu")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument(
        "--episodes", type=int, default=60, help="test dialogues to measure it on; default 60"
    )
    return parser


def run_script(
    parser: argparse.ArgumentParser,
    given: argparse.Namespace,
    card: str,
    train: Callable[[], dict[str, Any]],
) -> None:
    """Train on one thread and print the scores; what cannot be done ends in a message.

    Args:
        parser: tells what is wrong.
        given: its arguments.
        card: name of the file that a finished folder has.
        train: gives what the card tells.
    """
    if (given.out / card).exists() or given.out.is_file():
        parser.error(f"{given.out} is there already; remove it, or name another folder.")
    if given.episodes < 1:
        parser.error(f"--episodes is at least 1, not {given.episodes}.")
    torch.set_num_threads(1)
    try:
        print(train()["measured"])
    except (MemgymError, FloatingPointError, OSError, ValueError) as error:
        parser.error(str(error))


def base_name(model: str) -> str:
    """What a card calls the model under an adapter: an id, a folder found from anywhere, or ``""`` for none."""
    if model == "tiny":
        return ""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def train_and_keep(
    out: Path,
    train: Callable[[Path], Made],
    tell: Callable[[Made], dict[str, Any]],
    save: Callable[[Made, dict[str, Any]], None],
) -> dict[str, Any]:
    """Train, from where an interrupted training stopped, and save.

    Args:
        out: the folder to be made; checkpoints lie beside it meanwhile.
        train: given the common beginning of the names of checkpoints, what was trained.
        tell: what the card tells of it, beside CPU seconds and versions.
        save: saves it with a card.

    Returns:
        What the card tells.
    """
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    made, seconds = timed(lambda: train(checkpoint), checkpoint)
    extra = {**tell(made), "cpu_seconds": seconds, "versions": made_with()}
    save(made, extra)
    remove_checkpoint(checkpoint)
    return extra
