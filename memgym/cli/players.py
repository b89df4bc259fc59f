"""What the commands that let agents play have in common."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from memgym.core.evaluate import AgentSpec
from memgym.registry import load_object

__all__ = [
    "AgentsOption",
    "EpisodesOption",
    "SeedsOption",
    "SuiteOption",
    "check_out",
    "read_agents",
    "resumable",
]

AgentsOption = Annotated[
    list[str],
    typer.Option(
        "--agent",
        "--agents",
        "-a",
        help="Agent, or several with commas: registered names, 'module:attr', files that MemoryPPO saved "
        "(MODEL.safetensors), or cards of memory managers and teams (FOLDER/manager.json, FOLDER/team.json). "
        "May be repeated.",
    ),
]
SuiteOption = Annotated[str, typer.Option("--suite", "-s", help="Suite of tasks; see `memgym list suites`.")]
EpisodesOption = Annotated[int | None, typer.Option(help="Episodes a task and seed, instead of the suite's.")]
SeedsOption = Annotated[int | None, typer.Option(help="Number of reserved seeds, instead of the suite's.")]


def check_out(out: Path) -> None:
    """Refuse a place for results that is a file."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"--out is a folder, and {out} is a file.")


def read_agents(parts: Sequence[str]) -> list[AgentSpec]:
    """The agents that an option names, each once, in order."""
    names = dict.fromkeys(name for part in parts for name in part.split(",") if name)
    if not names:
        raise typer.BadParameter("--agents names one agent at least.")
    maker_of = load_object("memgym.agents:maker_of")
    return [AgentSpec(*maker_of(name)) for name in names]


@contextmanager
def resumable(console: Console) -> Iterator[None]:
    """Say how to go on after an interruption."""
    try:
        yield
    except KeyboardInterrupt:
        console.print("Interrupted. Give the same command again to go on from here.")
        raise typer.Exit(130) from None
