"""``memgym data``: list, fetch and find the datasets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from memgym.datasets import DATASETS, DatasetInfo, get_dataset
from memgym.datasets.base import download, import_file, verify
from memgym.errors import DatasetCorrupt, DatasetMissing

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, fetch and find the datasets; none ships with memgym.")

Name = Annotated[str, typer.Argument(help="Name of a dataset, see: memgym data list")]


@app.command(
    "list",
    epilog="Example: memgym data list",
    help="List the datasets, their licences, and whether they are on this machine.",
)
def list_datasets() -> None:
    """List the datasets."""
    table = Table("name", "size", "licence", "here", "what it is")
    table.columns[0].no_wrap = True
    for name in sorted(DATASETS):
        info = get_dataset(name)
        table.add_row(name, f"{info.nbytes / 1e6:.1f} MB", info.licence, _presence(info), info.description)
    Console().print(table)


def _presence(info: DatasetInfo) -> str:
    try:
        verify(info, info.find())
    except DatasetMissing:
        return "no"
    except DatasetCorrupt:
        return "damaged"
    return "yes"


@app.command(
    "get",
    epilog="Examples: memgym data get locomo10  |  memgym data get locomo10 --from ~/Downloads/locomo10.json",
    help="Fetch a dataset into the cache and check it. An interrupted download goes on where it stopped.",
)
def get(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="Take this local file or folder instead.")
    ] = None,
) -> None:
    """Bring a dataset into the cache."""
    info = get_dataset(name)
    path = import_file(info, source) if source else _download(info)
    typer.echo(f"{name}: {path}")
    typer.echo(f"Licence: {info.licence}. Please cite: {info.citation}.")


def _download(info: DatasetInfo) -> Path:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    # the bar goes to stderr, so that stdout holds the result alone
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(info.file or info.name, total=info.nbytes)
        return download(info, progress=lambda done, total: bar.update(task, completed=done, total=total))


@app.command(
    "path",
    epilog="Example: wc -c $(memgym data path locomo10)",
    help="Check a dataset's file and print where it is: the path alone.",
)
def path(name: Name) -> None:
    """Print where a dataset's file is."""
    info = get_dataset(name)
    found = info.find()
    verify(info, found)
    typer.echo(str(found))
