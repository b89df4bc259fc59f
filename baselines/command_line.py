"""The command line that the scripts of this folder have in common."""

import argparse

__all__ = ["module_parser"]


def module_parser(module: str, description: str, *examples: str) -> argparse.ArgumentParser:
    """A parser whose help names the command and shows it in use.

    Args:
        module: ``python -m`` of it is the command.
        description: what it does.
        examples: arguments, one string for each.

    >>> print(module_parser("memgym.baselines.moments", "Print a table.", "t_maze_grid").epilog.strip())
    example:
      python -m memgym.baselines.moments t_maze_grid
    """
    command = f"python -m {module}"
    title = "example" if len(examples) == 1 else "examples"
    return argparse.ArgumentParser(
        prog=command,
        description=description,
        epilog="".join([f"{title}:\n", *(f"  {command} {arguments}\n" for arguments in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
