"""``memgym list``: what there is."""

import inspect
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memgym.core.suites import SUITES, get_suite
from memgym.datasets import DATASETS, get_dataset
from memgym.envs import ENVIRONMENTS
from memgym.errors import DependencyMissing, UnknownName
from memgym.registry import Registry, load_object

__all__ = ["list_names"]

REGISTRIES = {"agents": "memgym.agents:AGENTS", "memories": "memgym.agents.nn:MODULES"}
KINDS = ("envs", "agents", "memories", "suites", "datasets", "recipes")


def list_names(
    kind: Annotated[
        str, typer.Argument(help=f"What to list: {', '.join(KINDS)}; all of them by default.")
    ] = "",
) -> None:
    """List environments, agents, neural memories, suites, datasets and recipes.

    [dim]Examples:[/dim]

        memgym list

        memgym list agents
    """
    if kind and kind not in KINDS:
        raise UnknownName(f"nothing to list under {kind!r}. Known: {', '.join(KINDS)}.")
    console = Console()
    for name in [kind] if kind else KINDS:
        table = Table(title=name, title_justify="left", title_style="bold", box=None, header_style="dim")
        table.add_column("name", style="cyan", no_wrap=True)
        table.add_column("what it is")
        for row in _rows(name):
            table.add_row(*row)
        console.print(table)
        console.print()


def _rows(kind: str) -> list[tuple[str, str]]:
    if kind == "envs":
        return [(name, _first_line(ENVIRONMENTS.resolve(name))) for name in ENVIRONMENTS]
    if kind == "suites":
        return [
            (name, f"{get_suite(name).description} Tasks: {', '.join(t.name for t in get_suite(name).tasks)}")
            for name in SUITES
        ]
    if kind == "datasets":
        infos = {name: get_dataset(name) for name in DATASETS}
        return [(name, f"{info.description} ({info.licence})") for name, info in infos.items()]
    if kind == "recipes":
        load = load_object("memgym.baselines.recipe_file:load_recipe")
        return [
            (name, load(name).title) for name in load_object("memgym.baselines.recipe_file:recipe_names")()
        ]
    registry: Registry = load_object(REGISTRIES[kind])
    return [(name, _describe(registry, name)) for name in registry]


def _describe(agents: Registry, name: str) -> str:
    try:
        return _first_line(agents.resolve(name))
    except DependencyMissing as missing:
        return escape(f"(not installed: {missing})")


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
