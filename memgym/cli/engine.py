"""Options of the commands whose work can be spread: which engine, how much at a time."""

from typing import Annotated

import typer

from memgym.core.engines import ENGINES, Engine, make_engine

__all__ = ["AddressOption", "EngineOption", "WorkersOption", "read_engine"]

WorkersOption = Annotated[
    int | None, typer.Option(help="Pieces of work at a time; by default one a CPU core.")
]
EngineOption = Annotated[str, typer.Option(help=f"What does the work: {' or '.join(ENGINES)}.")]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Of a running Ray cluster, as host:6379 or auto; without, one is started here."),
]


def read_engine(name: str, workers: int | None, address: str | None) -> Engine:
    """The engine that the options ask for."""
    try:
        return make_engine(name, workers, address)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
