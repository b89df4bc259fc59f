"""The command line: ``memgym --help``. Each command is a file here; `main` puts them together."""

import sys

__all__ = ["run"]


def run() -> None:
    """Entry point of the ``memgym`` script: errors that memgym raises on purpose become one line."""
    try:
        import rich
        import typer  # noqa: F401
    except ImportError:
        sys.exit("memgym's command line needs typer and rich. Install them with: pip install 'memgym[cli]'")
    sys.path.insert(0, "")  # as `python -m` does, so that 'my_agent:make' finds a file of this folder
    from rich.markup import escape

    from memgym.cli.main import app
    from memgym.errors import MemgymError

    try:
        app(prog_name="memgym")
    except MemgymError as error:
        rich.print(f"[red]error:[/red] {escape(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
