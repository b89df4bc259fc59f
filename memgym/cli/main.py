"""``memgym``: the commands in one place."""

import inspect
from collections.abc import Callable
from typing import Any

import typer

from memgym.cli.compare import compare
from memgym.cli.data import app as data
from memgym.cli.evaluate import evaluate
from memgym.cli.judge import judge
from memgym.cli.leaderboard import app as leaderboard
from memgym.cli.listing import list_names
from memgym.cli.play import play
from memgym.cli.register import register
from memgym.cli.submit import submit
from memgym.cli.train import plot, train
from memgym.cli.verify import verify

__all__ = ["app"]

app = typer.Typer(
    help="Can an agent remember? Environments, evaluation, verification and a leaderboard.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS = {
    "list": list_names,
    "play": play,
    "train": train,
    "plot": plot,
    "evaluate": evaluate,
    "compare": compare,
    "verify": verify,
    "register": register,
    "submit": submit,
    "judge": judge,
}


def _help(command: Callable[..., Any]) -> str:
    """A command's docstring, whose paragraphs flow: Rich keeps line breaks, and a terminal has its own width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(part if part[0] == " " else " ".join(part.split("\n")) for part in paragraphs)


for name, command in COMMANDS.items():
    app.command(name, help=_help(command))(command)
app.add_typer(data, name="data")
app.add_typer(leaderboard, name="leaderboard")
