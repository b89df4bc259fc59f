"""``memgym``: the commands in one place."""

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
app.command("list")(list_names)
app.command("play")(play)
app.command("train")(train)
app.command("plot")(plot)
app.command("evaluate")(evaluate)
app.command("compare")(compare)
app.command("verify")(verify)
app.command("register")(register)
app.command("submit")(submit)
app.command("judge")(judge)
app.add_typer(data, name="data")
app.add_typer(leaderboard, name="leaderboard")
