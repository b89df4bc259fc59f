"""``memgym train`` and ``memgym plot``: the recipes behind tables and figures."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memgym.cli.engine import AddressOption, EngineOption, WorkersOption, read_engine
from memgym.cli.progress import progress
from memgym.registry import load_object

__all__ = ["plot", "train"]

RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", help="Recipe: one of `memgym list recipes`, or a TOML file.")
]


def train(
    recipe: RecipeOption,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the runs; by default runs/RECIPE.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds with commas, instead of the recipe's.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Values of the grid to run alone, as name=value,value. May be repeated."),
    ] = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    show: Annotated[bool, typer.Option("--show", help="List the runs, and train nothing.")] = False,
) -> None:
    """Train all agents of a recipe and evaluate them; one file a run.

    The same command given again goes on where an interrupted one stopped.

    [dim]Examples:[/dim]

        memgym train --recipe t_maze_quick

        memgym train --recipe t_maze_grid --only cell=lstm,gru --seeds 0,1 --workers 2

        memgym train --recipe t_maze_grid --engine ray --address head:6379

        memgym train --recipe t_maze_grid --show
    """
    chosen = load_object("memgym.baselines.recipe_file:load_recipe")(recipe)
    folder = out or Path("runs") / chosen.name
    numbers, values = _read_seeds(seeds), _read_only(only or [])
    console = Console()
    if show:
        result_file = load_object("memgym.baselines.train:result_file")
        for run in chosen.runs(numbers, values):
            state = "done" if result_file(folder, run).is_file() else "open"
            console.print(f"{state}  {run.name}", highlight=False, soft_wrap=True)
        return
    with progress(f"training {chosen.name}") as report:
        load_object("memgym.baselines.train:train")(
            chosen,
            folder,
            seeds=numbers,
            only=values,
            engine=read_engine(engine, workers, address),
            on_run=lambda run, done, total: report(done, total, run.name),
        )
    _print_table(console, chosen, folder)
    console.print(f"Runs: {folder}. Its figure: memgym plot --recipe {recipe} {folder}", highlight=False)


def plot(
    runs: Annotated[Path, typer.Argument(help="Folder of runs of a recipe, or a file of committed results.")],
    recipe: RecipeOption,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The figure, .png, .svg or .pdf; by default in RUNS.")
    ] = None,
) -> None:
    """Draw the figure of a recipe from its finished runs, and print its table.

    [dim]Examples:[/dim]

        memgym plot runs/t_maze_grid --recipe t_maze_grid

        memgym plot runs/t_maze_grid --recipe t_maze_grid --out grid.svg

        memgym plot baselines/expected/key_value.json --recipe key_value
    """
    chosen = load_object("memgym.baselines.recipe_file:load_recipe")(recipe)
    file = out or (runs.with_suffix(".png") if runs.is_file() else runs / f"{chosen.name}.png")
    console = Console()
    _print_table(console, chosen, runs)
    load_object("memgym.baselines.figure:draw_recipe")(chosen, runs, file)
    console.print(f"Figure: {file.resolve().as_uri()}", soft_wrap=True, highlight=False)


def _read_seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--seeds is numbers with commas, not {text!r}.") from None


def _read_only(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise typer.BadParameter(f"--only is name=value,value, not {text!r}.")
        found[name] = f"{found[name]},{values}" if name in found else values
    return found


def _print_table(console: Console, recipe: object, folder: Path) -> None:
    rows = load_object("memgym.baselines.summary:table")(recipe, folder)
    if not console.is_terminal:  # a file has no edge to fold at
        console.width = 200
    table = Table(*map(escape, rows[0]), title=escape(getattr(recipe, "title", "")))
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    console.print(table)
